//! The brake on mass disabling in the account state stream: nothing is written, the reason tells, the
//! accounts are listed, a person can let exactly that pass once (AT-3).

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use change::*;
use rollcall_proto::idp::SessionStatus;
use rollcall_proto::idp::user::Status;
use serde_json::Value as Json;
use states::*;
use world::World;

const USERS: usize = 100;
/// 30 %.
const MANY: usize = 30;

async fn start() -> (World, PathBuf, Vec<String>) {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let names: Vec<String> = (0..USERS).map(|n| format!("user{n:03}")).collect();
    let made: String = names
        .iter()
        .map(|name| new_user(name, &accounts()))
        .collect();
    world.dc.admin_ldapmodify(&made).unwrap();
    world.run(&config).await;
    (world, config, names)
}

fn set(world: &World, names: &[String], control: u32) {
    let control = control.to_string();
    let change: String = names
        .iter()
        .map(|name| replace(&dn(name), "userAccountControl", &control))
        .collect();
    world.dc.admin_ldapmodify(&change).unwrap();
}

async fn suspended(world: &World) -> BTreeSet<String> {
    let users = world.users().await;
    let suspended = users
        .into_iter()
        .filter(|user| user.status == Status::Suspended as i32);
    suspended.map(|user| user.username).collect()
}

fn logins(world: &World, names: &[String]) -> BTreeSet<String> {
    let login = |name: &String| format!("{name}@{}", world.domain());
    names.iter().map(login).collect()
}

/// A run of the account states that has to be refused with this, and changes nothing; the hash.
async fn refused(world: &World, config: &Path, what: &str, names: &[String]) -> String {
    let before = suspended(world).await;
    let (code, summary) = world.once(config).await;
    assert_eq!(code, 1, "{summary:#}");
    let state = &summary["streams"]["account_state"];
    let hash = state["refused_plan"]["hash"].as_str().unwrap().to_owned();
    let file = state["refused_plan"]["file"].as_str().unwrap();
    let reason = state["reason"].as_str().unwrap();
    for part in [
        what,
        "nothing was changed",
        "rollcall-agent approve",
        &hash,
        file,
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let newest = &world.sessions_of("AD_USER_CONTROL").await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32);
    assert!(newest.fail_reason.contains(what), "{}", newest.fail_reason);
    assert_eq!(suspended(world).await, before, "the hub was changed");
    assert_eq!(listed(file), logins(world, names));
    hash
}

/// The logins in a plan, all of which it suspends.
fn listed(file: impl AsRef<Path>) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let login = |line: &str| {
        let step: Json = serde_json::from_str(line).unwrap();
        assert_eq!(step["object"], "user");
        assert_eq!(step["change"], "deactivate");
        assert_eq!(step["before"]["active"], true);
        assert_eq!(step["after"]["active"], false);
        assert!(step["guid"].is_string() && step["id"].is_string(), "{step}");
        step["name"].as_str().unwrap().to_owned()
    };
    text.lines().map(login).collect()
}

async fn approve(world: &World, config: &Path, hash: &str) -> (Option<i32>, String) {
    let output = world.agent(config, &["approve", hash]).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_03_mass_disabling_stops_the_account_states_and_passes_once_approved() {
    let (world, config, names) = start().await;
    let states = other_agent(&world, &config, "states", "account_state");
    let (many, others) = names.split_at(MANY);
    let what = "30 of 100 users would be suspended (limit 20)";
    set(&world, many, DISABLED);
    let hash = refused(&world, &states, what, many).await;
    assert_eq!(refused(&world, &states, what, many).await, hash);
    world.reset_token().await;
    // A comparison of everything finds the same.
    assert_eq!(refused(&world, &states, what, many).await, hash);

    let (code, text) = approve(&world, &states, "0123456789ab").await;
    assert_eq!(code, Some(1));
    assert!(text.contains(&hash), "{text}");
    let (code, text) = approve(&world, &states, &hash).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("user deactivate 30"), "{text}");
    // One more is another plan.
    set(&world, &others[..1], DISABLED);
    let more = "31 of 100 users would be suspended";
    let other = refused(&world, &states, more, &names[..=MANY]).await;
    assert_ne!(other, hash);
    let reason = &world.sessions_of("AD_USER_CONTROL").await[0].fail_reason;
    assert!(!reason.is_empty());
    let newest = world.agent(&states, &["status"]).await;
    let newest = String::from_utf8(newest.stdout).unwrap();
    let short = &hash[..12];
    assert!(newest.contains(&format!("The approval of plan {short} does not count")));
    set(&world, &others[..1], ENABLED);

    // The approval still waits for its plan; what takes nothing away does not make it another one.
    let end = replace(&dn(&others[1]), "accountExpires", "157469184000000000");
    world.dc.admin_ldapmodify(&end).unwrap();
    let (code, summary) = world.once(&states).await;
    assert_eq!(code, 0, "{summary:#}");
    let users = &summary["streams"]["account_state"]["users"];
    assert_eq!(
        (&users["deactivated"], &users["updated"]),
        (&30.into(), &1.into())
    );
    assert_eq!(suspended(&world).await, logins(&world, many));
    let approved = states.with_file_name("approved_accounts.jsonl");
    assert_eq!(listed(approved), logins(&world, many));
    let (code, text) = approve(&world, &states, &hash).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("no refused plan"), "{text}");

    // Once means once.
    set(&world, many, ENABLED);
    assert_eq!(world.once(&states).await.0, 0);
    assert_eq!(suspended(&world).await, BTreeSet::new());
    set(&world, many, DISABLED);
    assert_eq!(refused(&world, &states, what, many).await, hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_approval_is_enough_for_both_streams() {
    let (world, config, names) = start().await;
    let many = &names[..MANY];
    set(&world, many, DISABLED);
    let what = "30 of 100 users would be suspended (limit 20)";
    let hash = refused(&world, &config, what, many).await;
    let objects = world.working_directory().join("refused_plan.jsonl");
    assert_eq!(listed(objects), logins(&world, many));
    assert_eq!(approve(&world, &config, &hash).await.0, Some(0));
    // The objects come first in a run, and still have their own plan.
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1, "{summary:#}");
    assert_eq!(summary["outcome"], "failed", "{summary:#}");
    let users = &summary["streams"]["account_state"]["users"];
    assert_eq!(users["deactivated"], 30, "{summary:#}");
    // Now the hub shows that there is nothing left to refuse.
    let summary = world.run(&config).await;
    assert!(summary["refused_plan"].is_null(), "{summary:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_little_by_little_counts_in_both_streams_together() {
    let (world, config, names) = start().await;
    let states = other_agent(&world, &config, "states", "account_state");
    for part in names[..16].chunks(8) {
        set(&world, part, DISABLED);
        assert_eq!(world.once(&states).await.0, 0);
    }
    assert_eq!(suspended(&world).await.len(), 16);
    set(&world, &names[16..24], DISABLED);
    let what = "24 of 100 users would be suspended (limit 20; 16 of them in the last 24 hours)";
    let hash = refused(&world, &states, what, &names[16..24]).await;
    assert_eq!(approve(&world, &states, &hash).await.0, Some(0));
    assert_eq!(world.once(&states).await.0, 0);
    assert_eq!(suspended(&world).await, logins(&world, &names[..24]));
    // What was approved of does not count; the rest of the day's share is still there.
    set(&world, &names[24..28], DISABLED);
    assert_eq!(world.once(&states).await.0, 0);
    set(&world, &names[28..29], DISABLED);
    let what = "21 of 100 users would be suspended (limit 20; 20 of them in the last 24 hours)";
    refused(&world, &states, what, &names[28..29]).await;

    // The two streams of one agent share the count.
    let both = other_agent(&world, &config, "both", "account_state, objects");
    set(&world, &names[..29], ENABLED);
    assert_eq!(world.once(&both).await.0, 0);
    let one = |streams: &str| {
        let text = std::fs::read_to_string(&both).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with("streams:"));
        let kept: Vec<&str> = kept.collect();
        let text = format!("{}\nstreams: [{streams}]\n", kept.join("\n"));
        std::fs::write(&both, text).unwrap();
    };
    one("account_state");
    set(&world, &names[40..56], DISABLED);
    assert_eq!(world.once(&both).await.0, 0);
    one("objects");
    set(&world, &names[56..64], DISABLED);
    let (code, summary) = world.once(&both).await;
    assert_eq!(code, 1, "{summary:#}");
    let reason = summary["reason"].as_str().unwrap();
    assert!(
        reason.contains("24 of 100 users would be suspended"),
        "{reason}"
    );
    assert_eq!(suspended(&world).await, logins(&world, &names[40..56]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_limit_lets_mass_disabling_pass() {
    let (world, config, names) = start().await;
    let states = other_agent(&world, &config, "states", "account_state");
    set(&world, &names[..MANY], DISABLED);
    let text = std::fs::read_to_string(&states).unwrap();
    let raised = format!("{text}safety: {{max_removals: 30}}\n");
    std::fs::write(&states, raised).unwrap();
    let (code, summary) = world.once(&states).await;
    assert_eq!(code, 0, "{summary:#}");
    let state = &summary["streams"]["account_state"];
    assert_eq!(state["users"]["deactivated"], 30, "{summary:#}");
    // Under the former limit, what passed under the raised one does not count.
    std::fs::write(&states, text).unwrap();
    set(&world, &names[40..60], DISABLED);
    assert_eq!(world.once(&states).await.0, 0);
    set(&world, &names[60..61], DISABLED);
    let what = "21 of 100 users would be suspended";
    refused(&world, &states, what, &names[60..61]).await;
}
