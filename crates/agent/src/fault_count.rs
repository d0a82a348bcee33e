//! How often the directory and the hub failed since the program started, for its metrics.
//!
//! Invariant: the counts only grow. Deliberately absent: what failed, which is in the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// One of the two sides of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The domain controller.
    Directory,
    /// The hub.
    Hub,
}

static DIRECTORY: AtomicU64 = AtomicU64::new(0);
static HUB: AtomicU64 = AtomicU64::new(0);

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Directory, Self::Hub];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Hub => "hub",
        }
    }

    /// Counts a failure.
    pub fn failed(self) {
        self.counter().fetch_add(1, Ordering::Relaxed);
    }

    /// Failures so far.
    #[must_use]
    pub fn failures(self) -> u64 {
        self.counter().load(Ordering::Relaxed)
    }

    fn counter(self) -> &'static AtomicU64 {
        match self {
            Self::Directory => &DIRECTORY,
            Self::Hub => &HUB,
        }
    }
}
