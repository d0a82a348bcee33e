//! Accounts in a directory and their state in the hub, and agents for one of the streams.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rollcall_proto::idp::User;
use rollcall_proto::idp::user::Status;

use crate::change::BASE;
use crate::world::{Spawned, World};

const AGENT: &str = env!("CARGO_BIN_EXE_rollcall-agent");
pub const ENABLED: u32 = 544;
pub const DISABLED: u32 = 546;
/// Far more than the few seconds a change may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn accounts() -> String {
    format!("OU=People,{BASE}")
}

pub fn dn(name: &str) -> String {
    format!("CN={name},{}", accounts())
}

pub async fn user(world: &World, name: &str) -> User {
    let wanted = format!("{name}@{}", world.domain());
    let users = world.users().await;
    users.into_iter().find(|u| u.username == wanted).unwrap()
}

pub async fn is_active(world: &World, name: &str) -> bool {
    user(world, name).await.status == Status::Active as i32
}

pub async fn wait_until(what: &str, world: &World, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "{what}\n{}", world.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The same configuration for an agent with a directory of its own, in these streams.
pub fn other_agent(world: &World, config: &Path, name: &str, streams: &str) -> PathBuf {
    let work = world.working_directory();
    let other = work.with_file_name(name);
    std::fs::create_dir_all(&other).unwrap();
    let text = std::fs::read_to_string(config).unwrap();
    let text = text.replace(&work.display().to_string(), &other.display().to_string());
    let path = other.join("config.yaml");
    std::fs::write(&path, format!("{text}streams: [{streams}]\n")).unwrap();
    path
}

pub fn spawn(config: &Path) -> Spawned {
    let log = std::fs::File::create(config.with_file_name("agent.log")).unwrap();
    let mut command = Command::new(AGENT);
    command.arg("--config").arg(config).stdin(Stdio::null());
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Spawned(child.unwrap())
}

pub fn log_of(config: &Path) -> String {
    std::fs::read_to_string(config.with_file_name("agent.log")).unwrap_or_default()
}
