//! What people do: in the directory, in the hub, and to the settings.
//!
//! Invariant: names come from small pools, so that they collide. Whatever repairs itself only by
//! a full run (a change behind the agent's back in the hub, rights that were gone for a while)
//! is followed by an administrator's demand for one, as the manual asks; in worlds in which nothing
//! of that kind happens nobody demands one.

use std::collections::BTreeSet;

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::plan::{NestedGroups, RemoveUserBehavior};
use rollcall_domain::id::UserId;
use rollcall_domain::mask::Mask;
use rollcall_domain::user::{NewUser, Profile, UserField, UserInput};
use rollcall_kit::timestamp::Span;

use crate::directory::{Class, Object, Visibility};
use crate::hub::{Call, DOMAIN};
use crate::world::{Interference, World};

const UNITS_AT_FIRST: usize = 4;
const GROUPS_AT_FIRST: usize = 5;
const USERS_AT_FIRST: usize = 10;
const LOGINS: usize = 90;
const GROUP_NAMES: usize = 12;
const TITLES: usize = 4;
const TOO_LONG: usize = 300;

/// Fills the directory for the first time.
pub fn populate(world: &mut World) {
    for _ in 0..UNITS_AT_FIRST {
        add(world, Class::Unit);
    }
    for _ in 0..GROUPS_AT_FIRST {
        add(world, Class::Group);
    }
    for _ in 0..USERS_AT_FIRST {
        add(world, Class::User);
    }
    for _ in 0..USERS_AT_FIRST * 2 {
        change_member(world);
    }
}

/// Something happens anywhere.
pub fn any(world: &mut World) {
    let undisturbed = world.interference == Interference::Nobody;
    match world.dice.below(20) {
        0..14 => directory(world),
        14..17 | 18.. if undisturbed => directory(world),
        14..17 => hub(world),
        17 => settings(world),
        _ => rights(world),
    }
}

/// Something happens in the directory.
pub fn directory(world: &mut World) {
    match world.dice.below(28) {
        0..3 => add(world, Class::User),
        3 => add(world, Class::Group),
        4 => add(world, Class::Unit),
        5..7 => delete(world, Class::User),
        7 => delete(world, Class::Group),
        8 if world.dice.chance(300) => delete(world, Class::Unit),
        8 | 9 => restore(world),
        10 => relocate(world, Class::Unit),
        11 | 12 => relocate(world, Class::User),
        13 => relocate(world, Class::Group),
        14..20 => change_user(world),
        20 => change_group(world),
        21 => rename_unit(world),
        22 if world.dice.chance(100) => world.directory.replace_controller(),
        _ => change_member(world),
    }
}

fn any_live(world: &World, class: Class) -> Option<Guid> {
    world.dice.pick(&world.directory.live(class))
}

fn any_unit(world: &World) -> Guid {
    any_live(world, Class::Unit).unwrap_or(world.directory.root())
}

fn add(world: &mut World, class: Class) {
    let mut object = Object::new(class, Some(any_unit(world)));
    object.critical = class != Class::Unit && world.dice.chance(40);
    object
        .attributes
        .insert("cn", format!("Object {}", world.dice.below(1_000)));
    let primary = any_live(world, Class::Group).filter(|_| world.dice.chance(300));
    object.primary_group_rid = primary
        .and_then(|group| world.directory.get(group))
        .map_or(0, |group| group.rid);
    let guid = world.directory.add(object);
    match class {
        Class::User => {
            let login = login(world);
            set(world, guid, "userprincipalname", login);
        }
        Class::Group => {
            let name = group_name(world);
            set(world, guid, "name", name);
        }
        Class::Unit => {}
    }
}

fn set(world: &mut World, guid: Guid, name: &'static str, value: String) {
    world.directory.change(guid, |object| {
        object.attributes.insert(name, value);
    });
}

/// Mostly good logins; some differ in case only, some the hub cannot take.
fn login(world: &World) -> String {
    let number = world.dice.below(LOGINS);
    match world.dice.below(40) {
        0 => format!("U{number}@{DOMAIN}"),
        1 => format!("u{number}@Corp.Example"),
        2 => format!("пользователь{number}@{DOMAIN}"),
        3 => format!("u {number}@{DOMAIN}"),
        4 => format!("u{number}@elsewhere.example"),
        5 => format!("u{number}"),
        6 => String::new(),
        7 => format!("{}@{DOMAIN}", "u".repeat(TOO_LONG)),
        _ => format!("u{number}@{DOMAIN}"),
    }
}

fn group_name(world: &World) -> String {
    let number = world.dice.below(GROUP_NAMES);
    match world.dice.below(10) {
        0 => format!("Группа {number}"),
        1 => format!("{number}-group"),
        2 => String::new(),
        _ => format!("group-{number}"),
    }
}

fn delete(world: &mut World, class: Class) {
    let root = world.directory.root();
    if let Some(guid) = any_live(world, class).filter(|guid| *guid != root) {
        world.directory.delete(guid);
    }
}

fn restore(world: &mut World) {
    let unit = any_unit(world);
    if let Some(guid) = world.dice.pick(&world.directory.tombstones()) {
        world.directory.restore(guid, unit);
    }
}

fn relocate(world: &mut World, class: Class) {
    let root = world.directory.root();
    let unit = any_unit(world);
    if let Some(guid) = any_live(world, class).filter(|guid| *guid != root) {
        world.directory.relocate(guid, unit);
    }
}

fn rename_unit(world: &mut World) {
    let unit = any_unit(world);
    let name = format!("Unit {}", world.dice.below(1_000));
    set(world, unit, "name", name);
}

fn change_user(world: &mut World) {
    let Some(guid) = any_live(world, Class::User) else {
        return;
    };
    let number = world.dice.below(TITLES);
    match world.dice.below(10) {
        0 | 1 => {
            let login = login(world);
            set(world, guid, "userprincipalname", login);
        }
        2 => set(world, guid, "displayname", "Ann Боб".repeat(number)),
        3 => {
            let mail = world.dice.one_of(
                String::new(),
                &[
                    "a".to_owned(),
                    "ann@mail.example".to_owned(),
                    "m".repeat(TOO_LONG),
                ],
            );
            set(world, guid, "mail", mail);
        }
        4 => set(world, guid, "title", format!("Title {number}")),
        5..8 => {
            let disabled = world.dice.chance(500);
            world
                .directory
                .change(guid, |user| user.disabled = disabled);
        }
        _ => {
            let end = world.dice.one_of(
                None,
                &[
                    Some(Span::days(-1)),
                    Some(Span::minutes(20)),
                    Some(Span::days(300)),
                ],
            );
            let end = end.map(|span| world.now().plus(span));
            world
                .directory
                .change(guid, |user| user.account_expires = end);
        }
    }
}

fn change_group(world: &mut World) {
    let Some(guid) = any_live(world, Class::Group) else {
        return;
    };
    if world.dice.chance(500) {
        let name = group_name(world);
        set(world, guid, "name", name);
    } else {
        let text = format!("Description {}", world.dice.below(TITLES));
        set(world, guid, "description", text);
    }
}

/// Adds or removes a member; groups become members too, and sometimes of each other.
fn change_member(world: &mut World) {
    let Some(group) = any_live(world, Class::Group) else {
        return;
    };
    let class = if world.dice.chance(200) {
        Class::Group
    } else {
        Class::User
    };
    let Some(member) = any_live(world, class) else {
        return;
    };
    if class == Class::User && world.dice.chance(150) {
        let rid = world.directory.get(group).map_or(0, |group| group.rid);
        world
            .directory
            .change(member, |user| user.primary_group_rid = rid);
        return;
    }
    let remove = world.dice.chance(350);
    world.directory.change(group, |group| {
        if remove {
            let first = group.members.iter().next().copied();
            group.members.retain(|present| Some(*present) != first);
        } else {
            group.members.insert(member);
        }
    });
}

/// Something happens in the hub, behind the agent's back.
fn hub(world: &mut World) {
    let now = world.now();
    let ids: Vec<UserId> = world.hub.users().map(|user| user.id.clone()).collect();
    let login = format!("u{}@{DOMAIN}", world.dice.below(LOGINS));
    let profile = Profile {
        full_name: "Someone".to_owned(),
        ..Profile::default()
    };
    let call = match (world.dice.below(5), world.dice.pick(&ids)) {
        (0, Some(id)) => Call::SuspendUser(id),
        (1, Some(id)) => Call::ReactivateUser(id),
        (2, Some(id)) => Call::DeleteUser(id),
        (3, Some(id)) => Call::UpdateUser {
            id,
            input: Box::new(UserInput {
                username: login,
                profile,
                expires_at: None,
            }),
            mask: Mask::Only(BTreeSet::from([UserField::Username, UserField::FullName])),
        },
        _ => Call::CreateUser(Box::new(NewUser {
            username: login,
            profile,
            ..NewUser::default()
        })),
    };
    // A name that is taken is refused; then nothing happened.
    let _ = world.hub.administer(&call, now);
    world.hub.demand_full_run(now);
}

fn settings(world: &mut World) {
    match world.dice.below(5) {
        0 => world.settings.units = some_of(world, Class::Unit),
        1 => world.settings.groups = some_of(world, Class::Group),
        2 => {
            world.settings.remove_user_behavior = world
                .dice
                .one_of(RemoveUserBehavior::Remove, &[RemoveUserBehavior::Block]);
        }
        3 => {
            world.settings.nested_groups = world
                .dice
                .one_of(NestedGroups::Direct, &[NestedGroups::Flatten]);
        }
        _ => world.settings.replacement_domain = world.dice.one_of(None, &[Some(DOMAIN)]),
    }
}

fn some_of(world: &World, class: Class) -> BTreeSet<Guid> {
    (0..world.dice.below(3))
        .filter_map(|_| any_live(world, class))
        .collect()
}

/// The agent's account loses or regains rights to read.
fn rights(world: &mut World) {
    let all: Vec<Guid> = world.directory.iter().map(|(guid, _)| guid).collect();
    let permille = world.dice.one_of(0, &[50, 500, 1_000]);
    for guid in all {
        let visibility = if world.dice.chance(permille) {
            Visibility::Hidden
        } else {
            Visibility::Visible
        };
        world.directory.set_visibility(guid, visibility);
    }
    let now = world.now();
    world.hub.demand_full_run(now);
}

/// An administrator repairs what keeps runs from working: rights, and a filter that names what
/// is gone.
pub fn repair(world: &mut World) {
    let all: Vec<Guid> = world.directory.iter().map(|(guid, _)| guid).collect();
    for guid in all {
        world.directory.set_visibility(guid, Visibility::Visible);
    }
    if world.interference == Interference::Administrators {
        let now = world.now();
        world.hub.demand_full_run(now);
    }
    let units = world.directory.live(Class::Unit);
    let groups = world.directory.live(Class::Group);
    world.settings.units.retain(|unit| units.contains(unit));
    world.settings.groups.retain(|group| groups.contains(group));
    // A real domain is never without accounts, so that an answer without any is no answer.
    if groups.is_empty() && world.directory.live(Class::User).is_empty() {
        add(world, Class::User);
    }
}
