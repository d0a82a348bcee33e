//! The agent's configuration file.
//!
//! Invariant: what is accepted here is complete and consistent; every problem names its key and
//! says what to do. An unknown key is an error with the nearest known one (decision U114).
//! Secrets never appear in an error. Deliberately absent: the synchronization settings of the
//! hub, which win over the file (`crate::settings`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_kit::secret::SecretString;
use serde::{Deserialize, Deserializer};

use crate::stream::Stream;

mod check;
mod kerberos;
mod log;
mod nearest;
mod period;

pub use log::{CloudLogger, LogFile, LogFormat, LogLevel, Logger};
pub use period::parse_period;

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const INTERVAL_DEFAULT: Duration = Duration::from_secs(240);
const FULL_COMPARISON_PERIOD_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const FOLLOW_PERIOD_DEFAULT: Duration = Duration::from_secs(30);
const STATE_PERIOD_DEFAULT: Duration = Duration::from_secs(5);
const HASH_PERIOD_DEFAULT: Duration = Duration::from_secs(5);
const DRIFT_CHECK_PERIOD_DEFAULT: Duration = Duration::from_secs(24 * 3_600);

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not YAML of the right form.
    #[error("{path}, line {line}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1; 0 when unknown.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The values do not fit together.
    #[error("{path}:{}", problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All problems, each with its key.
        problems: Vec<String>,
    },
}

/// The whole file. Keys are those of the published agent, plus `hub`, `agent_id`, `safety`,
/// `streams`, `metrics`, `drift`, and some of `ldap`, `drsr` and `sync_settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Pool to fill.
    #[serde(default)]
    pub userpool_id: String,
    /// Where the hub is.
    #[serde(default)]
    pub hub: Hub,
    /// Overrides the identifier kept in the working directory (decision U104).
    pub agent_id: Option<String>,
    /// Base of relative paths and home of the agent's own files.
    pub working_directory: Option<PathBuf>,
    /// Accepted for compatibility; the hub keeps the tokens.
    pub replication_tokens_path: Option<PathBuf>,
    /// Check owner and mode of secret files at start.
    #[serde(default)]
    pub check_config_permissions: bool,
    /// The service account's key.
    pub cloud_credentials_file_path: Option<PathBuf>,
    /// Tokens from the metadata service of a virtual machine.
    #[serde(default)]
    pub use_metadata_service: bool,
    /// Agent part of the writeback switch; the pool has the other (decision U42).
    #[serde(default)]
    pub enable_password_writeback: bool,
    /// Accepted for compatibility; this agent always works in sessions.
    pub use_session_api: Option<bool>,
    /// Trial without writes.
    #[serde(default)]
    pub dry_run: DryRun,
    /// Source of password hashes.
    pub drsr: Option<Drsr>,
    /// Source of users and groups.
    #[serde(default)]
    pub ldap: Ldap,
    /// Kerberos.
    pub kerberos: Option<Kerberos>,
    /// Logging.
    #[serde(default)]
    pub logger: Logger,
    /// Limits on what one run may do.
    #[serde(default)]
    pub safety: Safety,
    /// Streams this agent works in; others may be worked in by other agents (decision U105). None
    /// for an agent that only writes passwords back.
    #[serde(rename = "streams")]
    pub named_streams: Option<Vec<Stream>>,
    /// Numbers for Prometheus.
    #[serde(default)]
    pub metrics: Metrics,
    /// The check for drift.
    #[serde(default)]
    pub drift: Drift,
    /// What is synchronized, and how.
    #[serde(default)]
    pub sync_settings: SyncSettings,
}

/// The hub's address.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hub {
    /// `host:port`.
    pub address: String,
    /// CA of the hub's certificate when it is not in the system store.
    pub ca_path: Option<PathBuf>,
}

/// `dry_run`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DryRun {
    /// Whether it is on.
    pub enabled: bool,
}

/// `drsr`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drsr {
    /// Domain controller, no scheme.
    pub host: String,
    /// Where to connect, when the host's name does not lead there.
    pub address: Option<String>,
    /// TCP port of replication; absent = the endpoint mapper (TCP 135) is asked.
    pub port: Option<u16>,
    /// sAMAccountName of the account, also as `name@domain` or `DOMAIN\name`.
    pub username: Option<String>,
    /// Its password.
    #[serde(deserialize_with = "secret")]
    pub password: Option<SecretString>,
    /// Kerberos mode.
    pub use_kerberos: bool,
    /// Identity of the Windows service.
    pub use_windows_identity: bool,
}

/// `ldap`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ldap {
    /// `ldaps://host:636`; with Kerberos `ldap://host:389` or the full name of the host.
    pub host: String,
    /// `HOST[:PORT]` to connect to in place of that of `host`, which still has to prove its name.
    pub address: Option<String>,
    /// Distinguished name (or user principal name) of the account.
    pub username: Option<String>,
    /// Its password.
    #[serde(deserialize_with = "secret")]
    pub password: Option<SecretString>,
    /// CA of the domain controller's certificate when it is not in the system store.
    pub certificate_path: Option<PathBuf>,
    /// Ignore certificate errors; tests only.
    pub insecure_skip_verify: bool,
    /// Kerberos mode.
    pub use_kerberos: bool,
    /// Identity of the Windows service.
    pub use_windows_identity: bool,
}

/// `kerberos`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kerberos {
    /// Keytab of the account.
    pub keytab_path: Option<PathBuf>,
    /// Its principal.
    pub principal: Option<String>,
    /// krb5.conf.
    pub krb5_config_path: Option<PathBuf>,
    /// FAST pre-authentication is never used; `false` is accepted with a warning.
    pub disable_pa_fx_fast: Option<bool>,
}

/// `safety`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Safety {
    /// Users, and groups, that one run may remove; 0 = any number; absent = the larger of 20
    /// and 20 %.
    pub max_removals: Option<usize>,
}

/// `metrics`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port to serve them on; absent = not served.
    pub listen: Option<SocketAddr>,
}

/// `drift`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    /// Time between two comparisons of both sides by the service; 0 = none.
    #[serde(deserialize_with = "period")]
    pub check_period: Duration,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            check_period: DRIFT_CHECK_PERIOD_DEFAULT,
        }
    }
}

/// `sync_settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSettings {
    /// Start-to-start time of sessions. That of the hub counts, which is 15 minutes when it has no
    /// settings (decision U41).
    #[serde(deserialize_with = "period")]
    pub interval: Duration,
    /// Time between two looks at the directory inside a session (decision U131).
    #[serde(deserialize_with = "period")]
    pub follow_period: Duration,
    /// The same for the account state stream.
    #[serde(deserialize_with = "period")]
    pub state_period: Duration,
    /// The same for the password hash stream.
    #[serde(deserialize_with = "period")]
    pub hash_period: Duration,
    /// A session that finds the last full comparison older than this compares everything again
    /// (decision U35).
    #[serde(deserialize_with = "period")]
    pub full_comparison_period: Duration,
    /// Take over users of the pool with the same login.
    pub allow_to_capture_users: bool,
    /// Take over groups with the same name.
    pub allow_to_capture_groups: bool,
    /// Domain of the pool in place of the suffix of the userPrincipalName.
    pub replacement_domain: Option<String>,
    /// Overrides of the user mapping.
    pub user_attribute_mapping: Vec<AttributeMapping>,
    /// Overrides of the group mapping.
    pub group_attribute_mapping: Vec<AttributeMapping>,
    /// Scope.
    pub filter: Filter,
    /// Users gone or out of scope.
    pub remove_user_behavior: RemoveUserBehavior,
    /// Groups inside groups (decision U50).
    pub nested_groups: NestedGroups,
    /// Names are never rewritten; the only value is `off` (decision U107).
    pub name_sanitize: NameSanitize,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            interval: INTERVAL_DEFAULT,
            follow_period: FOLLOW_PERIOD_DEFAULT,
            full_comparison_period: FULL_COMPARISON_PERIOD_DEFAULT,
            state_period: STATE_PERIOD_DEFAULT,
            hash_period: HASH_PERIOD_DEFAULT,
            allow_to_capture_users: false,
            allow_to_capture_groups: false,
            replacement_domain: None,
            user_attribute_mapping: Vec::new(),
            group_attribute_mapping: Vec::new(),
            filter: Filter::default(),
            remove_user_behavior: RemoveUserBehavior::default(),
            nested_groups: NestedGroups::default(),
            name_sanitize: NameSanitize::default(),
        }
    }
}

/// One override of a mapping.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeMapping {
    /// Attribute of the directory; empty for `empty`.
    #[serde(default)]
    pub source: String,
    /// Field of the hub.
    pub target: String,
    /// Kind.
    #[serde(rename = "type")]
    pub kind: MappingKind,
}

/// `type` of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingKind {
    /// Map a supported attribute.
    Direct,
    /// Map any attribute of the directory.
    DirectArbitraryAttribute,
    /// Do not synchronize.
    Empty,
}

/// `sync_settings.filter`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// DNS name of the directory's domain.
    pub domain: String,
    /// DNs that bound the scope of users and groups.
    pub organization_units: Vec<String>,
    /// Users must be in one of these.
    pub groups: Vec<String>,
}

/// `sync_settings.remove_user_behavior`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RemoveUserBehavior {
    /// Delete.
    #[default]
    Remove,
    /// Deactivate.
    Block,
}

/// `sync_settings.nested_groups`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NestedGroups {
    /// Direct members only.
    #[default]
    Direct,
    /// Members of inner groups too.
    Flatten,
}

/// `sync_settings.name_sanitize`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameSanitize {
    /// Names are taken as they are.
    #[default]
    Off,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] with everything a person needs to correct it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(ConfigError::Invalid {
                path: path.to_owned(),
                problems: vec![format!("larger than {FILE_BYTES_MAX} bytes")],
            });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&SecretString::new(text), path)
    }

    /// Reads and checks a text; `path` is only for messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &SecretString, path: &Path) -> Result<Self, ConfigError> {
        let config: Self =
            serde_saphyr::from_str(text.expose()).map_err(|error| ConfigError::Malformed {
                path: path.to_owned(),
                line: error.location().map_or(0, |at| at.line()),
                problem: nearest::explain(error.without_snippet()),
            })?;
        let problems = check::problems(&config);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Invalid {
            path: path.to_owned(),
            problems,
        })
    }

    /// The streams this agent works in: those named, or all it has a source for.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let has_source = |stream: &Stream| *stream != Stream::PasswordHashes || self.drsr.is_some();
        let all = || Stream::ALL.into_iter().filter(has_source).collect();
        self.named_streams.clone().unwrap_or_else(all)
    }

    /// Where the agent keeps its files: the key, or the directory of the executable.
    #[must_use]
    pub fn working_directory(&self) -> PathBuf {
        self.working_directory.clone().unwrap_or_else(|| {
            std::env::current_exe()
                .ok()
                .and_then(|exe| exe.parent().map(Path::to_owned))
                .unwrap_or_else(|| PathBuf::from("."))
        })
    }

    /// A path of the file, relative ones in the working directory.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.working_directory().join(path)
    }

    /// Files whose content is secret (for the permission check).
    #[must_use]
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let keytab = self
            .kerberos
            .as_ref()
            .and_then(|kerberos| kerberos.keytab_path.as_deref());
        [self.cloud_credentials_file_path.as_deref(), keytab]
            .into_iter()
            .flatten()
            .map(|path| self.resolve(path))
            .collect()
    }
}

fn secret<'de, D: Deserializer<'de>>(de: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.map(SecretString::new))
}

fn period<'de, D: Deserializer<'de>>(de: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(de)?;
    parse_period(&text).map_err(serde::de::Error::custom)
}
