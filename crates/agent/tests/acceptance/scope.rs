//! Units and groups of the filter: renamed, moved, deleted, misspelt; objects that enter and leave.

use std::path::Path;

use crate::change::*;
use crate::world::{Directory, World};
use rollcall_lab::samba::Fill;

fn crowd(users: u32) -> Fill {
    Fill {
        users,
        groups: 0,
        memberships: 0,
        seed: 4,
        big_group: false,
        difficulties: false,
    }
}

async fn ids<D: Directory>(world: &World<D>) -> Vec<String> {
    let users = world.users().await.into_iter();
    let mut ids: Vec<String> = users.map(|user| user.id).collect();
    ids.sort();
    ids
}

/// Without any memory of the unit the filter has to be corrected; nobody is removed for it.
async fn forget<D: Directory>(world: &mut World<D>, config: &Path, unit: &str) {
    let before = ids(world).await;
    std::fs::remove_file(world.working_directory().join("index.redb")).unwrap();
    let reason = world.failing_run(config).await;
    assert!(
        reason.contains("organization_units") && reason.contains("OU=People"),
        "{reason}"
    );
    world.units[0] = unit.to_owned();
    let config = world.configure("", "");
    let corrected = world.run(&config).await;
    assert_eq!(corrected["mode"], "full");
    assert_eq!(corrected["users"]["removed"], 0, "{corrected:#}");
    assert_eq!(corrected["users"]["created"], 0, "{corrected:#}");
    assert_eq!(ids(world).await, before);
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_04_renaming_and_moving_the_unit_of_the_filter_is_a_non_event() {
    let mut world = World::start(Some(crowd(300))).await;
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 300, "{first:#}");
    let before = ids(&world).await;
    let change = |world: &World, ldif: &str| world.dc.admin_ldapmodify(ldif).unwrap();

    let people = format!("OU=People,{BASE}");
    change(&world, &rename(&people, "OU=Staff", None));
    let renamed = world.run(&config).await;
    assert_eq!(renamed["mode"], "delta");
    assert_unchanged(&renamed);

    let (staff, company) = (format!("OU=Staff,{BASE}"), format!("OU=Company,{BASE}"));
    change(&world, &new_unit("Company", BASE));
    change(&world, &rename(&staff, "OU=Staff", Some(&company)));
    let moved = world.run(&config).await;
    assert_eq!(moved["mode"], "delta");
    assert_unchanged(&moved);
    assert_eq!(ids(&world).await, before, "everybody is who they were");

    let staff = format!("OU=Staff,{company}");
    change(&world, &new_user("newcomer", &staff));
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_eq!(delta["users"]["removed"], 0, "{delta:#}");
    // A comparison of everything knows the unit by its identity too.
    world.reset_token().await;
    let full = world.run(&config).await;
    assert_eq!(full["mode"], "full");
    assert_unchanged(&full);
    forget(&mut world, &config, &staff).await;
}

/// Samba renames every object below by itself, in a time that grows with the square of their
/// number; a controller of Windows renames one.
#[tokio::test(flavor = "multi_thread")]
async fn at_04_a_unit_of_thousands_is_renamed_and_moved() {
    let mut world = World::start_fake().await;
    world.dc.edit(|domain| {
        let people = domain.people().unwrap();
        domain.populate(people, 2_000).unwrap();
    });
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 2_000, "{first:#}");
    let before = ids(&world).await;
    let people = world.dc.edit(|domain| domain.people().unwrap());
    world
        .dc
        .edit(|domain| domain.rename(people, "Staff").unwrap());
    let renamed = world.run(&config).await;
    assert_eq!(renamed["mode"], "delta");
    assert_eq!(renamed["objects_read"], 1, "{renamed:#}");
    assert_unchanged(&renamed);
    let unit = world.dc.edit(|domain| {
        let company = domain.add_unit("Company", domain.root()).unwrap();
        domain.move_to(people, company).unwrap();
        domain.add_user("newcomer", people).unwrap();
        domain.dn(people)
    });
    let moved = world.run(&config).await;
    assert_eq!(moved["mode"], "delta");
    assert_eq!(moved["users"]["created"], 1, "{moved:#}");
    assert_eq!(moved["users"]["removed"], 0, "{moved:#}");
    let after = ids(&world).await;
    assert_eq!(after.len(), 2_001);
    assert!(before.iter().all(|id| after.binary_search(id).is_ok()));
    forget(&mut world, &config, &unit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_filter_that_mean_nothing_or_several_stop_the_run() {
    let mut world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let changes = [
        new_user("anna", &people),
        new_user("boris", &people),
        new_unit("More", &groups),
        new_group("cloud", &groups, &[&format!("CN=anna,{people}")]),
        // A group may be called like a part of a DN.
        format!(
            "dn: CN=a\\3db,{groups}\nchangetype: add\nobjectClass: group\n\
             sAMAccountName: odd\nmember: CN=boris,{people}\n\n"
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let config = world.configure("", "");
    world.run(&config).await;
    let everybody = world.users().await.len();
    let units = world.units.clone();

    for (unit, group, named) in [
        ("OU=Nobody,DC=corp,DC=example,DC=com", "", "OU=Nobody"),
        ("CN=anna,OU=People,DC=corp,DC=example,DC=com", "", "kind"),
        ("OU=People", "", "OU=People does not exist"),
        ("", "nobody", "nobody does not exist"),
        ("", "anna", "anna does not exist"),
        (
            "",
            "CN=anna,OU=People,DC=corp,DC=example,DC=com",
            "another kind",
        ),
    ] {
        world.units.truncate(2);
        world.groups.clear();
        world
            .units
            .extend((!unit.is_empty()).then(|| unit.to_owned()));
        world
            .groups
            .extend((!group.is_empty()).then(|| group.to_owned()));
        let config = world.configure("", "");
        let reason = world.failing_run(&config).await;
        assert!(reason.contains(named), "{reason}");
        assert_eq!(world.users().await.len(), everybody, "{reason}");
    }

    // By name, by account, with signs of a DN in it, and not when several bear the name.
    world.units = units;
    for (group, login) in [("cloud", "anna"), ("odd", "boris"), ("a=b", "boris")] {
        world.groups = vec![group.to_owned()];
        let config = world.configure("", "");
        world.run(&config).await;
        assert_eq!(world.users().await.len(), 1, "{group}");
        assert!(world.id_of(login).await.is_some(), "{group}");
    }
    let twin = new_group("cloud", &format!("OU=More,{groups}"), &[]);
    let twin = twin.replace("sAMAccountName: cloud", "sAMAccountName: twin");
    world.dc.admin_ldapmodify(&twin).unwrap();
    world.groups = vec!["cloud".to_owned()];
    let config = world.configure("", "");
    let reason = world.failing_run(&config).await;
    assert!(reason.contains("several objects"), "{reason}");
    assert_eq!(world.users().await.len(), 1);
    world.groups = vec![format!("CN=cloud,{groups}")];
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_unit_or_group_of_the_filter_stops_the_run_and_removes_nobody() {
    let mut world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let team = format!("OU=Team,{people}");
    let cloud = format!("CN=cloud,{groups}");
    let changes = [
        new_unit("Team", &people),
        new_user("anna", &people),
        new_user("boris", &team),
        new_group(
            "cloud",
            &groups,
            &[&format!("CN=anna,{people}"), &format!("CN=boris,{team}")],
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    world.units = vec![people.clone(), team.clone(), groups.clone()];
    world.groups = vec![cloud.clone()];
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;

    // The group is renamed, which is nothing, and deleted, which is something.
    let change = |ldif: &str| world.dc.admin_ldapmodify(ldif).unwrap();
    change(&rename(&cloud, "CN=sky", None));
    let renamed = world.run(&config).await;
    assert_eq!(renamed["users"]["removed"], 0, "{renamed:#}");
    assert_eq!(renamed["groups"]["updated"], 1, "{renamed:#}");
    let sky = format!("CN=sky,{groups}");
    world.dc.admin_ldapdelete(&[&sky]).unwrap();
    let reason = world.failing_run(&config).await;
    assert!(
        reason.contains("groups") && reason.contains("CN=cloud"),
        "{reason}"
    );
    assert_eq!(world.users().await.len(), 2);

    // A service that follows learns of it in the middle of a session.
    world.groups.clear();
    let config = world.configure("", "");
    let agent = world.spawn(&config, &["--now"]);
    world.wait_equal().await;
    change(&rename(
        &format!("CN=boris,{team}"),
        "CN=boris",
        Some(&people),
    ));
    world.wait_equal().await;
    world.dc.admin_ldapdelete(&[&team]).unwrap();
    let failed = async || {
        let sessions = world.sessions().await.into_iter();
        let mut reasons = sessions.map(|session| session.fail_reason);
        reasons.find(|reason| reason.contains("OU=Team"))
    };
    let mut reason = failed().await;
    for _ in 0..600 {
        if reason.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        reason = failed().await;
    }
    let reason = reason.unwrap_or_else(|| panic!("{}", world.log()));
    assert!(reason.contains("was deleted"), "{reason}");
    assert_eq!(world.users().await.len(), 2);
    drop(agent);

    // The unit is made anew: the new one counts, and the log says so.
    change(&new_unit("Team", &people));
    change(&new_user("vera", &team));
    let agent = world.spawn(&config, &["--now"]);
    world.wait_users(3).await;
    world.wait_equal().await;
    assert!(world.log().contains("made anew"), "{}", world.log());
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_enter_the_scope_arrive_whole_and_system_objects_never_do() {
    let mut world = World::start(None).await;
    let (people, outside) = (format!("OU=People,{BASE}"), format!("OU=Outside,{BASE}"));
    let deep = format!("OU=Deep,OU=Team,{outside}");
    let changes = [
        new_unit("Outside", BASE),
        new_unit("Team", &outside),
        new_unit("Deep", &format!("OU=Team,{outside}")),
        new_user("anna", &deep),
        new_user("boris", &deep),
        replace(&format!("CN=anna,{deep}"), "title", "Lead"),
        replace(&format!("CN=boris,{deep}"), "userAccountControl", "546"),
        new_group(
            "crew",
            &deep,
            &[&format!("CN=anna,{deep}"), &format!("CN=boris,{deep}")],
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let config = world.configure("  remove_user_behavior: block", "");
    world.run(&config).await;
    assert_eq!(world.users().await.len(), 0);

    // The whole tree moves in. Nothing in it changed, but its top.
    let moved = rename(&format!("OU=Team,{outside}"), "OU=Team", Some(&people));
    world.dc.admin_ldapmodify(&moved).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["created"], 2, "{delta:#}");
    assert_eq!(delta["groups"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    let anna = world.id_of("anna").await.unwrap();

    // And out again: users are blocked, groups are deleted all the same.
    let moved = rename(&format!("OU=Team,{people}"), "OU=Team", Some(&outside));
    world.dc.admin_ldapmodify(&moved).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["removed"], 0, "{delta:#}");
    assert_eq!(delta["users"]["deactivated"], 1, "{delta:#}");
    assert_eq!(delta["groups"]["removed"], 1, "{delta:#}");
    let found = world.found().await;
    assert_eq!(found.users.values().filter(|user| user.active).count(), 0);
    assert_eq!(found.users.len(), 2);

    let moved = rename(&format!("OU=Team,{outside}"), "OU=Team", Some(&people));
    world.dc.admin_ldapmodify(&moved).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["activated"], 1, "{delta:#}");
    assert_eq!(delta["users"]["created"], 0, "{delta:#}");
    assert_eq!(world.id_of("anna").await, Some(anna));
    world.assert_equal().await;

    // Without any unit everything counts, but never Administrator, Domain Users and their like.
    world.units.clear();
    let config = world.configure("", "");
    let whole = world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(whole["failed_items_count"], world.expected().unfit.len());
    let groups = world.found().await.groups;
    assert!(!groups.values().any(|group| group.name.contains("Admin")));
}
