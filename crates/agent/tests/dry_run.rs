//! A dry run changes nothing and foretells what the run does.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use change::*;
use rollcall_client::CallContext;
use rollcall_proto::idp::{
    CreateUserRequest, GetReplicationTokenRequest, SessionType, User, create_user_request,
};
use serde_json::Value as Json;
use world::World;

const TRIES_MAX: u32 = 50;

/// Everything a dry run must leave as it is: users, groups and sessions of the hub, its cursor,
/// and every file of the agent.
#[derive(Debug, PartialEq)]
struct Everything {
    hub: rollcall_lab::oracle::State,
    sessions: Vec<String>,
    token: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

async fn everything(world: &World) -> Everything {
    let request = GetReplicationTokenRequest {
        subject_container_id: world.pool.id.clone(),
        session_type: SessionType::AdSync as i32,
    };
    let mut synchronization = world.client.synchronization();
    let token = synchronization.get_replication_token(request).await;
    let sessions = world.sessions().await.into_iter();
    let files = std::fs::read_dir(world.working_directory()).unwrap();
    Everything {
        hub: world.found().await,
        sessions: sessions.map(|session| format!("{session:?}")).collect(),
        token: token.unwrap().into_inner().replication_token,
        files: files
            .map(|file| file.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect(),
    }
}

/// A dry run that leaves everything as it is: exit code, result, lines of the log.
async fn dry(world: &World, config: &Path, arguments: &[&str]) -> (Option<i32>, Json, String) {
    let before = everything(world).await;
    let mut all = vec!["--dry-run", "-o", "json"];
    all.extend(arguments);
    let output = world.agent(config, &all).await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(everything(world).await == before, "{log}");
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Json::Null);
    (output.status.code(), report, log)
}

/// The counters of a dry run in the form in which a run has them.
fn counters(report: &Json) -> Json {
    let mut counters = serde_json::json!({});
    for counter in report["counters"].as_array().unwrap() {
        let kind = format!("{}s", counter["object"].as_str().unwrap());
        let change = match counter["change"].as_str().unwrap() {
            "create" => "created",
            "update" => "updated",
            "delete" => "removed",
            "activate" => "activated",
            "deactivate" => "deactivated",
            "password_hash_update" => continue,
            other => panic!("{other}"),
        };
        let of = &mut counters[&kind];
        of[change] = counter["successful"].clone();
        let failed = of["failed"].as_u64().unwrap_or(0) + counter["failed"].as_u64().unwrap();
        of["failed"] = failed.into();
    }
    counters
}

/// The run that follows does what the dry run said.
async fn assert_foretold(world: &World, config: &Path, report: &Json) {
    let run = world.run(config).await;
    assert_eq!(run["mode"], report["mode"]);
    let foretold = counters(report);
    for kind in ["users", "groups", "memberships"] {
        for (change, number) in foretold[kind].as_object().unwrap() {
            let done = &run[kind][change];
            assert_eq!(done, number, "{kind} {change}: {report:#} {run:#}");
        }
    }
    assert_eq!(run["users_in_scope"], report["users_in_scope"]);
    assert_eq!(run["failed_items_count"], report["failed_items_count"]);
}

async fn local_user(world: &World, name: &str) {
    let request = CreateUserRequest {
        userpool_id: world.pool.id.clone(),
        username: format!("{name}@{}", world.domain()),
        full_name: name.into(),
        is_active: Some(true),
        credentials: Some(create_user_request::Credentials::PasswordHash(
            rollcall_proto::idp::PasswordHash {
                password_hash: "0".repeat(32),
                password_hash_type: 1,
                created_at: None,
            },
        )),
        ..CreateUserRequest::default()
    };
    let operation = world
        .client
        .call_with_retry(
            &CallContext::mutation(),
            request,
            |hub, request| async move { hub.users().create(request).await },
        )
        .await
        .unwrap();
    let _: User = world.client.wait(operation).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_foretells_the_run_and_changes_nothing() {
    let world = World::start(Some(people(150))).await;
    local_user(&world, "u000005").await;
    let config = world.configure("", "");

    // Into an empty pool: everything is compared.
    let plan = world.working_directory().with_extension("plan");
    let file = ["--plan", plan.to_str().unwrap()];
    let (code, report, log) = dry(&world, &config, &file).await;
    assert_eq!(report["mode"], "full", "{log}");
    assert_eq!(code, Some(1), "some objects do not fit: {report:#}");
    let lines = log.lines().filter(|line| line.contains("dry run: "));
    let counted = lines.filter(|line| line.contains("successful="));
    assert_eq!(counted.count(), 11, "{log}");
    let text = std::fs::read_to_string(&plan).unwrap();
    let steps: usize = report["steps"].as_u64().unwrap().try_into().unwrap();
    assert_eq!(text.lines().count(), steps);
    let items = report["failed_items"].as_array().unwrap();
    let taken = items
        .iter()
        .find(|item| item["reason"].as_str().unwrap().contains("u000005@"));
    assert_eq!(taken.unwrap()["change"], "create");
    assert_foretold(&world, &config, &report).await;

    // Changes of every kind: they are read.
    let people = format!("OU=People,{BASE}");
    let groups = format!("OU=Groups,{BASE}");
    let found = world
        .dc
        .admin_ldapsearch(&["(&(department=*)(telephoneNumber=*))", "dn"])
        .unwrap();
    let there: Vec<String> = dns(&found).into_iter().filter(|dn| dn.is_ascii()).collect();
    let changes = [
        new_user("anna", &people),
        new_user("boris", &people),
        // The same login twice: one of them gets it.
        new_user("carl", &people),
        format!(
            "dn: CN=carl2,{people}\nchangetype: add\nobjectClass: user\nsAMAccountName: carl2\n\
             userPrincipalName: carl@elsewhere.example\nuserAccountControl: 544\n\n"
        ),
        format!(
            "dn: CN=crew,{groups}\nchangetype: add\nobjectClass: group\nsAMAccountName: crew\n\
             member: CN=anna,{people}\nmember: {}\n\n",
            there[3]
        ),
        modify(&there[0], "replace: title\ntitle: Lead"),
        modify(
            &there[1],
            "replace: userAccountControl\nuserAccountControl: 514",
        ),
        format!("dn: {}\nchangetype: delete\n\n", there[2]),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let (code, report, log) = dry(&world, &config, &[]).await;
    assert_eq!((code, &report["mode"]), (Some(1), &"delta".into()), "{log}");
    assert_foretold(&world, &config, &report).await;

    // The plan alone on standard output, again and again the same.
    let change = modify(&format!("CN=anna,{people}"), "replace: title\ntitle: Lead");
    world.dc.admin_ldapmodify(&change).unwrap();
    let lines = world.agent(&config, &["--dry-run", "--plan", "-"]).await;
    let again = world.agent(&config, &["--dry-run", "--plan", "-"]).await;
    assert_eq!(lines.stdout, again.stdout);
    let text = String::from_utf8(lines.stdout).unwrap();
    let mut steps = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lead = steps
        .find(|step: &Json| step["change"] == "update")
        .unwrap();
    assert_eq!(lead["before"], serde_json::json!({"job_title": null}));
    assert_eq!(lead["after"], serde_json::json!({"job_title": "Lead"}));
    let (_, report, _) = dry(&world, &config, &[]).await;
    assert_foretold(&world, &config, &report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_works_beside_the_service_and_by_the_file() {
    let world = World::start(Some(people(60))).await;
    let config = world.configure("  remove_user_behavior: block", "");
    world.run(&config).await;
    let service = world.spawn(&config, &["--now"]);
    world.wait_equal().await;
    // The service keeps the index and its session; the dry run looks into the index beside it,
    // except while a batch is being written.
    let mut mode = Json::Null;
    for _ in 0..TRIES_MAX {
        let output = world.agent(&config, &["--dry-run", "-o", "json"]).await;
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        mode = report["mode"].clone();
        if mode == "delta" {
            break;
        }
    }
    assert_eq!(mode, "delta");
    assert_eq!(service.terminate().await, Some(0), "{}", world.log());

    // Switched on in the file: the program ends by itself and opens no session.
    let sessions = world.sessions().await.len();
    let found = world
        .dc
        .admin_ldapsearch(&["(department=*)", "dn"])
        .unwrap();
    let gone = dns(&found);
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    assert!(gone.len() > 20);
    world.dc.admin_ldapdelete(&gone).unwrap();
    let top = "dry_run: {enabled: true}";
    let config = world.configure("  remove_user_behavior: block", top);
    let output = world.agent(&config, &["-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let refused = report["refused"].as_str().unwrap();
    assert!(refused.contains("users would leave"), "{refused}");
    assert_eq!(world.sessions().await.len(), sessions);

    // A plan that a dry run wrote can be approved of before any run was refused.
    let plan = world.working_directory().with_extension("plan");
    let plan = plan.to_str().unwrap();
    let output = world.agent(&config, &["--plan", plan, "-o", "json"]).await;
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let hash = report["plan"].as_str().unwrap();
    let approved = world
        .agent(&config, &["approve", hash, "--plan", plan])
        .await;
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    let config = world.configure("  remove_user_behavior: block", "");
    assert_foretold(&world, &config, &report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanged_logins_are_foretold() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let names = ["anna", "boris", "clara"];
    let made = names.map(|name| new_user(name, &people));
    world.dc.admin_ldapmodify(&made.concat()).unwrap();
    let config = world.configure("", "");
    world.run(&config).await;
    let login = |name: &str, login: &str| {
        // The pool puts its own domain in place of this one.
        let login = format!("{login}@elsewhere.example");
        let dn = format!("CN={name},{people}");
        modify(
            &dn,
            &format!("replace: userPrincipalName\nuserPrincipalName: {login}"),
        )
    };
    let exchange = [
        login("anna", "nobody"),
        login("boris", "anna"),
        login("clara", "boris"),
        login("anna", "clara"),
    ];
    world.dc.admin_ldapmodify(&exchange.concat()).unwrap();
    let (code, report, log) = dry(&world, &config, &[]).await;
    assert_eq!(code, Some(0), "{log}");
    assert_foretold(&world, &config, &report).await;
    world.assert_equal().await;
}
