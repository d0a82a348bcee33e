//! What replication shows of an object: who it is, its password hash, and the state of its account.
//!
//! Invariant: a hash is either the right one or none; it is wiped when it is dropped and no output
//! shows it. Deliberately absent: every attribute that nothing here reads.

use std::fmt;

use rollcall_kit::timestamp::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::guid::Guid;

/// MD4 of a password in UTF-16, what Active Directory keeps of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct NtHash([u8; 16]);

impl NtHash {
    /// From the 16 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The content; name a good reason where it is used.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a page says of the password hash of an object.
#[derive(Clone, Debug, Default)]
pub enum HashValue {
    /// Nothing: it has not changed, or it was not asked for.
    #[default]
    NotSent,
    /// There is none, or none any longer.
    Removed,
    /// The hash.
    Hash(NtHash),
    /// There is one that cannot be decrypted.
    Undecryptable(Undecryptable),
}

/// Why a hash cannot be decrypted. `Display` names the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecryptable {
    /// The value has not the form of an encrypted hash.
    Form,
    /// The checksum is wrong, so the value was damaged or encrypted with another key.
    Checksum,
    /// The object has no security identifier, from which a part of the key comes.
    NoIdentifier,
}

impl fmt::Display for Undecryptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "the domain controller sent a password hash in an unknown form; check whether it \
                 runs a supported version"
            }
            Self::Checksum => {
                "the checksum of the encrypted password hash is wrong; it is read again, and if \
                 that does not help the password has to be set anew"
            }
            Self::NoIdentifier => {
                "the object with this password hash has no security identifier; check the object \
                 on the domain controller"
            }
        })
    }
}

/// When the password was set (`pwdLastSet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordLastSet {
    /// 0: it has to be changed at the next logon.
    MustChange,
    /// At this time.
    At(Timestamp),
}

/// What a page shows of one object; what did not change is absent.
#[derive(Clone, Debug)]
pub struct ReplicatedObject {
    /// Its permanent identifier.
    pub guid: Guid,
    /// The last part of its security identifier; `None` when it has none.
    pub rid: Option<u32>,
    /// Its name at the moment.
    pub dn: String,
    /// Its password hash (`unicodePwd`).
    pub nt_hash: HashValue,
    /// When the hash was last changed on the controller where that happened, in whole seconds,
    /// from the replication metadata; `None` when the hash was not sent.
    pub nt_hash_changed: Option<Timestamp>,
    /// `pwdLastSet`; `None` when it was not sent or was removed.
    pub pwd_last_set: Option<PasswordLastSet>,
    /// `userAccountControl`; `None` when it was not sent or was removed.
    pub user_account_control: Option<u32>,
    /// Whether it is deleted.
    pub is_deleted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_not_shown() {
        let value = HashValue::Hash(NtHash::new([0xab; 16]));
        assert_eq!(format!("{value:?}"), "Hash(***)");
    }
}
