//! The streams in which a hub is kept up to date: each has its own session, cursor, fence and pace,
//! so that any of them may be held by another agent (decisions U105, U131).
//!
//! Invariant: the order of [`Stream::ALL`] is the order of a single run (decision U133).
//! Deliberately absent: what a stream does; `crate::run`,
//! `crate::account_state` and `crate::password_hash` say it.

use rollcall_proto::idp::SessionType;
use serde::{Deserialize, Serialize};

/// One of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Users, groups and memberships.
    Objects,
    /// Whether users may sign in: disabled, account end, must change the password.
    AccountState,
    /// What users sign in with.
    PasswordHashes,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Objects, Self::AccountState, Self::PasswordHashes];

    /// Its name in the configuration and in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::AccountState => "account_state",
            Self::PasswordHashes => "password_hashes",
        }
    }

    /// The stream with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// What the hub calls it.
    #[must_use]
    pub fn session_type(self) -> SessionType {
        match self {
            Self::Objects => SessionType::AdSync,
            Self::AccountState => SessionType::AdUserControl,
            Self::PasswordHashes => SessionType::AdPasswordHash,
        }
    }
}
