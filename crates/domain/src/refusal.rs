//! Why a request is refused: the caller's matter, never a fault of the hub.
//!
//! Invariant: the enum is closed; each value maps to one status of the wire. `reason` of a
//! precondition is a stable code for programs, the message is for people. Deliberately absent:
//! faults of storage and network, and anything secret.

use thiserror::Error;

/// A refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A value of the request is not acceptable, whatever the state of the hub.
    #[error("{field}: {why}")]
    Invalid {
        /// Path of the field in the request, in snake case.
        field: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A value of the request is ahead of what there is.
    #[error("{field}: {why}")]
    OutOfRange {
        /// Path of the field in the request, in snake case.
        field: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The named thing does not exist (or is hidden from the caller).
    #[error("{what} not found")]
    NotFound {
        /// The thing and its id, such as `user aje…`.
        what: String,
    },
    /// A thing with the same name or key exists.
    #[error("{what} already exists")]
    AlreadyExists {
        /// The thing and its key, such as `group "staff"`.
        what: String,
    },
    /// The request is right but does not fit the present state.
    #[error("{message}")]
    Precondition {
        /// Stable upper-snake-case code.
        reason: &'static str,
        /// What stands in the way and what to do.
        message: String,
    },
    /// The caller may not do this.
    #[error("{message}")]
    Denied {
        /// What is missing.
        message: String,
    },
    /// Another call changed the same thing; a repetition may succeed.
    #[error("{message}")]
    Aborted {
        /// What collided.
        message: String,
    },
    /// A quota is used up (decision U86).
    #[error(
        "quota {quota} of {holder} is used up: at most {limit} are allowed; remove some, or raise \
         the quota in the configuration of the hub"
    )]
    QuotaExceeded {
        /// Key of the quota in the configuration.
        quota: &'static str,
        /// Whose quota it is: kind and id, such as `group aje…`.
        holder: String,
        /// The limit.
        limit: u64,
    },
}

impl Refusal {
    /// A refused value of the request.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            why: why.into(),
        }
    }

    /// A value that is ahead of what there is.
    pub fn out_of_range(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::OutOfRange {
            field: field.into(),
            why: why.into(),
        }
    }

    /// A missing thing: `kind` such as `user`, and its id.
    pub fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::NotFound {
            what: format!("{kind} {id}"),
        }
    }

    /// A thing that is there already: `kind` such as `group`, and its key.
    pub fn already_exists(kind: &str, key: impl std::fmt::Display) -> Self {
        Self::AlreadyExists {
            what: format!("{kind} {key}"),
        }
    }

    /// A state that stands in the way.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Precondition {
            reason,
            message: message.into(),
        }
    }

    /// A missing right.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::Denied {
            message: message.into(),
        }
    }

    /// A collision with another call.
    pub fn aborted(message: impl Into<String>) -> Self {
        Self::Aborted {
            message: message.into(),
        }
    }
}
