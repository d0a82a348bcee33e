//! Passwords: what is stored instead of them, and which hashes of directories are taken.
//!
//! Invariant: a stored password is never in the clear, and an NT hash is either sealed or
//! strengthened (decision U56).
//! Deliberately absent: hashing, sealing and verifying, which need keys and time.

mod import;

use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{PasswordId, SessionId, UserId};
use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::text_size;

pub use import::{ImportOutcome, NewImport, Sameness, UNDER_WAY_MAX, import};

/// Longest text of an imported hash in characters.
pub const HASH_CHARACTERS_MAX: usize = 512;
/// Bytes of an NT hash.
pub const NT_HASH_BYTES: usize = 16;
/// A generated password must be changed within this time (decision U61).
pub const TEMPORARY_LIFETIME: Span = Span::days(7);

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

    /// Whether it was written back, and the directory has not sent its hash yet. Until then its date is
    /// one of the hub, on purpose an early one.
    #[must_use]
    pub fn awaits_directory(&self) -> bool {
        self.session_id.is_none() && matches!(self.form, StoredForm::Argon2NtHash(_))
    }

    /// This password, of a user whose passwords come from a directory from now on. It opens what it did,
    /// and without a date it gives way to the hash of the directory, however old that is.
    #[must_use]
    pub fn handed_over(&self) -> Self {
        Self {
            created_at: None,
            ..self.clone()
        }
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
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(10_000);

    #[track_caller]
    fn check_hash(hash_type: HashType, text: &str, fits: bool) {
        let parsed = hash_type.parse_hash(&SecretString::new(text.into()));
        assert_eq!(parsed.is_ok(), fits, "{hash_type} {text}");
        let secret = text.rsplit('}').next().unwrap_or_default();
        if let Err(refusal) = parsed {
            assert!(
                secret.is_empty() || !refusal.to_string().contains(secret),
                "the hash leaks"
            );
        }
    }

    #[test]
    fn texts_of_hashes() {
        check_hash(HashType::AdMd4, "8846F7EAEE8FB117AD06BDD830B7586C", true);
        check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586c", true);
        check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586", false);
        check_hash(HashType::AdMd4, "8846f7eaee8fb117ad06bdd830b7586cff", false);
        check_hash(HashType::AdMd4, "zz46f7eaee8fb117ad06bdd830b7586c", false);
        check_hash(HashType::AdMd4, "", false);
        check_hash(HashType::LdapPbkdf2Sha256, "{PBKDF2_SHA256}AAAIAB", true);
        check_hash(
            HashType::LdapPbkdf2Sha256,
            "{PBKDF2-SHA256}10000$a$b",
            false,
        );
        check_hash(
            HashType::LdapPbkdf2Sha256Openldap,
            "{PBKDF2-SHA256}10000$a$b",
            true,
        );
        check_hash(HashType::LdapPbkdf2Sha512, "{pbkdf2-sha512}10000$a$b", true);
        check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}abc=", true);
        check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}", false);
        check_hash(HashType::LdapPkcs5s2, "{PKCS5S2}a b", false);
        check_hash(
            HashType::LdapPkcs5s2,
            &format!("{{PKCS5S2}}{}", "a".repeat(504)),
            false,
        );
    }

    #[test]
    fn an_nt_hash_is_decoded() {
        let text = SecretString::new("00ff10".repeat(5) + "ab");
        let ImportedHash::Nt(bytes) = HashType::AdMd4.parse_hash(&text).unwrap() else {
            panic!("an NT hash is expected")
        };
        assert_eq!(bytes.expose()[..3], [0x00, 0xff, 0x10]);
        assert_eq!(bytes.expose()[15], 0xab);
    }

    #[test]
    fn a_kind_changes_nothing_else_but_the_end() {
        let argon2 = SecretString::new("$argon2id$".into());
        let temporary = PasswordKind::Temporary;
        let password = Password::set_here("aje5".into(), "aje1".into(), argon2, temporary, NOW);
        assert_eq!(password.of_kind(temporary), None);
        let permanent = password.of_kind(PasswordKind::Permanent).unwrap();
        let expected = Password {
            kind: PasswordKind::Permanent,
            expires_at: None,
            ..password
        };
        assert_eq!(permanent, expected);
        let again = permanent.of_kind(temporary).unwrap();
        assert_eq!((again.kind, again.expires_at), (temporary, None));
    }

    #[test]
    fn only_temporary_passwords_set_here_end() {
        let argon2 = SecretString::new("$argon2id$".into());
        let set = |kind| {
            Password::set_here("aje5".into(), "aje1".into(), argon2.clone(), kind, NOW).expires_at
        };
        assert_eq!(set(PasswordKind::Temporary), Some(NOW.plus(Span::days(7))));
        assert_eq!(set(PasswordKind::Permanent), None);
    }
}
