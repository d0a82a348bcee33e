//! What the directory reports, sorted into what can be used as it is and what must be read again.
//!
//! Invariant: nothing that may be a part of an object passes for the whole of it: an object that
//! is reported without its class or place, or more than once, is read again whole. A list of
//! members comes from the report where that has it, because reports follow the right to replicate
//! and a search may silently leave out what the account may not read; so do the members that came
//! and went, which spares reading a long list for one of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rollcall_directory::{Change as Reported, Dn, Kind, Member, MemberChange};

use super::told::Named;
use super::{guid, guid_of, object};
use crate::engine::Guid;
use crate::engine::mapping::Mapping;
use crate::engine::membership::Difference;
use crate::engine::object::Change;

/// What a report tells about the members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// All of them.
    Whole(Vec<Guid>),
    /// These came and went since the last read.
    Changed(Difference),
    /// There are members, but they have to be read.
    ToRead,
}

impl Members {
    /// What is known after a later report of the same read.
    fn then(&mut self, later: Self) {
        match (self, later) {
            (Self::Whole(list), Self::Changed(difference)) => *list = difference.apply(list),
            (Self::Changed(all), Self::Changed(difference)) => all.follow(difference),
            (Self::ToRead, Self::Changed(_)) => {}
            (known, later) => *known = later,
        }
    }
}

/// What changed, by identity only: the objects are read whole afterwards, except for their members.
#[derive(Debug, Default)]
pub struct Changes {
    /// Objects that are new or changed.
    pub seen: BTreeSet<Guid>,
    /// Those of them that are new to the reader: everything of them was reported.
    pub new: BTreeSet<Guid>,
    /// Those of them that had been deleted.
    pub restored: BTreeSet<Guid>,
    /// Objects that were deleted.
    pub deleted: Vec<Guid>,
    /// The attributes that were reported of them.
    pub named: BTreeMap<Guid, Named>,
    /// Members of those groups whose members were reported.
    pub members: BTreeMap<Guid, Members>,
    /// Members of groups that lie in other domains, with their names.
    pub elsewhere: BTreeMap<Guid, String>,
    /// Where the next read begins.
    pub cookie: Vec<u8>,
}

impl Changes {
    /// Notes one report of the domain `base`.
    pub fn note(&mut self, reported: Reported, base: &Dn) {
        self.note_elsewhere(&reported.members, base);
        let entry = &reported.entry;
        let guid = guid_of(entry);
        if entry.deleted {
            self.deleted.push(guid);
            return;
        }
        if entry.kind.is_some() {
            self.new.insert(guid);
        }
        // Not a deleted object, and yet the mark of one changed: it was taken away.
        if entry.attributes.has("isDeleted") {
            self.restored.insert(guid);
        }
        let named = named(entry);
        self.note_live(guid, members(reported.members));
        match self.named.entry(guid) {
            Entry::Occupied(mut known) => known.get_mut().then(named),
            Entry::Vacant(free) => {
                free.insert(named);
            }
        }
    }

    fn note_elsewhere(&mut self, members: &MemberChange, base: &Dn) {
        let listed = match members {
            MemberChange::Whole(list) => list,
            MemberChange::Incremental { added, .. } => added,
            MemberChange::Unchanged | MemberChange::TooLong => return,
        };
        let listed = listed.iter().filter(|member| is_elsewhere(member, base));
        let listed = listed.map(|member| (guid(&member.guid), member.dn.as_str().to_owned()));
        self.elsewhere.extend(listed);
    }

    fn note_live(&mut self, guid: Guid, members: Option<Members>) {
        self.seen.insert(guid);
        let Some(members) = members else { return };
        match self.members.entry(guid) {
            Entry::Occupied(mut known) => known.get_mut().then(members),
            Entry::Vacant(free) => {
                free.insert(members);
            }
        }
    }
}

/// A read of everything under way.
#[derive(Debug, Default)]
pub struct Everything {
    reported: BTreeSet<Guid>,
    again: Changes,
}

impl Everything {
    /// Takes one report: what it says of an object, unless that has to be read again.
    pub fn take(&mut self, reported: Reported, mapping: &Mapping, base: &Dn) -> Option<Change> {
        self.again.note_elsewhere(&reported.members, base);
        let entry = &reported.entry;
        let guid = guid_of(entry);
        let first = self.reported.insert(guid);
        if first && entry.deleted {
            return Some(Change::Deleted(guid));
        }
        let members = members(reported.members);
        let placed = entry.parent.is_some() || entry.kind == Some(Kind::Domain);
        let listed = matches!(members, None | Some(Members::Whole(_)));
        if first && placed && entry.kind.is_some() && listed {
            match object(entry, mapping) {
                Ok(Some(mut object)) => {
                    if let Some(Members::Whole(list)) = members {
                        object.members = list;
                    }
                    return Some(Change::Seen(Box::new(object)));
                }
                Ok(None) => return None,
                // Incomplete: a search will tell whether it is out of reach.
                Err(_) => {}
            }
        }
        self.again.note_live(guid, members);
        None
    }

    /// What has to be read again, and where the next read begins.
    #[must_use]
    pub fn finish(self, cookie: Vec<u8>) -> Changes {
        Changes {
            cookie,
            ..self.again
        }
    }
}

/// Whether a member lies in another domain than that of `base`.
pub(super) fn is_elsewhere(member: &Member, base: &Dn) -> bool {
    member.dn != *base && !member.dn.is_under(base)
}

/// What a report is about.
fn named(entry: &rollcall_directory::Entry) -> Named {
    if entry.kind.is_some() || entry.attributes.has("isDeleted") {
        return Named::All;
    }
    let names = entry.attributes.iter();
    Named::Some(names.map(|(name, _)| name.to_lowercase().into()).collect())
}

fn members(reported: MemberChange) -> Option<Members> {
    let guids = |list: Vec<Member>| list.into_iter().map(|member| guid(&member.guid));
    Some(match reported {
        MemberChange::Unchanged => return None,
        MemberChange::Whole(list) => Members::Whole(guids(list).collect()),
        MemberChange::Incremental { added, removed } => {
            let mut difference = Difference::default();
            difference.then(guids(added), guids(removed));
            Members::Changed(difference)
        }
        MemberChange::TooLong => Members::ToRead,
    })
}

#[cfg(test)]
mod tests {
    use rollcall_directory::{Attributes, Entry, Guid as WireGuid};

    use super::*;

    fn wire(number: u8) -> WireGuid {
        WireGuid::from_bytes([number; 16])
    }

    fn reported(number: u8, kind: Option<Kind>, attributes: &[(&str, &str)]) -> Reported {
        let list = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), vec![value.as_bytes().to_vec()]));
        Reported {
            entry: Entry {
                guid: wire(number),
                dn: "CN=x,DC=corp".parse().unwrap(),
                kind,
                parent: Some(wire(99)),
                deleted: false,
                attributes: Attributes::new(list.collect()),
            },
            members: MemberChange::Unchanged,
        }
    }

    fn base() -> Dn {
        "DC=corp".parse().unwrap()
    }

    fn mapping() -> Mapping {
        Mapping::new("corp.example", None)
    }

    fn member(number: u8) -> Member {
        Member {
            guid: wire(number),
            sid: None,
            dn: "CN=m,DC=corp".parse().unwrap(),
        }
    }

    fn again(reports: Vec<Reported>) -> (Vec<Change>, Changes) {
        let mut everything = Everything::default();
        let found = reports
            .into_iter()
            .filter_map(|report| everything.take(report, &mapping(), &base()))
            .collect();
        (found, everything.finish(b"cookie".to_vec()))
    }

    const CONTROL: (&str, &str) = ("userAccountControl", "512");

    #[test]
    fn a_whole_object_is_used_as_it_is() {
        let (found, again) = again(vec![reported(1, Some(Kind::User), &[CONTROL])]);
        assert!(matches!(found.as_slice(), [Change::Seen(_)]), "{found:?}");
        assert!(again.seen.is_empty());
        assert_eq!(again.cookie, b"cookie");
    }

    #[test]
    fn what_may_be_a_part_is_read_again() {
        let mut placeless = reported(3, Some(Kind::User), &[CONTROL]);
        placeless.entry.parent = None;
        let mut long = reported(4, Some(Kind::Group), &[]);
        long.members = MemberChange::TooLong;
        let (found, again) = again(vec![
            reported(1, None, &[("displayName", "changed")]),
            reported(2, Some(Kind::User), &[]),
            placeless,
            long,
        ]);
        assert_eq!(found, []);
        let expected: BTreeSet<Guid> = (1..=4).map(|number| guid(&wire(number))).collect();
        assert_eq!(again.seen, expected);
        let members = BTreeMap::from([(guid(&wire(4)), Members::ToRead)]);
        assert_eq!(again.members, members);
    }

    #[test]
    fn what_is_reported_twice_is_read_again() {
        let mut tombstone = reported(1, None, &[]);
        tombstone.entry.deleted = true;
        let mut group = reported(2, Some(Kind::Group), &[]);
        group.members = MemberChange::Whole(vec![member(7)]);
        let (found, again) = again(vec![
            tombstone,
            reported(1, Some(Kind::User), &[CONTROL]),
            reported(2, Some(Kind::Group), &[]),
            group,
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        let expected: BTreeSet<Guid> = (1..=2).map(|number| guid(&wire(number))).collect();
        assert_eq!(again.seen, expected);
        let whole = Members::Whole(vec![guid(&wire(7))]);
        assert_eq!(again.members, BTreeMap::from([(guid(&wire(2)), whole)]));
    }

    #[test]
    fn a_user_whose_state_cannot_be_read_is_refused_by_name() {
        let report = reported(1, Some(Kind::User), &[("displayName", "A")]);
        let error = object(&report.entry, &mapping()).unwrap_err();
        assert!(error.to_string().contains("CN=x,DC=corp"), "{error}");
    }

    #[test]
    fn parts_of_a_difference_come_together() {
        let group = |change: MemberChange| {
            let mut group = reported(2, None, &[]);
            group.members = change;
            group
        };
        let part = |added: &[u8], removed: &[u8]| MemberChange::Incremental {
            added: added.iter().map(|n| member(*n)).collect(),
            removed: removed.iter().map(|n| member(*n)).collect(),
        };
        let mut changes = Changes::default();
        changes.note(group(part(&[1, 2], &[3])), &base());
        changes.note(group(MemberChange::Unchanged), &base());
        changes.note(group(part(&[3], &[1])), &base());
        let Some(Members::Changed(difference)) = changes.members.get(&guid(&wire(2))) else {
            panic!("{changes:?}")
        };
        let known: Vec<Guid> = [1, 3, 4].map(|n| guid(&wire(n))).into();
        let after: BTreeSet<Guid> = difference.apply(&known).into_iter().collect();
        assert_eq!(after, [2, 3, 4].map(|n| guid(&wire(n))).into());
        assert!(changes.new.is_empty() && changes.restored.is_empty());
    }

    #[test]
    fn members_of_other_domains_are_told_apart() {
        let mut group = reported(2, Some(Kind::Group), &[]);
        let mut foreign = member(7);
        foreign.dn = "CN=m,DC=other".parse().unwrap();
        group.members = MemberChange::Whole(vec![foreign, member(8)]);
        let mut changes = Changes::default();
        changes.note(group, &base());
        let expected = BTreeMap::from([(guid(&wire(7)), "CN=m,DC=other".to_owned())]);
        assert_eq!(changes.elsewhere, expected);
    }

    #[test]
    fn what_was_reported_is_named() {
        let mut changes = Changes::default();
        for number in [1, 2] {
            changes.note(reported(1, None, &[("displayName", "x")]), &base());
            changes.note(reported(number, None, &[("Name", "x")]), &base());
        }
        changes.note(reported(3, Some(Kind::User), &[]), &base());
        let names = |number: u8| changes.named.get(&guid(&wire(number))).unwrap();
        assert!(names(1).has("displayname") && names(1).has("cn"));
        assert!(!names(2).has("displayname") && names(2).has("name"));
        assert!(names(3).has("title"));
    }

    #[test]
    fn new_and_restored_objects_are_told_apart() {
        let mut changes = Changes::default();
        changes.note(reported(1, Some(Kind::Group), &[]), &base());
        let mut restored = reported(2, None, &[]);
        restored.entry.attributes = Attributes::new(vec![("isDeleted".into(), Vec::new())]);
        changes.note(restored, &base());
        assert_eq!(changes.new, [guid(&wire(1))].into());
        assert_eq!(changes.restored, [guid(&wire(2))].into());
        assert_eq!(changes.seen.len(), 2);
    }
}
