//! Where and when the attributes of an object were last written (`replPropertyMetaData`).
//!
//! Invariant: a value of another shape gives nothing rather than a guess. Deliberately absent: links
//! such as members, which have metadata of their own.

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::guid::Guid;

/// Layout of the value: a version and a count, each padded to eight bytes, then one entry per
/// attribute with the fields of `PROPERTY_META_DATA_EXT` (MS-DRSR 5.161) and the local number.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 48;
/// Seconds between 1601-01-01, the epoch of DSTIME (MS-DRSR 5.48), and 1970-01-01.
const UNIX_EPOCH_AS_DSTIME: i64 = 11_644_473_600;

/// Identifiers of attributes (ATTRTYP) under the prefixes every schema begins with
/// (MS-DRSR 5.16.4).
const NAMES: [(u32, &str); 26] = [
    (0x3, "cn"),
    (0x4, "sn"),
    (0xc, "title"),
    (0xd, "description"),
    (0x14, "telephoneNumber"),
    (0x1f, "member"),
    (0x2a, "givenName"),
    (0x2_0001, "instanceType"),
    (0x2_0002, "whenCreated"),
    (0x2_000d, "displayName"),
    (0x2_0030, "isDeleted"),
    (0x2_0051, "info"),
    (0x2_008d, "department"),
    (0x2_0092, "company"),
    (0x2_0262, "employeeNumber"),
    (0x9_0001, "name"),
    (0x9_0008, "userAccountControl"),
    (0x9_0023, "employeeID"),
    (0x9_005a, "unicodePwd"),
    (0x9_0060, "pwdLastSet"),
    (0x9_0062, "primaryGroupID"),
    (0x9_009f, "accountExpires"),
    (0x9_00dd, "sAMAccountName"),
    (0x9_0290, "userPrincipalName"),
    (0x15_0003, "mail"),
    (0x15_0029, "mobile"),
];

/// The last write of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which attribute, as an ATTRTYP of this domain.
    pub attribute_id: u32,
    /// How often it was written.
    pub version: u32,
    /// When, by the clock of the controller that wrote it.
    pub at: Timestamp,
    /// The database of that controller.
    pub invocation_id: Guid,
    /// Its update sequence number.
    pub usn: i64,
}

impl Origin {
    /// Reads the metadata of an object; `None` when it is of another shape.
    #[must_use]
    pub fn parse_all(value: &[u8]) -> Option<Vec<Self>> {
        let (header, entries) = value.split_at_checked(HEADER_BYTES)?;
        let count = usize::try_from(number(header, 8)?).ok()?;
        if number(header, 0)? != VERSION || entries.len() != count.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        entries.chunks_exact(ENTRY_BYTES).map(Self::parse).collect()
    }

    fn parse(entry: &[u8]) -> Option<Self> {
        let seconds = long(entry, 8)?.checked_sub(UNIX_EPOCH_AS_DSTIME)?;
        Some(Self {
            attribute_id: number(entry, 0)?,
            version: number(entry, 4)?,
            at: Timestamp::EPOCH.checked_add(Span::seconds(seconds))?,
            invocation_id: Guid::from_slice(entry.get(16..32)?)?,
            usn: long(entry, 32)?,
        })
    }

    /// The attribute's name, if it is one of the usual ones.
    #[must_use]
    pub fn attribute(&self) -> Option<&'static str> {
        let id = self.attribute_id;
        NAMES
            .iter()
            .find(|(at, _)| *at == id)
            .map(|(_, name)| *name)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(i64::from_le_bytes(part.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(count: u32) -> Vec<u8> {
        let mut value = Vec::new();
        for part in [VERSION, 0, count, 0] {
            value.extend(part.to_le_bytes());
        }
        value.extend(0x9_0008_u32.to_le_bytes());
        value.extend(3_u32.to_le_bytes());
        value.extend((UNIX_EPOCH_AS_DSTIME + 1_800_000_000).to_le_bytes());
        value.extend([7; 16]);
        value.extend(41_i64.to_le_bytes());
        value.extend(42_i64.to_le_bytes());
        value
    }

    #[test]
    fn an_entry_is_read_whole() {
        let origins = Origin::parse_all(&value(1)).unwrap();
        let [origin] = origins.as_slice() else {
            panic!("{origins:?}");
        };
        assert_eq!(origin.attribute(), Some("userAccountControl"));
        assert_eq!((origin.version, origin.usn), (3, 41));
        assert_eq!(origin.at, Timestamp::from_seconds(1_800_000_000));
    }

    #[test]
    fn another_shape_gives_nothing() {
        let whole = value(1);
        for cut in 0..whole.len() {
            assert_eq!(Origin::parse_all(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(Origin::parse_all(&value(2)), None);
        assert_eq!(Origin::parse_all(&value(u32::MAX)), None);
    }
}
