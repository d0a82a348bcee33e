//! The objects of the domain and how tests change them.
//!
//! Invariant: every change takes the next update sequence number and stamps exactly the attributes
//! and links it changed (MS-ADTS 3.1.1.1.9); the children of a moved object are not touched, for
//! their names follow from it. Deliberately absent: rights on single objects, a schema, a second
//! naming context.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::name;
use super::object::{Guid, Link, Object, ObjectId};
use super::policy::Policy;
use super::population::{self, Population};

/// DN of the domain.
pub const BASE_DN: &str = "DC=corp,DC=example,DC=com";
/// DNS name of the domain.
pub const DOMAIN: &str = "corp.example.com";
const ROOT: ObjectId = ObjectId(1);
const DELETED_OBJECTS: ObjectId = ObjectId(2);

/// The domain. A clone is a backup; see [`super::FakeDirectory::restore_backup`].
#[derive(Clone, Debug)]
pub struct Domain {
    pub(super) objects: BTreeMap<ObjectId, Object>,
    /// By parent and relative name in lower case.
    children: BTreeMap<(ObjectId, String), ObjectId>,
    by_usn: BTreeMap<u64, ObjectId>,
    population: Option<Population>,
    next_id: u64,
    usn: u64,
    /// The limits and habits of this controller.
    pub policy: Policy,
    /// Of the database of this controller; another one after a restore (MS-ADTS 3.1.1.1.9).
    pub(super) invocation_id: Guid,
}

/// Sorts of objects, with their classes.
const UNIT: (&str, &[&str], &str) = ("OU", &["top", "organizationalUnit"], "Organizational-Unit");
const CONTAINER: (&str, &[&str], &str) = ("CN", &["top", "container"], "Container");
const GROUP: (&str, &[&str], &str) = ("CN", &["top", "group"], "Group");

impl Domain {
    /// The domain with its units People and Groups, and nobody in it.
    pub(super) fn new() -> Self {
        let mut domain = Self {
            objects: BTreeMap::new(),
            children: BTreeMap::new(),
            by_usn: BTreeMap::new(),
            population: None,
            next_id: ROOT.0,
            usn: 4_096,
            policy: Policy::default(),
            invocation_id: ObjectId(u64::MAX).guid(),
        };
        let root: (&'static str, &[&str], &str) =
            ("DC", &["top", "domain", "domainDNS"], "Domain-DNS");
        domain.insert(None, root, "corp");
        domain.insert(Some(ROOT), CONTAINER, "Deleted Objects");
        domain.insert(Some(ROOT), CONTAINER, "Users");
        domain.insert(Some(ROOT), UNIT, "People");
        domain.insert(Some(ROOT), UNIT, "Groups");
        domain
    }

    /// The top of the domain.
    #[must_use]
    pub fn root(&self) -> ObjectId {
        ROOT
    }

    /// `OU=People`.
    ///
    /// # Errors
    /// When it was renamed, moved or deleted.
    pub fn people(&self) -> Result<ObjectId> {
        self.find(&format!("OU=People,{BASE_DN}"))
            .context("OU=People is gone")
    }

    /// `OU=Groups`.
    ///
    /// # Errors
    /// When it was renamed, moved or deleted.
    pub fn groups(&self) -> Result<ObjectId> {
        self.find(&format!("OU=Groups,{BASE_DN}"))
            .context("OU=Groups is gone")
    }

    /// Fills `unit` with people who are made up when somebody looks. Once per domain.
    ///
    /// # Errors
    /// When there are such people already.
    pub fn populate(&mut self, unit: ObjectId, count: u64) -> Result<()> {
        ensure!(self.population.is_none(), "the domain is populated already");
        let first_usn = self.usn + 1;
        self.population = Some(Population {
            unit,
            count,
            first_usn,
        });
        self.usn += count;
        Ok(())
    }

    /// Person number `at` of [`Self::populate`].
    #[must_use]
    pub fn person(&self, at: u64) -> ObjectId {
        Population::id(at)
    }

    /// An organizational unit.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_unit(&mut self, name: &str, parent: ObjectId) -> Result<ObjectId> {
        self.add(parent, UNIT, name)
    }

    /// A container, such as `CN=Users`.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_container(&mut self, name: &str, parent: ObjectId) -> Result<ObjectId> {
        self.add(parent, CONTAINER, name)
    }

    /// A user with the name as login.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_user(&mut self, name: &str, parent: ObjectId) -> Result<ObjectId> {
        let id = self.add(parent, ("CN", &["top"], "Person"), name)?;
        let login = format!("{name}@{DOMAIN}");
        self.stamp(id, |object, usn| {
            population::user(object, usn);
            for (attribute, value) in [
                ("sAMAccountName", name),
                ("userPrincipalName", &login),
                ("displayName", name),
            ] {
                object.put(attribute, vec![value.as_bytes().to_vec()], usn);
            }
        })?;
        Ok(id)
    }

    /// A group with these members.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_group(
        &mut self,
        name: &str,
        parent: ObjectId,
        members: impl IntoIterator<Item = ObjectId>,
    ) -> Result<ObjectId> {
        let id = self.add(parent, GROUP, name)?;
        self.stamp(id, |object, usn| {
            let sid = object.id.sid();
            object.put("objectSid", vec![sid], usn);
            object.put("sAMAccountName", vec![name.as_bytes().to_vec()], usn);
            // A global security group, MS-ADTS 2.2.12.
            object.put("groupType", vec![b"-2147483646".to_vec()], usn);
            let link = Link { present: true, usn };
            object.members = members.into_iter().map(|member| (member, link)).collect();
        })?;
        Ok(id)
    }

    /// An object of these classes, from the most general one down.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_object(
        &mut self,
        name: &str,
        classes: &[&str],
        parent: ObjectId,
    ) -> Result<ObjectId> {
        let category = classes.last().copied().unwrap_or_default();
        self.add(parent, ("CN", classes, category), name)
    }

    /// Puts these values in the place of all present ones; none removes the attribute.
    ///
    /// # Errors
    /// When the object does not exist.
    pub fn set(&mut self, id: ObjectId, attribute: &str, values: &[&str]) -> Result<()> {
        let values = values.iter().map(|v| v.as_bytes().to_vec()).collect();
        self.stamp(id, |object, usn| object.put(attribute, values, usn))
    }

    /// Adds a member. Nothing changes when it is one already.
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn add_member(&mut self, group: ObjectId, member: ObjectId) -> Result<()> {
        self.link(group, member, true)
    }

    /// Takes a member out. Nothing changes when it is none.
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn remove_member(&mut self, group: ObjectId, member: ObjectId) -> Result<()> {
        self.link(group, member, false)
    }

    fn link(&mut self, group: ObjectId, member: ObjectId, present: bool) -> Result<()> {
        let known = self.objects.get(&group).context("there is no such group")?;
        let before = known.members.get(&member).is_some_and(|link| link.present);
        if before == present {
            return Ok(());
        }
        self.stamp(group, |object, usn| {
            object.members.insert(member, Link { present, usn });
        })
    }

    /// Gives an object another relative name. The objects below it are not touched.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn rename(&mut self, id: ObjectId, name: &str) -> Result<()> {
        let parent = self.get(id).context("there is no such object")?.parent;
        self.place(id, parent, name)
    }

    /// Moves an object, and with it what lies below, which is not touched.
    ///
    /// # Errors
    /// When the name is taken there.
    pub fn move_to(&mut self, id: ObjectId, parent: ObjectId) -> Result<()> {
        let name = self.get(id).context("there is no such object")?.name();
        self.place(id, Some(parent), &name)
    }

    /// A move stamps `name`, as a rename does: parentGUID has no stamp of its own.
    fn place(&mut self, id: ObjectId, parent: Option<ObjectId>, name: &str) -> Result<()> {
        self.materialize(id)?;
        let object = self.objects.get(&id).context("there is no such object")?;
        let (old_parent, old) = (object.parent, key(object.naming, &object.name()));
        let new = key(object.naming, name);
        if let Some(parent) = parent {
            let taken = self.child(parent, &new).is_some_and(|other| other != id);
            ensure!(!taken, "{name} exists there already");
        }
        if let Some(parent) = old_parent {
            self.children.remove(&(parent, old));
        }
        if let Some(parent) = parent {
            self.children.insert((parent, new), id);
        }
        let name = name.as_bytes().to_vec();
        self.stamp(id, |object, usn| {
            object.parent = parent;
            object.put("name", vec![name], usn);
        })
    }

    pub(super) fn child(&self, parent: ObjectId, key: &str) -> Option<ObjectId> {
        let known = self.children.get(&(parent, key.to_owned())).copied();
        known.or_else(|| {
            let number = self.population.as_ref()?.named(parent, key)?;
            let id = Population::id(number);
            // Once changed it may have another name.
            (!self.objects.contains_key(&id)).then_some(id)
        })
    }

    /// The object with this DN.
    #[must_use]
    pub fn find(&self, dn: &str) -> Option<ObjectId> {
        let steps = name::parse(dn)?;
        let base = name::parse(BASE_DN)?;
        let above = steps.len().checked_sub(base.len())?;
        let (own, rest) = steps.split_at_checked(above)?;
        let same = rest
            .iter()
            .zip(&base)
            .all(|(a, b)| a.0 == b.0 && a.1.eq_ignore_ascii_case(&b.1));
        if !same {
            return None;
        }
        own.iter().rev().try_fold(ROOT, |at, (naming, value)| {
            self.child(at, &key(naming, value))
        })
    }

    /// The DN of an object.
    #[must_use]
    pub fn dn(&self, id: ObjectId) -> String {
        match self.get(id) {
            Some(object) => self.dn_of(&object),
            None => BASE_DN.to_owned(),
        }
    }

    /// The DN of an object that is at hand.
    pub(super) fn dn_of(&self, object: &Object) -> String {
        let mut steps = Vec::new();
        let mut at = Cow::Borrowed(object);
        while at.id != ROOT {
            steps.push(name::render(at.naming, &at.name()));
            match at.parent.and_then(|parent| self.get(parent)) {
                Some(parent) => at = parent,
                None => break,
            }
        }
        steps.push(BASE_DN.to_owned());
        steps.join(",")
    }

    /// An object, deleted or not.
    #[must_use]
    pub fn get(&self, id: ObjectId) -> Option<Cow<'_, Object>> {
        if let Some(object) = self.objects.get(&id) {
            return Some(Cow::Borrowed(object));
        }
        let population = self.population.as_ref()?;
        let number = population.number(id)?;
        Some(Cow::Owned(population.person(number, DOMAIN)))
    }

    /// Whether the object exists and is not deleted.
    #[must_use]
    pub fn is_live(&self, id: ObjectId) -> bool {
        match self.objects.get(&id) {
            Some(object) => !object.deleted,
            None => self.population.is_some_and(|p| p.number(id).is_some()),
        }
    }

    /// The members a reader sees: present links to live objects (MS-ADTS 3.1.1.3.4.1.13).
    pub(super) fn members<'a>(
        &'a self,
        group: &'a Object,
    ) -> impl Iterator<Item = (ObjectId, Link)> + 'a {
        let links = group.members.iter().map(|(member, link)| (*member, *link));
        links.filter(|(member, link)| link.present && self.is_live(*member))
    }

    /// The live groups a reader sees the object in.
    pub(super) fn groups_of(&self, member: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let listed = move |group: &&Object| {
            let link = group.members.get(&member);
            !group.deleted && link.is_some_and(|link| link.present) && self.is_live(member)
        };
        self.objects.values().filter(listed).map(|group| group.id)
    }

    /// All identifiers, deleted objects included.
    pub(super) fn ids(&self) -> impl Iterator<Item = ObjectId> + '_ {
        let people = self.population.iter().flat_map(|people| 0..people.count);
        let people = people.map(Population::id);
        self.objects
            .keys()
            .copied()
            .chain(people.filter(|id| !self.objects.contains_key(id)))
    }

    /// The object that changed first after `usn`.
    pub(super) fn changed_after(&self, usn: u64) -> Option<(u64, ObjectId)> {
        let own = self.by_usn.range(usn + 1..).next();
        let own = own.map(|(usn, id)| (*usn, *id));
        let person = self.population.as_ref().and_then(|people| {
            let first = (usn + 1).saturating_sub(people.first_usn);
            let untouched = (first..people.count).map(|at| (people.first_usn + at, at));
            untouched
                .map(|(usn, at)| (usn, Population::id(at)))
                .find(|(_, id)| !self.objects.contains_key(id))
        });
        own.into_iter().chain(person).min()
    }

    /// highestCommittedUSN.
    #[must_use]
    pub fn highest_usn(&self) -> u64 {
        self.usn
    }

    fn add(
        &mut self,
        parent: ObjectId,
        sort: (&'static str, &[&str], &str),
        name: &str,
    ) -> Result<ObjectId> {
        let taken = self.child(parent, &key(sort.0, name)).is_some();
        ensure!(!taken, "{name} exists there already");
        Ok(self.insert(Some(parent), sort, name))
    }

    fn insert(
        &mut self,
        parent: Option<ObjectId>,
        (naming, classes, category): (&'static str, &[&str], &str),
        name: &str,
    ) -> ObjectId {
        let id = ObjectId(self.next_id);
        self.next_id += 1;
        self.usn += 1;
        let usn = self.usn;
        let mut object = Object {
            id,
            parent,
            naming,
            attributes: BTreeMap::new(),
            members: BTreeMap::new(),
            usn_created: usn,
            usn_changed: usn,
            deleted: false,
        };
        let classes = classes.iter().map(|class| class.as_bytes().to_vec());
        object.put("objectClass", classes.collect(), usn);
        object.put("name", vec![name.as_bytes().to_vec()], usn);
        object.put("instanceType", vec![b"4".to_vec()], usn);
        object.put("objectCategory", vec![category_dn(category)], usn);
        if let Some(parent) = parent {
            self.children.insert((parent, key(naming, name)), id);
        }
        self.by_usn.insert(usn, id);
        self.objects.insert(id, object);
        id
    }

    /// Makes an object of its own of a person who is about to change.
    fn materialize(&mut self, id: ObjectId) -> Result<()> {
        if self.objects.contains_key(&id) {
            return Ok(());
        }
        let object = self
            .get(id)
            .context("there is no such object")?
            .into_owned();
        if let Some(parent) = object.parent {
            self.children
                .insert((parent, key(object.naming, &object.name())), id);
        }
        self.by_usn.insert(object.usn_changed, id);
        self.objects.insert(id, object);
        Ok(())
    }

    /// Changes an object under a new update sequence number.
    pub(super) fn stamp(
        &mut self,
        id: ObjectId,
        change: impl FnOnce(&mut Object, u64),
    ) -> Result<()> {
        self.materialize(id)?;
        let object = self
            .objects
            .get_mut(&id)
            .context("there is no such object")?;
        self.usn += 1;
        self.by_usn.remove(&object.usn_changed);
        object.usn_changed = self.usn;
        change(object, self.usn);
        self.by_usn.insert(self.usn, id);
        Ok(())
    }

    /// `CN=Deleted Objects`.
    pub(super) fn deleted_objects(&self) -> ObjectId {
        DELETED_OBJECTS
    }

    /// Removes an object from its place without leaving a trace of it there.
    pub(super) fn unname(&mut self, parent: ObjectId, naming: &str, name: &str) {
        self.children.remove(&(parent, key(naming, name)));
    }

    /// Puts an object into its place.
    pub(super) fn put_name(&mut self, parent: ObjectId, naming: &str, name: &str, id: ObjectId) {
        self.children.insert((parent, key(naming, name)), id);
    }
}

pub(super) fn category_dn(category: &str) -> Vec<u8> {
    format!("CN={category},CN=Schema,CN=Configuration,{BASE_DN}").into_bytes()
}

fn key(naming: &str, name: &str) -> String {
    format!("{}={}", naming.to_lowercase(), name.to_lowercase())
}
