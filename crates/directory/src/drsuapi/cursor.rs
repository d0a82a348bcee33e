//! How far replication has come: the position at one controller, and what is known of all.
//!
//! Invariant: a position is only good at the controller (the invocation) it came from; the vector is
//! good at every controller of the domain, and only ever holds what a whole circle has shown. Any
//! bytes are either a cursor or refused. Deliberately absent: where it is kept.

use std::collections::BTreeMap;

use crate::guid::Guid;

/// Controllers, past ones included, that a vector may name.
const CONTROLLERS_MAX: usize = 20_000;
const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 24;
/// Version, invocation, three numbers.
const FIXED_BYTES: usize = 1 + 16 + 24;
const NOWHERE: Guid = Guid::from_bytes([0; 16]);

/// A position in the changes of one controller (USN_VECTOR of MS-DRSR); only its owner knows
/// what the parts mean, so all are sent back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usns {
    /// `usnHighObjUpdate`.
    pub object: i64,
    /// `usnReserved`.
    pub reserved: i64,
    /// `usnHighPropUpdate`.
    pub property: i64,
}

/// Where to go on; the default is the start of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationCursor {
    /// The invocation of the controller that the position is from; zeros at the start.
    pub invocation_id: Guid,
    /// The position there.
    pub usns: Usns,
    /// For each controller the last of its changes that is known here.
    pub up_to_date: Vec<(Guid, i64)>,
}

impl Default for ReplicationCursor {
    fn default() -> Self {
        Self {
            invocation_id: NOWHERE,
            usns: Usns::default(),
            up_to_date: Vec::new(),
        }
    }
}

impl ReplicationCursor {
    /// Whether nothing was read yet.
    #[must_use]
    pub fn is_start(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the position belongs to some controller.
    pub(super) fn has_position(&self) -> bool {
        self.invocation_id != NOWHERE && self.usns != Usns::default()
    }

    /// The same knowledge without a position, for another controller.
    pub(super) fn without_position(&self) -> Self {
        Self {
            up_to_date: self.up_to_date.clone(),
            ..Self::default()
        }
    }

    /// The last known change of a controller.
    pub(super) fn known_of(&self, controller: Guid) -> Option<i64> {
        let mut entries = self.up_to_date.iter();
        let entry = entries.find(|(other, _)| *other == controller);
        entry.map(|(_, usn)| *usn)
    }

    /// Adds what a whole circle has shown.
    pub(super) fn learn(&mut self, vector: &[(Guid, i64)]) {
        let mut all: BTreeMap<Guid, i64> = self.up_to_date.iter().copied().collect();
        for (controller, usn) in vector {
            let known = all.entry(*controller).or_insert(*usn);
            *known = (*known).max(*usn);
        }
        self.up_to_date = all.into_iter().take(CONTROLLERS_MAX).collect();
    }

    /// As bytes, to be kept; 41 and 24 for each controller.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.invocation_id.as_bytes());
        for number in [self.usns.object, self.usns.reserved, self.usns.property] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for (controller, usn) in &self.up_to_date {
            out.extend_from_slice(controller.as_bytes());
            out.extend_from_slice(&usn.to_le_bytes());
        }
        out
    }

    /// From kept bytes; `None` when they are none of ours.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, vector) = bytes.split_at_checked(FIXED_BYTES)?;
        let (version, fixed) = fixed.split_first()?;
        let (invocation, numbers) = fixed.split_first_chunk::<16>()?;
        let [object, reserved, property] = numbers.as_chunks::<8>().0 else {
            return None;
        };
        let (entries, rest) = vector.as_chunks::<ENTRY_BYTES>();
        if *version != VERSION || !rest.is_empty() || entries.len() > CONTROLLERS_MAX {
            return None;
        }
        let entry = |bytes: &[u8; ENTRY_BYTES]| {
            let (controller, usn) = bytes.split_first_chunk::<16>()?;
            let usn = i64::from_le_bytes(usn.try_into().ok()?);
            Some((Guid::from_bytes(*controller), usn))
        };
        Some(Self {
            invocation_id: Guid::from_bytes(*invocation),
            usns: Usns {
                object: i64::from_le_bytes(*object),
                reserved: i64::from_le_bytes(*reserved),
                property: i64::from_le_bytes(*property),
            },
            up_to_date: entries.iter().map(entry).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guid(byte: u8) -> Guid {
        Guid::from_bytes([byte; 16])
    }

    #[test]
    fn a_vector_only_grows() {
        let mut cursor = ReplicationCursor::default();
        assert!(cursor.is_start() && !cursor.has_position());
        cursor.learn(&[(guid(2), 5), (guid(1), 7)]);
        cursor.learn(&[(guid(2), 3), (guid(3), 1)]);
        assert_eq!(
            cursor.up_to_date,
            [(guid(1), 7), (guid(2), 5), (guid(3), 1)]
        );
        assert_eq!(cursor.known_of(guid(2)), Some(5));
        assert_eq!(cursor.known_of(guid(9)), None);
        assert!(!cursor.has_position());
    }

    #[test]
    fn other_versions_and_cuts_are_refused() {
        let mut cursor = ReplicationCursor::default();
        cursor.learn(&[(guid(2), 5)]);
        let bytes = cursor.to_bytes();
        for length in (0..bytes.len()).filter(|length| *length != FIXED_BYTES) {
            assert_eq!(ReplicationCursor::from_bytes(&bytes[..length]), None);
        }
        let mut other = bytes.clone();
        other[0] = 2;
        assert_eq!(ReplicationCursor::from_bytes(&other), None);
    }

    proptest! {
        #[test]
        fn bytes_round_trip(
            invocation: [u8; 16],
            numbers: [i64; 3],
            vector in prop::collection::vec((any::<[u8; 16]>(), any::<i64>()), 0..20),
        ) {
            let [object, reserved, property] = numbers;
            let vector = vector.into_iter().map(|(id, usn)| (Guid::from_bytes(id), usn));
            let cursor = ReplicationCursor {
                invocation_id: Guid::from_bytes(invocation),
                usns: Usns { object, reserved, property },
                up_to_date: vector.collect(),
            };
            prop_assert_eq!(ReplicationCursor::from_bytes(&cursor.to_bytes()), Some(cursor));
        }

        #[test]
        fn any_bytes_are_refused_or_round_trip(bytes: Vec<u8>) {
            if let Some(cursor) = ReplicationCursor::from_bytes(&bytes) {
                prop_assert_eq!(cursor.to_bytes(), bytes);
            }
        }
    }
}
