//! The official SDK for Python, unmodified, against the real program over TLS.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/running_hub.rs"]
mod running_hub;

use std::path::Path;
use std::process::Command;

use running_hub::RunningHub;

/// Names a Python that has the official package installed; `cargo xtask test` makes one.
const PYTHON_VARIABLE: &str = "ROLLCALL_PYTHON";

#[test]
fn the_official_sdk_works_unmodified() {
    let python = std::env::var_os(PYTHON_VARIABLE).unwrap_or_else(|| {
        panic!(
            "{PYTHON_VARIABLE} is not set: run the tests with `cargo xtask test`, which prepares a \
             Python with the official package `yandexcloud`"
        )
    });
    let hub = RunningHub::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python_sdk/scenario.py");

    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .args([&hub.key, &hub.ca])
        .args([&hub.address, &hub.organization_id])
        .output()
        .expect("the Python of ROLLCALL_PYTHON starts");

    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}\n{stderr}");
}
