//! What the agent is doing and how its last runs ended: the one source of `status`, of the status
//! file and of the metrics.
//!
//! Invariant: a run that failed is never shown as a success, whether or not it came as far as a
//! session (AT-18); the time of the last success only moves when everything read was written.
//! Nothing here is secret. Deliberately absent: the failed items, which have their own file.

use std::collections::BTreeMap;
use std::path::Path;

use rollcall_kit::timestamp::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::drift::DriftReport;
use crate::stream::Stream;
use crate::summary::{Changes, Outcome, RunSummary};

mod board;
mod writeback;

pub use board::Board;
pub use writeback::{Told, WritebackCondition};

const FILE: &str = "status.json";
/// Largest status file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Password hashes that are behind for longer show as stale (AT-15).
const STALE_AFTER: Span = Span::minutes(2);

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Starting,
    /// It has a session.
    Working,
    /// It waits: until it is due, or for another agent.
    Waiting,
    /// The last run failed; it is tried again.
    Failing,
    /// It ended.
    Ended,
}

impl Phase {
    /// For a person.
    fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Failing => "FAILING",
            Self::Ended => "ended",
        }
    }
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Condition {
    /// Who the agent is to the hub.
    #[serde(default)]
    pub agent_id: String,
    /// Name of its machine.
    #[serde(default)]
    pub host: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// When this was written, RFC 3339.
    #[serde(default)]
    pub updated_at: String,
    /// By name of the stream.
    #[serde(default)]
    pub streams: BTreeMap<String, StreamCondition>,
    /// Password writeback, where it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_writeback: Option<WritebackCondition>,
    /// The last comparison of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftReport>,
    /// When the certificates that this process was shown expire, RFC 3339, by whose they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
}

/// One stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamCondition {
    /// What it is doing.
    pub phase: Phase,
    /// Why it waits or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The present or last session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When everything read was last written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<String>,
    /// How the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<Outcome>,
    /// Runs that failed since the last success.
    #[serde(default)]
    pub failures_in_a_row: u32,
    /// Runs of this process that were completed.
    #[serde(default)]
    pub runs_completed: u64,
    /// Runs of this process that failed.
    #[serde(default)]
    pub runs_failed: u64,
    /// Items that fail at present.
    #[serde(default)]
    pub failed_items_count: usize,
    /// Users that no password hash has come for, as of the last count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users_without_hash: Option<usize>,
    /// The present or last run, without its failed items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunSummary>,
    /// What the ended runs of this process did.
    #[serde(default)]
    pub done: Done,
}

/// Changes of several runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Users.
    pub users: Changes,
    /// Groups.
    pub groups: Changes,
    /// Memberships.
    pub memberships: Changes,
}

impl Done {
    /// Adds what a run did.
    pub fn add(&mut self, run: &RunSummary) {
        self.users.add(&run.users);
        self.groups.add(&run.groups);
        self.memberships.add(&run.memberships);
    }
}

impl StreamCondition {
    /// What this process did, the present run included.
    #[must_use]
    pub fn done_so_far(&self) -> Done {
        let mut done = self.done;
        if self.phase == Phase::Working
            && let Some(run) = &self.run
        {
            done.add(run);
        }
        done
    }
}

impl Condition {
    /// The stored status.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn load(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join(FILE);
        if std::fs::metadata(&path)?.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("the status file is too large"));
        }
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes it where [`Self::load`] finds it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, directory: &Path) -> std::io::Result<()> {
        let path = directory.join(FILE);
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(new, path)
    }

    /// A few lines for a person, as it is at this moment.
    #[must_use]
    pub fn text(&self, now: Timestamp) -> String {
        let mut lines = vec![format!(
            "agent {} on {}, version {}, as of {}",
            self.agent_id, self.host, self.version, self.updated_at
        )];
        for (name, stream) in &self.streams {
            lines.extend(stream.lines(name, now));
        }
        if let Some(writeback) = &self.password_writeback {
            lines.extend(writeback.lines());
        }
        match &self.drift {
            Some(drift) => lines.push(drift.text()),
            None => lines.push("drift: not checked yet".into()),
        }
        lines.join("\n")
    }
}

impl StreamCondition {
    /// Time since everything read was last written; `None` when it never was.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Span> {
        let at = Timestamp::parse_rfc3339(self.last_success_at.as_deref()?)?;
        Some(now.since(at))
    }

    /// Whether people wait for passwords of this stream though it should be working.
    fn is_stale(&self, name: &str, now: Timestamp) -> bool {
        let should_work = matches!(self.phase, Phase::Working | Phase::Failing);
        let stream = Stream::named(name) == Some(Stream::PasswordHashes);
        stream && should_work && self.age(now).is_none_or(|age| age >= STALE_AFTER)
    }

    fn lines(&self, name: &str, now: Timestamp) -> Vec<String> {
        let mut first = format!("{name}: {}", self.phase.text());
        if let Some(reason) = &self.reason {
            first.push_str(": ");
            first.push_str(reason);
        }
        let mut lines = vec![first];
        lines.push(match &self.last_success_at {
            Some(at) => format!("  last success at {at}"),
            None => "  no success yet".into(),
        });
        if self.is_stale(name, now) {
            lines.push("  STALE: new passwords do not reach the hub".into());
        }
        if let Some(number) = self.users_without_hash {
            lines.push(format!("  {number} users without a password hash"));
        }
        if self.failures_in_a_row > 0 {
            lines.push(format!("  {} failures since then", self.failures_in_a_row));
        }
        if let Some(run) = &self.run {
            let stream = Stream::named(name).unwrap_or(Stream::Objects);
            lines.extend(run.text(stream).lines().map(|line| format!("  {line}")));
        }
        lines
    }
}
