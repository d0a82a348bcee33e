//! Questions to the person at the terminal.
//!
//! Invariant: a password is never echoed, and the terminal is put back as it was. Without a
//! terminal nothing is asked.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rollcall_kit::secret::SecretString;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::failure::Failure;

/// Asks whether to go on.
///
/// # Errors
/// `Usage` without a terminal.
pub fn confirm(what: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{what} needs a confirmation, and there is no terminal: give --yes"
        )));
    }
    eprint!("{what}? [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(unreadable)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Reads a password: from a pipe its first line, from a terminal twice without echo.
///
/// # Errors
/// When there is none, or the two differ.
pub fn new_password() -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return secret_line();
    }
    let first = ask_secret("Password: ")?;
    let again = ask_secret("Again: ")?;
    if first != again {
        return Err(Failure::usage("the two passwords differ: try again"));
    }
    Ok(first)
}

/// Reads a token: from a pipe its first line, from a terminal without echo.
///
/// # Errors
/// When there is none.
pub fn token() -> Result<SecretString, Failure> {
    if io::stdin().is_terminal() {
        ask_secret("Token: ")
    } else {
        secret_line()
    }
}

fn ask_secret(question: &str) -> Result<SecretString, Failure> {
    eprint!("{question}");
    let _ = io::stderr().flush();
    let echo = NoEcho::start()?;
    let secret = secret_line();
    drop(echo);
    eprintln!();
    secret
}

/// Reads a secret line from standard input.
///
/// # Errors
/// When there is none.
pub fn secret_line() -> Result<SecretString, Failure> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(unreadable)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    let secret = SecretString::new(line);
    if secret.is_empty() {
        return Err(Failure::usage(
            "there is nothing on standard input: type the secret, or give it there",
        ));
    }
    Ok(secret)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::usage(format!("cannot read standard input: {error}"))
}

/// A terminal that does not show what is typed, until this is dropped.
struct NoEcho {
    before: Termios,
}

impl NoEcho {
    fn start() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| {
            Failure::usage(format!(
                "cannot hide what is typed on this terminal: {error}"
            ))
        };
        let before = termios::tcgetattr(io::stdin()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
