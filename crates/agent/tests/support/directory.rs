//! Small directories made by hand, and a hub that accepts everything.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::{Body, Index};
use rollcall_agent::engine::mapping::Mapping;
use rollcall_agent::engine::object::{Change, DirectoryObject, ObjectClass};
use rollcall_agent::engine::plan::{
    Activation, NestedGroups, Plan, RemoveUserBehavior, Rules, plan,
};
use rollcall_agent::engine::scope::Scope;
use rollcall_kit::timestamp::Timestamp;

pub const ROOT: u128 = 1;
pub const STAFF: u128 = 2;
pub const OUTSIDE: u128 = 3;
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub fn guid(number: u128) -> Guid {
    Guid::from_number(number)
}

pub fn mapping() -> Mapping {
    Mapping::new("corp.example", None)
}

pub fn rules() -> Rules {
    Rules {
        remove_user_behavior: RemoveUserBehavior::Remove,
        nested_groups: NestedGroups::Direct,
        now: NOW,
    }
}

pub fn staff_only() -> Scope {
    Scope {
        units: BTreeSet::from([guid(STAFF)]),
        groups: BTreeSet::new(),
    }
}

pub fn object(number: u128, parent: Option<u128>, class: ObjectClass) -> DirectoryObject {
    DirectoryObject {
        guid: guid(number),
        parent: parent.map(guid),
        dn: format!("CN=o{number}"),
        class,
        critical: false,
        attributes: BTreeMap::new(),
        members: Vec::new(),
        rid: None,
        primary_group_rid: None,
        user_account_control: 512,
        account_expires: 0,
        pwd_last_set: None,
    }
}

pub fn user(number: u128, parent: u128) -> DirectoryObject {
    let mut user = object(number, Some(parent), ObjectClass::User);
    for (name, value) in [
        ("userprincipalname", format!("u{number}@corp.example")),
        ("displayname", format!("User {number}")),
    ] {
        user.attributes.insert(name.into(), value);
    }
    user
}

pub fn group(number: u128, parent: u128, members: &[u128]) -> DirectoryObject {
    let mut group = object(number, Some(parent), ObjectClass::Group);
    group.attributes.insert("name".into(), format!("g{number}"));
    group.members = members.iter().map(|number| guid(*number)).collect();
    group
}

pub fn tree() -> Vec<DirectoryObject> {
    vec![
        object(ROOT, None, ObjectClass::Container),
        object(STAFF, Some(ROOT), ObjectClass::Container),
        object(OUTSIDE, Some(ROOT), ObjectClass::Container),
    ]
}

pub fn index_of(objects: impl IntoIterator<Item = DirectoryObject>) -> Index {
    let mut index = Index::default();
    for object in objects {
        index.apply(Change::Seen(Box::new(object)), &mapping());
    }
    index
}

pub fn see(index: &mut Index, object: DirectoryObject) {
    index.apply(Change::Seen(Box::new(object)), &mapping());
}

/// Acknowledges a whole plan, as a hub that accepts everything would.
pub fn carry_out(index: &mut Index, plan: &Plan, behavior: RemoveUserBehavior) {
    for made in plan.group_creates.iter().chain(&plan.group_updates) {
        let digest = match index.get(*made).unwrap().body() {
            Body::Group { values, .. } => values.unwrap().digest(),
            other => panic!("{other:?} is no group"),
        };
        index.written(*made, &format!("hub-{made}"), digest);
    }
    let updates = plan.user_updates.iter();
    let written = updates
        .clone()
        .filter(|update| update.values)
        .map(|update| update.guid);
    for made in plan.user_creates.iter().copied().chain(written) {
        let (digest, enabled) = match index.get(made).unwrap().body() {
            Body::User {
                values, enabled, ..
            } => (values.unwrap().digest(), enabled),
            other => panic!("{other:?} is no user"),
        };
        let new = index.hub_id(made).is_none();
        index.written(made, &format!("hub-{made}"), digest);
        if new {
            index.activated(made, enabled);
        }
    }
    for update in updates {
        if let Some(activation) = update.activation {
            index.activated(update.guid, activation == Activation::Reactivate);
        }
    }
    for change in &plan.memberships {
        index.members_changed(change.group, &change.add, &change.remove);
    }
    for removal in &plan.user_removals {
        match behavior {
            RemoveUserBehavior::Remove => index.removed(removal.guid),
            RemoveUserBehavior::Block => index.activated(removal.guid, false),
        }
    }
    for removal in &plan.group_removals {
        index.removed(removal.guid);
    }
}

pub fn synchronized(objects: Vec<DirectoryObject>, scope: &Scope) -> Index {
    let mut index = index_of(objects);
    let first = plan(&index, scope, &rules()).unwrap();
    carry_out(&mut index, &first, RemoveUserBehavior::Remove);
    assert!(plan(&index, scope, &rules()).unwrap().is_empty());
    index
}
