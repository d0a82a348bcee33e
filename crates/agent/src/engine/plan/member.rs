//! The members of a group as the rules see them: direct ones, those of inner groups, and users whose
//! primary group it is.
//!
//! Invariant: what is said of a group that the directory did not show whole is marked as having gaps.

use std::collections::{BTreeSet, HashMap};

use super::NestedGroups;
use crate::engine::Guid;
use crate::engine::index::{Index, Kind, Presence, Record};
use crate::engine::scope::{Nested, nested_members};

/// The members of a group as the rules see them; `primary` are users by the rid of their primary
/// group.
pub(in crate::engine) fn members_of(
    index: &Index,
    guid: Guid,
    record: &Record,
    nested_groups: NestedGroups,
    primary: &HashMap<u32, Vec<Guid>>,
) -> Nested {
    let mut nested = match nested_groups {
        NestedGroups::Flatten => nested_members(index, &BTreeSet::from([guid])),
        NestedGroups::Direct => Nested {
            reached: record.members().iter().copied().collect(),
            groups: BTreeSet::from([guid]),
            links: record.members().len(),
            has_gaps: false,
        },
    };
    for group in &nested.groups {
        let rid = index.get(*group).and_then(group_rid);
        let by_rid = rid.and_then(|rid| primary.get(&rid));
        nested.reached.extend(by_rid.into_iter().flatten());
    }
    nested
}

fn group_rid(record: &Record) -> Option<u32> {
    let shown = record.kind() == Kind::Group && record.presence == Presence::Seen;
    record.rid().filter(|_| shown)
}

/// Users by the rid of their primary group, which `member` does not list. Nearly everybody is in
/// Domain Users: it counts only inside other groups, because itself it is never in scope.
pub(in crate::engine) fn primary_members(
    index: &Index,
    nested: NestedGroups,
) -> HashMap<u32, Vec<Guid>> {
    let groups = index
        .iter()
        .filter(|(_, record)| nested == NestedGroups::Flatten || !record.critical);
    let mut by_rid: HashMap<u32, Vec<Guid>> = groups
        .filter_map(|(_, record)| Some((group_rid(record)?, Vec::new())))
        .collect();
    for (guid, record) in index.iter() {
        if record.kind() == Kind::User
            && let Some(members) = record.rid().and_then(|rid| by_rid.get_mut(&rid))
        {
            members.push(guid);
        }
    }
    by_rid
}
