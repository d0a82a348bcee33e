//! The audit trail: what was done or tried, by whom.
//!
//! Invariant: a change and its event are committed together or not at all; a refused attempt
//! leaves its event in a transaction of its own. Refused attempts can make the hub write a limited
//! number of events only. Whoever goes away before the answer prevents no event. Deliberately absent:
//! reading the trail, which is `grpc::audit`.

mod common_password;
mod details;
pub mod document;
pub mod event_type;
pub mod export;
mod line;
mod refusal_budget;
mod sign_in;
mod target;
mod trail;

use std::borrow::Cow;
use std::sync::Arc;

use prost::{Message, Name};
use rollcall_domain::access::Subject;
use rollcall_domain::audit::{
    AuditCaller, AuditError, AuditEvent, AuditOrigin, AuditResource, AuditTarget, AuditToken,
    EventStatus,
};
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::AuditEventId;
use rollcall_domain::operation::{Operation, OperationError, Outcome};
use rollcall_kit::id::new_id;
use rollcall_proto::iam::CreateIamTokenResponse;
use rollcall_proto::rpc;
use rollcall_store::Tx;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use zeroize::Zeroizing;

use crate::call::{Call, TokenFacts};
use crate::context::Standing;
use crate::error::Error;
use crate::hub::Hub;
use crate::wire::{render_timestamp, to_payload};
use document::Document;
use event_type::{EventType, find_event_type};

pub use sign_in::{admit_failed_sign_in, record_failure};
pub use trail::{AuditMark, AuditTrail};

/// A call that may change something: what the trail will say of its request.
#[derive(Debug, Clone)]
pub struct Attempt {
    event_type: &'static EventType,
    request: String,
    target: Option<AuditTarget>,
    /// An attempt that names no thing is about the caller itself, such as its own token.
    is_about_caller: bool,
    common_password: Option<bool>,
}

impl Attempt {
    /// Takes from a request what the trail needs; nothing for rpcs that leave no event.
    ///
    /// # Errors
    /// `Internal` when the request is not the one of the called method.
    pub fn new<Q: Message>(call: &Call, request: &Q) -> Result<Option<Self>, Error> {
        let Some((method, event_type)) = call
            .method
            .and_then(|method| Some((method, find_event_type(method.path)?)))
        else {
            return Ok(None);
        };
        let bytes = Zeroizing::new(request.encode_to_vec());
        let message = document::decode(method.request, &bytes)?;
        Ok(Some(Self {
            event_type,
            target: target::find(method, &message),
            is_about_caller: event_type.is_about_caller(),
            common_password: common_password::judge(&message),
            request: document::to_text(document::of_message(message)?),
        }))
    }

    /// The attempt as one of `event_type`, where that differs from the type of the method.
    #[must_use]
    pub fn of_type(&self, event_type: Option<&'static EventType>) -> Cow<'_, Self> {
        match event_type {
            None => Cow::Borrowed(self),
            Some(event_type) => Cow::Owned(Self {
                event_type,
                ..self.clone()
            }),
        }
    }
}

/// Where the thing of an attempt is, before the attempt changes it.
///
/// # Errors
/// When the database fails.
pub async fn find_path(
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
) -> Result<Vec<AuditResource>, Error> {
    if let Some(target) = &attempt.target {
        if let Some(path) = tx.find_audit_path(target).await? {
            return Ok(path);
        }
        let mut path: Vec<_> = find_home(tx, call).await?.into_iter().collect();
        match target.as_named() {
            // An organization that is not there has no place; its events are the caller's.
            Some(_) if matches!(target, AuditTarget::Organization(_)) => {}
            Some(named) => path.push(named),
            None => {}
        }
        return Ok(path);
    }
    let mut path = find_own_path(tx, call).await?;
    if !attempt.is_about_caller {
        path.truncate(1);
    }
    Ok(path)
}

/// The organization of the caller.
async fn find_home(tx: &Tx, call: &Call) -> Result<Option<AuditResource>, Error> {
    Ok(find_own_path(tx, call).await?.into_iter().next())
}

/// Where the caller is; for callers who are nowhere, the first organization.
async fn find_own_path(tx: &Tx, call: &Call) -> Result<Vec<AuditResource>, Error> {
    let own = match call.subject.as_ref().and_then(AuditTarget::of_subject) {
        Some(target) => tx.find_audit_path(&target).await?,
        None => None,
    };
    match own {
        Some(path) => Ok(path),
        None => Ok(tx.find_first_organization().await?.into_iter().collect()),
    }
}

async fn find_caller(tx: &Tx, subject: &Subject) -> Result<AuditCaller, Error> {
    let path = match AuditTarget::of_subject(subject) {
        Some(target) => tx.find_audit_path(&target).await?,
        None => None,
    };
    let name = path
        .and_then(|path| path.into_iter().next_back())
        .map_or_else(String::new, |resource| resource.name);
    Ok(AuditCaller {
        subject: subject.clone(),
        name,
    })
}

async fn find_token(tx: &Tx, token: &TokenFacts) -> Result<AuditToken, Error> {
    Ok(AuditToken {
        id: token.id.clone(),
        masked: token.masked.clone(),
        impersonator: match &token.impersonator {
            Some(impersonator) => Some(find_caller(tx, impersonator).await?),
            None => None,
        },
    })
}

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

/// Who asked for an operation: a service account or a user.
async fn find_creator(tx: &Tx, operation: &Operation) -> Result<Option<AuditCaller>, Error> {
    let id = &operation.created_by;
    for subject in [
        Subject::service_account(id.clone()),
        Subject::user(id.clone()),
    ] {
        let Some(target) = AuditTarget::of_subject(&subject) else {
            continue;
        };
        if tx.find_audit_path(&target).await?.is_some() {
            return Ok(Some(find_caller(tx, &subject).await?));
        }
    }
    Ok(None)
}

fn render_error(error: &OperationError) -> AuditError {
    AuditError {
        code: error.code,
        message: error.message.clone(),
        status_bytes: error.status_bytes.clone(),
    }
}

/// Records a refused attempt, in a transaction of its own, as long as the budget of its caller
/// reaches. What cannot be recorded is logged: the caller is refused all the same. It must run where
/// it is not dropped with its call.
pub async fn record_refusal(
    hub: &Arc<Hub>,
    call: &Arc<Call>,
    attempt: Arc<Attempt>,
    status: &Status,
) {
    call.audit_mark.set();
    let caller = call.subject.as_ref();
    if !hub.audit.admit_refusal(caller, hub.clock.now()) {
        return;
    }
    let error = AuditError {
        code: status.code() as i32,
        message: status.message().to_owned(),
        status_bytes: status.details().to_vec(),
    };
    let authorized = !matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated
    );
    let wrong_fields = wrong_fields(status);
    let inner_hub = Arc::clone(hub);
    let inner_call = Arc::clone(call);
    let written = hub
        .store
        .write(async move |tx: &Tx| {
            let path = find_path(tx, &inner_call, &attempt).await?;
            let mut details = details::of_path(&path);
            details::add_common_password(&mut details, attempt.common_password);
            let event = AuditEvent {
                status: EventStatus::Error,
                error: Some(error.clone()),
                authorized,
                path,
                details: document::to_text(details),
                request: document::shorten_refused(&attempt.request, &wrong_fields)?,
                ..begin_event(&inner_hub, tx, Some(&inner_call), attempt.event_type).await?
            };
            insert(tx, &event).await
        })
        .await;
    if let Err(error) = written {
        call.audit_mark.clear();
        tracing::error!(
            request_id = call.request_id,
            %error,
            "a refused attempt is missing in the audit trail"
        );
    }
}

/// The fields whose values the hub refused.
fn wrong_fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let fields = violations.into_iter().flatten();
    fields.map(|violation| violation.field.clone()).collect()
}

/// Records an attempt that no handler saw to its end: of a stranger, one that the layers refused, or
/// one whose caller went away before. The task goes on when nobody waits for it; `None` when there
/// is nothing to record.
pub fn record_unseen(hub: &Arc<Hub>, call: &Arc<Call>, status: Status) -> Option<JoinHandle<()>> {
    let event_type = call
        .method
        .and_then(|method| find_event_type(method.path))
        .filter(|_| !call.audit_mark.is_set())?;
    let attempt = Arc::new(Attempt {
        event_type,
        request: document::to_text(Document::new()),
        target: None,
        is_about_caller: false,
        common_password: None,
    });
    let (inner, call) = (Arc::clone(hub), Arc::clone(call));
    Some(hub.calls.spawn(async move {
        record_refusal(&inner, &call, attempt, &status).await;
    }))
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

/// Where a call came from.
fn find_origin(call: &Call) -> AuditOrigin {
    AuditOrigin {
        remote_address: call
            .remote
            .map_or_else(String::new, |remote| remote.ip().to_canonical().to_string()),
        remote_port: call.remote.map_or(0, |remote| remote.port()),
        user_agent: call.user_agent.clone(),
        request_id: call.request_id.clone(),
    }
}
