//! User pools: containers of users, with their rules.
//!
//! Invariant: a pool always has its default domain, valid from the first moment (decision U84).
//! How it is changed is in `update`.
//! Deliberately absent: federations, the other kind of subject container.

mod update;

use rollcall_kit::timestamp::Timestamp;

pub use self::update::UserpoolField;

use crate::counted::counted;
use crate::dns_name::DnsName;
use crate::id::{OrganizationId, UserpoolId};
use crate::labels::{self, Labels};
use crate::named::named_enum;
use crate::password_policy::{BlacklistPolicy, BruteforcePolicy, LifetimePolicy, QualityPolicy};
use crate::refusal::Refusal;
use crate::resource_name;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};
use crate::userpool_domain::UserpoolDomain;

const SUBDOMAIN_CHARACTERS_MAX: usize = 63;

/// A user pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userpool {
    /// Identifier.
    pub id: UserpoolId,
    /// The organization it belongs to.
    pub organization_id: OrganizationId,
    /// Name, unique in the organization.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
    /// State.
    pub status: UserpoolStatus,
    /// What users may change about themselves.
    pub user_settings: UserSettings,
    /// Quality of new passwords.
    pub quality_policy: QualityPolicy,
    /// Age of passwords.
    pub lifetime_policy: LifetimePolicy,
    /// Guard against guessing.
    pub bruteforce_policy: BruteforcePolicy,
    /// Comparison with well-known passwords.
    pub blacklist_policy: BlacklistPolicy,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

named_enum! {
    /// State of a pool.
    pub enum UserpoolStatus {
        /// Being made.
        Creating = "CREATING",
        /// In use.
        Active = "ACTIVE",
        /// Being removed.
        Deleting = "DELETING",
    }
}

/// What users may change about themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserSettings {
    /// The own password.
    pub allow_edit_self_password: bool,
    /// Names.
    pub allow_edit_self_info: bool,
    /// Addresses and phone number.
    pub allow_edit_self_contacts: bool,
    /// The login.
    pub allow_edit_self_login: bool,
}

/// The parts of a pool that can be given and changed. `None` of a policy means its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserpoolInput {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
    /// What users may change about themselves.
    pub user_settings: Option<UserSettings>,
    /// Quality of new passwords.
    pub quality_policy: Option<QualityPolicy>,
    /// Age of passwords.
    pub lifetime_policy: Option<LifetimePolicy>,
    /// Guard against guessing.
    pub bruteforce_policy: Option<BruteforcePolicy>,
    /// Comparison with well-known passwords.
    pub blacklist_policy: Option<BlacklistPolicy>,
}

/// How many things of a pool stand in the way of its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserpoolContents {
    /// Users.
    pub users: u64,
    /// Groups that mirror its directory.
    pub external_groups: u64,
    /// Sessions with a lease.
    pub open_sessions: u64,
}

/// A new pool and its default domain; both are stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserpoolCreated {
    /// The pool.
    pub userpool: Userpool,
    /// Its built-in domain.
    pub default_domain: UserpoolDomain,
}

impl Userpool {
    /// Makes a pool with its default domain `default_subdomain` + `.` + `domain_suffix`; the
    /// suffix is configuration of the hub.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        input: UserpoolInput,
        default_subdomain: &str,
        domain_suffix: &str,
        organization_id: OrganizationId,
        id: UserpoolId,
        now: Timestamp,
    ) -> Result<UserpoolCreated, Refusal> {
        text_size::check_required(
            "default_subdomain",
            default_subdomain,
            SUBDOMAIN_CHARACTERS_MAX,
        )?;
        let domain = DnsName::parse(
            "default_subdomain",
            &format!("{default_subdomain}.{domain_suffix}"),
        )?;
        let userpool = Self {
            id: id.clone(),
            organization_id,
            name: input.name,
            description: input.description,
            labels: input.labels,
            status: UserpoolStatus::Active,
            user_settings: input.user_settings.unwrap_or_default(),
            quality_policy: input.quality_policy.unwrap_or_default(),
            lifetime_policy: input.lifetime_policy.unwrap_or_default(),
            bruteforce_policy: input.bruteforce_policy.unwrap_or_default(),
            blacklist_policy: input.blacklist_policy.unwrap_or_default(),
            created_at: now,
            updated_at: now,
        };
        userpool.check()?;
        Ok(UserpoolCreated {
            userpool,
            default_domain: UserpoolDomain::built_in(id, domain, now),
        })
    }

    /// Whether the pool can be deleted, when it holds `contents` (decision U81).
    ///
    /// # Errors
    /// `Precondition` that names what is left.
    pub fn check_deletable(&self, contents: &UserpoolContents) -> Result<(), Refusal> {
        let left: Vec<_> = [
            (contents.users, "user"),
            (contents.external_groups, "external group"),
            (contents.open_sessions, "open synchronization session"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| counted(count, what))
        .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Refusal::precondition(
            "USERPOOL_NOT_EMPTY",
            format!(
                "user pool {} still has {}: delete or end them first",
                self.name,
                left.join(", ")
            ),
        ))
    }

    fn check(&self) -> Result<(), Refusal> {
        resource_name::check_lower("name", &self.name)?;
        text_size::check("description", &self.description, TEXT_CHARACTERS_MAX)?;
        labels::check(&self.labels)?;
        self.quality_policy.check()?;
        self.lifetime_policy.check()?;
        self.bruteforce_policy.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::userpool_domain::DomainStatus;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn create(name: &str, subdomain: &str) -> Result<UserpoolCreated, Refusal> {
        Userpool::create(
            UserpoolInput {
                name: name.into(),
                ..Default::default()
            },
            subdomain,
            "idp.hub.example",
            "bpf1".into(),
            "ek01".into(),
            NOW,
        )
    }

    #[test]
    fn a_new_pool_is_active_with_a_valid_protected_domain() {
        let made = create("staff", "Staff.Corp").unwrap();
        assert_eq!(made.userpool.status, UserpoolStatus::Active);
        assert_eq!(
            made.default_domain.name.as_str(),
            "staff.corp.idp.hub.example"
        );
        assert_eq!(made.default_domain.status, DomainStatus::Valid);
        assert!(made.default_domain.deletion_protection);
    }

    #[test]
    fn bad_names_and_subdomains_are_refused() {
        for (name, subdomain) in [
            ("Staff", "s"),
            ("", "s"),
            ("staff", ""),
            ("staff", "a b"),
            ("staff", "-a"),
        ] {
            assert!(create(name, subdomain).is_err(), "{name:?} {subdomain:?}");
        }
    }

    #[test]
    fn what_is_left_in_a_pool_is_named() {
        let pool = create("staff", "staff").unwrap().userpool;
        assert_eq!(pool.check_deletable(&UserpoolContents::default()), Ok(()));
        let contents = UserpoolContents {
            users: 2,
            external_groups: 0,
            open_sessions: 1,
        };
        let refusal = pool.check_deletable(&contents).unwrap_err().to_string();
        assert!(
            refusal.contains("2 users, 1 open synchronization session:"),
            "{refusal}"
        );
    }
}
