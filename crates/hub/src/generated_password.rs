//! Passwords that the hub makes up, and the proof that it did.
//!
//! Invariant: a proof fits one password until its end, one hour later, and is checked in constant time
//! (decision U62); nothing is stored, so every hub with the same sealing key accepts it. Deliberately
//! absent: what a proven password is excused from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::secret::{SecretBytes, SecretString, with_wiped_stack};
use rollcall_kit::timestamp::{Span, Timestamp};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::sealing::SealingKey;

/// How long a proof is accepted.
const PROOF_LIFETIME: Span = Span::hours(1);
const MOMENT_BYTES: usize = 8;

/// Groups of letters in a password.
const GROUPS: usize = 4;
/// Letters in a group.
const LETTERS: usize = 4;
/// Random bytes for one letter: with so many, no letter is noticeably more likely than another.
const LETTER_BYTES: usize = 8;
const ALPHABET: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// Makes passwords and checks their proofs.
#[derive(Debug)]
pub struct PasswordMaker(SecretBytes);

/// A password that was made up.
#[derive(Debug)]
pub struct GeneratedPassword {
    /// Four groups of four lower-case letters, joined by hyphens: 75 bits (decision U63).
    pub password: SecretString,
    /// The proof of it.
    pub proof: String,
}

impl PasswordMaker {
    /// Takes its key from the hub's key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        Self(key.derive("generated passwords"))
    }

    /// A new password and the proof of it.
    ///
    /// # Errors
    /// `Internal` when the key is damaged.
    pub fn generate(
        &self,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<GeneratedPassword, Error> {
        let mut random = Zeroizing::new([0; GROUPS * LETTERS * LETTER_BYTES]);
        entropy.fill(&mut *random);
        let mut password = String::with_capacity(GROUPS * (LETTERS + 1));
        for (index, bytes) in random.as_chunks::<LETTER_BYTES>().0.iter().enumerate() {
            if index > 0 && index.is_multiple_of(LETTERS) {
                password.push('-');
            }
            let letters = ALPHABET.len() as u64;
            let at = usize::try_from(u64::from_le_bytes(*bytes) % letters).unwrap_or(0);
            let letter = ALPHABET.get(at).map(|letter| char::from(*letter));
            // Three kinds of characters: a directory with the usual rules wants as many.
            password.extend(letter.map(|letter| match index {
                0 => letter.to_ascii_uppercase(),
                _ => letter,
            }));
        }
        let password = SecretString::new(password);
        let end = now.plus(PROOF_LIFETIME).as_micros().to_be_bytes();
        let mac = with_wiped_stack(|| {
            let mac = self.mac(&password, end)?;
            Ok::<_, Error>(mac.finalize().into_bytes())
        })?;
        let proof = URL_SAFE_NO_PAD.encode([end.as_slice(), mac.as_slice()].concat());
        Ok(GeneratedPassword { password, proof })
    }

    /// Requires that `proof`, which came in `field`, is of `password` and has not ended.
    ///
    /// # Errors
    /// `Invalid` naming `field`; `Internal` when the key is damaged.
    pub fn check(
        &self,
        field: &str,
        password: &SecretString,
        proof: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let refused = || {
            Refusal::invalid(
                field,
                "does not fit the password, or is older than an hour: take both from one answer of \
                 GeneratePassword, or leave it out",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(proof).map_err(|_| refused())?;
        let (end, mac) = bytes
            .split_first_chunk::<MOMENT_BYTES>()
            .ok_or_else(refused)?;
        with_wiped_stack(|| {
            let made = self.mac(password, *end)?;
            made.verify_slice(mac).map_err(|_| Error::from(refused()))
        })?;
        if Timestamp::from_micros(i64::from_be_bytes(*end)) <= now {
            return Err(refused().into());
        }
        Ok(())
    }

    fn mac(&self, password: &SecretString, end: [u8; MOMENT_BYTES]) -> Result<Hmac<Sha256>, Error> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose())
            .map_err(|_| Error::Internal("the key of generated passwords is damaged".into()))?;
        // The end has a fixed length, so the two cannot be divided otherwise.
        mac.update(&end);
        mac.update(password.expose().as_bytes());
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::entropy::SystemEntropy;
    use std::collections::HashSet;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn maker() -> PasswordMaker {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("sealing.key");
        SealingKey::create(&path, &SystemEntropy).unwrap();
        PasswordMaker::new(&SealingKey::read(&path).unwrap())
    }

    #[test]
    fn a_password_has_the_known_form() {
        let maker = maker();
        let mut seen = HashSet::new();
        let mut letters = HashSet::new();
        for _ in 0..200 {
            let made = maker.generate(&SystemEntropy, NOW).unwrap();
            let text = made.password.expose().to_owned();
            let groups: Vec<_> = text.split('-').collect();
            assert_eq!(groups.len(), GROUPS, "{text}");
            for group in groups {
                assert_eq!(group.len(), LETTERS, "{text}");
                letters.extend(group.bytes().map(|letter| letter.to_ascii_lowercase()));
            }
            let (first, rest) = text.split_at(1);
            assert!(first.bytes().all(|b| b.is_ascii_uppercase()), "{text}");
            let is_small = |b: u8| b.is_ascii_lowercase() || b == b'-';
            assert!(rest.bytes().all(is_small), "{text}");
            assert!(made.proof.len() <= 128);
            assert!(!made.proof.contains(&text));
            assert!(seen.insert(text));
        }
        assert_eq!(letters.len(), ALPHABET.len());
    }

    #[test]
    fn a_proof_fits_one_password_for_an_hour() {
        let (maker, other) = (maker(), maker());
        let made = maker.generate(&SystemEntropy, NOW).unwrap();
        let check = |maker: &PasswordMaker, password: &SecretString, proof: &str, now| match maker
            .check("generation_proof", password, proof, now)
        {
            Ok(()) => true,
            Err(Error::Refused(Refusal::Invalid { field, why })) => {
                assert_eq!(field, "generation_proof");
                assert!(!why.contains(made.password.expose()));
                false
            }
            Err(error) => panic!("{error:?}"),
        };
        let last = NOW.plus(PROOF_LIFETIME).minus(Span::seconds(1));
        assert!(check(&maker, &made.password, &made.proof, NOW));
        assert!(check(&maker, &made.password, &made.proof, last));
        let end = NOW.plus(PROOF_LIFETIME);
        assert!(!check(&maker, &made.password, &made.proof, end));
        assert!(!check(&other, &made.password, &made.proof, NOW));
        let another = maker.generate(&SystemEntropy, NOW).unwrap();
        assert!(!check(&maker, &another.password, &made.proof, NOW));
        for proof in ["", "a", "AAAAAAAAAAA", "***"] {
            assert!(!check(&maker, &made.password, proof, NOW), "{proof}");
        }
        let bytes = URL_SAFE_NO_PAD.decode(&made.proof).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(!check(&maker, &made.password, &changed, NOW), "{index}");
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..index]);
            assert!(!check(&maker, &made.password, &cut, NOW), "{index}");
        }
    }
}
