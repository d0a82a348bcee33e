//! What a Samba domain controller cannot show, against a directory that behaves as MS-ADTS says:
//! changes in pages, long member lists in ranges, other and restored controllers, answers with
//! things nobody asked for.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use change::assert_unchanged;
use fake_world::{Fake, fill, searches};
use rollcall_kit::entropy::{Entropy, SeededEntropy, SystemEntropy};
use rollcall_lab::fake_directory::{
    Code, Domain, ForeignCookie, MemberRight, ObjectId, RecycleBin, Searched,
};
use rollcall_proto::admin::SetPasswordChangeRequiredRequest;
use world::World;

fn reads_members(search: &Searched) -> bool {
    let asks = |name: &String| name.to_lowercase().starts_with("member");
    !search.dirsync && search.attributes.iter().any(asks)
}

/// Hub ids by login.
async fn ids(world: &Fake) -> BTreeMap<String, String> {
    let users = world.users().await.into_iter();
    users.map(|user| (user.username, user.id)).collect()
}

/// Positions in a list of members at which something can go wrong.
const EDGES: [usize; 14] = [
    0, 1_498, 1_499, 1_500, 1_501, 2_999, 3_000, 3_001, 4_499, 4_500, 5_000, 44_999, 45_000, 49_999,
];

/// As many members, in the order in which ranges deliver them; those at the edges are people.
fn crowd(domain: &mut Domain, size: usize) -> Vec<ObjectId> {
    let people = domain.people().unwrap();
    let elsewhere = domain.add_unit("Elsewhere", domain.root()).unwrap();
    let contact = ["top", "person", "organizationalPerson", "contact"];
    let mut crowd = Vec::with_capacity(size);
    for at in 0..size {
        crowd.push(if EDGES.contains(&at) {
            domain.add_user(&format!("edge{at:05}"), people).unwrap()
        } else {
            let name = format!("c{at}");
            domain.add_object(&name, &contact, elsewhere).unwrap()
        });
    }
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn at_07_long_groups_are_read_in_ranges_and_followed_one_by_one() {
    const SIZES: [usize; 6] = [1_499, 1_500, 1_501, 3_000, 5_001, 50_000];
    let world = World::start_fake().await;
    let (crowd, groups) = world.dc.edit(|domain| {
        let crowd = crowd(domain, 50_000);
        let unit = domain.groups().unwrap();
        let groups = SIZES.map(|size| {
            let members = crowd[..size].to_vec();
            domain
                .add_group(&format!("g{size}"), unit, members)
                .unwrap()
        });
        (crowd, groups)
    });
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], EDGES.len(), "{first:#}");
    world.assert_equal().await;
    let asked = searches(&world).into_iter().filter(reads_members).count();
    // Lists of up to 1,500 come with the report; two ranges for 1,501 and 3,000, four, thirty-four.
    assert_eq!(asked, 2 + 2 + 4 + 34);

    // One member of 50,000 leaves and comes back, another group gets a new name.
    let (first, last) = (crowd[0], crowd[49_999]);
    world.dc.edit(|domain| {
        domain.remove_member(groups[5], first).unwrap();
        domain
            .set(groups[4], "description", &["five thousand"])
            .unwrap();
        domain.add_member(groups[4], last).unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["memberships"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["memberships"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    assert!(!searches(&world).iter().any(reads_members));

    // A new group is reported with all its members, in several parts.
    world.dc.edit(|domain| {
        let unit = domain.groups().unwrap();
        domain
            .add_group("new", unit, crowd[..5_001].to_vec())
            .unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["memberships"]["created"], 11, "{delta:#}");
    world.assert_equal().await;
    assert!(!searches(&world).iter().any(reads_members));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_07_members_that_change_while_they_are_read() {
    let world = World::start_fake().await;
    let (crowd, group) = world.dc.edit(|domain| {
        let crowd = crowd(domain, 5_001);
        let unit = domain.groups().unwrap();
        let group = domain.add_group("long", unit, crowd.clone()).unwrap();
        (crowd, group)
    });
    let config = world.configure("", "");
    let second_range = |search: &Searched| {
        let asked = search.attributes.iter();
        asked.into_iter().any(|name| name == "member;range=1500-*")
    };
    // The first one leaves: all others are one place further to the front.
    let first = crowd[0];
    world.dc.interlude(second_range, move |domain| {
        domain.remove_member(group, first).unwrap();
    });
    world.run(&config).await;
    world.assert_equal().await;

    // So many leave that the second range begins behind the end.
    let gone = crowd[1_000..].to_vec();
    world.dc.interlude(second_range, move |domain| {
        for member in gone {
            domain.remove_member(group, member).unwrap();
        }
    });
    world.reset_token().await;
    let config = world.configure("", "safety: {max_removals: 0}");
    let run = world.run(&config).await;
    assert_eq!(run["mode"], "full");
    world.assert_equal().await;

    // Between two pages of changes somebody comes and goes.
    world.dc.edit(|domain| {
        domain.policy.changes_per_page = 1;
        domain.add_member(group, first).unwrap();
        domain.set(crowd[1_498], "title", &["Lead"]).unwrap();
    });
    let pages = AtomicUsize::new(0);
    let second_page = move |s: &Searched| s.dirsync && pages.fetch_add(1, Ordering::SeqCst) == 1;
    let second = crowd[1];
    world.dc.interlude(second_page, move |domain| {
        domain.remove_member(group, first).unwrap();
        domain.add_member(group, first).unwrap();
        domain.remove_member(group, second).unwrap();
    });
    world.run(&config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_07_losing_the_right_to_read_members_empties_no_group() {
    let world = World::start_fake().await;
    let (crowd, long, short) = world.dc.edit(|domain| {
        let crowd = crowd(domain, 1_600);
        let unit = domain.groups().unwrap();
        let long = domain.add_group("long", unit, crowd.clone()).unwrap();
        let edges = [crowd[0], crowd[1_498], crowd[1_500]];
        let short = domain.add_group("short", unit, edges).unwrap();
        (crowd, long, short)
    });
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;

    // Increments need no right to read members: they come with the right to replicate.
    world.dc.edit(|domain| {
        domain.policy.member_right = MemberRight::Revoked;
        for group in [long, short] {
            domain.set(group, "description", &["changed"]).unwrap();
            domain.remove_member(group, crowd[0]).unwrap();
        }
        let unit = domain.groups().unwrap();
        domain.add_group("new", unit, [crowd[1_498]]).unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["memberships"]["removed"], 2, "{delta:#}");
    assert_eq!(delta["memberships"]["created"], 1, "{delta:#}");
    world.assert_equal().await;

    // A full read needs it for long lists, and says so.
    world.reset_token().await;
    let before = world.found().await;
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1, "{summary:#}");
    let reason = summary["reason"].as_str().unwrap();
    assert!(
        reason.contains("read the members of every group"),
        "{reason}"
    );
    assert_eq!(world.found().await, before);
    world
        .dc
        .edit(|domain| domain.policy.member_right = MemberRight::Granted);
    assert_unchanged(&world.run(&config).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_07_members_brought_back_from_deletion() {
    let world = World::start_fake().await;
    let (users, group) = fill(&world, 12);
    let config = world.configure("", "");
    world.run(&config).await;
    for (bin, user) in [(RecycleBin::Off, users[0]), (RecycleBin::On, users[1])] {
        world.dc.edit(|domain| {
            domain.policy.recycle_bin = bin;
            domain.delete(user).unwrap();
        });
        let delta = world.run(&config).await;
        assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
        world.assert_equal().await;
        let people = world.dc.edit(|domain| domain.people().unwrap());
        world.dc.edit(|domain| bring_back(domain, user, people));
        let delta = world.run(&config).await;
        assert_eq!(delta["mode"], "delta");
        assert_eq!(delta["users"]["created"], 1, "{bin:?} {delta:#}");
        world.assert_equal().await;

        // Deleted and brought back between two looks.
        world.dc.edit(|domain| {
            domain.add_member(group, user).unwrap();
            domain.delete(user).unwrap();
            bring_back(domain, user, people);
        });
        world.run(&config).await;
        world.assert_equal().await;
    }
}

/// Whether the hub wants the password changed; only its store tells.
async fn must_change(world: &Fake, user_id: &str) -> bool {
    let store = &world.hub.as_ref().unwrap().hub.store;
    let id = user_id.into();
    let found = store.read(async move |tx| tx.find_password(&id).await);
    found.await.unwrap().unwrap().kind.to_string() == "TEMPORARY"
}

#[tokio::test(flavor = "multi_thread")]
async fn at_11_other_and_restored_controllers_and_refused_cookies() {
    let world = World::start_fake().await;
    let (users, group) = fill(&world, 45);
    let config = world.configure("", "");
    world.dc.edit(|domain| {
        let once = ["132000000000000000"];
        domain.set(users[5], "pwdLastSet", &once).unwrap();
    });
    world.run(&config).await;
    let before = ids(&world).await;
    // An administrator wants this password changed, whatever the directory says.
    let marked = world.id_of("u0005").await.unwrap();
    let request = SetPasswordChangeRequiredRequest {
        user_id: marked.clone(),
        required: true,
    };
    let mut passwords = world.client.passwords();
    passwords.set_change_required(request).await.unwrap();
    for foreign in [
        ForeignCookie::Resync,
        ForeignCookie::Trusted,
        ForeignCookie::Refused(Code::UnavailableCriticalExtension),
        ForeignCookie::Refused(Code::UnwillingToPerform),
        ForeignCookie::Refused(Code::ProtocolError),
    ] {
        let backup = world.dc.edit(|domain| {
            domain.policy.foreign_cookie = foreign;
            domain.policy.changes_per_page = 13;
            domain.clone()
        });
        // What the restored controller does not know of.
        world.dc.edit(|domain| {
            domain.set(users[1], "title", &["Lost"]).unwrap();
            domain.remove_member(group, users[2]).unwrap();
            domain.rename(users[3], "renamed").unwrap();
        });
        assert_eq!(world.run(&config).await["mode"], "delta");
        world.assert_equal().await;
        world.dc.restore_backup(backup);
        world.dc.edit(|domain| {
            domain.set(users[4], "title", &["New"]).unwrap();
        });
        let run = world.run(&config).await;
        assert_eq!(run["mode"], "full", "{foreign:?}");
        let states = &run["streams"]["account_state"];
        assert_eq!(states["mode"], "full", "{foreign:?}");
        assert_unchanged(states);
        assert!(must_change(&world, &marked).await, "{foreign:?}");
        for what in ["created", "removed", "activated", "deactivated"] {
            assert_eq!(run["users"][what], 0, "{foreign:?} {run:#}");
        }
        assert_eq!(run["memberships"]["created"], 1, "{foreign:?} {run:#}");
        assert_eq!(run["memberships"]["removed"], 0, "{foreign:?} {run:#}");
        world.assert_equal().await;
        assert_eq!(ids(&world).await, before, "{foreign:?}");
        let next = world.run(&config).await;
        assert_eq!(next["mode"], "delta", "{foreign:?}");
        assert_unchanged(&next);
        let states = &next["streams"]["account_state"];
        assert_eq!(states["mode"], "delta", "{foreign:?}");
        assert_unchanged(states);
        world.dc.edit(|domain| {
            domain.set(users[6], "accountExpires", &["0"]).unwrap();
        });
        let followed = world.run(&config).await;
        let states = &followed["streams"]["account_state"];
        assert_eq!(states["mode"], "delta", "{foreign:?}");
        assert!(must_change(&world, &marked).await, "{foreign:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_21_what_nobody_asked_for_is_ignored() {
    let world = World::start_fake().await;
    let (users, _) = fill(&world, 10);
    world.dc.edit(|domain| {
        domain.policy.unasked = vec![
            ("msDS-NeverHeardOf".into(), vec![0xff, 0, 1]),
            ("memberOfTheBoard".into(), b"yes".to_vec()),
            ("displayNamePrintable;lang-fr".into(), b"nom".to_vec()),
            (String::new(), Vec::new()),
        ];
        let people = domain.people().unwrap();
        let odd = ["top", "container", "gadgetRack"];
        let rack = domain.add_object("rack", &odd, people).unwrap();
        let device = ["top", "device", "gadget"];
        domain.add_object("gadget", &device, rack).unwrap();
        domain.add_user("inside", rack).unwrap();
        let robot = domain.add_user("robot", people).unwrap();
        let classes = ["top", "person", "organizationalPerson", "user", "robot"];
        domain.set(robot, "objectClass", &classes).unwrap();
    });
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 12, "{first:#}");
    assert_eq!(first["failed_items_count"], 0, "{first:#}");
    world.assert_equal().await;
    world.dc.edit(|domain| {
        domain.set(users[0], "unheardOf", &["1"]).unwrap();
        domain.set(users[1], "displayName", &["Anna"]).unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["updated"], 1, "{delta:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_pages_and_a_moved_unit_alone() {
    let world = World::start_fake().await;
    let (users, _) = fill(&world, 30);
    let (team, elsewhere) = world.dc.edit(|domain| {
        let people = domain.people().unwrap();
        let elsewhere = domain.add_unit("Elsewhere", domain.root()).unwrap();
        domain.populate(elsewhere, 2_500).unwrap();
        let team = domain.add_unit("Team", people).unwrap();
        for user in &users[..5] {
            domain.move_to(*user, team).unwrap();
        }
        (team, elsewhere)
    });
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 30, "{first:#}");
    let read = first["objects_read"].as_u64().unwrap();
    assert!(read > 2_530, "{read}");
    world.assert_equal().await;
    let pages = searches(&world).iter().filter(|s| s.dirsync).count();
    assert!(pages >= 3, "{pages} pages");

    world
        .dc
        .edit(|domain| domain.move_to(team, elsewhere).unwrap());
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["removed"], 5, "{delta:#}");
    world.assert_equal().await;
    // Back, under another name, and one of the people on a page before their unit.
    world.dc.edit(|domain| {
        domain.policy.changes_per_page = 1;
        let people = domain.people().unwrap();
        domain.move_to(users[0], people).unwrap();
        domain.move_to(team, people).unwrap();
        domain.rename(team, "Crew, the new one").unwrap();
    });
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["created"], 5, "{delta:#}");
    world.assert_equal().await;
    searches(&world);
}

/// One random change of who belongs to which group; what does not fit at the moment is left out.
fn random_change(domain: &mut Domain, dice: &dyn Entropy, users: &[ObjectId], groups: &[ObjectId]) {
    let pick = |list: &[ObjectId]| list[(dice.next_u64() % list.len() as u64) as usize];
    let (user, group) = (pick(users), pick(groups));
    match (dice.next_u64() % 12, domain.is_live(user)) {
        (0..=4, true) => domain.add_member(group, user).unwrap(),
        (5..=7, _) => domain.remove_member(group, user).unwrap(),
        (8, _) => domain.set(group, "description", &["again"]).unwrap(),
        (9, true) => domain.delete(user).unwrap(),
        (10, false) => {
            let people = domain.people().unwrap();
            bring_back(domain, user, people);
        }
        (11, _) => {
            domain.policy.recycle_bin = match domain.policy.recycle_bin {
                RecycleBin::Off => RecycleBin::On,
                RecycleBin::On => RecycleBin::Off,
            }
        }
        _ => {}
    }
}

/// Restores a user; a tombstone has no login.
fn bring_back(domain: &mut Domain, user: ObjectId, parent: ObjectId) {
    domain.restore(user, parent).unwrap();
    let login = format!("{}@corp.example.com", domain.get(user).unwrap().name());
    domain.set(user, "userPrincipalName", &[&login]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn random_memberships_are_followed_through_pages_replays_and_restores() {
    const BATCHES: usize = 25;
    const CHANGES: usize = 12;
    let mut seed = [0; 8];
    SystemEntropy.fill(&mut seed);
    let seed = u64::from_le_bytes(seed);
    println!("seed {seed}");
    let dice = Arc::new(SeededEntropy::new(seed));
    let world = World::start_fake().await;
    let (users, group) = fill(&world, 14);
    let groups = world.dc.edit(|domain| {
        domain.policy.changes_per_page = 3;
        domain.policy.links_per_entry = 2;
        domain.policy.replayed_usns = 6;
        let unit = domain.groups().unwrap();
        let pair = [users[0], users[1]];
        let others =
            ["one", "two", "three"].map(|name| domain.add_group(name, unit, pair).unwrap());
        [&others[..], &[group]].concat()
    });
    let config = world.configure("", "safety: {max_removals: 0}");
    world.run(&config).await;
    for batch in 0..BATCHES {
        for _ in 0..CHANGES {
            world
                .dc
                .edit(|domain| random_change(domain, &*dice, &users, &groups));
        }
        // Some of it happens while it is being read.
        let (users, groups, dice) = (users.clone(), groups.clone(), dice.clone());
        let pages = AtomicUsize::new(0);
        let later = move |s: &Searched| s.dirsync && pages.fetch_add(1, Ordering::SeqCst) == 1;
        world.dc.interlude(later, move |domain| {
            for _ in 0..3 {
                random_change(domain, &*dice, &users, &groups);
            }
        });
        let run = world.run(&config).await;
        assert_eq!(run["mode"], "delta", "batch {batch}");
        // What happened after its page was read comes with the next run.
        world.run(&config).await;
        let differences = world.expected().differences(&world.found().await);
        assert!(
            differences.is_empty(),
            "seed {seed} batch {batch}: {differences:#?}"
        );
    }
}
