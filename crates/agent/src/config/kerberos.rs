//! The rules of the keys of Kerberos.
//!
//! Deliberately absent: whether the files are there and fit (`crate::kerberos` tells when they are
//! used).

use std::net::IpAddr;

use super::Config;

/// `kerberos`, when anything uses it.
pub fn section(config: &Config, found: &mut Vec<String>) {
    let drsr = config.drsr.as_ref().is_some_and(|drsr| drsr.use_kerberos);
    if !config.ldap.use_kerberos && !drsr {
        return;
    }
    let Some(kerberos) = &config.kerberos else {
        found.push("kerberos: missing; use_kerberos needs keytab_path and principal".into());
        return;
    };
    if kerberos.keytab_path.is_none() {
        found.push("kerberos.keytab_path: missing; give the keytab of the account".into());
    }
    let principal = kerberos.principal.as_deref().unwrap_or_default();
    let parts: Vec<&str> = principal.split('@').collect();
    if principal.is_empty() || parts.len() > 2 || parts.contains(&"") {
        found.push(
            "kerberos.principal: missing or wrong; give name@REALM, or the name alone when \
             krb5.conf has a default_realm"
                .into(),
        );
    }
}

/// A host that tickets are made for.
pub fn host(key: &str, host: &str, found: &mut Vec<String>) {
    if host.starts_with("ldaps://") {
        found.push(format!(
            "{key}: Kerberos encrypts the connection itself, inside of ldaps:// a domain controller \
             refuses that; write ldap://"
        ));
        return;
    }
    let name = crate::kerberos::host_name(host);
    if host.contains("://") && !host.starts_with("ldap://") {
        found.push(format!("{key}: must be a name or ldap://name"));
    } else if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
        found.push(format!(
            "{key}: Kerberos needs the full name of the domain controller, such as \
             dc1.corp.example, for its tickets; where to connect can be said by ldap.address"
        ));
    }
}
