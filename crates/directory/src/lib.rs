//! Rollcall: reading and writing directories over LDAP, and reading password hashes by replication.
//!
//! A small LDAP client of our own for Active Directory (Windows and Samba): LDAPS with simple bind or
//! LDAP sealed by Kerberos, paged searches, DirSync, ranged members. Invariant: an incomplete read is always an error; see
//! [`Search::next`] and [`DirSync::next`]. Bytes from the network never panic and never cost more
//! memory than was received. Deliberately absent: nouns of the hub, retries, and all policy.
//!
//! Beside it [`Replication`] reads what LDAP never shows, over DCE/RPC of our own, as little of it as
//! that needs.
//!
//! The codec is ours because a directory needs what the existing ones leave out: filters with bytes
//! (`objectGUID`) and full RFC 4515 text, strictness against truncated values, and messages that
//! are parsed once however large they are. The tests check it against an independent one.

mod attributes;
mod ber;
mod connection;
mod dirsync;
mod dn;
mod drsuapi;
mod entry;
mod error;
mod filter;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod guid;
mod members;
mod message;
mod options;
mod origin;
mod password;
mod rights;
mod root_dse;
mod rpc;
mod sasl;
mod search;
mod security;
mod sid;
mod tls;
mod transport;

pub use attributes::Attributes;
pub use connection::Connection;
pub use dirsync::{
    Access, Change, Cookie, DIRSYNC, DirSync, DirSyncEvent, DirSyncRequest, MemberChange,
    MemberDetail,
};
pub use dn::{Dn, InvalidDn, escape};
pub use drsuapi::{
    HashValue, NtHash, Page, PasswordLastSet, ReplicatedAttribute, ReplicatedObject, Replication,
    ReplicationCursor, ReplicationOptions, ReplicationProblem, ReplicationRight, Undecryptable,
    Usns,
};
pub use entry::{Entry, Kind, Member};
pub use error::{BindProblem, CertificateProblem, Error, Unsafe};
pub use filter::{Filter, InvalidFilter};
pub use guid::{Guid, InvalidGuid};
pub use members::GroupMembers;
pub use message::{Operation, Scope};
pub use options::{Bind, Options, PlainText, Verification};
pub use origin::Origin;
pub use password::{
    NextSignIn, PasswordProblem, PasswordRefusal, PasswordWrite, Setter, Verified, verify_password,
};
pub use rights::MissingRight;
pub use root_dse::RootDse;
pub use search::{Base, Deleted, Links, Search, SearchRequest};
pub use security::{
    Credential, InvalidKdc, Kdc, KdcRefusal, KdcRequest, Keytab, KeytabEntry, KeytabKey,
    KeytabProblem, Krb5Config, Krb5ConfigProblem, Mechanism, SecurityError, SecurityOptions,
};
pub use sid::Sid;
