//! The body that came with a request: read by the call, or else discarded.
//!
//! Invariant: when the answer goes out, the body was taken from the connection or the connection
//! ends with the answer. Otherwise an HTTP/1.1 client would send its next request on a connection
//! that is about to be closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::call::BoxError;
use super::refusal::Refusal;

/// Seconds a body may take to arrive.
pub const BODY_SECONDS_MAX: u64 = 30;
/// Bytes of a body that are read for nothing; with more the connection ends.
const DISCARDED_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for them.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// A body on its way. Clones are the same body.
pub(super) struct SentBody<R>(Arc<Mutex<State<R>>>);

enum State<R> {
    Unread(R),
    /// Somebody began to read it and did not come to its end.
    Broken,
    Read,
}

/// What is still on the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remainder {
    Nothing,
    Something,
}

impl<R> Clone for SentBody<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> SentBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    pub fn new(body: R) -> Self {
        let state = if body.is_end_stream() {
            State::Read
        } else {
            State::Unread(body)
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn replace(&self, state: State<R>) -> State<R> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, state)
    }

    /// Reads the whole body, which must be JSON by its headers and have at most `bytes_max` bytes.
    pub async fn read(&self, headers: &HeaderMap, bytes_max: usize) -> Result<Bytes, Refusal> {
        let body = match self.replace(State::Broken) {
            State::Unread(body) => body,
            State::Broken => return Err(Refusal::BodyBroken),
            State::Read => {
                self.replace(State::Read);
                return Ok(Bytes::new());
            }
        };
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(Refusal::BodyTooLong { bytes_max });
        }
        let reading = Limited::new(body, bytes_max).collect();
        let seconds_max = BODY_SECONDS_MAX;
        let collected = tokio::time::timeout(Duration::from_secs(seconds_max), reading)
            .await
            .map_err(|_| Refusal::BodyTooSlow { seconds_max })?
            .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Refusal::BodyTooLong { bytes_max },
                None => Refusal::BodyBroken,
            })?;
        self.replace(State::Read);
        let bytes = collected.to_bytes();
        // Checked only now: a request without a body needs no type.
        if !bytes.is_empty() && !is_json(headers) {
            return Err(Refusal::WrongContentType);
        }
        Ok(bytes)
    }

    /// Takes what nobody read from the connection, if it is little and comes soon.
    pub async fn discard(&self, headers: &HeaderMap) -> Remainder {
        let body = match self.replace(State::Broken) {
            State::Read => return Remainder::Nothing,
            State::Broken => return Remainder::Something,
            State::Unread(body) => body,
        };
        // Such a client sends its body only after we ask for it.
        let is_held_back = headers.contains_key(header::EXPECT);
        if is_held_back || body.size_hint().lower() > DISCARDED_BYTES_MAX as u64 {
            return Remainder::Something;
        }
        let reading = Limited::new(body, DISCARDED_BYTES_MAX).collect();
        match tokio::time::timeout(DISCARD_TIMEOUT, reading).await {
            Ok(Ok(_)) => Remainder::Nothing,
            Ok(Err(_)) | Err(_) => Remainder::Something,
        }
    }
}

/// A missing type counts as JSON: nothing else is ever meant.
fn is_json(headers: &HeaderMap) -> bool {
    let is_plain = headers
        .get(header::CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let is_json = headers.get(header::CONTENT_TYPE).is_none_or(|value| {
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    is_plain && is_json
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    fn full(bytes: usize) -> SentBody<Full<Bytes>> {
        SentBody::new(Full::new(Bytes::from(vec![b' '; bytes])))
    }

    #[tokio::test]
    async fn what_is_read_or_little_leaves_the_connection_usable() {
        let headers = HeaderMap::new();
        let body = full(10);
        assert_eq!(body.clone().read(&headers, 10).await.unwrap().len(), 10);
        assert_eq!(body.discard(&headers).await, Remainder::Nothing);
        assert_eq!(full(0).discard(&headers).await, Remainder::Nothing);
        assert_eq!(full(10).discard(&headers).await, Remainder::Nothing);
    }

    #[tokio::test]
    async fn what_is_too_long_or_held_back_ends_the_connection() {
        let mut headers = HeaderMap::new();
        let body = full(11);
        let refusal = body.read(&headers, 10).await.unwrap_err();
        assert_eq!(refusal, Refusal::BodyTooLong { bytes_max: 10 });
        assert_eq!(body.discard(&headers).await, Remainder::Something);
        let long = full(DISCARDED_BYTES_MAX + 1);
        assert_eq!(long.discard(&headers).await, Remainder::Something);
        headers.insert(header::EXPECT, "100-continue".parse().unwrap());
        assert_eq!(full(10).discard(&headers).await, Remainder::Something);
    }

    #[tokio::test]
    async fn what_never_comes_is_not_waited_for() {
        let silent = stream::pending::<Result<Frame<Bytes>, BoxError>>();
        let body = SentBody::new(StreamBody::new(silent));
        assert_eq!(body.discard(&HeaderMap::new()).await, Remainder::Something);
    }
}
