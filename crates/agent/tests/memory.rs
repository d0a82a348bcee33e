//! Promise P8 and AT-19: what an object costs in memory. `cargo xtask bench memory` shows the whole
//! program with a million of them.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/directory.rs"]
mod directory;

use std::collections::BTreeMap;

use crowd::Crowd;
use directory::*;
use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::{HubUser, Index};
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

/// People of the run of the whole program, and what its process may need with them. Without anybody
/// it needs about 30 MB.
const PEOPLE: u64 = 5_000;
const PEAK_BYTES_MAX: u64 = 64 << 20;

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

/// The whole program, and that nothing is left to do after the first run.
#[tokio::test(flavor = "multi_thread")]
async fn at_19_the_program_stays_small() {
    let crowd = Crowd::start(PEOPLE).await.unwrap();
    let program = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    for (mode, created) in [("full", PEOPLE), ("delta", 0), ("full", 0)] {
        if mode == "full" {
            crowd.hub.forget_token();
        }
        let measured = crowd.run(program).await.unwrap();
        println!(
            "{mode}: {} MB at most in {:.1} s",
            measured.peak_bytes >> 20,
            measured.seconds
        );
        let summary = &measured.summary;
        assert_eq!(summary["mode"], mode, "{summary:#}");
        assert_eq!(summary["users"]["created"], created, "{summary:#}");
        assert_eq!(
            summary["memberships"]["created"],
            created / 2,
            "{summary:#}"
        );
        assert!(
            measured.peak_bytes <= PEAK_BYTES_MAX,
            "{} bytes",
            measured.peak_bytes
        );
    }
}

/// AT-10: every membership is looked at once, and renaming groups touches no membership.
#[test]
fn at_10_work_grows_with_what_changes() {
    const GROUPS: u128 = 2_000;
    const MEMBERS: u128 = 50;
    const USERS: u128 = 5_000;
    let first_group = 1_000_000;
    let grouped = |number: u128, name: &str| {
        let members: Vec<u128> = (0..MEMBERS)
            .map(|member| 1_000 + (number * MEMBERS + member) % USERS)
            .collect();
        let mut made = group(first_group + number, STAFF, &members);
        made.attributes
            .insert("name".into(), format!("{name}{number}"));
        made
    };
    let mut objects = tree();
    objects.extend((0..USERS).map(|number| user(1_000 + number, STAFF)));
    objects.extend((0..GROUPS).map(|number| grouped(number, "g")));
    let mut index: Index = index_of(objects);
    let first = plan(&index, &staff_only(), &rules()).unwrap();
    let memberships = (GROUPS * MEMBERS) as usize;
    assert_eq!(first.memberships_in_scope, memberships);
    assert_eq!(first.links_followed, memberships);
    carry_out(&mut index, &first, RemoveUserBehavior::Remove);

    let renamed = GROUPS * 4 / 5;
    for number in 0..renamed {
        see(&mut index, grouped(number, "renamed"));
    }
    let second = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(second.group_updates.len() as u128, renamed);
    assert_eq!(
        second.writes() as u128,
        renamed,
        "one write for each renamed group"
    );
    assert_eq!(second.links_followed, memberships);
}
