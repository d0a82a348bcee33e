//! The engine: who is a member of which group, whatever the hub hides and the directory does not show.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use std::collections::{BTreeMap, BTreeSet};

use directory::*;
use rollcall_agent::engine::index::{Body, HubGroup, HubUser, Index};
use rollcall_agent::engine::object::{Change, DirectoryObject};
use rollcall_agent::engine::plan::{NestedGroups, RemoveUserBehavior, Rules, Stop, plan};
use rollcall_agent::engine::scope::Scope;

#[test]
fn members_of_filter_groups_count_nested_and_in_cycles() {
    let mut objects = tree();
    objects.extend([
        user(10, STAFF),
        user(11, STAFF),
        user(12, STAFF),
        group(20, OUTSIDE, &[21, 10]),
        group(21, OUTSIDE, &[20, 11]),
    ]);
    let scope = Scope {
        units: BTreeSet::from([guid(STAFF)]),
        groups: BTreeSet::from([guid(20)]),
    };
    let index = index_of(objects);
    let first = plan(&index, &scope, &rules()).unwrap();
    assert_eq!(first.user_creates, [guid(10), guid(11)]);
    assert!(first.group_creates.is_empty());
}

#[test]
fn an_unreadable_inner_group_removes_nobody() {
    let scope = Scope {
        groups: BTreeSet::from([guid(20)]),
        ..staff_only()
    };
    let objects = |inner: Option<DirectoryObject>| -> Vec<DirectoryObject> {
        let outer = group(20, STAFF, &[21]);
        let all = tree().into_iter().chain([user(10, STAFF), outer]);
        all.chain(inner).collect()
    };
    // The inner group is outside the units of the filter, so the hub does not have it.
    let index = synchronized(objects(Some(group(21, OUTSIDE, &[10]))), &scope);
    let (users, groups) = listing(&index);
    let mut partial = index_of(objects(None));
    partial.set_hub(users, groups);
    assert_eq!(partial.missing_members(), [guid(21)]);
    assert!(matches!(
        plan(&partial, &scope, &rules()),
        Err(Stop::Vanished { .. })
    ));
    see(&mut partial, group(21, OUTSIDE, &[]));
    let made = plan(&partial, &scope, &rules()).unwrap();
    assert_eq!(made.user_removals.len(), 1, "{made:?}");

    let flatten = Rules {
        nested_groups: NestedGroups::Flatten,
        ..rules()
    };
    let mut index = synchronized(objects(Some(group(21, OUTSIDE, &[10]))), &staff_only());
    index.members_changed(guid(20), &[guid(10)], &[]);
    assert!(plan(&index, &staff_only(), &flatten).unwrap().is_empty());
    index.apply(Change::Missing(guid(21)), &mapping());
    assert!(plan(&index, &staff_only(), &flatten).unwrap().is_empty());
    index.apply(
        Change::Seen(Box::new(group(21, OUTSIDE, &[10]))),
        &mapping(),
    );
    index.apply(Change::Deleted(guid(21)), &mapping());
    let made = plan(&index, &staff_only(), &flatten).unwrap();
    assert_eq!(made.memberships[0].remove, [guid(10)], "{made:?}");
}

/// What the hub of a synchronized index lists.
fn listing(index: &Index) -> (Vec<HubUser>, Vec<HubGroup>) {
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for (guid, record) in index.iter() {
        let Some(hub) = &record.hub else { continue };
        let id = hub.id.clone();
        match record.body() {
            Body::User { values, .. } => users.push(HubUser {
                guid,
                id,
                values: values.unwrap(),
                enabled: Some(true),
            }),
            Body::Group { values, .. } => groups.push(HubGroup {
                guid,
                id,
                values: values.unwrap(),
                member_ids: index
                    .hub_members(guid)
                    .map(|member| index.hub_id(member).unwrap().into())
                    .collect(),
            }),
            Body::Container => {}
        }
    }
    (users, groups)
}

#[test]
fn flatten_resolves_inner_groups_and_cycles() {
    let mut objects = tree();
    objects.extend([
        user(10, STAFF),
        user(11, STAFF),
        group(20, STAFF, &[21, 10]),
        group(21, STAFF, &[20, 11]),
    ]);
    let index = index_of(objects);
    let direct = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(direct.memberships_in_scope, 2);
    let flat = Rules {
        nested_groups: NestedGroups::Flatten,
        ..rules()
    };
    let flat = plan(&index, &staff_only(), &flat).unwrap();
    assert_eq!(flat.memberships_in_scope, 4);
}

#[test]
fn the_primary_group_counts_as_a_membership() {
    let mut member = user(10, STAFF);
    member.primary_group_rid = Some(1_105);
    let mut team = group(20, STAFF, &[]);
    team.rid = Some(1_105);
    let index = index_of(tree().into_iter().chain([member, team]));
    let first = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(first.memberships[0].add, [guid(10)]);
}

#[test]
fn a_membership_that_was_hidden_is_taken_back_once_the_user_is_active_again() {
    let objects = || {
        tree()
            .into_iter()
            .chain([user(10, STAFF), user(11, STAFF), group(20, STAFF, &[11])])
    };
    let listed = |number: u128, enabled| HubUser {
        guid: guid(number),
        id: format!("aje{number}").into(),
        values: mapping().user(&user(number, STAFF)).unwrap(),
        enabled,
    };
    let mut index = index_of(objects());
    index.set_hub(
        vec![listed(10, Some(false)), listed(11, Some(false))],
        vec![HubGroup {
            guid: guid(20),
            id: "aje20".into(),
            values: mapping().group(&group(20, STAFF, &[])).unwrap(),
            member_ids: Vec::new(),
        }],
    );
    assert_eq!(index.inactive_users(), BTreeSet::from([guid(10), guid(11)]));
    index.activated(guid(10), true);
    assert!(index.is_active(guid(10)));
    index.members_changed(guid(20), &[guid(11)], &[]);

    // Now the hub lists user 10 as a member; user 11, still suspended, stays as it was known.
    let present = BTreeMap::from([(guid(20), vec!["aje10".into(), "local".into()])]);
    index.set_members(&present);
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(made.memberships.len(), 1);
    assert_eq!(made.memberships[0].remove, [guid(10)]);
    assert_eq!(made.memberships[0].add, []);
}

#[test]
fn memberships_of_suspended_users_are_remembered_because_the_hub_hides_them() {
    let mut disabled = user(10, STAFF);
    disabled.user_account_control = 514;
    let objects = || {
        tree()
            .into_iter()
            .chain([disabled.clone(), group(20, STAFF, &[10])])
    };
    let before = synchronized(objects().collect(), &staff_only());
    let mut index = index_of(objects());
    index.set_hub(
        vec![HubUser {
            guid: guid(10),
            id: format!("hub-{}", guid(10)).into(),
            values: mapping().user(&disabled).unwrap(),
            enabled: Some(false),
        }],
        vec![HubGroup {
            guid: guid(20),
            id: format!("hub-{}", guid(20)).into(),
            values: mapping().group(&group(20, STAFF, &[])).unwrap(),
            member_ids: Vec::new(),
        }],
    );
    let without = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(without.memberships[0].add, [guid(10)]);
    index.remember(&before);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
}

#[test]
fn members_of_the_hub_that_are_not_ours_stay() {
    let mut index = index_of(
        tree()
            .into_iter()
            .chain([user(10, STAFF), group(20, STAFF, &[])]),
    );
    index.set_hub(
        vec![HubUser {
            guid: guid(10),
            id: "aje10".into(),
            values: mapping().user(&user(10, STAFF)).unwrap(),
            enabled: Some(true),
        }],
        vec![HubGroup {
            guid: guid(20),
            id: "aje20".into(),
            values: mapping().group(&group(20, STAFF, &[])).unwrap(),
            member_ids: vec!["aje10".into(), "somebody-local".into()],
        }],
    );
    let found = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(found.memberships.len(), 1);
    assert_eq!(found.memberships[0].remove, [guid(10)]);
}

#[test]
fn members_that_are_not_shown_are_kept_unless_they_were_reported_to_leave() {
    let mut index = index_of(tree().into_iter().chain([group(20, STAFF, &[10])]));
    let mut hidden = group(20, STAFF, &[]);
    assert!(index.keep_unreported_members(&mut hidden));
    assert_eq!(hidden.members, [guid(10)]);
    let mut shown = group(20, STAFF, &[11]);
    assert!(!index.keep_unreported_members(&mut shown));
    assert_eq!(shown.members, [guid(11)]);
    assert!(!index.keep_unreported_members(&mut group(21, STAFF, &[])));
    assert!(!index.keep_unreported_members(&mut user(20, STAFF)));
    // A group that comes back from the deleted ones has lost them.
    index.apply(Change::Deleted(guid(20)), &mapping());
    assert!(!index.keep_unreported_members(&mut group(20, STAFF, &[])));
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
