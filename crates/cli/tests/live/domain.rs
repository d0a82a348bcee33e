//! `rollcall userpool domains`.

use std::io::{BufRead as _, BufReader};

use crate::world::interrupt;
use crate::world_with_pool;

#[tokio::test(flavor = "multi_thread")]
async fn domains_come_and_go() {
    let world = world_with_pool().await;
    let domains = world.json(&["userpool", "domains", "list"]);
    assert_eq!(domains[0]["status"], "VALID");
    let built_in = domains[0]["domain"].as_str().unwrap();
    let keep = ["userpool", "domains", "delete", built_in, "--yes"];
    world.fails(&keep, 1, "");

    let add = ["userpool", "domains", "add", "corp.example"];
    let run = world.run_with(&add, "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let record = "_yandexcloud-challenge.corp.example. 300 IN TXT \"";
    assert!(run.out.starts_with(record), "{run:?}");
    assert_eq!(run.out.lines().count(), 1);
    assert!(run.err.contains("domains validate corp.example"), "{run:?}");
    world.fails(&add, 1, "");
    let found = world.json(&["userpool", "domains", "get", "corp.example"]);
    assert_eq!(found["status"], "NEED_TO_VALIDATE");
    let value = &found["challenges"][0]["dnsChallenge"]["value"];
    assert!(run.out.contains(value.as_str().unwrap()));
    let table = world.done(&["userpool", "domains", "list"]);
    assert!(table.contains("NEED_TO_VALIDATE"), "{table}");
    let filter = [
        "userpool",
        "domains",
        "list",
        "--filter",
        "status = \"VALID\"",
    ];
    assert_eq!(world.json(&filter).as_array().unwrap().len(), 1);

    let delete = ["userpool", "domains", "delete", "corp.example"];
    world.fails(&delete, 2, "--yes");
    world.done(&[&delete[..], &["--yes"]].concat());
    world.fails(&["userpool", "domains", "get", "corp.example"], 1, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_does_not_stop_the_looking() {
    let world = world_with_pool().await;
    world.done(&["userpool", "domains", "add", "corp.example"]);
    let validate = ["userpool", "domains", "validate", "corp.example"];
    let begun = world.json(&validate);
    assert!(begun["done"].is_null(), "{begun}");
    let id = begun["id"].as_str().unwrap();

    let mut program = world.start_program(&["operation", "wait", id]);
    let mut said = BufReader::new(program.stderr.take().unwrap()).lines();
    let progress = said.next().unwrap().unwrap();
    assert!(progress.contains(id), "{progress}");
    interrupt(&program);
    let last = said.next().unwrap().unwrap();
    assert!(last.contains("goes on"), "{last}");
    assert_eq!(program.wait().unwrap().code(), Some(130));
    world.fails(
        &["operation", "wait", id, "--timeout", "1s"],
        1,
        "still runs",
    );
    let cancelled = world.json(&["operation", "cancel", id]);
    assert_eq!(cancelled["id"], id);
}
