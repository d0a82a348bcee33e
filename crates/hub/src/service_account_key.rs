//! Authorized keys of service accounts: an RSA pair and its JSON file.
//!
//! Invariant: the hub keeps the public half only; the private half exists in the file handed to the
//! administrator, or in the one answer that shows it. The file has the form that official clients read: the PEM text of the private key
//! follows one comment line (decision U128). Deliberately absent: checking signatures, which is
//! `token`.

use std::sync::Arc;

use anyhow::anyhow;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::limits;

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

/// Makes pairs of keys beside the runtime, a few at a time.
#[derive(Debug)]
pub struct KeyMaker {
    places: Semaphore,
    workers: Arc<Semaphore>,
}

impl KeyMaker {
    /// An idle one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: Semaphore::new(limits::KEY_QUEUE_MAX),
            workers: Arc::new(Semaphore::new(limits::KEYS_IN_MAKING_MAX)),
        }
    }

    /// A new pair.
    ///
    /// # Errors
    /// `Busy` when too many calls wait for one.
    pub async fn make(&self) -> Result<KeyPairPem, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::Busy)?;
        let closed = || Error::Internal("the maker of keys is closed".into());
        let worker = Arc::clone(&self.workers).acquire_owned().await;
        let worker = worker.map_err(|_| closed())?;
        // The place of a worker is free when the work is done, even if nobody waits for it any more.
        let made = tokio::task::spawn_blocking(move || {
            let made = generate();
            drop(worker);
            made
        });
        made.await
            .map_err(|error| anyhow!(error))
            .and_then(|made| made)
            .map_err(|error| Error::Internal(format!("no key was made: {error:#}")))
    }
}

impl Default for KeyMaker {
    fn default() -> Self {
        Self::new()
    }
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

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let maker = KeyMaker::new();
        let places = u32::try_from(limits::KEY_QUEUE_MAX).unwrap();
        let all = maker.places.try_acquire_many(places).unwrap();
        assert!(matches!(maker.make().await, Err(Error::Busy)));
        drop(all);
        let made = maker.make().await.unwrap();
        assert!(made.public_key.contains("BEGIN PUBLIC KEY"));
    }

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
