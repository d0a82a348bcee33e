//! How long a password may be used, and when it may be changed.
//!
//! Invariant: a temporary password ends by its own time, a permanent one by the rule of the pool.
//! The age of a password that came from a directory is the matter of that directory. Deliberately
//! absent: refusing a sign-in, which the sign-in does.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::named::named_enum;
use crate::password::{Password, PasswordKind, StoredForm};
use crate::password_policy::LifetimePolicy;
use crate::refusal::Refusal;
use crate::user::User;

named_enum! {
    /// Why a password must be changed at a sign-in.
    pub enum ChangeReason {
        /// It is to be used once.
        Temporary = "TEMPORARY",
        /// It is older than the pool allows.
        Expired = "EXPIRED",
    }
}

impl Password {
    /// When it was set, as far as known.
    #[must_use]
    pub fn set_at(&self) -> Timestamp {
        self.created_at.unwrap_or(self.stored_at)
    }

    /// The end of its validity under `policy`, for the user it belongs to.
    #[must_use]
    pub fn ends_at(&self, user: &User, policy: &LifetimePolicy) -> Option<Timestamp> {
        match self.kind {
            PasswordKind::Temporary => self.expires_at,
            PasswordKind::Permanent => {
                let is_of_pool = user.external_id.is_none() && !self.came_as_nt_hash();
                let ages = is_of_pool && policy.max_days_count > 0;
                ages.then(|| self.set_at().plus(Span::days(policy.max_days_count)))
            }
        }
    }

    /// Whether it came from Active Directory.
    fn came_as_nt_hash(&self) -> bool {
        matches!(
            self.form,
            StoredForm::SealedNtHash(_) | StoredForm::Argon2NtHash(_)
        )
    }

    /// Whether it is a temporary one whose time is over: it opens nothing any more (decision U61).
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.kind == PasswordKind::Temporary && self.expires_at.is_some_and(|end| end <= now)
    }

    /// Why it must be changed before anything else can be done with it, if it must.
    #[must_use]
    pub fn must_change(
        &self,
        user: &User,
        policy: &LifetimePolicy,
        now: Timestamp,
    ) -> Option<ChangeReason> {
        if self.kind == PasswordKind::Temporary {
            return Some(ChangeReason::Temporary);
        }
        let ends_at = self.ends_at(user, policy);
        ends_at
            .is_some_and(|end| end <= now)
            .then_some(ChangeReason::Expired)
    }

    /// Requires that its owner may replace it by now; a temporary one at any time.
    ///
    /// # Errors
    /// `Precondition` saying when it may be.
    pub fn require_old_enough(
        &self,
        policy: &LifetimePolicy,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // The date may be that of a directory whose clock is ahead of ours.
        let has_none = policy.min_days_count == 0;
        let from = self.set_at().plus(Span::days(policy.min_days_count));
        if self.kind == PasswordKind::Temporary || has_none || from <= now {
            return Ok(());
        }
        Err(Refusal::precondition(
            "PASSWORD_TOO_YOUNG",
            format!(
                "the password may be changed from {from} on: the pool asks for an age of {} days",
                policy.min_days_count
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::NewUser;
    use crate::user::sample::ann;
    use rollcall_kit::secret::SecretString;

    const DAY: i64 = 24 * 3_600;
    const SET: Timestamp = Timestamp::from_seconds(1_000 * DAY);

    fn at(days: i64) -> Timestamp {
        SET.plus(Span::days(days))
    }

    fn user(external_id: &str) -> User {
        let new = NewUser {
            external_id: external_id.into(),
            ..NewUser::default()
        };
        ann(new, SET)
    }

    fn password(kind: PasswordKind) -> Password {
        let argon2 = SecretString::new("$argon2id$".into());
        Password::set_here("pw1".into(), "aje1".into(), argon2, kind, SET)
    }

    fn policy(min: i64, max: i64) -> LifetimePolicy {
        LifetimePolicy {
            min_days_count: min,
            max_days_count: max,
        }
    }

    #[track_caller]
    fn check(
        kind: PasswordKind,
        external_id: &str,
        max: i64,
        now: i64,
        ends_at: Option<i64>,
        reason: Option<ChangeReason>,
    ) {
        let (password, user, policy) = (password(kind), user(external_id), policy(0, max));
        assert_eq!(password.ends_at(&user, &policy), ends_at.map(at));
        assert_eq!(password.must_change(&user, &policy, at(now)), reason);
    }

    #[test]
    fn the_end_of_a_password() {
        use ChangeReason::{Expired, Temporary as OneTime};
        use PasswordKind::{Permanent, Temporary};
        check(Permanent, "", 0, 9_999, None, None);
        check(Permanent, "", 30, 29, Some(30), None);
        check(Permanent, "", 30, 30, Some(30), Some(Expired));
        check(Permanent, "guid", 30, 9_999, None, None);
        check(Temporary, "", 30, 0, Some(7), Some(OneTime));
        check(Temporary, "guid", 0, 8, Some(7), Some(OneTime));
        assert!(!password(Temporary).has_ended(at(6)));
        assert!(password(Temporary).has_ended(at(7)));
        assert!(!password(Permanent).has_ended(at(9_999)));
        let imported = Password {
            expires_at: None,
            created_at: None,
            stored_at: at(3),
            ..password(Temporary)
        };
        assert!(!imported.has_ended(at(9_999)));
        assert_eq!(imported.set_at(), at(3));
        let of_directory = Password {
            form: StoredForm::Argon2NtHash(SecretString::new("$argon2id$".into())),
            ..password(Permanent)
        };
        assert_eq!(of_directory.ends_at(&user(""), &policy(0, 30)), None);
    }

    #[test]
    fn a_young_password_stays() {
        let permanent = password(PasswordKind::Permanent);
        assert!(permanent.require_old_enough(&policy(0, 0), SET).is_ok());
        // One of a directory whose clock is ahead of ours.
        let early = SET.minus(Span::seconds(90));
        assert!(permanent.require_old_enough(&policy(0, 0), early).is_ok());
        assert!(permanent.require_old_enough(&policy(1, 0), early).is_err());
        assert!(permanent.require_old_enough(&policy(2, 0), at(2)).is_ok());
        let refused = permanent.require_old_enough(&policy(2, 0), at(1));
        let Err(Refusal::Precondition { reason, message }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(reason, "PASSWORD_TOO_YOUNG");
        assert!(message.contains(&at(2).to_string()), "{message}");
        let temporary = password(PasswordKind::Temporary);
        assert!(temporary.require_old_enough(&policy(2, 0), SET).is_ok());
    }
}
