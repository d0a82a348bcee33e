//! The one command that passes all tests: it installs what they need and then runs them.
//!
//! The tests start and stop their own servers (Samba, PostgreSQL, hubs); this command only sees to
//! it that the programs are there, and that a Python with the official SDK is found by the tests
//! through `ROLLCALL_PYTHON`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rollcall_lab::packages::{self, Consent, Need};

use crate::shell;

/// The official client that the hub must satisfy unmodified.
const PYTHON_REQUIREMENTS: &str = "crates/hub/tests/python_sdk/requirements.txt";

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
    /// Passed on to the test runner, for example a filter
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner_arguments: Vec<String>,
}

/// Installs what is missing, then runs every test of the workspace.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let consent = if arguments.yes {
        Consent::Given
    } else {
        Consent::Ask
    };
    packages::install(&Need::ALL, consent)?;
    let root = shell::workspace_root();
    let python = ensure_python(&root)?;
    let mut runner = shell::cargo();
    if shell::is_installed("cargo-nextest") {
        runner.args(["nextest", "run", "--workspace", "--locked"]);
        if std::env::var_os("CI").is_some() {
            runner.args(["--profile", "ci"]);
        }
    } else {
        runner.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    }
    shell::run(
        runner
            .args(&arguments.runner_arguments)
            .env("ROLLCALL_PYTHON", python),
    )
}

/// A virtual environment below `target` with the official SDK, made once per list of packages.
fn ensure_python(root: &Path) -> anyhow::Result<PathBuf> {
    let requirements = root.join(PYTHON_REQUIREMENTS);
    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {PYTHON_REQUIREMENTS}"))?;
    let environment = root.join("target/python");
    let python = environment.join("bin/python");
    let mark = environment.join("requirements.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    shell::run(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    shell::run(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&requirements),
    )?;
    std::fs::write(&mark, wanted).context("cannot mark the environment as complete")?;
    Ok(python)
}
