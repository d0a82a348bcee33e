//! Operations: the record of every change that the interface promises.
//!
//! Invariant: a finished operation has exactly one of error and response. Deliberately absent:
//! knowledge of the message types inside; they are a name and bytes here.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{OperationId, SubjectId};
use crate::named::named_enum;

/// Operations are kept that long (decision U74).
pub const RETENTION: Span = Span::days(30);

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Identifier.
    pub id: OperationId,
    /// Short English phrase of the method.
    pub description: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// The subject that asked for it.
    pub created_by: SubjectId,
    /// Time of the last change.
    pub modified_at: Timestamp,
    /// Metadata of the method.
    pub metadata: Payload,
    /// How it stands.
    pub outcome: Outcome,
    /// The thing it is about, for lists by resource.
    pub resource: OperationResource,
}

/// A message of the interface: its full name and its encoded bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Full message name, without the URL prefix.
    pub type_name: String,
    /// Encoded message.
    pub bytes: Vec<u8>,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not finished.
    Running,
    /// Finished well.
    Response(Payload),
    /// Finished badly.
    Error(OperationError),
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationError {
    /// Status code as in gRPC.
    pub code: i32,
    /// For people.
    pub message: String,
    /// Encoded `google.rpc.Status`, with the details.
    pub status_bytes: Vec<u8>,
}

named_enum! {
    /// Kinds of things that operations are listed by.
    pub enum OperationResourceKind {
        /// An organization.
        Organization = "organization",
        /// A user pool.
        Userpool = "userpool",
        /// A group.
        Group = "group",
        /// A user.
        User = "user",
        /// Synchronization of a pool: settings, tokens and sessions.
        Synchronization = "synchronization",
    }
}

/// The thing an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationResource {
    /// Its kind.
    pub kind: OperationResourceKind,
    /// Its id.
    pub id: String,
    /// The pool or organization whose viewers may see the operation.
    pub parent_id: String,
}

impl Operation {
    /// An operation that is finished at once.
    #[must_use]
    pub fn finished(
        id: OperationId,
        description: impl Into<String>,
        created_by: SubjectId,
        resource: OperationResource,
        metadata: Payload,
        response: Payload,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            description: description.into(),
            created_at: now,
            created_by,
            modified_at: now,
            metadata,
            outcome: Outcome::Response(response),
            resource,
        }
    }

    /// Whether it is finished.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !matches!(self.outcome, Outcome::Running)
    }

    /// Whether it is past its retention and must look as if it never was.
    #[must_use]
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.created_at.plus(RETENTION) <= now
    }
}
