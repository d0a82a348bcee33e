//! A model of an Active Directory domain as a reader with DirSync rights sees it.
//!
//! Invariant: an increment names exactly the visible objects that changed themselves. So, as in
//! the real thing (MS-ADTS 3.1.1.3.4.1.3), the children of a moved or renamed unit are not
//! reported, a group is not reported when a member is deleted, and objects the account may not
//! read are simply not there. Deliberately absent: partial attributes (the agent reads changed
//! objects whole), several controllers that lag behind each other, and referrals.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::object::{ACCOUNT_DISABLED, Change, DirectoryObject, ObjectClass};
use rollcall_kit::timestamp::Timestamp;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The domain or an organizational unit.
    Unit,
    /// A person's account.
    User,
    /// A group.
    Group,
}

/// Whether an object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It lives.
    Live,
    /// It is a tombstone.
    Tombstone,
    /// Its tombstone is gone too.
    Purged,
}

/// Whether the agent's account may read an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// It may.
    Visible,
    /// It may not; the directory behaves as if the object were not there.
    Hidden,
}

/// An object of the directory.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub class: Class,
    /// Where it lies; `None` for the domain.
    pub parent: Option<Guid>,
    /// Attributes with lower-case names.
    pub attributes: BTreeMap<&'static str, String>,
    /// Direct members of a group, as links: those to deleted objects are not shown.
    pub members: BTreeSet<Guid>,
    /// Last part of objectSid.
    pub rid: u32,
    /// primaryGroupID.
    pub primary_group_rid: u32,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// The moment behind accountExpires.
    pub account_expires: Option<Timestamp>,
    /// isCriticalSystemObject.
    pub critical: bool,
    /// Whether it lives.
    pub life: Life,
    /// Whether it can be read.
    pub visibility: Visibility,
    changed_usn: u64,
}

/// How far a reader has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    controller: u64,
    usn: u64,
}

/// The controller does not accept a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieRefused;

/// The directory.
#[derive(Debug, Clone)]
pub struct Directory {
    objects: BTreeMap<Guid, Object>,
    root: Guid,
    controller: u64,
    usn: u64,
}

impl Object {
    /// A new live object with no attributes.
    #[must_use]
    pub fn new(class: Class, parent: Option<Guid>) -> Self {
        Self {
            class,
            parent,
            attributes: BTreeMap::new(),
            members: BTreeSet::new(),
            rid: 0,
            primary_group_rid: 0,
            disabled: false,
            account_expires: None,
            critical: false,
            life: Life::Live,
            visibility: Visibility::Visible,
            changed_usn: 0,
        }
    }

    /// Whether the object lives.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.life == Life::Live
    }

    /// An attribute; empty when it has no value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Default for Directory {
    fn default() -> Self {
        let root = Guid::from_number(1);
        let domain = Object {
            changed_usn: 1,
            ..Object::new(Class::Unit, None)
        };
        Self {
            objects: BTreeMap::from([(root, domain)]),
            root,
            controller: 1,
            usn: 1,
        }
    }
}

impl Directory {
    /// The domain itself.
    #[must_use]
    pub fn root(&self) -> Guid {
        self.root
    }

    /// All objects, tombstones included.
    pub fn iter(&self) -> impl Iterator<Item = (Guid, &Object)> {
        self.objects.iter().map(|(guid, object)| (*guid, object))
    }

    /// One object.
    #[must_use]
    pub fn get(&self, guid: Guid) -> Option<&Object> {
        self.objects.get(&guid)
    }

    /// The live objects of a class.
    #[must_use]
    pub fn live(&self, class: Class) -> Vec<Guid> {
        self.select(|object| object.class == class && object.is_live())
    }

    /// The tombstones.
    #[must_use]
    pub fn tombstones(&self) -> Vec<Guid> {
        self.select(|object| object.life == Life::Tombstone)
    }

    fn select(&self, wanted: impl Fn(&Object) -> bool) -> Vec<Guid> {
        self.iter()
            .filter(|(_, object)| wanted(object))
            .map(|(guid, _)| guid)
            .collect()
    }

    /// Adds an object.
    pub fn add(&mut self, mut object: Object) -> Guid {
        self.usn += 1;
        object.changed_usn = self.usn;
        let number = self.objects.len() + 1;
        object.rid = 1_000 + u32::try_from(number).unwrap_or(0);
        let guid = Guid::from_number(scattered(number as u128));
        self.objects.insert(guid, object);
        guid
    }

    /// Changes an object and notes the change.
    pub fn change(&mut self, guid: Guid, edit: impl FnOnce(&mut Object)) {
        self.usn += 1;
        let usn = self.usn;
        if let Some(object) = self.objects.get_mut(&guid) {
            edit(object);
            object.changed_usn = usn;
        }
    }

    /// Moves an object, unless that would make a ring of units.
    pub fn relocate(&mut self, guid: Guid, parent: Guid) {
        let mut at = Some(parent);
        while let Some(unit) = at {
            if unit == guid {
                return;
            }
            at = self.get(unit).and_then(|object| object.parent);
        }
        self.change(guid, |object| object.parent = Some(parent));
    }

    /// Deletes an object with all that lies below it. Groups keep their links, which are no
    /// longer shown, and are not reported.
    pub fn delete(&mut self, guid: Guid) {
        let below = self.select(|object| object.parent == Some(guid) && object.is_live());
        for child in below {
            self.delete(child);
        }
        self.change(guid, |object| object.life = Life::Tombstone);
    }

    /// Restores a tombstone into `parent`. Its links come back with it, as with the recycle bin,
    /// and the groups on the other end are reported.
    pub fn restore(&mut self, guid: Guid, parent: Guid) {
        self.change(guid, |object| {
            object.life = Life::Live;
            object.parent = Some(parent);
        });
        let groups = self.select(|object| object.members.contains(&guid) && object.is_live());
        for group in groups {
            self.change(group, |_| {});
        }
    }

    /// Forgets a tombstone, as the garbage collection does after its lifetime.
    pub fn purge(&mut self, guid: Guid) {
        if let Some(object) = self.objects.get_mut(&guid) {
            object.life = Life::Purged;
        }
    }

    /// Takes away or gives back the right to read an object. That is no change of the object.
    pub fn set_visibility(&mut self, guid: Guid, visibility: Visibility) {
        if let Some(object) = self.objects.get_mut(&guid) {
            object.visibility = visibility;
        }
    }

    /// Another controller answers from now on, and it refuses the cookies of the former one.
    pub fn replace_controller(&mut self) {
        self.controller += 1;
    }

    /// The present end of the changes.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        Cookie {
            controller: self.controller,
            usn: self.usn,
        }
    }

    /// The live objects that can be read.
    #[must_use]
    pub fn visible(&self) -> Vec<Guid> {
        self.select(|object| object.is_live() && object.visibility == Visibility::Visible)
    }

    /// The objects that changed after `cookie`, tombstones included, and a new cookie.
    ///
    /// # Errors
    /// [`CookieRefused`] for a cookie of another controller.
    pub fn changes_since(&self, cookie: Cookie) -> Result<(Vec<Guid>, Cookie), CookieRefused> {
        if cookie.controller != self.controller {
            return Err(CookieRefused);
        }
        let changed = self.select(|object| {
            object.changed_usn > cookie.usn
                && object.life != Life::Purged
                && object.visibility == Visibility::Visible
        });
        Ok((changed, self.cookie()))
    }

    /// Reads one object whole by its objectGUID, deleted ones included.
    #[must_use]
    pub fn read(&self, guid: Guid) -> Change {
        let Some(object) = self
            .get(guid)
            .filter(|o| o.visibility == Visibility::Visible)
        else {
            return Change::Missing(guid);
        };
        match object.life {
            Life::Live => Change::Seen(Box::new(self.whole(guid, object))),
            Life::Tombstone => Change::Deleted(guid),
            Life::Purged => Change::Missing(guid),
        }
    }

    fn whole(&self, guid: Guid, object: &Object) -> DirectoryObject {
        let attributes = object.attributes.iter();
        let shown = |member: &&Guid| self.get(**member).is_some_and(Object::is_live);
        DirectoryObject {
            guid,
            parent: object.parent,
            dn: format!("CN={}", object.attribute("cn")),
            class: match object.class {
                Class::Unit => ObjectClass::Container,
                Class::User => ObjectClass::User,
                Class::Group => ObjectClass::Group,
            },
            critical: object.critical,
            attributes: attributes
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
            members: object.members.iter().filter(shown).copied().collect(),
            rid: Some(object.rid),
            primary_group_rid: (object.class == Class::User).then_some(object.primary_group_rid),
            user_account_control: if object.disabled {
                ACCOUNT_DISABLED
            } else {
                0x0200
            },
            account_expires: object.account_expires.map_or(0, filetime),
            pwd_last_set: None,
        }
    }
}

/// A moment in the directory's form: units of 100 ns since 1601 (MS-DTYP 2.3.3).
fn filetime(at: Timestamp) -> i64 {
    const UNIX_EPOCH: i64 = 116_444_736_000_000_000;
    at.as_micros().saturating_mul(10).saturating_add(UNIX_EPOCH)
}

/// Spreads counted numbers, so that the order of guids is not the order of creation.
fn scattered(number: u128) -> u128 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain_with_unit() -> (Directory, Guid, Guid) {
        let mut directory = Directory::default();
        let unit = directory.add(Object::new(Class::Unit, Some(directory.root())));
        let user = directory.add(Object::new(Class::User, Some(unit)));
        (directory, unit, user)
    }

    #[test]
    fn children_of_a_changed_unit_are_not_reported() {
        let (mut directory, unit, _) = domain_with_unit();
        let cookie = directory.cookie();
        directory.change(unit, |unit| {
            drop(unit.attributes.insert("name", "new".into()))
        });
        let (changed, next) = directory.changes_since(cookie).unwrap();
        assert_eq!(changed, [unit]);
        assert_eq!(directory.changes_since(next).unwrap().0, []);
    }

    #[test]
    fn a_deleted_tree_is_reported_object_by_object_and_groups_are_not() {
        let (mut directory, unit, user) = domain_with_unit();
        let group = directory.add(Object::new(Class::Group, Some(directory.root())));
        directory.change(group, |group| group.members = BTreeSet::from([user]));
        let cookie = directory.cookie();
        directory.delete(unit);
        let (changed, _) = directory.changes_since(cookie).unwrap();
        assert_eq!(BTreeSet::from_iter(changed), BTreeSet::from([unit, user]));
        assert_eq!(directory.read(user), Change::Deleted(user));
        match directory.read(group) {
            Change::Seen(seen) => assert_eq!(seen.members, []),
            other => panic!("{other:?}"),
        }
        directory.purge(user);
        assert_eq!(directory.read(user), Change::Missing(user));
    }

    #[test]
    fn hidden_objects_are_not_there_and_foreign_cookies_are_refused() {
        let (mut directory, _, user) = domain_with_unit();
        let start = Cookie {
            usn: 0,
            ..directory.cookie()
        };
        directory.set_visibility(user, Visibility::Hidden);
        assert!(!directory.changes_since(start).unwrap().0.contains(&user));
        assert!(!directory.visible().contains(&user));
        assert_eq!(directory.read(user), Change::Missing(user));
        directory.replace_controller();
        assert_eq!(directory.changes_since(start), Err(CookieRefused));
    }

    #[test]
    fn units_never_lie_in_themselves() {
        let (mut directory, unit, _) = domain_with_unit();
        let inner = directory.add(Object::new(Class::Unit, Some(unit)));
        directory.relocate(unit, inner);
        assert_eq!(directory.get(unit).unwrap().parent, Some(directory.root()));
    }
}
