//! Every answer of a read of account states goes wrong, one after the other and in every way: nobody
//! is suspended or let in, the session says why, and the next run converges (AT-1).

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "support/world.rs"]
mod world;

use std::path::{Path, PathBuf};

use fake_world::{FAULTS, Fake, fill};
use rollcall_lab::fake_directory::{Door, Fault, Lasting, ObjectId};
use rollcall_proto::idp::SessionStatus;
use serde_json::Value as Json;
use world::World;

const USERS: usize = 30;
/// Users whose state changes in a round: as many are disabled as are enabled.
const PER_ROUND: usize = 3;
const ENABLED: &str = "512";
const DISABLED: &str = "514";
/// 100 ns since 1601: 2100-01-01, and never.
const ENDS: [&str; 2] = ["157469184000000000", "9223372036854775807"];

/// Everybody is synchronized; the configuration that is returned is for the account states only.
async fn start() -> (Fake, Vec<ObjectId>, PathBuf) {
    let world = World::start_fake().await;
    let (users, _) = fill(&world, USERS);
    set(&world, &of(&users, 0), DISABLED);
    let config = world.configure("", "streams: [objects]");
    world.run(&config).await;
    world.assert_equal().await;
    // The rounds disable more than a day's share.
    let config = world.configure("", "streams: [account_state]\nsafety: {max_removals: 0}");
    state(&world, &config).await;
    world.assert_equal().await;
    (world, users, config)
}

fn of(users: &[ObjectId], round: usize) -> Vec<ObjectId> {
    let at = round * PER_ROUND;
    (at..at + PER_ROUND)
        .map(|at| users[at % users.len()])
        .collect()
}

fn set(world: &Fake, users: &[ObjectId], control: &str) {
    world.dc.edit(|domain| {
        for user in users {
            domain.set(*user, "userAccountControl", &[control]).unwrap();
        }
    });
}

/// Some are disabled, as many are enabled, one gets another end.
fn turn(world: &Fake, users: &[ObjectId], round: usize) {
    set(world, &of(users, round), ENABLED);
    set(world, &of(users, round + 1), DISABLED);
    world.dc.edit(|domain| {
        let user = of(users, round + 2)[0];
        let end = ENDS[round % ENDS.len()];
        domain.set(user, "accountExpires", &[end]).unwrap();
    });
}

/// A run that must succeed.
async fn state(world: &Fake, config: &Path) -> Json {
    let (code, summary) = world.once(config).await;
    assert_eq!(code, 0, "{summary:#}");
    let state = summary["streams"]["account_state"].clone();
    assert_eq!(state["outcome"], "completed", "{summary:#}");
    state
}

/// What a run left that failed: everything as it was `before`, and the reason.
async fn failed(world: &Fake, summary: &Json, before: &rollcall_lab::oracle::State, why: &str) {
    let state = &summary["streams"]["account_state"];
    assert_eq!(state["outcome"], "failed", "{summary:#}");
    let reason = state["reason"].as_str().unwrap();
    assert!(reason.contains(why), "{why}: {reason}");
    let newest = &world.sessions_of("AD_USER_CONTROL").await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32, "{why}");
    assert!(newest.fail_reason.contains(why), "{}", newest.fail_reason);
    for change in ["activated", "deactivated", "updated"] {
        assert_eq!(state["users"][change], 0, "{summary:#}");
    }
    assert_eq!(world.found().await, *before, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_01_every_answer_of_a_comparison_of_all_accounts_goes_wrong() {
    let (world, users, config) = start().await;
    world.dc.edit(|domain| domain.policy.changes_per_page = 8);
    world.reset_token().await;
    world.dc.plan(None);
    assert_eq!(state(&world, &config).await["mode"], "full");
    let answers = world.dc.answers();
    // The root entry, the controller, pages of accounts.
    assert!(answers >= 6, "{answers}");
    for (round, (fault, why)) in FAULTS.into_iter().enumerate() {
        turn(&world, &users, round);
        world.reset_token().await;
        for at in 1..=answers {
            println!("{fault:?} at answer {at} of {answers}");
            let before = world.found().await;
            world.dc.plan(Some((fault, at, Lasting::Always)));
            let (code, summary) = world.once(&config).await;
            assert_eq!(code, 1, "{summary:#}");
            failed(&world, &summary, &before, why).await;
        }
        world.dc.plan(None);
        let next = state(&world, &config).await;
        assert_eq!(next["mode"], "full");
        let users = &next["users"];
        let done = [&users["deactivated"], &users["activated"]];
        assert_eq!(done, [PER_ROUND, PER_ROUND], "{next:#}");
        world.assert_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_01_every_answer_of_the_changes_of_accounts_goes_wrong() {
    let (world, users, config) = start().await;
    world.dc.edit(|domain| domain.policy.changes_per_page = 2);
    turn(&world, &users, 0);
    world.dc.plan(None);
    assert_eq!(state(&world, &config).await["mode"], "delta");
    let answers = world.dc.answers();
    // The root entry, the controller, pages of changes, the accounts afresh.
    assert!(answers >= 6, "{answers}");
    let (mut round, mut recovered) = (1, 0);
    for (fault, why) in FAULTS {
        for at in 1..=answers {
            println!("{fault:?} at answer {at} of {answers}");
            turn(&world, &users, round);
            round += 1;
            let before = world.found().await;
            world.dc.plan(Some((fault, at, Lasting::Once)));
            let (code, summary) = world.once(&config).await;
            world.dc.plan(None);
            if code == 0 {
                // It asked again by itself.
                recovered += 1;
                world.assert_equal().await;
                continue;
            }
            failed(&world, &summary, &before, why).await;
            let next = state(&world, &config).await;
            assert_eq!(next["mode"], "delta");
            world.assert_equal().await;
        }
    }
    assert!(recovered > 0, "reads of changes are tried again");

    // One that lasts is not outlasted by trying again.
    turn(&world, &users, round);
    let before = world.found().await;
    let lasting = Some((Fault::Cut, answers / 2, Lasting::Always));
    world.dc.plan(lasting);
    let (_, summary) = world.once(&config).await;
    failed(&world, &summary, &before, "directory").await;
    world.dc.plan(None);
    world.dc.set_door(Door::Closed);
    let (_, summary) = world.once(&config).await;
    failed(&world, &summary, &before, "no secure channel").await;
    world.dc.set_door(Door::Open);
    state(&world, &config).await;
    world.assert_equal().await;
}
