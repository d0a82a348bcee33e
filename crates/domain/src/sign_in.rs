//! Whether somebody signs in.
//!
//! Invariant: every failure looks the same from outside; which one it was is for the audit trail
//! only. Nothing but a right password tells how an account is, not even there. Deliberately absent:
//! verifying passwords, which costs time and needs keys.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::named::named_enum;
use crate::password::Password;
use crate::password_age::ChangeReason;
use crate::password_policy::LifetimePolicy;
use crate::user::{User, UserStatus};

/// How long a token to change a password is good.
pub const CHANGE_TOKEN_LIFETIME: Span = Span::minutes(10);

named_enum! {
    /// What verifying a password brought.
    pub enum Verdict {
        /// It is the right one.
        Right = "RIGHT",
        /// It is not.
        Wrong = "WRONG",
        /// It cannot be told, because what is stored is damaged.
        Unusable = "UNUSABLE",
    }
}

named_enum! {
    /// Why somebody does not sign in, for the audit trail.
    pub enum SignInFailure {
        /// No user has this login.
        UnknownUser = "UNKNOWN_USER",
        /// Too many sign-ins failed before; the password was not looked at.
        Blocked = "BLOCKED",
        /// The user has no password.
        NoPassword = "NO_PASSWORD",
        /// The password is wrong.
        WrongPassword = "WRONG_PASSWORD",
        /// The stored password does not open or cannot be read.
        UnusablePassword = "UNUSABLE_PASSWORD",
        /// The user is suspended.
        Suspended = "SUSPENDED",
        /// The account has ended.
        AccountEnded = "ACCOUNT_ENDED",
        /// A temporary password was not changed in its time.
        PasswordEnded = "PASSWORD_ENDED",
    }
}

/// How a sign-in that did not fail goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// With a session.
    Granted,
    /// With a change of the password.
    ChangeRequired(ChangeReason),
}

/// A sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// The user with that login.
    pub user: Option<&'a User>,
    /// The stored password.
    pub password: Option<&'a Password>,
    /// What verifying it brought.
    pub verdict: Verdict,
    /// Whether the guard of the user is closed.
    pub is_blocked: bool,
    /// How old passwords of the pool may get.
    pub lifetime: LifetimePolicy,
}

impl SignInFailure {
    /// Whether somebody may have guessed: then the guard counts it.
    #[must_use]
    pub fn is_guess(self) -> bool {
        matches!(self, Self::NoPassword | Self::WrongPassword)
    }
}

impl SignIn<'_> {
    /// Decides at `now`.
    ///
    /// # Errors
    /// The failure, of which the caller learns nothing.
    pub fn judge(&self, now: Timestamp) -> Result<Admission, SignInFailure> {
        let user = self.user.ok_or(SignInFailure::UnknownUser)?;
        if self.is_blocked {
            return Err(SignInFailure::Blocked);
        }
        let password = self.password.ok_or(SignInFailure::NoPassword)?;
        match self.verdict {
            Verdict::Right => {}
            Verdict::Wrong => return Err(SignInFailure::WrongPassword),
            Verdict::Unusable => return Err(SignInFailure::UnusablePassword),
        }
        require_active(user, now)?;
        if password.has_ended(now) {
            return Err(SignInFailure::PasswordEnded);
        }
        let reason = password.must_change(user, &self.lifetime, now);
        Ok(reason.map_or(Admission::Granted, Admission::ChangeRequired))
    }
}

/// Requires that a user may sign in and go on with a session at `now`.
///
/// # Errors
/// Why not.
pub fn require_active(user: &User, now: Timestamp) -> Result<(), SignInFailure> {
    if user.expires_at.is_some_and(|end| end <= now) {
        return Err(SignInFailure::AccountEnded);
    }
    match user.status(now) {
        UserStatus::Active => Ok(()),
        UserStatus::Suspended | UserStatus::Deleting | UserStatus::Creating => {
            Err(SignInFailure::Suspended)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{PasswordKind, StoredForm};
    use crate::user::sample::ann;
    use crate::user::{InitialState, NewUser};
    use rollcall_kit::secret::SecretString;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn user(state: InitialState, expires_at: Option<Timestamp>) -> User {
        let new = NewUser {
            state,
            expires_at,
            ..NewUser::default()
        };
        ann(new, NOW)
    }

    fn password(form: StoredForm, kind: PasswordKind, days: i64) -> Password {
        let set_at = NOW.minus(Span::days(days));
        let text = SecretString::new("$argon2id$".into());
        let password = Password::set_here("aje5".into(), "aje1".into(), text, kind, set_at);
        Password { form, ..password }
    }

    fn own() -> StoredForm {
        StoredForm::Argon2Password(SecretString::new("$argon2id$".into()))
    }

    fn of_directory() -> StoredForm {
        StoredForm::Argon2NtHash(SecretString::new("$argon2id$".into()))
    }

    #[track_caller]
    fn check(change: impl Fn(&mut SignIn<'_>), expected: Result<Admission, SignInFailure>) {
        let user = user(InitialState::Active, None);
        let password = password(own(), PasswordKind::Permanent, 1);
        let mut sign_in = SignIn {
            user: Some(&user),
            password: Some(&password),
            verdict: Verdict::Right,
            is_blocked: false,
            lifetime: LifetimePolicy::default(),
        };
        change(&mut sign_in);
        assert_eq!(sign_in.judge(NOW), expected);
    }

    #[track_caller]
    fn check_password(password: &Password, expected: Result<Admission, SignInFailure>) {
        let user = user(InitialState::Active, None);
        let sign_in = SignIn {
            user: Some(&user),
            password: Some(password),
            verdict: Verdict::Right,
            is_blocked: false,
            lifetime: LifetimePolicy {
                min_days_count: 0,
                max_days_count: 90,
            },
        };
        assert_eq!(sign_in.judge(NOW), expected, "{password:?}");
    }

    #[test]
    fn who_signs_in() {
        use SignInFailure as F;
        check(|_| {}, Ok(Admission::Granted));
        check(|it| it.user = None, Err(F::UnknownUser));
        check(|it| it.is_blocked = true, Err(F::Blocked));
        check(|it| it.password = None, Err(F::NoPassword));
        check(|it| it.verdict = Verdict::Wrong, Err(F::WrongPassword));
        check(
            |it| it.verdict = Verdict::Unusable,
            Err(F::UnusablePassword),
        );
    }

    #[test]
    fn only_a_right_password_tells_how_the_account_is() {
        use SignInFailure as F;
        let suspended = user(InitialState::Suspended, None);
        let ended = user(InitialState::Active, Some(NOW));
        let password = password(own(), PasswordKind::Permanent, 1);
        for (user, verdict, expected) in [
            (&suspended, Verdict::Wrong, F::WrongPassword),
            (&suspended, Verdict::Right, F::Suspended),
            (&ended, Verdict::Wrong, F::WrongPassword),
            (&ended, Verdict::Right, F::AccountEnded),
        ] {
            let sign_in = SignIn {
                user: Some(user),
                password: Some(&password),
                verdict,
                is_blocked: false,
                lifetime: LifetimePolicy::default(),
            };
            assert_eq!(sign_in.judge(NOW), Err(expected));
        }
    }

    #[test]
    fn what_has_to_be_changed() {
        use PasswordKind::{Permanent, Temporary};
        let granted = Ok(Admission::Granted);
        let temporary = Ok(Admission::ChangeRequired(ChangeReason::Temporary));
        let expired = Ok(Admission::ChangeRequired(ChangeReason::Expired));
        check_password(&password(own(), Permanent, 89), granted);
        check_password(&password(own(), Permanent, 90), expired);
        check_password(&password(own(), Temporary, 6), temporary);
        let ended = Err(SignInFailure::PasswordEnded);
        check_password(&password(own(), Temporary, 7), ended);
        let undated = Password {
            created_at: None,
            ..password(own(), Permanent, 91)
        };
        check_password(&undated, expired);
        let imported = Password {
            expires_at: None,
            ..password(of_directory(), Temporary, 900)
        };
        check_password(&imported, temporary);
    }

    #[test]
    fn the_age_of_a_password_of_the_directory_does_not_count() {
        let here = password(own(), PasswordKind::Permanent, 900);
        let there = password(of_directory(), PasswordKind::Permanent, 900);
        let of_the_hub = user(InitialState::Active, None);
        let of_the_directory = User {
            external_id: Some("guid".into()),
            ..of_the_hub.clone()
        };
        let expired = Admission::ChangeRequired(ChangeReason::Expired);
        for (user, old, expected) in [
            (&of_the_hub, &here, expired),
            (&of_the_hub, &there, Admission::Granted),
            (&of_the_directory, &there, Admission::Granted),
        ] {
            let sign_in = SignIn {
                user: Some(user),
                password: Some(old),
                verdict: Verdict::Right,
                is_blocked: false,
                lifetime: LifetimePolicy::default(),
            };
            assert_eq!(sign_in.judge(NOW), Ok(expected));
        }
    }
}
