//! Which import of a hash wins.
//!
//! Invariant: an older import never replaces a newer password (decision U126).
//! Deliberately absent: whether two hashes are of one password, which takes keys to tell.

use rollcall_kit::timestamp::{Span, Timestamp};

use super::{Password, PasswordKind, StoredForm};
use crate::id::{PasswordId, SessionId, UserId};
use crate::password_writeback::DIRECTORY_CLOCK_SKEW_MAX;

/// No hash is under way from a directory for longer.
pub const UNDER_WAY_MAX: Span = Span::minutes(10);

/// Whether an imported password equals the stored one, as far as the hub can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// The same password.
    Same,
    /// The password that the stored one took the place of.
    Earlier,
    /// Another password, or it cannot be told.
    Different,
}

/// What an import does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The stored password is newer: success without effect (decision U126).
    Older,
    /// The same password came again: only its kind may change (decision U58).
    Kept(Password),
    /// The import takes the place of the stored password, if there was one.
    Replaced(Password),
}

/// An import, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Identifier of the new value.
    pub id: PasswordId,
    /// The user.
    pub user_id: UserId,
    /// What is to be stored.
    pub form: StoredForm,
    /// When the directory got the password; `None` = it did not say.
    pub created_at: Option<Timestamp>,
    /// Whether it must be changed at the next sign-in.
    pub kind: PasswordKind,
    /// The session in which the import came.
    pub session_id: Option<SessionId>,
}

impl Password {
    /// This password when the import `new` brings it again. What was written back has a date of the
    /// hub, which gives way to the directory's own, so that no older hash of it is taken for newer;
    /// what has no date gets that one.
    fn confirmed(&self, new: &NewImport) -> Self {
        let same = self.of_kind(new.kind).unwrap_or_else(|| self.clone());
        match new.created_at {
            Some(created_at) if self.awaits_directory() || self.created_at.is_none() => Self {
                created_at: Some(created_at),
                session_id: new.session_id.clone(),
                ..same
            },
            _ => same,
        }
    }
}

/// Decides about an import, given the stored password.
///
/// An import without a date is always taken, and any dated import replaces it: so a placeholder
/// for a user without a password (decision U60) gives way to the first real hash. A date that is
/// yet to come, by more than clocks differ, counts as the present: it would keep every other
/// password out until then.
#[must_use]
pub fn import(
    stored: Option<&Password>,
    new: NewImport,
    sameness: Sameness,
    now: Timestamp,
) -> ImportOutcome {
    let latest = now.plus(DIRECTORY_CLOCK_SKEW_MAX);
    let new = NewImport {
        created_at: new.created_at.map(|at| at.min(latest)),
        ..new
    };
    if let Some(stored) = stored {
        let older = matches!(
            (new.created_at, stored.created_at),
            (Some(new), Some(stored)) if new < stored
        );
        // The hash of the password before was under way when the new one was written back: dates of two
        // clocks do not tell, but what it is does.
        let is_overtaken = sameness == Sameness::Earlier
            && stored.awaits_directory()
            && now < stored.stored_at.plus(UNDER_WAY_MAX);
        if older || is_overtaken {
            return ImportOutcome::Older;
        }
        if sameness == Sameness::Same {
            return ImportOutcome::Kept(stored.confirmed(&new));
        }
    }
    ImportOutcome::Replaced(Password {
        id: new.id,
        user_id: new.user_id,
        form: new.form,
        kind: new.kind,
        created_at: new.created_at,
        stored_at: now,
        expires_at: None,
        session_id: new.session_id,
    })
}

#[cfg(test)]
mod tests {
    use rollcall_kit::secret::{SecretBytes, SecretString};

    use super::*;
    use crate::password::TEMPORARY_LIFETIME;

    const NOW: Timestamp = Timestamp::from_seconds(10_000);

    fn import_at(created_at: Option<i64>, kind: PasswordKind) -> NewImport {
        NewImport {
            id: "aje9".into(),
            user_id: "aje1".into(),
            form: StoredForm::SealedNtHash(SecretBytes::new(vec![1])),
            created_at: created_at.map(Timestamp::from_seconds),
            kind,
            session_id: Some("sys1".into()),
        }
    }

    fn stored_at(created_at: Option<i64>) -> Password {
        let new = NewImport {
            id: "aje5".into(),
            ..import_at(created_at, PasswordKind::Permanent)
        };
        match import(None, new, Sameness::Different, NOW) {
            ImportOutcome::Replaced(password) => password,
            other => panic!("a first import is stored, got {other:?}"),
        }
    }

    #[track_caller]
    fn check(stored: Option<i64>, new: Option<i64>, sameness: Sameness, expected: &str) {
        let outcome = import(
            Some(&stored_at(stored)),
            import_at(new, PasswordKind::Temporary),
            sameness,
            NOW,
        );
        let found = match &outcome {
            ImportOutcome::Older => "older",
            ImportOutcome::Kept(password) => {
                assert_eq!(password.id.as_str(), "aje5");
                assert_eq!(password.kind, PasswordKind::Temporary);
                assert_eq!(password.created_at, stored.map(Timestamp::from_seconds));
                "kept"
            }
            ImportOutcome::Replaced(password) => {
                assert_eq!(password.id.as_str(), "aje9");
                assert_eq!(password.created_at, new.map(Timestamp::from_seconds));
                "replaced"
            }
        };
        assert_eq!(found, expected, "{stored:?} {new:?} {sameness:?}");
    }

    #[test]
    fn the_newest_password_wins() {
        use Sameness::{Different, Same};
        check(Some(5), Some(4), Different, "older");
        check(Some(5), Some(4), Same, "older");
        check(Some(5), Some(5), Different, "replaced");
        check(Some(5), Some(6), Different, "replaced");
        check(Some(5), Some(6), Same, "kept");
        check(None, Some(1), Different, "replaced");
        check(Some(5), None, Different, "replaced");
        check(None, None, Same, "kept");
    }

    #[test]
    fn a_password_that_was_handed_over_gives_way_and_gets_a_date() {
        let own = stored_at(Some(5)).handed_over();
        let new = import_at(Some(4), PasswordKind::Permanent);
        let outcome = import(Some(&own), new.clone(), Sameness::Different, NOW);
        assert!(matches!(outcome, ImportOutcome::Replaced(_)), "{outcome:?}");
        let outcome = import(Some(&own), new, Sameness::Same, NOW);
        let dated = Password {
            created_at: Some(Timestamp::from_seconds(4)),
            ..own
        };
        assert_eq!(outcome, ImportOutcome::Kept(dated));
    }

    /// The clock of a directory may have been wrong, or somebody may want a hash to stay for ever.
    #[test]
    fn a_date_that_is_yet_to_come_does_not_last() {
        let ahead = import_at(Some(1_000_000), PasswordKind::Permanent);
        let outcome = import(None, ahead, Sameness::Different, NOW);
        let ImportOutcome::Replaced(stored) = outcome else {
            panic!("{outcome:?}")
        };
        let latest = NOW.plus(DIRECTORY_CLOCK_SKEW_MAX);
        assert_eq!(stored.created_at, Some(latest));
        let now = NOW.plus(Span::minutes(6));
        let new = import_at(Some(now.as_seconds()), PasswordKind::Permanent);
        let outcome = import(Some(&stored), new, Sameness::Different, now);
        assert!(matches!(outcome, ImportOutcome::Replaced(_)), "{outcome:?}");
        // The same hash with the same date comes again.
        let ahead = import_at(Some(1_000_000), PasswordKind::Permanent);
        let outcome = import(Some(&stored), ahead, Sameness::Same, now);
        assert_eq!(outcome, ImportOutcome::Kept(stored));
    }

    #[test]
    fn the_end_of_a_temporary_password_goes_with_its_kind() {
        let ending = Password {
            kind: PasswordKind::Temporary,
            expires_at: Some(NOW.plus(TEMPORARY_LIFETIME)),
            ..stored_at(Some(5))
        };
        let again = |stored: &Password, kind| {
            let new = import_at(Some(6), kind);
            match import(Some(stored), new, Sameness::Same, NOW) {
                ImportOutcome::Kept(password) => password,
                other => panic!("{other:?}"),
            }
        };
        let still = again(&ending, PasswordKind::Temporary);
        assert_eq!(still.expires_at, ending.expires_at);
        let permanent = again(&ending, PasswordKind::Permanent);
        // The directory asks for another one, much later.
        let asked = again(&permanent, PasswordKind::Temporary);
        assert_eq!((permanent.expires_at, asked.expires_at), (None, None));
    }

    #[test]
    fn what_was_written_back_gets_the_date_of_the_directory() {
        let argon2 = SecretString::new("$argon2id$".into());
        let written = Password {
            form: StoredForm::Argon2NtHash(argon2),
            session_id: None,
            ..stored_at(Some(5))
        };
        let again = |at| import_at(Some(at), PasswordKind::Permanent);
        let confirmed = Password {
            created_at: Some(Timestamp::from_seconds(7)),
            session_id: Some("sys1".into()),
            ..written.clone()
        };
        let outcome = import(Some(&written), again(7), Sameness::Same, NOW);
        assert_eq!(outcome, ImportOutcome::Kept(confirmed.clone()));
        let older = import(Some(&confirmed), again(6), Sameness::Different, NOW);
        assert_eq!(older, ImportOutcome::Older);
        // The hash of the password before may come later still, with a date that looks newer.
        let outcome = import(Some(&written), again(7), Sameness::Earlier, NOW);
        assert_eq!(outcome, ImportOutcome::Older);
        let later = NOW.plus(UNDER_WAY_MAX);
        let outcome = import(Some(&written), again(7), Sameness::Earlier, later);
        assert!(matches!(outcome, ImportOutcome::Replaced(_)));
        let outcome = import(Some(&confirmed), again(8), Sameness::Earlier, NOW);
        assert!(matches!(outcome, ImportOutcome::Replaced(_)));
        // Once is enough: another time is no change of its age (decision U58).
        let outcome = import(Some(&confirmed), again(9), Sameness::Same, NOW);
        assert_eq!(outcome, ImportOutcome::Kept(confirmed));
    }

    #[test]
    fn a_superseded_hash_is_never_strengthened() {
        let password = stored_at(Some(5));
        let argon2 = SecretString::new("$argon2id$".into());
        assert_eq!(password.strengthened(&"aje4".into(), argon2.clone()), None);
        let strong = password
            .strengthened(&"aje5".into(), argon2.clone())
            .unwrap();
        assert!(!strong.is_sealed());
        assert_eq!(strong.strengthened(&"aje5".into(), argon2), None);
    }
}
