//! Domains tied to a pool: logins end in one of them.
//!
//! Invariant: a domain belongs to one pool; only a proven one can be used in logins
//! (decision U85). Deliberately absent: asking DNS.

use rollcall_kit::timestamp::Timestamp;

use crate::dns_name::DnsName;
use crate::id::UserpoolId;
use crate::named::named_enum;
use crate::refusal::Refusal;

/// Label that the proof of ownership is published under.
const CHALLENGE_LABEL: &str = "_yandexcloud-challenge";
/// Where the meaning of a state is explained.
const STATUS_CODE_PREFIX: &str = "organization/domain-diagnostics#";

/// A domain of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserpoolDomain {
    /// The pool it is tied to.
    pub userpool_id: UserpoolId,
    /// Its name.
    pub name: DnsName,
    /// State of the proof.
    pub status: DomainStatus,
    /// When it was tied.
    pub created_at: Timestamp,
    /// When it was proven.
    pub validated_at: Option<Timestamp>,
    /// Whether it cannot be removed.
    pub deletion_protection: bool,
    /// The proof to publish; the built-in domain has none.
    pub challenge: Option<DnsChallenge>,
}

/// A TXT record that proves ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsChallenge {
    /// Text of the record.
    pub value: String,
    /// State of this proof.
    pub status: ChallengeStatus,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

named_enum! {
    /// State of a domain.
    pub enum DomainStatus {
        /// Not proven yet.
        NeedToValidate = "NEED_TO_VALIDATE",
        /// Being proven.
        Validating = "VALIDATING",
        /// Proven.
        Valid = "VALID",
        /// Not proven in time.
        Invalid = "INVALID",
        /// Being removed.
        Deleting = "DELETING",
    }
}

named_enum! {
    /// State of a proof.
    pub enum ChallengeStatus {
        /// Waits for the record.
        Pending = "PENDING",
        /// Being looked up.
        Processing = "PROCESSING",
        /// Found.
        Valid = "VALID",
        /// Not found in time.
        Invalid = "INVALID",
    }
}

impl UserpoolDomain {
    /// The built-in domain of a pool: valid at once and protected (decision U84).
    #[must_use]
    pub fn built_in(userpool_id: UserpoolId, name: DnsName, now: Timestamp) -> Self {
        Self {
            userpool_id,
            name,
            status: DomainStatus::Valid,
            created_at: now,
            validated_at: Some(now),
            deletion_protection: true,
            challenge: None,
        }
    }

    /// Ties a domain that still has to be proven; `challenge_value` is fresh random text.
    ///
    /// # Errors
    /// `Invalid` when `domain` is no domain name.
    pub fn add(
        userpool_id: UserpoolId,
        domain: &str,
        challenge_value: String,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            userpool_id,
            name: DnsName::parse("domain", domain)?,
            status: DomainStatus::NeedToValidate,
            created_at: now,
            validated_at: None,
            deletion_protection: false,
            challenge: Some(DnsChallenge {
                value: challenge_value,
                status: ChallengeStatus::Pending,
                created_at: now,
                updated_at: now,
            }),
        })
    }

    /// Marks the domain as proven at `now`; a proven domain stays as it is.
    #[must_use]
    pub fn mark_valid(&self, now: Timestamp) -> Self {
        if self.status == DomainStatus::Valid {
            return self.clone();
        }
        Self {
            status: DomainStatus::Valid,
            validated_at: Some(now),
            challenge: self.challenge.clone().map(|challenge| DnsChallenge {
                status: ChallengeStatus::Valid,
                updated_at: now,
                ..challenge
            }),
            ..self.clone()
        }
    }

    /// Name of the TXT record that proves ownership.
    #[must_use]
    pub fn challenge_record_name(&self) -> String {
        format!("{CHALLENGE_LABEL}.{}", self.name)
    }

    /// Machine code of the state, as the public interface shows it.
    #[must_use]
    pub fn status_code(&self) -> String {
        let anchor = match self.status {
            DomainStatus::NeedToValidate => "need-to-validate",
            DomainStatus::Validating => "validating",
            DomainStatus::Valid => "valid",
            DomainStatus::Invalid => "invalid",
            DomainStatus::Deleting => "deleting",
        };
        format!("{STATUS_CODE_PREFIX}{anchor}")
    }

    /// Whether logins may end in this domain.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status == DomainStatus::Valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_domain_is_usable_only_after_the_proof() {
        let now = Timestamp::from_seconds(5);
        let added = UserpoolDomain::add("ek01".into(), "Corp.Example", "v".into(), now).unwrap();
        assert!(!added.is_usable());
        assert_eq!(
            added.challenge_record_name(),
            "_yandexcloud-challenge.corp.example"
        );
        let later = Timestamp::from_seconds(9);
        let valid = added.mark_valid(later);
        assert!(valid.is_usable());
        assert_eq!(valid.validated_at, Some(later));
        assert_eq!(valid.mark_valid(Timestamp::from_seconds(10)), valid);
        assert!(UserpoolDomain::add("ek01".into(), "corp example", "v".into(), now).is_err());
    }
}
