//! Who is behind an event: the caller, the token it came with, and where it called from.
//!
//! Invariant: names are those of the moment of the event. Deliberately absent: rights.

use rollcall_domain::access::Subject;
use rollcall_domain::audit::{AuditCaller, AuditOrigin, AuditTarget, AuditToken};
use rollcall_domain::operation::Operation;
use rollcall_store::Tx;

use crate::call::{Call, TokenFacts};
use crate::error::Error;

/// A subject with the name it has now.
pub(super) async fn find_caller(tx: &Tx, subject: &Subject) -> Result<AuditCaller, Error> {
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

/// The token of a call, without itself.
pub(super) async fn find_token(tx: &Tx, token: &TokenFacts) -> Result<AuditToken, Error> {
    Ok(AuditToken {
        id: token.id.clone(),
        masked: token.masked.clone(),
        impersonator: match &token.impersonator {
            Some(impersonator) => Some(find_caller(tx, impersonator).await?),
            None => None,
        },
    })
}

/// Who asked for an operation: a service account or a user.
pub(super) async fn find_creator(
    tx: &Tx,
    operation: &Operation,
) -> Result<Option<AuditCaller>, Error> {
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

/// Where a call came from.
pub(super) fn find_origin(call: &Call) -> AuditOrigin {
    AuditOrigin {
        remote_address: call
            .remote
            .map_or_else(String::new, |remote| remote.ip().to_canonical().to_string()),
        remote_port: call.remote.map_or(0, |remote| remote.port()),
        user_agent: call.user_agent.clone(),
        request_id: call.request_id.clone(),
    }
}
