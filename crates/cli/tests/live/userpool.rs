//! `rollcall userpool` and `rollcall organization`: rules, deletion, operations.

use crate::world::World;
use crate::{PASSWORD, login, world_with_pool};

#[tokio::test(flavor = "multi_thread")]
async fn single_rules_of_a_pool_change() {
    let world = world_with_pool().await;
    let before = world.json(&["userpool", "get", "staff"]);
    let quality = &before["passwordQualityPolicy"];
    world.fails(&["userpool", "update", "staff"], 2, "nothing to change");

    let update = ["userpool", "update", "staff", "--password-max-days", "90"];
    let rest = [
        "--password-smart-two-classes",
        "30",
        "--bruteforce-block",
        "1h",
        "--allow-edit-self-login",
    ];
    let changed = world.json(&[&update[..], &rest].concat());
    assert_eq!(changed["passwordLifetimePolicy"]["maxDaysCount"], "90");
    let smart = &changed["passwordQualityPolicy"]["smart"];
    assert_eq!(smart["twoClasses"], "30");
    assert_eq!(smart["fourClasses"], quality["smart"]["fourClasses"]);
    assert_eq!(
        changed["passwordQualityPolicy"]["maxLength"],
        quality["maxLength"]
    );
    assert_eq!(changed["bruteforceProtectionPolicy"]["block"], "3600s");
    assert_eq!(
        changed["bruteforceProtectionPolicy"]["attempts"],
        before["bruteforceProtectionPolicy"]["attempts"]
    );
    assert_eq!(changed["userSettings"]["allowEditSelfLogin"], true);

    let fixed = [
        "--password-fixed-min-length",
        "12",
        "--password-fixed-digits-required",
    ];
    let changed = world.json(&[&["userpool", "update", "staff"], &fixed[..]].concat());
    let quality = &changed["passwordQualityPolicy"];
    assert_eq!(quality["fixed"]["minLength"], "12");
    assert!(quality["smart"].is_null(), "{quality}");

    let both = [&fixed[..], &["--password-smart-one-class", "3"]].concat();
    let both = [&["userpool", "update", "staff"], &both[..]].concat();
    world.fails(&both, 2, "not both");
    let days = ["userpool", "update", "staff", "--password-max-days", "731"];
    world.fails(&days, 2, "0..=730");
    let none = ["userpool", "update", "nobody", "--description", "x"];
    world.fails(&none, 2, "userpool list");

    let operations = world.json(&["userpool", "operations", "staff"]);
    assert_eq!(operations.as_array().unwrap().len(), 3, "{operations}");
    let table = world.done(&["userpool", "operations", "staff"]);
    assert!(table.contains("ops") && table.contains("done"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_may_be_given_to_a_new_pool() {
    let world = World::start().await;
    let create = ["userpool", "create", "staff", "--default-subdomain", "corp"];
    let rules = ["--password-max-days", "30", "--bruteforce-attempts", "5"];
    let pool = world.json(&[&create[..], &rules].concat());
    assert_eq!(pool["passwordLifetimePolicy"]["maxDaysCount"], "30");
    assert_eq!(pool["bruteforceProtectionPolicy"]["attempts"], "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_deleted_when_it_is_empty() {
    let world = world_with_pool().await;
    let anna = login(&world, "anna");
    world.done_with(&["user", "create", &anna, "--full-name", "Anna"], PASSWORD);
    world.fails(&["userpool", "delete", "staff"], 2, "--yes");
    world.fails(&["userpool", "delete", "staff", "--yes"], 1, "user");
    world.done(&["user", "delete", &anna, "--yes"]);
    world.done(&["userpool", "delete", "staff", "--yes"]);
    world.fails(&["userpool", "get", "staff"], 2, "userpool list");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organization_changes() {
    let world = World::start().await;
    let before = world.json(&["organization", "list"])[0].clone();
    let update = ["organization", "update", "--title", "Corp, Inc."];
    let changed = world.json(&[&update[..], &["--label", "env=test"]].concat());
    assert_eq!(changed["title"], "Corp, Inc.");
    assert_eq!(changed["labels"]["env"], "test");
    assert_eq!(changed["name"], before["name"], "what is not given stays");
    let changed = world.json(&["organization", "update", "--no-labels"]);
    assert!(changed["labels"].is_null());
    world.fails(&["organization", "update"], 2, "nothing to change");
    let operations = world.json(&["organization", "operations"]);
    assert_eq!(operations.as_array().unwrap().len(), 2, "{operations}");
    let line = world.done(&["organization", "operations", "-o", "jsonl"]);
    assert_eq!(line.lines().count(), 2, "{line}");
}
