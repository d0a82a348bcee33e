//! Several agents of one pool: one works, the others wait, and one of them takes over.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/agents.rs"]
mod agents;
#[path = "support/change.rs"]
mod change;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use agents::*;
use change::*;
use proxy::Way;
use rollcall_client::{CallContext, ErrorKind};
use rollcall_proto::idp::{
    ChangeType, RelatedObjectType, SessionStatus, SuspendUserRequest, SynchronizationSession,
};
use tokio::time::Instant;
use tonic::Code;
use world::World;

/// Promised beyond the end of the lease.
const TAKEOVER_SECONDS_MAX: f64 = 10.0;
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

fn people_unit() -> String {
    format!("OU=People,{BASE}")
}

fn add(world: &World, login: &str) {
    let change = new_user(login, &people_unit());
    world.dc.admin_ldapmodify(&change).unwrap();
}

/// Users that sessions say they made.
fn users_made(sessions: &[SynchronizationSession]) -> i64 {
    let made = |session| counter(session, RelatedObjectType::User, ChangeType::Create).0;
    sessions.iter().map(made).sum()
}

/// The open session, once the hub was told of everything it made: what is killed before that takes
/// its last counters with it.
async fn wait_counted(world: &World) -> SynchronizationSession {
    let users = world.users().await.len() as i64;
    let counted = |session: &SynchronizationSession| {
        is_open(session) && users_made(std::slice::from_ref(session)) == users
    };
    wait_session(world, "a session with all its counters", counted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_takes_over_from_one_that_was_killed_or_stopped() {
    let world = World::start_with(Some(people(60)), "{lease_seconds: 10}").await;
    let new = |name: &str| Agent::new(&world, name, &Ways::default(), "", "");
    let agents = [new("anna"), new("boris"), new("vera")];
    let mut running = Vec::new();
    for agent in &agents {
        running.push(Some(agent.spawn(&[])));
    }
    world.wait_equal().await;
    let first = wait_counted(&world).await;
    assert_eq!(
        object_sessions(&world).await.len(),
        1,
        "one runs, the others wait"
    );

    // Killed as by a power failure.
    let place = |id: &str| agents.iter().position(|agent| agent.name == id).unwrap();
    running[place(&first.agent_id)].take().unwrap().kill();
    let killed_at = Instant::now();
    add(&world, "newcomer");
    wait_login(&world, "newcomer").await;
    let expired = wait_session(&world, "its end", |s| s.session_id == first.session_id).await;
    let second = wait_session(&world, "a second session", is_open).await;
    assert_ne!(second.agent_id, first.agent_id);
    assert_eq!(expired.status(), SessionStatus::Expired);
    let late = seconds(second.created_at) - seconds(expired.expires_at);
    println!(
        "killed: the change arrived after {:.1} s, {late:.1} s after the end of the lease",
        killed_at.elapsed().as_secs_f64()
    );
    assert!((0.0..TAKEOVER_SECONDS_MAX).contains(&late), "{late}");

    // Stopped cleanly, long before its interval is over.
    world.wait_equal().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = running[place(&second.agent_id)].take().unwrap();
    let asked_at = Instant::now();
    assert_eq!(stopped.terminate().await, Some(0));
    add(&world, "late");
    wait_login(&world, "late").await;
    let third = wait_session(&world, "a third session", is_open).await;
    assert!(![&first.agent_id, &second.agent_id].contains(&&third.agent_id));
    let completed = wait_session(&world, "its end", |s| s.session_id == second.session_id).await;
    assert!(is_finished(&completed), "{completed:?}");
    println!(
        "stopped: the change arrived after {:.1} s",
        asked_at.elapsed().as_secs_f64()
    );
    let pause = seconds(third.created_at) - seconds(completed.closed_at);
    assert!(pause < TAKEOVER_SECONDS_MAX, "{pause}");

    world.wait_equal().await;
    let last = running[place(&third.agent_id)].take().unwrap();
    assert_eq!(last.terminate().await, Some(0));
    let sessions = object_sessions(&world).await;
    assert_eq!(
        users_made(&sessions),
        world.users().await.len() as i64,
        "no double work"
    );
    assert_eq!(sessions.len(), 3, "{sessions:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_network_stops_by_itself_and_what_it_sent_is_refused() {
    let world = World::start_with(Some(people(60)), "{lease_seconds: 20}").await;
    let wire = hub_wire(&world).await;
    let ways = Ways {
        hub: Some(&wire),
        ..Ways::default()
    };
    let anna = Agent::new(&world, "anna", &ways, "", "");
    let boris = Agent::new(&world, "boris", &Ways::default(), "", "");
    let first = anna.spawn(&[]);
    world.wait_equal().await;
    let stale = wait_counted(&world).await;
    let second = boris.spawn(&[]);

    wire.set(Way::Stalled);
    add(&world, "newcomer");
    let lost_at = Instant::now();
    while !anna.log().contains("the session was lost") {
        assert!(
            lost_at.elapsed() < Duration::from_secs(60),
            "{}",
            anna.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let newest = object_sessions(&world).await.remove(0);
    println!(
        "it stopped {:.1} s after the loss",
        lost_at.elapsed().as_secs_f64()
    );
    assert_eq!(
        newest.session_id, stale.session_id,
        "the lease had not ended"
    );
    assert_eq!(newest.status(), SessionStatus::Opened);
    wait_login(&world, "newcomer").await;
    println!(
        "the change arrived {:.1} s after the loss",
        lost_at.elapsed().as_secs_f64()
    );
    let taken = wait_session(&world, "a takeover", is_open).await;
    assert_eq!(taken.agent_id, "boris");
    world.wait_equal().await;

    // What was on its way arrives now, and a call that still names the old session as well.
    let before = world.users().await;
    wire.open();
    let request = SuspendUserRequest {
        user_id: before[0].id.clone(),
        ..SuspendUserRequest::default()
    };
    let context = CallContext::mutation().in_session(&stale.session_id);
    let refused = world
        .client
        .call_with_retry(&context, request, |hub, request| async move {
            hub.users().suspend(request).await
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code, Some(Code::FailedPrecondition), "{refused}");
    let reason = "SYNC_SESSION_NOT_OPEN".to_owned();
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition { reason });
    let waiting = "another agent works";
    while !anna.log().contains(waiting) {
        assert!(
            lost_at.elapsed() < Duration::from_secs(120),
            "{}",
            anna.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.users().await, before, "nothing changed");
    world.assert_equal().await;
    let sessions = object_sessions(&world).await;
    assert_eq!(sessions[1].status(), SessionStatus::Expired);
    assert_eq!(users_made(&sessions), before.len() as i64);
    assert_eq!(first.terminate().await, Some(0));
    assert_eq!(second.terminate().await, Some(0));
}

/// Sends SIGTERM and tells the exit code.
async fn stop(agent: world::Spawned, phase: &str) -> Option<i32> {
    let asked_at = Instant::now();
    let code = agent.terminate().await;
    println!(
        "{phase}: ended {:.1} s after SIGTERM, code {code:?}",
        asked_at.elapsed().as_secs_f64()
    );
    assert!(asked_at.elapsed() < SHUTDOWN_MAX, "{phase}");
    code
}

async fn wait_log(agent: &Agent, text: &str) {
    for _ in 0..1_200 {
        if agent.log().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no {text:?} in\n{}", agent.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_an_agent_soon_in_every_phase() {
    let mut world = World::start_with(Some(people(60)), "{lease_seconds: 10}").await;
    let hub = hub_wire(&world).await;
    let directory = directory_wire(&world).await;
    let ways = Ways {
        hub: Some(&hub),
        directory: Some(&directory),
    };
    let agent = Agent::new(&world, "anna", &ways, "", "");

    hub.set(Way::Cut);
    let waiting = agent.spawn(&[]);
    wait_log(&agent, "the hub is away").await;
    assert_eq!(
        stop(waiting, "waiting for a hub that is away").await,
        Some(0)
    );
    hub.set(Way::Stalled);
    let waiting = agent.spawn(&[]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        stop(waiting, "waiting for a hub that says nothing").await,
        Some(0)
    );
    hub.open();
    assert_eq!(object_sessions(&world).await.len(), 0);

    let before = directory.bytes();
    directory.stall_after(40_000);
    let reading = agent.spawn(&[]);
    directory.stalled().await;
    wait_session(&world, "a session", is_open).await;
    assert_eq!(
        stop(reading, "reading a directory that says nothing").await,
        Some(0)
    );
    assert!(directory.bytes() > before);
    directory.open();
    let newest = object_sessions(&world).await.remove(0);
    assert_eq!(newest.status(), SessionStatus::Failed);
    assert_eq!(newest.fail_reason, "stopped");

    // At many moments of a run, when the hub says nothing any more.
    let before = hub.bytes();
    world.new_pool("measured").await;
    let agent = Agent::new(&world, "measured", &ways, "", "");
    assert_eq!(
        agent.spawn(&["--once", "--now"]).end().await,
        Some(0),
        "{}",
        agent.log()
    );
    let all = hub.bytes() - before;
    for part in [0, 1, 5, 9] {
        world.new_pool(&format!("part{part}")).await;
        let agent = Agent::new(&world, &format!("part{part}"), &ways, "", "");
        hub.stall_after(all * part / 10 + 1);
        let working = agent.spawn(&["--once", "--now"]);
        hub.stalled().await;
        let phase = format!("a hub that says nothing after {part}0 % of a run");
        assert_eq!(stop(working, &phase).await, Some(1), "{}", agent.log());
        hub.set(Way::Cut);
        hub.open();
        // Nothing is left to be done by hand.
        let summary = world.run(&agent.config).await;
        assert_eq!(summary["outcome"], "completed");
        world.assert_equal().await;
    }

    let agent = Agent::new(&world, "part9", &ways, "", "");
    let following = agent.spawn(&["--now"]);
    wait_session(&world, "a session", is_open).await;
    wait_log(&agent, "session opened").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = Agent::new(&world, "boris", &Ways::default(), "", "");
    let second = other.spawn(&[]);
    wait_log(&other, "another agent works").await;
    assert_eq!(stop(second, "waiting for another agent").await, Some(0));
    assert_eq!(stop(following, "between two batches").await, Some(0));
    let newest = object_sessions(&world).await.remove(0);
    assert_eq!(newest.agent_id, "part9");
    assert!(is_finished(&newest), "{newest:?}");

    let closing = agent.spawn(&["--now"]);
    wait_session(&world, "a session", is_open).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    hub.set(Way::Stalled);
    assert_eq!(
        stop(closing, "closing at a hub that says nothing").await,
        Some(0)
    );
    hub.set(Way::Cut);
    let newest = object_sessions(&world).await.remove(0);
    assert_eq!(
        newest.status(),
        SessionStatus::Opened,
        "it will expire by itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_restarts_does_not_end_the_session() {
    const REFUSED_BEFORE_IT_IS_BACK: usize = 7;
    let world = World::start_with(Some(people(20)), "{lease_seconds: 10}").await;
    let directory = directory_wire(&world).await;
    let ways = Ways {
        directory: Some(&directory),
        ..Ways::default()
    };
    let agent = Agent::new(&world, "anna", &ways, "", "streams: [objects]");
    let service = agent.spawn(&[]);
    world.wait_equal().await;
    directory.set(Way::Cut);
    add(&world, "meanwhile");
    let again = "the directory is asked again";
    for _ in 0..2_400 {
        if agent.log().matches(again).count() >= REFUSED_BEFORE_IT_IS_BACK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(agent.log().matches(again).count() >= REFUSED_BEFORE_IT_IS_BACK);
    directory.open();
    wait_login(&world, "meanwhile").await;
    world.wait_equal().await;
    let sessions = object_sessions(&world).await;
    assert_eq!(sessions.len(), 1, "{sessions:#?}");
    assert!(is_open(&sessions[0]), "{sessions:#?}");
    assert_eq!(service.terminate().await, Some(0), "{}", agent.log());
}
