//! `rollcall operation` and `rollcall endpoint`.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_has_ended() {
    let world = World::start().await;
    world.done(&["organization", "update", "--title", "Corp"]);
    let operations = world.json(&["organization", "operations"]);
    let id = operations[0]["id"].as_str().unwrap();
    let waited = world.json(&["operation", "wait", id, "--timeout", "1m"]);
    assert_eq!(waited["done"], true);
    assert_eq!(waited["response"]["title"], "Corp");
    world.fails(&["operation", "cancel", id], 1, "");
    world.fails(&["operation", "wait", "ops-none"], 1, "not found");
    world.fails(&["operation", "cancel", "ops-none"], 1, "not found");
    world.fails(&["operation", "wait", id, "--timeout", "soon"], 2, "15m");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints() {
    let world = World::start().await;
    let all = world.json(&["endpoint", "list"]);
    assert!(all.as_array().unwrap().len() >= 4, "{all}");
    let one = world.json(&["endpoint", "get", "iam"]);
    assert!(all.as_array().unwrap().contains(&one));
    world.fails(&["endpoint", "get", "shoe"], 1, "");
}
