//! The configuration file `hub.yaml` of a data directory.
//!
//! Invariant: an unknown key is an error, so a typing mistake never silently becomes a default.
//! Deliberately absent: secrets. Keys lie in files of their own in the data directory.

mod audit;
mod dns;
mod limits;
mod password_writeback;
mod sign_in;

use std::path::Path;

use anyhow::{Context, bail};
use rollcall_domain::quota::{Quota, Quotas};
use rollcall_kit::secret::SecretString;
use serde::{Deserialize, Serialize};

pub use audit::{AuditConfig, AuditFileConfig, AuditSink};
pub use dns::DnsConfig;
pub use limits::LimitsConfig;
pub use password_writeback::PasswordWritebackConfig;
pub use sign_in::SignInConfig;

/// Lease of a session when the configuration gives none, in seconds (decision U2).
pub const LEASE_SECONDS_DEFAULT: u32 = 60;
/// Shortest lease in seconds (decision U2).
pub const LEASE_SECONDS_MIN: u32 = 10;
/// Longest lease in seconds (decision U2).
pub const LEASE_SECONDS_MAX: u32 = 600;
/// Suffix of the built-in domain of a pool when the configuration gives none (decision U84).
pub const DEFAULT_DOMAIN_SUFFIX: &str = "idp.rollcall.internal";

const CONFIG_BYTES_MAX: u64 = 256 * 1024;

/// What `hub.yaml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Public address `host:port` of the hub: what endpoint discovery answers.
    pub address: String,
    /// Address to listen on; absent = the public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `postgres://…`; absent = embedded SQLite in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseUrl>,
    /// Further audiences accepted in the JWT of a service account (decision U127).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_audiences: Vec<String>,
    /// Suffix of the built-in domain of each pool (decision U84).
    #[serde(default = "default_domain_suffix")]
    pub default_domain_suffix: String,
    /// Synchronization sessions.
    #[serde(default)]
    pub sessions: SessionsConfig,
    /// Quotas; absent = unlimited.
    #[serde(default, skip_serializing_if = "QuotasConfig::is_unlimited")]
    pub quotas: QuotasConfig,
    /// What callers may ask of the hub.
    #[serde(default, skip_serializing_if = "LimitsConfig::is_default")]
    pub limits: LimitsConfig,
    /// Signing in with a password.
    #[serde(default, skip_serializing_if = "SignInConfig::is_default")]
    pub sign_in: SignInConfig,
    /// New passwords that a directory has to accept first.
    #[serde(default, skip_serializing_if = "PasswordWritebackConfig::is_default")]
    pub password_writeback: PasswordWritebackConfig,
    /// Whom the hub asks for the proofs of domains.
    #[serde(default, skip_serializing_if = "DnsConfig::is_default")]
    pub dns: DnsConfig,
    /// The audit trail.
    #[serde(default, skip_serializing_if = "AuditConfig::is_default")]
    pub audit: AuditConfig,
}

/// The section `sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// Lease of an open session in seconds, 10 to 600.
    pub lease_seconds: u32,
    /// A session ends this many seconds after its beginning, even while its agent is alive
    /// (decision U6); 0 = never.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_session_duration_seconds: u32,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            lease_seconds: LEASE_SECONDS_DEFAULT,
            max_session_duration_seconds: 0,
        }
    }
}

/// The section `quotas`: how many things of a kind another thing may hold; 0 = unlimited
/// (decision U86).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotasConfig {
    /// Users of all pools and service accounts of an organization.
    pub subjects_per_organization: u64,
    /// Groups of an organization.
    pub groups_per_organization: u64,
    /// Members of a group, suspended ones included.
    pub members_per_group: u64,
    /// Groups that a user is in.
    pub groups_per_user: u64,
    /// Bindings on an organization itself.
    pub access_bindings_per_organization: u64,
    /// User pools of an organization.
    pub userpools_per_organization: u64,
    /// Users of a pool.
    pub users_per_userpool: u64,
    /// Domains of a pool, the built-in one included.
    pub domains_per_userpool: u64,
    /// Service accounts of an organization.
    pub service_accounts_per_organization: u64,
    /// Keys of a service account, disabled ones included.
    pub keys_per_service_account: u64,
}

impl QuotasConfig {
    /// The quotas as the rules take them.
    #[must_use]
    pub fn to_quotas(&self) -> Quotas {
        Quotas::new([
            (
                Quota::SubjectsPerOrganization,
                self.subjects_per_organization,
            ),
            (Quota::GroupsPerOrganization, self.groups_per_organization),
            (Quota::MembersPerGroup, self.members_per_group),
            (Quota::GroupsPerUser, self.groups_per_user),
            (
                Quota::AccessBindingsPerOrganization,
                self.access_bindings_per_organization,
            ),
            (
                Quota::UserpoolsPerOrganization,
                self.userpools_per_organization,
            ),
            (Quota::UsersPerUserpool, self.users_per_userpool),
            (Quota::DomainsPerUserpool, self.domains_per_userpool),
            (
                Quota::ServiceAccountsPerOrganization,
                self.service_accounts_per_organization,
            ),
            (Quota::KeysPerServiceAccount, self.keys_per_service_account),
        ])
    }

    fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// The address of a PostgreSQL database. It may hold a password, so `Debug` shows nothing.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes over `url`.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL as a secret.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        SecretString::new(self.0.clone())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// The configuration that `init` writes for a hub at `address`.
    #[must_use]
    pub fn for_address(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            listen: None,
            database: None,
            token_audiences: Vec::new(),
            default_domain_suffix: default_domain_suffix(),
            sessions: SessionsConfig::default(),
            quotas: QuotasConfig::default(),
            limits: LimitsConfig::default(),
            sign_in: SignInConfig::default(),
            password_writeback: PasswordWritebackConfig::default(),
            dns: DnsConfig::default(),
            audit: AuditConfig::default(),
        }
    }

    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is not YAML, holds an unknown key or a value out of range.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let size = std::fs::metadata(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?
            .len();
        if size > CONFIG_BYTES_MAX {
            bail!("the configuration {} is too large", path.display());
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    /// Reads and checks the text of a configuration.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = serde_saphyr::from_str(text)?;
        split_address(&config.address).context("key address")?;
        if let Some(listen) = &config.listen {
            split_address(listen).context("key listen")?;
        }
        if let Some(DatabaseUrl(url)) = &config.database
            && !url.starts_with("postgres://")
            && !url.starts_with("postgresql://")
        {
            bail!("key database: it must begin with postgres://; leave it out for SQLite");
        }
        let lease = config.sessions.lease_seconds;
        if !(LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX).contains(&lease) {
            bail!(
                "key sessions.lease_seconds: {lease} is outside {LEASE_SECONDS_MIN} to \
                 {LEASE_SECONDS_MAX}"
            );
        }
        let longest = config.sessions.max_session_duration_seconds;
        if longest != 0 && longest < lease {
            bail!(
                "key sessions.max_session_duration_seconds: {longest} is less than lease_seconds \
                 ({lease}); give more, or 0 for no end"
            );
        }
        config.limits.check()?;
        config.sign_in.check()?;
        config.password_writeback.check()?;
        config.dns.check()?;
        config.audit.check()?;
        Ok(config)
    }

    /// The text of the file, readable again by [`Config::parse`].
    ///
    /// # Errors
    /// Never for values that `parse` accepts.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        Ok(serde_saphyr::to_string(self)?)
    }
}

/// Splits `host:port`; an IPv6 host stands in brackets.
///
/// # Errors
/// When there is no host or no port from 0 to 65535.
pub fn split_address(address: &str) -> anyhow::Result<(String, u16)> {
    let (host, port) = address
        .rsplit_once(':')
        .with_context(|| format!("`{address}` has no port: write HOST:PORT"))?;
    let port = port
        .parse()
        .with_context(|| format!("`{port}` is not a port: write a number from 0 to 65535"))?;
    let host = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() || host.contains(char::is_whitespace) {
        bail!("`{address}` has no host: write HOST:PORT");
    }
    Ok((host.to_owned(), port))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn default_domain_suffix() -> String {
    DEFAULT_DOMAIN_SUFFIX.to_owned()
}

#[cfg(test)]
mod tests {
    use rollcall_domain::named::Named as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut config = Config::for_address("hub.corp.example:443");
        config.database = Some(DatabaseUrl("postgres://hub@db/hub".into()));
        config.token_audiences.push("https://example.org".into());
        config.quotas.users_per_userpool = 5;
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
    }

    #[test]
    fn defaults_fill_what_is_absent() {
        let config = Config::parse("address: localhost:8443\n").unwrap();
        assert_eq!(config, Config::for_address("localhost:8443"));
    }

    #[test]
    fn every_quota_has_its_key() {
        for quota in Quota::ALL {
            let text = format!("address: a:1\nquotas: {{{quota}: 7}}\n");
            let quotas = Config::parse(&text).unwrap().quotas.to_quotas();
            for other in Quota::ALL {
                let expected = (other == quota).then_some(7);
                assert_eq!(quotas.limit(*other), expected, "{quota} {other}");
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, part: &str| {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(part), "{error} lacks {part}");
        };
        check("address: a:1\nlease: 3\n", "lease");
        check(
            "address: a:1\nsessions: {lease_second: 3}\n",
            "lease_second",
        );
        check("address: a:1\nsessions: {lease_seconds: 9}\n", "10 to 600");
        check(
            "address: a:1\nsessions: {max_session_duration_seconds: 9}\n",
            "less than lease_seconds",
        );
        check("address: a:1\nquotas: {users: 9}\n", "users");
        check(
            "address: a:1\nquotas: {groups_per_user: -1}\n",
            "groups_per_user",
        );
        check("address: a\n", "HOST:PORT");
        check("address: ':1'\n", "no host");
        check("address: a:99999\n", "not a port");
        check("address: a:1\ndatabase: mysql://x\n", "postgres://");
        check("listen: a:1\n", "address");
    }

    #[test]
    fn the_database_password_is_not_shown() {
        let text = "address: a:1\ndatabase: postgres://hub:hunter2@db/hub\n";
        let config = Config::parse(text).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        assert_eq!(split_address("[::1]:8443").unwrap(), ("::1".into(), 8443));
    }
}
