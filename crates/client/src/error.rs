//! What went wrong with a call, for programs and for people.
//!
//! Invariant: the message says what to do when the caller can do something, and never holds a
//! token or a key.

use std::error::Error as _;
use std::time::Duration;

use rollcall_proto::FieldViolation;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::key::KeyError;
use crate::tls;

/// The reasons of RESOURCE_EXHAUSTED when a limit does not go away by waiting.
const LASTING_LIMITS: [&str; 2] = ["LIMIT_REACHED", "QUOTA_EXCEEDED"];
/// How deep chains of causes are followed.
const CAUSES_MAX: usize = 16;

/// The kinds of failures that callers tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection: name, address, port or network.
    Unreachable,
    /// The certificate of the hub is not trusted or is for another name.
    Certificate,
    /// The hub does not accept the credentials.
    Unauthenticated,
    /// The credentials have no right to do this.
    Denied,
    /// Something named in the request does not exist.
    NotFound,
    /// Something with that name or identifier exists.
    AlreadyExists,
    /// The state forbids the call.
    FailedPrecondition {
        /// The stable cause, such as `SESSION_EXPIRED`; empty when the hub gave none.
        reason: String,
    },
    /// Fields of the request are wrong.
    InvalidArgument {
        /// The fields.
        violations: Vec<FieldViolation>,
    },
    /// A limit is reached.
    ResourceExhausted,
    /// The hub is there but cannot answer now.
    Unavailable,
    /// The client itself is set up wrongly.
    Configuration,
    /// Anything else.
    Other,
}

/// A call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The words of the hub alone; empty when the call never got there.
    pub said: Box<str>,
    /// The code of the hub; `None` when the call never got there.
    pub code: Option<Code>,
    /// The identifier of the call in the log of the hub, when known.
    pub request_id: Option<String>,
    retryable: bool,
    retry_after: Option<Duration>,
}

impl ClientError {
    /// A fault of the setup.
    #[must_use]
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::local(ErrorKind::Configuration, message)
    }

    /// Whether the same call may succeed later (decision U120).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long the hub asks to wait before the same call is made again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn local(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            said: Box::default(),
            code: None,
            request_id: None,
            retryable: false,
            retry_after: None,
        }
    }

    /// The failure to open a connection to the hub at `address`.
    pub(crate) fn from_transport(address: &str, error: &tonic::transport::Error) -> Self {
        Self::connection(address, error)
    }

    /// The failure that a call to the hub at `address` ended with.
    #[must_use]
    pub fn from_status(address: &str, status: &Status) -> Self {
        if let Some(source) = status.source()
            && is_connection_failure(source)
        {
            return Self::connection(address, source);
        }
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .map(|info| info.reason.clone())
            .unwrap_or_default();
        let violations: Vec<FieldViolation> = details
            .bad_request()
            .map(|bad| &bad.field_violations)
            .into_iter()
            .flatten()
            .map(|violation| FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            })
            .collect();
        let message = message(address, status, &violations);
        let retryable = match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => true,
            Code::ResourceExhausted => !LASTING_LIMITS.contains(&reason.as_str()),
            _ => false,
        };
        Self {
            kind: kind(status.code(), reason, violations),
            message,
            said: status.message().into(),
            code: Some(status.code()),
            request_id: details.request_info().map(|info| info.request_id.clone()),
            retryable,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    fn connection(address: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(error) = find_tls_error(error) {
            return Self::local(ErrorKind::Certificate, tls::explain(address, error));
        }
        Self {
            retryable: true,
            ..Self::local(
                ErrorKind::Unreachable,
                format!(
                    "the hub at {address} cannot be reached: {}; check the address and port, and \
                     that the hub runs",
                    innermost(error)
                ),
            )
        }
    }
}

impl From<KeyError> for ClientError {
    fn from(error: KeyError) -> Self {
        Self::configuration(error.to_string())
    }
}

fn kind(code: Code, reason: String, violations: Vec<FieldViolation>) -> ErrorKind {
    match code {
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Denied,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::FailedPrecondition => ErrorKind::FailedPrecondition { reason },
        Code::InvalidArgument => ErrorKind::InvalidArgument { violations },
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

fn message(address: &str, status: &Status, violations: &[FieldViolation]) -> String {
    let mut text = status.message().to_owned();
    if text.is_empty() {
        let fields: Vec<String> = violations.iter().map(ToString::to_string).collect();
        text = if fields.is_empty() {
            status.code().description().to_owned()
        } else {
            fields.join("; ")
        };
    }
    match status.code() {
        Code::Unauthenticated => format!(
            "the hub at {address} does not accept the credentials: {text}; check the key or \
             token, and the clock of this machine"
        ),
        Code::PermissionDenied => {
            format!("{text}; give the service account a role that allows it")
        }
        Code::Unavailable | Code::DeadlineExceeded => {
            format!("the hub at {address} cannot answer now: {text}")
        }
        _ => text,
    }
}

/// Whether `error` says that there was no connection, other than an answer of the hub.
fn is_connection_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<tonic::transport::Error>()
            // A connection that broke while the call was on its way: a hub that was killed.
            || cause.is::<hyper::Error>()
            || cause.is::<std::io::Error>()
            || cause.is::<rustls::Error>()
    })
}

fn find_tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // The source of an io error is the source of what it wraps, not what it wraps.
        cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>())
    })
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source()).take(CAUSES_MAX)
}
