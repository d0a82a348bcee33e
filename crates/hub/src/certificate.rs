//! The hub's own certification authority and server certificate.
//!
//! Invariant: the authority signs server certificates only (path length 0), and every certificate
//! of the hub also names `localhost`, 127.0.0.1 and ::1 for tools on the same machine.
//! Deliberately absent: renewal. An operator replaces `server.pem` and `server.key` and restarts.

use std::net::IpAddr;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};
use time::OffsetDateTime;

const CA_DAYS: i64 = 3_650;
const SERVER_DAYS: i64 = 825;
const BACKDATE_DAYS: i64 = 1;

/// A certificate and its key, both PEM.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: SecretString,
}

/// The authority and the first server certificate for a hub at `host`.
#[derive(Debug)]
pub struct Certificates {
    /// What clients must trust.
    pub ca: Certificate,
    /// What the server shows: its certificate followed by that of the authority.
    pub server: Certificate,
}

/// Makes both, valid from the day before `now`.
///
/// # Errors
/// When `host` is neither an IP address nor a DNS name.
pub fn create(host: &str, organization: &str, now: Timestamp) -> anyhow::Result<Certificates> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(
        DnType::CommonName,
        format!("Rollcall hub of {organization}"),
    );
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (ca.not_before, ca.not_after) = validity(now, CA_DAYS)?;
    let ca_certificate = ca.self_signed(&ca_key)?;

    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::default();
    server.distinguished_name.push(DnType::CommonName, host);
    server.subject_alt_names = subject_names(host)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    (server.not_before, server.not_after) = validity(now, SERVER_DAYS)?;
    let ca_pem = ca_certificate.pem();
    let ca_key_pem = SecretString::new(ca_key.serialize_pem());
    let server_certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
    Ok(Certificates {
        server: Certificate {
            certificate: format!("{}{ca_pem}", server_certificate.pem()),
            key: SecretString::new(server_key.serialize_pem()),
        },
        ca: Certificate {
            certificate: ca_pem,
            key: ca_key_pem,
        },
    })
}

fn subject_names(host: &str) -> anyhow::Result<Vec<SanType>> {
    let mut names = Vec::new();
    for name in [host, "localhost", "127.0.0.1", "::1"] {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().with_context(|| {
                format!("`{name}` cannot stand in a certificate: give an ASCII DNS name")
            })?),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn validity(now: Timestamp, days: i64) -> anyhow::Result<(OffsetDateTime, OffsetDateTime)> {
    let day = |moment: Timestamp| OffsetDateTime::from_unix_timestamp(moment.as_seconds());
    Ok((
        day(now.minus(Span::days(BACKDATE_DAYS)))?,
        day(now.plus(Span::days(days)))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_named_once_by_each_name() {
        let names = subject_names("localhost").unwrap();
        assert_eq!(names.len(), 3);
        assert_eq!(subject_names("hub.corp.example").unwrap().len(), 4);
        assert!(subject_names("пример").is_err());
    }
}
