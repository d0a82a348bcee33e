//! A directory, a real hub and the real agent program.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_client::{CallContext, Client, ClientOptions, Credentials, ServiceAccountKey};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init;
use rollcall_hub::server::{self, RunningHub};
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::entropy::SystemEntropy;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_lab::fake_directory::FakeDirectory;
use rollcall_lab::oracle::{Expected, GroupNames, NestedGroups, Scope};
use rollcall_lab::samba::{Dc, DcOptions, Fill};
use rollcall_proto::idp::{CreateUserpoolRequest, ResetReplicationTokenRequest, Userpool};
use rollcall_proto::organizationmanager::{DeleteGroupRequest, ListExternalGroupsRequest};
use serde_json::Value as Json;
use tempfile::TempDir;

#[path = "listing.rs"]
mod listing;
#[path = "source.rs"]
mod source;

pub use source::Directory;

const AGENT: &str = env!("CARGO_BIN_EXE_rollcall-agent");
const POLLS_MAX: u32 = 600;
const POLL: Duration = Duration::from_millis(100);

/// Everything a test needs.
pub struct World<D = Dc> {
    pub dc: D,
    pub hub: Option<RunningHub>,
    pub client: Client,
    pub pool: Userpool,
    pub key: PathBuf,
    pub units: Vec<String>,
    pub groups: Vec<String>,
    pub nested_groups: NestedGroups,
    pub group_names: GroupNames,
    pub address: String,
    pub hub_data: PathBuf,
    organization_id: String,
    ca: PathBuf,
    pub directory: TempDir,
}

impl World {
    /// A filled domain and an empty pool.
    pub async fn start(fill: Option<Fill>) -> Self {
        Self::of(Dc::start(&DcOptions { fill }).unwrap()).await
    }

    /// As [`World::start`], with this text as the section `sessions` of the hub's configuration.
    pub async fn start_with(fill: Option<Fill>, sessions: &str) -> Self {
        Self::over(Dc::start(&DcOptions { fill }).unwrap(), sessions).await
    }

    /// Security identifier of the synchronization account (MS-DTYP 2.4.2).
    pub fn sync_account_sid(&self) -> String {
        let dn = self.dc.sync_account_dn();
        let dump = self
            .dc
            .admin_ldapsearch(&["-s", "base", "-b", &dn, "(objectClass=*)", "objectSid"])
            .unwrap();
        let line = dump.lines().find_map(|l| l.strip_prefix("objectSid:: "));
        let bytes = STANDARD.decode(line.unwrap()).unwrap();
        let parts = bytes[8..].chunks_exact(4);
        let parts = parts.map(|part| u32::from_le_bytes(part.try_into().unwrap()).to_string());
        format!("S-1-{}-{}", bytes[7], parts.collect::<Vec<_>>().join("-"))
    }
}

impl World<FakeDirectory> {
    /// A fake directory with nobody in it and an empty pool.
    pub async fn start_fake() -> Self {
        Self::of(FakeDirectory::start().unwrap()).await
    }
}

impl<D: Directory> World<D> {
    /// This directory and an empty pool.
    pub async fn of(dc: D) -> Self {
        Self::over(dc, "").await
    }

    async fn over(dc: D, sessions: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hub_data = directory.path().join("hub");
        let request = init::Request {
            data: hub_data.clone(),
            organization: "Test".into(),
            address: "127.0.0.1:0".into(),
            database: None,
        };
        let made = init::init(request, &SystemClock, &SystemEntropy)
            .await
            .unwrap();
        if !sessions.is_empty() {
            let path = DataDirectory::at(&hub_data).config();
            let text = std::fs::read_to_string(&path).unwrap();
            let kept = text.split_inclusive('\n');
            let kept: String = kept
                .filter(|line| !line.starts_with("sessions:") && !line.contains("lease_seconds:"))
                .collect();
            std::fs::write(&path, format!("{kept}sessions: {sessions}\n")).unwrap();
        }
        let hub = start_hub(&hub_data, "127.0.0.1:0").await;
        let address = format!("127.0.0.1:{}", hub.port);
        let client = connect(&address, &made.ca, &made.key).await;
        let pool = make_pool(&client, &made.organization_id, "people").await;
        let base = dc.base();
        Self {
            units: vec![format!("OU=People,{base}"), format!("OU=Groups,{base}")],
            groups: Vec::new(),
            nested_groups: NestedGroups::Direct,
            group_names: GroupNames::Name,
            dc,
            hub: Some(hub),
            client,
            pool,
            key: made.key,
            address,
            hub_data,
            organization_id: made.organization_id,
            ca: made.ca,
            directory,
        }
    }

    /// Stops the hub; running calls are cut.
    pub async fn stop_hub(&mut self) {
        self.hub.take().unwrap().stop().await;
    }

    /// Starts it again on the same data and port.
    pub async fn restart_hub(&mut self) {
        self.hub = Some(start_hub(&self.hub_data, &self.address).await);
    }

    /// As [`World::restart_hub`], with a clock that differs from that of everybody else.
    pub async fn restart_hub_ahead(&mut self, ahead: Span) {
        let mut options = hub_options(&self.hub_data, &self.address);
        options.clock = Arc::new(WrongClock(ahead));
        self.hub = Some(server::start(options).await.unwrap());
    }

    /// Goes on with another, empty pool. The groups of the former one make room: their names are
    /// those of the organization.
    pub async fn new_pool(&mut self, name: &str) {
        let request = ListExternalGroupsRequest {
            subject_container_id: self.pool.id.clone(),
            page_size: 1_000,
            ..ListExternalGroupsRequest::default()
        };
        let listed = self.client.groups().list_external(request).await.unwrap();
        for group in listed.into_inner().groups {
            let request = DeleteGroupRequest { group_id: group.id };
            let mut groups = self.client.groups();
            groups.delete(request).await.unwrap();
        }
        self.pool = make_pool(&self.client, &self.organization_id, name).await;
    }

    pub fn domain(&self) -> &str {
        &self.pool.domains[0]
    }

    /// The authority of the hub's certificate.
    pub fn hub_ca(&self) -> PathBuf {
        self.ca.clone()
    }

    pub fn working_directory(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    /// Writes the configuration with these lines added to `sync_settings`, and others at the top.
    pub fn configure(&self, settings: &str, top: &str) -> PathBuf {
        self.configure_with_password(settings, top, &self.dc.password())
    }

    pub fn configure_with_password(&self, settings: &str, top: &str, password: &str) -> PathBuf {
        let ldap = format!(
            "host: '{}', username: '{}', password: '{password}', certificate_path: '{}'",
            self.dc.url(),
            self.dc.account(),
            self.dc.ca().display(),
        );
        self.configure_directory(settings, top, &ldap)
    }

    /// With these keys as the section `ldap`.
    pub fn configure_directory(&self, settings: &str, top: &str, ldap: &str) -> PathBuf {
        let work = self.working_directory();
        std::fs::create_dir_all(&work).unwrap();
        let quoted = |names: &[String]| {
            let quoted = names
                .iter()
                .map(|name| Json::from(name.as_str()).to_string());
            quoted.collect::<Vec<_>>().join(", ")
        };
        let groups = match self.groups.as_slice() {
            [] => String::new(),
            groups => format!(", groups: [{}]", quoted(groups)),
        };
        let settings = match self.nested_groups {
            NestedGroups::Direct => settings.to_owned(),
            NestedGroups::Flatten => format!("  nested_groups: flatten\n{settings}"),
        };
        let text = format!(
            "userpool_id: {}\nhub: {{address: '{}', ca_path: '{}'}}\nworking_directory: '{}'\n\
             cloud_credentials_file_path: '{}'\n\
             ldap: {{{ldap}}}\n\
             sync_settings:\n  interval: 30s\n  follow_period: 300ms\n  replacement_domain: {}\n  \
             filter: {{domain: {}, organization_units: [{}]{groups}}}\n{settings}\n{top}\n",
            self.pool.id,
            self.address,
            self.ca.display(),
            work.display(),
            self.key.display(),
            self.domain(),
            self.dc.realm(),
            quoted(&self.units),
        );
        let path = work.join("config.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the agent with these arguments until it ends.
    pub async fn agent(&self, config: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(AGENT);
        command.arg("--config").arg(config).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// One run at once: exit code and summary.
    pub async fn once(&self, config: &Path) -> (i32, Json) {
        let output = self.agent(config, &["--once", "--now", "-o", "json"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{errors}");
        let summary = serde_json::from_str(&text).unwrap_or(Json::Null);
        (output.status.code().unwrap_or(-1), summary)
    }

    /// A run that must succeed.
    pub async fn run(&self, config: &Path) -> Json {
        let (code, summary) = self.once(config).await;
        assert_eq!(code, 0, "{summary}");
        assert_eq!(summary["outcome"], "completed", "{summary}");
        summary
    }

    /// Starts the agent without waiting for it.
    pub fn spawn(&self, config: &Path, arguments: &[&str]) -> Spawned {
        let log = std::fs::File::create(self.directory.path().join("agent.log")).unwrap();
        let child = Command::new(AGENT)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Spawned(child)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("agent.log")).unwrap_or_default()
    }

    /// What the directory says the hub should hold, read with `ldapsearch`.
    pub fn expected(&self) -> Expected {
        let dump = self.dc.dump();
        let scope = Scope {
            organizational_units: self.units.clone(),
            groups: self.groups.clone(),
            nested_groups: self.nested_groups,
            group_names: self.group_names,
            replacement_domain: Some(self.domain().to_owned()),
            now_seconds: SystemClock.now().as_seconds(),
        };
        Expected::from_ldif(&dump, &scope).unwrap()
    }

    /// Makes the next session a full one.
    pub async fn reset_token(&self) {
        let request = ResetReplicationTokenRequest {
            subject_container_id: self.pool.id.clone(),
        };
        let mut synchronization = self.client.synchronization();
        synchronization
            .reset_replication_token(request)
            .await
            .unwrap();
    }

    /// A run that must fail, and why it did.
    pub async fn failing_run(&self, config: &Path) -> String {
        let (code, summary) = self.once(config).await;
        assert_eq!(code, 1, "{summary:#}");
        assert_eq!(summary["outcome"], "failed", "{summary:#}");
        let reason = summary["reason"].as_str().unwrap().to_owned();
        assert_eq!(self.sessions().await[0].fail_reason, reason);
        reason
    }

    /// Fails the test when hub and directory differ.
    pub async fn assert_equal(&self) {
        let differences = self.expected().differences(&self.found().await);
        assert!(differences.is_empty(), "{differences:#?}\n{}", self.log());
    }

    /// Waits until hub and directory are equal.
    pub async fn wait_equal(&self) {
        for _ in 0..POLLS_MAX {
            if self.expected().differences(&self.found().await).is_empty() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        self.assert_equal().await;
    }

    /// Waits until the hub holds exactly this many users.
    pub async fn wait_users_exactly(&self, number: usize) {
        for _ in 0..POLLS_MAX {
            if self.users().await.len() == number {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("the hub never had {number} users:\n{}", self.log());
    }

    /// Waits until the hub holds at least this many users.
    pub async fn wait_users(&self, number: usize) {
        for _ in 0..POLLS_MAX {
            if self.users().await.len() >= number {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the hub never had {number} users:\n{}", self.log());
    }
}

/// A running agent; killed when dropped.
pub struct Spawned(pub Child);

impl Spawned {
    /// As a power failure would.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to end; returns the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = tokio::task::spawn_blocking(move || self.0.wait().unwrap())
            .await
            .unwrap();
        status.code()
    }

    /// Waits until it ends by itself.
    pub async fn end(mut self) -> Option<i32> {
        tokio::task::spawn_blocking(move || self.0.wait().unwrap())
            .await
            .unwrap()
            .code()
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn make_pool(client: &Client, organization_id: &str, name: &str) -> Userpool {
    let request = CreateUserpoolRequest {
        organization_id: organization_id.to_owned(),
        name: name.to_owned(),
        default_subdomain: name.to_owned(),
        ..CreateUserpoolRequest::default()
    };
    let context = CallContext::mutation();
    let operation = client
        .call_with_retry(&context, request, |hub, request| async move {
            hub.userpools().create(request).await
        })
        .await
        .unwrap();
    client.wait(operation).await.unwrap()
}

pub async fn start_hub(data: &Path, listen: &str) -> RunningHub {
    server::start(hub_options(data, listen)).await.unwrap()
}

fn hub_options(data: &Path, listen: &str) -> server::Options {
    let mut options = server::Options::new(DataDirectory::at(data));
    options.listen = Some(listen.to_owned());
    options
}

/// The clock of the machine, set wrong.
struct WrongClock(Span);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0)
    }
}

async fn connect(address: &str, ca: &Path, key: &Path) -> Client {
    let key = ServiceAccountKey::read(key).unwrap();
    let options = ClientOptions::new(address)
        .with_ca(ca)
        .with_credentials(Credentials::Key(key));
    Client::connect(options).await.unwrap()
}
