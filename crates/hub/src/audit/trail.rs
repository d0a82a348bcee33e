//! What the trail of one hub needs besides its database: the order of events, and a limit for
//! those of strangers.
//!
//! Invariant: events of one hub have strictly rising moments. Deliberately absent: events.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_kit::timestamp::Timestamp;

use crate::limits;

/// What the trail of one hub needs besides its database.
#[derive(Debug)]
pub struct AuditTrail {
    /// Days that events are kept; 0 = for ever.
    pub retention_days: u32,
    last_micros: AtomicI64,
    strangers: Mutex<Strangers>,
}

/// Events of strangers in the present minute.
#[derive(Debug, Default)]
struct Strangers {
    minute: i64,
    recorded: u32,
    dropped: u64,
}

/// Whether the event of a call is recorded, in the call itself: the layers around the handlers
/// record what no handler saw.
#[derive(Debug, Clone, Default)]
pub struct AuditMark(Arc<AtomicBool>);

impl AuditMark {
    /// Notes that somebody takes care of the event.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody does.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl AuditTrail {
    /// An empty trail.
    #[must_use]
    pub fn new(retention_days: u32) -> Self {
        Self {
            retention_days,
            last_micros: AtomicI64::new(i64::MIN),
            strangers: Mutex::default(),
        }
    }

    /// The present, later than every moment given before: so the events of a hub have an order,
    /// even when its clock is set back.
    pub(super) fn moment(&self, now: Timestamp) -> Timestamp {
        let next = |last: i64| Some(now.as_micros().max(last.saturating_add(1)));
        let last = self
            .last_micros
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_default();
        Timestamp::from_micros(now.as_micros().max(last.saturating_add(1)))
    }

    /// Whether one more event of a stranger may be written at `now`.
    pub(super) fn admit_stranger(&self, now: Timestamp) -> bool {
        let minute = now.as_seconds().div_euclid(60);
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if strangers.minute != minute {
            if strangers.dropped > 0 {
                tracing::warn!(
                    events = strangers.dropped,
                    "attempts of strangers were too many for the audit trail"
                );
            }
            *strangers = Strangers {
                minute,
                ..Strangers::default()
            };
        }
        if strangers.recorded < limits::AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX {
            strangers.recorded += 1;
            true
        } else {
            strangers.dropped += 1;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_only_rise() {
        let trail = AuditTrail::new(0);
        let now = Timestamp::from_seconds(1_700_000_000);
        let first = trail.moment(now);
        let second = trail.moment(now);
        let third = trail.moment(Timestamp::from_seconds(0));
        assert_eq!(first, now);
        assert!(first < second && second < third);
        assert_eq!(
            trail.moment(Timestamp::from_seconds(1_800_000_000)),
            Timestamp::from_seconds(1_800_000_000)
        );
    }

    #[test]
    fn strangers_are_recorded_up_to_a_number_per_minute() {
        let trail = AuditTrail::new(0);
        let now = Timestamp::from_seconds(1_700_000_040);
        let max = limits::AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX;
        for _ in 0..max {
            assert!(trail.admit_stranger(now));
        }
        assert!(!trail.admit_stranger(now));
        assert!(trail.admit_stranger(Timestamp::from_seconds(1_700_000_100)));
    }
}
