//! Ready-made domains that controllers are copied from: provisioning and filling happen once.
//!
//! Invariant: a template is complete or absent (it is renamed into place), its name is a hash of
//! everything it is made from, and one process makes it while others wait. Copies share the domain
//! SID and the invocation id of their template, which is what tests of a restored controller need.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::{ADMIN_PASSWORD, DOMAIN, HOST, REALM, SYNC_PASSWORD, configuration};
use crate::keeper::PYTHON;
use crate::program::run;

const PREPARE: &str = include_str!("../../prepare.py");
const FILL: &str = include_str!("../../fill.py");
/// Where a filled domain keeps the summary of what is in it.
pub(super) const SUMMARY: &str = "fill.json";
/// Only written into files while no server runs.
const TEMPLATE_IP: Ipv4Addr = Ipv4Addr::new(127, 77, 255, 254);

/// People and groups to put into a domain. The same values give the same people and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Number of people, in nested organizational units below OU=People.
    pub users: u32,
    /// Number of groups, below OU=Groups.
    pub groups: u32,
    /// Number of memberships over all groups, about.
    pub memberships: u32,
    /// Other seeds give other names and memberships.
    pub seed: u32,
    /// Whether one group has more than 1,500 members (if there are that many users).
    pub big_group: bool,
    /// Whether to add unusual names and objects that cannot be synchronised (needs 50 users and
    /// 10 groups); the summary lists them.
    pub difficulties: bool,
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            users: 100,
            groups: 12,
            memberships: 300,
            seed: 1,
            big_group: true,
            difficulties: true,
        }
    }
}

impl Fill {
    fn json(&self) -> String {
        json!({
            "users": self.users,
            "groups": self.groups,
            "memberships": self.memberships,
            "seed": self.seed,
            "big_group": self.big_group,
            "difficulties": self.difficulties,
        })
        .to_string()
    }
}

/// The directory of the template for these people and groups; makes it when it is missing.
pub(super) fn ensure(fill: Option<&Fill>) -> Result<PathBuf> {
    let version = run(Command::new("samba").arg("--version"))
        .context("Samba is not installed: apt-get install samba-ad-dc samba-ad-provision")?;
    let shape = configuration::smb_conf(Path::new("/"), TEMPLATE_IP);
    let empty = hash(&[&version, PREPARE, &shape]);
    match fill {
        None => make(&format!("empty-{empty:016x}"), provision),
        Some(fill) => {
            let parameters = fill.json();
            let filled = hash(&[&format!("{empty:x}"), FILL, &parameters]);
            make(&format!("filled-{filled:016x}"), |directory| {
                copy(&ensure(None)?, directory)?;
                configuration::write(directory, TEMPLATE_IP)?;
                let mut command = script(FILL, directory);
                fs::write(directory.join(SUMMARY), run(command.arg(parameters))?)?;
                Ok(())
            })
        }
    }
}

/// Copies a template, keeping holes, owners and extended attributes.
pub(super) fn copy(template: &Path, directory: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.args(["--archive", "--sparse=always", "--no-target-directory"]);
    run(command.arg(template).arg(directory)).map(drop)
}

fn make(name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = root();
    fs::create_dir_all(&root)
        .with_context(|| format!("create the directory of the lab {}", root.display()))?;
    let template = root.join(name);
    let lock = File::create(root.join(format!("{name}.lock")))?;
    lock.lock()
        .context("wait for the other process that makes this template")?;
    if template.exists() {
        return Ok(template);
    }
    // Not in the lab's directory: the paths of unix sockets below it may have 108 characters only.
    let building = tempfile::Builder::new().prefix("rollcall-dc-").tempdir()?;
    build(building.path()).with_context(|| format!("make the template {name}"))?;
    let part = root.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    copy(building.path(), &part)?;
    fs::rename(&part, &template)?;
    Ok(template)
}

fn provision(directory: &Path) -> Result<()> {
    // An empty one, or the machine's own /etc/samba/smb.conf leaks into the new domain.
    let empty_conf = directory.join("empty.conf");
    fs::write(&empty_conf, "")?;
    run(Command::new("samba-tool")
        .args([
            "domain",
            "provision",
            "--server-role=dc",
            "--dns-backend=NONE",
        ])
        .arg(format!("--configfile={}", empty_conf.display()))
        .arg(format!("--targetdir={}", directory.display()))
        .arg(format!("--realm={REALM}"))
        .arg(format!("--domain={DOMAIN}"))
        .arg(format!("--host-name={HOST}"))
        .arg(format!("--host-ip={TEMPLATE_IP}"))
        .arg(format!("--adminpass={ADMIN_PASSWORD}")))
    .context("provision a domain (are samba-ad-dc and samba-ad-provision installed?)")?;
    configuration::write(directory, TEMPLATE_IP)?;
    run(script(PREPARE, directory).arg(SYNC_PASSWORD)).map(drop)
}

pub(super) fn script(source: &str, directory: &Path) -> Command {
    let mut command = Command::new(PYTHON);
    command
        .args(["-c", source])
        .arg(directory.join("etc/smb.conf"))
        .env("PYTHONIOENCODING", "utf-8")
        .current_dir("/");
    command
}

/// `$ROLLCALL_LAB_DIR`, else `.lab` in the workspace.
fn root() -> PathBuf {
    std::env::var_os("ROLLCALL_LAB_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.lab"),
        PathBuf::from,
    )
}

/// Not for security: it only has to change when an ingredient does.
fn hash(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
