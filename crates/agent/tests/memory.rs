//! Promise P8 and AT-19: what an object costs in memory. The only test of its program, because the memory of
//! the process is what it measures. `cargo xtask bench memory` shows the whole agent with a million of
//! them.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use std::collections::BTreeMap;

use directory::*;
use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::HubUser;
use rollcall_agent::engine::mapping::Mapping;
use rollcall_agent::engine::object::{Change, DirectoryObject, ObjectClass};
use rollcall_agent::engine::plan::{RemoveUserBehavior, plan};
use rollcall_agent::engine::scope::Scope;
use rollcall_agent::engine::snapshot::Snapshot;

/// Users of the test; `ROLLCALL_MEMORY_OBJECTS` asks for another number.
const USERS: u64 = 50_000;
/// Bytes of memory a synchronized user may cost: 512 MB for a million, less what the program, its
/// buffers and a plan need.
const USER_BYTES_MAX: u64 = 380;
/// Bytes a membership may cost on both sides together.
const MEMBERSHIP_BYTES_MAX: u64 = 48;

/// Resident memory of this process in bytes, without the pages of the program itself, which count as
/// they are first used (proc(5), RssAnon).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.unwrap().trim().strip_suffix(" kB").unwrap();
    number.parse::<u64>().unwrap() * 1_024
}

/// Identifiers in no order, as those of a domain are.
fn scattered(number: u64) -> Guid {
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Guid::from_number(spread)
}

/// A person with ten fields of usual length and a distinguished name of about 80 characters.
fn person(number: u64) -> DirectoryObject {
    let attributes = [
        (
            "userprincipalname",
            format!("firstname.lastname{number:07}@corp.example"),
        ),
        (
            "mail",
            format!("firstname.lastname{number:07}@corp.example"),
        ),
        ("displayname", format!("Firstname Lastname{number:07}")),
        ("givenname", "Firstname".into()),
        ("sn", format!("Lastname{number:07}")),
        ("telephonenumber", format!("+1 555 {number:07}")),
        ("company", "Example Corporation".into()),
        ("title", "Senior Engineer".into()),
        ("department", format!("Department {}", number % 100)),
        ("employeeid", format!("E{number:07}")),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
    DirectoryObject {
        guid: scattered(number),
        dn: format!(
            "CN=Firstname Lastname{number:07},OU=Staff,OU=People,DC=corp,DC=example,DC=com"
        ),
        attributes: BTreeMap::from(attributes),
        primary_group_rid: Some(513),
        ..object(u128::from(number), Some(STAFF), ObjectClass::User)
    }
}

fn count() -> u64 {
    let asked = std::env::var("ROLLCALL_MEMORY_OBJECTS").ok();
    asked.map_or(USERS, |number| number.parse().unwrap())
}

fn report(what: &str, before: u64, number: u64) -> u64 {
    let bytes = resident().saturating_sub(before) / number;
    println!(
        "{what}: {bytes} bytes for each of {number}, {} MB in all",
        resident() >> 20
    );
    bytes
}

/// The hub has every user as the directory does.
fn listed(number: u64, mapping: &Mapping) -> HubUser {
    HubUser {
        guid: scattered(number),
        id: format!("aje{number:017}").into(),
        values: mapping.user(&person(number)).unwrap(),
        enabled: Some(true),
    }
}

#[test]
fn at_19_objects_and_memberships_are_small() {
    let users = count();
    let before = resident();
    let mut snapshot = Snapshot::default();
    for object in tree() {
        snapshot.take(Change::Seen(Box::new(object)), &mapping());
    }
    let mapping = mapping();
    for number in 0..users {
        snapshot.take(Change::Seen(Box::new(person(number))), &mapping);
    }
    let (mut index, _) = snapshot.into_parts();
    for number in 0..users {
        index.list_user(listed(users - number - 1, &mapping));
    }
    let read = report("user on both sides", before, users);
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert!(made.is_empty(), "{} writes", made.writes());
    assert_eq!(made.users_in_scope as u64, users);
    let planned = report("with a plan", before, users);
    assert!(read.max(planned) <= USER_BYTES_MAX, "{read}, {planned}");

    // A group of half of them, which the hub does not have yet.
    let members = users / 2;
    let everybody = (0..members).map(scattered).collect();
    let mut object = group(20, STAFF, &[]);
    object.members = everybody;
    see(&mut index, object);
    let before = resident();
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(made.memberships[0].add.len() as u64, members);
    carry_out(&mut index, &made, RemoveUserBehavior::Remove);
    drop(made);
    let held = report("membership", before, members);
    assert!(held <= MEMBERSHIP_BYTES_MAX, "{held}");
    assert!(
        plan(&index, &Scope::default(), &rules())
            .unwrap()
            .is_empty()
    );
}
