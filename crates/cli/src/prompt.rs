//! Questions to the person at the terminal.
//!
//! Invariant: a password is never echoed, and the terminal is put back as it was. Without a
//! terminal nothing is asked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::Path;

use rollcall_kit::secret::SecretString;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::failure::Failure;

/// Most bytes of a line with a secret; a token, the longest of them, is far shorter.
const SECRET_BYTES: u64 = 65_536;

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

/// Reads the present password: from a pipe its next line, from a terminal without echo.
///
/// # Errors
/// When there is none.
pub fn password() -> Result<SecretString, Failure> {
    if io::stdin().is_terminal() {
        ask_secret("Password: ")
    } else {
        secret_line()
    }
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
    let secret = first_line(io::stdin().lock()).map_err(unreadable)?;
    if secret.is_empty() {
        return Err(Failure::usage(
            "there is nothing on standard input: type the secret, or give it there",
        ));
    }
    Ok(secret)
}

/// Reads a secret from the first line of `file`.
///
/// # Errors
/// `Usage` when the file cannot be read, or its first line is empty.
pub fn secret_of_file(file: &Path) -> Result<SecretString, Failure> {
    let name = file.display();
    let secret = File::open(file)
        .and_then(|open| first_line(BufReader::new(open)))
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    if secret.is_empty() {
        return Err(Failure::usage(format!(
            "the first line of {name} is empty: the secret stands there"
        )));
    }
    Ok(secret)
}

fn first_line(source: impl BufRead) -> io::Result<SecretString> {
    let mut line = String::new();
    source.take(SECRET_BYTES).read_line(&mut line)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(SecretString::new(line))
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
