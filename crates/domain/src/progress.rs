//! Counters of a synchronization session: one cell per kind of object and kind of change.
//!
//! Invariant: a cell never shrinks, because reports are totals since the session began and are
//! merged by maximum (decision U27); so a repeated or late report changes nothing. What the hub
//! itself saw being done in the session is a total too, and merged alike.

use std::collections::BTreeMap;

use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::tally::Tally;

named_enum! {
    /// What was changed.
    pub enum ObjectType {
        /// A user.
        User = "USER",
        /// A group.
        Group = "GROUP",
        /// A user's membership in a group.
        Membership = "MEMBERSHIP",
    }
}

named_enum! {
    /// How it was changed.
    pub enum ChangeType {
        /// Made.
        Create = "CREATE",
        /// Changed.
        Update = "UPDATE",
        /// Removed.
        Delete = "DELETE",
        /// Switched on.
        Activate = "ACTIVATE",
        /// Switched off.
        Deactivate = "DEACTIVATE",
        /// Got another password hash.
        PasswordHashUpdate = "PASSWORD_HASH_UPDATE",
    }
}

/// Counts of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Changes that were made.
    pub successful: i64,
    /// Changes that failed.
    pub failed: i64,
}

/// The counters of a session; cells that were never reported are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    cells: BTreeMap<(ObjectType, ChangeType), Counts>,
}

/// One kind of object in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressEntry {
    /// What was changed.
    pub object_type: ObjectType,
    /// Totals by kind of change.
    pub changes: Vec<ChangeInfo>,
}

/// One cell in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeInfo {
    /// How it was changed.
    pub change_type: ChangeType,
    /// Totals.
    pub counts: Counts,
}

impl Progress {
    /// Merges a report by maximum.
    ///
    /// # Errors
    /// `Invalid` when the report is empty, names a kind twice or counts below zero
    /// (decisions U28, U29).
    pub fn merged(&self, entries: &[ProgressEntry]) -> Result<Self, Refusal> {
        if entries.is_empty() {
            return Err(Refusal::invalid("progress_entries", "must not be empty"));
        }
        let mut merged = self.clone();
        let mut reported: BTreeMap<ObjectType, usize> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let field = format!("progress_entries[{index}]");
            if reported.insert(entry.object_type, index).is_some() {
                return Err(Refusal::invalid(
                    format!("{field}.object_type"),
                    format!("{} occurs twice in one report", entry.object_type),
                ));
            }
            merged.merge_entry(&field, entry)?;
        }
        Ok(merged)
    }

    fn merge_entry(&mut self, field: &str, entry: &ProgressEntry) -> Result<(), Refusal> {
        if entry.changes.is_empty() {
            return Err(Refusal::invalid(
                format!("{field}.change_info"),
                "must not be empty",
            ));
        }
        let mut reported = Vec::with_capacity(entry.changes.len());
        for (index, change) in entry.changes.iter().enumerate() {
            let field = format!("{field}.change_info[{index}]");
            if reported.contains(&change.change_type) {
                return Err(Refusal::invalid(
                    format!("{field}.change_type"),
                    format!("{} occurs twice in one entry", change.change_type),
                ));
            }
            reported.push(change.change_type);
            if change.counts.successful < 0 {
                return Err(Refusal::invalid(
                    format!("{field}.successful"),
                    "must not be negative",
                ));
            }
            if change.counts.failed < 0 {
                return Err(Refusal::invalid(
                    format!("{field}.failed"),
                    "must not be negative",
                ));
            }
            self.raise(entry.object_type, change.change_type, change.counts);
        }
        Ok(())
    }

    /// Raises one cell to at least `counts`.
    pub fn raise(&mut self, object: ObjectType, change: ChangeType, counts: Counts) {
        let cell = self.cells.entry((object, change)).or_default();
        cell.successful = cell.successful.max(counts.successful);
        cell.failed = cell.failed.max(counts.failed);
    }

    /// These counters, with at least the changes of `tally`.
    #[must_use]
    pub fn raised(&self, tally: &Tally) -> Self {
        let mut raised = self.clone();
        for (object, change, successful) in tally.cells() {
            let counts = Counts {
                successful,
                failed: 0,
            };
            raised.raise(object, change, counts);
        }
        raised
    }

    /// The counts of one cell, if it was ever reported.
    #[must_use]
    pub fn get(&self, object: ObjectType, change: ChangeType) -> Option<Counts> {
        self.cells.get(&(object, change)).copied()
    }

    /// Every reported cell, in the order of the enums.
    pub fn cells(&self) -> impl Iterator<Item = (ObjectType, ChangeType, Counts)> + '_ {
        self.cells
            .iter()
            .map(|((object, change), counts)| (*object, *change, *counts))
    }

    /// The counters in the form of a report, grouped by kind of object.
    #[must_use]
    pub fn entries(&self) -> Vec<ProgressEntry> {
        let mut entries: Vec<ProgressEntry> = Vec::new();
        for (object_type, change_type, counts) in self.cells() {
            let info = ChangeInfo {
                change_type,
                counts,
            };
            match entries.last_mut() {
                Some(entry) if entry.object_type == object_type => entry.changes.push(info),
                _ => entries.push(ProgressEntry {
                    object_type,
                    changes: vec![info],
                }),
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named;
    use proptest::prelude::*;

    fn entry(object: ObjectType, cells: &[(ChangeType, i64, i64)]) -> ProgressEntry {
        ProgressEntry {
            object_type: object,
            changes: cells
                .iter()
                .map(|(change_type, successful, failed)| ChangeInfo {
                    change_type: *change_type,
                    counts: Counts {
                        successful: *successful,
                        failed: *failed,
                    },
                })
                .collect(),
        }
    }

    #[track_caller]
    fn check_refused(entries: &[ProgressEntry], field: &str) {
        match Progress::default().merged(entries) {
            Err(Refusal::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("expected a refusal of {field}, got {other:?}"),
        }
    }

    #[test]
    fn bad_reports_name_their_field() {
        use ChangeType::{Create, Update};
        use ObjectType::{Group, User};
        check_refused(&[], "progress_entries");
        check_refused(&[entry(User, &[])], "progress_entries[0].change_info");
        check_refused(
            &[
                entry(User, &[(Create, 1, 0)]),
                entry(User, &[(Update, 1, 0)]),
            ],
            "progress_entries[1].object_type",
        );
        check_refused(
            &[entry(Group, &[(Create, 1, 0), (Create, 2, 0)])],
            "progress_entries[0].change_info[1].change_type",
        );
        check_refused(
            &[entry(Group, &[(Create, -1, 0)])],
            "progress_entries[0].change_info[0].successful",
        );
        check_refused(
            &[entry(Group, &[(Create, 0, 0), (Update, 0, -1)])],
            "progress_entries[0].change_info[1].failed",
        );
    }

    #[test]
    fn a_report_leaves_other_cells_alone() {
        let first = entry(ObjectType::User, &[(ChangeType::Create, 5, 1)]);
        let second = entry(ObjectType::User, &[(ChangeType::Update, 2, 0)]);
        let merged = Progress::default()
            .merged(&[first])
            .unwrap()
            .merged(&[second])
            .unwrap();
        assert_eq!(
            merged.get(ObjectType::User, ChangeType::Create),
            Some(Counts {
                successful: 5,
                failed: 1
            })
        );
        assert_eq!(merged.entries().len(), 1);
        assert_eq!(merged.get(ObjectType::Group, ChangeType::Create), None);
    }

    #[test]
    fn what_the_hub_saw_is_never_undercut() {
        use ChangeType::{Create, Delete, Update};
        use ObjectType::User;
        let report = entry(User, &[(Create, 5, 2), (Update, 3, 0)]);
        let reported = Progress::default().merged(&[report]).unwrap();
        let mut tally = Tally::of(User, Create, 7);
        tally.add(User, Update, 1);
        tally.add(User, Delete, 4);
        let raised = reported.raised(&tally);
        let expected = [
            (User, Create, (7, 2)),
            (User, Update, (3, 0)),
            (User, Delete, (4, 0)),
        ];
        let found: Vec<_> = raised
            .cells()
            .map(|(object, change, counts)| (object, change, (counts.successful, counts.failed)))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(raised.raised(&tally), raised);
        assert_eq!(reported.raised(&Tally::default()), reported);
    }

    fn any_report() -> impl Strategy<Value = Vec<ProgressEntry>> {
        let cell = (0..18usize, 0..50i64, 0..50i64);
        proptest::collection::vec(cell, 1..12).prop_map(|cells| {
            let mut progress = Progress::default();
            for (index, successful, failed) in cells {
                let object = ObjectType::ALL[index / 6];
                let change = ChangeType::ALL[index % 6];
                progress.raise(object, change, Counts { successful, failed });
            }
            progress.entries()
        })
    }

    proptest! {
        #[test]
        fn merging_is_commutative_idempotent_and_never_shrinks(
            a in any_report(), b in any_report(), c in any_report(),
        ) {
            let start = Progress::default().merged(&a).unwrap();
            let ab = start.merged(&b).unwrap();
            prop_assert_eq!(&ab, &Progress::default().merged(&b).unwrap().merged(&a).unwrap());
            prop_assert_eq!(&ab.merged(&b).unwrap(), &ab);
            prop_assert_eq!(&ab.merged(&a).unwrap(), &ab);
            let abc = ab.merged(&c).unwrap();
            for (object, change, counts) in ab.cells() {
                let later = abc.get(object, change).unwrap();
                prop_assert!(later.successful >= counts.successful);
                prop_assert!(later.failed >= counts.failed);
            }
        }
    }
}
