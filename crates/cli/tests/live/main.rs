//! The program against a hub: every noun, what it prints and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod audit;
mod domain;
mod group;
mod operation;
mod reach;
mod service_account;
mod sign_in;
mod userpool;
mod world;

use rollcall_client::CallContext;
use rollcall_proto::idp::{
    ChangeInfo, ChangeType, CloseSessionRequest, OpenSessionRequest, OpenSessionResponse,
    ProgressEntry, RelatedObjectType, ReportSessionProgressRequest, SessionType,
    SynchronizationSession, open_session_response::SessionInfo,
};
use world::World;

const PASSWORD: &str = "Correct-Horse-7-battery\n";
const NT_HASH: &str = "31d6cfe0d16ae931b73c59d7e0c089c0\n";

async fn world_with_pool() -> World {
    let world = World::start().await;
    world.done(&["userpool", "create", "staff", "--default-subdomain", "corp"]);
    world
}

fn login(world: &World, name: &str) -> String {
    let pool = world.json(&["userpool", "get", "staff"]);
    format!("{name}@{}", pool["domains"][0].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_and_the_organization() {
    let world = World::start().await;
    let organization = world.json(&["organization", "list"])[0].clone();
    assert_eq!(organization["id"], world.made.organization_id.as_str());
    let id = world.made.organization_id.clone();
    assert_eq!(world.json(&["organization", "get", &id]), organization);
    world.fails(&["user", "list"], 2, "no pool");

    let create = ["userpool", "create", "staff", "--default-subdomain", "corp"];
    let pool = world.json(&[&create[..], &["--label", "env=test"]].concat());
    assert_eq!(pool["labels"]["env"], "test");
    assert_eq!(world.json(&["userpool", "get", "staff"]), pool);
    let pool_id = pool["id"].as_str().unwrap();
    assert_eq!(world.json(&["userpool", "get", pool_id]), pool);
    world.fails(&create, 1, "already exists");
    world.fails(&["userpool", "get", "nobody"], 2, "userpool list");

    let table = world.done(&["userpool", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(
        lines[0].starts_with("ID") && lines[1].contains("staff"),
        "{table}"
    );

    world.done(&[
        "userpool",
        "create",
        "guests",
        "--default-subdomain",
        "guests",
    ]);
    world.fails(&["user", "list"], 2, "--userpool");
    assert_eq!(
        world.json(&["user", "list", "--userpool", "staff"]),
        serde_json::json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users() {
    let world = world_with_pool().await;
    let (anna, ben) = (login(&world, "anna"), login(&world, "ben"));
    world.done_with(&["user", "create", &anna, "--full-name", "Анна"], PASSWORD);
    let create = [
        "user",
        "create",
        &ben,
        "--full-name",
        "Ben",
        "--external-id",
        "guid-1",
    ];
    let hash = ["--password-hash-file", "-", "--suspended"];
    world.done_with(&[&create[..], &hash].concat(), NT_HASH);
    let without_password = world.run_with(&["user", "create", "c@d", "--full-name", "C"], "");
    assert_eq!(without_password.code, Some(2), "{without_password:?}");

    let table = world.done(&["user", "list"]);
    assert!(
        table.contains("Анна") && table.contains("SUSPENDED"),
        "{table}"
    );
    let filter = ["user", "list", "--filter", "status = \"ACTIVE\""];
    assert_eq!(world.json(&filter).as_array().unwrap().len(), 1);
    world.fails(&["user", "list", "--filter", "shoe = \"x\""], 1, "shoe");
    let cut = world.run_with(&["user", "list", "--limit", "1", "-o", "json"], "");
    assert!(cut.err.contains("--limit"), "{cut:?}");
    let paged = world.json(&["user", "list", "--page-size", "1"]);
    assert_eq!(paged.as_array().unwrap().len(), 2);

    let update = [
        "user",
        "update",
        &anna,
        "--job-title",
        "Boss",
        "--email",
        "a@b.example",
    ];
    world.done(&update);
    let changed = world.json(&["user", "update", &anna, "--email", ""]);
    assert_eq!(changed["jobTitle"], "Boss");
    assert_eq!(changed["fullName"], "Анна", "what is not given stays");
    assert!(changed["email"].is_null());
    let end = "2099-01-31T18:00:00Z";
    let changed = world.json(&["user", "update", &anna, "--expires-at", end]);
    assert_eq!(changed["expiresAt"], end);
    let changed = world.json(&["user", "update", &anna, "--no-expiry"]);
    assert!(changed["expiresAt"].is_null());
    world.fails(&["user", "update", &anna], 2, "nothing to change");

    world.done(&["user", "suspend", &anna, "--reason", "left"]);
    assert_eq!(world.json(&["user", "get", &anna])["status"], "SUSPENDED");
    world.done(&["user", "reactivate", &anna]);
    assert_eq!(world.json(&["user", "get", &anna])["status"], "ACTIVE");
    world.done(&[
        "user",
        "convert-to-external",
        &anna,
        "--external-id",
        "guid-2",
    ]);
    let resolved = world.json(&["user", "resolve", "guid-2", "guid-9", "guid-1"]);
    assert_eq!(resolved[0]["externalId"], "guid-2");
    assert_eq!(resolved.as_array().unwrap().len(), 2);

    world.fails(&["user", "delete", &anna], 2, "--yes");
    world.done(&["user", "delete", &anna, "--yes"]);
    world.fails(&["user", "get", &anna], 2, "nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups() {
    let world = world_with_pool().await;
    let (anna, ben) = (login(&world, "anna"), login(&world, "ben"));
    for user in [&anna, &ben] {
        world.done_with(&["user", "create", user, "--full-name", "X"], PASSWORD);
    }
    let create = [
        "group",
        "create-external",
        "Staff",
        "--external-id",
        "g-1",
        "--make-editor",
    ];
    let group = world.json(&create);
    assert_eq!(world.json(&["group", "resolve-external", "g-1"]), group);
    let update = [
        "group",
        "update",
        "Staff",
        "--description",
        "all",
        "--label",
        "a=b",
    ];
    let changed = world.json(&update);
    assert_eq!(changed["description"], "all");
    assert_eq!(changed["labels"]["a"], "b");
    assert!(world.json(&["group", "update", "Staff", "--no-labels"])["labels"].is_null());
    assert_eq!(world.json(&["group", "get", "Staff"])["description"], "all");
    assert_eq!(world.json(&["group", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(
        world.json(&["group", "list-external"])[0]["externalId"],
        "g-1"
    );

    let both = format!("{anna},{ben}");
    world.done(&["group", "update-members", "Staff", "--add", &both]);
    assert_eq!(
        world
            .json(&["group", "members", "Staff"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    world.done(&["group", "update-members", "Staff", "--remove", &anna]);
    let left = world.json(&["group", "list-members", "Staff"]);
    let ben_id = world.json(&["user", "get", &ben])["id"].clone();
    assert_eq!(left[0]["subjectId"], ben_id);
    assert_eq!(left.as_array().unwrap().len(), 1);
    world.done(&["group", "delete", "Staff", "--yes"]);
    world.fails(&["group", "get", "Staff"], 2, "group list");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings() {
    let world = world_with_pool().await;
    world.fails(&["settings", "get"], 1, "not found");
    world.fails(&["settings", "create", "--interval", "30m"], 2, "--domain");
    let create = [
        "settings",
        "create",
        "--domain",
        "corp.example",
        "--interval",
        "30m",
    ];
    let scope = [
        "--organization-unit",
        "OU=People,DC=corp,DC=example",
        "--group",
        "Staff",
    ];
    let rest = [
        "--remove-user-behavior",
        "block",
        "--user-mapping",
        "email=userPrincipalName",
    ];
    let made = world.json(&[&create[..], &scope, &rest].concat());
    assert_eq!(made["synchronizationInterval"], "1800s");
    assert_eq!(made["removeUserBehavior"], "BLOCK");
    assert_eq!(made["userAttributeMappings"][0]["target"], "EMAIL");

    let update = [
        "settings",
        "update",
        "--interval",
        "1h",
        "--group",
        "A",
        "--group",
        "B",
    ];
    let changed = world.json(&update);
    assert_eq!(changed["filter"]["groups"], serde_json::json!(["A", "B"]));
    assert_eq!(
        changed["filter"]["organizationUnits"],
        made["filter"]["organizationUnits"]
    );
    assert_eq!(
        changed["removeUserBehavior"], "BLOCK",
        "what is not given stays"
    );
    assert_eq!(world.json(&["settings", "get"]), changed);
    world.fails(&["settings", "update", "--interval", "5m"], 1, "15m-6h");

    let attributes = world.json(&["settings", "list-supported-attributes"]);
    assert_eq!(
        attributes["userSupportedAttributes"][0]["targetAttribute"],
        "FULL_NAME"
    );
    world.done(&["settings", "reset-token", "--yes"]);
    world.done(&["settings", "delete", "--yes"]);
    world.fails(&["settings", "get"], 1, "not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_operations() {
    let world = world_with_pool().await;
    let client = world.client().await;
    let pool = world.json(&["userpool", "get", "staff"])["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let request = OpenSessionRequest {
        subject_container_id: pool,
        agent_id: "agent-1".into(),
        session_type: SessionType::AdSync.into(),
    };
    let operation = client
        .call_with_retry(&CallContext::mutation(), request, |hub, request| async move {
            hub.synchronization_sessions().open_session(request).await
        })
        .await
        .unwrap();
    let shown = world.json(&["operation", "get", &operation.id]);
    assert_eq!(shown["response"]["result"], "SUCCESS");
    let opened: OpenSessionResponse = client.wait(operation).await.unwrap();
    let Some(SessionInfo::OpenedSession(session)) = opened.session_info else {
        panic!("{opened:?}");
    };
    let request = ReportSessionProgressRequest {
        session_id: session.session_id.clone(),
        progress_entries: vec![ProgressEntry {
            object_type: RelatedObjectType::User.into(),
            change_info: vec![ChangeInfo {
                change_type: ChangeType::Create.into(),
                successful: 12,
                failed: 1,
            }],
        }],
    };
    let operation = client
        .call_with_retry(
            &CallContext::mutation(),
            request,
            |hub, request| async move {
                hub.synchronization_sessions()
                    .report_session_progress(request)
                    .await
            },
        )
        .await
        .unwrap();
    let _: SynchronizationSession = client.wait(operation).await.unwrap();

    let table = world.done(&["session", "list", "--type", "ad-sync"]);
    assert!(table.contains("USER create 12 (1 failed)"), "{table}");
    assert!(table.contains("OPENED"), "{table}");
    let hashes = world.json(&["session", "list", "--type", "ad-password-hash"]);
    assert_eq!(hashes, serde_json::json!([]));
    let shown = world.json(&["session", "get", &session.session_id]);
    assert_eq!(
        shown["progressEntries"][0]["changeInfo"][0]["successful"],
        "12"
    );

    let request = CloseSessionRequest {
        session_id: session.session_id.clone(),
        failed: true,
        fail_reason: "the directory went away".into(),
    };
    let operation =
        client
            .call_with_retry(
                &CallContext::mutation(),
                request,
                |hub, request| async move {
                    hub.synchronization_sessions().close_session(request).await
                },
            )
            .await
            .unwrap();
    let _: SynchronizationSession = client.wait(operation).await.unwrap();
    let watched = world.done(&["session", "get", &session.session_id, "--watch"]);
    assert!(watched.contains("the directory went away"), "{watched}");
    world.fails(&["operation", "get", "ops-none"], 1, "not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials() {
    let world = World::start().await;
    let token = world.done(&["token", "create"]);
    assert!(token.starts_with("t1.") && token.lines().count() == 1);

    let key = std::fs::read_to_string(&world.made.key).unwrap();
    let mut key: serde_json::Value = serde_json::from_str(&key).unwrap();
    key["id"] = "aje00000000000000000".into();
    let other = world.home.join("other.json");
    std::fs::write(&other, key.to_string()).unwrap();
    let other = other.to_str().unwrap();
    world.fails(&["organization", "list", "--key", other], 4, "credentials");

    let foreign = ["organization", "list", "--address", "localhost:1"];
    world.fails(&foreign, 1, "cannot be reached");
    let wrong_ca = world.home.join("ca.pem");
    std::fs::write(&wrong_ca, "no certificate").unwrap();
    let wrong_ca = wrong_ca.to_str().unwrap();
    world.fails(
        &["organization", "list", "--ca", wrong_ca],
        2,
        "certificate",
    );
}
