//! Why signing in or sealing failed.

use super::refusal::KdcRefusal;

/// Why a security context could not be made or used. `Display` is one sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The key distribution centre says no.
    #[error("{0}")]
    Refused(Box<KdcRefusal>),
    /// None of the key distribution centres answered.
    #[error(
        "no key distribution centre of Kerberos answers ({tried}); check their addresses \
         ([realms] kdc in krb5.conf), that they run and that TCP port 88 is open"
    )]
    KdcUnreachable {
        /// Each address with what happened there.
        tried: String,
    },
    /// No key distribution centre is known.
    #[error(
        "no key distribution centre is known for the realm {realm}; name one in krb5.conf: \
         [realms] {realm} = {{ kdc = HOST }}"
    )]
    NoKdc {
        /// The realm.
        realm: String,
    },
    /// Tickets are made for names.
    #[error(
        "Kerberos needs the full name of the domain controller, {target} is an address; configure \
         a name such as dc1.corp.example.com"
    )]
    AddressAsTarget {
        /// What was configured.
        target: String,
    },
    /// The key distribution centre sends us to another realm.
    #[error(
        "Kerberos refers to another realm for the service {service}; configure a domain controller \
         of the realm of the account, by its full name"
    )]
    OtherRealm {
        /// Service principal name.
        service: String,
    },
    /// A keytab was given for a mechanism that needs a password.
    #[error("NTLM needs a password, a keytab holds none; configure the password or use Kerberos")]
    KeytabWithoutKerberos,
    /// The exchange of tokens failed.
    #[error("{during} failed ({why}); check that the other side is a domain controller")]
    Exchange {
        /// What was going on.
        during: &'static str,
        /// What the security library said; never a secret.
        why: String,
    },
    /// A sealed message was not accepted.
    #[error(
        "a sealed message of the directory is not authentic ({0}); somebody may be changing what is \
         on the way; the connection was given up"
    )]
    Forged(&'static str),
    /// Too large a token or message.
    #[error("the directory sent more than {limit} {what}; the connection was given up")]
    TooMuch {
        /// What there was too much of, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The numbers of messages are used up (once in four thousand million connections).
    #[error("the sequence numbers of this connection are used up; it has to be opened again")]
    Spent,
    /// Used before it was established, after it was, or after an error.
    #[error("the security context cannot be used: {0}")]
    NotUsable(&'static str),
}

impl SecurityError {
    /// Whether trying again later can help without anybody changing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::KdcUnreachable { .. } | Self::Spent => true,
            Self::Refused(refusal) => refusal.is_transient(),
            Self::NoKdc { .. }
            | Self::AddressAsTarget { .. }
            | Self::OtherRealm { .. }
            | Self::KeytabWithoutKerberos
            | Self::Exchange { .. }
            | Self::Forged(_)
            | Self::TooMuch { .. }
            | Self::NotUsable(_) => false,
        }
    }
}
