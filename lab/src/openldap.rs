//! OpenLDAP's `slapd` with its modules for PBKDF2.
//!
//! Invariant: all of its files are in a temporary directory, gone when [`OpenLdap`] is dropped.

use std::fs;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::address::Address;
use crate::keeper::{Kept, Leash};
use crate::ldap_server::{LdapServer, PASSWORD};
use crate::program::run;

const PROGRAM: &str = "/usr/sbin/slapd";
const ADMINISTRATOR: &str = "cn=admin,dc=example,dc=org";
const BASE: &str = "dc=example,dc=org";
const TERMINATE: i32 = 15;
const GRACE_SECONDS: u32 = 5;

/// A running server; drop it to stop it.
#[derive(Debug)]
pub struct OpenLdap {
    // Order matters: the server stops before its address and its directory are given back.
    _server: Kept,
    _address: Address,
    ldap: LdapServer,
    _directory: TempDir,
}

impl OpenLdap {
    /// Starts a server that stores a new password in each of these schemes, which are named without
    /// braces.
    ///
    /// # Errors
    /// When it is not installed or does not start; the message has the end of its log.
    pub fn start(schemes: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rollcall-ol-").tempdir()?;
        let data = directory.path().join("data");
        fs::create_dir(&data)?;
        let schemes = schemes.iter().map(|scheme| format!(" {{{scheme}}}"));
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             moduleload pw-pbkdf2\nmoduleload pw-sha2\npassword-hash{}\ndatabase mdb\n\
             suffix {BASE}\nrootdn {ADMINISTRATOR}\nrootpw {PASSWORD}\ndirectory {}\n",
            schemes.collect::<String>(),
            data.display()
        );
        let path = directory.path().join("slapd.conf");
        fs::write(&path, configuration)?;
        let address = Address::lease()?;
        let url = format!("ldap://{}:{}", address.ip(), address.free_port()?);
        let log_path = directory.path().join("log");
        let leash = Leash {
            lock_path: address.lock_path(),
            stop_signal: TERMINATE,
            grace_seconds: GRACE_SECONDS,
            log_path: &log_path,
        };
        let path = path.to_str().context("a path that is no UTF-8")?;
        // With a level of debugging it stays in the foreground.
        let command = [PROGRAM, "-f", path, "-h", &url, "-d", "0"].map(str::to_owned);
        let mut server = Kept::start(&leash, &command)?;
        let ldap = LdapServer {
            url,
            administrator: ADMINISTRATOR,
            base: BASE,
        };
        ldap.wait_ready(&mut server).context("start OpenLDAP")?;
        ldap.modify(&format!(
            "dn: {BASE}\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\n\
             dc: example\no: example\n\n"
        ))?;
        Ok(Self {
            _server: server,
            _address: address,
            ldap,
            _directory: directory,
        })
    }

    /// Gives a new person this password; returns what the server stored of it, one text for each
    /// scheme.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn hashes_of(&self, name: &str, password: &str) -> Result<Vec<String>> {
        self.ldap.add_person(name, None)?;
        // The server hashes what comes by the operation for new passwords (RFC 3062).
        let mut command = self.ldap.command("ldappasswd");
        command.args(["-s", password, &self.ldap.dn(name)]);
        run(&mut command)?;
        self.ldap.stored_passwords(name)
    }
}
