//! Primary groups and groups inside groups.

use crate::change::*;
use crate::world::World;
use rollcall_lab::oracle::NestedGroups;

const DEPTH: usize = 20;

/// The last number of the security identifier of a group (MS-DTYP 2.4.2).
fn rid(world: &World, group: &str) -> String {
    let dn = format!("CN={group},OU=Groups,{BASE}");
    let arguments = [
        "-s",
        "base",
        "-b",
        &dn,
        "(objectClass=*)",
        "primaryGroupToken",
    ];
    let dump = world.dc.admin_ldapsearch(&arguments).unwrap();
    let token = dump
        .lines()
        .find_map(|line| line.strip_prefix("primaryGroupToken: "));
    token.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_08_a_change_of_the_primary_group_keeps_the_memberships() {
    let world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let anna = format!("CN=anna,{people}");
    let changes = [
        new_user("anna", &people),
        new_user("boris", &people),
        new_group("one", &groups, &[&anna, &format!("CN=boris,{people}")]),
        new_group("two", &groups, &[&anna]),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    let memberships = async || {
        let groups = world.found().await.groups;
        groups
            .values()
            .map(|group| group.members.len())
            .sum::<usize>()
    };
    assert_eq!(memberships().await, 3);

    // The directory takes the new primary group out of `member` and puts the former one there.
    let domain_users = "513".to_owned();
    for primary in [rid(&world, "one"), rid(&world, "two"), domain_users] {
        let change = replace(&anna, "primaryGroupID", &primary);
        world.dc.admin_ldapmodify(&change).unwrap();
        let delta = world.run(&config).await;
        assert_eq!(delta["mode"], "delta");
        assert_unchanged(&delta);
        assert_eq!(memberships().await, 3, "primary group {primary}");
        world.assert_equal().await;
        world.reset_token().await;
        let full = world.run(&config).await;
        assert_eq!(full["mode"], "full");
        assert_unchanged(&full);
    }
    // Out of the group that was the primary one once: now the membership ends.
    let change = remove_member(&format!("CN=two,{groups}"), &anna);
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["memberships"]["removed"], 1, "{delta:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_09_nested_groups_as_members_and_in_the_filter() {
    let mut world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let outside = format!("OU=Outside,{BASE}");
    // Every third group lies outside the scope.
    let place = |level: usize| if level % 3 == 2 { &outside } else { &groups };
    let group = |level: usize| format!("CN=level{level},{}", place(level));
    let user = |level: usize| format!("CN=user{level},{people}");
    let mut changes = vec![new_unit("Outside", BASE), new_user("lonely", &people)];
    for level in (0..DEPTH).rev() {
        changes.push(new_user(&format!("user{level}"), &people));
        let (own, inner) = (user(level), group(level + 1));
        let members: &[&str] = if level + 1 < DEPTH {
            &[&own, &inner]
        } else {
            &[&own]
        };
        changes.push(new_group(&format!("level{level}"), place(level), members));
    }
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let change = |world: &World, ldif: &str| world.dc.admin_ldapmodify(ldif).unwrap();

    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    world.nested_groups = NestedGroups::Flatten;
    let config = world.configure("", "");
    let flat = world.run(&config).await;
    assert_eq!(flat["memberships"]["removed"], 0, "{flat:#}");
    world.assert_equal().await;
    let largest = async |world: &World| {
        let groups = world.found().await.groups;
        let sizes = groups.values().map(|group| group.members.len());
        sizes.max().unwrap()
    };
    assert_eq!(largest(&world).await, DEPTH);

    // A circle over all levels, the chain cut in the middle, and mended outside the scope.
    change(&world, &add_member(&group(DEPTH - 1), &group(0)));
    world.run(&config).await;
    world.assert_equal().await;
    change(&world, &remove_member(&group(7), &group(8)));
    world.run(&config).await;
    world.assert_equal().await;
    // Level 9, for 8 is outside: the rest of the circle.
    assert_eq!(largest(&world).await, DEPTH - 1);
    change(&world, &remove_member(&group(DEPTH - 1), &group(0)));
    world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(largest(&world).await, DEPTH - 9);
    change(&world, &add_member(&group(5), &group(8)));
    world.run(&config).await;
    world.assert_equal().await;
    change(
        &world,
        &add_member(&group(5), &format!("CN=lonely,{people}")),
    );
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;

    // The same groups as the filter: everybody at or below level 6, directly or not.
    world.groups = vec![group(6)];
    let config = world.configure("", "safety: {max_removals: 0}");
    world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(world.users().await.len(), 2);
    let changes = [
        add_member(&group(7), &group(8)),
        add_member(&group(8), &group(6)),
        // The primary group does not count in the filter, but does as a membership.
        add_member(&group(9), &format!("CN=lonely,{people}")),
        replace(
            &format!("CN=lonely,{people}"),
            "primaryGroupID",
            &rid(&world, "level9"),
        ),
    ];
    change(&world, &changes.concat());
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;
    assert_eq!(world.users().await.len(), DEPTH - 6);
    world.dc.admin_ldapdelete(&[&group(9)]).unwrap_err();
    let back = replace(&format!("CN=lonely,{people}"), "primaryGroupID", "513");
    change(&world, &back);
    world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(world.users().await.len(), DEPTH - 5);
    world.dc.admin_ldapdelete(&[&group(9)]).unwrap();
    world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(world.users().await.len(), 3);
}
