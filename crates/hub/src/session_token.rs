//! Tokens around a sign-in that are no tokens for calls: those that renew a session, and those that
//! allow to replace a password.
//!
//! Invariant: a refresh token is 64 random bytes after the id of its session, of which the database
//! has SHA-256 only; the first half stays the same for the session, so that a used token is told
//! from an invented one. A change token is bound by a MAC to one value of a password, so it is used
//! up by the change. Deliberately absent: sessions and passwords.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rollcall_domain::id::{PasswordId, SignInSessionId, UserId};
use rollcall_domain::sign_in_session::RefreshDigests;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::secret::{SecretBytes, SecretString, with_wiped_stack};
use rollcall_kit::timestamp::Timestamp;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::sealing::SealingKey;

const HALF_BYTES: usize = 32;
const REFRESH: &str = "rt1.";
const CHANGE: &str = "ct1.";
const MAC_BYTES: usize = 32;
const MOMENT_BYTES: usize = 8;
/// Parts a change token from its MAC; no id has it.
const BETWEEN: char = '\n';

/// A refresh token.
pub struct RefreshToken {
    session_id: SignInSessionId,
    family: Zeroizing<[u8; HALF_BYTES]>,
    own: Zeroizing<[u8; HALF_BYTES]>,
}

impl RefreshToken {
    /// The first one of a session.
    #[must_use]
    pub fn first(session_id: SignInSessionId, entropy: &dyn Entropy) -> Self {
        Self {
            session_id,
            family: random(entropy),
            own: random(entropy),
        }
    }

    /// The one after this.
    #[must_use]
    pub fn next(&self, entropy: &dyn Entropy) -> Self {
        Self {
            session_id: self.session_id.clone(),
            family: self.family.clone(),
            own: random(entropy),
        }
    }

    /// Reads the text of a token; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(REFRESH)?.split_once('.')?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).ok()?);
        let (family, own) = bytes.split_first_chunk::<HALF_BYTES>()?;
        let own: &[u8; HALF_BYTES] = own.try_into().ok()?;
        Some(Self {
            session_id: id.into(),
            family: Zeroizing::new(*family),
            own: Zeroizing::new(*own),
        })
    }

    /// The session.
    #[must_use]
    pub fn session_id(&self) -> &SignInSessionId {
        &self.session_id
    }

    /// What is stored of it.
    #[must_use]
    pub fn digests(&self) -> RefreshDigests {
        with_wiped_stack(|| {
            let mut whole = Sha256::new();
            whole.update(self.family.as_slice());
            whole.update(self.own.as_slice());
            RefreshDigests {
                family: Sha256::digest(self.family.as_slice()).to_vec(),
                whole: whole.finalize().to_vec(),
            }
        })
    }

    /// The text for the client.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        let bytes = Zeroizing::new([self.family.as_slice(), self.own.as_slice()].concat());
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes));
        SecretString::new(format!("{REFRESH}{}.{}", self.session_id, *secret))
    }
}

fn random(entropy: &dyn Entropy) -> Zeroizing<[u8; HALF_BYTES]> {
    let mut bytes = Zeroizing::new([0; HALF_BYTES]);
    entropy.fill(&mut *bytes);
    bytes
}

/// Makes and checks change tokens.
#[derive(Debug)]
pub struct ChangeTokens(SecretBytes);

/// Whose password a change token allows to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The user.
    pub user_id: UserId,
    /// The value to replace.
    pub password_id: PasswordId,
    /// When the token ends.
    pub expires_at: Timestamp,
}

impl ChangeTokens {
    /// Takes its key from the hub's key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        Self(key.derive("password change tokens"))
    }

    /// The token that allows `change`.
    ///
    /// # Errors
    /// `Internal` when the key is damaged.
    pub fn render(&self, change: &Change) -> Result<SecretString, Error> {
        let mut bytes = change.expires_at.as_micros().to_be_bytes().to_vec();
        bytes.extend(format!("{}{BETWEEN}{}", change.user_id, change.password_id).bytes());
        let mac = self.mac(&bytes)?.finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
        Ok(SecretString::new(format!("{CHANGE}{}", *secret)))
    }

    /// What a token allows at `now`; `None` for one that was not made here or has ended.
    ///
    /// # Errors
    /// As [`ChangeTokens::render`].
    pub fn open(&self, text: &str, now: Timestamp) -> Result<Option<Change>, Error> {
        let decoded = text
            .strip_prefix(CHANGE)
            .and_then(|secret| URL_SAFE_NO_PAD.decode(secret).ok());
        let Some(bytes) = decoded else {
            return Ok(None);
        };
        let Some((content, mac)) = bytes.split_last_chunk::<MAC_BYTES>() else {
            return Ok(None);
        };
        if self.mac(content)?.verify_slice(mac).is_err() {
            return Ok(None);
        }
        let change = content
            .split_first_chunk::<MOMENT_BYTES>()
            .and_then(|(moment, ids)| {
                let (user_id, password_id) = str::from_utf8(ids).ok()?.split_once(BETWEEN)?;
                Some(Change {
                    user_id: user_id.into(),
                    password_id: password_id.into(),
                    expires_at: Timestamp::from_micros(i64::from_be_bytes(*moment)),
                })
            });
        Ok(change.filter(|change| now < change.expires_at))
    }

    fn mac(&self, content: &[u8]) -> Result<Hmac<Sha256>, Error> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose())
            .map_err(|_| Error::Internal("the key of change tokens is damaged".into()))?;
        mac.update(content);
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_domain::sign_in_session::RefreshDigests;
    use rollcall_kit::entropy::SystemEntropy;
    use rollcall_kit::timestamp::Span;

    #[test]
    fn a_refresh_token_is_read_as_it_was_written() {
        let token = RefreshToken::first("sis1".into(), &SystemEntropy);
        let text = token.to_text();
        let read = RefreshToken::parse(text.expose()).unwrap();
        assert_eq!(read.session_id().as_str(), "sis1");
        assert_eq!(read.digests(), token.digests());
        let RefreshDigests { family, whole } = token.next(&SystemEntropy).digests();
        assert_eq!(family, token.digests().family);
        assert_ne!(whole, token.digests().whole);
        let cut = &text.expose()[..text.expose().len() - 1];
        for wrong in ["", "rt1.", "rt1.sis1", "rt1.sis1.", "t1.sis1.AAAA", cut] {
            assert!(RefreshToken::parse(wrong).is_none(), "{wrong}");
        }
    }

    fn tokens() -> ChangeTokens {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        SealingKey::create(&path, &SystemEntropy).unwrap();
        ChangeTokens::new(&SealingKey::read(&path).unwrap())
    }

    #[test]
    fn a_change_token_is_taken_whole_and_in_time() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let change = Change {
            user_id: "aje1".into(),
            password_id: "aje5".into(),
            expires_at: now.plus(Span::minutes(10)),
        };
        let tokens = tokens();
        let text = tokens.render(&change).unwrap();
        let text = text.expose();
        assert_eq!(tokens.open(text, now).unwrap(), Some(change.clone()));
        assert_eq!(tokens.open(text, change.expires_at).unwrap(), None);
        for wrong in ["", "ct1.", "ct1.AAAA", &text[1..], &format!("{text}A")] {
            assert_eq!(tokens.open(wrong, now).unwrap(), None, "{wrong}");
        }
        let other = super::tests::tokens();
        assert_eq!(other.open(text, now).unwrap(), None);
    }
}
