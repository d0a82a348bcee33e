//! What the trail of one hub needs besides its database: the order of events, and a limit for
//! those of refused attempts.
//!
//! Invariant: events of one hub have strictly rising moments, also across its starts. Deliberately
//! absent: events.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_domain::access::Subject;
use rollcall_kit::timestamp::Timestamp;

use super::refusal_budget::RefusalBudget;

/// What the trail of one hub needs besides its database.
#[derive(Debug)]
pub struct AuditTrail {
    /// Days that events are kept; 0 = for ever.
    pub retention_days: u32,
    last_micros: AtomicI64,
    refusals: Mutex<RefusalBudget>,
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

    /// Notes that whoever took care of the event could not write it.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
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
            refusals: Mutex::default(),
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

    /// Makes every later moment later than `newest`, that of an event of an earlier start: ids must
    /// not go back when the clock was set back meanwhile, because the export has passed them.
    pub fn continue_after(&self, newest: Timestamp) {
        self.last_micros
            .fetch_max(newest.as_micros(), Ordering::Relaxed);
    }

    /// Whether one more event of a refused attempt of `subject`, or of a stranger, may be written at
    /// `now`.
    pub(super) fn admit_refusal(&self, subject: Option<&Subject>, now: Timestamp) -> bool {
        self.lock_refusals().admit(subject, now)
    }

    /// Tells the log how many refused attempts of minutes before `now` left no event.
    pub fn tell_dropped(&self, now: Timestamp) {
        self.lock_refusals().turn_to(now);
    }

    fn lock_refusals(&self) -> std::sync::MutexGuard<'_, RefusalBudget> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn moments_go_on_after_the_newest_event() {
        let trail = AuditTrail::new(0);
        let newest = Timestamp::from_seconds(1_700_000_000);
        trail.continue_after(newest);
        trail.continue_after(Timestamp::from_seconds(0));
        assert!(trail.moment(Timestamp::from_seconds(1_600_000_000)) > newest);
    }
}
