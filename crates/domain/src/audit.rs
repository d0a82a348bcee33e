//! Events of the audit trail: who did or tried what, to what, from where, and how it ended.
//!
//! Invariant: an event is written once and never changes; it holds no password, hash, token or
//! private key. Deliberately absent: knowledge of the messages it was made from; request, answer
//! and details are JSON texts here.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::access::{Subject, SubjectKind};
use crate::id::{
    AuditEventId, GroupId, KeyId, OrganizationId, ServiceAccountId, SessionId, TokenId, UserId,
    UserpoolId,
};
use crate::named::named_enum;

/// Days that events are kept when the configuration says nothing.
pub const RETENTION_DAYS_DEFAULT: u32 = 365;
/// Most days that a configuration may ask for: a hundred years.
pub const RETENTION_DAYS_MAX: u32 = 36_525;

named_enum! {
    /// How a change ended.
    pub enum EventStatus {
        /// Begun; another event tells the end.
        Started = "STARTED",
        /// Going on.
        Running = "RUNNING",
        /// Done.
        Done = "DONE",
        /// Refused or failed.
        Error = "ERROR",
        /// Cancelled.
        Cancelled = "CANCELLED",
    }
}

named_enum! {
    /// Kinds of resources in the path of an event.
    pub enum AuditResourceKind {
        /// An organization.
        Organization = "organization-manager.organization",
        /// A user pool.
        Userpool = "organization-manager.userpool",
        /// A user.
        User = "organization-manager.user",
        /// A group.
        Group = "organization-manager.group",
        /// A service account.
        ServiceAccount = "iam.serviceAccount",
    }
}

/// A resource of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditResource {
    /// Its kind.
    pub kind: AuditResourceKind,
    /// Its id.
    pub id: String,
    /// Its name at that time; empty when there is none.
    pub name: String,
}

/// The thing that a call names, whose path is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// An organization.
    Organization(OrganizationId),
    /// A user pool.
    Userpool(UserpoolId),
    /// A user.
    User(UserId),
    /// A group.
    Group(GroupId),
    /// The pool of a session.
    Session(SessionId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// The service account of a key.
    Key(KeyId),
}

impl AuditTarget {
    /// The thing that a subject is; `None` for subjects that are not stored one by one.
    #[must_use]
    pub fn of_subject(subject: &Subject) -> Option<Self> {
        let id = subject.id.as_str();
        match subject.kind {
            SubjectKind::UserAccount => Some(Self::User(id.into())),
            SubjectKind::ServiceAccount => Some(Self::ServiceAccount(id.into())),
            SubjectKind::FederatedUser | SubjectKind::System | SubjectKind::Group => None,
        }
    }

    /// The resource as the call named it, for a thing that is not there.
    #[must_use]
    pub fn as_named(&self) -> Option<AuditResource> {
        let (kind, id) = match self {
            Self::Organization(id) => (AuditResourceKind::Organization, id.as_str()),
            Self::Userpool(id) => (AuditResourceKind::Userpool, id.as_str()),
            Self::User(id) => (AuditResourceKind::User, id.as_str()),
            Self::Group(id) => (AuditResourceKind::Group, id.as_str()),
            Self::ServiceAccount(id) => (AuditResourceKind::ServiceAccount, id.as_str()),
            Self::Session(_) | Self::Key(_) => return None,
        };
        Some(AuditResource {
            kind,
            id: id.to_owned(),
            name: String::new(),
        })
    }
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCaller {
    /// The subject.
    pub subject: Subject,
    /// Its name at that time; empty when there is none.
    pub name: String,
}

impl AuditCaller {
    /// The kind of the subject in the form of the envelope.
    #[must_use]
    pub fn subject_type(&self) -> &'static str {
        match self.subject.kind {
            SubjectKind::UserAccount => "USER_ACCOUNT",
            SubjectKind::ServiceAccount => "SERVICE_ACCOUNT",
            SubjectKind::FederatedUser => "FEDERATED_USER_ACCOUNT",
            SubjectKind::System => "SYSTEM",
            SubjectKind::Group => "GROUP",
        }
    }
}

/// The token of a call, without what makes it valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditToken {
    /// Its record.
    pub id: TokenId,
    /// The token with its secret part masked.
    pub masked: String,
    /// Who asked for the token in the name of the caller.
    pub impersonator: Option<AuditCaller>,
}

/// Where a call came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditOrigin {
    /// Address of the client; empty for changes that nobody called for.
    pub remote_address: String,
    /// Port of the client.
    pub remote_port: u16,
    /// What the client says it is.
    pub user_agent: String,
    /// Identifier of the call, as in logs and errors.
    pub request_id: String,
}

/// Why a change failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditError {
    /// Status code as in gRPC.
    pub code: i32,
    /// For people.
    pub message: String,
    /// Encoded `google.rpc.Status`, with the details; may be empty.
    pub status_bytes: Vec<u8>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Identifier; sorts by time.
    pub id: AuditEventId,
    /// When it was recorded: strictly later than the event before of the same hub.
    pub time: Timestamp,
    /// The service that was called.
    pub source: String,
    /// What was done.
    pub event_type: String,
    /// How it ended.
    pub status: EventStatus,
    /// Who called; `None` when nobody proved who it is.
    pub caller: Option<AuditCaller>,
    /// The token of the call.
    pub token: Option<AuditToken>,
    /// Whether the caller had the right.
    pub authorized: bool,
    /// What it was done to, from the organization down.
    pub path: Vec<AuditResource>,
    /// Where it came from.
    pub origin: AuditOrigin,
    /// Why it failed.
    pub error: Option<AuditError>,
    /// A JSON object with what is specific to the type.
    pub details: String,
    /// The request as a JSON object, without its secrets.
    pub request: String,
    /// The answer as a JSON object, without its secrets.
    pub response: String,
}

impl AuditEvent {
    /// The organization it belongs to; `None` when it was not known.
    #[must_use]
    pub fn organization_id(&self) -> Option<OrganizationId> {
        self.find_resource(AuditResourceKind::Organization)
            .map(|resource| OrganizationId::new(&resource.id))
    }

    /// The pool it belongs to.
    #[must_use]
    pub fn userpool_id(&self) -> Option<UserpoolId> {
        self.find_resource(AuditResourceKind::Userpool)
            .map(|resource| UserpoolId::new(&resource.id))
    }

    /// The id of the innermost resource; empty when none was known.
    #[must_use]
    pub fn resource_id(&self) -> &str {
        self.path.last().map_or("", |resource| resource.id.as_str())
    }

    fn find_resource(&self, kind: AuditResourceKind) -> Option<&AuditResource> {
        self.path.iter().find(|resource| resource.kind == kind)
    }
}

/// Events before this moment may leave; `None` = they stay for ever.
#[must_use]
pub fn retained_from(now: Timestamp, retention_days: u32) -> Option<Timestamp> {
    (retention_days > 0).then(|| now.minus(Span::days(i64::from(retention_days))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_days_keep_everything() {
        let now = Timestamp::from_seconds(1_700_000_000);
        assert_eq!(retained_from(now, 0), None);
        assert_eq!(retained_from(now, 1), Some(now.minus(Span::hours(24))));
    }
}
