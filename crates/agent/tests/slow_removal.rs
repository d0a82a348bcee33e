//! A script that deletes slowly: what the sessions of a day remove counts together, across restarts
//! of the service; the rest is listed, and a person can let it pass.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "support/world.rs"]
mod world;

use fake_world::{Fake, fill};
use rollcall_lab::fake_directory::ObjectId;
use rollcall_proto::idp::SessionStatus;
use serde_json::Value as Json;
use world::World;

const USERS: usize = 60;
/// Deleted in one session.
const PART: usize = 8;

/// One after the other, so that a service at work sees them in several increments.
async fn delete(world: &Fake, users: &[ObjectId]) {
    for user in users {
        world.dc.edit(|domain| domain.delete(*user).unwrap());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_deletion_over_several_sessions_is_stopped() {
    let world = World::start_fake().await;
    let (users, _) = fill(&world, USERS);
    let config = world.configure("", "streams: [objects]");
    world.run(&config).await;
    world.assert_equal().await;
    // The limit is 20; no session comes near it.
    for part in users[..2 * PART].chunks(PART) {
        let service = world.spawn(&config, &["--now"]);
        let before = world.users().await.len();
        delete(&world, part).await;
        world.wait_users_exactly(before - PART).await;
        assert_eq!(service.terminate().await, Some(0), "{}", world.log());
    }
    let left = world.users().await.len();
    assert_eq!(left, USERS - 2 * PART);

    let third = &users[2 * PART..3 * PART];
    world.dc.edit(|domain| {
        for user in third {
            domain.delete(*user).unwrap();
        }
    });
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1, "{summary:#}");
    let reason = summary["reason"].as_str().unwrap();
    let what = "24 of 60 users would leave (limit 20; 16 of them in the last 24 hours)";
    assert!(reason.starts_with(what), "{reason}");
    let newest = &world.sessions().await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32);
    assert_eq!(world.users().await.len(), left);

    // The rest is listed, in a comparison of everything as well.
    let listed = |summary: &Json| {
        let plan = &summary["refused_plan"];
        let text = std::fs::read_to_string(plan["file"].as_str().unwrap()).unwrap();
        assert_eq!(
            text.matches("\"change\":\"delete\"").count(),
            PART,
            "{text}"
        );
        plan["hash"].as_str().unwrap().to_owned()
    };
    let hash = listed(&summary);
    let dry = world.agent(&config, &["--dry-run", "-o", "json"]).await;
    assert_eq!(dry.status.code(), Some(1));
    let dry: Json = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(dry["plan"], hash.as_str(), "{dry:#}");
    assert_eq!(dry["refused"], what, "{dry:#}");
    world.reset_token().await;
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1, "{summary:#}");
    assert_eq!(listed(&summary), hash);

    let approved = world.agent(&config, &["approve", &hash]).await;
    assert_eq!(approved.status.code(), Some(0));
    let run = world.run(&config).await;
    assert_eq!(run["users"]["removed"], PART, "{run:#}");
    world.assert_equal().await;
    // The share of the day is as it was: 16 of 20.
    let fourth = &users[3 * PART..3 * PART + 4];
    delete(&world, fourth).await;
    world.run(&config).await;
    world.assert_equal().await;
    delete(&world, &users[4 * PART..=4 * PART]).await;
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1, "{summary:#}");
    assert!(summary["reason"].as_str().unwrap().starts_with("21 of 60"));
}
