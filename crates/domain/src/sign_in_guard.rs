//! The guard against guessing: how many sign-ins failed lately, and whether more are let in.
//!
//! Invariant: within a window no more than the allowed failures are counted before a block begins,
//! and while a block lasts nothing is counted, so that nobody can keep somebody out for ever by
//! knocking on. Deliberately absent: whose failures they are, which the hub says, and the answer to
//! a blocked sign-in, which is that to a wrong password (decision U65).

use rollcall_kit::timestamp::Timestamp;

use crate::hub_clock::SKEW_MAX;
use crate::password_policy::BruteforcePolicy;

/// Most failures that a guard remembers; more would never be looked at.
pub const FAILURES_MAX: usize = 1_000;

/// The failures of one user or of one address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignInGuard {
    /// When the counted sign-ins failed, by the clocks of the hubs that saw it.
    pub failures: Vec<Timestamp>,
    /// Until when every sign-in fails.
    pub blocked_until: Option<Timestamp>,
}

impl SignInGuard {
    /// Until when no sign-in succeeds under `policy`; `None` when one may. A block that would last longer
    /// than the policy says is none: the clock was set back.
    #[must_use]
    pub fn blocked_at(&self, policy: &BruteforcePolicy, now: Timestamp) -> Option<Timestamp> {
        let latest = now.plus(policy.block).plus(SKEW_MAX);
        self.blocked_until
            .filter(|end| policy.is_on() && now < *end && *end <= latest)
    }

    /// The guard after one more failure.
    #[must_use]
    pub fn note_failure(&self, policy: &BruteforcePolicy, now: Timestamp) -> Self {
        if !policy.is_on() {
            return Self::default();
        }
        let allowed = usize::try_from(policy.attempts).unwrap_or(FAILURES_MAX);
        if self.blocked_at(policy, now).is_some() {
            return self.clone();
        }
        let (from, latest) = (now.minus(policy.window), now.plus(SKEW_MAX));
        // A clock that was set back must not make a failure count for longer than its window.
        let counts = |failure: &Timestamp| *failure > from && *failure <= latest;
        let mut failures: Vec<_> = self.failures.iter().copied().filter(counts).collect();
        failures.push(now);
        if failures.len() < allowed.min(FAILURES_MAX) {
            return Self {
                failures,
                blocked_until: None,
            };
        }
        Self {
            failures: Vec::new(),
            blocked_until: Some(now.plus(policy.block)),
        }
    }

    /// When nothing that it remembers matters any more under `policy`.
    #[must_use]
    pub fn forgettable_at(&self, policy: &BruteforcePolicy) -> Option<Timestamp> {
        let last = self.failures.iter().max();
        let last = last.map(|last| last.plus(policy.window));
        last.max(self.blocked_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::timestamp::Span;

    const POLICY: BruteforcePolicy = BruteforcePolicy {
        window: Span::minutes(10),
        block: Span::minutes(5),
        attempts: 3,
    };

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000).plus(Span::minutes(minutes))
    }

    /// Lets sign-ins fail at these minutes and tells whether one is blocked at the last.
    #[track_caller]
    fn check(policy: BruteforcePolicy, failures: &[i64], at_minute: i64, blocked: bool) {
        let guard = failures
            .iter()
            .fold(SignInGuard::default(), |guard, minute| {
                guard.note_failure(&policy, at(*minute))
            });
        let found = guard.blocked_at(&policy, at(at_minute)).is_some();
        assert_eq!(found, blocked, "{failures:?} at {at_minute}");
    }

    #[test]
    fn the_last_allowed_failure_blocks() {
        check(POLICY, &[0, 1], 1, false);
        check(POLICY, &[0, 1, 2], 2, true);
        check(POLICY, &[0, 1, 2], 6, true);
        check(POLICY, &[0, 1, 2], 7, false);
    }

    #[test]
    fn the_window_slides() {
        check(POLICY, &[0, 9, 11], 11, false);
        check(POLICY, &[0, 9, 11, 12], 12, true);
        check(POLICY, &[0, 10, 20, 30], 30, false);
    }

    #[test]
    fn knocking_on_does_not_prolong_a_block() {
        check(POLICY, &[0, 1, 2, 3, 4, 5, 6], 7, false);
        // The count begins anew after the block.
        check(POLICY, &[0, 1, 2, 7, 8], 8, false);
        check(POLICY, &[0, 1, 2, 7, 8, 9], 9, true);
    }

    #[test]
    fn a_policy_of_zero_is_off() {
        for policy in [
            BruteforcePolicy {
                attempts: 0,
                ..POLICY
            },
            BruteforcePolicy {
                window: Span::ZERO,
                ..POLICY
            },
            BruteforcePolicy {
                block: Span::ZERO,
                ..POLICY
            },
        ] {
            check(policy, &[0; 50], 0, false);
        }
        let one = BruteforcePolicy {
            attempts: 1,
            ..POLICY
        };
        check(one, &[0], 0, true);
    }

    /// Several hubs look after one guard.
    #[test]
    fn a_hub_whose_clock_is_behind_takes_the_word_of_the_others() {
        let ahead = at(0).plus(Span::seconds(1));
        let twice = SignInGuard::default().note_failure(&POLICY, ahead);
        let twice = twice.note_failure(&POLICY, ahead);
        let blocked = twice.note_failure(&POLICY, at(0));
        assert!(blocked.blocked_at(&POLICY, at(0)).is_some());
        let blocked = twice.note_failure(&POLICY, ahead);
        assert!(blocked.blocked_at(&POLICY, at(0)).is_some());
        assert_eq!(blocked.note_failure(&POLICY, at(0)), blocked);
    }

    #[test]
    fn a_clock_set_back_forgets_what_is_to_come() {
        check(POLICY, &[100, 101, 0], 0, false);
        // A block lasts no longer than the policy says.
        check(POLICY, &[100, 101, 102], 0, false);
        check(POLICY, &[100, 101, 102, 0, 1, 2], 2, true);
    }

    #[test]
    fn what_does_not_matter_can_be_forgotten() {
        let guard = SignInGuard::default();
        assert_eq!(guard.forgettable_at(&POLICY), None);
        let guard = guard.note_failure(&POLICY, at(0));
        assert_eq!(guard.forgettable_at(&POLICY), Some(at(10)));
        let blocked = guard
            .note_failure(&POLICY, at(1))
            .note_failure(&POLICY, at(2));
        assert_eq!(blocked.forgettable_at(&POLICY), Some(at(7)));
    }
}
