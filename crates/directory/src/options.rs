//! How to reach a directory and who we are there.
//!
//! Invariant: everything unsafe is off unless it is named, arm by arm; `Debug` shows no password.

use std::path::PathBuf;
use std::time::Duration;

use rollcall_kit::secret::SecretString;

use crate::security::SecurityOptions;

/// Connection settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// `ldaps://HOST[:PORT]`; `ldap://…` only with [`Bind::Sealed`] or [`Options::plain_text`].
    pub url: String,
    /// `HOST[:PORT]` to connect to in place of that of the URL, whose name still has to be proved by
    /// the server.
    pub address: Option<String>,
    /// PEM file with the authorities to trust; `None` trusts those of the system.
    pub ca_path: Option<PathBuf>,
    /// Whether the certificate is verified.
    pub verification: Verification,
    /// What may go over `ldap://`.
    pub plain_text: PlainText,
    /// Who we are.
    pub bind: Bind,
    /// Time for name resolution, connection and TLS handshake, each.
    pub connect_timeout: Duration,
    /// Longest silence of the directory while an answer is due.
    pub answer_timeout: Duration,
}

impl Options {
    /// Safe settings with the system's authorities, 15 s to connect and 120 s to answer (a
    /// directory may search for long before it sends the first entry).
    #[must_use]
    pub fn new(url: impl Into<String>, bind: Bind) -> Self {
        Self {
            url: url.into(),
            address: None,
            ca_path: None,
            verification: Verification::Required,
            plain_text: PlainText::Refused,
            bind,
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(120),
        }
    }
}

/// Whether the certificate of the server is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Issuer, name and time must be right.
    Required,
    /// Anything is accepted; whoever is on the way can read the password. Logged as a warning.
    DangerouslyOff,
}

/// What may be sent without encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainText {
    /// Nothing: `ldap://` is an error.
    Refused,
    /// Requests and answers, but no password: only anonymous reads.
    WithoutPassword,
    /// Everything. Logged as a warning.
    WithPassword,
}

/// How we sign in.
#[derive(Clone, Debug)]
pub enum Bind {
    /// Not at all; Active Directory shows its rootDSE only.
    Anonymous,
    /// With name and password (RFC 4513 5.1.3).
    Simple {
        /// DN of the account; Active Directory also takes `user@domain`.
        account: String,
        /// Its password.
        password: SecretString,
    },
    /// By Kerberos or NTLM over `ldap://` (SASL GSS-SPNEGO); everything after is signed and sealed.
    Sealed(Box<SecurityOptions>),
}

/// The parts of a directory address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub host: String,
    pub port: u16,
    pub channel: Channel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Tls,
    Plain,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("the scheme is missing")?;
        let (channel, port) = match scheme.to_ascii_lowercase().as_str() {
            "ldaps" => (Channel::Tls, 636),
            "ldap" => (Channel::Plain, 389),
            _ => return Err("the scheme is neither ldaps nor ldap"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = parse_host(rest, port)?;
        Ok(Self {
            host,
            port,
            channel,
        })
    }
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
pub(crate) fn parse_host(text: &str, port: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a bracket is missing")?;
            match after.strip_prefix(':') {
                Some(digits) => (host, parse_port(digits)?),
                None if after.is_empty() => (host, port),
                None => return Err("something follows the address"),
            }
        }
        None => match text.split_once(':') {
            Some((host, digits)) => (host, parse_port(digits)?),
            None => (text, port),
        },
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.contains(['/', '@', ' ', '?', '#']) {
        return Err("the host contains something else than a name");
    }
    Ok((host.to_owned(), port))
}

fn parse_port(digits: &str) -> Result<u16, &'static str> {
    let port = digits
        .parse()
        .map_err(|_| "the port is not a number up to 65535")?;
    if port == 0 {
        Err("the port is 0")
    } else {
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let url = |host: &str, port, channel| {
            Ok(Url {
                host: host.into(),
                port,
                channel,
            })
        };
        assert_eq!(
            Url::parse("ldaps://dc1.corp"),
            url("dc1.corp", 636, Channel::Tls)
        );
        assert_eq!(
            Url::parse("LDAPS://dc1:3269/"),
            url("dc1", 3269, Channel::Tls)
        );
        assert_eq!(
            Url::parse("ldap://127.0.0.1"),
            url("127.0.0.1", 389, Channel::Plain)
        );
        assert_eq!(Url::parse("ldaps://[::1]:99"), url("::1", 99, Channel::Tls));
        for wrong in [
            "dc1",
            "http://dc1",
            "ldaps://",
            "ldaps://dc1:0",
            "ldaps://dc1:70000",
            "ldaps://a/b",
            "ldaps://[::1",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let bind = Bind::Simple {
            account: "svc".into(),
            password: SecretString::new("hidden".into()),
        };
        assert!(!format!("{:?}", Options::new("ldaps://x", bind)).contains("hidden"));
    }
}
