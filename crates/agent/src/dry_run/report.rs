//! What a dry run found, for people and programs.
//!
//! Invariant: all eleven counters of the interface are there, zero or not.

use serde::Serialize;

use crate::engine::index::Index;
use crate::engine::plan::{self, Plan, PlanHash};
use crate::engine::trial::Trial;
use crate::progress::{Change, Count, ObjectType};

/// Failed items in a report; the rest is counted.
const ITEMS_SHOWN_MAX: usize = 1_000;
/// The counters, in the order in which they are shown.
const COUNTERS: [(ObjectType, Change); 11] = [
    (ObjectType::User, Change::Create),
    (ObjectType::User, Change::Update),
    (ObjectType::User, Change::Delete),
    (ObjectType::User, Change::Activate),
    (ObjectType::User, Change::Deactivate),
    (ObjectType::User, Change::PasswordHashUpdate),
    (ObjectType::Group, Change::Create),
    (ObjectType::Group, Change::Update),
    (ObjectType::Group, Change::Delete),
    (ObjectType::Membership, Change::Create),
    (ObjectType::Membership, Change::Delete),
];

/// The result of a dry run.
#[derive(Debug, Clone, Serialize)]
pub struct DryRunReport {
    /// `full` or `delta`: what was read.
    pub mode: &'static str,
    /// Objects the directory delivered.
    pub objects_read: usize,
    /// Users in scope.
    pub users_in_scope: usize,
    /// Groups in scope.
    pub groups_in_scope: usize,
    /// Memberships in scope.
    pub memberships_in_scope: usize,
    /// The hash of the plan: an approval takes it.
    pub plan: String,
    /// How many steps it has.
    pub steps: usize,
    /// Why a run would refuse it, if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What would be done and what would fail.
    pub counters: Vec<Counter>,
    /// How many objects would fail.
    pub failed_items_count: usize,
    /// These, at most 1,000.
    pub failed_items: Vec<FailedItem>,
    /// How long it took.
    pub seconds: f64,
}

/// Changes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// Of what.
    pub object: ObjectType,
    /// Which.
    pub change: Change,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}

/// An object that would fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedItem {
    /// objectGUID as text.
    pub external_id: String,
    /// Name in the directory.
    pub object: String,
    /// user, group or membership.
    pub object_type: ObjectType,
    /// What would be tried.
    pub change: Change,
    /// Why it would fail.
    pub reason: String,
}

impl DryRunReport {
    /// A report on this plan, with nothing tried yet.
    #[must_use]
    pub fn new(plan: &Plan, hash: PlanHash, mode: &'static str) -> Self {
        Self {
            mode,
            objects_read: 0,
            users_in_scope: plan.users_in_scope,
            groups_in_scope: plan.groups_in_scope,
            memberships_in_scope: plan.memberships_in_scope,
            plan: hash.to_string(),
            steps: plan.writes(),
            refused: None,
            counters: Vec::new(),
            failed_items_count: 0,
            failed_items: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Takes over what was tried.
    pub fn take(&mut self, trial: &Trial, index: &Index) {
        let count = |kind: &(ObjectType, Change)| trial.counts.get(kind).copied();
        let counters = COUNTERS.iter().map(|kind| Counter {
            object: kind.0,
            change: kind.1,
            count: count(kind).unwrap_or_default(),
        });
        self.counters = counters.collect();
        self.failed_items_count = trial.failures.len();
        let items = trial.failures.iter().take(ITEMS_SHOWN_MAX);
        self.failed_items = items
            .map(|(key, reason)| FailedItem {
                external_id: key.0.to_string(),
                object: plan::name(index, key.0),
                object_type: key.1,
                change: key.2,
                reason: reason.clone(),
            })
            .collect();
    }

    /// Replaces one counter.
    pub fn set(&mut self, object: ObjectType, change: Change, count: Count) {
        let kind = |counter: &&mut Counter| (counter.object, counter.change) == (object, change);
        if let Some(counter) = self.counters.iter_mut().find(kind) {
            counter.count = count;
        }
    }

    /// Whether a run would do all of it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refused.is_none()
            && self
                .counters
                .iter()
                .all(|counter| counter.count.failed == 0)
    }

    /// Writes the counters to the log, a line each, and what is in the way.
    pub fn log(&self) {
        for Counter {
            object,
            change,
            count,
        } in &self.counters
        {
            tracing::info!(
                successful = count.successful,
                failed = count.failed,
                "dry run: {object:?} {change:?}"
            );
        }
        for item in &self.failed_items {
            tracing::warn!(
                object = item.object,
                reason = item.reason,
                "dry run: {:?} {:?} would fail",
                item.object_type,
                item.change
            );
        }
        if let Some(why) = &self.refused {
            tracing::warn!(
                plan = self.plan,
                "dry run: the plan would be refused: {why}; a run carries it out after rollcall-agent approve, or with safety.max_removals raised"
            );
        }
    }

    /// A few lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "dry run ({}): {} objects read in {:.1} s; in scope {} users, {} groups, {} memberships",
                self.mode,
                self.objects_read,
                self.seconds,
                self.users_in_scope,
                self.groups_in_scope,
                self.memberships_in_scope
            ),
            format!("plan {} with {} changes", self.plan, self.steps),
        ];
        for counter in &self.counters {
            lines.push(format!(
                "{:?} {:?}: {} successful, {} failed",
                counter.object, counter.change, counter.count.successful, counter.count.failed
            ));
        }
        for item in &self.failed_items {
            lines.push(format!("would fail: {}: {}", item.object, item.reason));
        }
        let more = self
            .failed_items_count
            .saturating_sub(self.failed_items.len());
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        if let Some(why) = &self.refused {
            lines.push(format!(
                "the plan would be refused: {why}; to let it pass: rollcall-agent approve, or raise safety.max_removals for one run"
            ));
        }
        lines.push("nothing was changed".to_owned());
        lines.join("\n")
    }
}
