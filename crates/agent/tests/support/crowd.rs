//! The agent program against a fake directory of many people and a fake hub, and the most memory its
//! process needed.
//!
//! Invariant: the agent is the real program, alone in its process; peak memory is what the kernel
//! counted (proc(5), VmHWM).

// Each program uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rollcall_lab::fake_directory::{BASE_DN, DOMAIN, FakeDirectory, ObjectId};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "fake_hub.rs"]
mod fake_hub;

use fake_hub::FakeHub;

/// How often the memory of the process is looked at; the kernel keeps the peak.
const LOOK: Duration = Duration::from_millis(50);

/// Name of the group.
const GROUP: &str = "everybody";

/// Both sides.
pub struct Crowd {
    /// Many people, and a group of the first half of them.
    pub directory: Arc<FakeDirectory>,
    /// Empty before the first run, then as the directory.
    pub hub: FakeHub,
    group: ObjectId,
    /// Configuration of the agent.
    pub config: PathBuf,
    _folder: TempDir,
}

/// What one run of the agent needed.
pub struct Measured {
    /// Of memory, at most.
    pub peak_bytes: u64,
    /// From start to end.
    pub seconds: f64,
    /// What the agent printed.
    pub summary: Value,
}

/// How the agent ended that was asked to.
pub struct Stopped {
    /// From the signal to the end.
    pub seconds: f64,
    /// How the process ended.
    pub status: ExitStatus,
    /// What the agent printed.
    pub summary: Value,
}

impl Crowd {
    /// Starts both with this many people.
    pub async fn start(people: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let directory = Arc::new(FakeDirectory::start()?);
        let group = directory.edit(|domain| {
            let (unit, groups) = (domain.people()?, domain.groups()?);
            domain.populate(unit, people)?;
            let members: Vec<_> = (0..people / 2).map(|at| domain.person(at)).collect();
            domain.add_group(GROUP, groups, members)
        })?;
        let hub = fake_hub::start(folder.path(), Arc::clone(&directory), people).await?;
        Ok(Self {
            group,
            config: configure(folder.path(), &directory, &hub)?,
            directory,
            hub,
            _folder: folder,
        })
    }

    /// The hub has everybody from now on.
    pub fn fill_hub(&self) {
        self.hub.fill(self.group, GROUP);
    }

    /// Runs `program` until it says in its log that it does `what`, asks it to end, and tells after
    /// how many seconds it did; `None` when it ended before.
    pub async fn stop(&self, program: &Path, what: &str) -> anyhow::Result<Option<Stopped>> {
        let (program, config) = (program.to_owned(), self.config.clone());
        let what = what.to_owned();
        tokio::task::spawn_blocking(move || stop(&program, &config, &what)).await?
    }

    /// Runs `program` once.
    pub async fn run(&self, program: &Path) -> anyhow::Result<Measured> {
        let (program, config) = (program.to_owned(), self.config.clone());
        tokio::task::spawn_blocking(move || watch(&program, &config)).await?
    }
}

fn configure(folder: &Path, directory: &FakeDirectory, hub: &FakeHub) -> anyhow::Result<PathBuf> {
    let work = folder.join("agent");
    std::fs::create_dir(&work)?;
    let units = ["People", "Groups"].map(|unit| format!("OU={unit},{BASE_DN}"));
    let config = json!({
        "userpool_id": fake_hub::POOL,
        "working_directory": work,
        "cloud_credentials_file_path": hub.key,
        // The other streams keep no index.
        "streams": ["objects"],
        "hub": { "address": hub.address, "ca_path": hub.ca },
        "ldap": {
            "host": directory.ldaps_url(),
            "username": directory.sync_account_dn(),
            "password": directory.sync_password(),
            "certificate_path": directory.ca_path(),
        },
        "sync_settings": {
            "interval": "30s",
            "filter": { "domain": DOMAIN, "organization_units": units },
        },
    });
    let path = folder.join("agent.yaml");
    // JSON is YAML, too.
    std::fs::write(&path, serde_json::to_string(&config)?)?;
    Ok(path)
}

fn watch(program: &Path, config: &Path) -> anyhow::Result<Measured> {
    let before = Instant::now();
    let mut agent = Command::new(program)
        .arg("--config")
        .arg(config)
        .args(["--once", "--now", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the agent")?;
    let mut peak_bytes = 0;
    let status = loop {
        peak_bytes = peak(&agent).unwrap_or(peak_bytes).max(peak_bytes);
        if let Some(status) = agent.try_wait()? {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    let seconds = before.elapsed().as_secs_f64();
    let mut output = String::new();
    let stdout = agent.stdout.as_mut().context("no output of the agent")?;
    stdout.read_to_string(&mut output)?;
    if !status.success() {
        bail!("the agent ended with {status}: {output}");
    }
    Ok(Measured {
        peak_bytes,
        seconds,
        summary: serde_json::from_str(&output)?,
    })
}

fn stop(program: &Path, config: &Path, what: &str) -> anyhow::Result<Option<Stopped>> {
    let mut agent = Command::new(program)
        .arg("--config")
        .arg(config)
        .args(["--once", "--now", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the agent")?;
    let log = BufReader::new(agent.stderr.take().context("no log of the agent")?);
    let mut lines = log.lines();
    let seen = lines.find(|line| line.as_ref().map_or(true, |line| line.contains(what)));
    if seen.transpose()?.is_none() {
        agent.wait()?;
        return Ok(None);
    }
    let before = Instant::now();
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    // Nobody waits for a full pipe.
    let rest = std::thread::spawn(move || lines.count());
    let status = agent.wait()?;
    let seconds = before.elapsed().as_secs_f64();
    let _ = rest.join();
    let mut output = String::new();
    let stdout = agent.stdout.as_mut().context("no output of the agent")?;
    stdout.read_to_string(&mut output)?;
    Ok(Some(Stopped {
        seconds,
        status,
        summary: serde_json::from_str(&output).unwrap_or_default(),
    }))
}

/// The most memory the process had so far.
fn peak(agent: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}
