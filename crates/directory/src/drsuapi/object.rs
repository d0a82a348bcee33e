//! What replication shows of an object: who it is, its password hash, and the state of its account.
//!
//! Invariant: a hash is either the right one or none; it is wiped when it is dropped and no output
//! shows it. Deliberately absent: every attribute that nothing here reads.

use std::fmt;

use rollcall_kit::timestamp::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::attribute::ReplicatedAttribute;
use super::reply::{Attribute, Object, PrefixTable, Reply};
use super::secret;
use crate::guid::Guid;
use crate::rpc::ndr::Malformed;

/// What a deleted object has in its name (MS-ADTS 3.1.1.5.5), escaped.
const DELETED_MARK: &str = "\\0ADEL:";
/// Seconds between 1601 and 1970.
const UNIX_EPOCH_AS_DSTIME: i64 = 11_644_473_600;
const FILETIME_PER_MICROSECOND: i64 = 10;

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

/// The objects of a page, decrypted with the key of the session.
pub(super) fn objects(
    reply: &Reply<'_>,
    session_key: &[u8],
) -> Result<Vec<ReplicatedObject>, Malformed> {
    let of = |object| replicated(object, &reply.prefixes, session_key);
    reply.objects.iter().map(of).collect()
}

fn replicated(
    object: &Object<'_>,
    prefixes: &PrefixTable<'_>,
    session_key: &[u8],
) -> Result<ReplicatedObject, Malformed> {
    let mut out = ReplicatedObject {
        guid: object.guid.ok_or(Malformed("an object without a name"))?,
        rid: object.rid,
        dn: object.dn.clone(),
        nt_hash: HashValue::NotSent,
        nt_hash_changed: None,
        pwd_last_set: None,
        user_account_control: None,
        is_deleted: object.dn.contains(DELETED_MARK),
    };
    for attribute in &object.attributes {
        match ReplicatedAttribute::find(attribute.number, prefixes)? {
            Some(ReplicatedAttribute::UnicodePwd) => {
                out.nt_hash = hash(attribute, object.rid, session_key);
                out.nt_hash_changed = changed(attribute);
            }
            Some(ReplicatedAttribute::PwdLastSet) => {
                out.pwd_last_set = number(attribute).and_then(password_last_set);
            }
            Some(ReplicatedAttribute::UserAccountControl) => {
                out.user_account_control = number(attribute).map(u32::from_le_bytes);
            }
            Some(ReplicatedAttribute::IsDeleted) => {
                let value = number(attribute).map(u32::from_le_bytes);
                out.is_deleted |= value.is_some_and(|value| value != 0);
            }
            None => {}
        }
    }
    Ok(out)
}

fn hash(attribute: &Attribute<'_>, rid: Option<u32>, session_key: &[u8]) -> HashValue {
    match attribute.values.as_slice() {
        [] => HashValue::Removed,
        [value] => match secret::decrypt(session_key, rid, value) {
            Ok(hash) => HashValue::Hash(hash),
            Err(why) => HashValue::Undecryptable(why),
        },
        _ => HashValue::Undecryptable(Undecryptable::Form),
    }
}

fn changed(attribute: &Attribute<'_>) -> Option<Timestamp> {
    let seconds = attribute.changed.checked_sub(UNIX_EPOCH_AS_DSTIME)?;
    // Whatever is older than Active Directory is no time at all.
    (seconds > 0 && seconds < i64::MAX / 1_000_000).then(|| Timestamp::from_seconds(seconds))
}

/// The only value as a little-endian number of this size.
fn number<const N: usize>(attribute: &Attribute<'_>) -> Option<[u8; N]> {
    match attribute.values.as_slice() {
        [value] => (*value).try_into().ok(),
        _ => None,
    }
}

fn password_last_set(value: [u8; 8]) -> Option<PasswordLastSet> {
    match i64::from_le_bytes(value) {
        0 => Some(PasswordLastSet::MustChange),
        filetime if filetime > 0 && filetime < i64::MAX => {
            let micros = filetime / FILETIME_PER_MICROSECOND - UNIX_EPOCH_AS_DSTIME * 1_000_000;
            Some(PasswordLastSet::At(Timestamp::from_micros(micros)))
        }
        _ => None,
    }
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
