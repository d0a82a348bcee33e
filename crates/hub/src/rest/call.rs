//! One unary gRPC call, made in this process without a socket.
//!
//! Invariant: whatever the service answers becomes either a message or an error; an answer that is
//! not gRPC is an internal error, never passed through. The request message is made only when the
//! service asks for it, so that a caller it does not admit costs neither memory nor time.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::Code;
use tower::{Service, ServiceExt as _};

use super::headers::carry_outward;
use super::path::{Plus, percent_decode};
use super::refusal::Refusal;
use super::rules::Rule;
use super::scalar::parse_metadata_base64;
use super::status::RestError;

/// Bytes an answer may have: more than any page of the interface needs.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Compression flag and length in front of every message (gRPC over HTTP/2, Length-Prefixed-Message).
const FRAME_HEADER_BYTES: usize = 5;

/// The errors of foreign bodies and services.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a call came to, with the headers to pass on.
pub(super) struct Answer {
    pub outcome: Result<DynamicMessage, RestError>,
    pub headers: HeaderMap,
}

/// What goes along with the message.
pub(super) struct Metadata {
    pub headers: HeaderMap,
    pub extensions: http::Extensions,
}

/// Calls the rpc of `rule`. The service polls `frame` when it wants the message, which is after it
/// has admitted the caller.
pub(super) async fn call<S, B>(
    service: S,
    rule: &Rule,
    frame: impl Future<Output = Result<Bytes, Refusal>> + Send + 'static,
    metadata: Metadata,
    pool: &DescriptorPool,
) -> Answer
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut headers = HeaderMap::new();
    let refusal = Arc::new(OnceLock::new());
    let request = request(rule, frame, Arc::clone(&refusal), metadata);
    let outcome = match exchange(service, rule, request).await {
        Err(error) => Err(error),
        Ok(reply) => {
            carry_outward(&reply.headers, &mut headers);
            carry_outward(&reply.trailers, &mut headers);
            reply.into_message(rule, pool)
        }
    };
    // To the service a refused message is a broken stream; we know better what is wrong.
    let outcome = match refusal.get() {
        Some(refusal) => Err(refusal.clone().into()),
        None => outcome,
    };
    Answer { outcome, headers }
}

struct Reply {
    headers: HeaderMap,
    trailers: HeaderMap,
    frames: Bytes,
}

async fn exchange<S, B>(
    service: S,
    rule: &Rule,
    request: http::Request<tonic::body::Body>,
) -> Result<Reply, RestError>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let response = service
        .oneshot(request)
        .await
        .map_err(|error| internal("the service could not be called", error.into()))?;
    let (head, body) = response.into_parts();
    let is_grpc = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !head.status.is_success() || !is_grpc {
        tracing::error!(rpc = rule.rpc.full_name(), status = %head.status, "the answer is not gRPC");
        return Err(RestError::from_code(Code::Internal, "internal error"));
    }
    let collected = Limited::new(body, ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| internal("the answer could not be read", error))?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Reply {
        headers: head.headers,
        trailers,
        frames: collected.to_bytes(),
    })
}

/// The one message of a call as the bytes on the wire.
pub(super) fn frame(message: &DynamicMessage) -> Result<Bytes, Refusal> {
    let length = message.encoded_len();
    let too_long = Refusal::BodyTooLong {
        bytes_max: u32::MAX as usize,
    };
    let length_prefix = u32::try_from(length).map_err(|_| too_long.clone())?;
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(length_prefix);
    message.encode(&mut frame).map_err(|_| too_long)?;
    Ok(frame.freeze())
}

fn request(
    rule: &Rule,
    frame: impl Future<Output = Result<Bytes, Refusal>> + Send + 'static,
    refusal: Arc<OnceLock<Refusal>>,
    metadata: Metadata,
) -> http::Request<tonic::body::Body> {
    let frames = futures::stream::once(async move {
        frame.await.map(Frame::data).map_err(|error| {
            // The service and its log see an honest code; the caller gets the whole refusal.
            let status = RestError::from(error.clone());
            // Set once only: there is one frame.
            let _ = refusal.set(error);
            tonic::Status::new(status.code, status.message)
        })
    });
    let mut request = http::Request::new(tonic::body::Body::new(StreamBody::new(frames)));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = http::Uri::from(rule.grpc_path.clone());
    *request.headers_mut() = metadata.headers;
    *request.extensions_mut() = metadata.extensions;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    request
}

impl Reply {
    fn into_message(self, rule: &Rule, pool: &DescriptorPool) -> Result<DynamicMessage, RestError> {
        // An error without a message comes in the headers alone ("trailers-only").
        let status = if self.trailers.contains_key("grpc-status") {
            &self.trailers
        } else {
            &self.headers
        };
        let code = status
            .get("grpc-status")
            .and_then(|code| code.to_str().ok())
            .and_then(|code| code.parse().ok())
            .map_or(Code::Unknown, Code::from_i32);
        if code != Code::Ok {
            let message = status
                .get("grpc-message")
                .map(decode_message)
                .unwrap_or_default();
            let details = status
                .get("grpc-status-details-bin")
                .and_then(|value| parse_metadata_base64(value.as_bytes()));
            return Err(RestError::from_grpc(
                code,
                message,
                details.as_deref(),
                pool,
            ));
        }
        let message = only_message(&self.frames)
            .ok_or_else(|| internal("the answer is not one message", "bad frame".into()))?;
        DynamicMessage::decode(rule.rpc.output(), message)
            .map_err(|error| internal("the answer could not be decoded", error.into()))
    }
}

/// The one uncompressed message in `frames`; we offer no compression.
fn only_message(frames: &[u8]) -> Option<&[u8]> {
    let (head, message) = frames.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let [0, length @ ..] = *head else { return None };
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (message.len() == length).then_some(message)
}

fn decode_message(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    percent_decode(&text, Plus::Literal).unwrap_or_else(|_| text.into_owned())
}

/// Says little to the caller and all to the log.
fn internal(what: &'static str, error: BoxError) -> RestError {
    tracing::error!(error = %error, "{what}");
    RestError::from_code(Code::Internal, "internal error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_plain_frame_is_a_message() {
        assert_eq!(only_message(&[0, 0, 0, 0, 2, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(only_message(&[0, 0, 0, 0, 0]), Some(&[][..]));
        assert_eq!(only_message(&[1, 0, 0, 0, 2, 7, 8]), None);
        assert_eq!(only_message(&[0, 0, 0, 0, 3, 7, 8]), None);
        assert_eq!(only_message(&[0, 0, 0, 0, 1, 7, 8]), None);
        assert_eq!(only_message(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = only_message(&bytes);
        }
    }
}
