//! What is known of every object: where it lies, what it should be, and what the hub has of it.
//!
//! Invariant: an object's hub side changes only through what the hub said: its listing, or the
//! acknowledgement of a write. Everything here can be rebuilt from both sides at any time.
//! Deliberately absent: the file the index is kept in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Guid;
use super::mapping::Mapping;
use super::object::{ACCOUNT_DISABLED, Change, DirectoryObject, MACHINE_ACCOUNT, ObjectClass};
use super::values::{Digest, GroupValues, UserValues};

/// Whether the directory still shows an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was read.
    Seen,
    /// A tombstone was reported.
    Deleted,
    /// The hub has it, the directory neither shows it nor reported its deletion.
    Missing,
}

/// What the hub has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSide {
    /// Its id in the hub.
    pub id: String,
    /// Fingerprint of its values there.
    pub digest: Digest,
    /// Users: whether the agent left it active; `None` when the listing does not tell who
    /// suspended it.
    pub enabled: Option<bool>,
    /// Groups: the members the hub has, as far as they are users of this pool.
    pub members: BTreeSet<Guid>,
}

/// The part of an object that depends on what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A user and its values, or why it cannot be one.
    User {
        /// Mapped values or the reason why there are none.
        values: Result<UserValues, String>,
        /// False when the account is disabled in the directory.
        enabled: bool,
        /// primaryGroupID.
        primary_group_rid: Option<u32>,
    },
    /// A group and its values, or why it cannot be one.
    Group {
        /// Mapped values or the reason why there are none.
        values: Result<GroupValues, String>,
        /// Direct members of any kind.
        members: Vec<Guid>,
        /// Last part of objectSid.
        rid: Option<u32>,
    },
    /// Something others may lie in.
    Container,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// parentGUID.
    pub parent: Option<Guid>,
    /// Last known name, for messages.
    pub dn: String,
    /// isCriticalSystemObject.
    pub critical: bool,
    /// Whether the directory shows it.
    pub presence: Presence,
    /// Values and links.
    pub body: Body,
    /// What the hub has; `None` when it has nothing.
    pub hub: Option<HubSide>,
}

/// A user as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubUser {
    /// objectGUID, from external_id.
    pub guid: Guid,
    /// Id in the hub.
    pub id: String,
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
    pub id: String,
    /// Values of the mapped fields.
    pub values: GroupValues,
    /// Ids of the members in the hub.
    pub member_ids: Vec<String>,
}

/// All objects by objectGUID.
#[derive(Debug, Clone, Default)]
pub struct Index {
    records: BTreeMap<Guid, Record>,
    dirty: BTreeSet<Guid>,
}

impl Index {
    /// An index of these records, all considered stored.
    #[must_use]
    pub fn from_records(records: impl IntoIterator<Item = (Guid, Record)>) -> Self {
        Self {
            records: records.into_iter().collect(),
            dirty: BTreeSet::new(),
        }
    }

    /// One object.
    #[must_use]
    pub fn get(&self, guid: Guid) -> Option<&Record> {
        self.records.get(&guid)
    }

    /// All objects in the order of their guids.
    pub fn iter(&self) -> impl Iterator<Item = (Guid, &Record)> {
        self.records.iter().map(|(guid, record)| (*guid, record))
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The hub's id of an object.
    #[must_use]
    pub fn hub_id(&self, guid: Guid) -> Option<&str> {
        let hub = self.records.get(&guid)?.hub.as_ref()?;
        Some(&hub.id)
    }

    /// The objects whose record changed since the last call, for storing; `None` means removed.
    pub fn take_dirty(&mut self) -> Vec<(Guid, Option<&Record>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|guid| (guid, self.records.get(&guid)))
            .collect()
    }

    /// Takes in one piece of news from the directory.
    pub fn apply(&mut self, change: Change, mapping: &Mapping) {
        match change {
            Change::Seen(object) => self.see(&object, mapping),
            Change::Deleted(guid) => self.lose(guid, Presence::Deleted),
            Change::Missing(guid) => self.lose(guid, Presence::Missing),
        }
    }

    fn see(&mut self, object: &DirectoryObject, mapping: &Mapping) {
        let body = match object.class {
            ObjectClass::User if object.user_account_control & MACHINE_ACCOUNT == 0 => Body::User {
                values: mapping.user(object),
                enabled: object.user_account_control & ACCOUNT_DISABLED == 0,
                primary_group_rid: object.primary_group_rid,
            },
            ObjectClass::Group => Body::Group {
                values: mapping.group(object),
                members: object.members.clone(),
                rid: object.rid,
            },
            ObjectClass::User | ObjectClass::Container | ObjectClass::Other => Body::Container,
        };
        let hub = self
            .records
            .get_mut(&object.guid)
            .and_then(|record| record.hub.take());
        let record = Record {
            parent: object.parent,
            dn: object.dn.clone(),
            critical: object.critical,
            presence: Presence::Seen,
            body,
            hub,
        };
        self.put(object.guid, record);
    }

    fn lose(&mut self, guid: Guid, presence: Presence) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        self.dirty.insert(guid);
        // A group may go on naming a deleted member, because the directory does not report it for
        // that. The record tells such a link from one to an object that cannot be read.
        if record.hub.is_some() || presence == Presence::Deleted {
            record.presence = presence;
        } else {
            self.records.remove(&guid);
        }
    }

    /// Takes in the hub's listing of users and groups in place of all that was known of the hub.
    /// Objects the directory did not show become [`Presence::Missing`].
    pub fn set_hub(&mut self, users: Vec<HubUser>, groups: Vec<HubGroup>) {
        for (guid, record) in &mut self.records {
            if record.hub.take().is_some() {
                self.dirty.insert(*guid);
            }
        }
        let by_id: HashMap<String, Guid> = users
            .iter()
            .map(|user| (user.id.clone(), user.guid))
            .collect();
        for user in users {
            let side = HubSide {
                id: user.id,
                digest: user.values.digest(),
                enabled: user.enabled,
                members: BTreeSet::new(),
            };
            let missing = || Body::User {
                values: Ok(user.values.clone()),
                enabled: true,
                primary_group_rid: None,
            };
            self.attach(user.guid, side, missing);
        }
        for group in groups {
            let side = HubSide {
                id: group.id,
                digest: group.values.digest(),
                enabled: None,
                members: group
                    .member_ids
                    .iter()
                    .filter_map(|id| by_id.get(id).copied())
                    .collect(),
            };
            let missing = || Body::Group {
                values: Ok(group.values.clone()),
                members: Vec::new(),
                rid: None,
            };
            self.attach(group.guid, side, missing);
        }
    }

    fn attach(&mut self, guid: Guid, side: HubSide, missing: impl FnOnce() -> Body) {
        self.dirty.insert(guid);
        let record = self.records.entry(guid).or_insert_with(|| Record {
            parent: None,
            dn: String::new(),
            critical: false,
            presence: Presence::Missing,
            body: missing(),
            hub: None,
        });
        record.hub = Some(side);
    }

    /// Takes over from an index that covers exactly what the hub has what its listing does not
    /// tell: whether a user whose account ended was suspended by the agent too, and in which groups
    /// suspended users are, for the hub lists active members only.
    ///
    /// What the listing does tell is never overruled: a user it calls suspended may have been
    /// suspended by another agent, and reactivating it does not undo an administrator's block
    /// (decision U52). Memberships of suspended users that no index remembers are added once
    /// more, which changes nothing where they exist.
    pub fn remember(&mut self, before: &Index) {
        let hidden = self.suspended_as_in(before);
        for (guid, record) in &mut self.records {
            let known = before.get(*guid).and_then(|old| old.hub.as_ref());
            let (Some(side), Some(known)) = (record.hub.as_mut(), known) else {
                continue;
            };
            if side.id != known.id {
                continue;
            }
            if side.enabled.is_none() && known.enabled == Some(false) {
                side.enabled = Some(false);
            }
            side.members.extend(known.members.intersection(&hidden));
        }
    }

    /// The users the hub has and that are not known to be active there. The hub does not list
    /// them as members, so that it may have them in groups that nobody here knows of.
    #[must_use]
    pub fn inactive_users(&self) -> BTreeSet<Guid> {
        let inactive = self.records.iter().filter(|(_, record)| {
            let hub = record.hub.as_ref();
            matches!(record.body, Body::User { .. })
                && hub.is_some_and(|side| side.enabled != Some(true))
        });
        inactive.map(|(guid, _)| *guid).collect()
    }

    /// Whether the hub has the user and it is known to be active there.
    #[must_use]
    pub fn is_active(&self, user: Guid) -> bool {
        let side = self.records.get(&user).and_then(|found| found.hub.as_ref());
        side.is_some_and(|side| side.enabled == Some(true))
    }

    /// Takes in the hub's present list of a group's members, by their ids there. Members that the
    /// hub does not list because they are suspended stay as they were known.
    pub fn set_members(&mut self, groups: &BTreeMap<Guid, Vec<String>>) {
        let users = self.records.iter().filter_map(|(guid, record)| {
            let is_user = matches!(record.body, Body::User { .. });
            let hub = record.hub.as_ref().filter(|_| is_user)?;
            Some((hub.id.clone(), *guid))
        });
        let by_id: HashMap<String, Guid> = users.collect();
        let inactive = self.inactive_users();
        for (group, member_ids) in groups {
            if let Some(side) = self.side(*group) {
                side.members.retain(|member| inactive.contains(member));
                let listed = member_ids.iter().filter_map(|id| by_id.get(id));
                side.members.extend(listed);
            }
        }
    }

    /// Gives a group that is shown without members those it is known to have, for a group whose
    /// members were not reported to have changed: the account may not read them. Tells whether it
    /// did.
    #[must_use]
    pub fn keep_unreported_members(&self, object: &mut DirectoryObject) -> bool {
        let known = self.records.get(&object.guid).map(|record| &record.body);
        let Some(Body::Group { members, .. }) = known else {
            return false;
        };
        if object.class != ObjectClass::Group || !object.members.is_empty() || members.is_empty() {
            return false;
        }
        object.members.clone_from(members);
        true
    }

    /// Users the hub lists as suspended and that are the same hub users as in `before`.
    fn suspended_as_in(&self, before: &Index) -> BTreeSet<Guid> {
        let mut suspended = self.inactive_users();
        suspended.retain(|guid| self.hub_id(*guid) == before.hub_id(*guid));
        suspended
    }

    /// The parents that objects name but that are not in the index.
    #[must_use]
    pub fn missing_parents(&self) -> Vec<Guid> {
        let named: BTreeSet<Guid> = self
            .records
            .values()
            .filter(|record| record.presence == Presence::Seen)
            .filter_map(|record| record.parent)
            .collect();
        named
            .into_iter()
            .filter(|guid| !self.records.contains_key(guid))
            .collect()
    }

    /// The members that groups name but that are not in the index, for callers who follow groups
    /// inside groups. Contacts and the like are found when they are looked up; what is not may be
    /// a group that cannot be read.
    #[must_use]
    pub fn missing_members(&self) -> Vec<Guid> {
        let missing: BTreeSet<Guid> = self
            .records
            .values()
            .filter(|record| record.presence == Presence::Seen)
            .filter_map(|record| match &record.body {
                Body::Group { members, .. } => Some(members),
                Body::User { .. } | Body::Container => None,
            })
            .flatten()
            .filter(|member| !self.records.contains_key(member))
            .copied()
            .collect();
        missing.into_iter().collect()
    }

    /// The objects the hub has and the directory did not show.
    #[must_use]
    pub fn missing(&self) -> Vec<Guid> {
        self.records
            .iter()
            .filter(|(_, record)| record.presence == Presence::Missing)
            .map(|(guid, _)| *guid)
            .collect()
    }

    /// The hub has the user or group now, with these values.
    pub fn written(&mut self, guid: Guid, id: &str, digest: Digest) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        self.dirty.insert(guid);
        match &mut record.hub {
            Some(side) => {
                id.clone_into(&mut side.id);
                side.digest = digest;
            }
            None => {
                record.hub = Some(HubSide {
                    id: id.to_owned(),
                    digest,
                    enabled: None,
                    members: BTreeSet::new(),
                });
            }
        }
    }

    /// The hub has activated or suspended the user.
    pub fn activated(&mut self, guid: Guid, enabled: bool) {
        if let Some(side) = self.side(guid) {
            side.enabled = Some(enabled);
        }
    }

    /// The hub has changed the members of the group.
    pub fn members_changed(&mut self, guid: Guid, added: &[Guid], removed: &[Guid]) {
        if let Some(side) = self.side(guid) {
            side.members.extend(added);
            for member in removed {
                side.members.remove(member);
            }
        }
    }

    /// The hub no longer has the user or group.
    pub fn removed(&mut self, guid: Guid) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        self.dirty.insert(guid);
        record.hub = None;
        let is_user = matches!(record.body, Body::User { .. });
        if record.presence == Presence::Missing {
            self.records.remove(&guid);
        }
        if is_user {
            self.forget_member(guid);
        }
    }

    /// The hub drops memberships together with a user (decision U82).
    fn forget_member(&mut self, user: Guid) {
        for (guid, record) in &mut self.records {
            if let Some(side) = record.hub.as_mut()
                && side.members.remove(&user)
            {
                self.dirty.insert(*guid);
            }
        }
    }

    fn side(&mut self, guid: Guid) -> Option<&mut HubSide> {
        let side = self.records.get_mut(&guid)?.hub.as_mut()?;
        self.dirty.insert(guid);
        Some(side)
    }

    fn put(&mut self, guid: Guid, record: Record) {
        self.dirty.insert(guid);
        self.records.insert(guid, record);
    }
}
