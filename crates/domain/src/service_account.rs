//! Service accounts and their authorized keys: how programs sign in.
//!
//! Invariants: the hub keeps the public half of a key only (decision U128); an account that owns
//! its organization is managed by owners only; and an organization keeps an owner that can sign in.
//! Deliberately absent: tokens, and making keys.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::access::binding::require_owner_left;
use crate::access::{AccessBinding, Role, Subject};
use crate::id::{KeyId, OrganizationId, ServiceAccountId, SubjectId};
use crate::mask::Mask;
use crate::named::{Named, named_enum};
use crate::quota::Quota;
use crate::refusal::Refusal;
use crate::resource_name;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

/// Most keys of one service account, disabled ones included, whatever the quotas are. Two suffice
/// for an exchange without interruption; more serve an account that several programs use.
pub const KEYS_MAX: u64 = 100;
/// The use of a key is written down at most that often.
pub const KEY_USE_PRECISION: Span = Span::minutes(1);

named_enum! {
    /// Whether a service account may sign in.
    pub enum ServiceAccountStatus {
        /// It may.
        Active = "ACTIVE",
        /// Its keys and tokens are refused.
        Disabled = "DISABLED",
    }
}

named_enum! {
    /// Whether a key can be used.
    pub enum KeyStatus {
        /// It can.
        Active = "ACTIVE",
        /// It is refused.
        Disabled = "DISABLED",
    }
}

named_enum! {
    /// A field that an update can name.
    pub enum ServiceAccountField {
        /// Name.
        Name = "name",
        /// Description.
        Description = "description",
    }
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Identifier.
    pub id: ServiceAccountId,
    /// The organization it belongs to.
    pub organization_id: OrganizationId,
    /// Name, unique in the organization.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// Since when it is refused; `None` = it may sign in.
    pub disabled_at: Option<Timestamp>,
}

/// An authorized key of a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// Identifier; the `kid` of tokens signed with it.
    pub id: KeyId,
    /// Whose key it is.
    pub service_account_id: ServiceAccountId,
    /// Free text.
    pub description: String,
    /// Public key, PEM.
    pub public_key_pem: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Since when it is refused; `None` = it can be used.
    pub disabled_at: Option<Timestamp>,
    /// When a token was last given for it, to [`KEY_USE_PRECISION`]; `None` = never.
    pub last_used_at: Option<Timestamp>,
}

impl ServiceAccount {
    /// Makes a service account.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        organization_id: OrganizationId,
        name: &str,
        description: &str,
        id: ServiceAccountId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let account = Self {
            id,
            organization_id,
            name: name.to_owned(),
            description: description.to_owned(),
            created_at: now,
            updated_at: now,
            disabled_at: None,
        };
        account.check()?;
        Ok(account)
    }

    /// Replaces the fields that `mask` covers.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn update(
        &self,
        name: &str,
        description: &str,
        mask: &Mask<ServiceAccountField>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        if mask.covers(ServiceAccountField::Name) {
            name.clone_into(&mut changed.name);
        }
        if mask.covers(ServiceAccountField::Description) {
            description.clone_into(&mut changed.description);
        }
        changed.updated_at = now;
        changed.check()?;
        Ok(changed)
    }

    /// Refuses it from `now` on; a disabled one stays as it is.
    #[must_use]
    pub fn disable(self, now: Timestamp) -> Self {
        if !self.is_enabled() {
            return self;
        }
        Self {
            disabled_at: Some(now),
            updated_at: now,
            ..self
        }
    }

    /// Lets it sign in again; an enabled one stays as it is.
    #[must_use]
    pub fn enable(self, now: Timestamp) -> Self {
        if self.is_enabled() {
            return self;
        }
        Self {
            disabled_at: None,
            updated_at: now,
            ..self
        }
    }

    /// Whether it may sign in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether it may sign in, as the interface shows it.
    #[must_use]
    pub fn status(&self) -> ServiceAccountStatus {
        if self.is_enabled() {
            ServiceAccountStatus::Active
        } else {
            ServiceAccountStatus::Disabled
        }
    }

    /// The subject that its tokens stand for.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::service_account(self.id.clone())
    }

    fn check(&self) -> Result<(), Refusal> {
        resource_name::check_lower("name", &self.name)?;
        text_size::check("description", &self.description, TEXT_CHARACTERS_MAX)
    }
}

impl ServiceAccountKey {
    /// The record of a key whose public half is `public_key_pem`.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        service_account_id: ServiceAccountId,
        description: &str,
        public_key_pem: String,
        id: KeyId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        text_size::check("description", description, TEXT_CHARACTERS_MAX)?;
        Ok(Self {
            id,
            service_account_id,
            description: description.to_owned(),
            public_key_pem,
            created_at: now,
            disabled_at: None,
            last_used_at: None,
        })
    }

    /// Refuses it from `now` on; a disabled one stays as it is.
    #[must_use]
    pub fn disable(self, now: Timestamp) -> Self {
        Self {
            disabled_at: self.disabled_at.or(Some(now)),
            ..self
        }
    }

    /// Accepts it again.
    #[must_use]
    pub fn enable(self) -> Self {
        Self {
            disabled_at: None,
            ..self
        }
    }

    /// Whether it can be used.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether it can be used, as the interface shows it.
    #[must_use]
    pub fn status(&self) -> KeyStatus {
        if self.is_enabled() {
            KeyStatus::Active
        } else {
            KeyStatus::Disabled
        }
    }

    /// The key with its use at `now` written down; `None` when that was done less than
    /// [`KEY_USE_PRECISION`] ago.
    #[must_use]
    pub fn mark_used(&self, now: Timestamp) -> Option<Self> {
        let recent = self
            .last_used_at
            .is_some_and(|last| now < last.plus(KEY_USE_PRECISION));
        (!recent).then(|| Self {
            last_used_at: Some(now),
            ..self.clone()
        })
    }
}

/// Whether somebody with these bindings on an organization owns it.
#[must_use]
pub fn owns(bindings: &[AccessBinding]) -> bool {
    bindings.iter().any(|binding| binding.role == Role::Owner)
}

/// Refuses a caller who is no owner on an account that is one: whoever made a key of it, or acted
/// as it, would be an owner too.
///
/// # Errors
/// `Denied`.
pub fn check_rank(
    account_bindings: &[AccessBinding],
    caller_bindings: &[AccessBinding],
) -> Result<(), Refusal> {
    if owns(account_bindings) && !owns(caller_bindings) {
        return Err(Refusal::denied(format!(
            "the service account owns the organization: only a caller with the role {} may manage it",
            Role::Owner
        )));
    }
    Ok(())
}

/// Refuses to disable or delete the account the caller uses, and the last owner that can sign in;
/// `other_owners` counts the other enabled service accounts that own the organization.
///
/// # Errors
/// `Precondition`.
pub fn check_dispensable(
    account: &ServiceAccount,
    account_bindings: &[AccessBinding],
    other_owners: u64,
    caller: &SubjectId,
) -> Result<(), Refusal> {
    if caller.as_str() == account.id.as_str() {
        return Err(Refusal::precondition(
            "OWN_ACCOUNT",
            "this is the service account of the call: use another one",
        ));
    }
    if account.is_enabled() && owns(account_bindings) {
        require_owner_left(&account.organization_id, other_owners)?;
    }
    Ok(())
}

/// Refuses one more key than [`KEYS_MAX`].
///
/// # Errors
/// `QuotaExceeded`.
pub fn check_key_count(account: &ServiceAccountId, present: u64) -> Result<(), Refusal> {
    if present >= KEYS_MAX {
        return Err(Refusal::QuotaExceeded {
            quota: Quota::KeysPerServiceAccount.name(),
            holder: format!("service account {account}"),
            limit: KEYS_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::ResourceRef;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn account() -> ServiceAccount {
        ServiceAccount::create("bpf1".into(), "agent", "d", "aje1".into(), NOW).unwrap()
    }

    fn bound(role: Role) -> Vec<AccessBinding> {
        vec![AccessBinding {
            resource: ResourceRef::organization(&"bpf1".into()),
            role,
            subject: Subject::service_account("aje1"),
        }]
    }

    #[test]
    fn updates_replace_what_the_mask_covers() {
        let later = NOW.plus(Span::seconds(1));
        let check = |paths: &[&str], name: &str, expected: Option<(&str, &str)>| {
            let mask = Mask::parse(paths.iter().copied()).unwrap();
            let updated = account().update(name, "", &mask, later).ok();
            assert!(updated.iter().all(|account| account.updated_at == later));
            let found = updated.map(|account| (account.name, account.description));
            let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(found, expected, "{paths:?} {name}");
        };
        check(&[], "sync", Some(("sync", "")));
        check(&[], "", None);
        check(&["name"], "sync", Some(("sync", "d")));
        check(&["description"], "", Some(("agent", "")));
        check(&["name"], "Sync", None);
    }

    #[test]
    fn disabling_twice_changes_nothing() {
        let later = NOW.plus(Span::seconds(1));
        let disabled = account().disable(NOW);
        assert_eq!(disabled.status(), ServiceAccountStatus::Disabled);
        assert_eq!(disabled.clone().disable(later), disabled);
        let enabled = disabled.enable(later);
        assert_eq!(enabled.status(), ServiceAccountStatus::Active);
        assert_eq!(enabled.clone().enable(NOW), enabled);
        assert_eq!(enabled.updated_at, later);
    }

    #[test]
    fn the_use_of_a_key_is_written_once_a_minute() {
        let pem = "PEM".to_owned();
        let key = ServiceAccountKey::create("aje1".into(), "", pem, "aje2".into(), NOW).unwrap();
        let used = key.mark_used(NOW).unwrap();
        assert_eq!(used.last_used_at, Some(NOW));
        let minute = NOW.plus(KEY_USE_PRECISION);
        assert_eq!(used.mark_used(minute.minus(Span::micros(1))), None);
        let again = used.mark_used(minute).unwrap();
        assert_eq!(again.last_used_at, Some(minute));
        assert_eq!(
            key.clone().disable(NOW).disable(minute).disabled_at,
            Some(NOW)
        );
        assert_eq!(key.clone().disable(NOW).enable(), key);
    }

    #[test]
    fn owners_are_managed_by_owners() {
        let check = |account: Role, caller: Role, expected: bool| {
            let verdict = check_rank(&bound(account), &bound(caller));
            assert_eq!(verdict.is_ok(), expected, "{account} by {caller}");
        };
        check(Role::Owner, Role::Owner, true);
        check(Role::Owner, Role::Admin, false);
        check(Role::Admin, Role::Admin, true);
        assert!(check_rank(&[], &[]).is_ok());
    }

    #[test]
    fn nobody_ends_itself_or_the_last_owner() {
        let check = |role: Role, others: u64, caller: &str, reason: Option<&str>| {
            let verdict = check_dispensable(&account(), &bound(role), others, &caller.into());
            let found = match verdict {
                Ok(()) => None,
                Err(Refusal::Precondition { reason, .. }) => Some(reason),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, reason, "{role} {others} {caller}");
        };
        check(Role::Owner, 1, "aje2", None);
        check(Role::Owner, 0, "aje2", Some("LAST_OWNER"));
        check(Role::Owner, 1, "aje1", Some("OWN_ACCOUNT"));
        check(Role::Admin, 0, "aje2", None);
        let disabled = account().disable(NOW);
        assert!(check_dispensable(&disabled, &bound(Role::Owner), 0, &"aje2".into()).is_ok());
    }

    #[test]
    fn keys_are_counted() {
        let id = "aje1".into();
        assert!(check_key_count(&id, KEYS_MAX - 1).is_ok());
        assert!(check_key_count(&id, KEYS_MAX).is_err());
    }
}
