//! Whether this agent may still write (decision U106).
//!
//! Invariant: once lost, never regained; a renewal counts from the moment it was sent, so the
//! hub's lease always ends later than ours. Deliberately absent: renewing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Share of the lease after which an agent that could not renew it stops.
const SAFE_SHARE_PERCENT: u32 = 80;

/// The right to write in one session. Clones share it.
#[derive(Debug, Clone)]
pub struct Fence {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    safe: Duration,
    state: Mutex<State>,
    lost: CancellationToken,
}

#[derive(Debug)]
struct State {
    safe_until: Instant,
    reason: Option<String>,
}

impl Fence {
    /// A right that lasts most of `lease` from `opened_at`, the moment the session was asked for.
    #[must_use]
    pub fn new(lease: Duration, opened_at: Instant) -> Self {
        let safe = lease * SAFE_SHARE_PERCENT / 100;
        Self {
            shared: Arc::new(Shared {
                safe,
                state: Mutex::new(State {
                    safe_until: opened_at + safe,
                    reason: None,
                }),
                lost: CancellationToken::new(),
            }),
        }
    }

    /// The lease was renewed by a call sent at `sent_at`.
    pub fn renewed(&self, sent_at: Instant) {
        let mut state = self.state();
        state.safe_until = state.safe_until.max(sent_at + self.shared.safe);
    }

    /// The hub said that the session is over.
    pub fn lose(&self, reason: &str) {
        let mut state = self.state();
        if state.reason.is_none() {
            state.reason = Some(reason.to_owned());
        }
        self.shared.lost.cancel();
    }

    /// The right to write now.
    ///
    /// # Errors
    /// [`Failure::LeaseLost`].
    pub fn check(&self, now: Instant) -> Result<(), Failure> {
        let expired = {
            let state = self.state();
            if let Some(reason) = &state.reason {
                return Err(Failure::LeaseLost(reason.clone()));
            }
            now >= state.safe_until
        };
        if expired {
            self.lose("the hub could not be reached to renew the lease");
            return self.check(now);
        }
        Ok(())
    }

    /// When the right ends unless it is renewed.
    #[must_use]
    pub fn safe_until(&self) -> Instant {
        self.state().safe_until
    }

    /// Cancelled when the right is lost.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.shared.lost
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    #[test]
    fn the_right_ends_at_four_fifths_of_the_lease_and_never_returns() {
        let start = Instant::now();
        let fence = Fence::new(LEASE, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(fence.check(at(47)).is_ok());
        fence.renewed(at(20));
        assert!(fence.check(at(67)).is_ok());
        assert!(fence.check(at(68)).is_err());
        assert!(fence.lost().is_cancelled());
        fence.renewed(at(70));
        assert!(fence.check(at(71)).is_err());
    }

    #[test]
    fn a_late_answer_of_an_old_renewal_does_not_shorten_the_right() {
        let start = Instant::now();
        let fence = Fence::new(LEASE, start);
        fence.renewed(start + Duration::from_secs(40));
        fence.renewed(start + Duration::from_secs(20));
        assert!(fence.check(start + Duration::from_secs(87)).is_ok());
    }

    #[test]
    fn the_first_reason_is_told() {
        let fence = Fence::new(LEASE, Instant::now());
        fence.lose("superseded");
        fence.lose("something else");
        let error = fence.check(Instant::now()).unwrap_err().to_string();
        assert!(error.contains("superseded"), "{error}");
    }
}
