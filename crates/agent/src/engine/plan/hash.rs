//! The identity of a plan: SHA-256 over its lines.
//!
//! Invariant: it depends on what the plan does and on nothing else, neither on time nor on the
//! order in which things were found; `sha256sum` over the file of a plan gives the same.

use std::fmt;

use sha2::{Digest as _, Sha256};

const BYTES: usize = 32;
/// Shortest part of a hash that names a plan.
const PREFIX_CHARACTERS_MIN: usize = 12;

/// The hash of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanHash([u8; BYTES]);

/// Takes in a plan line by line.
#[derive(Debug, Clone, Default)]
pub struct PlanHasher(Sha256);

/// What a person gave is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the hash of a plan; give its 64 hexadecimal digits, or at least the first {PREFIX_CHARACTERS_MIN} of them"
)]
pub struct NoHash;

impl PlanHash {
    /// Whether `text` is this hash or the beginning of it.
    ///
    /// # Errors
    /// [`NoHash`] when it is neither a hash nor a long enough part of one.
    pub fn is_meant_by(&self, text: &str) -> Result<bool, NoHash> {
        let text = text.trim().to_ascii_lowercase();
        let fits = (PREFIX_CHARACTERS_MIN..=2 * BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !fits {
            return Err(NoHash);
        }
        Ok(self.to_string().starts_with(&text))
    }

    /// Reads a whole hash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(hex::decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl PlanHasher {
    /// The next part of the plan, its line feeds included.
    pub fn take(&mut self, text: &[u8]) {
        self.0.update(text);
    }

    /// The hash of everything taken.
    #[must_use]
    pub fn finish(self) -> PlanHash {
        PlanHash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> PlanHash {
        let mut hasher = PlanHasher::default();
        hasher.take(b"abc");
        hasher.finish()
    }

    #[test]
    fn it_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash().to_string(), text);
        assert_eq!(PlanHash::parse(text), Some(hash()));
        assert_eq!(PlanHash::parse(&text[..60]), None);
    }

    #[test]
    fn a_person_may_give_the_beginning() {
        for (text, meant) in [
            ("ba7816bf8f01", Ok(true)),
            (" BA7816BF8F01CFEA ", Ok(true)),
            ("ba7816bf8f02", Ok(false)),
            ("ba7816bf8f0", Err(NoHash)),
            ("ba7816bf8f0x", Err(NoHash)),
            ("", Err(NoHash)),
        ] {
            assert_eq!(hash().is_meant_by(text), meant, "{text:?}");
        }
        let whole = hash().to_string();
        assert_eq!(hash().is_meant_by(&whole), Ok(true));
        assert_eq!(hash().is_meant_by(&format!("{whole}0")), Err(NoHash));
    }
}
