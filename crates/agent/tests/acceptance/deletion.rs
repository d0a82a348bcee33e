//! What was deleted: missed, forgotten by the directory, and brought back.

use crate::change::*;
use crate::world::World;
use rollcall_agent::index_file::IndexFile;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_kit::timestamp::Span;
use rollcall_lab::fake_directory::RecycleBin;
use rollcall_proto::idp::DeleteUserRequest;

fn people() -> String {
    format!("OU=People,{BASE}")
}

fn dn(name: &str) -> String {
    format!("CN={name},{}", people())
}

fn crew(names: &[&str]) -> String {
    let members: Vec<String> = names.iter().map(|name| dn(name)).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let users = names.iter().map(|name| new_user(name, &people()));
    let group = new_group("crew", &format!("OU=Groups,{BASE}"), &members);
    users.collect::<String>() + &group
}

/// As if the agent had been away for so long.
fn last_followed(world: &World, days_ago: i64) {
    let file = IndexFile::open(&world.working_directory()).unwrap();
    let at = SystemClock.now().minus(Span::days(days_ago));
    file.set_followed_at(at).unwrap();
}

/// Gives a restored account what its tombstone lost.
fn revive(world: &World, name: &str) {
    world.dc.admin_restore(name, &dn(name)).unwrap();
    let login = format!("{name}@corp.example.com");
    let changes = [
        replace(&dn(name), "userPrincipalName", &login),
        replace(&dn(name), "displayName", name),
        add_member(&format!("CN=crew,OU=Groups,{BASE}"), &dn(name)),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_restored_between_two_looks_has_lost_its_members() {
    let world = World::start(None).await;
    let all = crew(&["anna", "boris"]);
    world.dc.admin_ldapmodify(&all).unwrap();
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;

    let group = format!("CN=crew,OU=Groups,{BASE}");
    world.dc.admin_ldapdelete(&[&group]).unwrap();
    world.dc.admin_restore("crew", &group).unwrap();
    let back = world.run(&config).await;
    assert_eq!(back["mode"], "delta");
    assert_eq!(back["memberships"]["removed"], 2, "{back:#}");
    world.assert_equal().await;

    // Those it has since then are its members, however late they are looked at.
    world
        .dc
        .admin_ldapmodify(&add_member(&group, &dn("anna")))
        .unwrap();
    world.dc.admin_ldapdelete(&[&group]).unwrap();
    world.dc.admin_restore("crew", &group).unwrap();
    world
        .dc
        .admin_ldapmodify(&add_member(&group, &dn("boris")))
        .unwrap();
    world.run(&config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_12_a_restored_user_comes_back_as_the_rule_for_removed_users_says() {
    let world = World::start(None).await;
    world
        .dc
        .admin_ldapmodify(&crew(&["anna", "boris"]))
        .unwrap();

    // Removed users are deleted, and made anew.
    let config = world.configure("", "");
    world.run(&config).await;
    let first = world.id_of("anna").await.unwrap();
    world.dc.admin_ldapdelete(&[&dn("anna")]).unwrap();
    let gone = world.run(&config).await;
    assert_eq!(gone["users"]["removed"], 1, "{gone:#}");
    world.assert_equal().await;
    revive(&world, "anna");
    let back = world.run(&config).await;
    assert_eq!(back["mode"], "delta");
    assert_eq!(back["users"]["created"], 1, "{back:#}");
    world.assert_equal().await;
    let second = world.id_of("anna").await.unwrap();
    assert_ne!(first, second);

    // Deleted and restored between two runs: nothing happened to the user of the hub.
    world.dc.admin_ldapdelete(&[&dn("anna")]).unwrap();
    revive(&world, "anna");
    let unnoticed = world.run(&config).await;
    assert_eq!(unnoticed["users"]["removed"], 0, "{unnoticed:#}");
    assert_eq!(world.id_of("anna").await.as_ref(), Some(&second));
    world.assert_equal().await;

    // Removed users are blocked, and come back as who they were.
    let config = world.configure("  remove_user_behavior: block", "");
    world.dc.admin_ldapdelete(&[&dn("anna")]).unwrap();
    let blocked = world.run(&config).await;
    assert_eq!(blocked["users"]["deactivated"], 1, "{blocked:#}");
    assert_eq!(world.id_of("anna").await.as_ref(), Some(&second));
    world.reset_token().await;
    let full = world.run(&config).await;
    assert_eq!(full["mode"], "full");
    assert_eq!(full["users"]["deactivated"], 0, "{full:#}");
    revive(&world, "anna");
    let back = world.run(&config).await;
    assert_eq!(back["users"]["activated"], 1, "{back:#}");
    assert_eq!(back["users"]["created"], 0, "{back:#}");
    assert_eq!(world.id_of("anna").await, Some(second));
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_12_missed_deletes_are_found_or_stop_the_run_by_name() {
    for recycle_bin in [false, true] {
        let world = World::start(None).await;
        if recycle_bin {
            world.dc.enable_recycle_bin().unwrap();
        }
        let names = ["anna", "boris", "clara", "david", "emil"];
        world.dc.admin_ldapmodify(&crew(&names)).unwrap();
        let config = world.configure("", "");
        world.run(&config).await;
        world.assert_equal().await;

        // Reported by a delta, found by a comparison, found by a comparison without any memory.
        world.dc.admin_ldapdelete(&[&dn("anna")]).unwrap();
        let delta = world.run(&config).await;
        assert_eq!(delta["mode"], "delta");
        assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
        world.assert_equal().await;
        world.dc.admin_ldapdelete(&[&dn("boris")]).unwrap();
        world.reset_token().await;
        let full = world.run(&config).await;
        assert_eq!(full["mode"], "full");
        assert_eq!(full["users"]["removed"], 1, "{full:#}");
        world.assert_equal().await;
        world.dc.admin_ldapdelete(&[&dn("clara")]).unwrap();
        let file = world.working_directory().join("index.redb");
        std::fs::remove_file(file).unwrap();
        let full = world.run(&config).await;
        assert_eq!(full["users"]["removed"], 1, "{full:#}");
        world.assert_equal().await;

        if recycle_bin {
            continue;
        }
        // The directory forgot it before the agent asked, and no increment will ever tell.
        world.dc.admin_ldapdelete(&[&dn("david")]).unwrap();
        world.dc.expunge_tombstones().unwrap();
        world
            .dc
            .admin_ldapmodify(&replace(&dn("emil"), "title", "Lead"))
            .unwrap();
        last_followed(&world, 179);
        let delta = world.run(&config).await;
        assert_eq!(delta["mode"], "delta");
        assert_eq!(delta["users"]["updated"], 1, "{delta:#}");
        assert_eq!(delta["users"]["removed"], 0, "{delta:#}");
        last_followed(&world, 181);
        let david = world.id_of("david").await.unwrap();
        for _ in 0..2 {
            let reason = world.failing_run(&config).await;
            assert!(
                reason.contains("david") && reason.contains("1 objects"),
                "{reason}"
            );
            assert_eq!(world.id_of("david").await.as_ref(), Some(&david));
        }

        // An administrator decides.
        let request = DeleteUserRequest { user_id: david };
        world.client.users().delete(request).await.unwrap();
        let decided = world.run(&config).await;
        assert_eq!(decided["mode"], "full");
        assert_eq!(decided["users"]["removed"], 0, "{decided:#}");
        world.assert_equal().await;
        let after = world.run(&config).await;
        assert_eq!(after["mode"], "delta");
        world.assert_equal().await;
    }
}

/// Samba keeps the attributes of what is in the recycle bin, but cannot bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn at_12_what_comes_back_from_the_recycle_bin_has_everything_it_had() {
    let world = World::start_fake().await;
    let anna = world.dc.edit(|domain| {
        domain.policy.recycle_bin = RecycleBin::On;
        let (people, groups) = (domain.people().unwrap(), domain.groups().unwrap());
        let anna = domain.add_user("anna", people).unwrap();
        let boris = domain.add_user("boris", people).unwrap();
        domain.set(anna, "title", &["Lead"]).unwrap();
        domain.add_group("crew", groups, [anna, boris]).unwrap();
        anna
    });
    let restore = || {
        world.dc.edit(|domain| {
            let people = domain.people().unwrap();
            domain.restore(anna, people).unwrap();
        });
    };
    for (behavior, is_the_same) in [("remove", false), ("block", true)] {
        let config = world.configure(&format!("  remove_user_behavior: {behavior}"), "");
        world.run(&config).await;
        world.assert_equal().await;
        let before = world.id_of("anna").await.unwrap();
        world.dc.edit(|domain| domain.delete(anna).unwrap());
        world.run(&config).await;
        assert_eq!(world.id_of("anna").await.is_some(), is_the_same);
        restore();
        let back = world.run(&config).await;
        assert_eq!(back["mode"], "delta");
        world.assert_equal().await;
        assert_eq!(back["memberships"]["created"], 1, "{back:#}");
        let after = world.id_of("anna").await.unwrap();
        assert_eq!(before == after, is_the_same, "{behavior}");
    }
}
