//! The stream of password changes of a pool: who receives it, and how far it has come.
//!
//! Invariant: one stream at a time receives the changes of a pool, on however many hubs streams are
//! open, and only within its lease; offsets never come twice (decisions U94, U95). Deliberately
//! absent: the changes, which are `password_writeback`.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::hub_clock::SKEW_MAX;
use crate::id::UserpoolId;
use crate::refusal::Refusal;

/// So long a stream stays the active one without renewing that: another takes over so long after it
/// was lost (decision U95).
pub const LEASE: Span = Span::seconds(5);
/// An active stream renews its lease when less than this is left of it.
pub const RENEWAL_MARGIN: Span = Span::seconds(3);

/// The stream of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChangeStream {
    /// The pool.
    pub userpool_id: UserpoolId,
    /// Offset of the newest change; 0 = there was none.
    pub head: i64,
    /// Who receives the changes.
    pub holder: Option<StreamHolder>,
}

/// The active one of the streams of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHolder {
    /// The agent behind it, as it calls itself.
    pub agent_id: String,
    /// The very stream; of two the later one has the greater id.
    pub stream_id: String,
    /// The end of its lease.
    pub lease_until: Timestamp,
}

/// What a stream is at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may receive changes until the end of its lease; `None` when that needs no renewal yet.
    Active(Option<StreamHolder>),
    /// Another stream is active.
    StandBy,
    /// A later stream of the same agent took its place.
    Superseded,
}

impl PasswordChangeStream {
    /// The stream of a pool of which nothing is stored yet.
    #[must_use]
    pub fn new(userpool_id: UserpoolId) -> Self {
        Self {
            userpool_id,
            head: 0,
            holder: None,
        }
    }

    /// What the stream `stream_id` of `agent_id` is at `now`: the newest stream of the holder wins at
    /// once, those of other agents when its lease has ended.
    #[must_use]
    pub fn judge(&self, agent_id: &str, stream_id: &str, now: Timestamp) -> Standing {
        let renewed = || StreamHolder {
            agent_id: agent_id.to_owned(),
            stream_id: stream_id.to_owned(),
            lease_until: now.plus(LEASE),
        };
        let latest = now.plus(LEASE).plus(SKEW_MAX);
        let holder = self.holder.as_ref();
        let Some(holder) = holder.filter(|holder| holder.lease_until <= latest) else {
            return Standing::Active(Some(renewed()));
        };
        if holder.stream_id == stream_id {
            let is_due = holder.lease_until < now.plus(RENEWAL_MARGIN);
            return Standing::Active(is_due.then(renewed));
        }
        if holder.agent_id == agent_id && stream_id < holder.stream_id.as_str() {
            return Standing::Superseded;
        }
        if holder.agent_id == agent_id || holder.lease_until <= now {
            return Standing::Active(Some(renewed()));
        }
        Standing::StandBy
    }

    /// Requires that `offset` is one that a subscriber may name.
    ///
    /// # Errors
    /// `Invalid` when it is negative, `OutOfRange` when it is ahead of the newest change.
    pub fn check_offset(&self, offset: i64) -> Result<(), Refusal> {
        if offset < 0 {
            return Err(Refusal::invalid(
                "offset",
                "must not be negative: 0 begins with the oldest change that is pending",
            ));
        }
        if offset > self.head {
            return Err(Refusal::out_of_range(
                "offset",
                format!(
                    "is ahead of the newest change ({}): subscribe with 0",
                    self.head
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn held(agent_id: &str, stream_id: &str, lease_until: i64) -> PasswordChangeStream {
        PasswordChangeStream {
            holder: Some(StreamHolder {
                agent_id: agent_id.into(),
                stream_id: stream_id.into(),
                lease_until: at(lease_until),
            }),
            head: 7,
            ..PasswordChangeStream::new("ek01".into())
        }
    }

    #[track_caller]
    fn check(stream: &PasswordChangeStream, agent_id: &str, stream_id: &str, expected: &str) {
        let told = match stream.judge(agent_id, stream_id, at(100)) {
            Standing::Active(None) => "active",
            Standing::Active(Some(holder)) => {
                assert_eq!(holder.agent_id, agent_id);
                assert_eq!(holder.stream_id, stream_id);
                assert_eq!(holder.lease_until, at(105));
                "taken"
            }
            Standing::StandBy => "stand-by",
            Standing::Superseded => "superseded",
        };
        assert_eq!(told, expected, "{agent_id} {stream_id} at {stream:?}");
    }

    #[test]
    fn one_stream_is_active() {
        check(
            &PasswordChangeStream::new("ek01".into()),
            "a",
            "s1",
            "taken",
        );
        check(&held("a", "s1", 104), "a", "s1", "active");
        check(&held("a", "s1", 103), "a", "s1", "active");
        check(&held("a", "s1", 102), "a", "s1", "taken");
        // Its own lease ended, but nobody else came.
        check(&held("a", "s1", 90), "a", "s1", "taken");
        check(&held("a", "s1", 101), "b", "s2", "stand-by");
        check(&held("a", "s1", 100), "b", "s2", "taken");
        check(&held("a", "s1", 104), "a", "s2", "taken");
        check(&held("a", "s2", 104), "a", "s1", "superseded");
        check(&held("a", "s2", 90), "a", "s1", "superseded");
        check(&held("a", "s2", 104), "b", "s1", "stand-by");
    }

    #[test]
    fn a_clock_set_back_leaves_no_holder_for_long() {
        // Clocks of hubs differ a little.
        check(&held("a", "s1", 165), "b", "s2", "stand-by");
        check(&held("a", "s1", 166), "b", "s2", "taken");
        check(&held("a", "s9", 166), "a", "s2", "taken");
        check(&held("a", "s1", 166), "a", "s1", "taken");
    }

    #[test]
    fn offsets_are_of_the_past() {
        let stream = held("a", "s1", 1);
        for offset in [0, 1, 7] {
            assert_eq!(stream.check_offset(offset), Ok(()));
        }
        let ahead = stream.check_offset(8);
        assert!(
            matches!(ahead, Err(Refusal::OutOfRange { .. })),
            "{ahead:?}"
        );
        let negative = stream.check_offset(-1);
        assert!(matches!(negative, Err(Refusal::Invalid { .. })));
    }
}
