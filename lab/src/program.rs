//! Running a program to its end, with an error that shows what it said.
//!
//! Deliberately absent: servers (see `keeper`) and time limits; the programs of the lab are short.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs `command` and returns its standard output.
///
/// # Errors
/// When it cannot be started, or fails; then with its exit status and output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = name(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {name}"))?;
    text(&name, &output)
}

/// As [`run`], with `input` as standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let name = name(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early breaks the pipe; its own message says more than that.
        stdin.write_all(input.as_bytes()).ok();
    }
    text(&name, &child.wait_with_output()?)
}

fn name(command: &Command) -> String {
    OsStr::to_string_lossy(command.get_program()).into_owned()
}

fn text(name: &str, output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{name} failed ({}):\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}
