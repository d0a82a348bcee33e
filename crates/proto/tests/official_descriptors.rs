//! Our contract equals the one inside the official Python package.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Names a Python that has the official package installed; `cargo xtask test` makes one.
const PYTHON_VARIABLE: &str = "ROLLCALL_PYTHON";

#[test]
fn every_file_equals_the_official_one() {
    let python = std::env::var_os(PYTHON_VARIABLE).unwrap_or_else(|| {
        panic!(
            "{PYTHON_VARIABLE} is not set: run the tests with `cargo xtask test`, which prepares a \
             Python with the official package `yandexcloud`"
        )
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rollcall_proto::FILE_DESCRIPTOR_SET).unwrap();
    file.flush().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_descriptors.py");

    let output = Command::new(python)
        .arg(script)
        .arg(file.path())
        .output()
        .expect("the Python of ROLLCALL_PYTHON starts");

    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
