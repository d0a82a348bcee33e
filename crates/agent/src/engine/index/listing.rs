//! The hub's side of the index as the hub lists it.
//!
//! Invariant: users come before groups, because the members of groups are named by the ids of users
//! in the hub. A listing can be taken in piece by piece while the directory is being read.

use std::collections::{BTreeMap, BTreeSet};

use super::{HubSide, Index, Kind, Place, Presence, Record};
use crate::engine::Guid;
use crate::engine::hub_id::HubId;
use crate::engine::memory::Memory;
use crate::engine::values::{GroupValues, UserTarget, UserValues};

/// A user as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubUser {
    /// objectGUID, from external_id.
    pub guid: Guid,
    /// Id in the hub.
    pub id: HubId,
    /// Values of the mapped fields.
    pub values: UserValues,
    /// See [`HubSide::enabled`].
    pub enabled: Option<bool>,
}

/// A group as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubGroup {
    /// objectGUID, from external_id.
    pub guid: Guid,
    /// Id in the hub.
    pub id: HubId,
    /// Values of the mapped fields.
    pub values: GroupValues,
    /// Ids of the members in the hub.
    pub member_ids: Vec<HubId>,
}

/// The users of an index by their ids in the hub.
#[derive(Debug)]
pub struct HubIds(Vec<(HubId, Guid)>);

impl HubIds {
    fn users(&self, ids: &[HubId]) -> impl Iterator<Item = Guid> {
        ids.iter().filter_map(|id| {
            let at = self.0.binary_search_by(|(known, _)| known.cmp(id)).ok()?;
            self.0.get(at).map(|(_, guid)| *guid)
        })
    }
}

impl Index {
    /// Takes in the hub's listing of users and groups in place of all that was known of the hub.
    /// Objects the directory did not show become [`Presence::Missing`].
    pub fn set_hub(&mut self, users: Vec<HubUser>, groups: Vec<HubGroup>) {
        let known: Vec<Guid> = self
            .iter()
            .filter(|(_, record)| record.hub.is_some())
            .map(|(guid, _)| guid)
            .collect();
        for guid in known {
            self.touch(guid);
            if let Some(record) = self.records.get_mut(&guid) {
                record.hub = None;
                record.retain_told(|_| false);
            }
        }
        for user in users {
            self.list_user(user);
        }
        let ids = self.hub_ids();
        for group in groups {
            self.list_group(group, &ids);
        }
    }

    /// Takes in one user of the hub's listing. One that the directory did not show, or not yet, is
    /// [`Presence::Missing`]; of its values only the name is kept.
    pub fn list_user(&mut self, user: HubUser) {
        if user.enabled == Some(false) {
            self.doubtful.insert(user.guid);
        } else {
            self.doubtful.remove(&user.guid);
        }
        let side = HubSide {
            digest: user.values.digest(),
            id: user.id,
            enabled: user.enabled,
        };
        self.make_user(user.guid);
        self.attach(user.guid, side, |place| {
            let name = user.values.get(UserTarget::Username);
            let values = UserValues::new([(UserTarget::Username, name)], None);
            Record::user(Place { dn: name, ..place }, Ok(&values), true, None)
        });
    }

    /// What the hub has as a user is one, also when it became the account of a machine.
    fn make_user(&mut self, guid: Guid) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        // One without a parent is of another domain.
        if record.kind() == Kind::Container
            && record.presence == Presence::Seen
            && record.parent.is_some()
        {
            let name = record.name().to_owned();
            let place = Place {
                parent: record.parent,
                dn: &name,
                critical: true,
                presence: Presence::Seen,
            };
            **record = super::machine(place);
        }
    }

    /// The users by their ids in the hub, for [`Self::list_group`] after all users were listed.
    #[must_use]
    pub fn hub_ids(&self) -> HubIds {
        let users = self
            .iter()
            .filter(|(_, record)| record.kind() == Kind::User);
        let mut ids: Vec<(HubId, Guid)> = users
            .filter_map(|(guid, record)| Some((record.hub.as_ref()?.id.clone(), guid)))
            .collect();
        ids.sort_unstable();
        HubIds(ids)
    }

    /// Takes in one group of the hub's listing and those of its members that are users here.
    pub fn list_group(&mut self, group: HubGroup, users: &HubIds) {
        let side = HubSide {
            digest: group.values.digest(),
            id: group.id,
            enabled: None,
        };
        self.attach(group.guid, side, |place| {
            let dn = &group.values.name;
            Record::group(Place { dn, ..place }, Ok(&group.values), &[], None)
        });
        if let Some(record) = self.records.get_mut(&group.guid) {
            record.tell(users.users(&group.member_ids));
        }
    }

    /// Takes in in which groups the hub has a user, by their ids there; groups that are not in the
    /// index are none of ours.
    pub fn set_groups_of(&mut self, user: Guid, groups: &BTreeSet<HubId>) {
        let mut came = Vec::new();
        let mut went = Vec::new();
        for (guid, record) in self.iter() {
            let Some(hub) = record.hub.as_ref().filter(|_| record.kind() == Kind::Group) else {
                continue;
            };
            match (groups.contains(&hub.id), self.is_hub_member(guid, user)) {
                (true, false) => came.push(guid),
                (false, true) => went.push(guid),
                _ => {}
            }
        }
        for group in came {
            self.members_changed(group, &[user], &[]);
        }
        for group in went {
            self.members_changed(group, &[], &[user]);
        }
    }

    fn attach(&mut self, guid: Guid, side: HubSide, missing: impl FnOnce(Place<'_>) -> Record) {
        self.touch(guid);
        let record = self.records.entry(guid).or_insert_with(|| {
            let place = Place {
                parent: None,
                dn: "",
                critical: false,
                presence: Presence::Missing,
            };
            Box::new(missing(place))
        });
        record.hub = Some(side);
    }

    /// Takes over from an index that covers exactly what the hub has what its listing does not
    /// tell, see [`Memory`].
    pub fn remember(&mut self, before: &Index) {
        let mut memory = Memory::default();
        for (guid, record) in before.iter() {
            memory.note(self, guid, record);
        }
        self.recall(memory);
    }

    /// Takes in what was found in an earlier index.
    pub fn recall(&mut self, memory: Memory) {
        let (suspended, members) = memory.into_parts();
        for user in suspended {
            self.activated(user, false);
        }
        for (group, members) in members {
            self.tell(group, members);
        }
    }

    /// Takes in the hub's present list of a group's members, by their ids there. Members that the
    /// hub does not list because they are suspended stay as they were known.
    pub fn set_members(&mut self, groups: &BTreeMap<Guid, Vec<HubId>>) {
        let ids = self.hub_ids();
        for (group, member_ids) in groups {
            let active: BTreeSet<Guid> = self
                .hub_members(*group)
                .filter(|user| !self.is_inactive(*user))
                .collect();
            if self.hub_id(*group).is_some() {
                self.untell(*group, |user| active.contains(user));
                self.tell(*group, ids.users(member_ids));
            }
        }
    }
}
