//! What can go wrong with a directory, in words an administrator can act on.
//!
//! Invariant: [`Error`] is closed, each arm names its remedy, and a read that ends with any of them
//! is incomplete. Deliberately absent: anything secret, and what the hub or the agent think of it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::drsuapi::ReplicationProblem;
use crate::security::SecurityError;

/// Why the directory could not be used. `Display` is one sentence with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the directory cannot be used.
    #[error(
        "the directory address {url:?} cannot be used: {why}; write ldaps://HOST or ldaps://HOST:PORT"
    )]
    InvalidUrl {
        /// The address as configured.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The configuration asks for something we refuse to do.
    #[error("{0}")]
    Unsafe(Unsafe),
    /// The file with the certificate authority cannot be used.
    #[error("the certificate authority file {} cannot be used: {why}; it must hold PEM certificates", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host name has no address.
    #[error(
        "the host name {host} of the directory cannot be resolved ({source}); check the name and the DNS servers of this machine"
    )]
    NameResolution {
        /// The host as configured.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody answers at the address.
    #[error(
        "the directory at {address} cannot be reached ({why}); check that it runs and that no firewall is between"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the network said.
        why: String,
    },
    /// The certificate of the server was not accepted.
    #[error("the certificate of {host} was not accepted: {problem}")]
    Certificate {
        /// The host as configured.
        host: String,
        /// What is wrong with it.
        problem: CertificateProblem,
    },
    /// The secure channel could not be made for another reason than the certificate.
    #[error("no secure channel to {host} ({why}); check that this port speaks LDAPS (usually 636)")]
    Tls {
        /// The host as configured.
        host: String,
        /// What went wrong.
        why: String,
    },
    /// The directory did not accept the account or its password.
    #[error("the directory refused the account {account}: {problem}")]
    BindRefused {
        /// The account as configured.
        account: String,
        /// What is wrong with it.
        problem: BindProblem,
    },
    /// Kerberos or NTLM did not let us in, or a sealed message was not authentic.
    #[error("{0}")]
    Security(#[from] SecurityError),
    /// Password hashes could not be replicated.
    #[error("{0}")]
    Replication(#[from] ReplicationProblem),
    /// The account may not do this (result 50).
    #[error("the account may not {what}; grant it {right} ({text})")]
    RightsMissing {
        /// What was tried.
        what: &'static str,
        /// What the administrator has to grant.
        right: &'static str,
        /// What the directory said.
        text: String,
    },
    /// The object does not exist, or the account may not see it (result 32).
    #[error(
        "{what} does not exist in the directory, or the account may not see it; check the name and the rights"
    )]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The token of an earlier read is not accepted; a full read is needed.
    #[error(
        "the directory does not accept the position of the last read ({text}); a full read starts over"
    )]
    CookieRefused {
        /// What the directory said.
        text: String,
    },
    /// The directory is busy, unavailable or shutting down (results 51, 52).
    #[error(
        "the directory is busy or unavailable (result {code}: {text}); it is tried again later"
    )]
    Busy {
        /// LDAP result code.
        code: u32,
        /// What the directory said.
        text: String,
    },
    /// The directory gave up after its time limit (results 3, 85) or a size limit (4, 11).
    #[error(
        "the directory stopped at one of its limits (result {code}: {text}); the answer is incomplete"
    )]
    ServerLimit {
        /// LDAP result code.
        code: u32,
        /// What the directory said.
        text: String,
    },
    /// The directory sends us to another server (result 10).
    #[error(
        "the directory refers to another server ({to}); configure a controller of the domain that is asked for"
    )]
    Referral {
        /// Addresses it named.
        to: String,
    },
    /// Any other refusal.
    #[error("the directory refused the request with result {code} ({name}): {text}")]
    Refused {
        /// LDAP result code (RFC 4511 4.1.9).
        code: u32,
        /// Its name.
        name: &'static str,
        /// What the directory said.
        text: String,
    },
    /// The connection broke.
    #[error(
        "the connection to the directory broke off in {during} ({why}); the answer is incomplete"
    )]
    ConnectionLost {
        /// What was going on.
        during: &'static str,
        /// What the network said.
        why: String,
    },
    /// No answer in time.
    #[error("the directory did not answer for {} s in {during}; it may be overloaded", waited.as_secs())]
    Silent {
        /// What was going on.
        during: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// The directory said something that is not LDAP, or not what was asked for.
    #[error(
        "the directory sent something that cannot be understood ({0}); check that the port belongs to an LDAP server"
    )]
    Protocol(&'static str),
    /// More than we are willing to take in.
    #[error("the directory sent more than {limit} {what}; the answer was given up")]
    TooMuch {
        /// What there was too much of, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl Error {
    /// Whether trying again later can help without anybody changing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NameResolution { .. }
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::ServerLimit { .. }
            | Self::ConnectionLost { .. }
            | Self::Silent { .. } => true,
            Self::Security(error) => error.is_transient(),
            Self::Replication(problem) => problem.is_transient(),
            Self::InvalidUrl { .. }
            | Self::Unsafe(_)
            | Self::CaFile { .. }
            | Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::BindRefused { .. }
            | Self::RightsMissing { .. }
            | Self::NotFound { .. }
            | Self::CookieRefused { .. }
            | Self::Referral { .. }
            | Self::Refused { .. }
            | Self::Protocol(_)
            | Self::TooMuch { .. } => false,
        }
    }
}

/// What we refuse to do because it would expose the password or the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsafe {
    /// `ldap://` without permission.
    PlainText,
    /// A password over `ldap://` without permission.
    PasswordInPlainText,
    /// A simple bind without a password "succeeds" as anonymous (RFC 4513 5.1.2).
    EmptyPassword,
    /// A sealed sign-in over `ldaps://`, which Active Directory refuses.
    SealedTwice,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainText => {
                "ldap:// is not encrypted, everybody on the way could read and change what is \
                 synchronised; use ldaps://"
            }
            Self::PasswordInPlainText => {
                "the password is not sent over ldap://, where everybody on the way could read it; \
                 use ldaps://"
            }
            Self::EmptyPassword => {
                "the password of the directory account is empty; a directory would take this for \
                 an anonymous visitor; configure the password"
            }
            Self::SealedTwice => {
                "Kerberos encrypts the connection itself, and a domain controller refuses that \
                 inside of ldaps://; write ldap:// for it"
            }
        })
    }
}

/// What is wrong with the certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// Nobody we trust has issued it.
    UnknownIssuer,
    /// It belongs to other names.
    NameMismatch {
        /// The names it is valid for.
        valid_for: Vec<String>,
    },
    /// It was called back.
    Revoked,
    /// Anything else, in the words of the TLS library.
    Other(String),
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("it has expired; renew it on the domain controller"),
            Self::NotYetValid => {
                f.write_str("it is not valid yet; check the clocks of both machines")
            }
            Self::UnknownIssuer => f.write_str(
                "its issuer is unknown; name the file with the certificate of your authority \
                 (ldap.certificate_path)",
            ),
            Self::NameMismatch { valid_for } if valid_for.is_empty() => f.write_str(
                "it has no subject alternative name that fits; issue one with the name of the host",
            ),
            Self::NameMismatch { valid_for } => write!(
                f,
                "it is valid for {} only; connect by such a name or issue one with the right name",
                valid_for.join(", ")
            ),
            Self::Revoked => f.write_str("it has been revoked; issue a new one"),
            Self::Other(why) => write!(f, "{why}; issue a new one"),
        }
    }
}

/// Why a bind was refused. The codes are those Active Directory puts after "data" (Win32 errors).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindProblem {
    /// 525: there is no such account.
    NoSuchAccount,
    /// 52e: the name or the password is wrong.
    WrongPassword,
    /// 530, 531: not at this time or from this machine.
    LogonRestricted,
    /// 532: the password has expired.
    PasswordExpired,
    /// 533: the account is disabled.
    Disabled,
    /// 701: the account has expired.
    AccountExpired,
    /// 773: the password must be changed first.
    MustChangePassword,
    /// 775: locked after too many wrong passwords.
    Locked,
    /// The directory wants another way to sign in (results 7, 8, 13).
    StrongerNeeded,
    /// Any other, in the directory's words.
    Other(String),
}

impl BindProblem {
    /// Whether the password was the right one, as far as the refusal tells: the state of an account
    /// is looked at after its password, unless it is locked.
    #[must_use]
    pub fn password_was_right(&self) -> Option<bool> {
        match self {
            Self::WrongPassword => Some(false),
            Self::LogonRestricted
            | Self::PasswordExpired
            | Self::Disabled
            | Self::AccountExpired
            | Self::MustChangePassword => Some(true),
            Self::NoSuchAccount | Self::Locked | Self::StrongerNeeded | Self::Other(_) => None,
        }
    }

    /// From the diagnostic text of a refused bind (result 49).
    pub(crate) fn from_text(text: &str) -> Self {
        let code = text
            .rsplit_once("data ")
            .map(|(_, rest)| rest.split([',', ' ', '\0']).next().unwrap_or_default());
        match code {
            Some("525") => Self::NoSuchAccount,
            Some("52e") => Self::WrongPassword,
            Some("530" | "531") => Self::LogonRestricted,
            Some("532") => Self::PasswordExpired,
            Some("533") => Self::Disabled,
            Some("701") => Self::AccountExpired,
            Some("773") => Self::MustChangePassword,
            Some("775") => Self::Locked,
            _ => Self::Other(text.to_owned()),
        }
    }
}

impl fmt::Display for BindProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchAccount => "there is no such account (data 525); check the name",
            Self::WrongPassword => {
                "the account name or the password is wrong (data 52e); check both"
            }
            Self::LogonRestricted => {
                "it may not sign in at this time or from this machine (data 530/531); lift the \
                 restriction"
            }
            Self::PasswordExpired => "its password has expired (data 532); set a new one",
            Self::Disabled => "it is disabled (data 533); enable it",
            Self::AccountExpired => "it has expired (data 701); extend or remove its expiry date",
            Self::MustChangePassword => {
                "its password has to be changed first (data 773); set a new one without \"must \
                 change at next logon\""
            }
            Self::Locked => {
                "it is locked after too many wrong passwords (data 775); unlock it and correct \
                 the configured password"
            }
            Self::StrongerNeeded => "the directory wants an encrypted connection; use ldaps://",
            Self::Other(text) => {
                return write!(f, "{text}; see the event log of the domain controller");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_codes_are_read_from_the_texts_of_both_kinds_of_servers() {
        let windows = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\0";
        assert_eq!(BindProblem::from_text(windows), BindProblem::Locked);
        let samba = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1";
        assert_eq!(BindProblem::from_text(samba), BindProblem::WrongPassword);
        let other = BindProblem::from_text("no data here");
        assert_eq!(other, BindProblem::Other("no data here".into()));
    }
}
