//! Quotas: how many things of a kind another thing may hold (decision U86).
//!
//! Invariant: a quota that is not configured is unlimited, and then nothing is counted; with one,
//! nothing is added beyond it, while what a lowered quota left above it may stay and shrink.
//! Deliberately absent: counting, and bounds of single requests, which protect memory whatever the
//! quotas are.

use std::collections::BTreeMap;

use crate::id::{GroupId, OrganizationId, ServiceAccountId, UserId, UserpoolId};
use crate::named::{Named, named_enum};
use crate::refusal::Refusal;

named_enum! {
    /// A quota, by its key in the configuration.
    pub enum Quota {
        /// Users of all pools and service accounts.
        SubjectsPerOrganization = "subjects_per_organization",
        /// Groups, basic and external.
        GroupsPerOrganization = "groups_per_organization",
        /// Members, suspended ones included.
        MembersPerGroup = "members_per_group",
        /// Groups that one user is in.
        GroupsPerUser = "groups_per_user",
        /// Bindings on the organization itself.
        AccessBindingsPerOrganization = "access_bindings_per_organization",
        /// User pools.
        UserpoolsPerOrganization = "userpools_per_organization",
        /// Users of one pool.
        UsersPerUserpool = "users_per_userpool",
        /// Domains of one pool, the built-in one included.
        DomainsPerUserpool = "domains_per_userpool",
        /// Service accounts.
        ServiceAccountsPerOrganization = "service_accounts_per_organization",
        /// Keys of one service account, disabled ones included.
        KeysPerServiceAccount = "keys_per_service_account",
    }
}

/// What is counted, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaScope<'a> {
    /// Users and service accounts of an organization.
    SubjectsOf(&'a OrganizationId),
    /// Groups of an organization.
    GroupsOf(&'a OrganizationId),
    /// Members of a group.
    MembersOf(&'a GroupId),
    /// Groups of a user.
    GroupsOfUser(&'a UserId),
    /// Bindings on an organization.
    AccessBindingsOf(&'a OrganizationId),
    /// Pools of an organization.
    UserpoolsOf(&'a OrganizationId),
    /// Users of a pool.
    UsersOf(&'a UserpoolId),
    /// Domains of a pool.
    DomainsOf(&'a UserpoolId),
    /// Service accounts of an organization.
    ServiceAccountsOf(&'a OrganizationId),
    /// Keys of a service account.
    KeysOf(&'a ServiceAccountId),
}

/// The configured quotas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas(BTreeMap<Quota, u64>);

impl QuotaScope<'_> {
    /// The quota that bounds this count.
    #[must_use]
    pub fn quota(self) -> Quota {
        match self {
            Self::SubjectsOf(_) => Quota::SubjectsPerOrganization,
            Self::GroupsOf(_) => Quota::GroupsPerOrganization,
            Self::MembersOf(_) => Quota::MembersPerGroup,
            Self::GroupsOfUser(_) => Quota::GroupsPerUser,
            Self::AccessBindingsOf(_) => Quota::AccessBindingsPerOrganization,
            Self::UserpoolsOf(_) => Quota::UserpoolsPerOrganization,
            Self::UsersOf(_) => Quota::UsersPerUserpool,
            Self::DomainsOf(_) => Quota::DomainsPerUserpool,
            Self::ServiceAccountsOf(_) => Quota::ServiceAccountsPerOrganization,
            Self::KeysOf(_) => Quota::KeysPerServiceAccount,
        }
    }

    /// The thing that holds what is counted: its kind and its id.
    #[must_use]
    pub fn holder(self) -> (&'static str, String) {
        match self {
            Self::SubjectsOf(id)
            | Self::GroupsOf(id)
            | Self::AccessBindingsOf(id)
            | Self::UserpoolsOf(id)
            | Self::ServiceAccountsOf(id) => ("organization", id.to_string()),
            Self::MembersOf(id) => ("group", id.to_string()),
            Self::GroupsOfUser(id) => ("user", id.to_string()),
            Self::UsersOf(id) | Self::DomainsOf(id) => ("user pool", id.to_string()),
            Self::KeysOf(id) => ("service account", id.to_string()),
        }
    }
}

impl Quotas {
    /// Quotas with these limits; 0 means unlimited.
    #[must_use]
    pub fn new(limits: impl IntoIterator<Item = (Quota, u64)>) -> Self {
        Self(limits.into_iter().filter(|(_, limit)| *limit > 0).collect())
    }

    /// The limit of a quota; `None` = unlimited.
    #[must_use]
    pub fn limit(&self, quota: Quota) -> Option<u64> {
        self.0.get(&quota).copied()
    }

    /// Decides whether `added` more fit, given that `present` are there.
    ///
    /// # Errors
    /// `QuotaExceeded` naming the quota, its holder and the limit.
    pub fn require(&self, scope: QuotaScope<'_>, present: u64, added: u64) -> Result<(), Refusal> {
        match self.limit(scope.quota()) {
            Some(limit) if added > 0 && present.saturating_add(added) > limit => {
                let (kind, id) = scope.holder();
                Err(Refusal::QuotaExceeded {
                    quota: scope.quota().name(),
                    holder: format!("{kind} {id}"),
                    limit,
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: u64, present: u64, added: u64, fits: bool) {
        let pool = UserpoolId::from("ek01");
        let quotas = Quotas::new([(Quota::UsersPerUserpool, limit)]);
        let outcome = quotas.require(QuotaScope::UsersOf(&pool), present, added);
        assert_eq!(outcome.is_ok(), fits, "{present} + {added} of {limit}");
    }

    #[test]
    fn limits() {
        check(3, 2, 1, true);
        check(3, 3, 1, false);
        check(3, 2, 2, false);
        check(3, 0, 3, true);
        check(0, u64::MAX, u64::MAX, true);
        check(1, u64::MAX, 1, false);
        // Above a lowered limit nothing is added, but everything else goes on.
        check(3, 9, 0, true);
    }

    #[test]
    fn a_refusal_names_quota_holder_and_limit() {
        let pool = UserpoolId::from("ek01");
        let quotas = Quotas::new([(Quota::DomainsPerUserpool, 2)]);
        let refusal = quotas
            .require(QuotaScope::DomainsOf(&pool), 2, 1)
            .unwrap_err();
        let text = refusal.to_string();
        for part in ["domains_per_userpool", "user pool ek01", "at most 2"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        // The other quotas stay unlimited.
        assert!(quotas.require(QuotaScope::UsersOf(&pool), 9, 9).is_ok());
    }
}
