//! Names that stand for many subjects.
//!
//! Invariant: a name is read back as it was written. Deliberately absent: who is meant by it at a
//! moment, which the store finds.

use std::fmt;

use crate::id::{OrganizationId, SubjectId, UserpoolId};

/// A predefined set of subjects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemSubject {
    /// Everybody who signed in.
    AllAuthenticatedUsers,
    /// Everybody. A stranger still cannot call what needs a token.
    AllUsers,
    /// The users of all pools of an organization.
    UsersOfOrganization(OrganizationId),
    /// The users of a pool.
    UsersOfUserpool(UserpoolId),
}

const ALL_AUTHENTICATED_USERS: &str = "allAuthenticatedUsers";
const ALL_USERS: &str = "allUsers";
const OF_ORGANIZATION: &str = "group:organization:";
const OF_USERPOOL: &str = "group:userpool:";
const USERS: &str = ":users";

impl SystemSubject {
    /// The set with this name.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let between = |prefix| id.strip_prefix(prefix)?.strip_suffix(USERS);
        match id {
            ALL_AUTHENTICATED_USERS => Some(Self::AllAuthenticatedUsers),
            ALL_USERS => Some(Self::AllUsers),
            _ => between(OF_ORGANIZATION)
                .map(|id| Self::UsersOfOrganization(id.into()))
                .or_else(|| between(OF_USERPOOL).map(|id| Self::UsersOfUserpool(id.into()))),
        }
    }

    /// Whether it is everybody, of whatever organization.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AllAuthenticatedUsers)
    }

    /// The name as the id of a subject.
    #[must_use]
    pub fn id(&self) -> SubjectId {
        SubjectId::new(self.to_string())
    }
}

impl fmt::Display for SystemSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllAuthenticatedUsers => f.write_str(ALL_AUTHENTICATED_USERS),
            Self::AllUsers => f.write_str(ALL_USERS),
            Self::UsersOfOrganization(id) => write!(f, "{OF_ORGANIZATION}{id}{USERS}"),
            Self::UsersOfUserpool(id) => write!(f, "{OF_USERPOOL}{id}{USERS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for subject in [
            SystemSubject::AllAuthenticatedUsers,
            SystemSubject::AllUsers,
            SystemSubject::UsersOfOrganization("bpf1".into()),
            SystemSubject::UsersOfUserpool("ek01".into()),
        ] {
            assert_eq!(
                SystemSubject::parse(subject.id().as_str()),
                Some(subject.clone()),
                "{subject}"
            );
        }
        for other in [
            "",
            "aje1",
            "allusers",
            "group:federation:bpf1:users",
            "group:organization:bpf1",
            "group:organization:users",
        ] {
            assert_eq!(SystemSubject::parse(other), None, "{other}");
        }
    }
}
