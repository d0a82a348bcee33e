//! The three programs of the project, as a person would run them.
//!
//! Invariant: the demo uses only what users have: the programs, their options and their output.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::shell;

/// How long a hub may take to stop before it is killed, and how often to look.
const STOP_POLLS_MAX: u32 = 100;
const STOP_POLL: Duration = Duration::from_millis(100);

/// The programs, built.
pub struct Programs {
    folder: PathBuf,
}

/// A hub and what is needed to talk to it.
pub struct Hub {
    process: Child,
    /// `host:port` of its one port.
    pub address: String,
    /// Its certificate authority.
    pub ca: PathBuf,
    /// The administrator's key.
    pub key: PathBuf,
    /// The organization made by `init`.
    pub organization_id: String,
}

impl Programs {
    /// Builds the programs with a Cargo profile.
    pub fn build(profile: &str) -> anyhow::Result<Self> {
        shell::run(
            shell::cargo()
                .args(["build", "--locked", "--profile", profile])
                .args([
                    "--package",
                    "rollcall-hub",
                    "--package",
                    "rollcall-agent",
                    "--package",
                    "rollcall",
                ]),
        )?;
        let folder = if profile == "dev" { "debug" } else { profile };
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| shell::workspace_root().join("target"), PathBuf::from);
        Ok(Self {
            folder: target.join(folder),
        })
    }

    /// A command that runs the program of this name.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }

    /// Where the program of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a data directory and starts a hub on it, on a free port of the loopback address.
    pub fn start_hub(&self, data: &Path) -> anyhow::Result<Hub> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let made = shell::output_of(
            self.command("rollcall-hub")
                .args(["init", "--organization", "demo", "-o", "json"])
                .args([
                    "--address".as_ref(),
                    address.as_ref(),
                    "--data".as_ref(),
                    data.as_os_str(),
                ]),
        )?;
        let made: Value = serde_json::from_str(&made).context("`rollcall-hub init` prints JSON")?;
        let log = std::fs::File::create(data.join("hub.log"))?;
        let mut process = self
            .command("rollcall-hub")
            .args(["serve".as_ref(), "--data".as_ref(), data.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the agent; the hub is stopped after it.
            .process_group(0)
            .spawn()
            .context("cannot start rollcall-hub")?;
        let output = process.stdout.take().context("no output of rollcall-hub")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let hub = Hub {
            process,
            address,
            ca: PathBuf::from(text(&made, "ca")?),
            key: PathBuf::from(text(&made, "key")?),
            organization_id: text(&made, "organization_id")?.to_owned(),
        };
        if !line.contains("ready") {
            bail!(
                "the hub did not start; see {}",
                data.join("hub.log").display()
            );
        }
        Ok(hub)
    }

    /// The command line of an administrator of this hub.
    pub fn rollcall(&self, hub: &Hub, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.command("rollcall");
        command
            .env("ROLLCALL_ADDRESS", &hub.address)
            .env("ROLLCALL_CA", &hub.ca)
            .env("ROLLCALL_KEY", &hub.key)
            .args(arguments)
            .args(["-o", "json"]);
        let output = shell::output_of(&mut command)?;
        serde_json::from_str(&output).context("`rollcall -o json` prints JSON")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let asked = Command::new("kill")
            .arg(&pid)
            .status()
            .is_ok_and(|status| status.success());
        for _ in 0..if asked { STOP_POLLS_MAX } else { 0 } {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(STOP_POLL);
        }
        // It is gone already or does not listen; either way nothing more can be done here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A text value of a JSON object.
pub fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("no {key} in {value}"))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
