//! Why one object is synchronized or not, for a person.
//!
//! Invariant: the verdict is that of [`Scope`], which decides for runs too; the reasons only put it
//! into words.

use std::collections::{BTreeMap, BTreeSet};

use super::Guid;
use super::index::Index;
use super::mapping::Mapping;
use super::object::{Change, DirectoryObject, MACHINE_ACCOUNT, ObjectClass};
use super::scope::{FilterGone, Scope, ScopeView, Verdict};

/// Longest chain of parents that is followed.
const DEPTH_MAX: usize = 512;

/// An object among the containers and groups above it.
#[derive(Debug)]
pub struct Place<'a> {
    objects: &'a BTreeMap<Guid, DirectoryObject>,
    members: &'a BTreeMap<Guid, BTreeSet<Guid>>,
    scope: &'a Scope,
    index: Index,
    view: ScopeView,
}

impl<'a> Place<'a> {
    /// Judges every one of `objects`; `members` are those of groups, as far as they are there too.
    ///
    /// # Errors
    /// [`FilterGone`] when a unit or group of the filter is not among them.
    pub fn new(
        objects: &'a BTreeMap<Guid, DirectoryObject>,
        members: &'a BTreeMap<Guid, BTreeSet<Guid>>,
        scope: &'a Scope,
        mapping: &Mapping,
    ) -> Result<Self, FilterGone> {
        let mut index = Index::default();
        for object in objects.values() {
            index.apply(Change::Seen(Box::new(object.clone())), mapping);
        }
        let view = scope.view(&index)?;
        Ok(Self {
            objects,
            members,
            scope,
            index,
            view,
        })
    }

    /// Whether an object is synchronized.
    #[must_use]
    pub fn verdict(&self, guid: Guid) -> Verdict {
        self.view.verdict(&self.index, guid)
    }

    /// Whether an object is a user's account.
    #[must_use]
    pub fn is_user(&self, guid: Guid) -> bool {
        let object = self.objects.get(&guid);
        object.is_some_and(|object| {
            object.class == ObjectClass::User && object.user_account_control & MACHINE_ACCOUNT == 0
        })
    }

    /// Why, one sentence per rule that has a say.
    #[must_use]
    pub fn reasons(&self, guid: Guid) -> Vec<String> {
        let Some(object) = self.objects.get(&guid) else {
            return vec!["the directory does not show it".into()];
        };
        let machine = object.user_account_control & MACHINE_ACCOUNT != 0;
        match object.class {
            ObjectClass::User if machine => {
                return vec!["it is the account of a computer or of a trust".into()];
            }
            ObjectClass::Container | ObjectClass::Other => {
                return vec!["it is neither a user nor a group".into()];
            }
            ObjectClass::User | ObjectClass::Group => {}
        }
        if object.critical {
            return vec!["it is a critical object of the system (isCriticalSystemObject), which is never synchronized".into()];
        }
        let mut reasons = vec![self.unit(object)];
        if object.class == ObjectClass::User {
            reasons.push(self.group(guid));
        }
        reasons
    }

    fn unit(&self, object: &DirectoryObject) -> String {
        if self.scope.units.is_empty() {
            return "the filter has no organizational units: every place counts".into();
        }
        let mut at = object.parent;
        let mut last = object;
        for _ in 0..DEPTH_MAX {
            let Some(above) = at.and_then(|guid| self.objects.get(&guid)) else {
                break;
            };
            if self.scope.units.contains(&above.guid) {
                return format!(
                    "it lies in {}, an organizational unit of the filter",
                    above.dn
                );
            }
            last = above;
            at = above.parent;
        }
        if at.is_some() {
            return format!(
                "what lies above {} is not visible: its place cannot be told",
                last.dn
            );
        }
        "it lies outside of every organizational unit of the filter".into()
    }

    fn group(&self, guid: Guid) -> String {
        if self.scope.groups.is_empty() {
            return "the filter has no groups: membership does not matter".into();
        }
        match self.way_to_a_group_of_the_filter(guid) {
            Some(way) => format!("it is a member of the filter: {}", way.join(" in ")),
            None => {
                "it is not a member of any group of the filter, directly or through other groups"
                    .into()
            }
        }
    }

    /// The shortest way up: the groups from the object's own to one of the filter.
    fn way_to_a_group_of_the_filter(&self, guid: Guid) -> Option<Vec<String>> {
        let mut below: BTreeMap<Guid, Guid> = BTreeMap::new();
        let mut level = vec![guid];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (group, members) in self.members {
                let member = level.iter().find(|member| members.contains(member));
                let (Some(member), false) = (member, below.contains_key(group)) else {
                    continue;
                };
                below.insert(*group, *member);
                if self.scope.groups.contains(group) {
                    return Some(self.names_down(*group, guid, &below));
                }
                next.push(*group);
            }
            level = next;
        }
        None
    }

    fn names_down(&self, top: Guid, bottom: Guid, below: &BTreeMap<Guid, Guid>) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = top;
        while at != bottom {
            let object = self.objects.get(&at);
            names.push(object.map_or_else(|| at.to_string(), |found| found.dn.clone()));
            let Some(lower) = below.get(&at) else { break };
            at = *lower;
        }
        names.reverse();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guid(number: u128) -> Guid {
        Guid::from_number(number)
    }

    fn object(number: u128, parent: Option<u128>, class: ObjectClass) -> DirectoryObject {
        DirectoryObject {
            guid: guid(number),
            parent: parent.map(guid),
            dn: format!("CN=o{number}"),
            class,
            critical: number == 7,
            attributes: BTreeMap::new(),
            members: Vec::new(),
            rid: None,
            primary_group_rid: None,
            user_account_control: if number == 8 { 4096 } else { 512 },
            account_expires: 0,
            pwd_last_set: None,
        }
    }

    /// 1 is the root, 2 a unit in it; 5 is a user in 2 and a member of 10, which is one of 11.
    fn world() -> (
        BTreeMap<Guid, DirectoryObject>,
        BTreeMap<Guid, BTreeSet<Guid>>,
    ) {
        let mut objects = vec![
            object(1, None, ObjectClass::Container),
            object(2, Some(1), ObjectClass::Container),
            object(5, Some(2), ObjectClass::User),
            object(6, Some(1), ObjectClass::User),
            object(7, Some(2), ObjectClass::User),
            object(8, Some(2), ObjectClass::User),
            object(9, Some(99), ObjectClass::User),
            object(10, Some(1), ObjectClass::Group),
            object(11, Some(1), ObjectClass::Group),
        ];
        objects[7].members = vec![guid(5)];
        objects[8].members = vec![guid(10)];
        let members = BTreeMap::from([
            (guid(10), BTreeSet::from([guid(5)])),
            (guid(11), BTreeSet::from([guid(10)])),
        ]);
        let objects = objects.into_iter().map(|object| (object.guid, object));
        (objects.collect(), members)
    }

    #[test]
    fn each_verdict_has_its_reason() {
        let (objects, members) = world();
        let scope = Scope {
            units: BTreeSet::from([guid(2)]),
            groups: BTreeSet::from([guid(11)]),
        };
        let mapping = Mapping::new("x", None);
        let place = Place::new(&objects, &members, &scope, &mapping).unwrap();
        for (number, verdict, reason) in [
            (5, Verdict::In, "it lies in CN=o2"),
            (5, Verdict::In, "CN=o10 in CN=o11"),
            (6, Verdict::Out, "outside of every"),
            (7, Verdict::Out, "critical"),
            (8, Verdict::Out, "computer"),
            (9, Verdict::Unknown, "cannot be told"),
            (2, Verdict::Out, "neither a user nor a group"),
            (12, Verdict::Unknown, "does not show"),
        ] {
            let reasons = place.reasons(guid(number)).join("\n");
            assert_eq!(place.is_user(guid(number)), [5, 6, 7, 9].contains(&number));
            assert_eq!(place.verdict(guid(number)), verdict, "{number}: {reasons}");
            assert!(reasons.contains(reason), "{number}: {reasons}");
        }
    }

    #[test]
    fn a_member_of_no_group_of_the_filter_is_out() {
        let (objects, members) = world();
        let scope = Scope {
            units: BTreeSet::new(),
            groups: BTreeSet::from([guid(11)]),
        };
        let mapping = Mapping::new("x", None);
        let place = Place::new(&objects, &members, &scope, &mapping).unwrap();
        assert_eq!(place.verdict(guid(6)), Verdict::Out);
        assert!(place.reasons(guid(6)).join(" ").contains("not a member"));
    }
}
