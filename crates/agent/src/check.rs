//! `--check`: tries everything a run needs, without changing anything, and explains what is wrong.
//!
//! Invariant: each line is about one thing; a thing that could not be tried because of an earlier
//! one is left out, so every cross is a cause and not a consequence. The hub comes first, because
//! its settings say which part of the directory counts.

mod kerberos;
mod password_hash;
mod password_writeback;

use std::sync::Arc;
use std::time::Duration;

use rollcall_client::{Client, ClientError, ErrorKind};
use rollcall_directory::{Connection, Error as DirectoryError};
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::{
    GetReplicationTokenRequest, GetSynchronizationSettingsRequest, GetUserpoolRequest,
    ListUsersRequest, SessionType,
};
use rollcall_proto::organizationmanager::ListExternalGroupsRequest;
use serde::Serialize;
use tonic::Code;

use crate::certificate::{WARNING_DAYS, days_left};
use crate::config::Config;
use crate::failure::Failure;
use crate::hub;
use crate::reader::{self, Reader};
use crate::settings::Settings;
use crate::stream::Stream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TLS_PORT: u16 = 636;
const SEALED_PORT: u16 = 389;

/// The verdict on one thing.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was tried.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// What was found, or what to do.
    pub detail: String,
    #[serde(skip)]
    exit_code: u8,
}

/// All verdicts.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// In the order they were tried.
    pub findings: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, name: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding {
            name,
            ok: true,
            detail: detail.into(),
            exit_code: 0,
        });
    }

    /// Adds a failure.
    pub fn bad(&mut self, name: &'static str, failure: &Failure) {
        self.findings.push(Finding {
            name,
            ok: false,
            detail: failure.to_string(),
            exit_code: failure.exit_code(),
        });
    }

    /// 0 when everything works, else the code of the first thing that does not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.findings
            .iter()
            .find(|finding| !finding.ok)
            .map_or(0, |finding| finding.exit_code)
    }

    /// One line each, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.findings.iter().map(|finding| {
            let sign = if finding.ok { '✓' } else { '✗' };
            format!("{sign} {}: {}", finding.name, finding.detail)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Tries everything.
pub async fn check(
    config: &Config,
    config_path: &std::path::Path,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
) -> Findings {
    let mut findings = Findings::default();
    findings.good(
        "configuration",
        format!("{} is complete", config_path.display()),
    );
    match crate::agent::check_permissions(config, config_path) {
        Err(failure) => findings.bad("secret files", &failure),
        Ok(()) if config.check_config_permissions => {
            findings.good(
                "secret files",
                "only the agent's user can read them and write in its directory",
            );
        }
        Ok(()) => {}
    }
    let settings = the_hub(config, clock, entropy, &mut findings).await;
    directory(config, clock, settings.as_ref(), &mut findings).await;
    password_hash::check(config, settings.as_ref(), &mut findings).await;
    findings
}

/// `settings` are those of a session, as far as the hub could be asked for them.
async fn directory(
    config: &Config,
    clock: &dyn Clock,
    settings: Option<&Settings>,
    findings: &mut Findings,
) {
    let options = match reader::options(config) {
        Ok(options) => options,
        Err(failure) => return findings.bad("Kerberos keytab", &failure),
    };
    let (key, host) = match &config.ldap.address {
        Some(address) => ("ldap.address", address),
        None => ("ldap.host", &config.ldap.host),
    };
    let port = match config.ldap.use_kerberos {
        true => SEALED_PORT,
        false => TLS_PORT,
    };
    let address = directory_address(host, port);
    let names = ["directory name", "directory port"];
    if !reach(names, key, &address, findings).await {
        return;
    }
    let opened = Connection::open(&options).await;
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => {
            let name = match &error {
                DirectoryError::Security(error) => kerberos::name_of(error),
                DirectoryError::BindRefused { .. } if config.ldap.use_kerberos => {
                    "directory account"
                }
                DirectoryError::BindRefused { .. } => {
                    findings.good("directory certificate", "accepted");
                    "directory account"
                }
                _ => "directory certificate",
            };
            return findings.bad(name, &reader::failure(&error));
        }
    };
    let expiry = accepted(connection.certificate_expires(), clock);
    if config.ldap.use_kerberos {
        kerberos::signed_in(&connection, findings);
    } else if config.ldap.insecure_skip_verify {
        findings.good(
            "directory certificate",
            "NOT VERIFIED (ldap.insecure_skip_verify)",
        );
    } else {
        findings.good("directory certificate", expiry);
    }
    match connection.whoami().await {
        Ok(Some(name)) => findings.good("directory account", format!("signed in as {name}")),
        Ok(None) | Err(_) => findings.good("directory account", "signed in"),
    }
    // Hashes are not read here.
    let reads = |stream: &Stream| *stream != Stream::PasswordHashes;
    let reads = config.streams().iter().any(reads);
    if reads {
        rights(&mut connection, findings).await;
    }
    if let Some(settings) = settings {
        if reads || config.enable_password_writeback {
            scope(config, settings, findings).await;
        }
        password_writeback::check_directory(config, settings, &mut connection, findings).await;
    }
    connection.close().await;
}

/// What is said of a certificate that was accepted.
fn accepted(expires_at: Option<Timestamp>, clock: &dyn Clock) -> String {
    let Some(expires_at) = expires_at else {
        return "accepted".to_owned();
    };
    let days = days_left(expires_at, clock.now());
    let note = if days < WARNING_DAYS {
        "; renew it soon"
    } else {
        ""
    };
    format!("accepted; {days} days left{note}")
}

async fn rights(connection: &mut Connection, findings: &mut Findings) {
    let name = "directory rights";
    match connection.check_rights().await {
        Ok(missing) if missing.is_empty() => {
            findings.good(name, "changes and deleted objects can be read");
        }
        Ok(missing) => {
            for right in missing {
                findings.bad(name, &Failure::Run(right.to_string()));
            }
        }
        Err(error) => findings.bad(name, &reader::failure(&error)),
    }
}

async fn scope(config: &Config, settings: &Settings, findings: &mut Findings) {
    let filter = &settings.filter;
    let name = "scope";
    let mut reader = match Reader::connect(config, &filter.domain).await {
        Ok(reader) => reader,
        Err(failure) => return findings.bad(name, &failure),
    };
    if let Err(failure) = reader.check_mapping(&settings.mapping).await {
        findings.bad("attribute mapping", &failure);
    }
    match reader.resolve(filter, None).await {
        Ok(resolved) => findings.good(
            name,
            format!(
                "{}: {} organizational units and {} groups found",
                filter.domain,
                resolved.scope.units.len(),
                resolved.scope.groups.len()
            ),
        ),
        Err(failure) => findings.bad(name, &failure),
    }
}

/// Tries the hub; the settings that a session would work with, if they could be found out.
async fn the_hub(
    config: &Config,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    findings: &mut Findings,
) -> Option<Settings> {
    let client = hub_client(config, clock, entropy, findings).await?;
    if !pool(config, &client, findings).await {
        return None;
    }
    settings(config, &client, findings).await
}

async fn hub_client(
    config: &Config,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    findings: &mut Findings,
) -> Option<Client> {
    let address = config.hub.address.clone();
    if !reach(["hub name", "hub port"], "hub.address", &address, findings).await {
        return None;
    }
    let options = match hub::client_options(config) {
        Ok(mut options) => {
            options.entropy = Arc::clone(entropy);
            options
        }
        Err(failure) => {
            findings.bad("hub key file", &failure);
            return None;
        }
    };
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error) => {
            let name = match error.kind {
                ErrorKind::Certificate => "hub certificate",
                ErrorKind::Unauthenticated => {
                    findings.good("hub certificate", "accepted");
                    "hub token"
                }
                ErrorKind::Configuration => "hub key file",
                _ => "hub connection",
            };
            findings.bad(name, &hub::failure(&error));
            return None;
        }
    };
    let expiry = accepted(client.certificate_expires(), clock);
    findings.good("hub certificate", expiry);
    findings.good("hub token", "issued");
    Some(client)
}

async fn settings(config: &Config, client: &Client, findings: &mut Findings) -> Option<Settings> {
    let name = "synchronization settings";
    let request = GetSynchronizationSettingsRequest {
        subject_container_id: config.userpool_id.clone(),
    };
    let answer = client
        .synchronization()
        .get_synchronization_settings(request)
        .await;
    let of_hub = match answer {
        Ok(settings) => Some(settings.into_inner()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => {
            let error = client.error(&status);
            findings.bad(name, &explained(&error, "cloud_credentials_file_path"));
            return None;
        }
    };
    password_writeback::check_hub(config, client, of_hub.as_ref(), findings).await;
    let settings = match Settings::effective(config, of_hub.as_ref()) {
        Ok(settings) => settings,
        Err(failure) => {
            findings.bad(name, &failure);
            return None;
        }
    };
    let differences = settings.differences(&Settings::of_file(config));
    findings.good(
        name,
        match (of_hub, differences.as_slice()) {
            (None, _) => "those of the file; the hub has none".to_owned(),
            (Some(_), []) => "those of the hub; the file says the same".to_owned(),
            (Some(_), names) => format!(
                "those of the hub; it overrides the file's {}",
                names.join(", ")
            ),
        },
    );
    Some(settings)
}

/// Whether the pool is there.
async fn pool(config: &Config, client: &Client, findings: &mut Findings) -> bool {
    let userpool_id = config.userpool_id.clone();
    let request = GetUserpoolRequest {
        userpool_id: userpool_id.clone(),
    };
    match client.userpools().get(request).await {
        Ok(pool) => findings.good("pool", format!("{} exists", pool.into_inner().name)),
        Err(status) => {
            findings.bad("pool", &explained(&client.error(&status), "userpool_id"));
            return false;
        }
    }
    if config.streams().is_empty() {
        return true;
    }
    let name = "hub permissions";
    let token = GetReplicationTokenRequest {
        subject_container_id: userpool_id.clone(),
        session_type: SessionType::AdSync as i32,
    };
    let users = ListUsersRequest {
        userpool_id: userpool_id.clone(),
        page_size: 1,
        ..ListUsersRequest::default()
    };
    let groups = ListExternalGroupsRequest {
        subject_container_id: userpool_id,
        page_size: 1,
        ..ListExternalGroupsRequest::default()
    };
    let mut synchronization = client.synchronization();
    let token = synchronization.get_replication_token(token).await;
    let mut refused = vec![token.err(), client.users().list(users).await.err()];
    if config.streams().contains(&Stream::Objects) {
        refused.push(client.groups().list_external(groups).await.err());
    }
    let mut refused = refused.into_iter().flatten().peekable();
    if refused.peek().is_none() {
        findings.good(name, "what the streams need of the pool can be used");
    }
    for status in refused {
        findings.bad(
            name,
            &explained(&client.error(&status), "cloud_credentials_file_path"),
        );
    }
    true
}

fn explained(error: &ClientError, key: &str) -> Failure {
    Failure::Run(format!("{key}: {error}"))
}

/// Resolves and connects; adds what it finds under these two names.
async fn reach(
    names: [&'static str; 2],
    key: &str,
    address: &str,
    findings: &mut Findings,
) -> bool {
    let [resolution, port] = names;
    let addresses: Vec<_> = match tokio::net::lookup_host(address).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            findings.bad(
                resolution,
                &Failure::Run(format!(
                    "{key}: {address} cannot be resolved ({error}); check the name and the DNS servers of this machine"
                )),
            );
            return false;
        }
    };
    findings.good(resolution, format!("{address} resolves"));
    let connect = tokio::net::TcpStream::connect(addresses.as_slice());
    let problem = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(_)) => {
            findings.good(port, format!("{address} answers"));
            return true;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()),
    };
    findings.bad(
        port,
        &Failure::Run(format!(
            "{key}: {address} cannot be reached ({problem}); check that it runs and that no firewall is between"
        )),
    );
    false
}

/// `host:port` of a URL or a bare host.
fn directory_address(url: &str, port: u16) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    let after_host = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
    if after_host.contains(':') {
        rest.to_owned()
    } else {
        format!("{rest}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_urls() {
        for (url, address) in [
            ("ldaps://dc1.corp.example", "dc1.corp.example:636"),
            ("ldaps://dc1:3269/", "dc1:3269"),
            ("ldaps://[::1]", "[::1]:636"),
            ("ldaps://[::1]:1636", "[::1]:1636"),
        ] {
            assert_eq!(directory_address(url, TLS_PORT), address);
        }
    }

    #[test]
    fn the_first_failure_gives_the_code() {
        let mut findings = Findings::default();
        findings.good("a", "fine");
        assert_eq!(findings.exit_code(), 0);
        findings.bad("b", &Failure::Authentication("no".into()));
        findings.bad("c", &Failure::Run("no".into()));
        assert_eq!(findings.exit_code(), 4);
        assert_eq!(findings.text(), "✓ a: fine\n✗ b: no\n✗ c: no");
    }
}
