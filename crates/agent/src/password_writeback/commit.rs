//! Telling the hub what became of a change.
//!
//! Invariant: it is told until it has heard, or half a minute after the operation has ended
//! (decision U103); what it will never take is logged, because the directory and the hub may differ
//! then until the password hash stream has brought the new one.

use std::time::Duration;

use rollcall_client::{ClientError, ErrorKind};
use rollcall_kit::backoff::Backoff;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::CommitPasswordRequest;

use super::change::PasswordChange;
use super::refusal::Refusal;
use crate::agent::Agent;
use crate::condition::Told;
use crate::fault_count::Side;

/// How long after the end of an operation the hub is still told.
const PATIENCE: Span = Span::seconds(30);
/// One attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A wait without length would ask again and again at the beginning.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Tells the hub how `change` ended.
pub async fn commit(agent: &Agent, change: &PasswordChange, result: &Result<(), Refusal>) -> Told {
    let end = change.deadline.plus(PATIENCE);
    let mut backoff = Backoff::new();
    loop {
        let left = end.since(agent.clock.now()).to_duration();
        let limit = ATTEMPT_TIMEOUT.min(left.max(WAIT_MIN));
        let request = request(agent, change, result);
        let Err(error) = agent.hub.commit_password(request, limit).await else {
            return Told::Yes;
        };
        let left = end.since(agent.clock.now()).to_duration();
        if !may_pass(&error) || left.is_zero() {
            give_up(change, result, &error);
            return Told::No;
        }
        Side::Hub.failed();
        let operation = &change.operation_id;
        tracing::warn!(operation, reason = %error, "the hub could not be told of a password; it is tried again");
        let wait = backoff.next_wait(&*agent.entropy).max(WAIT_MIN).min(left);
        tokio::time::sleep(wait).await;
    }
}

/// Whether the same call may succeed later.
fn may_pass(error: &ClientError) -> bool {
    error.is_retryable()
        || matches!(
            error.kind,
            ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Unauthenticated
        )
}

fn give_up(change: &PasswordChange, result: &Result<(), Refusal>, error: &ClientError) {
    let (operation, user) = (&change.operation_id, &change.external_user_id);
    match result {
        Ok(()) => tracing::error!(
            operation,
            user,
            reason = %error,
            "the hub did not take a password that the directory has; they differ until the password hash stream has brought it"
        ),
        Err(refusal) => tracing::error!(
            operation,
            user,
            code = refusal.code(),
            reason = %error,
            "the hub did not take the refusal of a password"
        ),
    }
}

fn request(
    agent: &Agent,
    change: &PasswordChange,
    result: &Result<(), Refusal>,
) -> CommitPasswordRequest {
    CommitPasswordRequest {
        external_user_id: change.external_user_id.clone(),
        password: change.password.expose().to_owned(),
        modifying_operation_id: change.operation_id.clone(),
        need_change: change.need_change,
        error_details: result.as_ref().err().map(Refusal::details),
        expires_at: change.expires_at,
        generated: change.generated,
        userpool_id: agent.hub.userpool_id(),
    }
}
