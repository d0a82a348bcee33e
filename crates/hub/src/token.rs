//! Tokens: issued to service accounts, shown with every call.
//!
//! Invariant: a token is 64 random bytes of which the database has the SHA-256 only; the cache
//! forgets after seconds, so that a revoked token ends everywhere soon. Deliberately absent:
//! rights, which belong to the subject and are read with every call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::{KeyId, ServiceAccountId, TokenId};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_store::Tx;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::hub::Hub;
use crate::jwt::{self, JwtError};
use crate::limits;

/// Random bytes of a token: 86 characters of base64url, the form official clients mask in logs.
const SECRET_BYTES: usize = 64;
const SCHEME: &str = "Bearer ";
const TOKEN_CHARACTERS_MAX: usize = 4_096;

type DigestBytes = [u8; 32];

impl Hub {
    /// Trades the JWT of a service account for a token and its end.
    ///
    /// # Errors
    /// `Unauthenticated` when anything about the JWT is wrong.
    pub async fn issue_token(
        &self,
        jwt: &str,
        now: Timestamp,
    ) -> Result<(SecretString, Timestamp), Error> {
        let key_id = KeyId::new(jwt::key_id(jwt)?);
        let key = self
            .store
            .read(async move |tx: &Tx| Ok::<_, Error>(tx.find_service_account_key(&key_id).await?))
            .await?
            .ok_or(JwtError::NotAuthentic)?;
        let account: ServiceAccountId = key.service_account_id;
        jwt::check(
            jwt,
            &key.public_key_pem,
            account.as_str(),
            &self.audiences,
            now,
        )?;
        let token = self.new_token(now);
        let digest = digest(token.expose()).to_vec();
        let record = IamToken::issue(digest, Subject::service_account(account), now);
        let expires_at = record.expires_at;
        self.store
            .write(async move |tx: &Tx| Ok::<_, Error>(tx.insert_iam_token(&record).await?))
            .await?;
        Ok((token, expires_at))
    }

    /// Who shows a valid token in `headers`.
    ///
    /// # Errors
    /// `Unauthenticated` without one.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Subject, Error> {
        let digest = digest(read_bearer(headers)?);
        if let Some(subject) = self.tokens.find(&digest, now) {
            return Ok(subject);
        }
        let key = digest.to_vec();
        let token = self
            .store
            .read(async move |tx: &Tx| Ok::<_, Error>(tx.find_iam_token(&key).await?))
            .await?
            .filter(|token| token.is_valid(now))
            .ok_or_else(|| {
                Error::Unauthenticated(
                    "the token is unknown or has ended: get a new one from IamTokenService.Create"
                        .into(),
                )
            })?;
        self.tokens.keep(digest, &token, now);
        Ok(token.subject)
    }

    fn new_token(&self, now: Timestamp) -> SecretString {
        let mut secret = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        self.entropy.fill(&mut *secret);
        let id = self.new_id(TokenId::PREFIX, now);
        SecretString::new(format!(
            "t1.{id}.{}",
            URL_SAFE_NO_PAD.encode(secret.as_slice())
        ))
    }
}

fn read_bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let value = headers.get(AUTHORIZATION).ok_or_else(|| {
        Error::Unauthenticated("send a token: metadata `authorization: Bearer <token>`".into())
    })?;
    let malformed = || Error::Unauthenticated("authorization must be `Bearer <token>`".into());
    let text = value.to_str().map_err(|_| malformed())?;
    let (scheme, token) = text.split_at_checked(SCHEME.len()).ok_or_else(malformed)?;
    let token = token.trim();
    let fits = (1..=TOKEN_CHARACTERS_MAX).contains(&token.len());
    if !scheme.eq_ignore_ascii_case(SCHEME) || !fits {
        return Err(malformed());
    }
    Ok(token)
}

fn digest(token: &str) -> DigestBytes {
    Sha256::digest(token.as_bytes()).into()
}

/// Tokens seen lately, by digest.
#[derive(Debug, Default)]
pub struct TokenCache(Mutex<HashMap<DigestBytes, Cached>>);

#[derive(Debug)]
struct Cached {
    subject: Subject,
    trusted_until: Timestamp,
}

impl TokenCache {
    fn find(&self, digest: &DigestBytes, now: Timestamp) -> Option<Subject> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(digest)?;
        (now < cached.trusted_until).then(|| cached.subject.clone())
    }

    fn keep(&self, digest: DigestBytes, token: &IamToken, now: Timestamp) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= limits::TOKEN_CACHE_ENTRIES_MAX {
            cache.retain(|_, cached| now < cached.trusted_until);
        }
        if cache.len() >= limits::TOKEN_CACHE_ENTRIES_MAX {
            return;
        }
        let trusted_until = token
            .expires_at
            .min(now.plus(Span::seconds(limits::TOKEN_CACHE_SECONDS_MAX)));
        let subject = token.subject.clone();
        cache.insert(
            digest,
            Cached {
                subject,
                trusted_until,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bearer(value: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, http::HeaderValue::from_bytes(value).unwrap());
        read_bearer(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn only_a_bearer_token_is_read() {
        assert_eq!(bearer(b"Bearer t1.a.b").as_deref(), Some("t1.a.b"));
        assert_eq!(bearer(b"bearer t1.a.b").as_deref(), Some("t1.a.b"));
        for wrong in [
            &b"Basic abc"[..],
            b"Bearer ",
            b"Bearer",
            b"",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(bearer(wrong), None);
        }
        assert!(read_bearer(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_cache_forgets() {
        let cache = TokenCache::default();
        let now = Timestamp::from_seconds(1_000);
        let token = IamToken::issue(vec![1; 32], Subject::service_account("aje1"), now);
        cache.keep([1; 32], &token, now);
        assert_eq!(cache.find(&[1; 32], now), Some(token.subject.clone()));
        assert_eq!(cache.find(&[2; 32], now), None);
        let later = now.plus(Span::seconds(limits::TOKEN_CACHE_SECONDS_MAX));
        assert_eq!(cache.find(&[1; 32], later), None);
    }

    #[test]
    fn the_cache_never_outlives_the_token() {
        let cache = TokenCache::default();
        let now = Timestamp::from_seconds(1_000);
        let mut token = IamToken::issue(vec![1; 32], Subject::service_account("aje1"), now);
        token.expires_at = now.plus(Span::seconds(1));
        cache.keep([1; 32], &token, now);
        assert_eq!(cache.find(&[1; 32], token.expires_at), None);
    }
}
