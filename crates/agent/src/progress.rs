//! The counters of a session: (object, change) to done and failed.
//!
//! Invariant: totals since the session began, which only grow; that is how the hub merges them
//! (decision U27). A failed item counts once per session, however often it is tried again. Once the
//! hub has told what a call changed, what it tells is what counts: it sees which calls changed
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_proto::idp::{ChangeInfo, ProgressEntry};
use serde::{Deserialize, Serialize};

use crate::item_error::Key;
use crate::tally::Cell;

/// What a change is about (RelatedObjectType).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum ObjectType {
    /// A user.
    User = 1,
    /// A group.
    Group = 2,
    /// A user in a group.
    Membership = 3,
}

impl ObjectType {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Membership => "membership",
        }
    }
}

/// What is done to it (ChangeType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Made.
    Create = 1,
    /// Values changed.
    Update = 2,
    /// Deleted.
    Delete = 3,
    /// Switched on.
    Activate = 4,
    /// Switched off.
    Deactivate = 5,
    /// A new password hash was imported.
    PasswordHashUpdate = 6,
}

impl Change {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::PasswordHashUpdate => "password_hash_update",
        }
    }
}

/// Done and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Count {
    /// Done.
    pub successful: u64,
    /// Failed.
    pub failed: u64,
}

/// The counters of one session.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    cells: BTreeMap<(ObjectType, Change), Count>,
    failed: BTreeSet<Key>,
    told_by_hub: bool,
}

impl Progress {
    /// Counts `number` done changes, unless the hub tells them itself.
    pub fn done(&mut self, object: ObjectType, change: Change, number: u64) {
        if !self.told_by_hub {
            self.add(object, change, number);
        }
    }

    /// Counts what the hub says a call changed.
    pub fn told(&mut self, cells: &[Cell]) {
        self.told_by_hub = true;
        for (object, change, number) in cells {
            self.add(*object, *change, *number);
        }
    }

    fn add(&mut self, object: ObjectType, change: Change, number: u64) {
        let cell = self.cells.entry((object, change)).or_default();
        cell.successful = cell.successful.saturating_add(number);
    }

    /// Counts a failed item, once.
    pub fn failed(&mut self, key: Key) {
        if self.failed.insert(key) {
            self.cells.entry((key.1, key.2)).or_default().failed += 1;
        }
    }

    /// One counter.
    #[must_use]
    pub fn count(&self, object: ObjectType, change: Change) -> Count {
        self.cells
            .get(&(object, change))
            .copied()
            .unwrap_or_default()
    }

    /// Everything done.
    #[must_use]
    pub fn total_done(&self) -> u64 {
        self.cells.values().map(|count| count.successful).sum()
    }

    /// Items that failed.
    #[must_use]
    pub fn total_failed(&self) -> u64 {
        self.cells.values().map(|count| count.failed).sum()
    }

    /// The counters as the hub takes them; empty when nothing was counted yet.
    #[must_use]
    pub fn entries(&self) -> Vec<ProgressEntry> {
        let mut by_object: BTreeMap<ObjectType, Vec<ChangeInfo>> = BTreeMap::new();
        for ((object, change), count) in &self.cells {
            by_object.entry(*object).or_default().push(ChangeInfo {
                change_type: *change as i32,
                successful: i64::try_from(count.successful).unwrap_or(i64::MAX),
                failed: i64::try_from(count.failed).unwrap_or(i64::MAX),
            });
        }
        by_object
            .into_iter()
            .map(|(object, change_info)| ProgressEntry {
                object_type: object as i32,
                change_info,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Guid;

    #[test]
    fn what_the_hub_tells_goes_before_what_was_asked_for() {
        let mut progress = Progress::default();
        progress.done(ObjectType::User, Change::Create, 2);
        progress.told(&[(ObjectType::User, Change::Create, 1)]);
        progress.done(ObjectType::User, Change::Create, 9);
        progress.told(&[]);
        let count = |successful| Count {
            successful,
            failed: 0,
        };
        let found = progress.count(ObjectType::User, Change::Create);
        assert_eq!(found, count(3));
        progress.told(&[(ObjectType::User, Change::Create, u64::MAX)]);
        let found = progress.count(ObjectType::User, Change::Create);
        assert_eq!(found, count(u64::MAX));
    }

    #[test]
    fn a_failed_item_counts_once() {
        let mut progress = Progress::default();
        let key = (Guid::from_number(1), ObjectType::User, Change::Create);
        progress.failed(key);
        progress.failed(key);
        progress.done(ObjectType::User, Change::Create, 3);
        progress.done(ObjectType::Membership, Change::Delete, 2);
        assert_eq!(
            progress.count(ObjectType::User, Change::Create),
            Count {
                successful: 3,
                failed: 1
            }
        );
        assert_eq!((progress.total_done(), progress.total_failed()), (5, 1));
        let entries = progress.entries();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].change_info[0].successful, 3);
        assert_eq!(entries[1].object_type, 3);
    }
}
