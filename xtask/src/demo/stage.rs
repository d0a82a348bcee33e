//! A domain controller, a hub and an agent's configuration, ready to run.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use rollcall_lab::oracle::{Expected, Scope, State};
use rollcall_lab::samba::{Dc, DcOptions, Fill};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::programs::{Hub, Programs, text};
use super::{hub_state, step};

/// What the oracle compares.
const FILTER: &str = "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))";

/// Attributes the oracle needs.
const ATTRIBUTES: &[&str] = &[
    "objectClass",
    "objectGUID",
    "objectSid",
    "isCriticalSystemObject",
    "userPrincipalName",
    "sAMAccountName",
    "displayName",
    "cn",
    "name",
    "givenName",
    "sn",
    "mail",
    "telephoneNumber",
    "company",
    "title",
    "department",
    "employeeID",
    "userAccountControl",
    "accountExpires",
    "primaryGroupID",
    "description",
    "member",
];

/// How much to put into the domain.
#[derive(Debug)]
pub struct Size {
    /// People.
    pub users: u32,
    /// Groups.
    pub groups: u32,
    /// Memberships over all groups, about.
    pub memberships: u32,
}

/// Which passwords the agent looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passwords {
    /// None: accounts only.
    Neither,
    /// Hashes from the directory, and new passwords of the hub.
    Both,
}

/// Everything a running demonstration needs. Dropping it stops every server.
pub struct Stage {
    /// The built programs.
    pub programs: Programs,
    /// The domain controller.
    pub dc: Dc,
    /// The hub.
    pub hub: Hub,
    /// The pool to fill.
    pub pool_id: String,
    /// Its domain, in which logins end.
    pub domain: String,
    /// What is to be synchronised.
    pub scope: Scope,
    /// Where all files lie.
    pub folder: tempfile::TempDir,
}

impl Stage {
    /// Builds the programs with a Cargo profile and starts everything but the agent.
    pub fn set(profile: &str, size: &Size) -> anyhow::Result<Self> {
        step("building the programs");
        let programs = Programs::build(profile)?;
        step(&format!(
            "starting a domain controller with {} people",
            size.users
        ));
        let dc = Dc::start(&DcOptions {
            fill: Some(Fill {
                users: size.users,
                groups: size.groups,
                memberships: size.memberships,
                ..Fill::default()
            }),
        })?;
        println!("    {} answers for {}", dc.ldaps_url(), dc.base_dn());
        step("starting a hub on embedded SQLite");
        let folder = tempfile::Builder::new()
            .prefix("rollcall-demo-")
            .tempdir()?;
        let hub = programs.start_hub(&folder.path().join("hub"))?;
        println!("    gRPC and REST on https://{}", hub.address);
        step("creating a user pool and its synchronization settings");
        let (pool_id, domain) = create_pool(&programs, &hub)?;
        println!("    pool {pool_id}, logins end in @{domain}");
        let units = ["People", "Groups"].map(|unit| format!("OU={unit},{}", dc.base_dn()));
        let scope = Scope {
            organizational_units: units.to_vec(),
            replacement_domain: Some(domain.clone()),
            now_seconds: now_seconds()?,
            ..Scope::default()
        };
        let stage = Self {
            programs,
            dc,
            hub,
            pool_id,
            domain,
            scope,
            folder,
        };
        stage.create_settings()?;
        stage.write_agent_configuration(Passwords::Neither)?;
        Ok(stage)
    }

    /// From now on passwords go both ways: those of the directory count at the hub, and those that are
    /// set at the hub in the directory.
    pub fn turn_passwords_on(&self) -> anyhow::Result<()> {
        let switch = ["settings", "update", "--enable-password-writeback"];
        self.programs.rollcall(
            &self.hub,
            &[&switch[..], &["--userpool", &self.pool_id]].concat(),
        )?;
        self.write_agent_configuration(Passwords::Both)
    }

    /// One run with the progress bar on the terminal; returns the summary the agent prints.
    pub fn run_agent_once(&self) -> anyhow::Result<Value> {
        let output = self
            .programs
            .command("rollcall-agent")
            .arg("--config")
            .arg(self.configuration_path())
            .args(["--once", "--now", "-o", "json"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start rollcall-agent")?;
        if !output.status.success() {
            bail!("the agent ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("`rollcall-agent -o json` prints JSON")
    }

    /// The agent as a service, until it ends or Ctrl-C ends it.
    ///
    /// Ctrl-C reaches the agent, too. This process has to outlive it: to stop the servers and to
    /// remove the folder with its keys.
    pub fn follow(&self) -> anyhow::Result<()> {
        let mut command = self.programs.command("rollcall-agent");
        command.arg("--config").arg(self.configuration_path());
        // The run before was a moment ago; without this the next one waits for the interval.
        command.arg("--now");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let status = runtime.block_on(async {
            // While it lives, the signal no longer ends this process.
            let interrupt = signal(SignalKind::interrupt())?;
            let mut agent = tokio::process::Command::from(command)
                .spawn()
                .context("cannot start rollcall-agent")?;
            let status = agent.wait().await?;
            drop(interrupt);
            anyhow::Ok(status)
        })?;
        println!("the agent ended with {status}; stopping the servers");
        Ok(())
    }

    /// What the hub should hold and what it holds.
    pub fn both_sides(&self) -> anyhow::Result<(Expected, State)> {
        let expected = Expected::from_ldif(&self.dump_directory()?, &self.scope)?;
        let found = hub_state::read(&self.programs, &self.hub, &self.pool_id)?;
        Ok((expected, found))
    }

    /// All users, groups and organizational units as LDIF.
    pub fn dump_directory(&self) -> anyhow::Result<String> {
        let arguments: Vec<&str> = [FILTER].iter().chain(ATTRIBUTES).copied().collect();
        self.dc.admin_ldapsearch(&arguments)
    }

    fn configuration_path(&self) -> PathBuf {
        self.folder.path().join("agent.yaml")
    }

    fn create_settings(&self) -> anyhow::Result<()> {
        let domain = self.dc.realm().to_lowercase();
        let mut arguments = vec!["settings", "create", "--userpool", &self.pool_id];
        arguments.extend(["--domain", &domain, "--replacement-domain", &self.domain]);
        for unit in &self.scope.organizational_units {
            arguments.extend(["--organization-unit", unit]);
        }
        self.programs.rollcall(&self.hub, &arguments).map(drop)
    }

    fn write_agent_configuration(&self, passwords: Passwords) -> anyhow::Result<()> {
        let work = self.folder.path().join("agent");
        std::fs::create_dir_all(&work)?;
        let mut configuration = json!({
            "userpool_id": self.pool_id,
            "working_directory": work,
            "cloud_credentials_file_path": self.hub.key,
            "use_session_api": true,
            "hub": { "address": self.hub.address, "ca_path": self.hub.ca },
            "ldap": {
                "host": self.dc.ldaps_url(),
                "username": self.dc.sync_account_dn(),
                "password": self.dc.sync_password(),
                "certificate_path": self.dc.ca_path(),
            },
            "sync_settings": {
                "interval": "15m",
                "filter": {
                    "domain": self.dc.realm().to_lowercase(),
                    "organization_units": self.scope.organizational_units,
                },
                "replacement_domain": self.domain,
            },
        });
        if let (Some(all), Passwords::Both) = (configuration.as_object_mut(), passwords) {
            all.insert("enable_password_writeback".to_owned(), true.into());
            let account = json!({
                "host": self.dc.ip(),
                "username": self.dc.sync_account(),
                "password": self.dc.sync_password(),
            });
            all.insert("drsr".to_owned(), account);
        }
        // JSON is YAML, too.
        std::fs::write(
            self.configuration_path(),
            serde_json::to_string_pretty(&configuration)?,
        )?;
        Ok(())
    }
}

/// Creates the pool; returns its id and its built-in domain.
fn create_pool(programs: &Programs, hub: &Hub) -> anyhow::Result<(String, String)> {
    let mut arguments = vec!["userpool", "create", "demo"];
    arguments.extend([
        "--organization",
        &hub.organization_id,
        "--default-subdomain",
        "demo",
    ]);
    let pool = programs.rollcall(hub, &arguments)?;
    let domain = pool
        .get("domains")
        .and_then(|domains| domains.get(0))
        .and_then(Value::as_str)
        .context("the pool has no domain")?;
    Ok((text(&pool, "id")?.to_owned(), domain.to_owned()))
}

#[allow(clippy::disallowed_methods)] // a program's edge: the present enters here
fn now_seconds() -> anyhow::Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    )?)
}
