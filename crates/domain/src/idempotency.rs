//! Repeated calls: the same key means the same call (decision U73).
//!
//! Invariant: within 24 hours a subject, a method and a key name one operation.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{OperationId, SubjectId};
use crate::refusal::Refusal;
use crate::text_size;

/// Keys are remembered that long.
pub const RETENTION: Span = Span::hours(24);
/// Longest key in characters.
pub const KEY_CHARACTERS_MAX: usize = 128;

/// A remembered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Who called.
    pub subject_id: SubjectId,
    /// Full name of the method.
    pub method: String,
    /// The key of the caller.
    pub key: String,
    /// Digest of the request.
    pub request_digest: Vec<u8>,
    /// The operation of the first call.
    pub operation_id: OperationId,
    /// When the first call came.
    pub created_at: Timestamp,
}

/// What to do with a call that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repetition {
    /// Do it and remember it.
    FirstCall,
    /// Answer with this operation in its present state.
    Repeated(OperationId),
}

/// Checks the form of a key.
///
/// # Errors
/// `Invalid` naming `idempotency-key`.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    text_size::check_required("idempotency-key", key, KEY_CHARACTERS_MAX)
}

/// Decides about a call with `request_digest`, given what is remembered under its key.
///
/// # Errors
/// `Invalid` when the key was used for another request.
pub fn judge(
    remembered: Option<&IdempotencyRecord>,
    request_digest: &[u8],
    now: Timestamp,
) -> Result<Repetition, Refusal> {
    match remembered {
        Some(record) if record.created_at.plus(RETENTION) > now => {
            if record.request_digest == request_digest {
                Ok(Repetition::Repeated(record.operation_id.clone()))
            } else {
                Err(Refusal::invalid(
                    "idempotency-key",
                    "was used for another request within 24 hours: use a new key for each logical call",
                ))
            }
        }
        _ => Ok(Repetition::FirstCall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    #[track_caller]
    fn check(age: Span, digest: &[u8], expected: Result<Repetition, ()>) {
        let record = IdempotencyRecord {
            subject_id: "aje1".into(),
            method: "/a/B".into(),
            key: "k".into(),
            request_digest: vec![1, 2, 3],
            operation_id: "ops1".into(),
            created_at: NOW.minus(age),
        };
        assert_eq!(judge(Some(&record), digest, NOW).map_err(drop), expected);
    }

    #[test]
    fn repetitions() {
        check(
            Span::ZERO,
            &[1, 2, 3],
            Ok(Repetition::Repeated("ops1".into())),
        );
        check(
            Span::hours(23),
            &[1, 2, 3],
            Ok(Repetition::Repeated("ops1".into())),
        );
        check(Span::hours(24), &[1, 2, 3], Ok(Repetition::FirstCall));
        check(Span::hours(24), &[9], Ok(Repetition::FirstCall));
        check(Span::ZERO, &[9], Err(()));
        assert_eq!(judge(None, &[9], NOW), Ok(Repetition::FirstCall));
        assert!(check_key("").is_err());
        assert!(check_key(&"x".repeat(129)).is_err());
    }
}
