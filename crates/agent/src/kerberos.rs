//! Signing in by Kerberos: from keytab, principal and `krb5.conf` to what a connection needs.
//!
//! Invariant: each thing that is missing or does not fit is told by its key, with what to do. No
//! password is involved. Deliberately absent: the protocol (`rollcall_directory`), tickets of the
//! machine's own Kerberos, and FAST.

use std::path::{Path, PathBuf};

use rollcall_directory::{
    Credential, Kdc, Keytab, Krb5Config, Mechanism, SecurityError, SecurityOptions,
};

use crate::config::Config;
use crate::failure::Failure;

const CONFIG_VARIABLE: &str = "KRB5_CONFIG";
const CONFIG_DEFAULT: &str = "/etc/krb5.conf";
const KDC_PORT: u16 = 88;

/// What a connection to this host needs to sign in by Kerberos.
///
/// # Errors
/// [`Failure::Config`] with the key that is wrong and what to do.
pub fn security(config: &Config, host: &str) -> Result<SecurityOptions, Failure> {
    let wrong = |key: &str, why: &dyn std::fmt::Display| Failure::Config(format!("{key}: {why}"));
    let section = config.kerberos.as_ref();
    let krb5 = krb5_config(config)?;
    let keytab_path = section.and_then(|section| section.keytab_path.as_deref());
    let keytab_path = config.resolve(keytab_path.unwrap_or_else(|| Path::new("")));
    let principal = section.and_then(|section| section.principal.as_deref());
    let principal = whole(principal.unwrap_or_default(), &krb5)?;
    let keytab =
        Keytab::open(&keytab_path).map_err(|error| wrong("kerberos.keytab_path", &error))?;
    let key = keytab
        .key(&principal)
        .map_err(|error| wrong("kerberos.principal", &error))?;
    if let Some(realm) = krb5.realm_of(host)
        && !realm.eq_ignore_ascii_case(&key.realm)
    {
        let why = format!(
            "{principal} belongs to another realm than {host}, which krb5.conf ([domain_realm]) puts \
             into {realm}; use a domain controller of the realm of the account"
        );
        return Err(wrong("kerberos.principal", &why));
    }
    let mut kdcs = krb5.kdcs(&key.realm);
    if kdcs.is_empty() {
        // Each domain controller gives tickets.
        let there = match &config.ldap.address {
            Some(address) if host == host_name(&config.ldap.host) => host_name(address),
            _ => host,
        };
        kdcs.push(Kdc {
            host: there.to_owned(),
            port: KDC_PORT,
        });
    }
    let mut options =
        SecurityOptions::new(Mechanism::SpnegoKerberos, Credential::Keytab(key), host);
    options.kdcs = kdcs;
    options.computer = crate::agent::host_name();
    Ok(options)
}

/// The name in `ldap://name:389`, or `name` itself.
#[must_use]
pub fn host_name(host: &str) -> &str {
    let rest = host.split_once("://").map_or(host, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        // Several colons: an IPv6 address by itself.
        None if rest.matches(':').count() > 1 => rest,
        None => rest.split(':').next().unwrap_or_default(),
    }
}

/// What a failed sign-in means for the whole run.
#[must_use]
pub fn failure(error: &SecurityError, text: String) -> Failure {
    match error {
        SecurityError::Refused(_) if !error.is_transient() => Failure::Authentication(text),
        SecurityError::NoKdc { .. }
        | SecurityError::AddressAsTarget { .. }
        | SecurityError::OtherRealm { .. }
        | SecurityError::KeytabWithoutKerberos => Failure::Config(text),
        _ => Failure::Run(text),
    }
}

/// Says what of the section has no effect.
pub fn warn(config: &Config) {
    let section = config.kerberos.as_ref();
    if config.ldap.use_kerberos
        && section.is_some_and(|section| section.disable_pa_fx_fast == Some(false))
    {
        tracing::warn!(
            "kerberos.disable_pa_fx_fast: false has no effect, this agent never uses FAST; if the domain \
             enforces FAST (\"armoring\"), exempt its domain controllers, else set the key to true"
        );
    }
}

fn krb5_config(config: &Config) -> Result<Krb5Config, Failure> {
    let section = config.kerberos.as_ref();
    let configured = section.and_then(|section| section.krb5_config_path.as_deref());
    let (key, path) = match (configured, std::env::var_os(CONFIG_VARIABLE)) {
        (Some(path), _) => ("kerberos.krb5_config_path", config.resolve(path)),
        (None, Some(path)) => (CONFIG_VARIABLE, PathBuf::from(path)),
        (None, None) if !Path::new(CONFIG_DEFAULT).exists() => return Ok(Krb5Config::default()),
        (None, None) => ("kerberos.krb5_config_path", PathBuf::from(CONFIG_DEFAULT)),
    };
    Krb5Config::open(&path).map_err(|error| Failure::Config(format!("{key}: {error}")))
}

/// `name@REALM`, with the default realm when none is named.
fn whole(principal: &str, krb5: &Krb5Config) -> Result<String, Failure> {
    if principal.contains('@') {
        return Ok(principal.to_owned());
    }
    match &krb5.default_realm {
        Some(realm) => Ok(format!("{principal}@{realm}")),
        None => Err(Failure::Config(format!(
            "kerberos.principal: {principal} has no realm and krb5.conf no default_realm; write \
             name@REALM"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        for (host, name) in [
            ("dc1.corp.example", "dc1.corp.example"),
            ("dc1.corp.example:1389", "dc1.corp.example"),
            ("ldap://dc1.corp.example/", "dc1.corp.example"),
            ("ldap://dc1.corp.example:389", "dc1.corp.example"),
            ("ldap://[::1]:389", "::1"),
            ("fd00::1", "fd00::1"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
