//! `rollcall service-account`, `rollcall key` and tokens.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use crate::world::World;

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts() {
    let world = World::start().await;
    let create = ["service-account", "create", "agent", "--description", "x"];
    let made = world.json(&create);
    assert_eq!(made["status"], "ACTIVE");
    world.fails(&create, 1, "already exists");
    world.fails(&["sa", "create", "Not A Name"], 1, "name");
    let id = text(&made["id"]);
    assert_eq!(world.json(&["sa", "get", "agent"]), made);
    assert_eq!(world.json(&["sa", "get", id]), made);
    world.fails(&["sa", "get", "nobody"], 2, "service-account list");
    let table = world.done(&["sa", "list", "--filter", "name = \"agent\""]);
    assert_eq!(table.lines().count(), 2, "{table}");

    let update = ["sa", "update", "agent", "--name", "sync-agent"];
    let changed = world.json(&update);
    assert_eq!(changed["name"], "sync-agent");
    assert_eq!(changed["description"], "x", "what is not given stays");
    world.fails(&["sa", "update", "sync-agent"], 2, "nothing to change");
    let off = world.json(&["sa", "disable", "sync-agent"]);
    assert_eq!(off["status"], "DISABLED");
    let on = world.json(&["sa", "enable", "sync-agent"]);
    assert_eq!(on["status"], "ACTIVE");

    let operations = world.json(&["sa", "operations", "sync-agent"]);
    assert_eq!(operations.as_array().unwrap().len(), 4, "{operations}");
    world.fails(&["sa", "delete", "sync-agent"], 2, "--yes");
    world.done(&["sa", "delete", "sync-agent", "--yes"]);
    world.fails(&["sa", "get", "sync-agent"], 2, "service-account list");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_signs_in_until_it_is_disabled() {
    let world = World::start().await;
    let account = world.json(&["service-account", "create", "agent"]);
    let path = world.home.join("agent.json");
    let file = path.to_str().unwrap();
    let create = [
        "key",
        "create",
        "agent",
        "--file",
        file,
        "--description",
        "d",
    ];
    let shown = world.done(&create);
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let written: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["service_account_id"], account["id"]);
    assert_eq!(written["key_algorithm"], "RSA_2048");
    let (comment, pem) = text(&written["private_key"]).split_once('\n').unwrap();
    assert!(comment.contains(text(&written["id"])));
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(text(&written["created_at"]).ends_with('Z'));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    world.fails(&create, 2, "not overwritten");
    let unknown = world.home.join("unknown.json");
    let unknown_file = unknown.to_str().unwrap();
    let nobody = [
        "key",
        "create",
        "aje00000000000000000",
        "--file",
        unknown_file,
    ];
    world.fails(&nobody, 1, "");
    assert!(!unknown.exists(), "a file without a key does not stay");

    let own_token = ["token", "create", "--key", file];
    assert!(world.done(&own_token).starts_with("t1."));
    let piped = world.done(&["key", "create", "agent", "--file", "-"]);
    let piped: Json = serde_json::from_str(&piped).unwrap();
    assert_ne!(piped["id"], written["id"]);

    let id = text(&written["id"]);
    let found = world.json(&["key", "get", id]);
    assert_eq!(found["description"], "d");
    assert!(!found.to_string().contains("PRIVATE"), "{found}");
    let keys = world.json(&["key", "list", "agent"]);
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let table = world.done(&["key", "list", "agent"]);
    assert!(table.contains("LAST USED") && table.contains(id), "{table}");

    assert_eq!(world.json(&["key", "disable", id])["status"], "DISABLED");
    world.fails(&own_token, 4, "credentials");
    assert_eq!(world.json(&["key", "enable", id])["status"], "ACTIVE");
    world.done(&own_token);
    world.fails(&["key", "delete", id], 2, "--yes");
    world.done(&["key", "delete", id, "--yes"]);
    world.fails(&own_token, 4, "credentials");
    world.fails(&["key", "get", id], 1, "not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_others_are_made_and_ended() {
    let world = World::start().await;
    world.done(&["service-account", "create", "agent"]);
    let token = world.done(&["token", "create", "--service-account", "agent"]);
    assert!(token.starts_with("t1.") && token.lines().count() == 1);
    let nobody = ["token", "create", "--service-account", "nobody"];
    world.fails(&nobody, 2, "service-account list");
    world.fails(&["token", "revoke"], 2, "standard input");

    let ended = world.done_with(&["token", "revoke"], &token);
    assert!(!ended.contains(token.trim()), "{ended}");
    let again = world.run_with(&["token", "revoke"], "t1.no.token\n");
    assert_ne!(again.code, Some(0), "{again:?}");
    assert!(!again.err.contains("t1.no.token"), "{again:?}");
}
