//! Calls that are repeated until they succeed or cannot.
//!
//! Invariant: all attempts of one mutation carry the same idempotency key, so that it happens once.

use std::future::Future;
use std::time::Duration;

use rollcall_kit::backoff::Backoff;
use rollcall_kit::entropy::Entropy;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::channel::AuthorizedChannel;
use crate::client::Client;
use crate::error::ClientError;

/// How often a call is tried.
pub const ATTEMPTS_MAX: u32 = 5;
/// The longest wait that a hub can ask for between two attempts.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long one attempt may take.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const SESSION_ID: &str = "x-sync-session-id";
const FORCE: &str = "x-sync-force";

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// It does not: no idempotency key.
    Read,
    /// It does.
    Mutation,
}

/// What goes with a call besides its request.
#[derive(Debug, Clone)]
pub struct CallContext {
    kind: CallKind,
    session_id: Option<MetadataValue<Ascii>>,
    idempotency_key: Option<MetadataValue<Ascii>>,
    is_forced: bool,
    attempts_max: u32,
    attempt_timeout: Duration,
}

impl CallContext {
    /// A call that changes nothing.
    #[must_use]
    pub fn read() -> Self {
        Self::new(CallKind::Read)
    }

    /// A call that changes something.
    #[must_use]
    pub fn mutation() -> Self {
        Self::new(CallKind::Mutation)
    }

    fn new(kind: CallKind) -> Self {
        Self {
            kind,
            session_id: None,
            idempotency_key: None,
            is_forced: false,
            attempts_max: ATTEMPTS_MAX,
            attempt_timeout: ATTEMPT_TIMEOUT,
        }
    }

    /// Makes the hub refuse the call unless session `session_id` is open (decision U121). An
    /// identifier that cannot be sent is refused by the hub, not by this.
    #[must_use]
    pub fn in_session(mut self, session_id: &str) -> Self {
        self.session_id = Some(ascii(session_id));
        self
    }

    /// Opens a session before its time (decision U132).
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.is_forced = true;
        self
    }

    /// Uses `key` for idempotency, for callers that repeat a call after their own restart.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(ascii(key));
        self
    }

    /// Tries at most `attempts` times, at least once.
    #[must_use]
    pub fn with_attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts.max(1);
        self
    }

    /// Gives each attempt `timeout`.
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// The context with the idempotency key that a mutation must have.
    fn keyed(&self, entropy: &dyn Entropy) -> Self {
        let mut keyed = self.clone();
        if self.kind == CallKind::Mutation && self.idempotency_key.is_none() {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            let key = uuid::Builder::from_random_bytes(bytes).into_uuid();
            keyed.idempotency_key = Some(ascii(&key.to_string()));
        }
        keyed
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        request.set_timeout(self.attempt_timeout);
        let metadata = request.metadata_mut();
        if let Some(session_id) = &self.session_id {
            metadata.insert(SESSION_ID, session_id.clone());
        }
        if let Some(key) = &self.idempotency_key {
            metadata.insert(IDEMPOTENCY_KEY, key.clone());
        }
        if self.is_forced {
            metadata.insert(FORCE, MetadataValue::from_static("1"));
        }
        request
    }
}

impl Client {
    /// Makes the call `call` with `message`, again and again while the failure may pass: after
    /// UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED and lost connections with
    /// growing waits (decision U120) that are never shorter than the hub asks for, after UNAUTHENTICATED once with a new token.
    ///
    /// ```text
    /// let user = client
    ///     .call_with_retry(&CallContext::read(), request, |hub, request| async move {
    ///         hub.users().get(request).await
    ///     })
    ///     .await?;
    /// ```
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub async fn call_with_retry<Q, A, F, Fut>(
        &self,
        context: &CallContext,
        message: Q,
        mut call: F,
    ) -> Result<A, ClientError>
    where
        Q: Clone,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let context = context.keyed(&*self.entropy);
        let mut backoff = Backoff::new();
        let mut had_new_token = false;
        loop {
            let attempt = call(self.channel(), context.request(message.clone())).await;
            let status = match attempt {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            if status.code() == Code::Unauthenticated && !had_new_token {
                had_new_token = true;
                continue;
            }
            let error = self.error(&status);
            if !error.is_retryable() || backoff.attempts() + 1 >= context.attempts_max {
                return Err(error);
            }
            let wait = wait_between(&error, backoff.next_wait(&*self.entropy));
            tracing::debug!(
                code = ?status.code(),
                reason = status.message(),
                wait_millis = wait.as_millis(),
                "a call failed and is repeated"
            );
            tokio::time::sleep(wait).await;
        }
    }
}

/// The wait after `error`: what the hub asks for, and the random `backoff` on top, so that clients
/// that were refused together do not come back together.
fn wait_between(error: &ClientError, backoff: Duration) -> Duration {
    let asked_for = error.retry_after().unwrap_or_default();
    asked_for.min(RETRY_AFTER_MAX).saturating_add(backoff)
}

/// `text` as metadata; a text that is no ASCII becomes one that no hub knows.
fn ascii(text: &str) -> MetadataValue<Ascii> {
    MetadataValue::try_from(text).unwrap_or_else(|_| MetadataValue::from_static("invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, StatusExt as _};

    #[test]
    fn the_hub_may_ask_for_a_longer_wait() {
        const BACKOFF: Duration = Duration::from_millis(300);
        let check = |asked_for: Option<Duration>, expected: Duration| {
            let mut details = ErrorDetails::new();
            if asked_for.is_some() {
                details.set_retry_info(asked_for);
            }
            let status = Status::with_error_details(Code::ResourceExhausted, "", details);
            let error = ClientError::from_status("hub:1", &status);
            assert!(error.is_retryable());
            assert_eq!(wait_between(&error, BACKOFF), expected);
        };
        check(None, BACKOFF);
        check(Some(Duration::from_millis(500)), Duration::from_millis(800));
        check(Some(Duration::from_secs(86_400)), RETRY_AFTER_MAX + BACKOFF);
    }
}
