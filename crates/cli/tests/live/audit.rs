//! `rollcall audit`.

use std::io::{BufRead as _, BufReader};

use serde_json::Value as Json;

use crate::world::{World, interrupt};
use crate::world_with_pool;

fn types(events: &Json) -> Vec<&str> {
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| event["eventType"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_what_is_known_of_them() {
    let world = world_with_pool().await;
    world.done(&["group", "create", "Staff"]);
    let refused = world.run_with(&["group", "create", "Staff"], "");
    assert_eq!(refused.code, Some(1));
    let group = world.json(&["group", "get", "Staff"]);
    let group = group["id"].as_str().unwrap();

    let created = world.json(&["audit", "list", "--type", "CreateGroup"]);
    let name = "yandex.cloud.audit.organizationmanager.CreateGroup";
    assert_eq!(types(&created), [name, name]);
    let status = |event: &Json| event["eventStatus"].as_str().unwrap().to_owned();
    assert_eq!(status(&created[0]), "ERROR", "newest first: {created}");
    assert_eq!(status(&created[1]), "DONE");
    let errors = world.json(&["audit", "list", "--status", "error"]);
    assert_eq!(errors[0], created[0]);
    let of_group = world.json(&["audit", "list", "--resource", group]);
    assert_eq!(of_group[0], created[1]);
    assert_eq!(of_group.as_array().unwrap().len(), 1);
    let id = created[1]["eventId"].as_str().unwrap();
    assert_eq!(world.json(&["audit", "get", id]), created[1]);
    world.fails(&["audit", "get", "none"], 1, "");

    let of_pool = world.json(&["audit", "list", "--pool", "staff"]);
    assert_eq!(
        types(&of_pool),
        ["yandex.cloud.audit.organizationmanager.idp.CreateUserpool"]
    );
    let caller = created[1]["authentication"]["subjectId"].as_str().unwrap();
    // Each call of the program signs in, which is an event, too.
    let changes = ["audit", "list", "--type", "CreateGroup"];
    let changes = [&changes[..], &["--type", "CreateUserpool"]].concat();
    let by_caller = world.json(&[&changes[..], &["--subject", caller]].concat());
    assert_eq!(by_caller.as_array().unwrap().len(), 3, "{by_caller}");
    let name = created[1]["authentication"]["subjectName"]
        .as_str()
        .unwrap();
    let by_name = world.json(&[&changes[..], &["--subject", name]].concat());
    assert_eq!(by_name, by_caller);

    let recent = world.json(&["audit", "list", "--since", "1h"]);
    assert!(recent.as_array().unwrap().len() >= 3);
    let old = world.json(&["audit", "list", "--until", "1h"]);
    assert_eq!(old, serde_json::json!([]));
    world.fails(&["audit", "list", "--since", "yesterday"], 2, "2h");
    world.fails(&["audit", "list", "--filter", "shoe = \"x\""], 1, "shoe");

    let lines = world.done(&["audit", "list", "--type", "CreateGroup", "-o", "jsonl"]);
    let lines: Vec<Json> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(Json::Array(lines), created);
    let table = world.done(&["audit", "list", "--type", "CreateGroup"]);
    assert!(table.starts_with("TIME"), "{table}");
    assert!(table.contains("group Staff"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_events_are_followed_until_ctrl_c() {
    let world = World::start().await;
    world.done(&["group", "create", "Before"]);
    world.fails(&["audit", "list", "--follow", "-o", "json"], 2, "jsonl");
    let until = ["audit", "list", "--follow", "--until", "1h"];
    world.fails(&until, 2, "cannot be used with");

    let follow = ["audit", "list", "--since", "1h", "--follow"];
    let groups = ["--type", "CreateGroup", "-o", "jsonl"];
    let mut program = world.start_program(&[&follow[..], &groups].concat());
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut next = || -> Json { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let group = |event: &Json| event["requestParameters"]["name"].clone();
    loop {
        if group(&next()) == "Before" {
            break;
        }
    }
    world.done(&["group", "create", "After"]);
    assert_eq!(group(&next()), "After", "each event comes once");
    interrupt(&program);
    assert_eq!(program.wait().unwrap().code(), Some(0));
    assert!(lines.next().is_none());
}
