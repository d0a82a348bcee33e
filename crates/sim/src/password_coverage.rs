//! How often things happened in worlds of passwords.
//!
//! Invariant: what a test may demand is named here, so that a model which stops doing it is found.

use std::collections::BTreeMap;

/// How often things happened, so that a test can demand that they did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordCoverage(BTreeMap<&'static str, usize>);

/// What has to happen in some world.
const EXPECTED: [&str; 35] = [
    "agents_killed",
    "answers_of_the_directory_lost",
    "awaited",
    "begun",
    "came_before",
    "cancelled",
    "changed_in_directory",
    "commits_given_up",
    "commits_refused",
    "cursors_lost",
    "failed_refused",
    "failed_unclear",
    "hubs_killed",
    "late",
    "late_copies",
    "late_hashes",
    "left_alone",
    "not_begun",
    "notes_of_written",
    "overtaken",
    "reset_in_directory",
    "stalls",
    "stand_bys",
    "streams_superseded",
    "succeeded",
    "sweeps",
    "takeovers",
    "users_gone",
    "verified_right",
    "verified_wrong",
    "worlds_with_clocks_apart",
    "worlds_with_one_clock",
    "worlds_with_several_agents",
    "worlds_with_several_hubs",
    "worlds_without_traces",
];

impl PasswordCoverage {
    /// It happened.
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds what happened in another world.
    pub fn add(&mut self, other: Self) {
        for (what, number) in other.0 {
            *self.0.entry(what).or_default() += number;
        }
    }

    /// What never happened.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let mut all = EXPECTED.to_vec();
        all.retain(|what| !self.0.contains_key(what));
        all
    }
}
