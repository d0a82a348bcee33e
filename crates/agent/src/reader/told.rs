//! What is known of objects before they are read again.
//!
//! Invariant: what nobody reported is not known to have changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, Source};
use crate::engine::Guid;

/// What is known, by object.
#[derive(Debug, Default)]
pub struct Told {
    /// Where the members of groups come from; of others they are read.
    pub sources: BTreeMap<Guid, Source>,
    /// What was reported of the objects that were reported.
    pub named: BTreeMap<Guid, Named>,
    /// Objects that were brought back: what was known of them before they were deleted is void.
    pub restored: BTreeSet<Guid>,
}

/// The attributes that a report of one object is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// All of them: the object is new to the reader, or was brought back.
    All,
    /// These, in lower case; one that is gone is among them.
    Some(BTreeSet<Box<str>>),
}

impl Named {
    /// Whether this attribute, in lower case, may have changed.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        match self {
            Self::All => true,
            // Reports have the relative name under this name only.
            Self::Some(names) => {
                names.contains(attribute) || (attribute == "cn" && names.contains("name"))
            }
        }
    }

    /// What is known after a later report of the same read.
    pub(super) fn then(&mut self, later: Self) {
        match (&mut *self, later) {
            (Self::Some(names), Self::Some(more)) => names.extend(more),
            _ => *self = Self::All,
        }
    }
}

impl Told {
    /// What `changes` tell, beside where members come from.
    #[must_use]
    pub fn by(changes: &Changes, sources: BTreeMap<Guid, Source>) -> Self {
        Self {
            sources,
            named: changes.named.clone(),
            restored: changes.restored.clone(),
        }
    }

    /// Only where members come from, and what was brought back.
    #[must_use]
    pub fn of_members(sources: BTreeMap<Guid, Source>, restored: BTreeSet<Guid>) -> Self {
        Self {
            sources,
            named: BTreeMap::new(),
            restored,
        }
    }

    /// Whether nothing was said about the members of an object, so that those known before still
    /// count.
    #[must_use]
    pub fn leaves_members(&self, guid: Guid) -> bool {
        !self.sources.contains_key(&guid) && !self.restored.contains(&guid)
    }

    /// Whether this attribute of an object, in lower case, was reported to have changed.
    #[must_use]
    pub fn is_reported(&self, guid: Guid, attribute: &str) -> bool {
        let named = self.named.get(&guid);
        named.is_some_and(|named| named.has(attribute))
    }
}
