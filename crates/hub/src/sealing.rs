//! Sealing: secrets that must lie in the database only until a job has dealt with them.
//!
//! Invariant: AES-256-GCM with a random nonce; the row a sealed text belongs to is authenticated
//! with it, so a text moved to another row does not open. The key lies in a file outside the
//! database. Deliberately absent: rotation of the key.

use std::path::Path;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rollcall_kit::entropy::Entropy;
use rollcall_kit::secret::{SecretBytes, SecretString, with_wiped_stack};
use sha2::Sha256;

use crate::data_directory::DataDirectory;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const VERSION: u8 = 1;

/// The sealing key of a hub.
pub struct SealingKey(SecretBytes);

/// Why a sealed text did not open. Says nothing of the content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The text is cut, changed, of another row or of another key.
    #[error("a sealed value does not open: it was changed, or the sealing key is another one")]
    NotAuthentic,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

impl SealingKey {
    /// Writes a new random key to the file at `path`.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, entropy: &dyn Entropy) -> anyhow::Result<()> {
        let mut key = zeroize::Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *key);
        let text = SecretString::new(format!("{}\n", STANDARD.encode(key.as_slice())));
        DataDirectory::write_new(path, text.expose().as_bytes())
    }

    /// Reads the key from the file at `path`.
    ///
    /// # Errors
    /// When the file is missing or holds no key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = SecretString::new(
            std::fs::read_to_string(path)
                .with_context(|| format!("the sealing key {} cannot be read", path.display()))?,
        );
        let key = SecretBytes::new(
            STANDARD
                .decode(text.expose().trim())
                .with_context(|| format!("{} holds no sealing key", path.display()))?,
        );
        if key.expose().len() != KEY_BYTES {
            bail!(
                "{} holds no sealing key of {KEY_BYTES} bytes",
                path.display()
            );
        }
        Ok(Self(key))
    }

    /// Seals `secret` for the row `row`.
    ///
    /// # Errors
    /// Only for secrets of many gigabytes.
    pub fn seal(
        &self,
        row: &str,
        secret: &SecretBytes,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let payload = Payload {
            msg: secret.expose(),
            aad: row.as_bytes(),
        };
        let cipher = || {
            self.cipher()?
                .encrypt(&nonce.into(), payload)
                .map_err(refuse)
        };
        let text = with_wiped_stack(cipher)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`SealingKey::seal`] sealed for `row`.
    ///
    /// # Errors
    /// When the text was not sealed by this key for this row.
    pub fn open(&self, row: &str, sealed: &[u8]) -> Result<SecretBytes, SealError> {
        let (&version, rest) = sealed.split_first().ok_or(SealError::NotAuthentic)?;
        let (nonce, text) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::NotAuthentic)?;
        if version != VERSION {
            return Err(SealError::NotAuthentic);
        }
        let payload = Payload {
            msg: text,
            aad: row.as_bytes(),
        };
        let open = || {
            self.cipher()?
                .decrypt(&(*nonce).into(), payload)
                .map_err(refuse)
        };
        Ok(SecretBytes::new(with_wiped_stack(open)?))
    }

    /// A key for the purpose `purpose`, derived from this one, so that no two uses share a key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> SecretBytes {
        let mut bytes = Vec::new();
        if let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.0.expose()) {
            mac.update(purpose.as_bytes());
            bytes = mac.finalize().into_bytes().to_vec();
        }
        SecretBytes::new(bytes)
    }

    fn cipher(&self) -> Result<Aes256Gcm, SealError> {
        Aes256Gcm::new_from_slice(self.0.expose()).map_err(|_| SealError::NotAuthentic)
    }
}

fn refuse(_: aes_gcm::Error) -> SealError {
    SealError::NotAuthentic
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::entropy::SystemEntropy;

    fn key() -> SealingKey {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("sealing.key");
        SealingKey::create(&path, &SystemEntropy).unwrap();
        SealingKey::read(&path).unwrap()
    }

    #[test]
    fn only_the_same_row_and_key_open() {
        let (key, other) = (key(), key());
        let secret = SecretBytes::new(vec![7; 16]);
        let sealed = key.seal("user1", &secret, &SystemEntropy).unwrap();
        assert_eq!(key.open("user1", &sealed).unwrap(), secret);
        assert_eq!(
            key.open("user2", &sealed).err(),
            Some(SealError::NotAuthentic)
        );
        assert_eq!(
            other.open("user1", &sealed).err(),
            Some(SealError::NotAuthentic)
        );
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open("user1", &changed).is_err());
            assert!(key.open("user1", &sealed[..index]).is_err());
        }
    }

    #[test]
    fn the_secret_is_not_in_the_sealed_text() {
        let secret = b"0123456789abcdef".to_vec();
        let sealed = key()
            .seal("u", &SecretBytes::new(secret.clone()), &SystemEntropy)
            .unwrap();
        assert!(
            !sealed
                .windows(4)
                .any(|part| secret.windows(4).any(|s| s == part))
        );
    }

    #[test]
    fn purposes_have_their_own_keys() {
        let key = key();
        assert_eq!(key.derive("a"), key.derive("a"));
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(key.derive("a").expose().len(), 32);
    }
}
