//! A model of the agent's two loops about passwords: those from the directory to the hub
//! ([`hashes`]) and those from the hub to the directory ([`writeback`]).
//!
//! Invariant: what is on its disk survives when it is killed, and nothing else does. It judges time by
//! its own clock. Deliberately absent: both loops of one agent dying apart from each other.

pub mod hashes;
pub mod writeback;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::Guid;
use rollcall_domain::id::OperationId;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::password_hub::Why;
use hashes::Hashes;
use rollcall_agent::engine::password_writeback::Traces;
use writeback::Writeback;

/// How far a change has come, as noted on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is being written; the account was like this before.
    Writing(Traces),
    /// The directory took it.
    Written,
    /// It was not taken.
    Refused(Why),
}

/// An agent.
#[derive(Debug)]
pub struct PasswordAgent {
    /// As it calls itself.
    pub name: String,
    /// How far its clock is ahead of the hub's.
    pub ahead: Span,
    /// Dead or stopped until then.
    pub away_until: Timestamp,
    /// On its disk: what was begun.
    pub notes: BTreeMap<OperationId, Begun>,
    /// On its disk: whose hashes could not be delivered.
    pub failed: BTreeSet<Guid>,
    /// In its memory.
    pub hashes: Hashes,
    /// In its memory.
    pub writeback: Writeback,
}

impl PasswordAgent {
    /// An agent that does nothing yet.
    #[must_use]
    pub fn new(number: usize, ahead: Span, now: Timestamp) -> Self {
        Self {
            name: format!("agent-{number}"),
            ahead,
            away_until: now,
            notes: BTreeMap::new(),
            failed: BTreeSet::new(),
            hashes: Hashes::new(now),
            writeback: Writeback::new(now),
        }
    }

    /// It is killed, and started again later.
    pub fn kill(&mut self, until: Timestamp) {
        self.away_until = until;
        self.hashes = Hashes::new(until);
        self.writeback = Writeback::new(until);
    }
}
