//! Hashes of other directories: reading and verifying them (decision U57).
//!
//! Invariant: a text cannot make the hub compute more than `FOREIGN_BLOCK_ROUNDS_MAX` allows, and
//! nothing of it or of the password is shown. Deliberately absent: making such hashes; the first
//! right sign-in replaces them.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use hmac::digest::OutputSizeUser;
use pbkdf2::pbkdf2_hmac;
use rollcall_domain::password::ForeignScheme;
use rollcall_kit::secret::{SecretBytes, SecretString};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use crate::limits;

/// Salt of `{PBKDF2_SHA256}` of 389 Directory Server.
const LEGACY_SALT_BYTES: usize = 64;
/// Key of `{PBKDF2_SHA256}` of 389 Directory Server.
const LEGACY_KEY_BYTES: usize = 256;
/// Salt of `{PKCS5S2}`.
const PKCS5S2_SALT_BYTES: usize = 16;
/// Key of `{PKCS5S2}`.
const PKCS5S2_KEY_BYTES: usize = 32;
/// `{PKCS5S2}` does not tell its rounds: Apache Directory Server and others always do so many.
const PKCS5S2_ROUNDS: u32 = 10_000;
/// Shortest key that proves anything.
const KEY_BYTES_MIN: usize = 16;
/// Longest key: that of 389 Directory Server.
const KEY_BYTES_MAX: usize = 256;

/// Base64 without padding, whose last bits may be anything, as the servers take it.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The function under PBKDF2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sha1,
    Sha256,
    Sha512,
}

/// A hash that can be verified.
#[derive(Debug)]
pub struct ForeignHash {
    function: Function,
    rounds: u32,
    salt: Vec<u8>,
    key: SecretBytes,
}

impl ForeignHash {
    /// Reads the text of a hash, which begins with its scheme in braces; `None` when it is damaged
    /// or asks for too much.
    #[must_use]
    pub fn parse(scheme: ForeignScheme, text: &SecretString) -> Option<Self> {
        let (_, value) = text.expose().split_once('}')?;
        let hash = match scheme {
            ForeignScheme::Pbkdf2Sha256 => parse_legacy(value),
            ForeignScheme::Pbkdf2Sha256Openldap => parse_parts(Function::Sha256, value),
            ForeignScheme::Pbkdf2Sha512 => parse_parts(Function::Sha512, value),
            ForeignScheme::Pkcs5s2 => parse_pkcs5s2(value),
        }?;
        hash.is_affordable().then_some(hash)
    }

    /// Whether `password` is what it was made from.
    #[must_use]
    pub fn verify(&self, password: &SecretBytes) -> bool {
        let mut key = Zeroizing::new(vec![0; self.key.expose().len()]);
        let (password, salt) = (password.expose(), self.salt.as_slice());
        match self.function {
            Function::Sha1 => pbkdf2_hmac::<Sha1>(password, salt, self.rounds, &mut key),
            Function::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, self.rounds, &mut key),
            Function::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, self.rounds, &mut key),
        }
        SecretBytes::new(key.to_vec()) == self.key
    }

    fn is_affordable(&self) -> bool {
        let key_bytes = self.key.expose().len();
        let block_bytes = match self.function {
            Function::Sha1 => Sha1::output_size(),
            Function::Sha256 => Sha256::output_size(),
            Function::Sha512 => Sha512::output_size(),
        };
        let blocks = u64::try_from(key_bytes.div_ceil(block_bytes)).unwrap_or(u64::MAX);
        let work = blocks.saturating_mul(self.rounds.into());
        (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key_bytes)
            && (1..=limits::FOREIGN_BLOCK_ROUNDS_MAX).contains(&work)
    }
}

/// `{PBKDF2_SHA256}` of 389 Directory Server: rounds (big endian), salt and key in one Base64.
fn parse_legacy(value: &str) -> Option<ForeignHash> {
    let bytes = Zeroizing::new(STANDARD.decode(value).ok()?);
    let (rounds, rest) = bytes.split_first_chunk::<4>()?;
    let (salt, key) = rest.split_first_chunk::<LEGACY_SALT_BYTES>()?;
    (key.len() == LEGACY_KEY_BYTES).then(|| ForeignHash {
        function: Function::Sha256,
        rounds: u32::from_be_bytes(*rounds),
        salt: salt.to_vec(),
        key: SecretBytes::new(key.to_vec()),
    })
}

/// `rounds$salt$key`, the last two in Base64 with `.` for `+` and without padding.
fn parse_parts(function: Function, value: &str) -> Option<ForeignHash> {
    let mut parts = value.split('$');
    let (rounds, salt, key) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let decode = |text: &str| UNPADDED.decode(text.replace('.', "+")).ok();
    Some(ForeignHash {
        function,
        rounds: rounds.parse().ok()?,
        salt: decode(salt)?,
        key: SecretBytes::new(decode(key)?),
    })
}

/// `{PKCS5S2}`: salt and key in one Base64.
fn parse_pkcs5s2(value: &str) -> Option<ForeignHash> {
    let bytes = Zeroizing::new(STANDARD.decode(value).ok()?);
    let (salt, key) = bytes.split_first_chunk::<PKCS5S2_SALT_BYTES>()?;
    (key.len() == PKCS5S2_KEY_BYTES).then(|| ForeignHash {
        function: Function::Sha1,
        rounds: PKCS5S2_ROUNDS,
        salt: salt.to_vec(),
        key: SecretBytes::new(key.to_vec()),
    })
}

#[cfg(test)]
#[path = "foreign_hash/tests.rs"]
mod tests;
