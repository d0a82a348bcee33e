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
    let stdin = child.stdin.take();
    // Both at once: a program that says much while it reads would wait for its output to be read.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends early breaks the pipe; its own message says more than that.
            stdin.map(|mut stdin| stdin.write_all(input.as_bytes()).ok())
        });
        child.wait_with_output()
    });
    text(&name, &output?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_output_may_be_longer_than_a_pipe_holds() {
        let input = "dn: CN=somebody\n".repeat(1 << 16);
        let output = run_with_input(&mut Command::new("cat"), &input).unwrap();
        assert!(output == input, "{} bytes", output.len());
    }
}
