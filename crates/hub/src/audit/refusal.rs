//! Events of attempts that were refused or that nobody saw to their end.
//!
//! Invariant: such an event has a transaction of its own, and its number is limited by the budget of
//! its caller. Deliberately absent: failed sign-ins, which leave their event with what counts them.

use std::sync::Arc;

use rollcall_domain::audit::{AuditError, AuditEvent, EventStatus};
use rollcall_store::Tx;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::document::{self, Document};
use super::event_type::find_event_type;
use super::{Attempt, begin_event, details, find_path, insert, refused_request};
use crate::call::Call;
use crate::hub::Hub;

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
    let error = render_refusal(status);
    let authorized = !matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated
    );
    let wrong_fields = refused_request::wrong_fields(status);
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
                request: refused_request::shorten(&attempt.request, &wrong_fields)?,
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

/// What the caller was told, as the error of an event.
pub(super) fn render_refusal(status: &Status) -> AuditError {
    AuditError {
        code: status.code() as i32,
        message: status.message().to_owned(),
        status_bytes: status.details().to_vec(),
    }
}
