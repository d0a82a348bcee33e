//! The picture that a read of the whole directory builds up.
//!
//! Invariant: the order in which an object and a tombstone of the same guid arrive does not matter
//! to what is known of others; the last news of a guid is what counts. Deliberately absent: the
//! hub's side, which comes afterwards.

use std::collections::BTreeSet;

use super::Guid;
use super::index::Index;
use super::mapping::Mapping;
use super::object::Change;

/// Live objects, and tombstones, which mean something only once the hub's side is known.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The live objects.
    pub index: Index,
    deleted: BTreeSet<Guid>,
}

impl Snapshot {
    /// Takes in one piece of news.
    pub fn take(&mut self, change: Change, mapping: &Mapping) {
        match change {
            Change::Deleted(guid) => {
                self.deleted.insert(guid);
            }
            Change::Seen(object) => {
                self.deleted.remove(&object.guid);
                self.index.apply(Change::Seen(object), mapping);
            }
            Change::Missing(_) | Change::Elsewhere(..) => self.index.apply(change, mapping),
        }
    }

    /// The live objects, and the guids whose last news was a tombstone.
    #[must_use]
    pub fn into_parts(self) -> (Index, BTreeSet<Guid>) {
        (self.index, self.deleted)
    }
}
