//! The scenarios of `services.rs` over REST: the same calls, the same answers, the same transcripts.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)] // not every test binary needs all of it
#[path = "support/harness.rs"]
mod harness;
#[path = "support/name_server.rs"]
mod name_server;
#[path = "services/scenarios.rs"]
mod scenarios;

use std::collections::BTreeSet;
use std::path::Path;

/// Files below `services` that are about gRPC, or no scenarios.
const GRPC_ONLY: [&str; 8] = [
    "access_matrix",
    "audit_promise",
    "audit_refusal",
    "contract",
    "idempotency",
    "page_token",
    "postgres",
    "scenarios",
];

/// The names of the files in `folder` that end in `ending`.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(ending).map(str::to_owned)
        })
        .collect()
}

#[test]
fn every_scenario_runs_over_both_transports() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let declared: BTreeSet<String> = include_str!("services/scenarios.rs")
        .lines()
        .map(|line| line.trim_start_matches("pub(crate) "))
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let mut files = names(&tests.join("services"), ".rs");
    for name in GRPC_ONLY {
        assert!(files.remove(name), "{name} is no file any more");
    }
    assert_eq!(
        files, declared,
        "declare scenarios in services/scenarios.rs"
    );

    for snapshot in names(&tests.join("snapshots"), ".snap") {
        let (module, test) = snapshot.split_once("__").expect(&snapshot);
        let test = test.trim_end_matches("-2");
        let scenario = std::fs::read_to_string(tests.join(format!("services/{module}.rs")));
        assert!(
            scenario.unwrap().contains(&format!("async fn {test}()")),
            "{snapshot} has no test any more"
        );
    }
}
