//! `rollcall group`: ordinary groups, ties to a directory, memberships.

use serde_json::json;

use crate::{PASSWORD, login, world_with_pool};

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_groups() {
    let world = world_with_pool().await;
    let create = ["group", "create", "Staff", "--description", "all"];
    let made = world.json(&[&create[..], &["--label", "a=b"]].concat());
    assert_eq!(made["description"], "all");
    assert_eq!(made["labels"]["a"], "b");
    world.fails(&create, 1, "already exists");

    let anna = login(&world, "anna");
    world.done_with(&["user", "create", &anna, "--full-name", "Anna"], PASSWORD);
    assert_eq!(world.json(&["group", "effective", &anna]), json!([]));
    world.done(&["group", "update-members", "Staff", "--add", &anna]);
    let groups = world.json(&["group", "effective", &anna]);
    assert_eq!(groups[0]["groupName"], "Staff");
    let table = world.done(&["group", "effective", &anna]);
    assert!(
        table.contains("GROUP ID") && table.contains("Staff"),
        "{table}"
    );
    world.fails(&["group", "effective", "x@no.example"], 2, "no pool has");

    let operations = world.json(&["group", "operations", "Staff"]);
    assert_eq!(operations.as_array().unwrap().len(), 2, "{operations}");
    world.fails(&["group", "operations", "Nobody"], 2, "group list");
}

#[tokio::test(flavor = "multi_thread")]
async fn ties_to_a_directory_come_and_go() {
    let world = world_with_pool().await;
    world.done(&["group", "create", "Staff"]);
    let convert = [
        "group",
        "convert-to-external",
        "Staff",
        "--external-id",
        "g-1",
    ];
    let tied = world.json(&convert);
    assert_eq!(tied["externalId"], "g-1");
    assert_eq!(world.json(&["group", "list-external"])[0]["id"], tied["id"]);
    world.fails(&["group", "convert-all-to-basic"], 2, "--yes");
    world.done(&["group", "convert-all-to-basic", "--yes"]);
    assert_eq!(world.json(&["group", "list-external"]), json!([]));
    assert!(world.json(&["group", "get", "Staff"])["externalId"].is_null());
}
