//! A plan as data: one step per object and change, with what was before and what comes after.
//!
//! Invariant: the same state of both sides gives the same steps in the same order, byte by byte,
//! whether everything was compared or only changes were read. So a deleted object goes by its
//! name in the hub, and a distinguished name is put together from the parents, whose renames are
//! not reported for the objects below. No secret is in a step: the plan knows none.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::{Activation, Cause, Plan, Removal, RemoveUserBehavior, UserUpdate};
use crate::engine::Guid;
use crate::engine::index::{Body, Index, Presence, Record};
use crate::engine::values::{GroupValues, UserTarget, UserValues};
use crate::progress::{Change, ObjectType};

/// What the hub has of the objects that a plan changes or removes.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Users.
    pub users: HashMap<Guid, UserBefore>,
    /// Groups.
    pub groups: HashMap<Guid, GroupValues>,
}

/// A user as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserBefore {
    /// Values of the mapped fields.
    pub values: UserValues,
    /// Whether it may sign in.
    pub active: bool,
}

/// Values by the names of the hub's fields.
type Fields = BTreeMap<&'static str, Value>;

/// One step of a plan. The order of the fields is part of the form that is hashed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step<'a> {
    /// What is changed.
    pub object: ObjectType,
    /// How.
    pub change: Change,
    /// Of a membership the group, else the object itself.
    #[serde(flatten)]
    pub subject: Named<'a>,
    /// Of a membership the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Named<'a>>,
    /// Why an object leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What changes, as it is in the hub.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub before: Fields,
    /// What changes, as it is to be.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub after: Fields,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named<'a> {
    /// objectGUID.
    pub guid: String,
    /// Id in the hub, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Login of a user, name of a group; empty when there is none.
    pub name: Cow<'a, str>,
    /// Distinguished name, if the directory shows the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
}

impl<'a> Step<'a> {
    /// An active user of the hub is suspended, of whom only this is known.
    #[must_use]
    pub fn suspension(guid: Guid, id: &'a str, name: &'a str) -> Self {
        let fields = |active: bool| Fields::from([(ACTIVE, Value::Bool(active))]);
        Self {
            object: ObjectType::User,
            change: Change::Deactivate,
            subject: Named {
                guid: guid.to_string(),
                id: Some(id),
                name: name.into(),
                dn: None,
            },
            member: None,
            cause: None,
            before: fields(true),
            after: fields(false),
        }
    }

    /// The step as one line of JSON, with its line feed.
    ///
    /// # Errors
    /// None that these types can cause; the serializer's signature has one.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        Ok(line)
    }
}

/// What is needed to write a plan down.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What it was made from.
    pub index: &'a Index,
    /// What becomes of users that leave.
    pub behavior: RemoveUserBehavior,
    /// What the hub has of the objects concerned.
    pub before: &'a Before,
}

impl<'a> Steps<'a> {
    /// All steps in the order they are worked off (decision U111), each kind by objectGUID.
    pub fn iter(self) -> impl Iterator<Item = Step<'a>> {
        let created = sorted(&self.plan.group_creates, |guid| *guid).into_iter();
        let updated = sorted(&self.plan.group_updates, |guid| *guid).into_iter();
        let groups = created
            .map(move |guid| self.group_create(*guid))
            .chain(updated.map(move |guid| self.group_update(*guid)));
        let updated = sorted(&self.plan.user_updates, |update| update.guid).into_iter();
        let created = sorted(&self.plan.user_creates, |guid| *guid).into_iter();
        let users = updated
            .flat_map(move |update| self.user_update(*update))
            .chain(created.map(move |guid| self.user_create(*guid)));
        let changes = sorted(&self.plan.memberships, |change| change.group).into_iter();
        let memberships = changes.flat_map(move |change| {
            let removed = sorted(&change.remove, |guid| *guid).into_iter();
            let added = sorted(&change.add, |guid| *guid).into_iter();
            removed
                .map(move |user| self.membership(Change::Delete, change.group, *user))
                .chain(added.map(move |user| self.membership(Change::Create, change.group, *user)))
        });
        let gone = sorted(&self.plan.user_removals, |removal| removal.guid).into_iter();
        let gone_groups = sorted(&self.plan.group_removals, |removal| removal.guid).into_iter();
        groups
            .chain(users)
            .chain(memberships)
            .chain(gone.map(move |removal| self.user_removal(*removal)))
            .chain(gone_groups.map(move |removal| self.group_removal(*removal)))
    }

    fn group_create(self, guid: Guid) -> Step<'a> {
        let after = self.group_values(guid).as_ref().map(group_fields);
        Step {
            after: after.unwrap_or_default(),
            ..self.step(ObjectType::Group, Change::Create, guid)
        }
    }

    fn group_update(self, guid: Guid) -> Step<'a> {
        let before = self.before.groups.get(&guid).map(group_fields);
        let after = self.group_values(guid).as_ref().map(group_fields);
        let (before, after) = difference(before.unwrap_or_default(), after.unwrap_or_default());
        Step {
            before,
            after,
            ..self.step(ObjectType::Group, Change::Update, guid)
        }
    }

    fn group_removal(self, removal: Removal) -> Step<'a> {
        let before = self.before.groups.get(&removal.guid).map(group_fields);
        Step {
            cause: Some(removal.cause),
            before: before.unwrap_or_default(),
            ..self.step(ObjectType::Group, Change::Delete, removal.guid)
        }
    }

    fn user_create(self, guid: Guid) -> Step<'a> {
        let mut after = self
            .user_values(guid)
            .as_ref()
            .map(user_fields)
            .unwrap_or_default();
        if let Some(Body::User { enabled, .. }) = self.index.get(guid).map(Record::body) {
            after.insert(ACTIVE, Value::Bool(enabled));
        }
        Step {
            after,
            ..self.step(ObjectType::User, Change::Create, guid)
        }
    }

    fn user_update(self, update: UserUpdate) -> impl Iterator<Item = Step<'a>> {
        let guid = update.guid;
        let values = update.values.then(|| {
            let before = self.before.users.get(&guid);
            let before = before.map(|user| user_fields(&user.values));
            let after = self.user_values(guid).as_ref().map(user_fields);
            let (before, after) = difference(before.unwrap_or_default(), after.unwrap_or_default());
            Step {
                before,
                after,
                ..self.step(ObjectType::User, Change::Update, guid)
            }
        });
        // One more cause of a suspension is nothing that anybody could see or approve of.
        let was_active = self.before.users.get(&guid).map(|user| user.active);
        let is_hidden = was_active == Some(false) && self.index.is_doubtful(guid);
        let seen = |activation: &Activation| *activation != Activation::Suspend || !is_hidden;
        let switched = update
            .activation
            .filter(seen)
            .map(|activation| self.switch(guid, activation));
        values.into_iter().chain(switched)
    }

    fn switch(self, guid: Guid, activation: Activation) -> Step<'a> {
        let (change, active) = match activation {
            Activation::Reactivate => (Change::Activate, true),
            Activation::Suspend => (Change::Deactivate, false),
        };
        let before = self.before.users.get(&guid).map(|user| user.active);
        let fields = |active: bool| Fields::from([(ACTIVE, Value::Bool(active))]);
        Step {
            before: before.map(fields).unwrap_or_default(),
            after: fields(active),
            ..self.step(ObjectType::User, change, guid)
        }
    }

    fn user_removal(self, removal: Removal) -> Step<'a> {
        let mut step = match self.behavior {
            RemoveUserBehavior::Block => self.switch(removal.guid, Activation::Suspend),
            RemoveUserBehavior::Remove => {
                let before = self.before.users.get(&removal.guid);
                let fields = before.map(|user| {
                    let mut fields = user_fields(&user.values);
                    fields.insert(ACTIVE, Value::Bool(user.active));
                    fields
                });
                Step {
                    before: fields.unwrap_or_default(),
                    ..self.step(ObjectType::User, Change::Delete, removal.guid)
                }
            }
        };
        step.cause = Some(removal.cause);
        step
    }

    fn membership(self, change: Change, group: Guid, user: Guid) -> Step<'a> {
        Step {
            member: Some(self.named(user)),
            ..self.step(ObjectType::Membership, change, group)
        }
    }

    fn step(self, object: ObjectType, change: Change, guid: Guid) -> Step<'a> {
        Step {
            object,
            change,
            subject: self.named(guid),
            member: None,
            cause: None,
            before: Fields::new(),
            after: Fields::new(),
        }
    }

    fn named(self, guid: Guid) -> Named<'a> {
        Named {
            guid: guid.to_string(),
            id: self.index.hub_id(guid),
            name: self.name(guid),
            dn: dn(self.index, guid),
        }
    }

    /// The name in the hub, for an object that is not there the one it would get.
    fn name(self, guid: Guid) -> Cow<'a, str> {
        if let Some(user) = self.before.users.get(&guid) {
            return user.values.get(UserTarget::Username).into();
        }
        if let Some(group) = self.before.groups.get(&guid) {
            return group.name.as_str().into();
        }
        if let Some(values) = self.user_values(guid) {
            return values.get(UserTarget::Username).to_owned().into();
        }
        self.group_values(guid)
            .map_or("".into(), |values| values.name.into())
    }

    fn user_values(self, guid: Guid) -> Option<UserValues> {
        match self.index.get(guid)?.body() {
            Body::User { values, .. } => values.ok(),
            Body::Group { .. } | Body::Container => None,
        }
    }

    fn group_values(self, guid: Guid) -> Option<GroupValues> {
        match self.index.get(guid)?.body() {
            Body::Group { values, .. } => values.ok(),
            Body::User { .. } | Body::Container => None,
        }
    }
}

/// Whether a user may sign in; in no update mask, so it has no field name in the hub.
const ACTIVE: &str = "active";
const EXPIRES_AT: &str = "expires_at";

fn sorted<T>(list: &[T], guid: impl Fn(&T) -> Guid) -> Vec<&T> {
    let mut sorted: Vec<&T> = list.iter().collect();
    sorted.sort_by_key(|item| guid(item));
    sorted
}

fn user_fields(values: &UserValues) -> Fields {
    let texts = values.fields();
    let mut fields: Fields = texts
        .map(|(target, text)| (target.field(), Value::from(text)))
        .collect();
    if let Some(at) = values.expires_at {
        fields.insert(EXPIRES_AT, Value::from(at.to_string()));
    }
    fields
}

fn group_fields(values: &GroupValues) -> Fields {
    let mut fields = Fields::from([("name", Value::from(values.name.as_str()))]);
    if let Some(description) = &values.description {
        fields.insert("description", Value::from(description.as_str()));
    }
    fields
}

/// Leaves only what differs; a field that is absent on one side is null there.
fn difference(mut before: Fields, mut after: Fields) -> (Fields, Fields) {
    for name in before.keys().copied().collect::<Vec<_>>() {
        after.entry(name).or_insert(Value::Null);
    }
    for name in after.keys().copied().collect::<Vec<_>>() {
        before.entry(name).or_insert(Value::Null);
    }
    let same: Vec<&'static str> = before
        .iter()
        .filter(|(name, value)| after.get(*name) == Some(value))
        .map(|(name, _)| *name)
        .collect();
    for name in same {
        before.remove(name);
        after.remove(name);
    }
    (before, after)
}

/// The distinguished name of an object the directory shows, by the names of its parents.
fn dn(index: &Index, guid: Guid) -> Option<String> {
    let shown = index.get(guid)?.presence == Presence::Seen;
    shown.then(|| index.dn(guid))
}
