//! Agent and hub killed at every step of a run: what is left is finished, once, and what all
//! sessions count together is exactly what was changed.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/agents.rs"]
mod agents;
#[path = "support/change.rs"]
mod change;
#[path = "crashes/hub.rs"]
mod hub;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agents::*;
use change::*;
use proxy::{Proxy, Way};
use rollcall_proto::admin::ListAuditEventsRequest;
use rollcall_proto::admin::audit_event::EventStatus;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{
    ChangeType, GetReplicationTokenRequest, RelatedObjectType, SessionStatus, SessionType,
    SynchronizationSession,
};
use rollcall_proto::organizationmanager::ListExternalGroupsRequest;
use world::World;

/// Places of a run, spread over all that goes between agent and hub.
const STEPS: u64 = 12;
/// Accounts that are switched, and places in the runs that do it.
const SWITCHED: u32 = 40;
const SWITCH_STEPS: usize = 7;
/// Places in the reading of the directory.
const DIRECTORY_STEPS: u64 = 4;
/// Places in a delta.
const DELTA_STEPS: u64 = 8;
/// Users that come with one round of changes and go with the next.
const EACH: usize = 12;
/// Users that stay and are changed.
const STEADY: usize = 6;
/// What a hub held when a run was killed.
#[derive(Debug, Default, Clone, Copy)]
struct Left {
    users: i64,
    groups: i64,
    members: i64,
}

async fn left(world: &World, before: Option<f64>) -> Left {
    let in_time = |at| before.is_none_or(|before| seconds(at) < before);
    let users = world.users().await;
    let request = ListExternalGroupsRequest {
        subject_container_id: world.pool.id.clone(),
        page_size: 1_000,
        ..ListExternalGroupsRequest::default()
    };
    let listed = world.client.groups().list_external(request).await.unwrap();
    let groups = listed.into_inner().groups;
    let members = world.found().await.groups;
    Left {
        users: users.iter().filter(|user| in_time(user.created_at)).count() as i64,
        groups: groups
            .iter()
            .filter(|group| in_time(group.created_at))
            .count() as i64,
        members: members
            .values()
            .map(|group| group.members.len() as i64)
            .sum(),
    }
}

/// Counters of all sessions together, as `USER CREATE`; what is zero is absent.
type Told = BTreeMap<String, i64>;

/// What all sessions of both streams count.
async fn told(world: &World) -> Told {
    let mut told = Told::new();
    for stream in ["AD_SYNC", "AD_USER_CONTROL"] {
        for session in world.sessions_of(stream).await {
            for entry in &session.progress_entries {
                let object = entry.object_type().as_str_name();
                for info in &entry.change_info {
                    let cell = format!("{object} {}", info.change_type().as_str_name());
                    *told.entry(cell).or_default() += info.successful;
                }
            }
        }
    }
    told.retain(|_, number| *number != 0);
    told
}

/// Calls of a kind that changed something in the pool, as the audit trail has them.
async fn audited(world: &World, kind: &str) -> i64 {
    let request = ListAuditEventsRequest {
        organization_id: world.pool.organization_id.clone(),
        userpool_id: world.pool.id.clone(),
        page_size: 1_000,
        filter: format!("event_type = 'yandex.cloud.audit.organizationmanager.{kind}'"),
        ..ListAuditEventsRequest::default()
    };
    let listed = world.client.audit().list(request).await.unwrap();
    let listed = listed.into_inner();
    assert_eq!(listed.next_page_token, "", "one page holds all");
    let done = listed.events.iter();
    done.filter(|event| event.event_status() == EventStatus::Done)
        .count() as i64
}

/// What was changed: everything that is in a pool that was empty, and the calls that wrote a user
/// or a group anew. No password that must be changed became another.
async fn made(world: &World) -> Told {
    let all = left(world, None).await;
    let members = all.members + world.hidden_memberships().await as i64;
    let updates = audited(world, "idp.UpdateUser").await;
    let mut made = Told::from_iter([
        ("USER CREATE".to_owned(), all.users),
        ("USER UPDATE".to_owned(), updates),
        ("GROUP CREATE".to_owned(), all.groups),
        (
            "GROUP UPDATE".to_owned(),
            audited(world, "UpdateGroup").await,
        ),
        ("MEMBERSHIP CREATE".to_owned(), members),
    ]);
    made.retain(|_, number| *number != 0);
    made
}

/// Runs an agent through `wire` until it has carried `bytes`, kills it, and lets it run again.
async fn kill_and_resume(world: &World, ways: &Ways<'_>, wire: &Proxy, name: &str, bytes: u64) {
    let agent = Agent::new(world, name, ways, "", "");
    wire.stall_after(bytes);
    let working = agent.spawn(&["--once", "--now"]);
    let stalled = tokio::time::timeout(Duration::from_secs(60), wire.stalled()).await;
    assert!(stalled.is_ok(), "the run ended before\n{}", agent.log());
    working.kill();
    wire.set(Way::Cut);
    wire.open();
    let at_kill = left(world, None).await;
    let summary = world.run(&agent.config).await;
    world.assert_equal().await;
    let sessions = object_sessions(world).await;
    let resumed = &sessions[0];
    assert!(is_finished(resumed), "{sessions:#?}");
    let all = left(world, None).await;
    let before = left(world, Some(seconds(resumed.created_at))).await;
    let users = counter(resumed, RelatedObjectType::User, ChangeType::Create).0;
    let groups = counter(resumed, RelatedObjectType::Group, ChangeType::Create).0;
    assert_eq!(users, all.users - before.users, "{name}: {summary:#}");
    assert_eq!(groups, all.groups - before.groups, "{name}: {summary:#}");
    assert!(at_kill.members <= all.members, "{at_kill:?}");
    let told = told(world).await;
    println!("{name}: killed at {bytes} bytes with {at_kill:?}; {told:?} of {all:?} counted");
    assert_eq!(told, made(world).await, "{sessions:#?}");
    if let Some(killed) = sessions.get(1) {
        // Superseded, unless the objects were done and it was the account state that was cut.
        let superseded = killed.status() == SessionStatus::Failed;
        assert!(superseded || is_finished(killed), "{sessions:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_an_agent_killed_at_any_step_goes_on() {
    let mut world = World::start(Some(people(60))).await;
    let (hub, directory) = (hub_wire(&world).await, directory_wire(&world).await);
    let ways = Ways {
        hub: Some(&hub),
        directory: Some(&directory),
    };
    let measured = Agent::new(&world, "measured", &ways, "", "");
    let (code, log) = (
        measured.spawn(&["--once", "--now"]).end().await,
        measured.log(),
    );
    assert_eq!(code, Some(0), "{log}");
    let (to_hub, to_directory) = (hub.bytes(), directory.bytes());
    for step in 0..STEPS {
        let name = format!("hub{step}");
        world.new_pool(&name).await;
        // The last bytes of a run are the close of the session.
        let bytes = (to_hub * step / STEPS + 1).min(to_hub * 97 / 100);
        kill_and_resume(&world, &ways, &hub, &name, bytes).await;
    }
    for step in 0..DIRECTORY_STEPS {
        let name = format!("directory{step}");
        world.new_pool(&name).await;
        let bytes = to_directory * step / DIRECTORY_STEPS + 1;
        kill_and_resume(&world, &ways, &directory, &name, bytes).await;
    }
}

/// Logins of the pool whose users may sign in.
async fn active(world: &World) -> BTreeSet<String> {
    let users = world.users().await.into_iter();
    let active = users.filter(|user| user.status == Status::Active as i32);
    active.map(|user| user.username).collect()
}

/// One run of each stream that the agent works in.
async fn run_all(world: &World, agent: &Agent) {
    let (code, summary) = world.once(&agent.config).await;
    assert_eq!(code, 0, "{summary:#}");
}

/// Users that are switched off and on, by an agent of one stream that is killed again and again:
/// each switch counts once.
async fn kill_and_switch(stream: &str) {
    let world = World::start(None).await;
    let (hub, people) = (hub_wire(&world).await, format!("OU=People,{BASE}"));
    let ways = Ways {
        hub: Some(&hub),
        ..Ways::default()
    };
    let names: Vec<String> = (0..SWITCHED).map(|n| format!("case{n}")).collect();
    let new: String = names.iter().map(|name| new_user(name, &people)).collect();
    world.dc.admin_ldapmodify(&new).unwrap();
    let first = Agent::new(&world, "first", &ways, "", "");
    world.run(&first.config).await;
    // All accounts at once are more than the brake lets pass.
    let top = format!("safety: {{max_removals: 0}}\nstreams: [{stream}]");
    let agent = Agent::new(&world, stream, &ways, "", &top);
    run_all(&world, &agent).await;
    let mut made = told(&world).await;
    let mut measured = Vec::new();
    for step in 0..SWITCH_STEPS + 2 {
        let control = if step % 2 == 0 { "546" } else { "544" };
        let change = |name| {
            replace(
                &format!("CN={name},{people}"),
                "userAccountControl",
                control,
            )
        };
        let changes: String = names.iter().map(change).collect();
        world.dc.admin_ldapmodify(&changes).unwrap();
        let before = active(&world).await;
        if step < 2 {
            let begin = hub.bytes();
            run_all(&world, &agent).await;
            measured.push(hub.bytes() - begin);
        } else {
            let all = measured[step % 2];
            hub.stall_after(all * (step as u64 - 1) / (SWITCH_STEPS as u64 + 2));
            let working = agent.spawn(&["--once", "--now"]);
            let stalled = tokio::time::timeout(Duration::from_secs(60), hub.stalled()).await;
            assert!(stalled.is_ok(), "the run ended before\n{}", agent.log());
            working.kill();
            hub.set(Way::Cut);
            hub.open();
            let at_kill = active(&world).await;
            let switched = before.symmetric_difference(&at_kill).count();
            println!("{stream} {step}: killed with {switched} switched");
            run_all(&world, &agent).await;
        }
        let after = active(&world).await;
        assert_eq!(before.symmetric_difference(&after).count(), names.len());
        let cells = [
            ("USER DEACTIVATE", before.difference(&after).count()),
            ("USER ACTIVATE", after.difference(&before).count()),
        ];
        for (cell, number) in cells.into_iter().filter(|(_, number)| *number > 0) {
            *made.entry(cell.to_owned()).or_default() += number as i64;
        }
        let told = told(&world).await;
        assert_eq!(told, made, "{stream} {step}\n{}", agent.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_switches_by_the_objects_around_a_kill_are_counted_once() {
    kill_and_switch("objects").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_switches_by_the_account_state_around_a_kill_are_counted_once() {
    kill_and_switch("account_state").await;
}

/// The token of the objects at the hub.
async fn token(world: &World) -> String {
    let request = GetReplicationTokenRequest {
        subject_container_id: world.pool.id.clone(),
        session_type: SessionType::AdSync as i32,
    };
    let mut synchronization = world.client.synchronization();
    let stored = synchronization.get_replication_token(request).await;
    stored.unwrap().into_inner().replication_token
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_who_returns_after_another_agent_died_compares_everything() {
    const NEWCOMERS: usize = 120;
    let world = World::start_with(Some(people(60)), "{lease_seconds: 10}").await;
    let hub = hub_wire(&world).await;
    let ways = Ways {
        hub: Some(&hub),
        ..Ways::default()
    };
    let unlimited = "safety: {max_removals: 0}";
    let anna = Agent::new(&world, "anna", &Ways::default(), "", unlimited);
    let boris = Agent::new(&world, "boris", &ways, "", unlimited);
    world.run(&anna.config).await;
    let before = (world.users().await.len(), token(&world).await);

    // Boris makes some of them and dies before he stores how far he read.
    let unit = format!("OU=People,{BASE}");
    let names: Vec<String> = (0..NEWCOMERS).map(|n| format!("newcomer{n}")).collect();
    let all: String = names.iter().map(|name| new_user(name, &unit)).collect();
    world.dc.admin_ldapmodify(&all).unwrap();
    let working = boris.spawn(&["--once", "--now"]);
    world.wait_users(before.0 + 1).await;
    hub.set(Way::Stalled);
    working.kill();
    hub.set(Way::Cut);
    assert_eq!(token(&world).await, before.1, "as if nobody had been there");

    // They leave the directory, and only then Anna returns.
    let gone: Vec<String> = names
        .iter()
        .map(|name| format!("CN={name},{unit}"))
        .collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    world.dc.admin_ldapdelete(&gone).unwrap();
    let over = |session: &SynchronizationSession| session.agent_id == "boris" && !is_open(session);
    wait_session(&world, "the end of the lease", over).await;
    let made = world.users().await.len() - before.0;
    println!("{made} of {NEWCOMERS} were made");
    assert!((1..NEWCOMERS).contains(&made), "{}", boris.log());
    let returned = world.run(&anna.config).await;
    assert_eq!(returned["mode"], "full", "{returned:#}");
    assert_eq!(returned["users"]["removed"], made, "{returned:#}");
    world.assert_equal().await;
    assert_eq!(world.run(&anna.config).await["mode"], "delta");
}

/// Creates, updates, removals and memberships at once; what came with the last round goes.
fn change_everything(world: &World, round: usize) {
    let unit = format!("OU=People,{BASE}");
    let crew = format!("CN=crew,OU=Groups,{BASE}");
    let dn = |name: &str| format!("CN={name},{unit}");
    let coming = |round: usize| (0..EACH).map(move |at| format!("r{round}x{at}"));
    let steady: Vec<String> = (0..STEADY).map(|at| format!("steady{at}")).collect();
    let mut ldif: String = coming(round).map(|name| new_user(&name, &unit)).collect();
    if round == 0 {
        ldif.extend(steady.iter().map(|name| new_user(name, &unit)));
        let members: Vec<String> = steady.iter().map(|name| dn(name)).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        ldif += &new_group("crew", &format!("OU=Groups,{BASE}"), &members);
    } else {
        let title = format!("Round {round}");
        ldif.extend(
            steady
                .iter()
                .map(|name| replace(&dn(name), "title", &title)),
        );
        let even = round.is_multiple_of(2);
        let control = if even { "544" } else { "546" };
        ldif += &replace(&dn("steady0"), "userAccountControl", control);
        let member = if even { add_member } else { remove_member };
        ldif += &member(&crew, &dn("steady1"));
    }
    ldif.extend(coming(round).map(|name| add_member(&crew, &dn(&name))));
    world.dc.admin_ldapmodify(&ldif).unwrap();
    if let Some(last) = round.checked_sub(1) {
        let gone: Vec<String> = coming(last).map(|name| dn(&name)).collect();
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        world.dc.admin_ldapdelete(&gone).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_17_an_agent_killed_in_a_delta_is_followed_by_itself_or_by_another() {
    let world = World::start_with(None, "{lease_seconds: 10}").await;
    let hub = hub_wire(&world).await;
    let ways = Ways {
        hub: Some(&hub),
        ..Ways::default()
    };
    let unlimited = "safety: {max_removals: 0}";
    let anna = Agent::new(&world, "anna", &ways, "", unlimited);
    let boris = Agent::new(&world, "boris", &Ways::default(), "", unlimited);
    change_everything(&world, 0);
    world.run(&anna.config).await;
    change_everything(&world, 1);
    let before = hub.bytes();
    assert_eq!(world.run(&anna.config).await["mode"], "delta");
    let delta = hub.bytes() - before;
    world.assert_equal().await;
    let mut round = 2;
    let mut change = || {
        change_everything(&world, round);
        round += 1;
    };
    for step in 0..DELTA_STEPS {
        change();
        hub.stall_after(delta * step / DELTA_STEPS + 1);
        let working = anna.spawn(&["--once", "--now"]);
        let stalled = tokio::time::timeout(Duration::from_secs(60), hub.stalled()).await;
        assert!(stalled.is_ok(), "the run ended before\n{}", anna.log());
        working.kill();
        hub.set(Way::Cut);
        hub.open();
        // Every third time another agent goes on, and the first one returns after that.
        if step % 3 == 2 {
            let over = |sessions: &[SynchronizationSession]| !sessions.iter().any(is_open);
            let mut sessions = object_sessions(&world).await;
            while !over(&sessions) {
                tokio::time::sleep(Duration::from_millis(100)).await;
                sessions = object_sessions(&world).await;
            }
            let other = world.run(&boris.config).await;
            assert_eq!(other["failed_items_count"], 0, "{other:#}");
            world.assert_equal().await;
            change();
        }
        let resumed = world.run(&anna.config).await;
        println!(
            "step {step}: {} at {} bytes",
            resumed["mode"],
            delta * step / DELTA_STEPS + 1
        );
        assert_eq!(resumed["failed_items_count"], 0, "step {step}: {resumed:#}");
        world.assert_equal().await;
    }
}
