//! The audit trail: what was done or tried, by whom.
//!
//! Invariant: a change and its event are committed together or not at all; a refused attempt
//! leaves its event in a transaction of its own. Refused attempts can make the hub write a limited
//! number of events only. Whoever goes away before the answer prevents no event. Deliberately absent:
//! reading the trail, which is `grpc::audit`.

mod attempt;
mod caller;
mod common_password;
mod details;
pub mod document;
pub mod event_type;
pub mod export;
mod line;
mod refusal;
mod refusal_budget;
mod refused_request;
mod sign_in;
mod target;
mod trail;

use prost::{Message, Name};
use rollcall_domain::audit::{
    AuditError, AuditEvent, AuditOrigin, AuditResource, AuditTarget, EventStatus,
};
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::AuditEventId;
use rollcall_domain::operation::{Operation, OperationError, Outcome};
use rollcall_kit::id::new_id;
use rollcall_proto::iam::CreateIamTokenResponse;
use rollcall_proto::rpc;
use rollcall_store::Tx;
use tonic::Code;

use crate::call::Call;
use crate::context::Standing;
use crate::error::Error;
use crate::hub::Hub;
use crate::wire::{render_timestamp, to_payload};
use caller::{find_caller, find_creator, find_origin, find_token};
use document::Document;
use event_type::{EventType, find_event_type};

pub use attempt::{Attempt, find_path};
pub use refusal::{record_refusal, record_unseen};
pub use sign_in::{admit_failed_sign_in, record_failure};
pub use trail::{AuditMark, AuditTrail};

/// How the event of a change ends, given how its operation stands.
#[must_use]
pub fn judge(standing: &Standing) -> EventStatus {
    match standing {
        Standing::Finished(_) | Standing::Ended(_) => EventStatus::Done,
        Standing::Started(_) => EventStatus::Started,
        Standing::Earlier(operation) => match operation.outcome {
            Outcome::Running => EventStatus::Running,
            Outcome::Response(_) => EventStatus::Done,
            Outcome::Error(ref error) => judge_error(error),
        },
    }
}

fn judge_error(error: &OperationError) -> EventStatus {
    if error.code == Code::Cancelled as i32 {
        EventStatus::Cancelled
    } else {
        EventStatus::Error
    }
}

/// Records a change, in its transaction.
///
/// # Errors
/// When the event cannot be written; then the change must not be either.
pub async fn record_change(
    hub: &Hub,
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
    mut path: Vec<AuditResource>,
    operation: &Operation,
    status: EventStatus,
) -> Result<(), Error> {
    let (response, error) = match &operation.outcome {
        Outcome::Running => (Document::new(), None),
        Outcome::Response(payload) => (document::of_payload(payload)?, None),
        // A call that cancels an operation succeeds with that.
        Outcome::Error(_) if status == EventStatus::Done => (Document::new(), None),
        Outcome::Error(error) => (Document::new(), Some(render_error(error))),
    };
    target::extend(&mut path, &operation.resource, &response);
    let metadata = document::of_payload(&operation.metadata)?;
    let mut details = details::of_change(&operation.outcome, metadata, &path, &response);
    details::add_group_size(tx, &mut details, attempt.event_type, &path).await?;
    details::add_common_password(&mut details, attempt.common_password);
    let tells_end = matches!(operation.outcome, Outcome::Response(_));
    if status != EventStatus::Done || !tells_end {
        details::add_operation(&mut details, operation);
    }
    let event = AuditEvent {
        status,
        error,
        path,
        details: document::to_text(details),
        request: attempt.request.clone(),
        response: document::to_text(response),
        ..begin_event(hub, tx, Some(call), attempt.event_type).await?
    };
    insert(tx, &event).await
}

/// Records a change that leaves no operation, in its transaction. `details` come on top of those
/// that follow from the place: ids of what was made.
///
/// # Errors
/// As [`record_change`].
pub async fn record_direct<R: Message + Name>(
    hub: &Hub,
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
    response: &R,
    more: Document,
) -> Result<(), Error> {
    let path = find_path(tx, call, attempt).await?;
    let mut details = details::of_path(&path);
    details.extend(more);
    let response = document::of_payload(&to_payload(response))?;
    let event = AuditEvent {
        path,
        details: document::to_text(details),
        request: attempt.request.clone(),
        response: document::to_text(response),
        ..begin_event(hub, tx, Some(call), attempt.event_type).await?
    };
    insert(tx, &event).await
}

/// Records the issue of a token to the caller.
///
/// # Errors
/// As [`record_change`].
pub async fn record_token(
    hub: &Hub,
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
    token: &IamToken,
) -> Result<(), Error> {
    let mut details = Document::new();
    details.insert("iamTokenId".to_owned(), token.id.as_str().into());
    let response = CreateIamTokenResponse {
        expires_at: Some(render_timestamp(token.expires_at)),
        ..Default::default()
    };
    record_direct(hub, tx, call, attempt, &response, details).await
}

/// Writes an event. That it cannot be written is never the caller's matter.
async fn insert(tx: &Tx, event: &AuditEvent) -> Result<(), Error> {
    tx.insert_audit_event(event)
        .await
        .map_err(|error| match error.as_refusal() {
            Some(refusal) => Error::Internal(format!("no audit event: {refusal}")),
            None => error.into(),
        })
}

/// Records the end of an operation that was begun by a call of `method` and ended by a job, in the
/// transaction of that end. Nobody calls then, so the event has no origin. `more` comes on top of the
/// details that follow from the operation.
///
/// # Errors
/// As [`record_change`].
pub async fn record_end(
    hub: &Hub,
    tx: &Tx,
    method: &str,
    operation: &Operation,
    more: Document,
) -> Result<(), Error> {
    let Some(event_type) = find_event_type(method) else {
        return Ok(());
    };
    let (status, response, error) = match &operation.outcome {
        Outcome::Running => (EventStatus::Running, Document::new(), None),
        Outcome::Response(payload) => (EventStatus::Done, document::of_payload(payload)?, None),
        Outcome::Error(error) => (
            judge_error(error),
            Document::new(),
            Some(render_error(error)),
        ),
    };
    let path = match target::of_resource(&operation.resource) {
        Some(target) => tx.find_audit_path(&target).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    let metadata = document::of_payload(&operation.metadata)?;
    let mut details = details::of_change(&operation.outcome, metadata, &path, &response);
    details::add_operation(&mut details, operation);
    // The caller below is missing when it was deleted meanwhile.
    let creator = operation.created_by.as_str();
    details.insert("createdBy".to_owned(), creator.into());
    details.extend(more);
    let event = AuditEvent {
        status,
        error,
        caller: find_creator(tx, operation).await?,
        path,
        details: document::to_text(details),
        response: document::to_text(response),
        ..begin_event(hub, tx, None, event_type).await?
    };
    insert(tx, &event).await
}

/// Records what the hub did to `target` by itself, in the transaction of it. Nobody asked for it,
/// so the event has neither a caller nor an origin. `more` comes on top of the details that follow
/// from the place.
///
/// # Errors
/// As [`record_change`].
pub async fn record_own(
    hub: &Hub,
    tx: &Tx,
    event_type: &EventType,
    target: &AuditTarget,
    more: Document,
) -> Result<(), Error> {
    let path = tx.find_audit_path(target).await?.unwrap_or_default();
    let mut details = details::of_path(&path);
    details.extend(more);
    let event = AuditEvent {
        path,
        details: document::to_text(details),
        ..begin_event(hub, tx, None, event_type).await?
    };
    insert(tx, &event).await
}

fn render_error(error: &OperationError) -> AuditError {
    AuditError {
        code: error.code,
        message: error.message.clone(),
        status_bytes: error.status_bytes.clone(),
    }
}

/// The error of an event in the form of the wire, with its details.
#[must_use]
pub fn render_status(error: AuditError) -> rpc::Status {
    let details = rpc::Status::decode(error.status_bytes.as_slice())
        .map_or_else(|_| Vec::new(), |status| status.details);
    rpc::Status {
        code: error.code,
        message: error.message,
        details,
    }
}

/// An event with everything that follows from the call, of an authorized change that is done.
async fn begin_event(
    hub: &Hub,
    tx: &Tx,
    call: Option<&Call>,
    event_type: &EventType,
) -> Result<AuditEvent, Error> {
    let time = hub.audit.moment(hub.clock.now());
    Ok(AuditEvent {
        id: AuditEventId::new(new_id(AuditEventId::PREFIX, time, hub.entropy.as_ref())),
        time,
        source: event_type.source.to_owned(),
        event_type: event_type.full_name(),
        status: EventStatus::Done,
        caller: match call.and_then(|call| call.subject.as_ref()) {
            Some(subject) => Some(find_caller(tx, subject).await?),
            None => None,
        },
        token: match call.and_then(|call| call.token.as_ref()) {
            Some(token) => Some(find_token(tx, token).await?),
            None => None,
        },
        authorized: true,
        path: Vec::new(),
        origin: call.map_or_else(AuditOrigin::default, find_origin),
        error: None,
        details: document::to_text(Document::new()),
        request: document::to_text(Document::new()),
        response: document::to_text(Document::new()),
    })
}
