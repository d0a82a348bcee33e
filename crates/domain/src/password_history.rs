//! Earlier passwords of a user, which must not come back.
//!
//! Invariant: at most [`HISTORY_MAX`] of a user are kept, the newest ones, and none as an NT hash:
//! one that was still sealed when it was replaced is forgotten. Deliberately absent: comparing them
//! with a new password, which needs time and keys.

use rollcall_kit::timestamp::Timestamp;

use crate::id::{PasswordId, UserId};
use crate::password::{Password, StoredForm};
use crate::refusal::Refusal;

/// Earlier passwords of a user that are kept, besides the present one.
pub const HISTORY_MAX: u32 = 5;

/// A password that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierPassword {
    /// The identifier it had.
    pub id: PasswordId,
    /// The user.
    pub user_id: UserId,
    /// What is stored of it; never sealed.
    pub form: StoredForm,
    /// When it was replaced.
    pub replaced_at: Timestamp,
}

/// What is kept of a password that is replaced at `now`; nothing of a sealed one, which could be
/// opened for as long as the key lives, and which a first import replaces by the hundred thousand.
#[must_use]
pub fn retire(password: &Password, now: Timestamp) -> Option<EarlierPassword> {
    (!password.is_sealed()).then(|| EarlierPassword {
        id: password.id.clone(),
        user_id: password.user_id.clone(),
        form: password.form.clone(),
        replaced_at: now,
    })
}

/// The refusal of a password in `field` that the user has or had.
#[must_use]
pub fn refuse_repetition(field: &str) -> Refusal {
    Refusal::invalid(
        field,
        format!("must differ from the present password and from the {HISTORY_MAX} before it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::PasswordKind;
    use rollcall_kit::secret::{SecretBytes, SecretString};

    const NOW: Timestamp = Timestamp::from_seconds(100);

    #[test]
    fn no_nt_hash_is_kept() {
        let argon2 = SecretString::new("$argon2id$".into());
        let kind = PasswordKind::Permanent;
        let password =
            Password::set_here("pw1".into(), "aje1".into(), argon2, kind, Timestamp::EPOCH);
        let kept = retire(&password, NOW).unwrap();
        assert_eq!(
            (kept.id, kept.form),
            (password.id.clone(), password.form.clone())
        );
        assert_eq!(kept.replaced_at, NOW);
        let sealed = Password {
            form: StoredForm::SealedNtHash(SecretBytes::new(vec![1])),
            ..password
        };
        assert_eq!(retire(&sealed, NOW), None);
    }
}
