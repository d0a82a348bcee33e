//! The check for drift: both sides are read and compared, nothing is written.
//!
//! Invariant: an object that changed in the directory during the check is on its way to the hub and
//! does not count as different; a check that could not read everything reports nothing but why.

use serde::{Deserialize, Serialize};

use crate::engine::Guid;
use crate::engine::drift::{Difference, Drift};
use crate::engine::index::Index;
use crate::engine::plan;

/// Objects that are named in a report; the rest is counted.
pub const NAMED_MAX: usize = 100;

/// A comparison, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DriftReport {
    /// When it ended, RFC 3339.
    pub checked_at: String,
    /// How many objects differ.
    pub differing: usize,
    /// Their names, at most 100.
    pub objects: Vec<DriftItem>,
    /// Objects that changed in the directory during the check; they do not count.
    pub pending: usize,
    /// Objects in scope that do not fit the hub: see the failed items.
    pub unfit: usize,
    /// Digest of what the directory asks for.
    pub directory_digest: String,
    /// Digest of what the hub has.
    pub hub_digest: String,
}

/// One object that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftItem {
    /// objectGUID as text.
    pub external_id: String,
    /// Its name in the directory.
    pub object: String,
    /// How it differs.
    pub difference: Difference,
}

impl DriftReport {
    /// A few lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![match self.differing {
            0 => format!("drift: none, checked at {}", self.checked_at),
            number => format!(
                "drift: {number} objects differ, checked at {}",
                self.checked_at
            ),
        }];
        for item in &self.objects {
            lines.push(format!("  {}: {}", item.object, item.difference.text()));
        }
        let more = self.differing.saturating_sub(self.objects.len());
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
        if self.pending > 0 {
            lines.push(format!(
                "  {} more changed during the check and do not count",
                self.pending
            ));
        }
        lines.push(format!("  directory {}", self.directory_digest));
        lines.push(format!("  hub       {}", self.hub_digest));
        lines.join("\n")
    }
}

impl Drift {
    /// The report; objects for which `is_pending` holds are still on their way to the hub.
    #[must_use]
    pub fn report(
        &self,
        index: &Index,
        checked_at: String,
        is_pending: impl Fn(Guid) -> bool,
    ) -> DriftReport {
        let all = self.differing.iter();
        let drifted: Vec<_> = all.filter(|(guid, _)| !is_pending(**guid)).collect();
        let named = drifted
            .iter()
            .take(NAMED_MAX)
            .map(|(guid, difference)| DriftItem {
                external_id: guid.to_string(),
                object: plan::name(index, **guid),
                difference: **difference,
            });
        DriftReport {
            checked_at,
            differing: drifted.len(),
            objects: named.collect(),
            pending: self.differing.len() - drifted.len(),
            unfit: self.unfit,
            directory_digest: self.directory.to_hex(),
            hub_digest: self.hub.to_hex(),
        }
    }
}
