//! Who we are towards a domain controller, proved by NTLM, Kerberos or SPNEGO, and the sealing that follows.
//!
//! One context serves both LDAP (SASL buffers) and RPC (packet privacy). Invariants: the mechanism
//! is the configured one, there is no silent fall-back; nothing received is handed out before its
//! signature and its place in the sequence were checked; a context that met one error is unusable.
//! Deliberately absent: channel bindings (LDAP over TLS signs in with name and password), a cache
//! of tickets, delegation, and other realms than the configured one.

mod context;
mod error;
mod kdc;
pub(crate) mod keytab;
mod krb5_config;
mod library;
pub(crate) mod refusal;
pub(crate) mod wrap_token;

use std::fmt;
use std::time::Duration;

use rollcall_kit::secret::SecretString;

pub(crate) use context::SecContext;
pub use error::SecurityError;
pub use kdc::{InvalidKdc, Kdc};
pub use keytab::{Keytab, KeytabEntry, KeytabKey, KeytabProblem};
pub use krb5_config::{Krb5Config, Krb5ConfigProblem};
pub use refusal::{KdcRefusal, KdcRequest};

/// How we prove who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// NTLM by itself (MS-NLMP).
    Ntlm,
    /// Kerberos by itself (RFC 4121, MS-KILE).
    Kerberos,
    /// Kerberos inside SPNEGO (RFC 4178); nothing else is offered.
    SpnegoKerberos,
    /// NTLM inside SPNEGO; nothing else is offered.
    SpnegoNtlm,
}

impl Mechanism {
    /// Whether tickets of a key distribution centre are needed.
    #[must_use]
    pub fn is_kerberos(self) -> bool {
        matches!(self, Self::Kerberos | Self::SpnegoKerberos)
    }
}

/// What the context protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Packets of DCE/RPC: three legs, signed headers.
    Rpc,
    /// SASL buffers of LDAP.
    Ldap,
}

/// What proves who we are.
#[derive(Clone)]
pub enum Credential {
    /// Name and password.
    Password {
        /// NetBIOS name of the domain, or its realm.
        domain: String,
        /// `sAMAccountName` of the account.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// A key out of a keytab; Kerberos only.
    Keytab(KeytabKey),
}

impl Credential {
    /// `user@domain`, for messages.
    #[must_use]
    pub fn account(&self) -> String {
        match self {
            Self::Password { domain, user, .. } => format!("{user}@{domain}"),
            Self::Keytab(key) => format!("{}@{}", key.principal, key.realm),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { .. } => write!(f, "Password({}, ***)", self.account()),
            Self::Keytab(_) => write!(f, "Keytab({}, ***)", self.account()),
        }
    }
}

/// Everything a context needs to know.
#[derive(Clone, Debug)]
pub struct SecurityOptions {
    /// How we prove who we are.
    pub mechanism: Mechanism,
    /// What proves it.
    pub credential: Credential,
    /// Full name of the domain controller, such as `dc1.corp.example.com`: tickets are made for
    /// `ldap/<target>`.
    pub target: String,
    /// The realm, such as `CORP.EXAMPLE.COM`; unused with NTLM.
    pub realm: String,
    /// Where tickets are asked for, in this order; unused with NTLM.
    pub kdcs: Vec<Kdc>,
    /// Our own name, as it appears in the logs of the domain controller.
    pub computer: String,
    /// Time for one exchange with one key distribution centre.
    pub kdc_timeout: Duration,
}

impl SecurityOptions {
    /// Five seconds for each key distribution centre; none is named yet.
    #[must_use]
    pub fn new(mechanism: Mechanism, credential: Credential, target: impl Into<String>) -> Self {
        let realm = match &credential {
            Credential::Password { domain, .. } => domain.to_uppercase(),
            Credential::Keytab(key) => key.realm.clone(),
        };
        Self {
            mechanism,
            credential,
            target: target.into(),
            realm,
            kdcs: Vec::new(),
            computer: "rollcall".to_owned(),
            kdc_timeout: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let credential = Credential::Password {
            domain: "CORP".into(),
            user: "svc".into(),
            password: SecretString::new("hidden".into()),
        };
        let options = SecurityOptions::new(Mechanism::Ntlm, credential, "dc1");
        let shown = format!("{options:?}");
        assert!(
            shown.contains("svc@CORP") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}
