//! A server process on a leash: it cannot outlive its owner, and nothing it starts outlives it.
//!
//! Invariant: when [`Kept`] is dropped, stopped or killed, or when the owning process dies by any
//! signal, the server and all of its descendants end. The work is done by `keeper.py`, because the
//! needed process attributes (subreaper) must be set in a process of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};

const SCRIPT: &str = include_str!("keeper.py");
/// Debian's interpreter, the one that Samba's own modules need as well.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
/// How much of a server's log goes into an error message.
const LOG_TAIL_BYTES: usize = 2_000;

/// What to run and how to end it.
#[derive(Debug)]
pub(crate) struct Leash<'a> {
    /// Lock file of the address, see [`crate::address::Address::lock_path`].
    pub lock_path: &'a Path,
    /// Signal that asks the server to stop cleanly.
    pub stop_signal: i32,
    /// Seconds between that signal and SIGKILL.
    pub grace_seconds: u32,
    /// Where its output goes.
    pub log_path: &'a Path,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Kept {
    keeper: Child,
    leash: Option<ChildStdin>,
    log_path: PathBuf,
}

impl Kept {
    pub(crate) fn start(leash: &Leash<'_>, command: &[String]) -> Result<Self> {
        Self::start_with_env(leash, command, &[])
    }

    pub(crate) fn start_with_env(
        leash: &Leash<'_>,
        command: &[String],
        env: &[(&str, String)],
    ) -> Result<Self> {
        let mut keeper = Command::new(PYTHON)
            .args(["-I", "-c", SCRIPT])
            .arg(leash.lock_path)
            .arg(leash.stop_signal.to_string())
            .arg(leash.grace_seconds.to_string())
            .arg(leash.log_path)
            .args(command)
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {PYTHON} (is the package python3 installed?)"))?;
        Ok(Self {
            leash: keeper.stdin.take(),
            keeper,
            log_path: leash.log_path.to_path_buf(),
        })
    }

    /// Fails with the end of the server's log when the server has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.keeper.try_wait()? {
            bail!("the server ended ({status}):\n{}", self.log_tail());
        }
        Ok(())
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log_path).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    /// Every process of the server: the descendants of the keeper, who takes over orphans.
    ///
    /// # Errors
    /// When the list of processes cannot be read.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        let mut parents = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // `PID (NAME) STATE PARENT …`, and a name may hold anything; gone ones have none.
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let after_name = stat
                .rsplit_once(')')
                .map(|(_, rest)| rest.split_whitespace());
            let parent = after_name.and_then(|mut fields| fields.nth(1)?.parse::<i32>().ok());
            parents.extend(parent.map(|parent| (process, parent)));
        }
        let mut found = vec![i32::try_from(self.keeper.id())?];
        let mut looked_at = 0;
        while let Some(parent) = found.get(looked_at).copied() {
            let children = parents.iter().filter(|(_, above)| *above == parent);
            found.extend(children.map(|(process, _)| *process));
            looked_at += 1;
        }
        found.remove(0);
        Ok(found)
    }

    /// Stops cleanly and waits for the end of every process.
    pub(crate) fn stop(&mut self) {
        self.leash = None;
        // Only an already collected child makes this fail, and then there is nothing to wait for.
        self.keeper.wait().ok();
    }

    /// Kills every process at once, as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(leash) = &mut self.leash {
            // A keeper that has ended cannot read, and has killed everything already.
            leash.write_all(b"k").ok();
        }
        self.stop();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::address::Address;

    /// Processes with this argument.
    fn running(marker: &str) -> usize {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines
            .filter(|line| {
                line.split(|byte| *byte == 0)
                    .any(|arg| arg == marker.as_bytes())
            })
            .count()
    }

    /// A server that ignores the request to stop, and a helper of it in a session of its own whose
    /// parent ends at once, as Samba starts some.
    fn start(marker: &str, directory: &Path, address: &Address) -> Kept {
        let server =
            format!("trap '' TERM; (setsid sleep {marker} &); sleep {marker}; sleep {marker}");
        let leash = Leash {
            lock_path: address.lock_path(),
            stop_signal: 15,
            grace_seconds: 1,
            log_path: &directory.join("log"),
        };
        let command = ["sh", "-c", &server].map(str::to_owned);
        let mut kept = Kept::start(&leash, &command).unwrap();
        while running(marker) < 2 {
            kept.check_alive().unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        kept
    }

    #[test]
    fn nothing_survives_the_end_of_the_leash_nor_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::lease().unwrap();
        // Unusual durations, so that no other process has such an argument.
        let [stopped, killed] = [1, 2].map(|n| format!("98{n}.{:06}", std::process::id()));
        drop(start(&stopped, directory.path(), &address));
        assert_eq!(running(&stopped), 0);
        let mut kept = start(&killed, directory.path(), &address);
        kept.kill();
        assert_eq!(running(&killed), 0);
    }

    #[test]
    fn a_server_that_ends_by_itself_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::lease().unwrap();
        let leash = Leash {
            lock_path: address.lock_path(),
            stop_signal: 15,
            grace_seconds: 1,
            log_path: &directory.path().join("log"),
        };
        let command = ["sh", "-c", "echo no such luck; exit 3"].map(str::to_owned);
        let mut kept = Kept::start(&leash, &command).unwrap();
        let error = loop {
            match kept.check_alive() {
                Ok(()) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("no such luck"), "{error}");
    }
}
