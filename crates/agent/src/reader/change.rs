//! What the directory reports, sorted into what can be used as it is and what must be read again.
//!
//! Invariant: nothing that may be a part of an object passes for the whole of it: an object that
//! is reported without its class or place, or more than once, is read again whole. A list of
//! members comes from the report where that has it, because reports follow the right to replicate
//! and a search may silently leave out what the account may not read.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_directory::{Change as Reported, Kind, MemberChange};

use super::{guid, guid_of, object};
use crate::engine::Guid;
use crate::engine::mapping::Mapping;
use crate::engine::object::Change;

/// What a report tells about the members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// All of them.
    Whole(Vec<Guid>),
    /// There are members, but they have to be read.
    ToRead,
}

/// What changed, by identity only: the objects are read whole afterwards.
#[derive(Debug, Default)]
pub struct Changes {
    /// Objects that are new or changed.
    pub seen: BTreeSet<Guid>,
    /// Objects that were deleted.
    pub deleted: Vec<Guid>,
    /// Members of those groups whose members were reported.
    pub members: BTreeMap<Guid, Members>,
    /// Where the next read begins.
    pub cookie: Vec<u8>,
}

impl Changes {
    /// Notes one report.
    pub fn note(&mut self, reported: Reported) {
        let guid = guid_of(&reported.entry);
        if reported.entry.deleted {
            self.deleted.push(guid);
        } else {
            self.note_live(guid, members(reported.members));
        }
    }

    fn note_live(&mut self, guid: Guid, members: Option<Members>) {
        self.seen.insert(guid);
        if let Some(members) = members {
            self.members.insert(guid, members);
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
    pub fn take(&mut self, reported: Reported, mapping: &Mapping) -> Option<Change> {
        let entry = &reported.entry;
        let guid = guid_of(entry);
        let first = self.reported.insert(guid);
        if first && entry.deleted {
            return Some(Change::Deleted(guid));
        }
        let members = members(reported.members);
        let placed = entry.parent.is_some() || entry.kind == Some(Kind::Domain);
        if first && placed && entry.kind.is_some() && members != Some(Members::ToRead) {
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

fn members(reported: MemberChange) -> Option<Members> {
    let list = match reported {
        MemberChange::Unchanged => return None,
        MemberChange::Whole(list) => list,
        // Only asked for nowhere; a part of the list would not do.
        MemberChange::Incremental { .. } | MemberChange::TooLong => return Some(Members::ToRead),
    };
    Some(Members::Whole(list.iter().map(|m| guid(&m.guid)).collect()))
}

#[cfg(test)]
mod tests {
    use rollcall_directory::{Attributes, Entry, Guid as WireGuid, Member};

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
            .filter_map(|report| everything.take(report, &mapping()))
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
}
