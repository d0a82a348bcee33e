//! The token that calls carry, fetched with the key and renewed in time.
//!
//! Invariant: at most one exchange is under way; a token is never handed out past its end; as long
//! as the old token lives, a failed renewal disturbs nobody.

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;
use rollcall_kit::clock::Clock;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_proto::iam::CreateIamTokenRequest;
use rollcall_proto::iam::create_iam_token_request::Identity;
use rollcall_proto::iam::iam_token_service_client::IamTokenServiceClient;
use tokio::sync::Mutex;
use tonic::Status;
use tonic::transport::Channel;

use crate::client::Credentials;
use crate::key::ServiceAccountKey;

/// A token is renewed at this age even when it lives longer.
const RENEWAL_AGE: Span = Span::hours(1);
/// A token is renewed when it has less than this left.
const RENEWAL_MARGIN: Span = Span::minutes(5);
/// A token with less than this left is not used any more.
const USE_MARGIN: Span = Span::seconds(10);
/// After a failed renewal the old token is used for this long before the next attempt.
const RENEWAL_PAUSE: Span = Span::seconds(30);
/// How long an exchange may take, in seconds.
const EXCHANGE_SECONDS_MAX: u64 = 20;

/// What stands before the token in the header.
pub(crate) const BEARER: &str = "Bearer ";

/// Where the tokens of a client come from.
pub(crate) struct TokenSource {
    credentials: Credentials,
    channel: Channel,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Token>>,
    exchange: Mutex<()>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

impl TokenSource {
    pub(crate) fn new(credentials: Credentials, channel: Channel, clock: Arc<dyn Clock>) -> Self {
        Self {
            credentials,
            channel,
            clock,
            current: RwLock::new(None),
            exchange: Mutex::new(()),
        }
    }

    /// The value of the `authorization` header; `None` for a client without credentials.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Status> {
        match &self.credentials {
            Credentials::None => Ok(None),
            Credentials::IamToken(token) => bearer(token).map(Some),
            Credentials::Key(key) => self.exchanged(key).await.map(Some),
        }
    }

    /// Forgets the token that the hub refused, unless it was renewed meanwhile.
    pub(crate) fn forget(&self, refused: &HeaderValue) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|token| token.header == *refused)
        {
            *current = None;
        }
    }

    async fn exchanged(&self, key: &ServiceAccountKey) -> Result<HeaderValue, Status> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let _only_one = self.exchange.lock().await;
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        match self.fetch(key).await {
            Ok(token) => {
                let header = token.header.clone();
                self.store(token);
                Ok(header)
            }
            Err(status) => self.use_old_token(status),
        }
    }

    fn fresh(&self) -> Option<HeaderValue> {
        let now = self.clock.now();
        self.usable()
            .filter(|token| now < token.renew_at)
            .map(|token| token.header)
    }

    fn usable(&self) -> Option<Token> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        current
            .as_ref()
            .filter(|token| now.plus(USE_MARGIN) < token.expires_at)
            .cloned()
    }

    fn store(&self, token: Token) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(token);
    }

    fn use_old_token(&self, status: Status) -> Result<HeaderValue, Status> {
        let Some(old) = self.usable() else {
            return Err(status);
        };
        tracing::warn!(
            code = ?status.code(),
            reason = status.message(),
            until = %old.expires_at,
            "the token could not be renewed; the present one is used until its end"
        );
        let header = old.header.clone();
        self.store(Token {
            renew_at: self.clock.now().plus(RENEWAL_PAUSE),
            ..old
        });
        Ok(header)
    }

    async fn fetch(&self, key: &ServiceAccountKey) -> Result<Token, Status> {
        let now = self.clock.now();
        let jwt = key
            .sign(now)
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        let mut request = tonic::Request::new(CreateIamTokenRequest {
            identity: Some(Identity::Jwt(jwt.expose().to_owned())),
        });
        request.set_timeout(std::time::Duration::from_secs(EXCHANGE_SECONDS_MAX));
        let answer = IamTokenServiceClient::new(self.channel.clone())
            .create(request)
            .await?
            .into_inner();
        let expires_at = answer
            .expires_at
            .map(|end| Timestamp::from_seconds_and_nanos(end.seconds, end.nanos))
            .ok_or_else(|| Status::internal("the hub gave a token without an end"))?;
        Ok(Token {
            header: bearer(&SecretString::new(answer.iam_token))?,
            renew_at: renewal(now, expires_at),
            expires_at,
        })
    }
}

/// When a token fetched at `now` is renewed: early enough, but a short-lived one not all the time.
fn renewal(now: Timestamp, expires_at: Timestamp) -> Timestamp {
    let half_life = Span::micros(expires_at.since(now).as_micros() / 2);
    let in_time = expires_at.minus(RENEWAL_MARGIN).max(now.plus(half_life));
    in_time.min(now.plus(RENEWAL_AGE))
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Status> {
    let mut header = HeaderValue::from_str(&format!("{BEARER}{}", token.expose()))
        .map_err(|_| Status::unauthenticated("the token has characters that no token has"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_hourly_or_before_their_end() {
        let now = Timestamp::from_seconds(1_000_000);
        let after = |span: Span| renewal(now, now.plus(span)).since(now);
        assert_eq!(after(Span::hours(12)), Span::hours(1));
        assert_eq!(after(Span::minutes(30)), Span::minutes(25));
        assert_eq!(after(Span::minutes(2)), Span::minutes(1));
    }
}
