//! Tokens: issued to service accounts, shown with every call.
//!
//! Invariant: a token is 64 random bytes of which the database has the SHA-256 only; the cache
//! forgets after seconds, so that a revoked token ends everywhere soon. Deliberately absent:
//! rights, which belong to the subject and are read with every call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::{KeyId, SubjectId, TokenId};
use rollcall_domain::service_account::ServiceAccountKey;
use rollcall_domain::sign_in::require_active;
use rollcall_kit::secret::{SecretString, with_wiped_stack};
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_store::Tx;
use sha2::{Digest, Sha256};

use crate::audit::{self, Attempt};
use crate::call::{Call, TokenFacts};
use crate::error::Error;
use crate::hub::Hub;
use crate::jwt::{self, JwtError};
use crate::limits;

/// Random bytes of a token: 86 characters of base64url, the form official clients mask in logs.
const SECRET_BYTES: usize = 64;
const SCHEME: &str = "Bearer ";
const TOKEN_CHARACTERS_MAX: usize = 4_096;

/// SHA-256 of the text of a token.
pub type DigestBytes = [u8; 32];

impl Hub {
    /// Trades the JWT of a service account for a token and its end; the audit trail has both.
    ///
    /// # Errors
    /// `Unauthenticated` when anything about the JWT is wrong.
    pub async fn issue_token(
        self: &Arc<Self>,
        jwt: &str,
        call: &Call,
        attempt: Option<Arc<Attempt>>,
    ) -> Result<(SecretString, Timestamp), Error> {
        let now = call.now;
        let key_id = KeyId::new(jwt::key_id(jwt)?);
        let named = key_id.clone();
        let key = self
            .store
            .read(async move |tx: &Tx| find_usable_key(tx, &named).await)
            .await?;
        let account = key.service_account_id;
        jwt::check(
            jwt,
            &key.public_key_pem,
            account.as_str(),
            &self.audiences,
            now,
        )?;
        let (token, record) = self.new_token(Subject::service_account(account), now);
        let expires_at = record.expires_at;
        let hub = Arc::clone(self);
        // The key proved who calls.
        let call = Call {
            subject: Some(record.subject.clone()),
            ..call.clone()
        };
        self.store
            .write(async move |tx: &Tx| {
                // Looked up again: meanwhile somebody may have disabled it.
                let key = find_usable_key(tx, &key_id).await?;
                tx.insert_iam_token(&record).await?;
                if let Some(used) = key.mark_used(now) {
                    tx.save_service_account_key(&used).await?;
                }
                match &attempt {
                    Some(attempt) => audit::record_token(&hub, tx, &call, attempt, &record).await,
                    None => Ok(()),
                }
            })
            .await?;
        Ok((token, expires_at))
    }

    /// Who shows a valid token in `headers`.
    ///
    /// # Errors
    /// `Unauthenticated` without one.
    pub async fn authenticate(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Error> {
        let digest = digest(read_bearer(headers)?);
        // Asked before the store is: what ends a token after that also ends this answer.
        let generation = self.tokens.generation();
        if let Some(caller) = self.tokens.find(&digest, now) {
            return Ok(caller);
        }
        let key = digest.to_vec();
        let found = self
            .store
            .read(async move |tx: &Tx| find_valid_token(tx, &key, now).await)
            .await?;
        let Some(token) = found else {
            self.tokens.drop_stale(&digest);
            return Err(Error::Unauthenticated(
                "the token is unknown or has ended: get a new one from IamTokenService.Create"
                    .into(),
            ));
        };
        let caller = Caller::showing(&token);
        self.tokens.keep(digest, &token, generation, now);
        Ok(caller)
    }

    /// Who shows a valid token in `headers` that was seen lately; asks no store.
    #[must_use]
    pub fn authenticate_from_cache(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        let digest = digest(read_bearer(headers).ok()?);
        self.tokens.find(&digest, now)
    }

    /// Whether the token in `headers` was valid when it was last looked up, so that it deserves to
    /// be looked up again.
    #[must_use]
    pub fn recognizes(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        read_bearer(headers).is_ok_and(|token| self.tokens.recognizes(&digest(token), now))
    }

    /// A new token of `subject` and its record.
    #[must_use]
    pub fn new_token(&self, subject: Subject, now: Timestamp) -> (SecretString, IamToken) {
        let mut secret = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        self.entropy.fill(&mut *secret);
        let id = TokenId::new(self.new_id(TokenId::PREFIX, now));
        let text = SecretString::new(format!(
            "t1.{id}.{}",
            URL_SAFE_NO_PAD.encode(secret.as_slice())
        ));
        let digest = digest(text.expose()).to_vec();
        (text, IamToken::issue(id, digest, subject, now))
    }
}

/// The key `id`, if it is enabled and its service account is. To strangers an unknown key and a
/// refused one are the same.
async fn find_usable_key(tx: &Tx, id: &KeyId) -> Result<ServiceAccountKey, Error> {
    let refused = || Error::from(JwtError::NotAuthentic);
    let key = tx.find_service_account_key(id).await?.ok_or_else(refused)?;
    let account = tx.find_service_account(&key.service_account_id).await?;
    let usable = key.is_enabled() && account.is_some_and(|account| account.is_enabled());
    usable.then_some(key).ok_or_else(refused)
}

/// The token with this digest, unless it has ended, or the user whose session it belongs to may not
/// go on: then the session ends at the next sweep.
async fn find_valid_token(
    tx: &Tx,
    digest: &[u8],
    now: Timestamp,
) -> Result<Option<IamToken>, Error> {
    let found = tx.find_iam_token(digest).await?;
    let Some(token) = found.filter(|token| token.is_valid(now)) else {
        return Ok(None);
    };
    if token.sign_in_session_id.is_none() {
        return Ok(Some(token));
    }
    let user = tx.find_user(&token.subject.id.as_str().into()).await?;
    let is_active = user.is_some_and(|user| require_active(&user, now).is_ok());
    Ok(is_active.then_some(token))
}

/// Who shows a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whom the token stands for.
    pub subject: Subject,
    /// What may be told of the token.
    pub token: TokenFacts,
}

impl Caller {
    fn showing(token: &IamToken) -> Self {
        Self {
            subject: token.subject.clone(),
            token: TokenFacts {
                id: token.id.clone(),
                masked: format!("t1.{}.***", token.id),
                impersonator: token.impersonator.clone(),
                sign_in_session_id: token.sign_in_session_id.clone(),
            },
        }
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

/// The digest under which a token is stored.
#[must_use]
pub fn digest(token: &str) -> DigestBytes {
    with_wiped_stack(|| Sha256::digest(token.as_bytes()).into())
}

/// Tokens seen lately, by digest.
#[derive(Debug, Default)]
pub struct TokenCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<DigestBytes, Cached>,
    generation: Generation,
}

/// How often tokens were ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Generation {
    /// Of anybody.
    all: u64,
    /// Those of sessions of users. Counted apart, as each change of a user may end some: callers that
    /// make such changes by the thousand must stay known meanwhile.
    sessions: u64,
}

#[derive(Debug)]
struct Cached {
    caller: Caller,
    trusted_until: Timestamp,
    /// The end of the token. Until then it is kept while there is room, though not trusted.
    expires_at: Timestamp,
}

impl TokenCache {
    /// Forgets the tokens of `subject` and those it asked for in the name of others. To be called
    /// when their records are gone.
    pub fn forget_subject(&self, subject: &SubjectId) {
        let mut entries = self.entries();
        entries.generation.all += 1;
        entries.by_digest.retain(|_, cached| {
            let impersonator = cached.caller.token.impersonator.as_ref();
            cached.caller.subject.id != *subject
                && impersonator.is_none_or(|impersonator| impersonator.id != *subject)
        });
    }

    /// Forgets the token with this digest. To be called when its record is gone.
    pub fn forget(&self, digest: &DigestBytes) {
        let mut entries = self.entries();
        entries.generation.all += 1;
        entries.by_digest.remove(digest);
    }

    /// Forgets the tokens of sessions of the user `subject`. To be called when their records may be
    /// gone.
    pub fn forget_sessions(&self, subject: &SubjectId) {
        let mut entries = self.entries();
        entries.generation.sessions += 1;
        entries.by_digest.retain(|_, cached| {
            let of_session = cached.caller.token.sign_in_session_id.is_some();
            !of_session || cached.caller.subject.id != *subject
        });
    }

    fn generation(&self) -> Generation {
        self.entries().generation
    }

    fn find(&self, digest: &DigestBytes, now: Timestamp) -> Option<Caller> {
        let entries = self.entries();
        let cached = entries.by_digest.get(digest)?;
        (now < cached.trusted_until).then(|| cached.caller.clone())
    }

    fn recognizes(&self, digest: &DigestBytes, now: Timestamp) -> bool {
        let entries = self.entries();
        let cached = entries.by_digest.get(digest);
        cached.is_some_and(|cached| now < cached.expires_at)
    }

    /// Forgets a token that was looked up in vain; what was read before stays right.
    fn drop_stale(&self, digest: &DigestBytes) {
        self.entries().by_digest.remove(digest);
    }

    /// Keeps a token that was read from the store at `generation`, unless tokens ended since: this
    /// one may be among them.
    fn keep(&self, digest: DigestBytes, token: &IamToken, generation: Generation, now: Timestamp) {
        let mut entries = self.entries();
        let present = entries.generation;
        let is_stale = present.all != generation.all
            || token.sign_in_session_id.is_some() && present.sessions != generation.sessions;
        if is_stale {
            return;
        }
        let cache = &mut entries.by_digest;
        if cache.len() >= limits::TOKEN_CACHE_ENTRIES_MAX {
            cache.retain(|_, cached| now < cached.trusted_until);
        }
        if cache.len() >= limits::TOKEN_CACHE_ENTRIES_MAX {
            return;
        }
        let trusted_until = token
            .expires_at
            .min(now.plus(Span::seconds(limits::TOKEN_CACHE_SECONDS_MAX)));
        let caller = Caller::showing(token);
        cache.insert(
            digest,
            Cached {
                caller,
                trusted_until,
                expires_at: token.expires_at,
            },
        );
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn token(subject: &str) -> IamToken {
        let subject = Subject::service_account(subject);
        IamToken::issue("aje9".into(), vec![1; 32], subject, NOW)
    }

    #[test]
    fn the_cache_forgets() {
        let cache = TokenCache::default();
        let token = token("aje1");
        cache.keep([1; 32], &token, cache.generation(), NOW);
        let found = cache.find(&[1; 32], NOW).unwrap();
        assert_eq!(found.subject, token.subject);
        assert_eq!(found.token.masked, "t1.aje9.***");
        assert_eq!(cache.find(&[2; 32], NOW), None);
        let later = NOW.plus(Span::seconds(limits::TOKEN_CACHE_SECONDS_MAX));
        assert_eq!(cache.find(&[1; 32], later), None);
        assert!(cache.recognizes(&[1; 32], later), "until it ends");
        assert!(!cache.recognizes(&[2; 32], later));
        assert!(!cache.recognizes(&[1; 32], token.expires_at));
        cache.drop_stale(&[1; 32]);
        assert!(!cache.recognizes(&[1; 32], later));
    }

    #[test]
    fn the_cache_never_outlives_the_token() {
        let cache = TokenCache::default();
        let mut token = token("aje1");
        token.expires_at = NOW.plus(Span::seconds(1));
        cache.keep([1; 32], &token, cache.generation(), NOW);
        assert_eq!(cache.find(&[1; 32], token.expires_at), None);
    }

    #[test]
    fn ended_tokens_leave_the_cache_at_once() {
        let cache = TokenCache::default();
        let keep = |n: u8, token: &IamToken| cache.keep([n; 32], token, cache.generation(), NOW);
        keep(1, &token("aje1"));
        keep(2, &token("aje2").impersonated_by(Subject::user("aje1")));
        keep(3, &token("aje3"));
        keep(4, &token("aje3"));
        cache.forget_subject(&"aje1".into());
        cache.forget(&[3; 32]);
        let left: Vec<_> = (1..=4)
            .filter(|n| cache.find(&[*n; 32], NOW).is_some())
            .collect();
        assert_eq!(left, [4]);
    }

    #[test]
    fn the_end_of_sessions_leaves_other_tokens_known() {
        let cache = TokenCache::default();
        let user = IamToken {
            subject: Subject::user("aje1"),
            ..token("aje1")
        };
        let of_session = user.clone().of_session("sis1".into(), user.expires_at);
        let read_before = cache.generation();
        cache.keep([1; 32], &of_session, read_before, NOW);
        cache.keep([2; 32], &user, read_before, NOW);
        cache.forget_sessions(&"aje1".into());
        assert_eq!(cache.find(&[1; 32], NOW), None);
        assert!(cache.find(&[2; 32], NOW).is_some());
        cache.keep([1; 32], &of_session, read_before, NOW);
        cache.keep([3; 32], &user, read_before, NOW);
        assert_eq!(cache.find(&[1; 32], NOW), None);
        assert!(cache.find(&[3; 32], NOW).is_some());
    }

    #[test]
    fn a_token_read_before_its_end_is_not_kept_after_it() {
        let cache = TokenCache::default();
        let generation = cache.generation();
        cache.forget_subject(&"aje1".into());
        cache.keep([1; 32], &token("aje1"), generation, NOW);
        assert_eq!(cache.find(&[1; 32], NOW), None);
    }
}
