//! An agent that is asked to end in the middle of a sweep of password hashes: what it delivered counts,
//! and the next one goes on from there.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;

use std::collections::HashSet;
use std::time::Instant;

use futures::{StreamExt as _, stream};
use rollcall_lab::samba::Fill;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{ChangeType, SessionStatus, SynchronizationSession};
use sign_in::*;
use states::{log_of, other_agent, spawn, wait_until};
use world::World;

const SESSIONS: &str = "AD_PASSWORD_HASH";
const USERS: u32 = 500;
const SIGN_INS_AT_ONCE: usize = 4;

/// Users who have the password of the directory.
async fn with_password(world: &World) -> u32 {
    let users = world.users().await;
    let with = users.iter().filter(|u| u.password_created_at.is_some());
    u32::try_from(with.count()).unwrap()
}

/// Hashes that the hub counted in this session.
fn counted(session: &SynchronizationSession) -> i64 {
    let entries = session.progress_entries.iter();
    let infos = entries.flat_map(|entry| &entry.change_info);
    let hashes = infos.filter(|info| info.change_type() == ChangeType::PasswordHashUpdate);
    hashes.map(|info| info.successful).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_was_asked_to_end_goes_on_at_the_next_start() {
    let fill = Fill {
        users: USERS,
        groups: 4,
        memberships: 20,
        seed: 29,
        big_group: false,
        difficulties: false,
    };
    let world = World::start(Some(fill)).await;
    let config = world.configure("", &drsr(&world));
    world
        .run(&other_agent(&world, &config, "objects", "objects"))
        .await;
    let hashes = other_agent(&world, &config, "hashes", "password_hashes");
    let mut starts = 0;
    let mut delivered = 0;
    // Twice in the middle of it, then to its end.
    for wanted in [50, 250, USERS] {
        let agent = spawn(&hashes);
        starts += 1;
        wait_until("some more have theirs", &world, async || {
            with_password(&world).await >= wanted
        })
        .await;
        let asked = Instant::now();
        assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&hashes));
        println!("ended {:?} after it was asked to", asked.elapsed());
        let now = with_password(&world).await;
        println!("{now} of {USERS} after start {starts}");
        assert!(now > delivered, "it goes on");
        assert_eq!(now == USERS, wanted == USERS, "in the middle");
        delivered = now;
    }

    // No hash was lost between two starts, and none was new twice.
    let sessions = world.sessions_of(SESSIONS).await;
    let sum: i64 = sessions.iter().map(counted).sum();
    assert_eq!(sum, i64::from(USERS), "{sessions:#?}");
    let open = sessions
        .iter()
        .filter(|session| session.status() == SessionStatus::Opened);
    assert_eq!(open.count(), 0, "no session is left open: {sessions:#?}");
    let active: HashSet<String> = world
        .users()
        .await
        .into_iter()
        .filter(|user| user.status() == Status::Active)
        .map(|user| user.username)
        .collect();
    let (world, active) = (&world, &active);
    let entries: Vec<_> = stream::iter(1..=USERS)
        .map(|number| async move {
            let name = format!("u{number:06}");
            // The hash of a suspended user came all the same, but is not let in.
            let expected = match active.contains(&format!("{name}@{}", world.domain())) {
                true => Entry::In,
                false => Entry::Refused,
            };
            let password = world.dc.password_of(number);
            let found = sign_in(world, &name, &password).await;
            (name, found, expected)
        })
        .buffer_unordered(SIGN_INS_AT_ONCE)
        .collect()
        .await;
    let mut signed_in = 0;
    for (name, found, expected) in entries {
        assert_eq!(found, expected, "{name}");
        signed_in += u32::from(found == Entry::In);
    }
    println!("{signed_in} signed in");
    assert!(signed_in > USERS / 2, "{signed_in}");
}
