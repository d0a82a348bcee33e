//! What passes the brake and what does not.

use rollcall_kit::timestamp::Span;

use super::*;
use crate::engine::plan::{Cause, MembershipChange, Removal, UserUpdate};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

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
    Removals::of(&plan, &Index::default())
}

fn verdict(removals: &Removals, limit: Limit, before: &Removed) -> Result<(), String> {
    check(removals, limit, before, |guid| guid.to_string()).map_err(|stop| stop.to_string())
}

fn taken(removed: &mut Removed, removals: &Removals, at: Timestamp) {
    for loss in removals.losses(Limit::Default, at) {
        removed.add(loss);
    }
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
    let removals = Removals::of(&groups, &Index::default());
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
        let removals = Removals::of(&plan, &Index::default());
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
    let removals = Removals::of(&plan, &Index::default());
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
        let removals = Removals::of(&plan, &Index::default());
        assert_eq!(removals, Removals::default());
    }
}

fn leaving(numbers: std::ops::Range<usize>, known: usize) -> Removals {
    let plan = Plan {
        user_removals: removals(numbers),
        users_known: known,
        ..Plan::default()
    };
    Removals::of(&plan, &Index::default())
}

#[test]
fn small_batches_of_a_day_count_together() {
    let mut removed = Removed::default();
    for (batch, hours) in [(leaving(0..10, 30), 1), (leaving(10..20, 20), 2)] {
        assert_eq!(verdict(&batch, Limit::Default, &removed), Ok(()));
        taken(&mut removed, &batch, NOW.plus(Span::hours(hours)));
    }
    let more = leaving(20..21, 10);
    let message = verdict(&more, Limit::Default, &removed).unwrap_err();
    assert_eq!(
        message,
        "21 of 30 users would leave (limit 20; 20 of them in the last 24 hours)"
    );
    assert_eq!(
        verdict(&leaving(0..0, 10), Limit::Default, &removed),
        Ok(()),
        "nothing more is taken away"
    );
    assert_eq!(
        verdict(&more, Limit::Default, &Removed::default()),
        Ok(()),
        "the next day begins anew"
    );
    assert!(
        verdict(&more, Limit::Count(20), &removed).is_ok(),
        "another limit begins anew"
    );
}

#[test]
fn what_is_tried_again_counts_once() {
    let mut removed = Removed::default();
    let batch = leaving(0..15, 30);
    taken(&mut removed, &batch, NOW);
    assert_eq!(verdict(&batch, Limit::Default, &removed), Ok(()));
    taken(&mut removed, &batch, NOW.plus(Span::hours(1)));
    assert_eq!(removed.len(), 15);
    assert_eq!(
        verdict(&leaving(10..20, 30), Limit::Default, &removed),
        Ok(())
    );
    assert!(verdict(&leaving(10..21, 30), Limit::Default, &removed).is_err());
}

#[test]
fn a_removal_counts_for_a_day() {
    let mut removed = Removed::default();
    taken(&mut removed, &leaving(0..10, 30), NOW);
    taken(&mut removed, &leaving(10..20, 30), NOW.plus(Span::hours(2)));
    let more = leaving(20..30, 30);
    for (at, left) in [
        (WINDOW.as_seconds() - 1, 20),
        (WINDOW.as_seconds(), 10),
        (WINDOW.as_seconds() + 7_199, 10),
        (WINDOW.as_seconds() + 7_200, 0),
    ] {
        removed.expire(NOW.plus(Span::seconds(at)));
        assert_eq!(removed.losses().count(), left, "{at}");
        let verdict = verdict(&more, Limit::Default, &removed);
        assert_eq!(verdict.is_ok(), left <= 10, "{at}: {verdict:?}");
    }
    assert!(removed.is_empty());
}

#[test]
fn a_clock_that_was_set_back_does_not_make_removals_count_for_ever() {
    let mut removed = Removed::default();
    taken(&mut removed, &leaving(0..20, 30), NOW.plus(Span::days(400)));
    removed.expire(NOW);
    assert_eq!(removed.len(), 20);
    assert!(verdict(&leaving(20..21, 30), Limit::Default, &removed).is_err());
    removed.expire(NOW.plus(WINDOW));
    assert!(removed.is_empty());
}

#[test]
fn without_a_limit_nothing_is_remembered() {
    let losses = leaving(0..50, 50);
    assert_eq!(losses.losses(Limit::Off, NOW).count(), 0);
}

#[test]
fn what_was_approved_passes_also_in_part_and_does_not_count() {
    let whole = removing(100, 100);
    let removed = Removed::default();
    let mut approved = Approved::default();
    let rest = approved.rest(whole.clone());
    assert!(verdict(&rest, Limit::Default, &removed).is_err());
    approved.add(&whole);
    assert!(approved.rest(whole).is_empty());
    assert!(
        approved.rest(removing(60, 100)).is_empty(),
        "the rest of it"
    );
    for (count, passes) in [(20, true), (21, false)] {
        let others = approved.rest(leaving(60..100 + count, 100));
        let verdict = verdict(&others, Limit::Default, &removed);
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
    let removals = Removals::of(&plan, &Index::default());
    let stop = check(&removals, Limit::Default, &Removed::default(), |guid| {
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
