//! People sign in at the hub with the passwords they have in the directory.
//!
//! Invariant: tried with the program that people use, and the passwords come from the one who made
//! the domain; neither the agent nor the hub is asked for them.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, bail};
use rollcall_lab::oracle::State;

use super::stage::Stage;

/// How many people try it: each costs a process and the work of a password hash.
const PEOPLE_MAX: usize = 20;

/// Lets some people of the hub sign in; returns how many have tried and who was refused.
///
/// # Errors
/// When the program cannot be started, or nobody is there who could try.
pub fn try_all(stage: &Stage, found: &State) -> anyhow::Result<(usize, Vec<String>)> {
    let suffix = format!("@{}", stage.domain);
    let people: Vec<(&str, u32)> = found
        .users
        .values()
        .filter(|user| user.active)
        .filter_map(|user| {
            let number = user.username.strip_suffix(&suffix)?.strip_prefix('u')?;
            Some((user.username.as_str(), number.parse().ok()?))
        })
        .take(PEOPLE_MAX)
        .collect();
    if people.is_empty() {
        bail!("the hub has nobody who could sign in");
    }
    let mut refused = Vec::new();
    for (login, number) in &people {
        if let Err(why) = sign_in(stage, login, &stage.dc.password_of(*number))? {
            refused.push(format!("{login}: {why}"));
        }
    }
    Ok((people.len(), refused))
}

/// `rollcall sign-in`; what it said when it was refused.
fn sign_in(stage: &Stage, login: &str, password: &str) -> anyhow::Result<Result<(), String>> {
    let mut program = stage
        .programs
        .command("rollcall")
        .args(["sign-in", login])
        .env("ROLLCALL_ADDRESS", &stage.hub.address)
        .env("ROLLCALL_CA", &stage.hub.ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start rollcall")?;
    let mut input = program.stdin.take().context("no input of rollcall")?;
    writeln!(input, "{password}")?;
    drop(input);
    let output = program.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Err(said))
}
