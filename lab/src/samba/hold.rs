//! A domain controller that can read but not write, so that a change stays on its way.
//!
//! Invariant: when the [`Hold`] is dropped the write that waited is done, unless the controller was
//! killed meanwhile.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{Dc, template};

const HOLD_WRITES: &str = include_str!("../../hold_writes.py");
const HELD: &str = "held";

/// As long as it lives nothing is written.
#[derive(Debug)]
pub struct Hold {
    holder: Child,
    leash: Option<ChildStdin>,
}

impl Dc {
    /// Takes the lock of the database. The first write from now on waits, and with it everything that
    /// is asked after it.
    ///
    /// # Errors
    /// When the lock cannot be had.
    pub fn hold_writes(&self) -> Result<Hold> {
        let mut holder = template::script(HOLD_WRITES, &self.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the script that holds the lock")?;
        let leash = holder.stdin.take();
        let said = holder.stdout.take().context("it has a standard output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        ensure!(
            line.trim() == HELD,
            "the database could not be locked: {line:?}"
        );
        Ok(Hold { holder, leash })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leash = None;
        // It ends with its standard input.
        self.holder.wait().ok();
    }
}
