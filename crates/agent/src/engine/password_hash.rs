//! When a password hash of the directory counts, and whether it is news to the hub.
//!
//! Invariant: a hash is never dated earlier than it was set, so that none is lost against an older
//! one, and a date the hub has already is not sent again by a comparison of everything. Deliberately
//! absent: the hash itself.

use rollcall_kit::timestamp::{Span, Timestamp};

/// What the directory says of when a password was set (`pwdLastSet`, MS-ADA3 2.176).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastSet {
    /// At this time.
    At(Timestamp),
    /// It has to be changed at the next sign-in; when it was set is not said.
    MustChange,
    /// Nothing.
    Unsaid,
}

/// What goes with a hash to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// When the password was set, as far as that is known.
    pub created_at: Option<Timestamp>,
    /// Whether it has to be changed at the next sign-in.
    pub need_change: bool,
}

/// How it came that a hash is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// All hashes are read: what the hub has already is left alone.
    All,
    /// The directory reported a change.
    Changes,
}

impl Dated {
    /// The date of a hash. `changed` is when the value was written, in whole seconds, from the
    /// metadata of replication: the only date of a password that must be changed. What was written
    /// within that second may be meant, so its end counts.
    #[must_use]
    pub fn new(last_set: LastSet, changed: Option<Timestamp>) -> Self {
        let end_of_second = changed.and_then(|at| at.checked_add(Span::micros(999_999)));
        Self {
            created_at: match last_set {
                LastSet::At(at) => Some(at),
                LastSet::MustChange | LastSet::Unsaid => end_of_second,
            },
            need_change: last_set == LastSet::MustChange,
        }
    }

    /// Whether the hub, whose password is from `stored`, has to be told. It would refuse an older one
    /// itself (decision U126); this spares the call.
    #[must_use]
    pub fn is_news(&self, stored: Option<Timestamp>, reading: Reading) -> bool {
        match (self.created_at, stored) {
            (Some(new), Some(stored)) if new != stored => new > stored,
            (_, Some(_)) => reading == Reading::Changes,
            (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_password_that_must_be_changed_is_dated_by_its_metadata() {
        let later = AT.plus(Span::micros(999_999));
        for (last_set, changed, created_at, need_change) in [
            (LastSet::At(AT), None, Some(AT), false),
            (LastSet::At(AT), Some(later), Some(AT), false),
            (LastSet::MustChange, Some(AT), Some(later), true),
            (LastSet::MustChange, None, None, true),
            (LastSet::Unsaid, Some(AT), Some(later), false),
            (LastSet::Unsaid, None, None, false),
        ] {
            let expected = Dated {
                created_at,
                need_change,
            };
            assert_eq!(Dated::new(last_set, changed), expected, "{last_set:?}");
        }
    }

    #[test]
    fn what_the_hub_has_is_no_news_and_older_ones_never_are() {
        let before = AT.plus(Span::micros(-1));
        for (new, stored, all, changes) in [
            (Some(AT), None, true, true),
            (None, None, true, true),
            (Some(AT), Some(before), true, true),
            (Some(before), Some(AT), false, false),
            (Some(AT), Some(AT), false, true),
            (None, Some(AT), false, true),
        ] {
            let dated = Dated {
                created_at: new,
                need_change: false,
            };
            let found = [Reading::All, Reading::Changes].map(|how| dated.is_news(stored, how));
            assert_eq!(found, [all, changes], "{new:?} {stored:?}");
        }
    }
}
