//! Attributes of replication: numbers whose meaning the table of prefixes of each message tells.
//!
//! Invariant: an attribute is known by its object identifier, never by its number alone, because a
//! controller may number prefixes as it likes (MS-DRSR 5.16.4).

use super::reply::PrefixTable;
use crate::rpc::ndr::{Malformed, Result};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicatedAttribute {
    /// `unicodePwd`, the password hash.
    UnicodePwd,
    /// `pwdLastSet`.
    PwdLastSet,
    /// `userAccountControl`.
    UserAccountControl,
    /// `isDeleted`; always asked for.
    IsDeleted,
}

/// Numbers of prefixes in our own table, those of MS-DRSR 5.16.4.
pub(super) const OWN_PREFIXES: [(u32, &[u8]); 2] = [
    // 1.2.840.113556.1.2
    (2, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x14, 0x01, 0x02]),
    // 1.2.840.113556.1.4
    (9, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x14, 0x01, 0x04]),
];
/// From here on numbers are `msDS-IntId` values, which stand for themselves.
const INTERNAL_FROM: u32 = 0x8000_0000;
const KNOWN: [ReplicatedAttribute; 4] = [
    ReplicatedAttribute::UnicodePwd,
    ReplicatedAttribute::PwdLastSet,
    ReplicatedAttribute::UserAccountControl,
    ReplicatedAttribute::IsDeleted,
];

impl ReplicatedAttribute {
    /// Its number under our own table.
    pub(super) const fn own_number(self) -> u32 {
        match self {
            Self::UnicodePwd => 0x0009_005a,
            Self::PwdLastSet => 0x0009_0060,
            Self::UserAccountControl => 0x0009_0008,
            Self::IsDeleted => 0x0002_0030,
        }
    }

    /// What a number means under the table of a reply; `None` when we do not know the attribute.
    pub(super) fn find(number: u32, table: &PrefixTable<'_>) -> Result<Option<Self>> {
        if number >= INTERNAL_FROM {
            return Ok(None);
        }
        let prefix = number >> 16;
        let bytes = match table.find(prefix) {
            Some(bytes) => bytes,
            None if table.is_empty() => match own_prefix(prefix) {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
            None => {
                return Err(Malformed(
                    "an attribute without an entry in the table of prefixes",
                ));
            }
        };
        let last = number & 0xffff;
        Ok(KNOWN.into_iter().find(|known| {
            let own = known.own_number();
            // All of ours have one byte behind their prefix, so a longer number is another one.
            own & 0xffff == last && own_prefix(own >> 16) == Some(bytes)
        }))
    }
}

fn own_prefix(number: u32) -> Option<&'static [u8]> {
    let found = OWN_PREFIXES.iter().find(|(own, _)| *own == number);
    found.map(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_the_table_says() {
        let [(_, common), (_, windows)] = OWN_PREFIXES;
        let find = |number, table: &PrefixTable<'_>| ReplicatedAttribute::find(number, table);
        let table = PrefixTable::of(&[(9, common), (77, windows)]);
        let password = Ok(Some(ReplicatedAttribute::UnicodePwd));
        assert_eq!(find(77 << 16 | 0x5a, &table), password);
        assert_eq!(find(9 << 16 | 0x5a, &table), Ok(None));
        let deleted = Ok(Some(ReplicatedAttribute::IsDeleted));
        assert_eq!(find(9 << 16 | 0x30, &table), deleted);
        assert!(find(5 << 16 | 0x5a, &table).is_err());
        assert_eq!(find(0x8009_005a, &table), Ok(None));

        let none = PrefixTable::of(&[]);
        assert_eq!(find(9 << 16 | 0x5a, &none), password);
        assert_eq!(find(5 << 16 | 0x5a, &none), Ok(None));
        for known in KNOWN {
            assert_eq!(find(known.own_number(), &none), Ok(Some(known)));
        }
    }
}
