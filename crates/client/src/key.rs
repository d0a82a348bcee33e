//! The authorized key of a service account: its JSON file, and the JWT it signs.
//!
//! Invariant: the private half is wiped from memory with the key and never shown; the file has the
//! form that official clients read (decision U128). Deliberately absent: making keys, which is the
//! business of the hub, and writing files.

use std::fs;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_proto::admin::CreateKeyResponse;
use serde::{Deserialize, Serialize};

/// The audience that every hub accepts besides its own address (decision U127).
pub const AUDIENCE: &str = "https://iam.api.cloud.yandex.net/iam/v1/tokens";

/// How long a JWT can be exchanged. It is used at once, so this bounds clock differences only.
const JWT_LIFETIME: Span = Span::minutes(30);
/// A key file is a few thousand bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1_024;
const PEM_BEGIN: &str = "-----BEGIN ";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The content is something else.
    #[error(
        "the key is not an authorized key of a service account: {why}; use the JSON file that \
         `rollcall-hub init` or `rollcall key create` wrote"
    )]
    Malformed {
        /// What is missing or wrong; never the content.
        why: String,
    },
}

/// The authorized key of a service account.
#[derive(Debug, Clone)]
pub struct ServiceAccountKey {
    id: String,
    service_account_id: String,
    private_key: SecretString,
}

#[derive(Deserialize)]
struct KeyFile {
    id: String,
    service_account_id: String,
    private_key: String,
}

#[derive(Serialize)]
struct NewKeyFile<'a> {
    id: &'a str,
    service_account_id: &'a str,
    created_at: String,
    key_algorithm: &'a str,
    public_key: &'a str,
    private_key: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccountKey {
    /// Reads the JSON file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is no authorized key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |error| KeyError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > KEY_FILE_BYTES_MAX {
            return Err(malformed(format!(
                "{} is {size} bytes long",
                path.display()
            )));
        }
        let text = SecretString::new(fs::read_to_string(path).map_err(unreadable)?);
        Self::parse(text.expose())
    }

    /// Reads the JSON text of a key. Everything before the PEM block of the private key is skipped:
    /// the file has a line of warning there.
    ///
    /// # Errors
    /// When the text is no authorized key.
    pub fn parse(json: &str) -> Result<Self, KeyError> {
        let file: KeyFile = serde_json::from_str(json).map_err(|error| {
            // The text of serde_json may quote a value, which may be secret.
            malformed(format!("line {} is not as expected", error.line()))
        })?;
        let private_key = SecretString::new(file.private_key);
        let pem = private_key
            .expose()
            .find(PEM_BEGIN)
            .and_then(|start| private_key.expose().get(start..))
            .ok_or_else(|| malformed("private_key has no PEM block".to_owned()))?;
        let key = Self {
            id: file.id,
            service_account_id: file.service_account_id,
            private_key: SecretString::new(pem.to_owned()),
        };
        key.encoding_key()?;
        Ok(key)
    }

    /// Identifier of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Identifier of the service account it belongs to.
    #[must_use]
    pub fn service_account_id(&self) -> &str {
        &self.service_account_id
    }

    /// A JWT signed with PS256 at `now`.
    ///
    /// # Errors
    /// When the cryptographic library refuses the key.
    pub fn sign(&self, now: Timestamp) -> Result<SecretString, KeyError> {
        let mut header = Header::new(Algorithm::PS256);
        header.kid = Some(self.id.clone());
        let claims = Claims {
            iss: &self.service_account_id,
            aud: AUDIENCE,
            iat: now.as_seconds(),
            exp: now.plus(JWT_LIFETIME).as_seconds(),
        };
        jsonwebtoken::encode(&header, &claims, &self.encoding_key()?)
            .map(SecretString::new)
            .map_err(|error| malformed(format!("private_key cannot sign: {error}")))
    }

    fn encoding_key(&self) -> Result<EncodingKey, KeyError> {
        EncodingKey::from_rsa_pem(self.private_key.expose().as_bytes())
            .map_err(|_| malformed("private_key is not an RSA key in PEM form".to_owned()))
    }
}

/// The JSON file of a key that the hub has just made: what [`ServiceAccountKey::read`] and official
/// clients take. One line of warning stands before the PEM block.
///
/// # Errors
/// When the answer of the hub holds no usable key.
pub fn render_file(made: &CreateKeyResponse) -> Result<SecretString, KeyError> {
    let key = made
        .key
        .as_ref()
        .ok_or_else(|| malformed("the answer of the hub describes no key".to_owned()))?;
    let private_key = SecretString::new(format!(
        "Private half of the authorized key {}. Keep this line and keep it secret.\n{}",
        key.id, made.private_key
    ));
    let created_at = key.created_at.as_ref().map_or(0, |moment| moment.seconds);
    let file = NewKeyFile {
        id: &key.id,
        service_account_id: &key.service_account_id,
        created_at: Timestamp::from_seconds(created_at).to_string(),
        key_algorithm: &key.key_algorithm,
        public_key: &key.public_key,
        private_key: private_key.expose(),
    };
    let text = serde_json::to_string_pretty(&file)
        .map(|text| SecretString::new(text + "\n"))
        .map_err(|error| malformed(format!("it cannot be written as JSON: {error}")))?;
    ServiceAccountKey::parse(text.expose())?;
    Ok(text)
}

fn malformed(why: String) -> KeyError {
    KeyError::Malformed { why }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use rollcall_proto::admin::Key;

    use super::*;

    #[test]
    fn a_new_key_becomes_a_file_that_can_be_read() {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut made = CreateKeyResponse {
            key: Some(Key {
                id: "aje1".into(),
                service_account_id: "aje2".into(),
                created_at: Some(prost_types::Timestamp::default()),
                key_algorithm: "RSA_2048".into(),
                public_key: pair.public_key_pem(),
                ..Default::default()
            }),
            private_key: pair.serialize_pem(),
        };
        let text = render_file(&made).unwrap();
        let key = ServiceAccountKey::parse(text.expose()).unwrap();
        assert_eq!((key.id(), key.service_account_id()), ("aje1", "aje2"));
        let json: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
        assert_eq!(json["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!(json["key_algorithm"], "RSA_2048");
        assert_eq!(json["public_key"], pair.public_key_pem());
        let private = json["private_key"].as_str().unwrap();
        let (comment, pem) = private.split_once('\n').unwrap();
        assert!(comment.contains("aje1") && !comment.starts_with('-'));
        assert_eq!(pem, made.private_key);

        made.key = None;
        assert!(render_file(&made).is_err());
    }
}
