//! The cursor the hub keeps for us: the directory's DirSync cookie in a text of at most 1,000
//! characters (decision U19).
//!
//! Invariant: what cannot be read back is no error but the sign for a full read. A cookie that is
//! too long for the hub (many domain controllers) is kept in the index only, and the token is its
//! fingerprint.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use rollcall_directory::ReplicationCursor;

use crate::engine::Guid;

const WHOLE: &str = "rc1.";
const FINGERPRINT: &str = "rc1f.";
/// Before a token that says whose cookie it is.
const ORIGIN: &str = "rc1o.";
/// Before a cursor of the password hashes.
const REPLICATION: &str = "rh1.";
const TOKEN_CHARACTERS_MAX: usize = 1_000;

/// The token for a cookie.
#[must_use]
pub fn token_of(cookie: &[u8]) -> String {
    let whole = format!("{WHOLE}{}", URL_SAFE_NO_PAD.encode(cookie));
    if whole.len() <= TOKEN_CHARACTERS_MAX {
        return whole;
    }
    fingerprint(cookie)
}

/// The token for a cookie of the controller `origin`, for a stream that keeps no index: who goes on
/// from it may be another agent, which could not tell otherwise whose cookie it is.
#[must_use]
pub fn token_of_controller(cookie: &[u8], origin: Option<Guid>) -> String {
    let token = token_of(cookie);
    let Some(origin) = origin else {
        return token;
    };
    let whole = format!("{ORIGIN}{origin}.{token}");
    if whole.len() <= TOKEN_CHARACTERS_MAX {
        return whole;
    }
    format!("{ORIGIN}{origin}.{}", fingerprint(cookie))
}

/// Whose cookie a token is of, if it says so, and the token without that.
#[must_use]
pub fn origin_of(token: &str) -> (Option<Guid>, &str) {
    let said = token.strip_prefix(ORIGIN);
    let said = said.and_then(|rest| rest.split_once('.'));
    let said = said.and_then(|(origin, token)| Some((Guid::parse(origin)?, token)));
    match said {
        Some((origin, token)) => (Some(origin), token),
        None => (None, token),
    }
}

/// The token for a cursor of the password hashes. Controllers that do not fit are left out, those
/// with the fewest changes first, which retired long ago or are new: what is forgotten is read once
/// more if this controller has to be left for another one.
#[must_use]
pub fn token_of_replication(cursor: &ReplicationCursor) -> String {
    let mut cursor = cursor.clone();
    let own = cursor.invocation_id;
    let rank = |(id, usn): &(rollcall_directory::Guid, i64)| (*id != own, Reverse(*usn), *id);
    cursor.up_to_date.sort_unstable_by_key(rank);
    loop {
        let token = format!("{REPLICATION}{}", URL_SAFE_NO_PAD.encode(cursor.to_bytes()));
        if token.len() <= TOKEN_CHARACTERS_MAX || cursor.up_to_date.pop().is_none() {
            return token;
        }
    }
}

/// The cursor of a token: the one `kept` here in full, if it is the same, else what the token has.
#[must_use]
pub fn replication_of(token: &str, kept: Option<&[u8]>) -> Option<ReplicationCursor> {
    let kept = kept.and_then(ReplicationCursor::from_bytes);
    if let Some(kept) = kept
        && token_of_replication(&kept) == token
    {
        return Some(kept);
    }
    let text = token.strip_prefix(REPLICATION)?;
    ReplicationCursor::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
}

fn fingerprint(cookie: &[u8]) -> String {
    format!("{FINGERPRINT}{}", hex::encode(Sha256::digest(cookie)))
}

/// The cookie of a token; `kept` is the cookie in the index, for tokens that are a fingerprint.
#[must_use]
pub fn cookie_of(token: &str, kept: Option<&[u8]>) -> Option<Vec<u8>> {
    if let Some(text) = token.strip_prefix(WHOLE) {
        return URL_SAFE_NO_PAD.decode(text).ok();
    }
    let kept = kept?;
    (fingerprint(kept) == token).then(|| kept.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_cookies_travel_whole_and_long_ones_as_fingerprint() {
        for size in [0, 1, 108, 747, 748, 5_000] {
            let cookie = vec![0xa5; size];
            let token = token_of(&cookie);
            assert!(token.len() <= TOKEN_CHARACTERS_MAX, "{size}");
            assert_eq!(
                cookie_of(&token, Some(&cookie)),
                Some(cookie.clone()),
                "{size}"
            );
            assert_eq!(cookie_of(&token, None).is_some(), size <= 747, "{size}");
            assert_eq!(
                cookie_of(&token, Some(b"other")).is_some(),
                size <= 747,
                "{size}"
            );
        }
    }

    #[test]
    fn a_token_says_whose_cookie_it_is() {
        let controller = Guid::from_number(7);
        for size in [0, 108, 715, 720, 747, 748, 5_000] {
            let cookie = vec![0xa5; size];
            let token = token_of_controller(&cookie, Some(controller));
            assert!(token.len() <= TOKEN_CHARACTERS_MAX, "{size}");
            let (origin, plain) = origin_of(&token);
            assert_eq!(origin, Some(controller), "{size}");
            assert_eq!(cookie_of(plain, Some(&cookie)), Some(cookie.clone()));
            let plain = token_of_controller(&cookie, None);
            assert_eq!(plain, token_of(&cookie));
            assert_eq!(origin_of(&plain), (None, plain.as_str()));
        }
        for token in ["", "rc1o.", "rc1o.x.rc1.AAAA", "rc1o.rc1.AAAA"] {
            assert_eq!(origin_of(token), (None, token));
        }
    }

    #[test]
    fn cursors_of_many_controllers_lose_the_least() {
        let id = |number: u8| rollcall_directory::Guid::from_bytes([number; 16]);
        for controllers in [0, 1, 29, 30, 200] {
            let mut cursor = ReplicationCursor {
                invocation_id: id(1),
                ..ReplicationCursor::default()
            };
            cursor.up_to_date = (1..=controllers).map(|n| (id(n), i64::from(n))).collect();
            let token = token_of_replication(&cursor);
            assert!(token.len() <= TOKEN_CHARACTERS_MAX, "{controllers}");
            let kept = cursor.to_bytes();
            assert_eq!(replication_of(&token, Some(&kept)), Some(cursor.clone()));
            let read = replication_of(&token, None).unwrap();
            assert_eq!(read.up_to_date.len(), usize::from(controllers.min(29)));
            if controllers > 1 {
                assert!(read.up_to_date.contains(&(id(1), 1)));
                assert!(
                    read.up_to_date
                        .contains(&(id(controllers), i64::from(controllers)))
                );
            }
            // Another one kept here says nothing of the token.
            let other = ReplicationCursor::default().to_bytes();
            assert_eq!(replication_of(&token, Some(&other)), Some(read));
        }
        assert_eq!(replication_of("rh1.AAAA", None), None);
        assert_eq!(replication_of("rc1.AAAA", None), None);
    }

    #[test]
    fn foreign_tokens_are_no_cookies() {
        for token in ["", "rc1.*", "rc2.AAAA", "whatever"] {
            assert_eq!(cookie_of(token, None), None, "{token}");
        }
    }
}
