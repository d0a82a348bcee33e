//! Page tokens: a cursor the caller cannot make or change.
//!
//! Invariant: a token is accepted only by the method, parent and filter it was made for (decision
//! U70). The cursor itself is no secret, it is only authenticated. Deliberately absent: expiry.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rollcall_domain::page::{Cursor, PageRequest};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::secret::SecretBytes;
use rollcall_kit::timestamp::Timestamp;
use sha2::Sha256;

use crate::error::Error;
use crate::sealing::SealingKey;

const MAC_BYTES: usize = 16;
const MOMENT_BYTES: usize = 8;

/// Makes and checks page tokens.
#[derive(Debug)]
pub struct PageTokens(SecretBytes);

/// What a list is of: tokens of one list are refused by every other.
#[derive(Debug, Clone, Copy)]
pub struct ListKey<'a> {
    /// Path of the method.
    pub method: &'a str,
    /// The thing whose parts are listed.
    pub parent: &'a str,
    /// The filter as the caller wrote it.
    pub filter: &'a str,
}

/// A list of which a page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    tokens: &'a PageTokens,
    key: ListKey<'a>,
}

impl PageTokens {
    /// Takes its key from the hub's key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        Self(key.derive("page tokens"))
    }

    /// The list of this key.
    #[must_use]
    pub fn list<'a>(&'a self, key: ListKey<'a>) -> List<'a> {
        List { tokens: self, key }
    }
}

impl List<'_> {
    /// Reads the page fields of a request.
    ///
    /// # Errors
    /// `Invalid` naming `page_size` or `page_token`.
    pub fn parse(self, page_size: i64, page_token: &str) -> Result<PageRequest, Error> {
        let after = match page_token {
            "" => None,
            token => Some(self.open(token)?.ok_or_else(|| {
                Refusal::invalid(
                    "page_token",
                    "was not made by this list with this filter: take next_page_token of the \
                     page before, or leave it out",
                )
            })?),
        };
        Ok(PageRequest::new(page_size, after)?)
    }

    /// The token of the next page; empty after the last one.
    ///
    /// # Errors
    /// `Internal` when the key is damaged.
    pub fn render(self, next: Option<&Cursor>) -> Result<String, Error> {
        let Some(cursor) = next else {
            return Ok(String::new());
        };
        let mut bytes = cursor.created_at.as_micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(cursor.id.as_bytes());
        let mac = self.mac(&bytes)?.finalize().into_bytes();
        bytes.extend(mac.iter().take(MAC_BYTES));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(self, token: &str) -> Result<Option<Cursor>, Error> {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else {
            return Ok(None);
        };
        let Some((content, mac)) = bytes.split_last_chunk::<MAC_BYTES>() else {
            return Ok(None);
        };
        if self.mac(content)?.verify_truncated_left(mac).is_err() {
            return Ok(None);
        }
        let cursor = content
            .split_first_chunk::<MOMENT_BYTES>()
            .and_then(|(moment, id)| {
                Some(Cursor {
                    created_at: Timestamp::from_micros(i64::from_be_bytes(*moment)),
                    id: str::from_utf8(id).ok()?.to_owned(),
                })
            });
        Ok(cursor)
    }

    fn mac(self, content: &[u8]) -> Result<Hmac<Sha256>, Error> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.tokens.0.expose())
            .map_err(|_| Error::Internal("the key of page tokens is damaged".into()))?;
        for part in [
            self.key.method.as_bytes(),
            self.key.parent.as_bytes(),
            self.key.filter.as_bytes(),
            content,
        ] {
            // Lengths keep `ab`+`c` and `a`+`bc` apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::entropy::SystemEntropy;

    const LIST: ListKey<'_> = ListKey {
        method: "/a/List",
        parent: "ek0",
        filter: "name = 'x'",
    };

    fn tokens() -> PageTokens {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        SealingKey::create(&path, &SystemEntropy).unwrap();
        PageTokens::new(&SealingKey::read(&path).unwrap())
    }

    #[test]
    fn a_token_opens_only_its_own_list() {
        let tokens = tokens();
        let cursor = Cursor {
            created_at: Timestamp::from_micros(1_700_000_000_123_456),
            id: "aje1".into(),
        };
        let list = tokens.list(LIST);
        let token = list.render(Some(&cursor)).unwrap();
        let page = list.parse(0, &token).unwrap();
        assert_eq!(page.after, Some(cursor));
        let others = [
            ListKey {
                method: "/b/List",
                ..LIST
            },
            ListKey {
                parent: "ek1",
                ..LIST
            },
            ListKey { filter: "", ..LIST },
        ];
        for other in others {
            assert!(tokens.list(other).parse(0, &token).is_err());
        }
        for wrong in ["x", "AAAA", &token[1..], &format!("{token}A")] {
            assert!(list.parse(0, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let tokens = tokens();
        let list = tokens.list(LIST);
        assert_eq!(list.render(None).unwrap(), "");
        assert_eq!(list.parse(0, "").unwrap().after, None);
        assert!(list.parse(1_001, "").is_err());
    }
}
