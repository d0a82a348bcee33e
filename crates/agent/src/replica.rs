//! Reading password hashes by replication, as the agent uses it.
//!
//! Invariant: an association is never older than `AGE_MAX`: a controller may give rights to it as
//! it was when it signed in, and a right or an account that was taken away has to show (AT-15).
//! Deliberately absent: what to do with a hash.

use std::time::Duration;

use rollcall_directory::{
    Credential, Error, Mechanism, Page, ReplicatedAttribute, ReplicatedObject, Replication,
    ReplicationCursor, ReplicationOptions, ReplicationProblem, SecurityOptions,
};
use tokio::time::Instant;

use crate::config::{Config, Drsr};
use crate::engine::Guid;
use crate::failure::Failure;
use crate::fault_count::Side;
use crate::reader;

/// How long an association is used.
const AGE_MAX: Duration = Duration::from_secs(60);
/// What is asked for of each object.
const ATTRIBUTES: [ReplicatedAttribute; 2] = [
    ReplicatedAttribute::UnicodePwd,
    ReplicatedAttribute::PwdLastSet,
];

/// A way to the password hashes of a domain.
#[derive(Debug)]
pub struct Replica<'a> {
    config: &'a Config,
    domain: String,
    replication: Replication,
    opened_at: Instant,
}

impl<'a> Replica<'a> {
    /// Signs in at the controller of the configuration.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub async fn connect(config: &'a Config, domain: &str) -> Result<Self, Failure> {
        let options = options(config, domain)?;
        let opened = Replication::open(&options).await;
        Ok(Self {
            config,
            domain: domain.to_owned(),
            replication: opened.map_err(|error| failure(&error))?,
            opened_at: Instant::now(),
        })
    }

    /// Signs in again.
    ///
    /// # Errors
    /// As [`Self::connect`]; the old association stays then.
    pub async fn reconnect(&mut self) -> Result<(), Failure> {
        let new = Self::connect(self.config, &self.domain).await?;
        let old = std::mem::replace(self, new);
        old.replication.close().await;
        Ok(())
    }

    /// Whether it is time to sign in again.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.opened_at.elapsed() >= AGE_MAX
    }

    /// The changes of hashes after a cursor.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn next_page(&mut self, cursor: &ReplicationCursor) -> Result<Page, Error> {
        self.replication.next_page(cursor, &ATTRIBUTES).await
    }

    /// One object as it is now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn one(&mut self, guid: Guid) -> Result<Option<ReplicatedObject>, Error> {
        let guid = rollcall_directory::Guid::from_bytes(guid.to_wire());
        self.replication.one_object(guid, &ATTRIBUTES).await
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.replication.close().await;
    }
}

/// What a failed read means for the whole run.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    match error {
        Error::Replication(ReplicationProblem::SignInRefused { .. }) => {
            Side::Directory.failed();
            Failure::Authentication(format!("drsr: {error}"))
        }
        _ => reader::failure(error),
    }
}

/// How replication is reached.
///
/// # Errors
/// [`Failure::Config`] when something of the account cannot be used.
pub fn options(config: &Config, domain: &str) -> Result<ReplicationOptions, Failure> {
    let Some(drsr) = &config.drsr else {
        return Err(Failure::Config(
            "drsr: missing; the stream password_hashes needs host, username and password".into(),
        ));
    };
    let security = if drsr.use_kerberos {
        crate::kerberos::security(config, crate::kerberos::host_name(&drsr.host))?
    } else {
        let credential = credential(drsr, domain);
        let mut security = SecurityOptions::new(Mechanism::Ntlm, credential, drsr.host.as_str());
        security.computer = crate::agent::host_name();
        security
    };
    let host = drsr.address.clone().unwrap_or_else(|| drsr.host.clone());
    let mut options = ReplicationOptions::new(host, security, naming_context(domain));
    options.port = drsr.port;
    Ok(options)
}

/// The account: `name`, `name@domain` or `DOMAIN\name`.
fn credential(drsr: &Drsr, domain: &str) -> Credential {
    let name = drsr.username.as_deref().unwrap_or_default();
    let (domain, user) = match (name.split_once('\\'), name.rsplit_once('@')) {
        (Some((domain, user)), _) | (None, Some((user, domain))) => (domain, user),
        (None, None) => (domain, name),
    };
    Credential::Password {
        domain: domain.to_owned(),
        user: user.to_owned(),
        password: drsr
            .password
            .clone()
            .unwrap_or_else(|| rollcall_kit::secret::SecretString::new(String::new())),
    }
}

/// The name of a domain as a DN (RFC 2247).
fn naming_context(domain: &str) -> String {
    let parts = domain.split('.').filter(|label| !label.is_empty());
    let parts: Vec<String> = parts.map(|label| format!("DC={label}")).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use rollcall_kit::secret::SecretString;

    use super::*;

    #[test]
    fn accounts_have_a_domain() {
        for (name, account) in [
            ("svc", "svc@corp.example"),
            ("svc@other.example", "svc@other.example"),
            ("CORP\\svc", "svc@CORP"),
        ] {
            let drsr = Drsr {
                username: Some(name.into()),
                password: Some(SecretString::new("hidden".into())),
                ..Drsr::default()
            };
            let found = credential(&drsr, "corp.example");
            assert_eq!(found.account(), account);
        }
    }

    #[test]
    fn a_domain_is_a_naming_context() {
        assert_eq!(naming_context("corp.example"), "DC=corp,DC=example");
    }
}
