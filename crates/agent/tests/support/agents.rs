//! Several agents of one pool, each with files, a log and a way to the hub of its own.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rollcall_proto::idp::{
    ChangeType, RelatedObjectType, SessionStatus, SessionType, SynchronizationSession,
};

use crate::proxy::Proxy;
use crate::world::{Spawned, World};

const AGENT: &str = env!("CARGO_BIN_EXE_rollcall-agent");
const POLLS_MAX: u32 = 1_200;
const POLL: Duration = Duration::from_millis(50);

/// The files of one agent.
pub struct Agent {
    pub name: String,
    pub config: PathBuf,
    log: PathBuf,
}

/// The addresses an agent uses instead of the real ones.
#[derive(Default)]
pub struct Ways<'a> {
    pub hub: Option<&'a Proxy>,
    pub directory: Option<&'a Proxy>,
}

impl Agent {
    /// Configures an agent of this name.
    pub fn new(world: &World, name: &str, ways: &Ways<'_>, settings: &str, top: &str) -> Self {
        let directory = world.directory.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let common = world.configure(settings, &format!("agent_id: {name}\n{top}"));
        let mut text = std::fs::read_to_string(&common).unwrap();
        let work = world.working_directory();
        text = text.replace(
            &work.display().to_string(),
            &directory.display().to_string(),
        );
        if let Some(proxy) = ways.hub {
            text = text.replace(&world.address, &format!("127.0.0.1:{}", proxy.port));
        }
        if let Some(proxy) = ways.directory {
            let url = format!("ldaps://{}:{}", world.dc.ip(), proxy.port);
            text = text.replace(&world.dc.ldaps_url(), &url);
        }
        let config = directory.join("config.yaml");
        std::fs::write(&config, text).unwrap();
        Self {
            name: name.to_owned(),
            config,
            log: directory.join("agent.log"),
        }
    }

    /// Starts it; the log is continued.
    pub fn spawn(&self, arguments: &[&str]) -> Spawned {
        let log = std::fs::OpenOptions::new();
        let log = log
            .clone()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let child = Command::new(AGENT)
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Spawned(child)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A wire to the hub.
pub async fn hub_wire(world: &World) -> Proxy {
    let target: SocketAddr = world.address.parse().unwrap();
    Proxy::start(IpAddr::V4(Ipv4Addr::LOCALHOST), target).await
}

/// A wire to the directory, at the address its certificate is for.
pub async fn directory_wire(world: &World) -> Proxy {
    let ip = IpAddr::V4(world.dc.ip());
    Proxy::start(ip, SocketAddr::new(ip, 636)).await
}

/// Sessions of the objects, the newest first.
pub async fn object_sessions(world: &World) -> Vec<SynchronizationSession> {
    let mut sessions = world.sessions().await;
    sessions.retain(|session| session.session_type() == SessionType::AdSync);
    sessions
}

/// Waits until a session of the objects fits.
pub async fn wait_session(
    world: &World,
    what: &str,
    fits: impl Fn(&SynchronizationSession) -> bool,
) -> SynchronizationSession {
    for _ in 0..POLLS_MAX {
        let newest = object_sessions(world).await;
        if let Some(found) = newest.into_iter().find(|session| fits(session)) {
            return found;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{what} never came: {:#?}", world.sessions().await);
}

pub fn is_open(session: &SynchronizationSession) -> bool {
    session.status() == SessionStatus::Opened
}

/// Whether a session was closed as successful; the hub may still be strengthening passwords.
pub fn is_finished(session: &SynchronizationSession) -> bool {
    [SessionStatus::Completed, SessionStatus::Pending].contains(&session.status())
}

/// A counter of a session: done and failed.
pub fn counter(
    session: &SynchronizationSession,
    object: RelatedObjectType,
    change: ChangeType,
) -> (i64, i64) {
    let entries = session.progress_entries.iter();
    let infos = entries
        .filter(|entry| entry.object_type() == object)
        .flat_map(|entry| &entry.change_info)
        .filter(|info| info.change_type() == change);
    infos.fold((0, 0), |(done, failed), info| {
        (done + info.successful, failed + info.failed)
    })
}

pub fn seconds(at: Option<prost_types::Timestamp>) -> f64 {
    let at = at.unwrap();
    at.seconds as f64 + f64::from(at.nanos) / 1e9
}

/// Waits until the hub has a user with this login.
pub async fn wait_login(world: &World, login: &str) {
    let username = format!("{login}@{}", world.domain());
    for _ in 0..POLLS_MAX {
        if world
            .users()
            .await
            .iter()
            .any(|user| user.username == username)
        {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{login} never came");
}

/// Whether a file has a line with this text.
pub fn has_line(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|all| all.lines().any(|line| line.contains(text)))
}
