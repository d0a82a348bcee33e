//! Changes of the directory arrive in the hub by increments.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use change::*;
use rollcall_lab::samba::Fill;
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_follows_every_kind_of_change() {
    let world = World::start(Some(people(100))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    let people = format!("OU=People,{BASE}");
    let outside = format!("OU=Elsewhere,{BASE}");
    let team = format!("OU=Team,{people}");
    let ou = |dn: &str| format!("dn: {dn}\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    let id_of = async |name: &str| {
        let wanted = format!("{name}@{}", world.domain());
        let users = world.users().await;
        let found = users.into_iter().find(|user| user.username == wanted);
        found.map(|user| user.id)
    };

    let changes = [
        ou(&outside),
        ou(&team),
        new_user("anna", &people),
        new_user("boris", &team),
        new_user("vera", &outside),
        format!(
            "dn: CN=crew,{team}\nchangetype: add\nobjectClass: group\nsAMAccountName: crew\n\
             member: CN=anna,{people}\nmember: CN=vera,{outside}\n\n"
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["created"], 2, "{delta:#}");
    assert_eq!(delta["groups"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    let anna = id_of("anna").await.unwrap();

    let changes = [
        // Attribute, disabled, end of the account, rename, move into scope.
        modify(
            &format!("CN=anna,{people}"),
            "replace: title\ntitle: Lead, R&D",
        ),
        modify(
            &format!("CN=boris,{team}"),
            "replace: userAccountControl\nuserAccountControl: 546",
        ),
        rename(&format!("CN=anna,{people}"), "CN=anna b", None),
        rename(&format!("CN=vera,{outside}"), "CN=vera", Some(&people)),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["deactivated"], 1, "{delta:#}");
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    assert_eq!(
        id_of("anna").await.as_ref(),
        Some(&anna),
        "a rename keeps the hub's id"
    );

    // The whole team moves out; the unit of the filter is renamed; a member leaves.
    let changes = [
        modify(
            &format!("CN=boris,{team}"),
            "replace: userAccountControl\nuserAccountControl: 544",
        ),
        modify(
            &format!("CN=crew,{team}"),
            &format!("delete: member\nmember: CN=anna b,{people}"),
        ),
        modify(
            &format!("CN=anna b,{people}"),
            "replace: accountExpires\naccountExpires: 126227808000000000",
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    world.run(&config).await;
    world.assert_equal().await;
    let changes = [rename(&team, "OU=Team", Some(&outside))];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["groups"]["removed"], 1, "{delta:#}");
    world.assert_equal().await;
    let changes = [rename(
        &format!("OU=Team,{outside}"),
        "OU=Crew",
        Some(&people),
    )];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;

    let vera = format!("CN=vera,{people}");
    let crew = format!("CN=crew,OU=Crew,{people}");
    world.dc.admin_ldapdelete(&[&vera, &crew]).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(
        (&delta["users"]["removed"], &delta["groups"]["removed"]),
        (&1.into(), &1.into())
    );
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_the_unit_of_the_filter_changes_nothing() {
    let mut world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let users = world.users().await.len();
    let change = rename(&format!("OU=People,{BASE}"), "OU=Staff", None);
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_unchanged(&delta);
    assert_eq!(world.users().await.len(), users);
    world.units[0] = format!("OU=Staff,{BASE}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_deleted_and_made_again_is_another_user() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let people = format!("OU=People,{BASE}");
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();
    world.run(&config).await;
    let before = world.users().await;
    world
        .dc
        .admin_ldapdelete(&[&format!("CN=anna,{people}")])
        .unwrap();
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["failed_items_count"], 0, "{delta:#}");
    let after = world.users().await;
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before[0].id, after[0].id);
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_longer_than_a_range_and_a_page_is_kept_whole() {
    let fill = Fill {
        users: 1_700,
        groups: 3,
        memberships: 1_650,
        seed: 3,
        big_group: true,
        difficulties: false,
    };
    let world = World::start(Some(fill)).await;
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 1_700, "{first:#}");
    println!("{} objects/s", first["objects_per_second"]);
    world.assert_equal().await;
    let dump = world
        .dc
        .admin_ldapsearch(&["(objectClass=group)", "member"])
        .unwrap();
    let entry = dump.split("\n\n").max_by_key(|entry| entry.len()).unwrap();
    let members = entry.lines().filter(|line| line.starts_with("member:"));
    assert!(members.count() > 1_500);
    let group = entry
        .lines()
        .find_map(|line| line.strip_prefix("dn: "))
        .unwrap();
    let member = entry
        .lines()
        .find(|line| line.starts_with("member:"))
        .unwrap();
    let change = modify(group, &format!("delete: member\n{member}"));
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["memberships"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["memberships"]["created"], 0, "{delta:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_filters_group_are_followed_directly_and_nested() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let groups = format!("OU=Groups,{BASE}");
    let group = |name: &str, members: &[String]| {
        let members: String = members.iter().map(|m| format!("member: {m}\n")).collect();
        format!(
            "dn: CN={name},{groups}\nchangetype: add\nobjectClass: group\n\
             sAMAccountName: {name}\n{members}\n"
        )
    };
    let user = |name: &str| format!("CN={name},{people}");
    let changes = [
        new_user("anna", &people),
        new_user("boris", &people),
        new_user("vera", &people),
        // Neither a user nor a group, and not synchronized.
        format!("dn: CN=fax,{people}\nchangetype: add\nobjectClass: contact\n\n"),
        group("inner", &[user("boris"), user("fax")]),
        group("cloud", &[user("anna"), format!("CN=inner,{groups}")]),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let config = world.configure("", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("filter: {", "filter: {groups: [cloud], ");
    std::fs::write(&config, text).unwrap();

    let logins = async || {
        let users = world.users().await;
        let mut names: Vec<String> = users
            .iter()
            .map(|user| user.username.split('@').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let first = world.run(&config).await;
    assert_eq!(first["groups"]["created"], 2, "{first:#}");
    assert_eq!(logins().await, ["anna", "boris"]);

    let inner = format!("CN=inner,{groups}");
    let changes = [
        modify(&inner, &format!("add: member\nmember: {}", user("vera"))),
        modify(
            &inner,
            &format!("delete: member\nmember: {}", user("boris")),
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(logins().await, ["anna", "vera"], "{delta:#}");
}
