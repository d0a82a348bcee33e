//! The official SDK for Node.js, unmodified, against the real program over TLS.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/running_hub.rs"]
mod running_hub;

use std::path::Path;
use std::process::Command;

use running_hub::RunningHub;

/// Names a folder `node_modules` with the official package; `cargo xtask test` makes one.
const MODULES_VARIABLE: &str = "ROLLCALL_NODE_MODULES";

#[test]
fn the_official_sdk_for_node_works_unmodified() {
    let modules = std::env::var_os(MODULES_VARIABLE).unwrap_or_else(|| {
        panic!(
            "{MODULES_VARIABLE} is not set: run the tests with `cargo xtask test`, which installs \
             the official package `@yandex-cloud/nodejs-sdk`"
        )
    });
    let hub = RunningHub::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_sdk/scenario.mjs");

    let output = Command::new("node")
        .arg(script)
        .arg(modules)
        .args([&hub.key, &hub.ca])
        .args([&hub.address, &hub.organization_id])
        // What the SDK trusts when it asks for a token; gRPC's own variable wins where it is set.
        .env("NODE_EXTRA_CA_CERTS", &hub.ca)
        .env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", &hub.ca)
        .output()
        .expect("node starts");

    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}\n{stderr}");
}
