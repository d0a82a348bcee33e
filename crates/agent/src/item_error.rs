//! Objects that could not be synchronized: kept with the reason until they could be.
//!
//! Invariant: one entry per object and kind of change; it goes away when the change succeeds or
//! the object leaves the scope (decisions U35, U125). Each says what helps.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_kit::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Guid;
use crate::progress::{Change, ObjectType};

mod file;
pub mod remedy;

pub use file::ItemErrorFile;

/// Longest reason that is kept, in characters.
const REASON_CHARACTERS_MAX: usize = 500;
/// Most items that are kept; more are counted only.
pub const ITEMS_MAX: usize = 100_000;

/// One object that could not be synchronized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemError {
    /// objectGUID as text.
    pub external_id: String,
    /// Name in the directory.
    pub object: String,
    /// user, group or membership.
    pub object_type: ObjectType,
    /// What was tried.
    pub change: Change,
    /// Why it failed.
    pub reason: String,
    /// What helps.
    #[serde(default)]
    pub remedy: String,
    /// First failure, RFC 3339.
    pub first_at: String,
    /// Latest failure, RFC 3339.
    pub last_at: String,
}

impl ItemError {
    /// Two lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "failed: {} ({} {}, since {}): {}\n  what helps: {}",
            self.object,
            self.object_type.name(),
            self.change.name(),
            self.first_at,
            self.reason,
            self.remedy
        )
    }
}

/// Why something failed and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Why it failed.
    pub reason: String,
    /// What helps.
    pub remedy: String,
}

impl Problem {
    /// A reason and its remedy.
    #[must_use]
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a failure is filed under.
pub type Key = (Guid, ObjectType, Change);

/// All items that fail at present.
#[derive(Debug, Clone, Default)]
pub struct ItemErrors {
    items: BTreeMap<Key, ItemError>,
    touched: BTreeMap<Key, ()>,
    changed: bool,
}

impl ItemErrors {
    /// The stored ones.
    #[must_use]
    pub fn from_stored(items: Vec<ItemError>) -> Self {
        let items = items
            .into_iter()
            .filter_map(|item| {
                let guid = Guid::parse(&item.external_id)?;
                Some(((guid, item.object_type, item.change), item))
            })
            .collect();
        Self {
            items,
            touched: BTreeMap::new(),
            changed: false,
        }
    }

    /// Files a failure.
    pub fn fail(&mut self, key: Key, object: &str, problem: &Problem, now: Timestamp) {
        self.touched.insert(key, ());
        self.changed = true;
        let reason: String = problem.reason.chars().take(REASON_CHARACTERS_MAX).collect();
        if let Some(item) = self.items.get_mut(&key) {
            item.reason = reason;
            item.remedy.clone_from(&problem.remedy);
            object.clone_into(&mut item.object);
            item.last_at = now.to_string();
        } else if self.items.len() < ITEMS_MAX {
            self.items.insert(
                key,
                ItemError {
                    external_id: key.0.to_string(),
                    object: object.to_owned(),
                    object_type: key.1,
                    change: key.2,
                    reason,
                    remedy: problem.remedy.clone(),
                    first_at: now.to_string(),
                    last_at: now.to_string(),
                },
            );
        }
    }

    /// Starts a pass over everything there is to do.
    pub fn begin_pass(&mut self) {
        self.touched.clear();
    }

    /// Ends a pass: what did not fail again is no longer an error.
    pub fn end_pass(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let before = self.items.len();
        self.items.retain(|key, _| touched.contains_key(key));
        self.changed |= self.items.len() != before;
    }

    /// Ends a pass over these objects only.
    pub fn end_pass_of(&mut self, tried: &BTreeSet<Guid>) {
        let touched = std::mem::take(&mut self.touched);
        let before = self.items.len();
        self.items
            .retain(|key, _| touched.contains_key(key) || !tried.contains(&key.0));
        self.changed |= self.items.len() != before;
    }

    /// Whether they differ from what is stored.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// They are stored now.
    pub fn saved(&mut self) {
        self.changed = false;
    }

    /// All of them, by object.
    pub fn iter(&self) -> impl Iterator<Item = &ItemError> {
        self.items.values()
    }

    /// Objects that the directory could not show.
    pub fn unreadable(&self) -> impl Iterator<Item = Guid> {
        let unreadable = |item: &ItemError| item.reason.starts_with(remedy::UNREADABLE);
        let found = self.items.iter().filter(move |(_, item)| unreadable(item));
        found.map(|((guid, ..), _)| *guid)
    }

    /// What they are filed under.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.items.keys().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> Key {
        (Guid::from_number(number), ObjectType::User, Change::Create)
    }

    fn bad() -> Problem {
        Problem::new("bad", "mend it")
    }

    #[test]
    fn first_time_stays_and_a_success_clears() {
        let mut errors = ItemErrors::default();
        errors.begin_pass();
        errors.fail(key(1), "a", &bad(), Timestamp::from_seconds(1));
        errors.fail(key(2), "b", &bad(), Timestamp::from_seconds(1));
        errors.end_pass();
        errors.begin_pass();
        errors.fail(
            key(1),
            "a",
            &Problem::new("worse", "wait"),
            Timestamp::from_seconds(9),
        );
        errors.end_pass();
        let left: Vec<_> = errors.iter().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].reason, "worse");
        assert_eq!(left[0].remedy, "wait");
        assert_eq!(left[0].first_at, "1970-01-01T00:00:01Z");
        assert_eq!(left[0].last_at, "1970-01-01T00:00:09Z");
    }

    #[test]
    fn a_pass_over_some_objects_says_nothing_of_the_others() {
        let mut errors = ItemErrors::default();
        for number in 1..=3 {
            errors.fail(
                key(number),
                "a",
                &Problem::new("bad", "wait"),
                Timestamp::from_seconds(1),
            );
        }
        errors.begin_pass();
        errors.fail(
            key(2),
            "b",
            &Problem::new("bad", "wait"),
            Timestamp::from_seconds(2),
        );
        errors.end_pass_of(&[1, 2].map(Guid::from_number).into());
        assert_eq!(errors.keys().collect::<Vec<_>>(), vec![key(2), key(3)]);
    }

    #[test]
    fn stored_items_come_back() {
        let mut errors = ItemErrors::default();
        errors.fail(key(1), "a", &bad(), Timestamp::from_seconds(1));
        let stored = ItemErrors::from_stored(errors.iter().cloned().collect());
        assert_eq!(stored.keys().collect::<Vec<_>>(), vec![key(1)]);
    }
}
