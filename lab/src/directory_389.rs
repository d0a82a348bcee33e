//! 389 Directory Server.
//!
//! Invariant: all of its files are in a temporary directory, gone when [`Directory389`] is dropped: the
//! configuration is made here of the template in its package, so nothing of the system is touched and
//! no service manager is needed. Deliberately absent: `dscreate`, which needs one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::account::Account;
use crate::address::Address;
use crate::keeper::{Kept, Leash};
use crate::ldap_server::{LdapServer, PASSWORD};

const PROGRAM: &str = "/usr/sbin/ns-slapd";
const TEMPLATE: &str = "/usr/share/dirsrv/data/template-dse.ldif";
/// What it reads besides the template.
const COPIED: [&str; 2] = ["/etc/dirsrv/schema", "/etc/dirsrv/config"];
/// The account of its package.
const ACCOUNT: &str = "dirsrv";
const ADMINISTRATOR: &str = "cn=Directory Manager";
const BASE: &str = "dc=example,dc=net";
const TERMINATE: i32 = 15;
const GRACE_SECONDS: u32 = 10;
/// "Housekeeping": with a level of debugging it stays in the foreground, and this one says little.
const DEBUG_LEVEL: &str = "4096";

/// A running server; drop it to stop it.
#[derive(Debug)]
pub struct Directory389 {
    // Order matters: the server stops before its address and its directory are given back.
    _server: Kept,
    _address: Address,
    ldap: LdapServer,
    _directory: TempDir,
}

impl Directory389 {
    /// Starts a server. Blocks for about a second.
    ///
    /// # Errors
    /// When it is not installed or does not start; the message has the end of its log.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rollcall-ds-").tempdir()?;
        let address = Address::lease()?;
        let port = address.free_port()?;
        let host = address.ip().to_string();
        prepare(directory.path(), &host, port)?;
        let log_path = directory.path().join("output");
        let leash = Leash {
            lock_path: address.lock_path(),
            stop_signal: TERMINATE,
            grace_seconds: GRACE_SECONDS,
            log_path: &log_path,
        };
        let path = |name: &str| directory.path().join(name).display().to_string();
        let command = [
            PROGRAM.to_owned(),
            "-D".to_owned(),
            path("config"),
            "-i".to_owned(),
            path("run/pid"),
            "-d".to_owned(),
            DEBUG_LEVEL.to_owned(),
        ];
        let mut server = Kept::start(&leash, &command)?;
        let ldap = LdapServer {
            url: format!("ldap://{host}:{port}"),
            administrator: ADMINISTRATOR,
            base: BASE,
        };
        ldap.wait_ready(&mut server)
            .context("start 389 Directory Server")?;
        ldap.modify(&format!(
            "dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config\nchangetype: add\n\
             objectClass: extensibleObject\nobjectClass: nsBackendInstance\n\
             nsslapd-suffix: {BASE}\n\n\
             dn: cn=\"{BASE}\",cn=mapping tree,cn=config\nchangetype: add\n\
             objectClass: extensibleObject\nobjectClass: nsMappingTree\ncn: {BASE}\n\
             nsslapd-state: backend\nnsslapd-backend: userRoot\n\n\
             dn: {BASE}\nchangetype: add\nobjectClass: domain\n\n"
        ))?;
        Ok(Self {
            _server: server,
            _address: address,
            ldap,
            _directory: directory,
        })
    }

    /// Gives a new person this password in this scheme, which is named without braces; returns what
    /// the server stored of it.
    ///
    /// # Errors
    /// When the server refuses, or knows no such scheme.
    pub fn hash_of(&self, scheme: &str, name: &str, password: &str) -> Result<String> {
        self.ldap.modify(&format!(
            "dn: cn=config\nchangetype: modify\nreplace: passwordStorageScheme\n\
             passwordStorageScheme: {scheme}\n\n"
        ))?;
        self.ldap.add_person(name, Some(password))?;
        let stored = self.ldap.stored_passwords(name)?.pop();
        stored.with_context(|| format!("{name} has no password"))
    }
}

/// Writes its configuration and makes its folders.
fn prepare(directory: &Path, host: &str, port: u16) -> Result<()> {
    let path = |name: &str| directory.join(name).display().to_string();
    let template = fs::read_to_string(TEMPLATE).context(
        "389 Directory Server is not installed: apt-get install --no-install-recommends 389-ds-base",
    )?;
    let mut text = template
        // A password in the clear has to be said to be one.
        .replace(
            "nsslapd-rootpw:",
            &format!(
                "nsslapd-listenhost: {host}\nnsslapd-rootpwstoragescheme: CLEAR\nnsslapd-rootpw:"
            ),
        );
    let (port, ldapi) = (port.to_string(), path("run/socket"));
    for (name, value) in [
        ("rootdn", ADMINISTRATOR),
        ("ds_passwd", PASSWORD),
        ("ds_port", &port),
        ("ds_user", ACCOUNT),
        ("fqdn", "localhost"),
        ("ldapi_enabled", "off"),
        ("ldapi_autobind", "off"),
        ("ldapi", &ldapi),
        ("schema_dir", &path("config/schema")),
        ("config_dir", &path("config")),
        ("db_home_dir", &path("db")),
        ("db_lib", "bdb"),
        ("ds_suffix", BASE),
    ] {
        text = text.replace(&format!("%{name}%"), value);
    }
    fs::create_dir(directory.join("config"))?;
    for name in [
        "bak", "cert", "db", "inst", "ldif", "lock", "log", "run", "tmp",
    ] {
        fs::create_dir(directory.join(name))?;
        text = text.replace(&format!("%{name}_dir%"), &path(name));
    }
    fs::write(directory.join("config/dse.ldif"), text)?;
    fs::create_dir(directory.join("config/schema"))?;
    for (from, to) in COPIED.into_iter().zip(["config/schema", "config"]) {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), directory.join(to).join(entry.file_name()))?;
        }
    }
    if geteuid().is_root() {
        // It gives up its rights and has to reach its files all the same.
        Account::find(&[ACCOUNT])?.give(directory)?;
    }
    Ok(())
}
