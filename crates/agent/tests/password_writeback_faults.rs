//! Password writeback when something breaks: directory, hub or agent, at each step of a change. What
//! both sides have in the end is one of two things, the old password or the new one.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;
#[path = "support/writeback.rs"]
mod writeback;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use proxy::{Proxy, Way};
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode;
use sign_in::*;
use states::{log_of, spawn};
use tonic::Code;
use world::{Spawned, World};
use writeback::*;

/// An agent that reaches the hub over a wire.
async fn over_wire(world: &World, name: &str) -> (PathBuf, Proxy) {
    let config = writeback_agent(world, name, "");
    let wire = put_wire(world, &config).await;
    (config, wire)
}

async fn put_wire(world: &World, config: &Path) -> Proxy {
    put(world, config, &world.address).await
}

async fn put(world: &World, config: &Path, instead_of: &str) -> Proxy {
    let target: SocketAddr = world.address.parse().unwrap();
    let wire = Proxy::start(IpAddr::V4(Ipv4Addr::LOCALHOST), target).await;
    let text = std::fs::read_to_string(config).unwrap();
    let text = text.replace(instead_of, &format!("127.0.0.1:{}", wire.port));
    std::fs::write(config, text).unwrap();
    wire
}

/// Another wire in place of a stalled one, with which what was on its way is lost.
async fn new_wire(world: &World, config: &Path, old: Proxy) -> Proxy {
    let before = format!("127.0.0.1:{}", old.port);
    drop(old);
    put(world, config, &before).await
}

async fn wait_noted(config: &Path, state: &str) {
    wait_for(state, config, async || notes(config).contains(state)).await;
}

async fn connected(config: &Path) -> Spawned {
    // What a former process left.
    std::fs::remove_file(config.with_file_name("status.json")).ok();
    let agent = spawn(config);
    wait_connected(config).await;
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn at_16_a_directory_that_hangs_and_an_agent_that_is_away_are_honest_refusals() {
    let world = world_of(&["anna"], HASTY).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    // No agent at all.
    let begun = change_own(&anna, FIRST, SECOND).await;
    let error = ended(&anna, begun).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable as i32, "{error:?}");
    let late = PasswordWritebackErrorCode::DeadlineExceeded;
    assert_eq!(details(&error).error_code(), late, "{error:?}");

    let config = writeback_agent(&world, "writeback", "");
    let agent = connected(&config).await;
    let pause = world.dc.pause().unwrap();
    let begun = change_own(&anna, FIRST, SECOND).await;
    let error = ended(&world.client, begun).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded as i32, "{error:?}");
    assert_eq!(details(&error).error_code(), late, "{error:?}");
    drop(pause);
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);
    assert!(enters(&world.dc, "anna", FIRST).await);
    // It works again, without being told.
    let begun = change_own(&anna, FIRST, SECOND).await;
    ended(&anna, begun).await.unwrap();
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(number(&world.dc, "anna", "badPwdCount"), 0);
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

/// The hub gives 10 s for a change, and its clock differs by twice that from the agent's.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_change_is_counted_by_the_clock_of_the_hub() {
    let mut world = world_of(&["anna"], HASTY).await;
    let config = writeback_agent(&world, "writeback", "");
    let differs = "the clocks of the hub and of this machine differ";
    for (ahead, new) in [(-20, SECOND), (20, THIRD)] {
        world.stop_hub().await;
        world.restart_hub_ahead(Span::seconds(ahead)).await;
        let agent = connected(&config).await;
        let begun = reset_to(&world, "anna", new).await;
        ended(&world.client, begun).await.unwrap();
        assert!(enters(&world.dc, "anna", new).await);
        assert!(log_of(&config).contains(differs), "{}", log_of(&config));
        assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    }
    // What the hub has given up is not written any more, though the agent's clock is behind.
    let agent = connected(&config).await;
    let set_at = number(&world.dc, "anna", "pwdLastSet");
    let pause = world.dc.pause().unwrap();
    let begun = reset_to(&world, "anna", FOURTH).await;
    let error = ended(&world.client, begun).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded as i32, "{error:?}");
    drop(pause);
    wait_for("the agent is done with it", &config, async || {
        shown(&config)["pending"] == 0
    })
    .await;
    assert_eq!(number(&world.dc, "anna", "pwdLastSet"), set_at);
    assert_eq!(sign_in(&world, "anna", THIRD).await, Entry::In);
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

/// The agent is killed while the directory has the password and did not answer. Afterwards the
/// directory has written it, or has lost it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Lost,
}

async fn killed_while_writing(fate: Fate) {
    let mut world = world_of(&["anna"], PATIENT).await;
    let config = writeback_agent(&world, "writeback", "");
    let agent = connected(&config).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    let before = number(&world.dc, "anna", "pwdLastSet");
    let hold = world.dc.hold_writes().unwrap();
    let begun = change_own(&anna, FIRST, SECOND).await;
    wait_noted(&config, "writing").await;
    // On its way: it is sent as soon as it is noted.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    agent.kill();
    if fate == Fate::Lost {
        world.dc.kill();
        drop(hold);
        world.dc.restart().unwrap();
        assert_eq!(number(&world.dc, "anna", "pwdLastSet"), before);
    } else {
        drop(hold);
        wait_for("the directory wrote it", &config, async || {
            number(&world.dc, "anna", "pwdLastSet") != before
        })
        .await;
    }
    let agent = connected(&config).await;
    ended(&anna, begun).await.unwrap();
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    // The old password was not tried a second time.
    assert_eq!(number(&world.dc, "anna", "badPasswordTime"), 0);
    let log = log_of(&config);
    let verified = log.contains("the directory has the new password");
    assert_eq!(verified, fate == Fate::Written, "{log}");
    assert_eq!(agent.terminate().await, Some(0), "{log}");
    assert_eq!(notes(&config), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_while_the_directory_writes_finds_out_that_it_did() {
    killed_while_writing(Fate::Written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_out_by_kerberos_too() {
    let world = world_of(&["anna"], PATIENT).await;
    let config = kerberos_agent(&world, "writeback");
    let wire = put_wire(&world, &config).await;
    let agent = connected(&config).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    let before = number(&world.dc, "anna", "pwdLastSet");
    // A controller that cannot write gives no tickets either.
    let pause = world.dc.pause().unwrap();
    let begun = change_own(&anna, FIRST, SECOND).await;
    wait_for("the change has come", &config, async || {
        shown(&config)["pending"] == 1
    })
    .await;
    wire.set(Way::Stalled);
    drop(pause);
    wait_noted(&config, "written").await;
    agent.kill();
    // As the disk was a moment before.
    let writing = format!(r#"{{"writing":{{"last_set":{before},"bad_at":0}}}}"#);
    let noted = notes(&config).replace(r#""written""#, &writing);
    std::fs::write(config.with_file_name("password_writeback.json"), noted).unwrap();
    let _wire = new_wire(&world, &config, wire).await;
    let agent = connected(&config).await;
    ended(&anna, begun).await.unwrap();
    let log = log_of(&config);
    assert!(log.contains("the directory has the new password"), "{log}");
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(number(&world.dc, "anna", "badPasswordTime"), 0);
    assert_eq!(agent.terminate().await, Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_before_the_directory_writes_writes_again() {
    killed_while_writing(Fate::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_before_it_told_the_hub_tells_it_afterwards() {
    let world = world_of(&["anna", "boris"], PATIENT).await;
    policy(&world.dc, &["--history-length=3"]);
    let (config, mut wire) = over_wire(&world, "writeback").await;
    let mut agent = connected(&config).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    let boris = signed_in(&world, "boris", FIRST).await;
    set_password(&world.dc, "boris", THIRD, Change::Free);
    for (name, user, state, is_written) in [
        ("anna", &anna, "written", true),
        ("boris", &boris, "refused", false),
    ] {
        let hold = world.dc.hold_writes().unwrap();
        let begun = change_own(user, FIRST, SECOND).await;
        wait_noted(&config, "writing").await;
        wire.set(Way::Stalled);
        drop(hold);
        wait_noted(&config, state).await;
        let set_at = number(&world.dc, name, "pwdLastSet");
        let bad = number(&world.dc, name, "badPwdCount");
        agent.kill();
        wire = new_wire(&world, &config, wire).await;
        agent = connected(&config).await;
        let result = ended(user, begun).await;
        assert_eq!(result.is_ok(), is_written, "{result:?}");
        assert_eq!(number(&world.dc, name, "pwdLastSet"), set_at);
        assert_eq!(number(&world.dc, name, "badPwdCount"), bad);
        let password = if is_written { SECOND } else { FIRST };
        assert_eq!(sign_in(&world, name, password).await, Entry::In);
    }
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    assert_eq!(notes(&config), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_takes_over_and_finds_what_was_written() {
    let world = world_of(&["anna", "boris"], PATIENT).await;
    let configs = ["first", "second"].map(|name| writeback_agent(&world, name, ""));
    let [first, second] = &configs;
    let one = connected(first).await;
    let boris = signed_in(&world, "boris", FIRST).await;
    let begun = change_own(&boris, FIRST, SECOND).await;
    ended(&boris, begun).await.unwrap();
    assert_eq!(shown(first)["phase"], "working");
    let other = connected(second).await;
    assert_eq!(shown(second)["phase"], "waiting");
    let reason = shown(second)["reason"].clone();
    assert!(
        reason.as_str().unwrap().contains("another agent"),
        "{reason}"
    );

    // The first one is gone for good, between the directory and the hub.
    let anna = signed_in(&world, "anna", FIRST).await;
    let before = number(&world.dc, "anna", "pwdLastSet");
    let hold = world.dc.hold_writes().unwrap();
    let begun = change_own(&anna, FIRST, SECOND).await;
    wait_noted(first, "writing").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    one.kill();
    drop(hold);
    wait_for("the directory wrote it", second, async || {
        number(&world.dc, "anna", "pwdLastSet") != before
    })
    .await;
    ended(&anna, begun).await.unwrap();
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(shown(second)["phase"], "working");
    assert_eq!(other.terminate().await, Some(0), "{}", log_of(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_it_is_told_to_whatever_hangs() {
    let world = world_of(&["anna", "boris", "clara"], PATIENT).await;
    let (config, wire) = over_wire(&world, "writeback").await;
    // Idle.
    let agent = connected(&config).await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));

    // The directory hangs, before and while it writes.
    let agent = connected(&config).await;
    let pause = world.dc.pause().unwrap();
    let anna = signed_in(&world, "anna", FIRST).await;
    let first = change_own(&anna, FIRST, SECOND).await;
    wait_for("the change has come", &config, async || {
        shown(&config)["pending"] == 1
    })
    .await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    drop(pause);
    let hold = world.dc.hold_writes().unwrap();
    let agent = connected(&config).await;
    wait_noted(&config, "writing").await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    drop(hold);

    // The hub hangs.
    let agent = connected(&config).await;
    ended(&anna, first).await.unwrap();
    let hold = world.dc.hold_writes().unwrap();
    let boris = signed_in(&world, "boris", FIRST).await;
    let second = change_own(&boris, FIRST, SECOND).await;
    wait_noted(&config, "writing").await;
    wire.set(Way::Stalled);
    drop(hold);
    wait_noted(&config, "written").await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    // Also while it is being connected to.
    let agent = spawn(&config);
    wait_for("it has begun", &config, async || {
        log_of(&config).contains("the agent starts")
    })
    .await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    let _wire = new_wire(&world, &config, wire).await;
    let agent = connected(&config).await;
    ended(&boris, second).await.unwrap();
    for name in ["anna", "boris"] {
        assert!(enters(&world.dc, name, SECOND).await, "{name}");
        assert_eq!(sign_in(&world, name, SECOND).await, Entry::In, "{name}");
        assert_eq!(number(&world.dc, name, "badPasswordTime"), 0, "{name}");
    }
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_was_away_is_connected_to_again() {
    let mut world = world_of(&["anna"], PATIENT).await;
    let config = writeback_agent(&world, "writeback", "");
    let agent = connected(&config).await;
    world.stop_hub().await;
    wait_for("it is lost", &config, async || {
        shown(&config)["connected_at"].is_null()
    })
    .await;
    world.restart_hub().await;
    wait_connected(&config).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    let begun = change_own(&anna, FIRST, SECOND).await;
    ended(&anna, begun).await.unwrap();
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_was_told_too_late_comes_with_the_hashes() {
    let world = world_of(&["anna"], HASTY).await;
    let (config, wire) = over_wire(&world, "writeback").await;
    let agent = connected(&config).await;
    let anna = signed_in(&world, "anna", FIRST).await;
    let hold = world.dc.hold_writes().unwrap();
    let begun = change_own(&anna, FIRST, SECOND).await;
    wait_noted(&config, "writing").await;
    wire.set(Way::Stalled);
    drop(hold);
    wait_noted(&config, "written").await;
    let error = ended(&anna, begun).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded as i32, "{error:?}");
    wire.open();
    wait_for("the agent gives up", &config, async || {
        log_of(&config).contains("the hub did not take a password that the directory has")
    })
    .await;
    wait_for("nothing is left", &config, async || notes(&config) == "{}").await;
    wait_counted(&config, "commit_failures", 1).await;
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);
    world.run(&world.configure("", &drsr(&world))).await;
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_agent_id_are_told_apart_and_do_not_take_turns() {
    let world = world_of(&["anna"], PATIENT).await;
    let configs = ["first", "second"].map(|name| writeback_agent(&world, name, "agent_id: twins"));
    let [first, second] = &configs;
    let one = connected(first).await;
    let other = connected(second).await;
    wait_for("the first one gives way", first, async || {
        log_of(first).contains("another process with the same agent id")
    })
    .await;
    assert_eq!(shown(first)["phase"], "failing");
    let anna = signed_in(&world, "anna", FIRST).await;
    let begun = change_own(&anna, FIRST, SECOND).await;
    ended(&anna, begun).await.unwrap();
    wait_counted(second, "written", 1).await;
    assert_eq!(one.terminate().await, Some(0), "{}", log_of(first));
    assert_eq!(other.terminate().await, Some(0), "{}", log_of(second));
}
