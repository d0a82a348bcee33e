//! The guard over the disables of a session (decision U110).
//!
//! Invariant: a batch passes whole or not at all. Deliberately absent: approval by a person. The
//! objects stream plans the same suspensions; once they were approved of there and written, there
//! is nothing left to refuse here.

use std::collections::BTreeMap;

use crate::engine::Guid;
use crate::engine::guard::{self, Limit, Removals, Removed, What};
use crate::failure::Failure;

/// Users that are disabled, with their logins.
pub(super) type Users = BTreeMap<Guid, String>;

/// The disables of a session.
#[derive(Debug)]
pub(super) struct Brake {
    limit: Limit,
    before: Removed,
}

impl Brake {
    /// A brake for a session that has not disabled anybody yet.
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            before: Removed::default(),
        }
    }

    /// Lets a batch pass or not; the hub has `known` users.
    ///
    /// # Errors
    /// [`Failure`] when it disables more than the limit allows.
    pub(super) fn check(&self, users: &Users, known: usize) -> Result<(), Failure> {
        let removals = Removals::of_suspensions(users.keys().copied(), known);
        let name = |guid| users.get(&guid).cloned().unwrap_or_default();
        guard::judge(&removals, self.limit, &self.before, name).map_err(|why| {
            Failure::Run(format!(
                "{}; no account was changed by this batch. If it is intended: approve of the plan that the objects stream refuses for the same reason, or raise safety.max_removals for one run. Among them: {}",
                why.headline(),
                why.examples()
            ))
        })
    }

    /// Counts what the hub acknowledged.
    pub(super) fn count(&mut self, number: usize, known: usize) {
        self.before.add(What::Suspensions, number, known);
    }
}
