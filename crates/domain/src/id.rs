//! Typed identifiers: the text of an id with the noun it belongs to.
//!
//! Invariant: ids of different nouns cannot be mixed up by the compiler. Deliberately absent: any
//! check of the form, because an unknown id is simply not found, whatever it looks like.

use std::fmt;

macro_rules! typed_id {
    ($($(#[$meta:meta])* $type:ident = $prefix:literal;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The three characters that new ids of this noun begin with (decision U87).
            pub const PREFIX: &'static str = $prefix;

            /// Takes over the text of an id.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text of the id, taken out.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )+};
}

typed_id! {
    /// An organization.
    OrganizationId = "bpf";
    /// A user pool; the only kind of subject container served.
    UserpoolId = "ek0";
    /// A user of a pool.
    UserId = "aje";
    /// A group of an organization.
    GroupId = "aje";
    /// Whoever calls: a user or a service account.
    SubjectId = "aje";
    /// A synchronization session.
    SessionId = "sys";
    /// A long or short running operation.
    OperationId = "ops";
    /// A stored password.
    PasswordId = "aje";
    /// A service account.
    ServiceAccountId = "aje";
    /// An authorized key of a service account.
    KeyId = "aje";
    /// The record of an issued token (not the token).
    TokenId = "aje";
    /// A session that began with a sign-in (not a synchronization session).
    SignInSessionId = "sis";
    /// An event of the audit trail.
    AuditEventId = "evt";
}

impl From<UserId> for SubjectId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

impl From<ServiceAccountId> for SubjectId {
    fn from(id: ServiceAccountId) -> Self {
        Self(id.0)
    }
}
