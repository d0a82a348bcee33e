//! What password writeback is doing.
//!
//! Invariant: numbers and reasons only, nobody's name.

use std::collections::BTreeMap;

use rollcall_kit::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::Phase;
use crate::failure::Failure;
use crate::password_writeback::refusal::Refusal;

/// Its state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WritebackCondition {
    /// Working = it gets the changes of the pool. Waiting = for the pool's switch, or for the first
    /// change, while another agent may get them.
    pub phase: Phase,
    /// Why it waits or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when the stream is open, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<String>,
    /// Changes that are being worked on.
    #[serde(default)]
    pub pending: usize,
    /// Passwords of this process that the directory took.
    #[serde(default)]
    pub written: u64,
    /// Passwords of this process that were not set, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// Ends of changes that the hub could not be told.
    #[serde(default)]
    pub commit_failures: u64,
    /// When the directory last took a password, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_written_at: Option<String>,
}

/// Whether the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It does.
    Yes,
    /// It does not, and will not.
    No,
}

impl WritebackCondition {
    /// What a former process left says nothing of this one.
    pub(super) fn begin(&mut self) {
        *self = Self {
            last_written_at: self.last_written_at.take(),
            ..Self::default()
        };
    }

    /// It cannot be worked on; it is tried again.
    pub fn fail(&mut self, failure: &Failure) {
        self.phase = Phase::Failing;
        self.reason = Some(failure.to_string());
        self.connected_at = None;
    }

    /// Counts the end of a change.
    pub fn count(&mut self, refusal: Option<&Refusal>, told: Told, now: Timestamp) {
        match refusal {
            None => {
                self.written += 1;
                self.last_written_at = Some(now.to_string());
            }
            Some(refusal) => {
                *self.refused.entry(refusal.code().to_owned()).or_default() += 1;
            }
        }
        self.commit_failures += u64::from(told == Told::No);
    }

    /// A few lines for a person.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut first = format!("password_writeback: {}", self.phase.text());
        if let Some(reason) = &self.reason {
            first.push_str(": ");
            first.push_str(reason);
        }
        let refused: u64 = self.refused.values().sum();
        let codes = self
            .refused
            .iter()
            .map(|(code, number)| format!("{code} {number}"));
        let codes = codes.collect::<Vec<_>>().join(", ");
        let codes = if codes.is_empty() {
            codes
        } else {
            format!(" ({codes})")
        };
        let mut lines = vec![
            first,
            format!(
                "  {} passwords written, {refused} refused{codes}, {} in work",
                self.written, self.pending
            ),
        ];
        if let Some(at) = &self.connected_at {
            lines.push(format!("  connected since {at}"));
        }
        if let Some(at) = &self.last_written_at {
            lines.push(format!("  last password written at {at}"));
        }
        if self.commit_failures > 0 {
            let number = self.commit_failures;
            lines.push(format!(
                "  {number} TIMES the hub could not be told what became of one"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_and_is_shown() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut condition = WritebackCondition {
            phase: Phase::Working,
            pending: 1,
            ..WritebackCondition::default()
        };
        condition.count(None, Told::Yes, now);
        condition.count(Some(&Refusal::other("x")), Told::Yes, now);
        condition.count(Some(&Refusal::late(None)), Told::No, now);
        let text = condition.lines().join("\n");
        for part in [
            "password_writeback: working",
            "1 passwords written, 2 refused (DEADLINE_EXCEEDED 1, UNKNOWN_ERROR 1), 1 in work",
            "last password written at 2027",
            "1 TIMES the hub could not be told",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        condition.begin();
        assert_eq!((condition.written, condition.commit_failures), (0, 0));
        assert!(condition.last_written_at.is_some());
    }
}
