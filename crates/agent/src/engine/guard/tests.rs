//! What passes the brake and what does not.

use super::*;
use crate::engine::plan::{Cause, MembershipChange, Removal, UserUpdate};

fn guid(number: usize) -> Guid {
    Guid::from_number(number as u128)
}

fn removals(numbers: std::ops::Range<usize>) -> Vec<Removal> {
    let removal = |number| Removal {
        guid: guid(number),
        cause: Cause::Deleted,
    };
    numbers.map(removal).collect()
}

fn removing(users: usize, known: usize) -> Removals {
    let plan = Plan {
        user_removals: removals(0..users),
        users_known: known,
        ..Plan::default()
    };
    Removals::of(&plan, &Index::default(), RemoveUserBehavior::Remove)
}

fn verdict(removals: &Removals, limit: Limit, before: &Removed) -> Result<(), String> {
    check(removals, &Index::default(), limit, before).map_err(|stop| stop.to_string())
}

#[test]
fn the_default_is_twenty_or_twenty_percent() {
    for (users, known, passes) in [
        (0, 0, true),
        (20, 20, true),
        (21, 21, false),
        (21, 105, true),
        (200, 1_000, true),
        (201, 1_000, false),
    ] {
        let verdict = verdict(&removing(users, known), Limit::Default, &Removed::default());
        assert_eq!(verdict.is_ok(), passes, "{users} of {known}: {verdict:?}");
    }
}

#[test]
fn an_own_limit_and_none() {
    let none = Removed::default();
    for (users, limit, passes) in [
        (5, Limit::Count(4), false),
        (5, Limit::Count(5), true),
        (1_000, Limit::Off, true),
    ] {
        let verdict = verdict(&removing(users, 1_000), limit, &none);
        assert_eq!(verdict.is_ok(), passes, "{users} under {limit:?}");
    }
}

#[test]
fn each_kind_has_its_own_count() {
    let none = Removed::default();
    let groups = Plan {
        user_removals: removals(0..20),
        group_removals: removals(100..121),
        users_known: 20,
        groups_known: 21,
        ..Plan::default()
    };
    let removals = Removals::of(&groups, &Index::default(), RemoveUserBehavior::Remove);
    let message = verdict(&removals, Limit::Default, &none).unwrap_err();
    assert_eq!(message, "21 of 21 groups would leave (limit 20)");
    let suspended = Removals::of_suspensions((0..31).map(guid), 100);
    let message = verdict(&suspended, Limit::Default, &none).unwrap_err();
    assert_eq!(message, "31 of 100 users would be suspended (limit 20)");
    let members = |of: usize| Plan {
        memberships: vec![MembershipChange {
            group: guid(7),
            add: Vec::new(),
            remove: (0..of).map(guid).collect(),
        }],
        ..Plan::default()
    };
    for (count, passes) in [(20, true), (21, false)] {
        let plan = members(count);
        let removals = Removals::of(&plan, &Index::default(), RemoveUserBehavior::Remove);
        let verdict = verdict(&removals, Limit::Default, &none);
        assert_eq!(verdict.is_ok(), passes, "{count}: {verdict:?}");
    }
}

#[test]
fn a_membership_that_ends_with_its_user_counts_as_the_user() {
    let plan = Plan {
        user_removals: removals(0..20),
        users_known: 20,
        memberships: vec![MembershipChange {
            group: guid(7),
            add: Vec::new(),
            remove: (0..21).map(guid).collect(),
        }],
        ..Plan::default()
    };
    let removals = Removals::of(&plan, &Index::default(), RemoveUserBehavior::Block);
    assert_eq!(
        verdict(&removals, Limit::Default, &Removed::default()),
        Ok(())
    );
}

#[test]
fn what_the_hub_has_suspended_already_and_reactivations_do_not_count() {
    // An index without hub sides knows nobody to be active.
    for activation in [Activation::Suspend, Activation::Reactivate] {
        let update = |number| UserUpdate {
            guid: guid(number),
            values: false,
            activation: Some(activation),
        };
        let plan = Plan {
            user_updates: (0..50).map(update).collect(),
            users_known: 50,
            ..Plan::default()
        };
        let removals = Removals::of(&plan, &Index::default(), RemoveUserBehavior::Remove);
        assert_eq!(removals, Removals::default());
    }
}

#[test]
fn small_batches_of_one_session_count_together() {
    let mut removed = Removed::default();
    let nothing_left = Index::default();
    for known in [30, 20] {
        let batch = removing(10, known);
        assert_eq!(verdict(&batch, Limit::Default, &removed), Ok(()));
        removed.count(&batch, &nothing_left);
    }
    let message = verdict(&removing(1, 10), Limit::Default, &removed).unwrap_err();
    assert!(message.contains("21 of 30 users"), "{message}");
    assert_eq!(
        verdict(&removing(0, 10), Limit::Default, &removed),
        Ok(()),
        "nothing more is taken away"
    );
    assert_eq!(
        verdict(&removing(1, 10), Limit::Default, &Removed::default()),
        Ok(()),
        "the next session begins anew"
    );
}

#[test]
fn what_was_approved_passes_also_in_part_and_does_not_count() {
    let (whole, nothing_left) = (removing(100, 100), Index::default());
    let mut removed = Removed::default();
    assert!(verdict(&whole, Limit::Default, &removed).is_err());
    removed.approve(&whole);
    assert_eq!(verdict(&whole, Limit::Default, &removed), Ok(()));
    removed.count(&whole, &nothing_left);
    assert_eq!(
        verdict(&removing(60, 100), Limit::Default, &removed),
        Ok(()),
        "the rest of what was approved"
    );
    let others = |count: usize| Plan {
        user_removals: removals(100..100 + count),
        users_known: 100,
        ..Plan::default()
    };
    for (count, passes) in [(20, true), (21, false)] {
        let plan = others(count);
        let removals = Removals::of(&plan, &nothing_left, RemoveUserBehavior::Remove);
        let verdict = verdict(&removals, Limit::Default, &removed);
        assert_eq!(verdict.is_ok(), passes, "{count} others: {verdict:?}");
    }
}

#[test]
fn a_message_names_a_few() {
    let mut memberships = Vec::new();
    for group in 0..5 {
        memberships.push(MembershipChange {
            group: guid(1_000 + group),
            add: Vec::new(),
            remove: (0..30).map(guid).collect(),
        });
    }
    let plan = Plan {
        memberships,
        user_removals: removals(40..80),
        users_known: 90,
        ..Plan::default()
    };
    let removals = Removals::of(&plan, &Index::default(), RemoveUserBehavior::Remove);
    let stop = judge(&removals, Limit::Default, &Removed::default(), |guid| {
        format!("<{guid}>")
    })
    .unwrap_err();
    let text = stop.headline();
    assert!(text.starts_with("40 of 90 users would leave (limit 20), 30 of 0 members"));
    assert!(
        text.ends_with("2 more groups would lose as large a part"),
        "{text}"
    );
    assert!(stop.examples().starts_with(&format!("<{}>; ", guid(40))));
}
