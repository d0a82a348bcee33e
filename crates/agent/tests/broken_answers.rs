//! Every answer of a read goes wrong, one after the other and in every way: nobody is removed, the
//! session says why, and the next run converges (AT-1).

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "support/world.rs"]
mod world;

use std::path::Path;

use fake_world::{FAULTS, Fake, fill};
use rollcall_lab::fake_directory::{Door, Fault, Lasting, ObjectId};
use rollcall_proto::idp::SessionStatus;
use world::World;

async fn start() -> (Fake, Vec<ObjectId>, ObjectId) {
    let world = World::start_fake().await;
    let (users, group) = fill(&world, 30);
    world.dc.edit(|domain| {
        domain.policy.changes_per_page = 12;
        domain.policy.max_val_range = 20;
    });
    (world, users, group)
}

/// A bit of everything: an object appears, one disappears, one changes, members come and go.
fn change(world: &Fake, users: &[ObjectId], group: ObjectId, round: usize) {
    world.dc.edit(|domain| {
        let people = domain.people().unwrap();
        let name = format!("new{round}");
        let new = domain.add_user(&name, people).unwrap();
        domain.add_member(group, new).unwrap();
        let user = users[round % users.len()];
        if !domain.is_live(user) {
            return;
        }
        domain.set(user, "title", &[&name]).unwrap();
        domain.remove_member(group, user).unwrap();
        if round.is_multiple_of(3) {
            domain.delete(user).unwrap();
        }
    });
}

/// A run that meets a fault: it fails, says why, and changes nothing.
async fn fails(world: &Fake, config: &Path, why: &str, what: &str) {
    let before = world.found().await;
    let (code, summary) = world.once(config).await;
    assert_eq!(code, 1, "{what}: {summary:#}");
    let newest = &world.sessions().await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32, "{what}");
    assert!(
        newest.fail_reason.contains(why),
        "{what}: {}",
        newest.fail_reason
    );
    assert_eq!(world.found().await, before, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_01_every_answer_of_a_full_read_goes_wrong() {
    let (world, users, group) = start().await;
    let config = world.configure("", "streams: [objects]");
    world.run(&config).await;
    world.reset_token().await;
    world.dc.plan(None);
    world.run(&config).await;
    let answers = world.dc.answers();
    // The root entry, the controller, the filter, pages of changes, ranges of members.
    assert!(answers >= 8, "{answers}");
    for (round, (fault, why)) in FAULTS.into_iter().enumerate() {
        change(&world, &users, group, round);
        world.reset_token().await;
        for at in 1..=answers {
            world.dc.plan(Some((fault, at, Lasting::Always)));
            fails(
                &world,
                &config,
                why,
                &format!("{fault:?} at answer {at} of {answers}"),
            )
            .await;
        }
        world.dc.plan(None);
        let next = world.run(&config).await;
        assert_eq!(next["mode"], "full");
        world.assert_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_01_every_answer_of_a_delta_goes_wrong() {
    let (world, users, group) = start().await;
    world.dc.edit(|domain| domain.policy.changes_per_page = 2);
    // The rounds remove more than a day's share.
    let config = world.configure("", "streams: [objects]\nsafety: {max_removals: 0}");
    world.run(&config).await;
    change(&world, &users, group, 1);
    world.dc.plan(None);
    assert_eq!(world.run(&config).await["mode"], "delta");
    let answers = world.dc.answers();
    assert!(answers >= 7, "{answers}");
    let (mut round, mut recovered) = (2, 0);
    for (fault, why) in FAULTS {
        for at in 1..=answers {
            let what = format!("{fault:?} at answer {at} of {answers}");
            change(&world, &users, group, round);
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
            let reason = summary["reason"].as_str().unwrap();
            assert!(reason.contains(why), "{what}: {reason}");
            let newest = &world.sessions().await[0];
            assert_eq!(newest.status, SessionStatus::Failed as i32, "{what}");
            assert_eq!(world.found().await, before, "{what}");
            let next = world.run(&config).await;
            assert_eq!(next["mode"], "delta", "{what}");
            world.assert_equal().await;
        }
    }
    assert!(recovered > 0, "reads of changes are tried again");

    // One that lasts is not outlasted by trying again.
    change(&world, &users, group, round);
    world
        .dc
        .plan(Some((Fault::Cut, answers / 2, Lasting::Always)));
    fails(&world, &config, "directory", "a lasting cut").await;
    world.dc.plan(None);
    world.dc.set_door(Door::Closed);
    fails(&world, &config, "no secure channel", "a closed door").await;
    world.dc.set_door(Door::Open);
    world.run(&config).await;
    world.assert_equal().await;
}
