//! An event as one line of JSON, for collectors.
//!
//! Invariant: the names are those of the envelope, in snake case; the documents keep theirs. No
//! line end stands inside a line. Deliberately absent: where lines go.

use rollcall_domain::audit::{AuditCaller, AuditError, AuditEvent};
use rollcall_domain::named::Named as _;
use rollcall_kit::timestamp::Timestamp;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::document;
use crate::error::Error;

const TYPE: &str = "type.googleapis.com/google.rpc";

/// The line of an event, with its end.
///
/// # Errors
/// `Internal` when a stored document is damaged.
pub(super) fn write(event: &AuditEvent) -> Result<String, Error> {
    let path: Vec<_> = event
        .path
        .iter()
        .map(|resource| {
            json!({
                "resource_type": resource.kind.name(),
                "resource_id": resource.id,
                "resource_name": resource.name,
            })
        })
        .collect();
    let mut line = json!({
        "event_id": event.id.as_str(),
        "event_source": event.source,
        "event_type": event.event_type,
        "event_time": write_time(event.time),
        "authentication": write_authentication(event),
        "authorization": {"authorized": event.authorized},
        "resource_metadata": {"path": path},
        "request_metadata": {
            "remote_address": event.origin.remote_address,
            "remote_port": event.origin.remote_port,
            "user_agent": event.origin.user_agent,
            "request_id": event.origin.request_id,
        },
        "event_status": event.status.name(),
        "details": document::parse(&event.details)?,
        "request_parameters": document::parse(&event.request)?,
        "response": document::parse(&event.response)?,
    });
    if let (Some(error), Some(members)) = (&event.error, line.as_object_mut()) {
        members.insert("error".to_owned(), write_error(error));
    }
    Ok(format!("{line}\n"))
}

fn write_authentication(event: &AuditEvent) -> Value {
    let Some(caller) = &event.caller else {
        return json!({"authenticated": false});
    };
    let mut authentication = json!({
        "authenticated": true,
        "subject_type": caller.subject_type(),
        "subject_id": caller.subject.id.as_str(),
        "subject_name": caller.name,
    });
    if let (Some(token), Some(members)) = (&event.token, authentication.as_object_mut()) {
        let mut info = json!({
            "masked_iam_token": token.masked,
            "iam_token_id": token.id.as_str(),
        });
        if let (Some(impersonator), Some(members)) = (&token.impersonator, info.as_object_mut()) {
            members.extend(write_impersonator(impersonator));
        }
        members.insert("token_info".to_owned(), info);
    }
    authentication
}

fn write_impersonator(impersonator: &AuditCaller) -> [(String, Value); 3] {
    [
        (
            "impersonator_id".to_owned(),
            impersonator.subject.id.as_str().into(),
        ),
        (
            "impersonator_type".to_owned(),
            impersonator.subject_type().into(),
        ),
        (
            "impersonator_name".to_owned(),
            impersonator.name.as_str().into(),
        ),
    ]
}

fn write_error(error: &AuditError) -> Value {
    let bytes = error.status_bytes.clone();
    let status = Status::with_details(Code::from_i32(error.code), &error.message, bytes.into());
    let given = status.get_error_details();
    let mut details = Vec::new();
    if let Some(info) = given.error_info() {
        details.push(json!({
            "@type": format!("{TYPE}.ErrorInfo"),
            "reason": info.reason,
            "domain": info.domain,
        }));
    }
    if let Some(request) = given.bad_request() {
        let violations: Vec<_> = request
            .field_violations
            .iter()
            .map(
                |violation| json!({"field": violation.field, "description": violation.description}),
            )
            .collect();
        details.push(json!({
            "@type": format!("{TYPE}.BadRequest"),
            "field_violations": violations,
        }));
    }
    json!({"code": error.code, "message": error.message, "details": details})
}

/// RFC 3339 in UTC. Moments outside its years are none that a hub records.
fn write_time(moment: Timestamp) -> String {
    let nanos = i128::from(moment.as_micros()) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
