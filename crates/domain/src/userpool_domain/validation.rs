//! How a domain is proven: a search that is tried again and again until the proof is found, the
//! time is over or somebody ends it (decision U83).
//!
//! Invariant: a domain has a [`Validation`] exactly while the operation of its search runs; it is
//! VALIDATING while a look-up is due or under way and NEED_TO_VALIDATE between look-ups. A claim
//! belongs to one look-up: a failure of one whose claim is gone changes nothing, except that no
//! search outlives its time.

use rollcall_kit::timestamp::{Span, Timestamp};

use super::{ChallengeStatus, DomainStatus, UserpoolDomain};
use crate::id::OperationId;
use crate::named::named_enum;
use crate::refusal::Refusal;

/// Pause between two look-ups.
pub const ATTEMPT_INTERVAL: Span = Span::minutes(10);
/// How long the proof is looked for.
pub const VALIDATION_SPAN_MAX: Span = Span::hours(72);

/// A search for the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// The operation that ends with it.
    pub operation_id: OperationId,
    /// When it began.
    pub started_at: Timestamp,
    /// When the next look-up is due.
    pub next_attempt_at: Timestamp,
    /// Until when a job keeps the look-up for itself.
    pub claimed_until: Option<Timestamp>,
}

named_enum! {
    /// Why a look-up did not find the proof.
    pub enum AttemptFailure {
        /// The name has no TXT record.
        RecordMissing = "RECORD_MISSING",
        /// There are TXT records, none with the right text.
        ValueDiffers = "VALUE_DIFFERS",
        /// A name server refused or failed.
        ServerFailed = "SERVER_FAILED",
        /// No name server answered in time.
        NoAnswer = "NO_ANSWER",
    }
}

/// What a call that asks for a validation leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValidationStart {
    /// The domain is proven already.
    Proven,
    /// A search goes on; a look-up is under way or due at once.
    Joined(UserpoolDomain, OperationId),
    /// A search begins.
    Started(UserpoolDomain),
}

/// What the end of a look-up leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Nothing: the search ended meanwhile, or another look-up took over.
    Superseded,
    /// The domain is proven, and the operation ends well.
    Proven(UserpoolDomain),
    /// The search goes on later.
    Postponed(UserpoolDomain),
    /// The time is over, and the operation ends with this refusal.
    GivenUp(UserpoolDomain, Refusal),
}

impl Validation {
    /// Whether a look-up is under way.
    fn is_claimed(&self, now: Timestamp) -> bool {
        self.claimed_until.is_some_and(|until| now < until)
    }
}

impl AttemptFailure {
    /// The anchor that explains it in the documentation.
    pub(super) fn anchor(self) -> &'static str {
        match self {
            Self::RecordMissing => "record-missing",
            Self::ValueDiffers => "value-differs",
            Self::ServerFailed => "dns-failure",
            Self::NoAnswer => "dns-timeout",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::RecordMissing => "there is no such TXT record",
            Self::ValueDiffers => "no TXT record there has the right text",
            Self::ServerFailed => "the name server of that name fails",
            Self::NoAnswer => "no name server answers for that name",
        }
    }
}

impl UserpoolDomain {
    /// Begins a search for the proof, or has the present one look at once, unless a look-up is under
    /// way: so that asking again and again causes no more than one look-up at a time.
    #[must_use]
    pub fn start_validation(&self, operation_id: OperationId, now: Timestamp) -> ValidationStart {
        if self.status == DomainStatus::Valid {
            return ValidationStart::Proven;
        }
        let validation = match &self.validation {
            Some(running) if running.is_claimed(now) => running.clone(),
            Some(running) => Validation {
                next_attempt_at: now,
                claimed_until: None,
                ..running.clone()
            },
            None => Validation {
                operation_id,
                started_at: now,
                next_attempt_at: now,
                claimed_until: None,
            },
        };
        let joined = self.validation.as_ref();
        let running = joined.map(|running| running.operation_id.clone());
        let domain = Self {
            last_failure: None,
            validation: Some(validation),
            ..self.with_status(DomainStatus::Validating, ChallengeStatus::Processing, now)
        };
        match running {
            Some(operation_id) => ValidationStart::Joined(domain, operation_id),
            None => ValidationStart::Started(domain),
        }
    }

    /// Begins a look-up that nobody else shall make until `claimed_until`.
    #[must_use]
    pub fn claim_attempt(&self, claimed_until: Timestamp, now: Timestamp) -> Self {
        Self {
            validation: self.validation.clone().map(|validation| Validation {
                claimed_until: Some(claimed_until),
                ..validation
            }),
            ..self.with_status(DomainStatus::Validating, ChallengeStatus::Processing, now)
        }
    }

    /// Judges the texts of the TXT records at [`UserpoolDomain::challenge_record_name`]; a record
    /// of several character strings is their concatenation.
    ///
    /// # Errors
    /// Why they are no proof.
    pub fn judge_records(&self, texts: &[Vec<u8>]) -> Result<(), AttemptFailure> {
        if texts.is_empty() {
            return Err(AttemptFailure::RecordMissing);
        }
        let is_proof = |text: &Vec<u8>| {
            let challenge = self.challenge.as_ref();
            challenge.is_some_and(|challenge| challenge.value.as_bytes() == text.as_slice())
        };
        if texts.iter().any(is_proof) {
            Ok(())
        } else {
            Err(AttemptFailure::ValueDiffers)
        }
    }

    /// Ends the look-up that was claimed as `claimed`.
    #[must_use]
    pub fn end_attempt(
        &self,
        claimed: &Validation,
        found: Result<(), AttemptFailure>,
        now: Timestamp,
    ) -> AttemptOutcome {
        let Some(running) = self.validation.as_ref() else {
            return AttemptOutcome::Superseded;
        };
        if running.operation_id != claimed.operation_id {
            return AttemptOutcome::Superseded;
        }
        let failure = match found {
            Ok(()) => return AttemptOutcome::Proven(self.mark_valid(now)),
            Err(failure) => failure,
        };
        let ends_at = running.started_at.plus(VALIDATION_SPAN_MAX);
        if now >= ends_at {
            let domain = Self {
                last_failure: Some(failure),
                validation: None,
                ..self.with_status(DomainStatus::Invalid, ChallengeStatus::Invalid, now)
            };
            let refusal = self.not_proven(failure);
            return AttemptOutcome::GivenUp(domain, refusal);
        }
        if running != claimed {
            return AttemptOutcome::Superseded;
        }
        AttemptOutcome::Postponed(Self {
            last_failure: Some(failure),
            validation: Some(Validation {
                next_attempt_at: now.plus(ATTEMPT_INTERVAL).min(ends_at),
                claimed_until: None,
                ..running.clone()
            }),
            ..self.with_status(DomainStatus::NeedToValidate, ChallengeStatus::Pending, now)
        })
    }

    /// Ends the search early; `None` when there is none.
    #[must_use]
    pub fn cancel_validation(&self, now: Timestamp) -> Option<Self> {
        self.validation.as_ref()?;
        Some(Self {
            last_failure: None,
            validation: None,
            ..self.with_status(DomainStatus::NeedToValidate, ChallengeStatus::Pending, now)
        })
    }

    fn not_proven(&self, failure: AttemptFailure) -> Refusal {
        Refusal::precondition(
            "DOMAIN_NOT_PROVEN",
            format!(
                "domain {} was not proven within {} hours: the hub looks for the TXT record {}, but {}; publish the record and validate the domain again",
                self.name,
                VALIDATION_SPAN_MAX.as_seconds() / 3_600,
                self.challenge_record_name(),
                failure.in_words(),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn added() -> UserpoolDomain {
        UserpoolDomain::add("ek01".into(), "corp.example", "proof=".into(), at(0)).unwrap()
    }

    fn started() -> UserpoolDomain {
        match added().start_validation("ops1".into(), at(0)) {
            ValidationStart::Started(domain) => domain,
            other => panic!("{other:?}"),
        }
    }

    fn claimed(domain: &UserpoolDomain, now: Timestamp) -> (UserpoolDomain, Validation) {
        let domain = domain.claim_attempt(now.plus(Span::minutes(1)), now);
        let validation = domain.validation.clone().unwrap();
        (domain, validation)
    }

    fn joined(domain: &UserpoolDomain, now: Timestamp) -> UserpoolDomain {
        match domain.start_validation("ops2".into(), now) {
            ValidationStart::Joined(domain, _) => domain,
            other => panic!("{other:?}"),
        }
    }

    fn postponed(domain: &UserpoolDomain, now: Timestamp) -> UserpoolDomain {
        let (domain, claim) = claimed(domain, now);
        match domain.end_attempt(&claim, Err(AttemptFailure::RecordMissing), now) {
            AttemptOutcome::Postponed(domain) => domain,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(texts: &[&str], expected: Result<(), AttemptFailure>) {
        let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(added().judge_records(&texts), expected);
    }

    #[test]
    fn any_record_with_the_right_text_is_the_proof() {
        check(&[], Err(AttemptFailure::RecordMissing));
        check(&["proof"], Err(AttemptFailure::ValueDiffers));
        check(&["PROOF="], Err(AttemptFailure::ValueDiffers));
        check(&["proof=", "v=spf1"], Ok(()));
        check(&["v=spf1", "proof="], Ok(()));
    }

    #[test]
    fn a_built_in_domain_has_no_text_that_could_match() {
        let built_in = UserpoolDomain::built_in("ek01".into(), added().name, at(0));
        let judged = built_in.judge_records(&[Vec::new()]);
        assert_eq!(judged, Err(AttemptFailure::ValueDiffers));
        let start = built_in.start_validation("ops1".into(), at(1));
        assert_eq!(start, ValidationStart::Proven);
    }

    #[test]
    fn the_search_goes_on_every_ten_minutes_for_72_hours() {
        let mut domain = started();
        assert_eq!(domain.status, DomainStatus::Validating);
        let mut now = at(0);
        let mut attempts = 0;
        let refusal = loop {
            attempts += 1;
            let (claim_domain, claim) = claimed(&domain, now);
            let failure = AttemptFailure::NoAnswer;
            match claim_domain.end_attempt(&claim, Err(failure), now) {
                AttemptOutcome::Postponed(next) => {
                    assert_eq!(next.status, DomainStatus::NeedToValidate);
                    assert!(next.status_code().ends_with("#dns-timeout"));
                    now = next.validation.as_ref().unwrap().next_attempt_at;
                    domain = next;
                }
                AttemptOutcome::GivenUp(next, refusal) => {
                    assert_eq!(next.status, DomainStatus::Invalid);
                    assert_eq!(next.validation, None);
                    break refusal;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(now, at(72 * 3_600));
        assert_eq!(attempts, 72 * 6 + 1);
        let text = refusal.to_string();
        assert!(
            text.contains("_yandexcloud-challenge.corp.example"),
            "{text}"
        );
    }

    #[test]
    fn asking_again_looks_at_once_in_the_same_search() {
        let waiting = postponed(&started(), at(5));
        let ValidationStart::Joined(again, operation) =
            waiting.start_validation("ops2".into(), at(60))
        else {
            panic!("the search goes on")
        };
        assert_eq!(operation, "ops1".into());
        let validation = again.validation.unwrap();
        assert_eq!(validation.started_at, at(0));
        assert_eq!(validation.next_attempt_at, at(60));
        assert_eq!(again.status, DomainStatus::Validating);
    }

    #[test]
    fn a_failure_that_comes_late_changes_nothing_and_a_proof_counts() {
        let (domain, claim) = claimed(&started(), at(1));
        let again = joined(&domain, at(61));
        let late = again.end_attempt(&claim, Err(AttemptFailure::RecordMissing), at(62));
        assert_eq!(late, AttemptOutcome::Superseded);
        let proven = again.end_attempt(&claim, Ok(()), at(62));
        assert_eq!(proven, AttemptOutcome::Proven(again.mark_valid(at(62))));
    }

    #[test]
    fn asking_again_leaves_a_look_up_to_its_end() {
        let (domain, claim) = claimed(&started(), at(1));
        let again = joined(&domain, at(2));
        assert_eq!(again.validation.as_ref(), Some(&claim));
        let ended = again.end_attempt(&claim, Err(AttemptFailure::RecordMissing), at(3));
        assert!(matches!(ended, AttemptOutcome::Postponed(_)), "{ended:?}");
    }

    #[test]
    fn no_search_outlives_its_time_however_often_it_is_asked_for() {
        let end = VALIDATION_SPAN_MAX.as_seconds();
        let (domain, claim) = claimed(&started(), at(end - 120));
        let again = joined(&domain, at(end - 1));
        assert_ne!(again.validation.as_ref(), Some(&claim));
        let ended = again.end_attempt(&claim, Err(AttemptFailure::NoAnswer), at(end));
        assert!(matches!(ended, AttemptOutcome::GivenUp(..)), "{ended:?}");
    }

    #[test]
    fn what_was_cancelled_stays_so() {
        let (domain, claim) = claimed(&started(), at(1));
        let cancelled = domain.cancel_validation(at(2)).unwrap();
        assert_eq!(cancelled.status, DomainStatus::NeedToValidate);
        assert_eq!(cancelled.cancel_validation(at(2)), None);
        let outcome = cancelled.end_attempt(&claim, Ok(()), at(3));
        assert_eq!(outcome, AttemptOutcome::Superseded);
        let ValidationStart::Started(next) = cancelled.start_validation("ops2".into(), at(4))
        else {
            panic!("a new search begins")
        };
        let outcome = next.end_attempt(&claim, Ok(()), at(5));
        assert_eq!(outcome, AttemptOutcome::Superseded);
    }

    #[test]
    fn a_proven_domain_needs_no_search() {
        let (domain, claim) = claimed(&started(), at(1));
        let AttemptOutcome::Proven(proven) = domain.end_attempt(&claim, Ok(()), at(2)) else {
            panic!("it is proven")
        };
        assert!(proven.is_usable());
        assert_eq!(proven.validation, None);
        let start = proven.start_validation("ops2".into(), at(3));
        assert_eq!(start, ValidationStart::Proven);
    }
}
