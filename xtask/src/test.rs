//! The one command that passes all tests: it installs what they need and then runs them.
//!
//! The tests start and stop their own servers (Samba, PostgreSQL, hubs); this command only sees to
//! it that the programs are there, and that the tests find the official SDKs: a Python with one
//! through `ROLLCALL_PYTHON`, the packages of Node.js with the other through
//! `ROLLCALL_NODE_MODULES`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rollcall_lab::packages::{self, Consent, Need};

use crate::shell;

/// The official client that the hub must satisfy unmodified, and the judges of its REST interface.
const PYTHON_REQUIREMENTS: &str = "crates/hub/tests/python_sdk/requirements.txt";

/// The official client for Node.js; the lock file comes last.
const NODE_PACKAGES: [&str; 2] = ["package.json", "package-lock.json"];
const NODE_SOURCE: &str = "crates/hub/tests/node_sdk";

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
    let mut needs = Need::ALL.to_vec();
    if !shell::is_installed("npm") {
        needs.push(Need::Node);
    }
    packages::install(&needs, consent)?;
    let root = shell::workspace_root();
    let python = ensure_python(&root)?;
    let node_modules = ensure_node_modules(&root)?;
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
            .env("ROLLCALL_PYTHON", python)
            .env("ROLLCALL_NODE_MODULES", node_modules),
    )
}

/// A virtual environment below `target` with those packages, made once per list of them.
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

/// A folder `node_modules` below `target` with the locked packages, made once per lock file.
fn ensure_node_modules(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target/node");
    let modules = folder.join("node_modules");
    let mark = folder.join("installed.json");
    std::fs::create_dir_all(&folder).context("cannot make target/node")?;
    let mut wanted = String::new();
    for name in NODE_PACKAGES {
        let source = root.join(NODE_SOURCE).join(name);
        wanted = std::fs::read_to_string(&source)
            .with_context(|| format!("cannot read {NODE_SOURCE}/{name}"))?;
        std::fs::write(folder.join(name), &wanted).context("cannot write to target/node")?;
    }
    if modules.is_dir() && std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(modules);
    }
    shell::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(&folder),
    )?;
    std::fs::write(&mark, wanted).context("cannot mark the packages as complete")?;
    Ok(modules)
}
