//! What can go wrong in a call, and what the caller is told: the only file that makes statuses.
//!
//! Invariant: each refusal of the domain has one gRPC code and a stable reason; faults of the hub
//! itself are logged once, here, and reach the caller without their inner text; and a status fits
//! into the headers it travels in, however long the texts are that the caller sent. Deliberately
//! absent: the HTTP codes of REST, which follow from the gRPC codes.

use std::collections::HashMap;

use prost::Message as _;
use rollcall_domain::operation::OperationError;
use rollcall_domain::password_writeback::{
    DirectoryReason, WritebackCause, WritebackErrorCode, WritebackFailure,
};
use rollcall_domain::refusal::Refusal;
use rollcall_proto::{FieldViolation, idp, rpc};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::jwt::JwtError;
use crate::limits::{
    DESCRIPTION_BYTES_MAX, FIELD_NAME_BYTES_MAX, MESSAGE_BYTES_MAX, VIOLATIONS_BYTES_MAX,
    VIOLATIONS_SAID_MAX, VIOLATIONS_SHOWN_MAX,
};
use crate::password_hash::HashError;
use crate::rate_limit::TooFast;
use crate::sealing::SealError;
use crate::wire::{WireEnum, render_payload, to_payload};

/// The domain of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "rollcall";

/// The header of HTTP that says when to come again; REST takes it over from the metadata.
const RETRY_AFTER: &str = "retry-after";

/// Stands where a text was cut. Three full stops, as headers would write any other sign in nine.
const ELLIPSIS: &str = "...";

const INTERNAL_MESSAGE: &str =
    "the hub failed: look for the request id in its log, and try again later";
const BUSY_MESSAGE: &str = "the hub is busy: try again in a few seconds";

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule refuses the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Fields break the rules of the contract.
    #[error("{}", summary(.0))]
    Fields(Vec<FieldViolation>),
    /// Nobody proved who calls.
    #[error("{0}")]
    Unauthenticated(String),
    /// The call took longer than its deadline.
    #[error("the call did not end within its deadline")]
    DeadlineExceeded,
    /// The caller calls too often.
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// Too many calls want the same costly thing.
    #[error("{BUSY_MESSAGE}")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(rollcall_store::Error),
    /// No password hash was made.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A sealed value did not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The operation that the call waited for failed.
    #[error("{}", .0.message)]
    Ended(OperationError),
    /// What cannot happen with an undamaged hub.
    #[error("{0}")]
    Internal(String),
}

impl From<rollcall_store::Error> for Error {
    fn from(error: rollcall_store::Error) -> Self {
        match error.as_refusal() {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Store(error),
        }
    }
}

impl From<JwtError> for Error {
    fn from(error: JwtError) -> Self {
        Self::Unauthenticated(error.to_string())
    }
}

impl Error {
    /// The status for the caller of the call `request_id`.
    #[must_use]
    pub fn into_status(self, request_id: &str) -> Status {
        if let Self::Ended(error) = self {
            return ended(error, request_id);
        }
        let (code, reason, message) = self.describe();
        let mut details = ErrorDetails::new();
        match &self {
            Self::Refused(Refusal::Invalid { field, why } | Refusal::OutOfRange { field, why }) => {
                let field = cut(field.clone(), FIELD_NAME_BYTES_MAX);
                let why = cut(why.clone(), DESCRIPTION_BYTES_MAX);
                details.add_bad_request_violation(field, why);
            }
            Self::Refused(Refusal::QuotaExceeded { quota, holder, .. }) => {
                details.add_quota_failure_violation(format!("{holder}: {quota}"), &message);
            }
            Self::Fields(violations) => {
                for (field, description) in shown(violations) {
                    details.add_bad_request_violation(field, description);
                }
            }
            _ => {}
        }
        if code == Code::Internal {
            tracing::error!(request_id, error = %Chain(&self), "a call failed");
        }
        let mut metadata = MetadataMap::new();
        if let Self::TooFast(TooFast { retry_after }) = &self {
            details.set_retry_info(Some(retry_after.to_duration()));
            // HTTP counts whole seconds.
            let seconds = retry_after.as_micros().max(1).saturating_sub(1) / 1_000_000 + 1;
            metadata.insert(RETRY_AFTER, seconds.into());
        }
        details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
        details.set_request_info(request_id, "");
        Status::with_error_details_and_metadata(code, message, details, metadata)
    }

    /// The end of an operation that fails with this error.
    #[must_use]
    pub fn to_operation_error(&self) -> OperationError {
        let (code, reason, message) = self.describe();
        operation_error(code, reason, message)
    }

    /// Code, reason and message; the message is short enough to travel in a header.
    fn describe(&self) -> (Code, &'static str, String) {
        let (code, reason, message) = self.describe_whole();
        (code, reason, cut(message, MESSAGE_BYTES_MAX))
    }

    fn describe_whole(&self) -> (Code, &'static str, String) {
        match self {
            Self::Refused(refusal) => describe_refusal(refusal),
            Self::Fields(_) => (Code::InvalidArgument, "INVALID_FIELD", self.to_string()),
            Self::Unauthenticated(_) => {
                (Code::Unauthenticated, "UNAUTHENTICATED", self.to_string())
            }
            Self::DeadlineExceeded => (
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                self.to_string(),
            ),
            Self::TooFast(_) => (Code::ResourceExhausted, "RATE_LIMITED", self.to_string()),
            Self::Store(rollcall_store::Error::Busy { .. }) => {
                (Code::Unavailable, "BUSY", BUSY_MESSAGE.to_owned())
            }
            Self::Busy | Self::Hash(HashError::Busy) => {
                (Code::Unavailable, "BUSY", BUSY_MESSAGE.to_owned())
            }
            Self::Ended(error) => (error.code.into(), "OPERATION_FAILED", self.to_string()),
            Self::Store(_) | Self::Hash(_) | Self::Seal(_) | Self::Internal(_) => {
                (Code::Internal, "INTERNAL", INTERNAL_MESSAGE.to_owned())
            }
        }
    }
}

/// The status of a call that waited for an operation which failed.
fn ended(error: OperationError, request_id: &str) -> Status {
    let mut request = ErrorDetails::new();
    request.set_request_info(request_id, "");
    let request = Status::with_error_details(Code::Unknown, "", request);
    let read = |bytes: &[u8]| rpc::Status::decode(bytes).unwrap_or_default();
    let mut whole = read(&error.status_bytes);
    whole.details.extend(read(request.details()).details);
    let details = whole.encode_to_vec().into();
    Status::with_details(error.code.into(), error.message, details)
}

/// The end of an operation that waited for a directory (decision U91). Only administrators are told
/// the words of the directory.
#[must_use]
pub fn writeback_failed(
    failure: &WritebackFailure,
    cause: WritebackCause,
    to_administrator: bool,
) -> OperationError {
    let code = writeback_code(failure);
    let message = failure.in_words().to_owned();
    let mut details = ErrorDetails::new();
    details.set_error_info(failure.reason_name(), ERROR_DOMAIN, HashMap::new());
    if code == Code::InvalidArgument {
        let field = match (failure.reason, cause) {
            (Some(DirectoryReason::OldPasswordWrong), _) => "old_password",
            (_, WritebackCause::RequiredChange) => "new_password",
            (_, WritebackCause::OwnChange | WritebackCause::Reset) => "password_spec.password",
        };
        details.add_bad_request_violation(field, &message);
    }
    let told = idp::PasswordWritebackErrorDetails {
        error_code: failure.code.to_wire(),
        error_message: match to_administrator {
            true => cut(failure.raw.clone(), DESCRIPTION_BYTES_MAX),
            false => String::new(),
        },
    };
    let status = Status::with_error_details(code, message, details);
    // What was encoded a line before can be decoded.
    let mut whole = rpc::Status::decode(status.details()).unwrap_or_default();
    whole.details.push(render_payload(to_payload(&told)));
    OperationError {
        code: code.into(),
        message: status.message().to_owned(),
        status_bytes: whole.encode_to_vec(),
    }
}

fn writeback_code(failure: &WritebackFailure) -> Code {
    match (failure.reason, failure.code) {
        (Some(DirectoryReason::NoAgent), _) => Code::Unavailable,
        (Some(DirectoryReason::OldPasswordWrong), _) => Code::InvalidArgument,
        (_, WritebackErrorCode::PermissionDenied) => Code::FailedPrecondition,
        (_, WritebackErrorCode::PasswordPolicyViolation) => Code::InvalidArgument,
        (_, WritebackErrorCode::UnknownError) => Code::Internal,
        (_, WritebackErrorCode::DeadlineExceeded) => Code::DeadlineExceeded,
    }
}

/// The end of an operation that was cancelled because of `why`.
#[must_use]
pub fn cancelled(why: &str) -> OperationError {
    operation_error(Code::Cancelled, "OPERATION_CANCELLED", why.to_owned())
}

fn operation_error(code: Code, reason: &str, message: String) -> OperationError {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
    let status = Status::with_error_details(code, message, details);
    OperationError {
        code: status.code().into(),
        message: status.message().to_owned(),
        status_bytes: status.details().to_vec(),
    }
}

fn describe_refusal(refusal: &Refusal) -> (Code, &'static str, String) {
    let message = refusal.to_string();
    match refusal {
        Refusal::Invalid { .. } => (Code::InvalidArgument, "INVALID_FIELD", message),
        Refusal::OutOfRange { .. } => (Code::OutOfRange, "OUT_OF_RANGE", message),
        Refusal::NotFound { .. } => (Code::NotFound, "NOT_FOUND", message),
        Refusal::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS", message),
        Refusal::Precondition { reason, .. } => (Code::FailedPrecondition, reason, message),
        Refusal::Denied { .. } => (Code::PermissionDenied, "PERMISSION_DENIED", message),
        Refusal::Aborted { .. } => (Code::Aborted, "CONFLICT", message),
        Refusal::QuotaExceeded { .. } => (Code::ResourceExhausted, "QUOTA_EXCEEDED", message),
    }
}

fn summary(violations: &[FieldViolation]) -> String {
    let shown = violations.iter().take(VIOLATIONS_SAID_MAX);
    let texts: Vec<String> = shown.map(ToString::to_string).collect();
    texts.join("; ")
}

/// Fields and descriptions of the violations that the details of a refusal have room for.
fn shown(violations: &[FieldViolation]) -> Vec<(String, String)> {
    let mut bytes = 0;
    violations
        .iter()
        .take(VIOLATIONS_SHOWN_MAX)
        .map(|violation| {
            let field = cut(violation.field.clone(), FIELD_NAME_BYTES_MAX);
            let description = cut(violation.description.clone(), DESCRIPTION_BYTES_MAX);
            (field, description)
        })
        .take_while(|(field, description)| {
            bytes += field.len() + description.len();
            bytes <= VIOLATIONS_BYTES_MAX
        })
        .collect()
}

/// At most `bytes_max` bytes of `text`; an ellipsis takes the place of what is left out.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(ELLIPSIS.len())));
        text.push_str(ELLIPSIS);
    }
    text
}

/// An error with all its sources in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::timestamp::Span;

    #[track_caller]
    fn check(error: impl Into<Error>, code: Code, reason: &str) -> Status {
        let status = error.into().into_status("request-1");
        assert_eq!(status.code(), code);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, reason);
        assert_eq!(details.error_info().unwrap().domain, "rollcall");
        assert_eq!(details.request_info().unwrap().request_id, "request-1");
        status
    }

    #[test]
    fn each_refusal_has_its_code_and_reason() {
        check(Refusal::not_found("user", 1), Code::NotFound, "NOT_FOUND");
        check(
            Refusal::already_exists("user", 1),
            Code::AlreadyExists,
            "ALREADY_EXISTS",
        );
        check(
            Refusal::precondition("WHY", "x"),
            Code::FailedPrecondition,
            "WHY",
        );
        check(
            Refusal::denied("x"),
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        );
        check(Refusal::aborted("x"), Code::Aborted, "CONFLICT");
        check(HashError::Busy, Code::Unavailable, "BUSY");
        check(JwtError::Expired, Code::Unauthenticated, "UNAUTHENTICATED");
    }

    #[test]
    fn who_calls_too_often_learns_how_long_to_wait() {
        let check = |micros: i64, seconds: &str| {
            let retry_after = Span::micros(micros);
            let error = TooFast { retry_after };
            let status = check(error, Code::ResourceExhausted, "RATE_LIMITED");
            let wait = status.get_details_retry_info().unwrap().retry_delay;
            assert_eq!(wait, Some(retry_after.to_duration()));
            assert_eq!(status.metadata().get(RETRY_AFTER).unwrap(), seconds);
        };
        check(1, "1");
        check(1_000_000, "1");
        check(1_000_001, "2");
    }

    #[test]
    fn a_bad_request_names_the_field() {
        let refusal = Refusal::invalid("filter.domain", "must be a DNS name");
        let status = check(refusal, Code::InvalidArgument, "INVALID_FIELD");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "filter.domain");
        assert_eq!(violations[0].description, "must be a DNS name");
    }

    fn violations(count: usize, field: &str, description: &str) -> Error {
        let violation = |number: usize| FieldViolation {
            field: format!("{field}{number}"),
            description: description.to_owned(),
        };
        Error::Fields((0..count).map(violation).collect())
    }

    #[test]
    fn of_many_violations_some_are_shown_and_fewer_said() {
        for (count, shown, said) in [
            (1, 1, 1),
            (
                VIOLATIONS_SAID_MAX,
                VIOLATIONS_SAID_MAX,
                VIOLATIONS_SAID_MAX,
            ),
            (
                VIOLATIONS_SHOWN_MAX,
                VIOLATIONS_SHOWN_MAX,
                VIOLATIONS_SAID_MAX,
            ),
            (
                VIOLATIONS_SHOWN_MAX + 1,
                VIOLATIONS_SHOWN_MAX,
                VIOLATIONS_SAID_MAX,
            ),
        ] {
            let error = violations(count, "field_", "must be set");
            let status = check(error, Code::InvalidArgument, "INVALID_FIELD");
            let details = status.get_details_bad_request().unwrap().field_violations;
            let fields: Vec<_> = details.iter().map(|found| found.field.clone()).collect();
            let expected: Vec<_> = (0..shown).map(|number| format!("field_{number}")).collect();
            assert_eq!(fields, expected, "{count} violations");
            assert_eq!(status.message().matches("must be set").count(), said);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        // Two bytes a character, behind one of one byte: the cuts fall inside of characters.
        let long = format!("x{}", "я".repeat(50_000));
        let check_size = |error: Error, code: Code, reason: &str| {
            let status = check(error, code, reason);
            assert!(status.message().len() <= MESSAGE_BYTES_MAX, "{status:?}");
            assert!(status.message().ends_with(ELLIPSIS), "{status:?}");
            let percent = status.message().chars().map(|sign| match sign.len_utf8() {
                1 => 1,
                bytes => bytes * 3,
            });
            let base64 = status.details().len().div_ceil(3) * 4;
            let bytes = percent.sum::<usize>() + base64;
            assert!(bytes < 7 * 1024 + 512, "{bytes} bytes of headers");
            status
        };
        check_size(
            Refusal::not_found("operation", &long).into(),
            Code::NotFound,
            "NOT_FOUND",
        );
        for error in [
            Refusal::invalid(&long, long.clone()).into(),
            violations(1, &long, &long),
            violations(1_000, &long, &long),
        ] {
            let status = check_size(error, Code::InvalidArgument, "INVALID_FIELD");
            let found = status.get_details_bad_request().unwrap().field_violations;
            assert!(!found.is_empty());
            for violation in found {
                assert!(violation.field.len() <= FIELD_NAME_BYTES_MAX);
                assert!(violation.description.len() <= DESCRIPTION_BYTES_MAX);
                assert!(violation.description.ends_with(ELLIPSIS));
            }
        }
        let error: Error = Refusal::precondition("WHY", long).into();
        assert!(error.to_operation_error().message.len() <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_fits_is_not_cut() {
        assert_eq!(cut("abcdef".into(), 6), "abcdef");
        assert_eq!(cut("abcdefg".into(), 6), "abc...");
        assert_eq!(cut("яяяя".into(), 7), "яя...");
        assert_eq!(cut("яяяя".into(), 6), "я...");
    }

    #[test]
    fn a_used_up_quota_is_named_with_its_holder() {
        let refusal = Refusal::QuotaExceeded {
            quota: "members_per_group",
            holder: "group aje1".into(),
            limit: 1,
        };
        let status = check(refusal, Code::ResourceExhausted, "QUOTA_EXCEEDED");
        let violations = status.get_details_quota_failure().unwrap().violations;
        assert_eq!(violations[0].subject, "group aje1: members_per_group");
        assert!(violations[0].description.contains("at most 1"));
    }

    #[test]
    fn inner_faults_are_not_shown() {
        let status = check(
            Error::Internal("row 7 of x".into()),
            Code::Internal,
            "INTERNAL",
        );
        assert!(!status.message().contains("row 7"));
    }
}
