//! The check for drift: both sides are read and compared, nothing is written.
//!
//! Invariant: an object that changed in the directory during the check is on its way to the hub and
//! does not count as different; a check that could not read everything reports nothing but why.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Guid;
use crate::engine::drift::{Difference, Drift, compare};
use crate::engine::index::Index;
use crate::engine::plan::{self, Rules};
use crate::failure::Failure;
use crate::reader::{self, Reader};
use crate::run::full::{Compared, Picture};

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
    /// Objects that differ because they cannot be synchronized: see the failed items. They do not
    /// count, but are part of the digests.
    #[serde(default)]
    pub failing: usize,
    /// Objects in scope that do not fit the hub: see the failed items.
    pub unfit: usize,
    /// Memberships that were not compared: those of users who are suspended in the hub, which lists
    /// active members only. They are no part of the digests either.
    #[serde(default)]
    pub memberships_not_compared: usize,
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
        if self.failing > 0 {
            lines.push(format!(
                "  {} more differ because they cannot be synchronized: see the failed items",
                self.failing
            ));
        }
        if self.memberships_not_compared > 0 {
            lines.push(format!(
                "  {} memberships of suspended users were not compared: the hub does not list them",
                self.memberships_not_compared
            ));
        }
        lines.push(format!("  directory {}", self.directory_digest));
        lines.push(format!("  hub       {}", self.hub_digest));
        lines.join("\n")
    }
}

impl Drift {
    /// The report; objects for which `is_pending` holds are still on their way to the hub, `failing`
    /// ones cannot be synchronized.
    #[must_use]
    pub fn report(
        &self,
        index: &Index,
        checked_at: String,
        failing: &BTreeSet<Guid>,
        is_pending: impl Fn(Guid) -> bool,
    ) -> DriftReport {
        let all = self.differing.iter();
        let (failing, other): (Vec<_>, Vec<_>) = all.partition(|(guid, _)| failing.contains(guid));
        let drifted: Vec<_> = other
            .iter()
            .filter(|(guid, _)| !is_pending(**guid))
            .collect();
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
            pending: other.len() - drifted.len(),
            failing: failing.len(),
            unfit: self.unfit,
            memberships_not_compared: self.memberships_not_compared,
            directory_digest: self.directory.to_hex(),
            hub_digest: self.hub.to_hex(),
        }
    }
}

/// Whether changes may be on their way to the hub when the check begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// No: we write them ourselves.
    Now,
    /// Another process writes them, and needs this long.
    After(Duration),
}

/// What a check found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// For people and programs.
    pub(crate) report: DriftReport,
    /// All objects that differ.
    pub(crate) guids: Vec<Guid>,
}

/// Reads both sides and compares them; `failing` objects cannot be synchronized and do not count.
/// Reads a second time after a while where another process may just
/// have been writing.
///
/// # Errors
/// [`Failure`] when either side cannot be read completely.
pub(crate) async fn check(
    picture: &Picture<'_>,
    reader: &mut Reader,
    rules: &Rules,
    failing: &BTreeSet<Guid>,
    settle: Settle,
) -> Result<Checked, Failure> {
    let looked = look(picture, reader, rules).await?;
    let differing = looked.drift.differing.keys();
    let first: BTreeSet<Guid> = differing
        .filter(|guid| !failing.contains(guid))
        .copied()
        .collect();
    let wait = match settle {
        Settle::After(wait) if !first.is_empty() => wait,
        Settle::After(_) | Settle::Now => {
            return judge(picture, reader, &looked, failing, |_| true).await;
        }
    };
    drop(looked);
    let text = format!(
        "{} objects differ; another look in {} s, as changes may be on their way",
        first.len(),
        wait.as_secs()
    );
    picture.activity.begin(&text, 0);
    tokio::time::sleep(wait).await;
    let looked = look(picture, reader, rules).await?;
    let again = |guid: Guid| first.contains(&guid);
    judge(picture, reader, &looked, failing, again).await
}

/// Both sides at one time.
struct Looked {
    /// Where the controller was when it began.
    usn: i64,
    index: Index,
    drift: Drift,
}

async fn look(
    picture: &Picture<'_>,
    reader: &mut Reader,
    rules: &Rules,
) -> Result<Looked, Failure> {
    let usn = reader.newest_usn().await;
    let usn = usn.map_err(|error| reader::failure(&error))?;
    let Compared { index, .. } = picture.take(reader, None).await?;
    let drift = compare(&index, picture.scope, rules)?;
    Ok(Looked { usn, index, drift })
}

/// Leaves out what changed while it was being read, and what did not differ `before`.
async fn judge(
    picture: &Picture<'_>,
    reader: &mut Reader,
    looked: &Looked,
    failing: &BTreeSet<Guid>,
    before: impl Fn(Guid) -> bool,
) -> Result<Checked, Failure> {
    let differing: Vec<Guid> = looked.drift.differing.keys().copied().collect();
    let changed = reader.changed_after(looked.usn, &differing).await;
    let changed = changed.map_err(|error| reader::failure(&error))?;
    let is_pending = |guid: Guid| changed.contains(&guid) || !before(guid);
    let now = picture.clock.now().to_string();
    Ok(Checked {
        report: looked.drift.report(&looked.index, now, failing, is_pending),
        guids: differing
            .into_iter()
            .filter(|guid| !is_pending(*guid) && !failing.contains(guid))
            .collect(),
    })
}
