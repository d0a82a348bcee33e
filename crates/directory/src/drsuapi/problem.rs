//! What can go wrong with replication, in words an administrator can act on.
//!
//! Invariant: every code of the protocol we can do something about has an arm with its remedy, and
//! no text holds a secret. Deliberately absent: problems of network and names, which are those of
//! any connection to a directory.

use std::fmt;

/// Why password hashes could not be read. `Display` is one sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicationProblem {
    /// 8453: the account may not replicate.
    #[error(
        "the account may not read password hashes (code 8453); grant it {right} on \
         {naming_context}"
    )]
    MissingRight {
        /// What has to be granted.
        right: ReplicationRight,
        /// On which object.
        naming_context: String,
    },
    /// 87: the controller does not understand the request.
    #[error(
        "the domain controller does not understand the request (code 87); use another controller \
         and report this with the version of this one"
    )]
    InvalidParameter,
    /// 8440, 8420: there is no such domain on this controller.
    #[error(
        "the domain controller does not hold {naming_context} (code {code}); configure a controller \
         of that domain"
    )]
    UnknownDomain {
        /// Win32 error.
        code: u32,
        /// What was asked for.
        naming_context: String,
    },
    /// 8446: the controller has not enough memory.
    #[error("the domain controller has not enough memory (code 8446); it is tried again later")]
    OutOfMemory,
    /// 8452: the controller holds no replica of the domain.
    #[error(
        "the domain controller has no replica of the domain (code 8452); configure a writable \
         controller of that domain"
    )]
    NotAReplica,
    /// 8456: the controller gives no changes away, as read-only ones never do (MS-DRSR 4.1.10.5.2).
    #[error(
        "the domain controller gives no changes away (code 8456); if it is a read-only one, configure \
         another, else switch its outbound replication on: repadmin /options CONTROLLER \
         -DISABLE_OUTBOUND_REPL"
    )]
    SourceDisabled,
    /// 8457: the controller thinks that we take none.
    #[error(
        "the domain controller refuses because inbound replication is off (code 8457); switch it \
         on: repadmin /options CONTROLLER -DISABLE_INBOUND_REPL"
    )]
    DestinationDisabled,
    /// 8418: the schema is being changed.
    #[error("the schema of the domain is being changed (code 8418); it is tried again later")]
    SchemaMismatch,
    /// 8464: the controller does not take our set of attributes.
    #[error(
        "the domain controller does not take our set of attributes (code 8464); configure a \
         writable controller, not a global catalog"
    )]
    AttributeSetRefused,
    /// 8593: another replication epoch, even after asking for it.
    #[error(
        "the domain controller is in another replication epoch (code 8593), as while a domain is \
         renamed; finish the renaming"
    )]
    OtherEpoch,
    /// 8438: the controller is busy.
    #[error("the domain controller is busy (code 8438); it is tried again later")]
    Busy,
    /// Any other code of the call.
    #[error(
        "the domain controller refused to replicate (code {code}); \"net helpmsg {code}\" explains \
         it on Windows, and its event log says more"
    )]
    Refused {
        /// Win32 error.
        code: u32,
    },
    /// A single object was asked for, and the extended operation for that failed.
    #[error(
        "the domain controller does not show single objects (extended code {code}, MS-DRSR \
         4.1.10.2.21); use another controller and report this with the version of this one"
    )]
    ObjectRefused {
        /// EXOP_ERR code; 0 when it did not take it for an extended operation.
        code: u32,
    },
    /// The server offers no replication.
    #[error("the server does not offer replication; configure a domain controller")]
    NotOffered,
    /// The interface or its encoding was refused.
    #[error(
        "the domain controller does not accept its interface for replication (reason {reason}); \
         check that the address and the port belong to a domain controller"
    )]
    BindRefused {
        /// Reason of C706 12.6.3.1 or 12.6.4.5.
        reason: u16,
    },
    /// The account was refused; the protocol does not say why.
    #[error(
        "the domain controller refused the account or its password (status {status:#010x}), or the \
         account is disabled, locked or expired or must change its password; the protocol does not \
         say which, signing in over LDAP does"
    )]
    SignInRefused {
        /// Status of the fault.
        status: u32,
    },
    /// A call failed below the level of replication.
    #[error("the domain controller failed in a call (status {status:#010x}); see its event log")]
    Fault {
        /// Status of the fault.
        status: u32,
    },
    /// The server does not sign heads.
    #[error(
        "the domain controller does not sign the heads of messages, so they could be changed on \
         the way; use a supported version of it"
    )]
    HeadersUnsigned,
    /// The negotiation of the security came to no end.
    #[error("the domain controller did not finish the sign-in; see its event log")]
    NegotiationUnfinished,
    /// An answer without protection.
    #[error(
        "an answer came without encryption, as if somebody on the way had made it; it was refused, \
         check the network"
    )]
    Unprotected,
    /// The server cannot do what we need.
    #[error(
        "the domain controller {what}; a version from Windows Server 2008 R2 or Samba 4 on is needed"
    )]
    TooOld {
        /// What it cannot do.
        what: &'static str,
    },
    /// A reply of a version that was not asked for.
    #[error(
        "the domain controller sent a reply of version {version}, which was not asked for; use \
         another controller and report this"
    )]
    ReplyVersion {
        /// Its version.
        version: u32,
    },
    /// The controller knows less than it did: a snapshot was restored, or it was replaced by a copy.
    #[error(
        "the domain controller knows less than it did before, so a snapshot of it was restored or \
         it was replaced by a copy; everything is read from the start"
    )]
    RolledBack,
    /// The position does not move though there is more.
    #[error(
        "the domain controller sends the same changes again and again; it is tried again later, and \
         another controller may help"
    )]
    NoProgress,
    /// More pages than any domain has.
    #[error(
        "the domain controller sent more than {limit} pages of changes without coming to an end; \
         use another controller and report this"
    )]
    TooManyPages {
        /// The limit.
        limit: u32,
    },
    /// Bytes that cannot be what they should be.
    #[error(
        "the domain controller sent something that cannot be understood ({0}); check that the \
         address and the port belong to a domain controller"
    )]
    Malformed(&'static str),
}

/// A right on the domain (MS-ADTS 5.1.3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationRight {
    /// DS-Replication-Get-Changes, and with it DS-Replication-Get-Changes-All.
    GetChanges,
    /// DS-Replication-Get-Changes-All alone.
    GetChangesAll,
}

impl fmt::Display for ReplicationRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GetChanges => {
                "\"Replicating Directory Changes\" and \"Replicating Directory Changes All\""
            }
            Self::GetChangesAll => "\"Replicating Directory Changes All\"",
        })
    }
}

impl ReplicationProblem {
    /// From the code of a call; 8453 needs a closer look before.
    pub(super) fn from_code(code: u32, naming_context: &str) -> Self {
        let naming_context = naming_context.to_owned();
        match code {
            87 => Self::InvalidParameter,
            8418 => Self::SchemaMismatch,
            8438 => Self::Busy,
            8420 | 8440 => Self::UnknownDomain {
                code,
                naming_context,
            },
            8446 => Self::OutOfMemory,
            8452 => Self::NotAReplica,
            8453 => Self::MissingRight {
                right: ReplicationRight::GetChanges,
                naming_context,
            },
            8456 => Self::SourceDisabled,
            8457 => Self::DestinationDisabled,
            8464 => Self::AttributeSetRefused,
            8593 => Self::OtherEpoch,
            _ => Self::Refused { code },
        }
    }

    /// Whether trying again later can help without anybody changing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::OutOfMemory | Self::SchemaMismatch | Self::Busy | Self::NoProgress => true,
            Self::Fault { status } => fault_is_transient(*status),
            Self::Refused { code } => code_is_transient(*code),
            _ => false,
        }
    }
}

/// Server too busy, out of memory, communication failure, cancelled (MS-RPCE, C706 appendix E).
fn fault_is_transient(status: u32) -> bool {
    matches!(
        status,
        0x0000_06bb | 0x1c00_001b | 0x1c00_000d | 0x1c01_0014 | 0x1c01_0013
    )
}

/// Busy, database error, cancelled, preempted, shutting down.
fn code_is_transient(code: u32) -> bool {
    matches!(code, 8206 | 8451 | 8454 | 8461 | 8463 | 1115)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_remedies() {
        for code in [
            87, 8418, 8420, 8438, 8440, 8446, 8452, 8453, 8456, 8457, 8464, 8593,
        ] {
            let problem = ReplicationProblem::from_code(code, "DC=corp");
            assert_ne!(problem, ReplicationProblem::Refused { code });
            let text = problem.to_string();
            assert!(
                text.contains(&code.to_string()) && text.contains(';'),
                "{text}"
            );
        }
        let other = ReplicationProblem::from_code(5, "DC=corp");
        assert_eq!(other, ReplicationProblem::Refused { code: 5 });
        assert!(other.to_string().contains("code 5"));
        assert!(ReplicationProblem::from_code(8438, "").is_transient());
        assert!(!ReplicationProblem::from_code(8453, "").is_transient());
    }
}
