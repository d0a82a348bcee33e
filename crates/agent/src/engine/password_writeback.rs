//! What is still to be done about a password change that may have been begun before: by this
//! agent, which was killed, or whose directory did not answer.
//!
//! Invariant: a change by the user is never written a second time unless it is certain that it was
//! not written before, for then its old password would be wrong, and the directory counts that.

use serde::{Deserialize, Serialize};

/// From 1601 to 1970 in units of 100 ns (MS-DTYP 2.3.3).
const EPOCH_TICKS: i64 = 116_444_736_000_000_000;
const TICKS_PER_MICRO: i64 = 10;
/// A pwdLastSet of 0 means that the password has to be changed.
const MUST_CHANGE: i64 = 0;
/// No operation lives longer than five minutes (decision U89), and the directory's clock may be as much
/// behind ours: what Kerberos bears.
const RECENT_MICROS: i64 = 10 * 60 * 1_000_000;

/// What of an account moves when its password is set, or a wrong one tried. `None` = not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traces {
    /// pwdLastSet.
    pub last_set: Option<i64>,
    /// badPasswordTime of the controller that was asked.
    pub bad_at: Option<i64>,
}

/// Who sets the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setter {
    /// The user, who gave the present one.
    User,
    /// An administrator, or the user after an administrator's reset.
    Administrator {
        /// It has to be changed at the next sign-in.
        must_change: bool,
    },
}

/// What to do with a change that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was not written, or may be written again: write it.
    Write,
    /// It may have been written: find out whether the new password is the present one.
    Verify,
    /// The old password may have been refused. It is not tried again.
    LeaveAlone,
}

/// What to do when nothing but the beginning of a write is known: the account was `before` it, and
/// is `now`.
#[must_use]
pub fn after_beginning(setter: Setter, before: Traces, now: Traces) -> Next {
    let is_known = before.last_set.is_some() && now.last_set.is_some();
    let is_unmoved = is_known && before.last_set == now.last_set;
    match setter {
        // 0 before and after says nothing, and does not matter.
        Setter::Administrator { .. } if is_unmoved => Next::Write,
        Setter::Administrator { must_change } if must_change && !is_known => Next::Write,
        // It had to be changed before and has to be changed now: somebody may have set it meanwhile.
        Setter::User if is_unmoved && now.last_set == Some(MUST_CHANGE) => Next::Verify,
        Setter::User if is_unmoved && before.bad_at != now.bad_at => Next::LeaveAlone,
        Setter::User if is_unmoved => Next::Write,
        Setter::User | Setter::Administrator { .. } => Next::Verify,
    }
}

/// Whether a password was set so lately that it may have been for the same operation, by another
/// agent that left no note here. One whose date is not shown may have been.
#[must_use]
pub fn is_recent(last_set: Option<i64>, now_micros: i64) -> bool {
    let Some(ticks) = last_set else {
        return true;
    };
    if ticks <= MUST_CHANGE {
        return false;
    }
    let micros = ticks.saturating_sub(EPOCH_TICKS) / TICKS_PER_MICRO;
    now_micros.saturating_sub(micros) <= RECENT_MICROS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(last_set: Option<i64>, bad_at: Option<i64>) -> Traces {
        Traces { last_set, bad_at }
    }

    #[test]
    fn what_was_begun_is_written_verified_or_left_alone() {
        let reset = Setter::Administrator { must_change: false };
        let temporary = Setter::Administrator { must_change: true };
        let user = Setter::User;
        let before = traces(Some(5), Some(3));
        for (setter, before, now, next) in [
            // Nothing moved.
            (user, before, before, Next::Write),
            (reset, before, before, Next::Write),
            (temporary, before, before, Next::Write),
            // The password was set.
            (user, before, traces(Some(6), Some(3)), Next::Verify),
            (user, before, traces(Some(6), Some(4)), Next::Verify),
            (reset, before, traces(Some(6), Some(3)), Next::Verify),
            (temporary, before, traces(Some(0), Some(3)), Next::Verify),
            // A wrong password was tried.
            (user, before, traces(Some(5), Some(4)), Next::LeaveAlone),
            (reset, before, traces(Some(5), Some(4)), Next::Write),
            // It had to be changed before and has to be changed now.
            (
                temporary,
                traces(Some(0), None),
                traces(Some(0), None),
                Next::Write,
            ),
            (
                user,
                traces(Some(0), Some(3)),
                traces(Some(0), Some(3)),
                Next::Verify,
            ),
            // Nothing is shown.
            (user, Traces::default(), Traces::default(), Next::Verify),
            (reset, Traces::default(), Traces::default(), Next::Verify),
            (temporary, Traces::default(), Traces::default(), Next::Write),
            (user, before, Traces::default(), Next::Verify),
        ] {
            let found = after_beginning(setter, before, now);
            assert_eq!(found, next, "{setter:?} {before:?} {now:?}");
        }
    }

    #[test]
    fn recent_is_what_an_operation_can_have_done() {
        // 2026-11-24T00:00:00Z.
        let now = 1_795_478_400_000_000;
        let ticks = |micros: i64| Some((now + micros) * TICKS_PER_MICRO + EPOCH_TICKS);
        for (last_set, recent) in [
            (ticks(0), true),
            (ticks(5_000_000), true),
            (ticks(-RECENT_MICROS), true),
            (ticks(-RECENT_MICROS - 1), false),
            (Some(0), false),
            (Some(i64::MIN), false),
            (None, true),
        ] {
            assert_eq!(is_recent(last_set, now), recent, "{last_set:?}");
        }
    }
}
