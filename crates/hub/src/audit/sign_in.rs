//! Events of sign-ins, which say more than the caller is told.
//!
//! Invariant: a failed sign-in of somebody uses up the budget of that user, so that nobody hides it
//! behind attempts on others. Deliberately absent: passwords, right or wrong.

use std::sync::Arc;

use rollcall_domain::access::Subject;
use rollcall_domain::audit::{AuditEvent, AuditTarget, EventStatus};
use rollcall_domain::id::UserId;
use rollcall_store::Tx;
use tonic::Status;

use super::document::{self, Document};
use super::refusal::render_refusal;
use super::{Attempt, begin_event, details, find_path, insert, refused_request};
use crate::call::Call;
use crate::error::Error;
use crate::hub::Hub;

impl Attempt {
    /// The attempt as one on `target`, which its request does not name by an id.
    #[must_use]
    pub fn about(self, target: AuditTarget) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    /// The attempt without its request, which may hold what was no login.
    #[must_use]
    pub fn without_request(self) -> Self {
        Self {
            request: document::to_text(Document::new()),
            ..self
        }
    }
}

/// Whether one more failed sign-in, of `user` or of a login that nobody has, may leave an event.
#[must_use]
pub fn admit_failed_sign_in(hub: &Hub, user: Option<&UserId>) -> bool {
    let subject = user.map(|id| Subject::user(id.as_str()));
    hub.audit.admit_refusal(subject.as_ref(), hub.clock.now())
}

/// Records an attempt that failed for `reason`, in the transaction that counts it. The caller is told
/// `status`.
///
/// # Errors
/// When the event cannot be written.
pub async fn record_failure(
    hub: &Arc<Hub>,
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
    status: &Status,
    reason: &str,
) -> Result<(), Error> {
    let path = find_path(tx, call, attempt).await?;
    let mut details = details::of_path(&path);
    details.insert("reason".to_owned(), reason.into());
    let event = AuditEvent {
        status: EventStatus::Error,
        error: Some(render_refusal(status)),
        authorized: false,
        path,
        details: document::to_text(details),
        request: refused_request::shorten(&attempt.request, &[])?,
        ..begin_event(hub, tx, Some(call), attempt.event_type).await?
    };
    insert(tx, &event).await
}
