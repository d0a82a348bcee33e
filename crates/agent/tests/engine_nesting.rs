//! Groups inside groups: as members, and in the groups of the filter.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/directory.rs"]
mod directory;

use std::collections::BTreeSet;

use directory::*;
use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::Index;
use rollcall_agent::engine::object::{Change, DirectoryObject};
use rollcall_agent::engine::plan::{
    Cause, NestedGroups, Plan, RemoveUserBehavior, Rules, Stop, plan,
};
use rollcall_agent::engine::scope::{Scope, nested_members};

const FIRST: u128 = 100;

fn flatten() -> Rules {
    Rules {
        nested_groups: NestedGroups::Flatten,
        ..rules()
    }
}

fn added(plan: &Plan, group: u128) -> Vec<Guid> {
    let mut changes = plan.memberships.iter();
    let change = changes.find(|change| change.group == guid(group));
    change.map_or_else(Vec::new, |change| change.add.clone())
}

/// `depth` groups, each inside the one before, and each with one user of its own.
fn chain(depth: u128, place: impl Fn(u128) -> u128) -> Vec<DirectoryObject> {
    let mut objects = tree();
    for level in 0..depth {
        let (own, inner) = (1_000 + level, FIRST + level + 1);
        objects.push(user(own, STAFF));
        let members: &[u128] = if level + 1 < depth {
            &[own, inner]
        } else {
            &[own]
        };
        objects.push(group(FIRST + level, place(level), members));
    }
    objects
}

#[test]
fn at_09_twenty_levels_are_flattened_also_across_the_border_of_the_scope() {
    let place = |level: u128| {
        if level.is_multiple_of(2) {
            STAFF
        } else {
            OUTSIDE
        }
    };
    let index = index_of(chain(20, place));
    let flat = plan(&index, &staff_only(), &flatten()).unwrap();
    assert_eq!(flat.groups_in_scope, 10);
    assert_eq!(added(&flat, FIRST).len(), 20);
    assert_eq!(added(&flat, FIRST + 18).len(), 2);
    assert_eq!(flat.inner_groups_ignored, 0);
    let direct = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(added(&direct, FIRST), [guid(1_000)]);
    assert_eq!(direct.inner_groups_ignored, 10);

    let scope = Scope {
        groups: BTreeSet::from([guid(FIRST + 5)]),
        ..staff_only()
    };
    let chosen = plan(&index, &scope, &rules()).unwrap();
    assert_eq!(chosen.users_in_scope, 15);
}

/// Levels of two groups each, where both of a level contain both of the next: the number of ways
/// down doubles with each level, that of the links does not.
fn lattice(levels: u128) -> (Index, usize) {
    let mut objects = tree();
    let mut links = 0;
    for level in 0..levels {
        let (left, right) = (FIRST + 2 * level, FIRST + 2 * level + 1);
        let own = 10_000 + level;
        objects.push(user(own, STAFF));
        let members: &[u128] = if level + 1 < levels {
            &[left + 2, right + 2, own]
        } else {
            // Back to the top: a circle over everything.
            &[FIRST, own]
        };
        links += 2 * members.len();
        objects.push(group(left, STAFF, members));
        objects.push(group(right, STAFF, members));
    }
    (index_of(objects), links)
}

#[test]
fn at_09_every_link_is_followed_once_however_many_ways_lead_to_it() {
    for levels in [10, 100, 1_000] {
        let (index, links) = lattice(levels);
        let below = nested_members(&index, &BTreeSet::from([guid(FIRST)]));
        // All groups but the other one of the top level, which nobody contains.
        assert_eq!(below.links, links - 3, "{levels} levels");
        assert_eq!(below.groups.len() as u128, 2 * levels - 1);
        assert!(!below.has_gaps);
        let scope = Scope {
            groups: BTreeSet::from([guid(FIRST)]),
            ..staff_only()
        };
        let made = plan(&index, &scope, &rules()).unwrap();
        assert_eq!(made.users_in_scope as u128, levels);
        assert_eq!(made.links_followed, links, "{levels} levels");
    }
}

#[test]
fn at_09_a_circle_gives_both_groups_the_members_of_both() {
    let mut objects = tree();
    objects.extend([
        user(10, STAFF),
        user(11, STAFF),
        group(20, STAFF, &[21, 10, 20]),
        group(21, STAFF, &[20, 11]),
    ]);
    let mut index = synchronized(objects, &staff_only());
    let flat = plan(&index, &staff_only(), &flatten()).unwrap();
    assert_eq!(added(&flat, 20), [guid(11)]);
    assert_eq!(added(&flat, 21), [guid(10)]);
    carry_out(&mut index, &flat, flatten().remove_user_behavior);
    assert!(
        plan(&index, &staff_only(), &flatten()).unwrap().is_empty(),
        "nothing is left to do"
    );
    // The circle is cut: each keeps its own.
    see(&mut index, group(21, STAFF, &[11]));
    let cut = plan(&index, &staff_only(), &flatten()).unwrap();
    assert_eq!(cut.memberships.len(), 1);
    assert_eq!(cut.memberships.first().unwrap().remove, [guid(10)]);
}

#[test]
fn a_primary_group_inside_another_brings_its_people_along_when_flattened() {
    let mut member = user(10, STAFF);
    member.primary_group_rid = Some(1_105);
    // As Domain Users: never synchronized itself.
    let mut primary = group(21, STAFF, &[]);
    primary.rid = Some(1_105);
    primary.critical = true;
    let outer = group(20, STAFF, &[21]);
    let index = index_of(tree().into_iter().chain([member, primary, outer]));
    let direct = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!((direct.groups_in_scope, added(&direct, 20)), (1, vec![]));
    let flat = plan(&index, &staff_only(), &flatten()).unwrap();
    assert_eq!(added(&flat, 20), [guid(10)]);

    // In a group of the filter the primary group does not count (decision U49).
    let scope = Scope {
        groups: BTreeSet::from([guid(20)]),
        ..staff_only()
    };
    let chosen = plan(&index, &scope, &flatten()).unwrap();
    assert_eq!(chosen.users_in_scope, 0);
}

#[test]
fn groups_out_of_scope_go_and_users_follow_the_rule() {
    use rollcall_agent::engine::plan::RemoveUserBehavior::{Block, Remove};
    for (behavior, kept) in [(Remove, false), (Block, true)] {
        let mut objects = tree();
        objects.extend([user(10, STAFF), group(20, STAFF, &[10])]);
        let mut index = synchronized(objects, &staff_only());
        see(&mut index, user(10, OUTSIDE));
        see(&mut index, group(20, OUTSIDE, &[10]));
        let rules = Rules {
            remove_user_behavior: behavior,
            ..rules()
        };
        let left = plan(&index, &staff_only(), &rules).unwrap();
        assert_eq!(
            (left.user_removals.len(), left.group_removals.len()),
            (1, 1)
        );
        carry_out(&mut index, &left, behavior);
        assert_eq!(index.hub_id(guid(10)).is_some(), kept);
        assert_eq!(index.hub_id(guid(20)), None);
        assert!(plan(&index, &staff_only(), &rules).unwrap().is_empty());
    }
}

#[test]
fn a_member_of_another_domain_is_no_gap() {
    let scope = Scope {
        groups: BTreeSet::from([guid(FIRST)]),
        ..staff_only()
    };
    let (foreign, leaver, stayer) = (500, 10, 11);
    let objects = tree().into_iter().chain([
        user(leaver, STAFF),
        user(stayer, STAFF),
        group(FIRST, STAFF, &[leaver, stayer, foreign]),
    ]);
    let mut index = index_of(objects);
    let elsewhere = Change::Elsewhere(guid(foreign), "CN=f,DC=other".into());
    index.apply(elsewhere.clone(), &mapping());
    let first = plan(&index, &scope, &rules()).unwrap();
    assert_eq!(first.users_in_scope, 2);
    carry_out(&mut index, &first, RemoveUserBehavior::Remove);

    see(&mut index, group(FIRST, STAFF, &[stayer, foreign]));
    assert!(index.missing_members().is_empty());
    let second = plan(&index, &scope, &rules()).unwrap();
    let removals: Vec<Guid> = second.user_removals.iter().map(|gone| gone.guid).collect();
    assert_eq!(removals, [guid(leaver)]);
    assert_eq!(second.user_removals[0].cause, Cause::OutOfScope);
    // One that may be a group of this domain is a gap all the same.
    see(&mut index, group(FIRST, STAFF, &[stayer, foreign, 501]));
    assert!(matches!(
        plan(&index, &scope, &rules()),
        Err(Stop::Vanished { .. })
    ));

    // It moves in: what the domain shows counts, whatever an old link says.
    see(&mut index, group(FIRST, STAFF, &[leaver, stayer, foreign]));
    see(&mut index, user(foreign, STAFF));
    index.apply(elsewhere, &mapping());
    let moved = plan(&index, &scope, &rules()).unwrap();
    assert_eq!(moved.user_creates, [guid(foreign)]);
}
