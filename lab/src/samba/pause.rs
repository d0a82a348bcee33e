//! A domain controller that says nothing more, as on a machine that hangs.
//!
//! Invariant: its connections stay open, and new ones are taken by the kernel; when the [`Pause`] is
//! dropped everything goes on where it was.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Dc;

/// As long as it lives the controller hangs.
#[derive(Debug)]
pub struct Pause {
    processes: Vec<Pid>,
}

impl Dc {
    /// Stops every process of it in its tracks.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<Pause> {
        let server = self
            .server
            .as_ref()
            .context("the domain controller does not run")?;
        let processes = server.processes()?.into_iter().filter_map(Pid::from_raw);
        let processes: Vec<Pid> = processes.collect();
        ensure!(!processes.is_empty(), "the domain controller does not run");
        let pause = Pause { processes };
        pause.signal(Signal::STOP);
        Ok(pause)
    }
}

impl Pause {
    /// A process that ended meanwhile cannot be told anything.
    fn signal(&self, signal: Signal) {
        for process in &self.processes {
            kill_process(*process, signal).ok();
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}
