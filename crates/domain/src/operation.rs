//! Operations: the record of every change that the interface promises.
//!
//! Invariant: a finished operation has exactly one of error and response. Deliberately absent:
//! knowledge of the message types inside; they are a name and bytes here.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{OperationId, OrganizationId, SessionId, SubjectId};
use crate::named::named_enum;
use crate::tally::Tally;

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
    /// What it changed under a synchronization session; `None` when it changed nothing that such
    /// a session counts.
    pub session_work: Option<SessionWork>,
}

/// What an operation changed, and the session that it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionWork {
    /// The session that the call named.
    pub session_id: SessionId,
    /// What changed; never empty.
    pub tally: Tally,
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
        /// A service account, with its keys.
        ServiceAccount = "service_account",
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

impl OperationResource {
    /// An organization, which has nothing above it.
    #[must_use]
    pub fn organization(id: &OrganizationId) -> Self {
        Self {
            kind: OperationResourceKind::Organization,
            id: id.to_string(),
            parent_id: id.to_string(),
        }
    }
}

impl Operation {
    /// A new operation with this outcome.
    #[must_use]
    pub fn new(
        id: OperationId,
        description: impl Into<String>,
        created_by: SubjectId,
        resource: OperationResource,
        metadata: Payload,
        outcome: Outcome,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            description: description.into(),
            created_at: now,
            created_by,
            modified_at: now,
            metadata,
            outcome,
            resource,
            session_work: None,
        }
    }

    /// The operation, counted for the session that its call named.
    #[must_use]
    pub fn under(self, session_id: SessionId, tally: Tally) -> Self {
        let session_work = (!tally.is_empty()).then_some(SessionWork { session_id, tally });
        Self {
            session_work,
            ..self
        }
    }

    /// What it changed under session `session_id`.
    #[must_use]
    pub fn tally_of(&self, session_id: &SessionId) -> Tally {
        match &self.session_work {
            Some(work) if work.session_id == *session_id => work.tally.clone(),
            _ => Tally::default(),
        }
    }

    /// The operation with its end; one that is finished already stays as it is.
    #[must_use]
    pub fn end(&self, outcome: Outcome, now: Timestamp) -> Self {
        if self.is_done() {
            return self.clone();
        }
        Self {
            outcome,
            modified_at: now,
            ..self.clone()
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
        self.created_at <= forgotten_until(now)
    }
}

/// Operations created then or before are past their retention.
#[must_use]
pub fn forgotten_until(now: Timestamp) -> Timestamp {
    now.minus(RETENTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_ends_once() {
        let resource = OperationResource {
            kind: OperationResourceKind::Userpool,
            id: "ek01".into(),
            parent_id: "bpf1".into(),
        };
        let at = Timestamp::from_seconds;
        let running = Operation::new(
            "ops1".into(),
            "Validate a domain",
            "aje1".into(),
            resource,
            Payload::default(),
            Outcome::Running,
            at(1),
        );
        assert!(!running.is_done());
        let ended = running.end(Outcome::Response(Payload::default()), at(2));
        assert!(ended.is_done());
        assert_eq!((ended.created_at, ended.modified_at), (at(1), at(2)));
        let error = OperationError {
            code: 1,
            message: "late".into(),
            status_bytes: Vec::new(),
        };
        assert_eq!(ended.end(Outcome::Error(error), at(3)), ended);
    }
}
