//! Passwords: what is stored instead of them, and which import wins.
//!
//! Invariant: a stored password is never in the clear, and an NT hash is either sealed or
//! strengthened (decision U56); an older import never replaces a newer password (U126).
//! Deliberately absent: hashing, sealing and verifying, which need keys and time.

use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{PasswordId, SessionId, UserId};
use crate::named::named_enum;
use crate::password_writeback::DIRECTORY_CLOCK_SKEW_MAX;
use crate::refusal::Refusal;
use crate::text_size;

/// Longest text of an imported hash in characters.
pub const HASH_CHARACTERS_MAX: usize = 512;
/// Bytes of an NT hash.
pub const NT_HASH_BYTES: usize = 16;
/// A password set by an administrator or generated must be changed within this time
/// (decision U61).
pub const TEMPORARY_LIFETIME: Span = Span::days(7);

/// No hash is under way from a directory for longer.
pub const UNDER_WAY_MAX: Span = Span::minutes(10);

/// A stored password of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// Identifier of this very value: another password of the user has another one.
    pub id: PasswordId,
    /// The user.
    pub user_id: UserId,
    /// What is stored.
    pub form: StoredForm,
    /// Whether it must be changed.
    pub kind: PasswordKind,
    /// When it was set, at its origin; `None` = an import that did not say.
    pub created_at: Option<Timestamp>,
    /// When this value was stored.
    pub stored_at: Timestamp,
    /// End of validity.
    pub expires_at: Option<Timestamp>,
    /// The session that imported it.
    pub session_id: Option<SessionId>,
}

/// A sign-in with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordUse {
    /// When.
    pub used_at: Timestamp,
    /// From which address; empty when unknown.
    pub address: String,
}

/// What is stored of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredForm {
    /// An NT hash under the hub's key, waiting to be strengthened.
    SealedNtHash(SecretBytes),
    /// Argon2id of an NT hash, as a PHC string.
    Argon2NtHash(SecretString),
    /// Argon2id of the password, as a PHC string.
    Argon2Password(SecretString),
    /// A hash of another directory, until the first sign-in (decision U57).
    Foreign {
        /// Its format.
        scheme: ForeignScheme,
        /// The text as it was imported.
        text: SecretString,
    },
}

named_enum! {
    /// Whether a password must be changed.
    pub enum PasswordKind {
        /// At its first use.
        Temporary = "TEMPORARY",
        /// Not before its age demands it.
        Permanent = "PERMANENT",
    }
}

named_enum! {
    /// Formats of imported hashes.
    pub enum HashType {
        /// NT hash, 32 hex digits.
        AdMd4 = "AD_MD4",
        /// `{PBKDF2_SHA256}` of 389 Directory Server.
        LdapPbkdf2Sha256 = "LDAP_PBKDF2_SHA256",
        /// `{PBKDF2-SHA256}` of OpenLDAP.
        LdapPbkdf2Sha256Openldap = "LDAP_PBKDF2_SHA256_OPENLDAP",
        /// `{PBKDF2-SHA512}`.
        LdapPbkdf2Sha512 = "LDAP_PBKDF2_SHA512",
        /// `{PKCS5S2}` of Apache Directory Server.
        LdapPkcs5s2 = "LDAP_PKCS5S2",
    }
}

named_enum! {
    /// Formats of hashes that are kept as they came.
    pub enum ForeignScheme {
        /// `{PBKDF2_SHA256}` of 389 Directory Server.
        Pbkdf2Sha256 = "PBKDF2_SHA256",
        /// `{PBKDF2-SHA256}` of OpenLDAP.
        Pbkdf2Sha256Openldap = "PBKDF2_SHA256_OPENLDAP",
        /// `{PBKDF2-SHA512}`.
        Pbkdf2Sha512 = "PBKDF2_SHA512",
        /// `{PKCS5S2}` of Apache Directory Server.
        Pkcs5s2 = "PKCS5S2",
    }
}

/// An imported hash whose text was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportedHash {
    /// An NT hash: 16 bytes.
    Nt(SecretBytes),
    /// A hash that is kept as it came.
    Foreign {
        /// Its format.
        scheme: ForeignScheme,
        /// Its text.
        text: SecretString,
    },
}

/// Whether an imported password equals the stored one, as far as the hub can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// The same password.
    Same,
    /// The password that the stored one took the place of.
    Earlier,
    /// Another password, or it cannot be told.
    Different,
}

/// What an import does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The stored password is newer: success without effect (decision U126).
    Older,
    /// The same password came again: only its kind may change (decision U58).
    Kept(Password),
    /// The import takes the place of the stored password, if there was one.
    Replaced(Password),
}

/// An import, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Identifier of the new value.
    pub id: PasswordId,
    /// The user.
    pub user_id: UserId,
    /// What is to be stored.
    pub form: StoredForm,
    /// When the directory got the password; `None` = it did not say.
    pub created_at: Option<Timestamp>,
    /// Whether it must be changed at the next sign-in.
    pub kind: PasswordKind,
    /// The session in which the import came.
    pub session_id: Option<SessionId>,
}

impl HashType {
    /// Checks the text of a hash.
    ///
    /// # Errors
    /// `Invalid` naming `password_hash`; the text itself is never in the message.
    pub fn parse_hash(self, text: &SecretString) -> Result<ImportedHash, Refusal> {
        const FIELD: &str = "password_hash";
        text_size::check_required(FIELD, text.expose(), HASH_CHARACTERS_MAX)?;
        let (scheme, prefix) = match self {
            Self::AdMd4 => {
                let bytes = decode_hex(text.expose())
                    .filter(|bytes| bytes.expose().len() == NT_HASH_BYTES)
                    .ok_or_else(|| Refusal::invalid(FIELD, "must be 32 hex digits for AD_MD4"))?;
                return Ok(ImportedHash::Nt(bytes));
            }
            Self::LdapPbkdf2Sha256 => (ForeignScheme::Pbkdf2Sha256, "{PBKDF2_SHA256}"),
            Self::LdapPbkdf2Sha256Openldap => {
                (ForeignScheme::Pbkdf2Sha256Openldap, "{PBKDF2-SHA256}")
            }
            Self::LdapPbkdf2Sha512 => (ForeignScheme::Pbkdf2Sha512, "{PBKDF2-SHA512}"),
            Self::LdapPkcs5s2 => (ForeignScheme::Pkcs5s2, "{PKCS5S2}"),
        };
        let value = text
            .expose()
            .get(..prefix.len())
            .filter(|start| start.eq_ignore_ascii_case(prefix))
            .and_then(|_| text.expose().get(prefix.len()..))
            .unwrap_or_default();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::invalid(
                FIELD,
                format!(
                    "must begin with {prefix} and continue with the printable value of the hash"
                ),
            ));
        }
        Ok(ImportedHash::Foreign {
            scheme,
            text: text.clone(),
        })
    }
}

impl PasswordKind {
    /// The kind that `need_change` of the interface asks for (decision U59).
    #[must_use]
    pub fn from_need_change(need_change: bool) -> Self {
        if need_change {
            Self::Temporary
        } else {
            Self::Permanent
        }
    }
}

impl Password {
    /// A password that was set here, by a person, at `now`.
    #[must_use]
    pub fn set_here(
        id: PasswordId,
        user_id: UserId,
        argon2: SecretString,
        kind: PasswordKind,
        now: Timestamp,
    ) -> Self {
        let expires_at = match kind {
            PasswordKind::Temporary => Some(now.plus(TEMPORARY_LIFETIME)),
            PasswordKind::Permanent => None,
        };
        Self {
            id,
            user_id,
            form: StoredForm::Argon2Password(argon2),
            kind,
            created_at: Some(now),
            stored_at: now,
            expires_at,
            session_id: None,
        }
    }

    /// This password as one of another kind; `None` when it is of that kind already. A permanent one
    /// has no end: the end of a temporary one is only that of its being temporary (decision U61).
    #[must_use]
    pub fn of_kind(&self, kind: PasswordKind) -> Option<Self> {
        (self.kind != kind).then(|| Self {
            kind,
            expires_at: None,
            ..self.clone()
        })
    }

    /// This password when the import `new` brings it again. What was written back has a date of the
    /// hub, which gives way to the directory's own, so that no older hash of it is taken for newer.
    fn confirmed(&self, new: &NewImport) -> Self {
        let same = self.of_kind(new.kind).unwrap_or_else(|| self.clone());
        match new.created_at {
            Some(created_at) if self.awaits_directory() => Self {
                created_at: Some(created_at),
                session_id: new.session_id.clone(),
                ..same
            },
            _ => same,
        }
    }

    /// Whether it was written back, and the directory has not sent its hash yet. Until then its date is
    /// one of the hub, on purpose an early one.
    #[must_use]
    pub fn awaits_directory(&self) -> bool {
        self.session_id.is_none() && matches!(self.form, StoredForm::Argon2NtHash(_))
    }

    /// Whether an NT hash waits to be strengthened.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.form, StoredForm::SealedNtHash(_))
    }

    /// The strengthened form of the sealed password `id`; `None` when this is no longer that
    /// value or it is strengthened already, so that a superseded hash never comes back.
    #[must_use]
    pub fn strengthened(&self, id: &PasswordId, argon2: SecretString) -> Option<Self> {
        (self.is_sealed() && self.id == *id).then(|| Self {
            form: StoredForm::Argon2NtHash(argon2),
            ..self.clone()
        })
    }
}

/// Decides about an import, given the stored password.
///
/// An import without a date is always taken, and any dated import replaces it: so a placeholder
/// for a user without a password (decision U60) gives way to the first real hash. A date that is
/// yet to come, by more than clocks differ, counts as the present: it would keep every other
/// password out until then.
#[must_use]
pub fn import(
    stored: Option<&Password>,
    new: NewImport,
    sameness: Sameness,
    now: Timestamp,
) -> ImportOutcome {
    let latest = now.plus(DIRECTORY_CLOCK_SKEW_MAX);
    let new = NewImport {
        created_at: new.created_at.map(|at| at.min(latest)),
        ..new
    };
    if let Some(stored) = stored {
        let older = matches!(
            (new.created_at, stored.created_at),
            (Some(new), Some(stored)) if new < stored
        );
        // The hash of the password before was under way when the new one was written back: dates of two
        // clocks do not tell, but what it is does.
        let is_overtaken = sameness == Sameness::Earlier
            && stored.awaits_directory()
            && now < stored.stored_at.plus(UNDER_WAY_MAX);
        if older || is_overtaken {
            return ImportOutcome::Older;
        }
        if sameness == Sameness::Same {
            return ImportOutcome::Kept(stored.confirmed(&new));
        }
    }
    ImportOutcome::Replaced(Password {
        id: new.id,
        user_id: new.user_id,
        form: new.form,
        kind: new.kind,
        created_at: new.created_at,
        stored_at: now,
        expires_at: None,
        session_id: new.session_id,
    })
}

fn decode_hex(text: &str) -> Option<SecretBytes> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes = digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0u8, |byte, digit| byte << 4 | digit))
        .collect();
    Some(SecretBytes::new(bytes))
}

#[cfg(test)]
mod tests;
