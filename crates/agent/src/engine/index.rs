//! What is known of every object: where it lies, what it should be, and what the hub has of it.
//!
//! Invariant: an object's hub side changes only through what the hub said: its listing, or the
//! acknowledgement of a write. Everything here can be rebuilt from both sides at any time.
//! Deliberately absent: the file the index is kept in.
//!
//! A million objects fit (AT-19, decision 17): every look at all of them is one pass without
//! anything of its own for each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Guid;
use super::mapping::Mapping;
use super::object::{ACCOUNT_DISABLED, Change, DirectoryObject, MACHINE_ACCOUNT, ObjectClass};
use super::values::Digest;

mod listing;

pub use super::record::{Body, HubSide, Kind, Place, Presence, Record};
pub use listing::{HubGroup, HubIds, HubUser};

/// Changed records that are noted one by one; with more of them everything counts as changed.
const DIRTY_MAX: usize = 65_536;
const MACHINE: &str = "it is the account of a computer or of a trust";
/// Longest chain of parents in a name.
const NAME_DEPTH_MAX: usize = 512;

/// The records that changed since they were last stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dirty {
    /// These; one that the index does not have was removed.
    Some(BTreeSet<Guid>),
    /// So many that everything has to be stored anew.
    All,
}

/// A user that became the account of a machine. Like a critical object it is never in scope, so it
/// leaves the hub as users do.
fn machine(place: Place<'_>) -> Record {
    let place = Place {
        critical: true,
        ..place
    };
    Record::user(place, Err(MACHINE), false, None)
}

/// All objects by objectGUID.
#[derive(Debug, Clone)]
pub struct Index {
    records: BTreeMap<Guid, Box<Record>>,
    dirty: Dirty,
    /// Users that left the hub, and with it all groups (decision U82), since the groups were last
    /// gone through.
    left: BTreeSet<Guid>,
    /// Users that the hub lists as suspended, without telling by whom, and that no earlier index
    /// remembers as suspended by the agent. Not stored: a new listing tells anew.
    doubtful: BTreeSet<Guid>,
}

impl Default for Index {
    fn default() -> Self {
        Self::from_records([])
    }
}

impl Index {
    /// An index of these records, all considered stored.
    #[must_use]
    pub fn from_records(records: impl IntoIterator<Item = (Guid, Record)>) -> Self {
        let records = records.into_iter();
        Self {
            records: records.map(|(guid, r)| (guid, Box::new(r))).collect(),
            dirty: Dirty::Some(BTreeSet::new()),
            left: BTreeSet::new(),
            doubtful: BTreeSet::new(),
        }
    }

    /// Takes in a stored record.
    pub fn load(&mut self, guid: Guid, record: Record) {
        self.records.insert(guid, Box::new(record));
    }

    /// One object.
    #[must_use]
    pub fn get(&self, guid: Guid) -> Option<&Record> {
        self.records.get(&guid).map(|record| &**record)
    }

    /// All objects in the order of their guids.
    pub fn iter(&self) -> impl Iterator<Item = (Guid, &Record)> {
        self.records.iter().map(|(guid, record)| (*guid, &**record))
    }

    /// The objects after this one, in the order of their guids; all without one.
    pub fn iter_after(&self, after: Option<Guid>) -> impl Iterator<Item = (Guid, &Record)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.records.range((start, Bound::Unbounded));
        rest.map(|(guid, record)| (*guid, &**record))
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
        let hub = self.get(guid)?.hub.as_ref()?;
        Some(hub.id.as_str())
    }

    /// The users of this index that are members of the group in the hub, sorted.
    pub fn hub_members(&self, group: Guid) -> impl Iterator<Item = Guid> {
        let told = self.get(group).map_or(&[][..], Record::told_members);
        let users = told.iter().copied();
        users.filter(|user| !self.left.contains(user))
    }

    /// Whether the hub has the user in the group.
    #[must_use]
    pub fn is_hub_member(&self, group: Guid, user: Guid) -> bool {
        let told = self.get(group).map_or(&[][..], Record::told_members);
        told.binary_search(&user).is_ok() && !self.left.contains(&user)
    }

    /// The name of an object by its present parents, as far as they are known; what the directory
    /// never showed has the name it has in the hub.
    #[must_use]
    pub fn dn(&self, guid: Guid) -> String {
        let mut parts = Vec::new();
        let mut at = self.get(guid);
        while let Some(record) = at
            && parts.len() < NAME_DEPTH_MAX
        {
            parts.push(record.name());
            let parent = record.parent.and_then(|parent| self.get(parent));
            at = parent.filter(|parent| parent.presence == Presence::Seen);
        }
        parts.retain(|part| !part.is_empty());
        parts.join(",")
    }

    /// What changed since the last call, for storing.
    pub fn take_dirty(&mut self) -> Dirty {
        self.sweep();
        std::mem::replace(&mut self.dirty, Dirty::Some(BTreeSet::new()))
    }

    /// Takes in one piece of news from the directory.
    pub fn apply(&mut self, change: Change, mapping: &Mapping) {
        match change {
            Change::Seen(object) => self.see(&object, mapping),
            Change::Deleted(guid) => self.lose(guid, Presence::Deleted),
            Change::Missing(guid) => self.lose(guid, Presence::Missing),
            Change::Elsewhere(guid, dn) => self.see_elsewhere(guid, &dn),
        }
    }

    fn see(&mut self, object: &DirectoryObject, mapping: &Mapping) {
        let place = Place {
            parent: object.parent,
            dn: &object.dn,
            critical: object.critical,
            presence: Presence::Seen,
        };
        let mut record = match object.class {
            ObjectClass::User if object.user_account_control & MACHINE_ACCOUNT == 0 => {
                let values = mapping.user(object);
                let enabled = object.user_account_control & ACCOUNT_DISABLED == 0;
                let values = values.as_ref().map_err(String::as_str);
                let rid = object.primary_group_rid;
                let mut user = Record::user(place, values, enabled, rid);
                user.must_change_password = object.pwd_last_set == Some(0);
                user
            }
            ObjectClass::Group => {
                let values = mapping.group(object);
                let values = values.as_ref().map_err(String::as_str);
                Record::group(place, values, &object.members, object.rid)
            }
            ObjectClass::User if self.hub_id(object.guid).is_some() => machine(place),
            ObjectClass::User | ObjectClass::Container | ObjectClass::Other => {
                Record::container(place)
            }
        };
        self.touch(object.guid);
        match self.records.get_mut(&object.guid) {
            Some(known) => {
                std::mem::swap(&mut **known, &mut record);
                known.take_hub_of(record);
            }
            None => {
                self.records.insert(object.guid, Box::new(record));
            }
        }
    }

    /// An object of another domain counts as something that is known and never in scope. What this
    /// domain shows of it is worth more: names in links lag behind moves.
    fn see_elsewhere(&mut self, guid: Guid, dn: &str) {
        if self.records.contains_key(&guid) {
            return;
        }
        let place = Place {
            parent: None,
            dn,
            critical: false,
            presence: Presence::Seen,
        };
        self.records
            .insert(guid, Box::new(Record::container(place)));
        self.touch(guid);
    }

    fn lose(&mut self, guid: Guid, presence: Presence) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        // A group may go on naming a deleted member, because the directory does not report it for
        // that. The record tells such a link from one to an object that cannot be read.
        if record.hub.is_some() || presence == Presence::Deleted {
            record.presence = presence;
        } else {
            self.records.remove(&guid);
        }
        self.touch(guid);
    }

    /// The users the hub has and that are not known to be active there. The hub does not list
    /// them as members, so that it may have them in groups that nobody here knows of.
    #[must_use]
    pub fn inactive_users(&self) -> BTreeSet<Guid> {
        let users = self.iter().map(|(guid, _)| guid);
        users.filter(|guid| self.is_inactive(*guid)).collect()
    }

    /// The users that are enabled in the directory and not known to be active in the hub.
    #[must_use]
    pub fn to_reactivate(&self) -> Vec<Guid> {
        let enabled = self
            .iter()
            .filter(|(_, record)| record.presence == Presence::Seen && record.is_enabled());
        let users = enabled.map(|(guid, _)| guid);
        users.filter(|guid| self.is_inactive(*guid)).collect()
    }

    /// Whether this is a user of the hub that is not known to be active there.
    #[must_use]
    pub fn is_inactive(&self, user: Guid) -> bool {
        let user = self.get(user).filter(|found| found.kind() == Kind::User);
        let side = user.and_then(|found| found.hub.as_ref());
        side.is_some_and(|side| side.enabled != Some(true))
    }

    /// Whether the user may be suspended by an administrator only: then a block of the agent's own
    /// is still due for one that is disabled (decision U52).
    #[must_use]
    pub fn is_doubtful(&self, user: Guid) -> bool {
        self.doubtful.contains(&user)
    }

    /// Whether the hub has the user and it is known to be active there.
    #[must_use]
    pub fn is_active(&self, user: Guid) -> bool {
        let side = self.get(user).and_then(|found| found.hub.as_ref());
        side.is_some_and(|side| side.enabled == Some(true))
    }

    /// Gives a group that is shown without members those it is known to have, for a group whose
    /// members were not reported to have changed: the account may not read them. Tells whether it
    /// did.
    #[must_use]
    pub fn keep_unreported_members(&self, object: &mut DirectoryObject) -> bool {
        // What was deleted and comes back may have lost its members, which is not reported.
        let known = self
            .get(object.guid)
            .filter(|r| r.presence == Presence::Seen);
        let known = known.map_or(&[][..], Record::members);
        if object.class != ObjectClass::Group || !object.members.is_empty() || known.is_empty() {
            return false;
        }
        object.members = known.to_vec();
        true
    }

    /// The parents that objects name but that are not in the index.
    #[must_use]
    pub fn missing_parents(&self) -> Vec<Guid> {
        let missing: BTreeSet<Guid> = self
            .iter()
            .filter(|(_, record)| record.presence == Presence::Seen)
            .filter_map(|(_, record)| record.parent)
            .filter(|guid| !self.records.contains_key(guid))
            .collect();
        missing.into_iter().collect()
    }

    /// The members that groups name but that are not in the index, for callers who follow groups
    /// inside groups. Contacts and the like are found when they are looked up; what is not may be
    /// a group that cannot be read.
    #[must_use]
    pub fn missing_members(&self) -> Vec<Guid> {
        let missing: BTreeSet<Guid> = self
            .iter()
            .filter(|(_, record)| record.presence == Presence::Seen)
            .flat_map(|(_, record)| record.members())
            .filter(|member| !self.records.contains_key(member))
            .copied()
            .collect();
        missing.into_iter().collect()
    }

    /// The objects the hub has and the directory did not show.
    #[must_use]
    pub fn missing(&self) -> Vec<Guid> {
        self.iter()
            .filter(|(_, record)| record.presence == Presence::Missing)
            .map(|(guid, _)| guid)
            .collect()
    }

    /// The hub has the user or group now, with these values.
    pub fn written(&mut self, guid: Guid, id: &str, digest: Digest) {
        if self.left.contains(&guid) {
            self.sweep();
        }
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        let enabled = record.hub.as_ref().and_then(|side| side.enabled);
        record.hub = Some(HubSide {
            id: id.into(),
            digest,
            enabled,
        });
        self.touch(guid);
    }

    /// The hub has activated or suspended the user.
    pub fn activated(&mut self, guid: Guid, enabled: bool) {
        let record = self.records.get_mut(&guid);
        if let Some(side) = record.and_then(|record| record.hub.as_mut()) {
            side.enabled = Some(enabled);
            self.doubtful.remove(&guid);
            self.touch(guid);
        }
    }

    /// The hub has changed the members of the group.
    pub fn members_changed(&mut self, guid: Guid, added: &[Guid], removed: &[Guid]) {
        if self.hub_id(guid).is_some() {
            let gone: BTreeSet<Guid> = removed.iter().copied().collect();
            self.tell(guid, added.iter().copied());
            self.untell(guid, |user| gone.contains(user));
        }
    }

    /// The hub no longer has the user or group.
    pub fn removed(&mut self, guid: Guid) {
        let Some(record) = self.records.get_mut(&guid) else {
            return;
        };
        record.hub = None;
        record.retain_told(|_| false);
        self.doubtful.remove(&guid);
        if record.kind() == Kind::User {
            self.left.insert(guid);
        }
        if record.presence == Presence::Missing {
            self.records.remove(&guid);
        }
        self.touch(guid);
    }

    /// Goes through the groups once for all users that left.
    fn sweep(&mut self) {
        let left = std::mem::take(&mut self.left);
        if left.is_empty() {
            return;
        }
        let mut changed = Vec::new();
        for (guid, record) in &mut self.records {
            if record.retain_told(|member| !left.contains(member)) {
                changed.push(*guid);
            }
        }
        for guid in changed {
            self.touch(guid);
        }
    }

    fn tell(&mut self, group: Guid, members: impl IntoIterator<Item = Guid>) {
        if let Some(record) = self.records.get_mut(&group) {
            record.tell(members);
            self.touch(group);
        }
    }

    fn untell(&mut self, group: Guid, mut gone: impl FnMut(&Guid) -> bool) {
        if let Some(record) = self.records.get_mut(&group) {
            record.retain_told(|member| !gone(member));
            self.touch(group);
        }
    }

    fn touch(&mut self, guid: Guid) {
        if let Dirty::Some(noted) = &mut self.dirty {
            noted.insert(guid);
            if noted.len() > DIRTY_MAX {
                self.dirty = Dirty::All;
            }
        }
    }
}
