//! Tokens that callers show.
//!
//! Invariant: the hub keeps the digest of a token, never the token.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::access::Subject;

/// A token is valid that long.
pub const LIFETIME: Span = Span::hours(12);
/// Random bytes in a token.
pub const TOKEN_BYTES: usize = 32;

/// The record of an issued token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamToken {
    /// SHA-256 of the token text.
    pub digest: Vec<u8>,
    /// Whom it stands for.
    pub subject: Subject,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl IamToken {
    /// The record of a token issued at `now`.
    #[must_use]
    pub fn issue(digest: Vec<u8>, subject: Subject, now: Timestamp) -> Self {
        Self {
            digest,
            subject,
            created_at: now,
            expires_at: now.plus(LIFETIME),
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
        let token = IamToken::issue(vec![0; 32], Subject::service_account("aje1"), now);
        assert!(token.is_valid(now.plus(Span::hours(12)).minus(Span::micros(1))));
        assert!(!token.is_valid(now.plus(Span::hours(12))));
    }
}
