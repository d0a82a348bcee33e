//! A real Active Directory domain controller: Samba in a private directory on a leased address.
//!
//! Invariant: nothing outside its temporary directory is touched, it listens on one loopback
//! address only, and every process and file of it is gone when [`Dc`] is dropped. Several run side
//! by side. Deliberately absent: DNS, SMB file sharing and a second controller in one domain.

mod configuration;
mod deleted;
mod dirsync;
mod hold;
mod invocation;
mod keytab;
mod pause;
mod rename;
mod replication;
mod template;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::address::Address;
use crate::keeper::{Kept, Leash};
use crate::program::{run, run_with_input};

pub use hold::Hold;
pub use pause::Pause;
pub use template::Fill;

const REALM: &str = "CORP.EXAMPLE.COM";
const DOMAIN: &str = "CORP";
const HOST: &str = "dc1";
const BASE_DN: &str = "DC=corp,DC=example,DC=com";
const ADMIN_PASSWORD: &str = "Adm1n-Passw0rd!";
const SYNC_ACCOUNT: &str = "svc-sync";
const SYNC_PASSWORD: &str = "Sync-Passw0rd!1";

/// LDAP, LDAPS, Kerberos, RPC endpoint mapper: all that tests use.
const PORTS: [u16; 4] = [389, 636, 88, 135];
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const START_POLL: Duration = Duration::from_millis(50);
/// 60 s; a start takes half a second on an idle machine.
const START_POLLS_MAX: u32 = 1_200;
const STOP_SIGNAL: i32 = 15;
const GRACE_SECONDS: u32 = 10;

/// How a domain controller is made.
#[derive(Clone, Debug, Default)]
pub struct DcOptions {
    /// People and groups to put in; `None` leaves the units People, Groups and Service with only
    /// the account to synchronise with.
    pub fill: Option<Fill>,
}

/// A domain controller, running until it is stopped, killed or dropped.
#[derive(Debug)]
pub struct Dc {
    // Order matters: processes end before the address and the directory are given back.
    server: Option<Kept>,
    address: Address,
    directory: TempDir,
}

impl Dc {
    /// Makes a domain controller and waits until it answers. The first call with given options
    /// provisions (and fills) a template, which takes some seconds; later ones copy it.
    ///
    /// # Errors
    /// When we are not root, Samba is not installed, or it does not start; with its output.
    pub fn start(options: &DcOptions) -> Result<Self> {
        ensure!(
            geteuid().is_root(),
            "the Samba domain controller of the lab has to be started as root: it sets owners and \
             access lists on its files, which only root may do"
        );
        let template = template::ensure(options.fill.as_ref())?;
        let address = Address::lease()?;
        // Short, because the paths of unix sockets below it may have 108 characters only.
        let directory = tempfile::Builder::new().prefix("rollcall-dc-").tempdir()?;
        template::copy(&template, directory.path())?;
        configuration::write(directory.path(), address.ip())?;
        configuration::make_certificate(directory.path(), address.ip())?;
        let mut dc = Self {
            server: None,
            address,
            directory,
        };
        dc.restart()?;
        Ok(dc)
    }

    /// Stops cleanly: waits until every process has ended. The data stay.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop();
        }
    }

    /// Kills every process at once, as a power failure would. The data stay.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Starts again on the same data and address; stops first if it runs.
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let command = [
            "samba".to_owned(),
            "--foreground".to_owned(),
            "--no-process-group".to_owned(),
            "--model=single".to_owned(),
            format!("--configfile={}", self.conf_path().display()),
        ];
        let log_path = self.path("log/stdout");
        let leash = Leash {
            lock_path: self.address.lock_path(),
            stop_signal: STOP_SIGNAL,
            grace_seconds: GRACE_SECONDS,
            log_path: &log_path,
        };
        let env = [("KRB5_CONFIG", self.krb5_conf_path().display().to_string())];
        let mut server = Kept::start_with_env(&leash, &command, &env)?;
        self.wait_ready(&mut server)?;
        self.server = Some(server);
        Ok(())
    }

    fn wait_ready(&self, server: &mut Kept) -> Result<()> {
        for _ in 0..START_POLLS_MAX {
            server
                .check_alive()
                .context("start the Samba domain controller")?;
            if self.answers() {
                return Ok(());
            }
            std::thread::sleep(START_POLL);
        }
        bail!("Samba did not become ready:\n{}", server.log_tail())
    }

    /// The ports are open a little before the directory behind them answers.
    fn answers(&self) -> bool {
        let open = |port| {
            let endpoint = SocketAddr::from((self.ip(), port));
            TcpStream::connect_timeout(&endpoint, CONNECT_TIMEOUT).is_ok()
        };
        PORTS.into_iter().all(open)
            && run(Command::new("ldapsearch")
                .args(["-x", "-LLL", "-s", "base", "-b", "", "-H"])
                .arg(self.ldap_url())
                .arg("defaultNamingContext"))
            .is_ok_and(|answer| answer.contains(BASE_DN))
    }

    /// The loopback address it listens on.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.address.ip()
    }

    /// `ldaps://ADDRESS:636`; the certificate is valid for this address and for [`Self::host_name`].
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}:636", self.ip())
    }

    /// `ldap://ADDRESS:389`; simple binds are refused on it.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}:389", self.ip())
    }

    /// The DNS name in its certificate. It is not in any DNS.
    #[must_use]
    pub fn host_name(&self) -> String {
        configuration::host_name()
    }

    /// PEM file of the authority that issued its certificate; every controller has its own.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.path("private/tls/ca.pem")
    }

    /// DN of the domain, the default naming context.
    #[must_use]
    pub fn base_dn(&self) -> &'static str {
        BASE_DN
    }

    /// Kerberos realm; in lower case the DNS name of the domain.
    #[must_use]
    pub fn realm(&self) -> &'static str {
        REALM
    }

    /// Name of the account with delegated rights to synchronise.
    #[must_use]
    pub fn sync_account(&self) -> &'static str {
        SYNC_ACCOUNT
    }

    /// Its DN.
    #[must_use]
    pub fn sync_account_dn(&self) -> String {
        format!("CN={SYNC_ACCOUNT},OU=Service,{BASE_DN}")
    }

    /// Its password.
    #[must_use]
    pub fn sync_password(&self) -> &'static str {
        SYNC_PASSWORD
    }

    /// What `fill.py` has put in, as its JSON summary; `None` for an empty domain.
    ///
    /// # Errors
    /// When the summary cannot be read.
    pub fn summary(&self) -> Result<Option<serde_json::Value>> {
        match fs::read(self.path(template::SUMMARY)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Password of the person with this number, account `u` and six digits.
    #[must_use]
    pub fn password_of(&self, number: u32) -> String {
        format!("Pw-{number:06}-xYz!")
    }

    /// `smb.conf`, for tools of Samba.
    #[must_use]
    pub fn conf_path(&self) -> PathBuf {
        self.path("etc/smb.conf")
    }

    /// Kerberos configuration that finds this controller without DNS, for `KRB5_CONFIG`.
    #[must_use]
    pub fn krb5_conf_path(&self) -> PathBuf {
        self.path("krb5.conf")
    }

    /// Applies changes in LDIF as the administrator, over LDAPS.
    ///
    /// # Errors
    /// When the directory refuses one; earlier ones stay.
    pub fn admin_ldapmodify(&self, ldif: &str) -> Result<()> {
        run_with_input(&mut self.ldap_tool("ldapmodify"), ldif).map(drop)
    }

    /// Deletes entries by DN as the administrator.
    ///
    /// # Errors
    /// When the directory refuses one.
    pub fn admin_ldapdelete(&self, dns: &[&str]) -> Result<()> {
        let mut input = dns.join("\n");
        input.push('\n');
        run_with_input(&mut self.ldap_tool("ldapdelete"), &input).map(drop)
    }

    /// Runs `ldapsearch -LLL ARGS` as the administrator; returns unwrapped LDIF.
    ///
    /// # Errors
    /// When the search fails.
    pub fn admin_ldapsearch(&self, args: &[&str]) -> Result<String> {
        let mut command = self.ldap_tool("ldapsearch");
        command.args(["-LLL", "-o", "ldif-wrap=no", "-b", BASE_DN]);
        run(command.args(args))
    }

    /// Runs `samba-tool ARGS` on the database directly; a running controller sees the change.
    ///
    /// # Errors
    /// When it fails; with its output.
    pub fn samba_tool(&self, args: &[&str]) -> Result<String> {
        let conf = format!("--configfile={}", self.conf_path().display());
        run(Command::new("samba-tool").args(args).arg(conf))
    }

    fn ldap_tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env("LDAPTLS_CACERT", self.ca_path())
            .args(["-x", "-H"])
            .arg(self.ldaps_url())
            .arg("-D")
            .arg(format!("administrator@{}", REALM.to_lowercase()))
            .arg("-y")
            .arg(self.path(configuration::ADMIN_PASSWORD_FILE));
        command
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }
}
