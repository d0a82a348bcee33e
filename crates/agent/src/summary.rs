//! What a run did, for programs and for people.
//!
//! Invariant: the counters are those of the session. Deliberately absent: the file that shows the
//! last run to others (`crate::condition`).

use serde::{Deserialize, Serialize};

use crate::item_error::{ItemError, ItemErrors};
use crate::progress::{Change, Count, ObjectType, Progress};
use crate::refused_plan::RefusedPlan;
use crate::stream::Stream;

/// Failed items in the summary of a run; the rest is counted.
const ITEMS_SHOWN_MAX: usize = 1_000;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was compared and written.
    Completed,
    /// It could not be finished.
    Failed,
    /// It was not time yet.
    TooEarly,
    /// Another agent works.
    AnotherAgent,
    /// A signal ended it.
    Stopped,
}

/// Done and failed changes of one kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Made.
    pub created: u64,
    /// Values changed.
    pub updated: u64,
    /// Deleted.
    pub removed: u64,
    /// Switched on.
    pub activated: u64,
    /// Switched off.
    pub deactivated: u64,
    /// Password hashes that were new to the hub.
    #[serde(default)]
    pub password_hashes: u64,
    /// Failed changes of any kind.
    pub failed: u64,
}

impl Changes {
    /// Adds another number of changes.
    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.removed += other.removed;
        self.activated += other.activated;
        self.deactivated += other.deactivated;
        self.password_hashes += other.password_hashes;
        self.failed += other.failed;
    }

    /// A line for a person.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{} created, {} updated, {} removed, {} activated, {} deactivated, {} failed",
            self.created, self.updated, self.removed, self.activated, self.deactivated, self.failed
        )
    }

    /// What was done between an earlier state of the counters and this one.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            created: self.created.saturating_sub(before.created),
            updated: self.updated.saturating_sub(before.updated),
            removed: self.removed.saturating_sub(before.removed),
            activated: self.activated.saturating_sub(before.activated),
            deactivated: self.deactivated.saturating_sub(before.deactivated),
            password_hashes: self.password_hashes.saturating_sub(before.password_hashes),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSummary {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, or when the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plan that was refused because it removes too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_plan: Option<RefusedPlan>,
    /// The session, if one was opened.
    pub session_id: Option<String>,
    /// `full` or `delta`: what was read.
    pub mode: Option<String>,
    /// Objects the directory delivered.
    pub objects_read: usize,
    /// Users in scope.
    pub users_in_scope: usize,
    /// Groups in scope.
    pub groups_in_scope: usize,
    /// Memberships in scope.
    pub memberships_in_scope: usize,
    /// Users.
    pub users: Changes,
    /// Groups.
    pub groups: Changes,
    /// Memberships.
    pub memberships: Changes,
    /// How many items fail.
    pub failed_items_count: usize,
    /// The failed items, at most 1,000.
    pub failed_items: Vec<ItemError>,
    /// How long it took.
    pub seconds: f64,
    /// Objects read in a second.
    pub objects_per_second: f64,
    /// When it ended, RFC 3339.
    pub ended_at: String,
}

impl RunSummary {
    /// A run that has not done anything.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: None,
            refused_plan: None,
            session_id: None,
            mode: None,
            objects_read: 0,
            users_in_scope: 0,
            groups_in_scope: 0,
            memberships_in_scope: 0,
            users: Changes::default(),
            groups: Changes::default(),
            memberships: Changes::default(),
            failed_items_count: 0,
            failed_items: Vec::new(),
            seconds: 0.0,
            objects_per_second: 0.0,
            ended_at: String::new(),
        }
    }

    /// Takes over the counters.
    pub fn count(&mut self, progress: &Progress) {
        self.users = changes(progress, ObjectType::User);
        self.groups = changes(progress, ObjectType::Group);
        self.memberships = changes(progress, ObjectType::Membership);
    }

    /// Takes over the failed items.
    pub fn list(&mut self, errors: &ItemErrors) {
        self.failed_items_count = errors.len();
        self.failed_items = errors.iter().take(ITEMS_SHOWN_MAX).cloned().collect();
    }

    /// Notes how long it took.
    pub fn took(&mut self, seconds: f64) {
        self.seconds = seconds;
        if seconds > 0.0 {
            self.objects_per_second = self.objects_read as f64 / seconds;
        }
    }

    /// The same without the failed items themselves.
    #[must_use]
    pub fn without_items(&self) -> Self {
        Self {
            failed_items: Vec::new(),
            ..self.clone()
        }
    }

    /// A few lines for a person.
    #[must_use]
    pub fn text(&self, stream: Stream) -> String {
        let mut lines = vec![match (&self.outcome, &self.reason) {
            (Outcome::Completed, _) => format!(
                "{} run completed in {:.1} s ({:.0} objects/s), session {}",
                self.mode.as_deref().unwrap_or("?"),
                self.seconds,
                self.objects_per_second,
                self.session_id.as_deref().unwrap_or("?")
            ),
            (outcome, reason) => format!(
                "{}: {}",
                match outcome {
                    Outcome::Failed => "the run failed",
                    Outcome::TooEarly => "nothing to do yet",
                    Outcome::AnotherAgent => "another agent works",
                    Outcome::Stopped => "stopped",
                    Outcome::Completed => "completed",
                },
                reason.as_deref().unwrap_or_default()
            ),
        }];
        if matches!(self.outcome, Outcome::Completed | Outcome::Failed) {
            lines.extend(self.numbers(stream));
        }
        for item in &self.failed_items {
            lines.push(item.text());
        }
        if !self.failed_items.is_empty() && self.failed_items_count > self.failed_items.len() {
            let more = self.failed_items_count - self.failed_items.len();
            lines.push(format!("and {more} more failed items"));
        }
        lines.join("\n")
    }

    fn numbers(&self, stream: Stream) -> Vec<String> {
        match stream {
            Stream::Objects => vec![
                format!(
                    "read {} objects; in scope {} users, {} groups, {} memberships",
                    self.objects_read,
                    self.users_in_scope,
                    self.groups_in_scope,
                    self.memberships_in_scope
                ),
                format!("users: {}", self.users.text()),
                format!("groups: {}", self.groups.text()),
                format!("memberships: {}", self.memberships.text()),
            ],
            Stream::AccountState => vec![
                format!("read {} accounts", self.objects_read),
                format!("users: {}", self.users.text()),
            ],
            Stream::PasswordHashes => vec![format!(
                "read {} password hashes; {} were new to the hub, {} failed",
                self.objects_read, self.users.password_hashes, self.users.failed
            )],
        }
    }
}

fn changes(progress: &Progress, object: ObjectType) -> Changes {
    let count = |change| progress.count(object, change);
    let all = [
        Change::Create,
        Change::Update,
        Change::Delete,
        Change::Activate,
        Change::Deactivate,
        Change::PasswordHashUpdate,
    ]
    .map(count);
    let successful = |change| -> u64 {
        let Count { successful, .. } = count(change);
        successful
    };
    Changes {
        created: successful(Change::Create),
        updated: successful(Change::Update),
        removed: successful(Change::Delete),
        activated: successful(Change::Activate),
        deactivated: successful(Change::Deactivate),
        password_hashes: successful(Change::PasswordHashUpdate),
        failed: all.iter().map(|count| count.failed).sum(),
    }
}
