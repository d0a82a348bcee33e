//! Domains tied to a pool: logins end in one of them.
//!
//! Invariant: a domain belongs to one pool; only a proven one can be used in logins
//! (decision U85). How it is proven is in `validation`. Deliberately absent: asking DNS.

mod validation;

use rollcall_kit::timestamp::Timestamp;

pub use self::validation::{
    ATTEMPT_INTERVAL, AttemptFailure, AttemptOutcome, VALIDATION_SPAN_MAX, Validation,
    ValidationStart,
};

use crate::counted::counted;
use crate::dns_name::{DNS_NAME_CHARACTERS_MAX, DnsName};
use crate::id::UserpoolId;
use crate::named::named_enum;
use crate::refusal::Refusal;

/// Label that the proof of ownership is published under.
const CHALLENGE_LABEL: &str = "_yandexcloud-challenge";
/// Random bytes of a challenge; its text is their base64.
pub const CHALLENGE_BYTES: usize = 32;
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
    /// Why the last look-up did not find the proof.
    pub last_failure: Option<AttemptFailure>,
    /// The search for the proof, while it goes on.
    pub validation: Option<Validation>,
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
            last_failure: None,
            validation: None,
        }
    }

    /// Ties a domain that still has to be proven; `challenge_value` is fresh random text.
    ///
    /// # Errors
    /// `Invalid` when `domain` is no domain name, or too long for the name of its proof.
    pub fn add(
        userpool_id: UserpoolId,
        domain: &str,
        challenge_value: String,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let name = DnsName::parse("domain", domain)?;
        let characters_max = DNS_NAME_CHARACTERS_MAX - CHALLENGE_LABEL.len() - 1;
        if name.as_str().len() > characters_max {
            return Err(Refusal::invalid(
                "domain",
                format!(
                    "must have at most {characters_max} characters, because its proof is published under {CHALLENGE_LABEL} and this name"
                ),
            ));
        }
        Ok(Self {
            userpool_id,
            name,
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
            last_failure: None,
            validation: None,
        })
    }

    /// Refuses a name at or below `suffix`, where only the hub itself gives out names.
    ///
    /// # Errors
    /// `Invalid` naming `domain`.
    pub fn require_outside(&self, suffix: &str) -> Result<(), Refusal> {
        let suffix = suffix.to_ascii_lowercase();
        let name = self.name.as_str();
        let rest = name.strip_suffix(suffix.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
            return Err(Refusal::invalid(
                "domain",
                format!("names in {suffix} are built in: a pool gets its own when it is created"),
            ));
        }
        Ok(())
    }

    /// Whether the domain can be untied, when `users` logins end in it.
    ///
    /// # Errors
    /// `Precondition` that says what stands in the way.
    pub fn check_deletable(&self, users: u64) -> Result<(), Refusal> {
        if self.deletion_protection {
            return Err(Refusal::precondition(
                "DOMAIN_PROTECTED",
                format!(
                    "domain {} is built in: it goes with its pool only",
                    self.name
                ),
            ));
        }
        if users > 0 {
            return Err(Refusal::precondition(
                "DOMAIN_IN_USE",
                format!(
                    "the logins of {} of the pool end in domain {}: rename or delete them first",
                    counted(users, "user"),
                    self.name
                ),
            ));
        }
        Ok(())
    }

    /// Marks the domain as proven at `now`; a proven domain stays as it is.
    #[must_use]
    pub fn mark_valid(&self, now: Timestamp) -> Self {
        if self.status == DomainStatus::Valid {
            return self.clone();
        }
        Self {
            validated_at: Some(now),
            last_failure: None,
            validation: None,
            ..self.with_status(DomainStatus::Valid, ChallengeStatus::Valid, now)
        }
    }

    fn with_status(&self, status: DomainStatus, proof: ChallengeStatus, now: Timestamp) -> Self {
        let challenge = self.challenge.clone().map(|challenge| DnsChallenge {
            status: proof,
            updated_at: now,
            ..challenge
        });
        Self {
            status,
            challenge,
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
            DomainStatus::NeedToValidate => match self.last_failure {
                None => "need-to-validate",
                Some(failure) => failure.anchor(),
            },
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

    #[test]
    fn the_name_of_the_proof_must_fit_too() {
        let add = |domain: &str| {
            UserpoolDomain::add(
                "ek01".into(),
                domain,
                "v".into(),
                Timestamp::from_seconds(5),
            )
        };
        let label = "a".repeat(49);
        let longest = format!("{label}.{label}.{label}.{label}.{}", "b".repeat(30));
        assert_eq!(longest.len(), 230);
        assert_eq!(add(&longest).unwrap().challenge_record_name().len(), 253);
        assert!(add(&format!("{longest}b")).is_err());
    }

    #[test]
    fn names_below_the_suffix_of_the_hub_are_reserved() {
        let now = Timestamp::from_seconds(5);
        for (domain, expected) in [
            ("idp.hub.example", false),
            ("x.idp.hub.example", false),
            ("xidp.hub.example", true),
            ("hub.example", true),
        ] {
            let added = UserpoolDomain::add("ek01".into(), domain, "v".into(), now).unwrap();
            let outside = added.require_outside("IDP.hub.example");
            assert_eq!(outside.is_ok(), expected, "{domain}");
        }
    }

    #[test]
    fn what_is_protected_or_in_use_stays() {
        let now = Timestamp::from_seconds(5);
        let added = UserpoolDomain::add("ek01".into(), "corp.example", "v".into(), now).unwrap();
        assert_eq!(added.check_deletable(0), Ok(()));
        let refusal = added.check_deletable(3).unwrap_err().to_string();
        assert!(refusal.contains("the logins of 3 users of"), "{refusal}");
        let refusal = added.check_deletable(1).unwrap_err().to_string();
        assert!(refusal.contains("the logins of 1 user of"), "{refusal}");
        let built_in = UserpoolDomain::built_in("ek01".into(), added.name, now);
        assert!(built_in.check_deletable(0).is_err());
    }
}
