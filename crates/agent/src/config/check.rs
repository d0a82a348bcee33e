//! The rules between the keys of the configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{AttributeMapping, Config, MappingKind, kerberos};
use crate::engine::attribute::check_arbitrary;
use crate::engine::mapping::{group_sources, user_sources};
use crate::engine::values::{GroupTarget, UserTarget};
use crate::stream::Stream;

const INTERVAL_MIN: Duration = Duration::from_secs(30);
const FOLLOW_PERIOD_MIN: Duration = Duration::from_millis(100);
const AGENT_ID_CHARACTERS_MAX: usize = 50;
const DOMAIN_CHARACTERS_MAX: usize = 253;
const FILTER_ENTRIES_MAX: usize = 10;
const FILTER_ENTRY_CHARACTERS_MAX: usize = 253;
const MAPPINGS_MAX: usize = 50;

/// Everything that is wrong, each with its key.
pub fn problems(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    identity(config, &mut found);
    directory(config, &mut found);
    kerberos::section(config, &mut found);
    later_versions(config, &mut found);
    streams(config, &mut found);
    settings(config, &mut found);
    found
}

fn identity(config: &Config, found: &mut Vec<String>) {
    if config.userpool_id.is_empty() {
        found.push("userpool_id: missing; give the id of the pool to fill".into());
    }
    let port = config
        .hub
        .address
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if config.hub.address.is_empty() {
        found.push("hub.address: missing; give the hub's host:port".into());
    } else if port.is_none() || config.hub.address.contains("://") {
        found.push("hub.address: must be host:port without a scheme".into());
    }
    if config.cloud_credentials_file_path.is_none() && !config.use_metadata_service {
        found.push(
            "cloud_credentials_file_path: missing; give the key file of the service account".into(),
        );
    }
    if let Some(id) = &config.agent_id
        && (id.is_empty() || id.chars().count() > AGENT_ID_CHARACTERS_MAX)
    {
        found.push(format!(
            "agent_id: must have 1 to {AGENT_ID_CHARACTERS_MAX} characters"
        ));
    }
}

fn directory(config: &Config, found: &mut Vec<String>) {
    let ldap = &config.ldap;
    if ldap.host.is_empty() {
        found.push("ldap.host: missing; give ldaps://host:636".into());
    } else if ldap.use_kerberos {
        kerberos::host("ldap.host", &ldap.host, found);
    } else if !ldap.host.starts_with("ldaps://") {
        let why = if ldap.host.starts_with("ldap://") {
            "a simple bind over plain ldap:// would send the password in the clear; use ldaps://"
        } else {
            "must be a URL such as ldaps://dc1.corp.example:636"
        };
        found.push(format!("ldap.host: {why}"));
    }
    if let Some(address) = &ldap.address
        && (address.is_empty() || address.contains("://"))
    {
        found.push("ldap.address: must be HOST or HOST:PORT without a scheme".into());
    }
    mode("ldap", ldap.use_kerberos, ldap.use_windows_identity, found);
    let by_password = !ldap.use_kerberos && !ldap.use_windows_identity;
    if by_password && ldap.username.as_deref().unwrap_or_default().is_empty() {
        found.push("ldap.username: missing; give the DN of the synchronization account".into());
    }
    if by_password && ldap.password.as_ref().is_none_or(|p| p.is_empty()) {
        found.push("ldap.password: missing; an empty password would be an anonymous bind".into());
    }
    if let Some(drsr) = &config.drsr {
        mode("drsr", drsr.use_kerberos, drsr.use_windows_identity, found);
        if drsr.host.is_empty() || drsr.host.contains("://") {
            found.push("drsr.host: must be a host name or address without a scheme".into());
        } else if drsr.use_kerberos {
            kerberos::host("drsr.host", &drsr.host, found);
        }
        let by_password = !drsr.use_kerberos && !drsr.use_windows_identity;
        if by_password && drsr.username.as_deref().unwrap_or_default().is_empty() {
            found.push(
                "drsr.username: missing; give the name of the account (sAMAccountName)".into(),
            );
        }
        if by_password && drsr.password.as_ref().is_none_or(|p| p.is_empty()) {
            found.push("drsr.password: missing; give the password of the account".into());
        }
        if drsr.port == Some(0) {
            found.push("drsr.port: must be 1 to 65535; leave it out to ask the controller".into());
        }
        if (drsr.use_kerberos, drsr.use_windows_identity)
            != (ldap.use_kerberos, ldap.use_windows_identity)
        {
            found.push("drsr, ldap: must use the same way to sign in".into());
        }
    }
}

fn mode(section: &str, kerberos: bool, windows: bool, found: &mut Vec<String>) {
    if kerberos && windows {
        found.push(format!(
            "{section}: use_kerberos and use_windows_identity exclude each other"
        ));
    }
    if windows && !cfg!(windows) {
        found.push(format!(
            "{section}.use_windows_identity: works only on Windows"
        ));
    }
}

/// Keys that are known, and refused only when they are switched on.
fn later_versions(config: &Config, found: &mut Vec<String>) {
    let log_group = config.logger.cloud_logger.log_group_id.is_some();
    for (on, key, instead) in [
        (
            config.use_metadata_service,
            "use_metadata_service",
            "use cloud_credentials_file_path",
        ),
        (
            log_group,
            "logger.cloud_logger.log_group_id",
            "log to a file",
        ),
    ] {
        if on {
            found.push(format!("{key}: not in this version; {instead}"));
        }
    }
}

fn streams(config: &Config, found: &mut Vec<String>) {
    let Some(streams) = &config.named_streams else {
        return;
    };
    if streams.contains(&Stream::PasswordHashes) && config.drsr.is_none() {
        found.push(
            "streams: password_hashes needs the section drsr; add it, or leave the stream out"
                .into(),
        );
    }
    if streams.is_empty() && !config.enable_password_writeback {
        found.push(
            "streams: empty; list at least one, or leave the key out for all (an agent for password \
             writeback alone has enable_password_writeback: true)"
                .into(),
        );
    }
    let names: BTreeSet<Stream> = streams.iter().copied().collect();
    if names.len() < streams.len() {
        found.push("streams: one is listed twice".into());
    }
}

fn settings(config: &Config, found: &mut Vec<String>) {
    let settings = &config.sync_settings;
    if settings.interval < INTERVAL_MIN {
        found.push("sync_settings.interval: at least 30s".into());
    }
    for (key, period) in [
        ("follow_period", settings.follow_period),
        ("state_period", settings.state_period),
        ("hash_period", settings.hash_period),
    ] {
        if period < FOLLOW_PERIOD_MIN {
            found.push(format!("sync_settings.{key}: at least 100ms"));
        }
    }
    if !is_domain(&settings.filter.domain) {
        found.push(
            "sync_settings.filter.domain: missing or no DNS name; give the directory's domain, such as corp.example".into(),
        );
    }
    if let Some(domain) = &settings.replacement_domain
        && !is_domain(domain)
    {
        found.push("sync_settings.replacement_domain: not a DNS name".into());
    }
    entries(
        "organization_units",
        &settings.filter.organization_units,
        found,
    );
    entries("groups", &settings.filter.groups, found);
    user_mappings(&settings.user_attribute_mapping, found);
    group_mappings(&settings.group_attribute_mapping, found);
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    text.chars().count() <= DOMAIN_CHARACTERS_MAX && text.split('.').all(label)
}

fn entries(key: &str, entries: &[String], found: &mut Vec<String>) {
    if entries.len() > FILTER_ENTRIES_MAX {
        found.push(format!(
            "sync_settings.filter.{key}: at most {FILTER_ENTRIES_MAX} entries"
        ));
    }
    for entry in entries {
        let characters = entry.chars().count();
        if characters == 0 || characters > FILTER_ENTRY_CHARACTERS_MAX {
            found.push(format!(
                "sync_settings.filter.{key}: each entry has 1 to {FILTER_ENTRY_CHARACTERS_MAX} characters"
            ));
        }
    }
}

fn user_mappings(mappings: &[AttributeMapping], found: &mut Vec<String>) {
    let fixed = [UserTarget::Username, UserTarget::FullName];
    mappings_of("user_attribute_mapping", mappings, found, |name| {
        let target = UserTarget::ALL.into_iter().find(|t| t.name() == name)?;
        Some((user_sources(target), fixed.contains(&target)))
    });
}

fn group_mappings(mappings: &[AttributeMapping], found: &mut Vec<String>) {
    mappings_of("group_attribute_mapping", mappings, found, |name| {
        let target = GroupTarget::ALL.into_iter().find(|t| t.name() == name)?;
        Some((group_sources(target), target == GroupTarget::Name))
    });
}

/// `target` gives the allowed sources of a target and whether it must be mapped.
fn mappings_of(
    key: &str,
    mappings: &[AttributeMapping],
    found: &mut Vec<String>,
    target: impl Fn(&str) -> Option<(&'static [&'static str], bool)>,
) {
    if mappings.len() > MAPPINGS_MAX {
        found.push(format!("sync_settings.{key}: at most {MAPPINGS_MAX} items"));
    }
    let mut seen = BTreeSet::new();
    for mapping in mappings {
        let at = format!("sync_settings.{key}, target {}", mapping.target);
        let Some((sources, required)) = target(&mapping.target) else {
            found.push(format!("{at}: no such target"));
            continue;
        };
        if !seen.insert(mapping.target.as_str()) {
            found.push(format!("{at}: listed twice"));
        }
        let known = sources
            .iter()
            .any(|source| source.eq_ignore_ascii_case(&mapping.source));
        match mapping.kind {
            MappingKind::Empty if !mapping.source.is_empty() => {
                found.push(format!("{at}: source must be empty for type empty"));
            }
            MappingKind::Empty if required => {
                found.push(format!(
                    "{at}: this field is required in the hub and cannot be empty"
                ));
            }
            MappingKind::Direct if !known => {
                found.push(format!(
                    "{at}: source must be one of {}; for any other use type direct_arbitrary_attribute",
                    sources.join(", ")
                ));
            }
            MappingKind::DirectArbitraryAttribute => {
                if let Err(why) = check_arbitrary(&mapping.source) {
                    found.push(format!("{at}: {why}"));
                }
            }
            MappingKind::Empty | MappingKind::Direct => {}
        }
    }
}
