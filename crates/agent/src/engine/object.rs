//! What the engine is told about one object of the directory.
//!
//! Invariant: an object is whole; a partial answer of the directory is completed by the reader
//! before it comes here. Deliberately absent: LDAP types.

use std::collections::BTreeMap;

use super::Guid;

/// The account is disabled (MS-ADTS 2.2.16, ADS_UF_ACCOUNTDISABLE).
pub const ACCOUNT_DISABLED: u32 = 0x0002;
/// Accounts of trusts, workstations and servers: never people (MS-ADTS 2.2.16).
pub const MACHINE_ACCOUNT: u32 = 0x0800 | 0x1000 | 0x2000;

/// What an object is to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectClass {
    /// A person's account.
    User,
    /// A group.
    Group,
    /// Anything that others lie in: the domain, organizational units, containers.
    Container,
    /// An object that is only of interest as the parent of others, or of no interest.
    Other,
}

/// A live object of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryObject {
    /// objectGUID.
    pub guid: Guid,
    /// parentGUID; absent for the root of the partition.
    pub parent: Option<Guid>,
    /// The present distinguished name, for messages only: renames of parents make it stale.
    pub dn: String,
    /// What it is.
    pub class: ObjectClass,
    /// isCriticalSystemObject: never synchronized.
    pub critical: bool,
    /// First value of each attribute as text; names in lower case. Values that are not UTF-8
    /// are absent; objectSid is in its text form.
    pub attributes: BTreeMap<String, String>,
    /// Direct members of a group.
    pub members: Vec<Guid>,
    /// The last part of objectSid.
    pub rid: Option<u32>,
    /// primaryGroupID of a user: the rid of a group of the same domain.
    pub primary_group_rid: Option<u32>,
    /// userAccountControl of a user.
    pub user_account_control: u32,
    /// accountExpires of a user as the directory has it: units of 100 ns since 1601.
    pub account_expires: i64,
    /// pwdLastSet of a user in the same form: 0 when the password has to be changed at the next
    /// sign-in (MS-ADA3 2.176).
    pub pwd_last_set: Option<i64>,
}

impl DirectoryObject {
    /// An attribute's first value, if it is there and not empty. `name` is in lower case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// One piece of news from the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The object exists and looks like this.
    Seen(Box<DirectoryObject>),
    /// The directory reported a tombstone.
    Deleted(Guid),
    /// The object is not visible, and no tombstone was reported either.
    Missing(Guid),
    /// A group names it as a member, by this name, which is one of another domain.
    Elsewhere(Guid, String),
}
