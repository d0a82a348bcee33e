//! Sessions that begin with a sign-in: a chain of tokens that a refresh token renews.
//!
//! Invariant: a refresh token is good once. A session never lives longer than its end, however
//! often it is renewed, nor longer than its account. The hub keeps digests, never tokens.
//! Deliberately absent: synchronization sessions, which are `sync_session`.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{SignInSessionId, UserId};
use crate::user::User;

/// Most sessions of one user; another one ends the oldest.
pub const SESSIONS_PER_USER_MAX: u32 = 100;

/// How long tokens and sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetimes {
    /// A token for calls.
    pub token: Span,
    /// A session that nobody renews.
    pub idle: Span,
    /// A session, whatever happens.
    pub longest: Span,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInSession {
    /// Identifier.
    pub id: SignInSessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When its tokens were last made.
    pub renewed_at: Timestamp,
    /// When it ends unless it is renewed before.
    pub expires_at: Timestamp,
    /// When it ends in any case.
    pub ends_at: Timestamp,
    /// SHA-256 of the part that all refresh tokens of the session have in common: whoever knows it
    /// had one of them.
    pub family_digest: Vec<u8>,
    /// SHA-256 of the newest refresh token.
    pub refresh_digest: Vec<u8>,
    /// Address of the client at the sign-in; empty when it is not known.
    pub remote_address: String,
    /// What the client said it is at the sign-in.
    pub user_agent: String,
}

/// Where a sign-in came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Address of the client; empty when it is not known.
    pub remote_address: String,
    /// What the client says it is.
    pub user_agent: String,
}

/// Digests of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshDigests {
    /// Of the part that all of the session have in common.
    pub family: Vec<u8>,
    /// Of the whole.
    pub whole: Vec<u8>,
}

/// What a shown refresh token is to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshing {
    /// Its newest one.
    Newest,
    /// One that was used before: somebody else may have the newest.
    Reused,
    /// None of it.
    Foreign,
}

impl SignInSession {
    /// A session of `user` that begins at `now`.
    #[must_use]
    pub fn begin(
        id: SignInSessionId,
        user: &User,
        digests: RefreshDigests,
        origin: Origin,
        lifetimes: SessionLifetimes,
        now: Timestamp,
    ) -> Self {
        let longest = now.plus(lifetimes.longest);
        let ends_at = user.expires_at.map_or(longest, |end| end.min(longest));
        Self {
            id,
            user_id: user.id.clone(),
            created_at: now,
            renewed_at: now,
            expires_at: now.plus(lifetimes.idle).min(ends_at),
            ends_at,
            family_digest: digests.family,
            refresh_digest: digests.whole,
            remote_address: origin.remote_address,
            user_agent: origin.user_agent,
        }
    }

    /// Whether it lives at `now`.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// What a shown refresh token is to this session.
    #[must_use]
    pub fn recognize(&self, shown: &RefreshDigests) -> Refreshing {
        if shown.family != self.family_digest {
            Refreshing::Foreign
        } else if shown.whole == self.refresh_digest {
            Refreshing::Newest
        } else {
            Refreshing::Reused
        }
    }

    /// The session, renewed at `now` with another refresh token of its family.
    #[must_use]
    pub fn renew(&self, refresh_digest: Vec<u8>, idle: Span, now: Timestamp) -> Self {
        Self {
            renewed_at: now,
            expires_at: now.plus(idle).min(self.ends_at),
            refresh_digest,
            ..self.clone()
        }
    }

    /// When a token for calls that is made at `now` ends.
    #[must_use]
    pub fn token_end(&self, lifetime: Span, now: Timestamp) -> Timestamp {
        now.plus(lifetime).min(self.ends_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::NewUser;
    use crate::user::sample::ann;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const LIFETIMES: SessionLifetimes = SessionLifetimes {
        token: Span::minutes(30),
        idle: Span::hours(12),
        longest: Span::days(30),
    };

    fn session(account_ends_at: Option<Timestamp>) -> SignInSession {
        let new = NewUser {
            expires_at: account_ends_at,
            ..NewUser::default()
        };
        let user = ann(new, NOW);
        let digests = digests(1, 1);
        SignInSession::begin(
            "sis1".into(),
            &user,
            digests,
            Origin::default(),
            LIFETIMES,
            NOW,
        )
    }

    fn digests(family: u8, whole: u8) -> RefreshDigests {
        RefreshDigests {
            family: vec![family],
            whole: vec![whole],
        }
    }

    #[test]
    fn a_session_lives_while_it_is_renewed_but_not_for_ever() {
        let mut session = session(None);
        assert!(session.is_alive(NOW.plus(Span::hours(11))));
        assert!(!session.is_alive(NOW.plus(Span::hours(12))));
        for hour in (11..).step_by(11).take_while(|hour| *hour < 30 * 24) {
            let now = NOW.plus(Span::hours(hour));
            assert!(session.is_alive(now), "{hour}");
            session = session.renew(vec![2], LIFETIMES.idle, now);
        }
        assert_eq!(session.expires_at, NOW.plus(Span::days(30)));
        assert!(!session.is_alive(NOW.plus(Span::days(30))));
    }

    #[test]
    fn neither_session_nor_token_outlives_the_account() {
        let end = NOW.plus(Span::minutes(10));
        let session = session(Some(end));
        assert_eq!((session.expires_at, session.ends_at), (end, end));
        assert_eq!(session.token_end(LIFETIMES.token, NOW), end);
        let renewed = session.renew(vec![2], LIFETIMES.idle, NOW.plus(Span::minutes(5)));
        assert_eq!(renewed.expires_at, end);
    }

    #[test]
    fn a_used_token_is_told_from_an_invented_one() {
        let session = session(None);
        assert_eq!(session.recognize(&digests(1, 1)), Refreshing::Newest);
        let renewed = session.renew(vec![2], LIFETIMES.idle, NOW);
        assert_eq!(renewed.recognize(&digests(1, 2)), Refreshing::Newest);
        assert_eq!(renewed.recognize(&digests(1, 1)), Refreshing::Reused);
        assert_eq!(renewed.recognize(&digests(9, 2)), Refreshing::Foreign);
    }
}
