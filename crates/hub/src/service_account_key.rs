//! Authorized keys of service accounts: an RSA pair and its JSON file.
//!
//! Invariant: the hub keeps the public half only; the private half exists in the file handed to the
//! administrator. The file has the form that official clients read: the PEM text of the private key
//! follows one comment line (decision U128). Deliberately absent: checking signatures, which is
//! `token`.

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use serde::Serialize;

/// A new pair of keys.
#[derive(Debug)]
pub struct KeyPairPem {
    /// Public half, PEM (`PUBLIC KEY`).
    pub public_key: String,
    /// Private half, PEM (`PRIVATE KEY`, PKCS#8).
    pub private_key: SecretString,
}

#[derive(Serialize)]
struct AuthorizedKeyFile<'a> {
    id: &'a str,
    service_account_id: &'a str,
    created_at: String,
    key_algorithm: &'static str,
    public_key: &'a str,
    private_key: String,
}

/// Makes an RSA pair of 2,048 bits. Takes some hundred milliseconds: keep it off the runtime.
///
/// # Errors
/// When the cryptographic library has no memory or randomness.
pub fn generate() -> anyhow::Result<KeyPairPem> {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    Ok(KeyPairPem {
        public_key: pair.public_key_pem(),
        private_key: SecretString::new(pair.serialize_pem()),
    })
}

/// The JSON file of an authorized key.
///
/// # Errors
/// Never in practice: the fields are plain text.
pub fn render_file(
    key_id: &str,
    service_account_id: &str,
    created_at: Timestamp,
    pair: &KeyPairPem,
) -> anyhow::Result<SecretString> {
    let file = AuthorizedKeyFile {
        id: key_id,
        service_account_id,
        created_at: created_at.to_string(),
        key_algorithm: "RSA_2048",
        public_key: &pair.public_key,
        private_key: format!(
            "Private half of the authorized key {key_id}. Keep this line and keep it secret.\n{}",
            pair.private_key.expose()
        ),
    };
    let mut text = serde_json::to_string_pretty(&file)?;
    text.push('\n');
    Ok(SecretString::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_form() {
        let pair = generate().unwrap();
        let text = render_file("aje1", "aje2", Timestamp::from_seconds(0), &pair).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
        assert_eq!(json["id"], "aje1");
        assert_eq!(json["service_account_id"], "aje2");
        assert_eq!(json["created_at"], "1970-01-01T00:00:00Z");
        let private = json["private_key"].as_str().unwrap();
        let (comment, pem) = private.split_once('\n').unwrap();
        assert!(comment.contains("aje1"));
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        let public = json["public_key"].as_str().unwrap();
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"));
        assert!(!format!("{pair:?}").contains("PRIVATE KEY-----"));
    }
}
