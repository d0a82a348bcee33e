//! The plan of a batch of account states, as far as the brake is concerned: whom it disables.
//!
//! Invariant: a batch passes whole or not at all. The plan that a person can approve of holds the
//! disables and nothing else: ends, reactivations and passwords come at any time, take nothing
//! away, and would make it another plan with everybody's new password.

use std::collections::BTreeMap;

use super::correct::Task;
use crate::brake::{Brake, Pass};
use crate::engine::Guid;
use crate::engine::guard::{Removals, TooManyRemovals};
use crate::engine::plan::Step;
use crate::failure::Failure;
use rollcall_kit::timestamp::Timestamp;

/// Users that are disabled.
pub(super) struct Disables<'a>(BTreeMap<Guid, &'a Task>);

impl<'a> Disables<'a> {
    /// Those of a batch.
    pub(super) fn of(tasks: &'a [Task]) -> Self {
        let disables = tasks.iter().filter(|task| task.disables());
        Self(disables.map(|task| (task.guid, task)).collect())
    }

    /// Whether they pass without anybody's approval, when the hub has `known` users.
    pub(super) fn check(
        &self,
        brake: &Brake<'_>,
        known: usize,
        now: Timestamp,
    ) -> Result<Pass, TooManyRemovals> {
        let name = |guid| {
            let task = self.0.get(&guid);
            task.map_or_else(String::new, |task| task.username.clone())
        };
        brake.check(self.removals(known), now, name)
    }

    /// Lets them pass if a person approved of exactly these.
    ///
    /// # Errors
    /// [`Failure`] with the way to approve of them.
    pub(super) fn refuse(
        &self,
        brake: &mut Brake<'_>,
        known: usize,
        why: &TooManyRemovals,
    ) -> Result<Pass, Failure> {
        let steps = self.0.values();
        let steps = steps.map(|task| Step::suspension(task.guid, &task.id, &task.username));
        brake.refuse(self.removals(known), steps, why)
    }

    fn removals(&self, known: usize) -> Removals {
        Removals::of_suspensions(self.0.keys().copied(), known)
    }
}
