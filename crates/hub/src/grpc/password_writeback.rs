//! `UserService.CommitPassword`: the answer of a directory to a password change.
//!
//! Invariant: an answer ends the change it is about and no other, once (decisions U96, U97).
//! Deliberately absent: what becomes of the password, which is `crate::password_writeback`.

use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use rollcall_domain::access::Permission;
use rollcall_domain::id::{OperationId, PasswordId, SubjectId, UserpoolId};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::password::Password;
use rollcall_domain::password_writeback::{
    Answered, FoundWriteback, WritebackErrorCode, WritebackFailure, judge_answer,
};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::secret::SecretString;
use rollcall_proto::idp;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::Service;
use crate::password_writeback::{end, open, settle};
use crate::sign_in::{Verdict, verify_form};
use crate::wire::WireEnum;

/// `UserService.CommitPassword`.
pub async fn commit(
    service: &Service,
    request: Request<idp::CommitPasswordRequest>,
) -> Result<Response<Operation>, Status> {
    // Known only when the transaction has found the change.
    let user = Arc::new(OnceLock::new());
    let found = Arc::clone(&user);
    let decide = async move |cx: &Context,
                             tx: &Tx,
                             request: &idp::CommitPasswordRequest,
                             prepared: &Prepared| {
        answer(cx, tx, request, prepared, &found).await
    };
    let answer = service
        .mutate_prepared(
            request,
            "Commit a password",
            |service, call, request| prepare(service, call, request).boxed(),
            decide,
        )
        .await?;
    if let Some(user) = user.get() {
        service.0.tokens.forget_subject(user);
    }
    service.0.password_changes.tell_ended();
    Ok(answer)
}

/// What was found out before the transaction.
struct Prepared {
    /// Tells this answer from others.
    digest: Vec<u8>,
    /// The stored password, when it is the accepted one already.
    same: Option<PasswordId>,
}

async fn prepare(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::CommitPasswordRequest,
) -> Result<Prepared, Error> {
    let digest = service.digest(request)?;
    let pool = UserpoolId::from(request.userpool_id.as_str());
    let id = OperationId::from(request.modifying_operation_id.as_str());
    let (pending, present) = service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            let scope = Scope::Userpool(&pool);
            cx.authorize(tx, Permission::PasswordChangesUse, scope)
                .await?;
            match tx.find_password_writeback(&id).await? {
                Some(FoundWriteback::Pending(pending)) if pending.userpool_id == pool => {
                    let present = tx.find_password(&pending.user_id).await?;
                    Ok((Some(*pending), present))
                }
                _ => Ok((None, None)),
            }
        })
        .await?;
    let same = match (&pending, present) {
        (Some(pending), Some(present)) if pending.replaces.as_ref() != Some(&present.id) => {
            find_same(service, present, &request.password).await?
        }
        _ => None,
    };
    Ok(Prepared { digest, same })
}

/// The id of `present`, when `password` is it.
async fn find_same(
    service: &Service,
    present: Password,
    password: &str,
) -> Result<Option<PasswordId>, Error> {
    let password = SecretString::new(password.to_owned());
    let verified = verify_form(&service.0, &present.user_id, &present.form, &password).await?;
    Ok((verified.verdict == Verdict::Right).then_some(present.id))
}

async fn answer(
    cx: &Context,
    tx: &Tx,
    request: &idp::CommitPasswordRequest,
    prepared: &Prepared,
    user: &OnceLock<SubjectId>,
) -> Result<Done, Error> {
    let pool = UserpoolId::from(request.userpool_id.as_str());
    let id = OperationId::from(request.modifying_operation_id.as_str());
    let scope = Scope::Userpool(&pool);
    cx.authorize(tx, Permission::PasswordChangesUse, scope)
        .await?;
    let metadata = idp::CommitPasswordMetadata {
        external_user_id: request.external_user_id.clone(),
        modifying_operation_id: id.to_string(),
        userpool_id: pool.to_string(),
    };
    let (hub, now, digest) = (&cx.hub, cx.call.now, prepared.digest.as_slice());
    let found = tx.find_password_writeback(&id).await?;
    if found.is_none() {
        require_never(tx, &id, &pool).await?;
    }
    let pending = match judge_answer(found, &id, &pool, digest, now)? {
        Answered::Ends(pending) => *pending,
        Answered::Repeated => {
            return Ok(Done::new(&metadata, &(), resource(tx, &id, &pool).await?));
        }
    };
    let given = SecretString::new(request.password.clone());
    let is_same_password = open(hub, &pending)?.new == given;
    pending.check_answer(&request.external_user_id, is_same_password)?;
    let ending = match &request.error_details {
        None => Ok(settle(hub, tx, &pending, prepared.same.as_ref(), now).await?),
        Some(details) => Err(read_failure(details)?),
    };
    let ended = end(hub, tx, &pending, ending, Some(digest), now).await?;
    // A repetition of the transaction finds the same.
    let _same = user.set(pending.user_id.clone().into());
    let resource = match ended {
        Some(operation) => operation.resource,
        None => user_resource(pending.user_id.to_string(), &pool),
    };
    Ok(Done::new(&metadata, &(), resource))
}

/// Requires that no change of `id` was ever begun: what is not remembered any more has ended.
async fn require_never(tx: &Tx, id: &OperationId, pool: &UserpoolId) -> Result<(), Error> {
    let operation = tx.find_operation(id).await?;
    match operation {
        Some(operation) if operation.resource.parent_id == pool.as_str() => {
            Err(Refusal::precondition(
                "WRITEBACK_ENDED",
                format!("operation {id} waits for no directory, or does not any more"),
            )
            .into())
        }
        _ => Ok(()),
    }
}

async fn resource(
    tx: &Tx,
    id: &OperationId,
    pool: &UserpoolId,
) -> Result<OperationResource, Error> {
    let operation = tx.find_operation(id).await?;
    Ok(operation.map_or_else(
        || user_resource(String::new(), pool),
        |operation| operation.resource,
    ))
}

fn user_resource(id: String, pool: &UserpoolId) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::User,
        id,
        parent_id: pool.to_string(),
    }
}

fn read_failure(details: &idp::PasswordWritebackErrorDetails) -> Result<WritebackFailure, Refusal> {
    let code = WritebackErrorCode::parse_wire("error_details.error_code", details.error_code)?;
    Ok(WritebackFailure::reported(code, &details.error_message))
}
