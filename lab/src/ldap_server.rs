//! LDAP servers of other kinds, as places that hash passwords: what they have in common.
//!
//! Invariant: the server itself hashes what it is sent in the clear, and the tools of `ldap-utils` read
//! back what it stored. Deliberately absent: encryption, since they listen on loopback only and nothing
//! in them is secret.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keeper::Kept;
use crate::program::{run, run_with_input};

const START_POLL: Duration = Duration::from_millis(50);
/// 60 s: a start takes about a second, but tests may run on a machine that is overloaded.
const START_POLLS_MAX: u32 = 1_200;
/// Of the administrator.
pub(crate) const PASSWORD: &str = "Directory-Pw1";

/// How to reach a server as its administrator.
#[derive(Debug)]
pub(crate) struct LdapServer {
    pub url: String,
    pub administrator: &'static str,
    /// DN under which people are.
    pub base: &'static str,
}

impl LdapServer {
    /// Waits until it answers.
    pub fn wait_ready(&self, server: &mut Kept) -> Result<()> {
        for _ in 0..START_POLLS_MAX {
            server.check_alive()?;
            let mut command = self.command("ldapsearch");
            command.args(["-s", "base", "-b", "", "namingContexts"]);
            if run(&mut command).is_ok() {
                return Ok(());
            }
            std::thread::sleep(START_POLL);
        }
        bail!("{} does not answer:\n{}", self.url, server.log_tail())
    }

    /// Carries out these changes.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        let mut command = self.command("ldapmodify");
        run_with_input(&mut command, ldif).map(drop)
    }

    /// DN of the person of this name.
    pub fn dn(&self, name: &str) -> String {
        format!("cn={name},{}", self.base)
    }

    /// Adds a person without a password, or with one.
    pub fn add_person(&self, name: &str, password: Option<&str>) -> Result<()> {
        let password = password.map_or_else(String::new, |password| {
            format!("userPassword:: {}\n", STANDARD.encode(password))
        });
        self.modify(&format!(
            "dn: {}\nchangetype: add\nobjectClass: person\nsn: {name}\n{password}\n",
            self.dn(name)
        ))
    }

    /// What the server stored as the passwords of a person.
    pub fn stored_passwords(&self, name: &str) -> Result<Vec<String>> {
        let mut command = self.command("ldapsearch");
        command
            .args(["-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b"])
            .args([self.dn(name).as_str(), "userPassword"]);
        let found = run(&mut command)?;
        let values = found
            .lines()
            .filter_map(|line| line.strip_prefix("userPassword:: "));
        values
            .map(|value| Ok(String::from_utf8(STANDARD.decode(value)?)?))
            .collect()
    }

    /// A program of `ldap-utils` that signs in as administrator.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(["-x", "-H", &self.url, "-D", self.administrator])
            .args(["-w", PASSWORD]);
        command
    }
}
