//! Tokens that callers show.
//!
//! Invariant: the hub keeps the digest of a token and its public id, never the token. Deliberately
//! absent: the text of a token, which the hub makes.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::access::Subject;
use crate::id::{SignInSessionId, TokenId};

/// A token is valid that long.
pub const LIFETIME: Span = Span::hours(12);

/// The record of an issued token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamToken {
    /// Public id, a part of the token text; empty in records of the first schema.
    pub id: TokenId,
    /// SHA-256 of the token text.
    pub digest: Vec<u8>,
    /// Whom it stands for.
    pub subject: Subject,
    /// Who asked for it in the name of the subject; `None` when the subject did.
    pub impersonator: Option<Subject>,
    /// The session it belongs to and ends with; `None` for tokens that no sign-in led to.
    pub sign_in_session_id: Option<SignInSessionId>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl IamToken {
    /// The record of a token issued at `now`.
    #[must_use]
    pub fn issue(id: TokenId, digest: Vec<u8>, subject: Subject, now: Timestamp) -> Self {
        Self {
            id,
            digest,
            subject,
            impersonator: None,
            sign_in_session_id: None,
            created_at: now,
            expires_at: now.plus(LIFETIME),
        }
    }

    /// The same token, asked for by `impersonator`.
    #[must_use]
    pub fn impersonated_by(self, impersonator: Subject) -> Self {
        Self {
            impersonator: Some(impersonator),
            ..self
        }
    }

    /// The same token as one of a session, with an end of its own.
    #[must_use]
    pub fn of_session(self, id: SignInSessionId, expires_at: Timestamp) -> Self {
        Self {
            sign_in_session_id: Some(id),
            expires_at,
            ..self
        }
    }

    /// Whether it is valid at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_after_twelve_hours() {
        let now = Timestamp::from_seconds(5);
        let subject = Subject::service_account("aje1");
        let token = IamToken::issue("aje2".into(), vec![0; 32], subject, now);
        assert!(token.is_valid(now.plus(Span::hours(12)).minus(Span::micros(1))));
        assert!(!token.is_valid(now.plus(Span::hours(12))));
    }
}
