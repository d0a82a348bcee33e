//! What can go wrong with storage: the hub's matter, except for a broken unique constraint, which
//! is the caller's.
//!
//! Invariant: `Display` says this level, `source` the rest; neither has values of rows in it.

use std::sync::Arc;

use rollcall_domain::refusal::Refusal;
use thiserror::Error;

/// A fault of storage.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// Too much at once, or the database cannot be reached now; the same call may succeed later.
    #[error("the database is busy: {what}")]
    Busy {
        /// What stood in the way.
        what: String,
    },
    /// A row has a value that this program never writes.
    #[error("the database has an unexpected value: {what}")]
    Corrupt {
        /// Where and what.
        what: String,
    },
    /// The database refused or failed.
    #[error("the database failed: {what}")]
    Driver {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// A row with this key exists; the name is that of the unique index.
    #[error("unique index {0} has this key already")]
    Conflict(String),
}

impl Error {
    pub(crate) fn busy(what: impl Into<String>) -> Self {
        Self::Busy { what: what.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Driver {
            what: what.into(),
            source: None,
        }
    }

    pub(crate) fn driver(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Driver {
            what: what.into(),
            source: Some(Arc::new(source)),
        }
    }

    /// The refusal that a broken unique constraint means for the caller; `None` for faults.
    #[must_use]
    pub fn as_refusal(&self) -> Option<Refusal> {
        let Self::Conflict(index) = self else {
            return None;
        };
        let what = match index.as_str() {
            "organizations_name" => "an organization with this name",
            "userpools_name" => "a user pool with this name",
            "userpool_domains_pkey" => "this domain, in this or another user pool,",
            "users_username" => "a user with this login",
            "users_external_id" => "a user with this external id",
            "groups_name" => "a group with this name",
            "groups_external" => "a group with this external id",
            "sync_sessions_opened" => "an open synchronization session of this type",
            "sync_settings_pkey" => "synchronization settings of this user pool",
            "service_accounts_name" => "a service account with this name",
            _ => "a thing with this key",
        };
        Some(Refusal::AlreadyExists {
            what: what.to_owned(),
        })
    }
}
