//! gRPC codes as HTTP statuses, and errors as google.rpc.Status in JSON.

use http::StatusCode;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value as Json, json};
use tonic::Code;

use super::refusal::Refusal;

const TYPE_PREFIX: &str = "type.googleapis.com/";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const REQUEST_INFO: &str = "type.googleapis.com/google.rpc.RequestInfo";

/// An error on its way to the caller.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RestError {
    pub http_status: StatusCode,
    pub code: Code,
    pub message: String,
    /// google.protobuf.Any in JSON: objects with `@type`.
    pub details: Vec<Json>,
    /// Methods for the Allow header.
    pub allow: Option<String>,
}

impl RestError {
    /// An error of the call itself.
    pub fn from_code(code: Code, message: impl Into<String>) -> Self {
        Self {
            http_status: http_status(code),
            code,
            message: message.into(),
            details: Vec::new(),
            allow: None,
        }
    }

    /// The error a gRPC answer carries. `status_bytes` is `grpc-status-details-bin`, decoded.
    pub fn from_grpc(
        code: Code,
        message: String,
        status_bytes: Option<&[u8]>,
        pool: &DescriptorPool,
    ) -> Self {
        let mut error = Self::from_code(code, message);
        if let Some(Ok(status)) = status_bytes.map(tonic_types::pb::Status::decode) {
            // A detail whose type we do not know has no JSON form: the rest is still useful.
            error.details = status
                .details
                .iter()
                .filter_map(|detail| detail_json(detail, pool))
                .collect();
        }
        error
    }

    /// The body: google.rpc.Status, with the request id among the details.
    pub fn body(&self, request_id: &str) -> Json {
        let mut details = self.details.clone();
        let names_request =
            |detail: &Json| detail.get("@type").is_some_and(|kind| kind == REQUEST_INFO);
        if !details.iter().any(names_request) {
            details.push(json!({"@type": REQUEST_INFO, "requestId": request_id}));
        }
        json!({"code": self.code as i32, "message": self.message, "details": details})
    }
}

impl From<Refusal> for RestError {
    fn from(refusal: Refusal) -> Self {
        let (http_status, code) = match &refusal {
            Refusal::UnknownPath => (StatusCode::NOT_FOUND, Code::NotFound),
            Refusal::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            Refusal::AddressTooLong { .. } => (StatusCode::URI_TOO_LONG, Code::InvalidArgument),
            Refusal::BodyTooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument),
            Refusal::BodyTooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Refusal::WrongContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument)
            }
            Refusal::BodyBroken | Refusal::Invalid { .. } => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
        };
        let message = refusal.to_string();
        let (details, allow) = match refusal {
            Refusal::Invalid { field, why } => {
                let violation = json!({"field": field, "description": why});
                (
                    vec![json!({"@type": BAD_REQUEST, "fieldViolations": [violation]})],
                    None,
                )
            }
            Refusal::WrongMethod(methods) => (Vec::new(), Some(methods)),
            _ => (Vec::new(), None),
        };
        Self {
            http_status,
            code,
            message,
            details,
            allow,
        }
    }
}

fn detail_json(detail: &prost_types::Any, pool: &DescriptorPool) -> Option<Json> {
    let descriptor = pool.get_message_by_name("google.protobuf.Any")?;
    let mut any = DynamicMessage::new(descriptor);
    let mut detail = detail.clone();
    if !detail.type_url.contains('/') {
        detail.type_url.insert_str(0, TYPE_PREFIX);
    }
    any.transcode_from(&detail).ok()?;
    serde_json::to_value(&any).ok()
}

/// The HTTP status of a gRPC code, as the interface documents it.
pub(super) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // 499 is no registered status, but the one the interface documents for a cancelled call.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_documented_status() {
        let table = [
            (0, 200),
            (1, 499),
            (2, 500),
            (3, 400),
            (4, 504),
            (5, 404),
            (6, 409),
            (7, 403),
            (8, 429),
            (9, 400),
            (10, 409),
            (11, 400),
            (12, 501),
            (13, 500),
            (14, 503),
            (15, 500),
            (16, 401),
        ];
        for (code, status) in table {
            assert_eq!(
                http_status(Code::from_i32(code)).as_u16(),
                status,
                "code {code}"
            );
        }
    }
}
