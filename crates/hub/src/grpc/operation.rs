//! `OperationService`: the record of every change.

use prost::Message as _;
use rollcall_domain::access::Permission;
use rollcall_domain::id::{GroupId, OperationId, OrganizationId, UserpoolId};
use rollcall_domain::operation::{Operation, OperationResourceKind, Outcome, forgotten_until};
use rollcall_domain::password_writeback::{FoundWriteback, PasswordWriteback, WritebackCause};
use rollcall_domain::refusal::Refusal;
use rollcall_proto::operation as wire;
use rollcall_proto::operation::operation_service_server::OperationService;
use rollcall_proto::rpc;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::context::{Context, Done, Scope};
use crate::domain_validation::end_operation;
use crate::error::{Error, cancelled};
use crate::grpc::Service;
use crate::password_writeback::give_up;
use crate::tally::{self, SYNC_SESSION_CHANGES};
use crate::wire::{render_payload, render_timestamp};

#[tonic::async_trait]
impl OperationService for Service {
    async fn get(
        &self,
        request: Request<wire::GetOperationRequest>,
    ) -> Result<Response<wire::Operation>, Status> {
        self.read(request, get).await
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelOperationRequest>,
    ) -> Result<Response<wire::Operation>, Status> {
        let answer = self.mutate(request, "Cancel an operation", cancel).await?;
        self.0.password_changes.tell_ended();
        Ok(answer)
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &wire::GetOperationRequest,
) -> Result<wire::Operation, Error> {
    Ok(render(find(cx, tx, &request.operation_id).await?))
}

/// Cancels the search for the proof of a domain, or a password change that waits for the directory;
/// nothing else can be cancelled (decision U74).
async fn cancel(
    cx: &Context,
    tx: &Tx,
    request: &wire::CancelOperationRequest,
) -> Result<Done, Error> {
    let operation = find(cx, tx, &request.operation_id).await?;
    let writeback = tx.find_password_writeback(&operation.id).await?;
    if let Some(FoundWriteback::Pending(pending)) = writeback {
        return cancel_writeback(cx, tx, operation, &pending).await;
    }
    let domain = tx.find_validating_userpool_domain(&operation.id).await?;
    let cancelled_domain = domain
        .as_ref()
        .and_then(|it| it.cancel_validation(cx.call.now));
    let Some(domain) = cancelled_domain else {
        return Err(Refusal::precondition(
            "OPERATION_NOT_CANCELLABLE",
            format!(
                "operation {} is finished or cannot be cancelled",
                operation.id
            ),
        )
        .into());
    };
    let scope = Scope::Userpool(&domain.userpool_id);
    // Whoever asked for it may have lost the right since.
    cx.authorize(tx, Permission::DomainsManage, scope).await?;
    tx.save_userpool_domain(&domain).await?;
    let outcome = Outcome::Error(cancelled("the operation was cancelled"));
    let ended = end_operation(&cx.hub, tx, &operation.id, outcome, cx.call.now).await?;
    Ok(Done::ended(ended.unwrap_or(operation)))
}

/// Users cancel what they began themselves, others what they may set.
async fn cancel_writeback(
    cx: &Context,
    tx: &Tx,
    operation: Operation,
    pending: &PasswordWriteback,
) -> Result<Done, Error> {
    let is_own = pending.cause != WritebackCause::Reset
        && operation.created_by.as_str() == cx.caller()?.id.as_str();
    let scope = Scope::Userpool(&pending.userpool_id);
    if is_own {
        cx.check_fence(tx, scope).await?;
    } else {
        cx.authorize(tx, Permission::UsersSetPassword, scope)
            .await?;
    }
    let outcome = Outcome::Error(cancelled("the operation was cancelled"));
    let ended = give_up(&cx.hub, tx, pending, outcome, cx.call.now).await?;
    Ok(Done::ended(ended.unwrap_or(operation)))
}

/// A page of the operations about the thing `of` (its kind and id, and where rights on it are
/// given), newest first, and the token of the next page. `page` is the page size and token of the
/// request. The caller of this has checked the right to see the thing; what needs more than that
/// is left out.
pub async fn list(
    cx: &Context,
    tx: &Tx,
    of: (OperationResourceKind, &str, Scope<'_>),
    page: (i64, &str),
) -> Result<(Vec<wire::Operation>, String), Error> {
    let ((kind, id, scope), (page_size, page_token)) = (of, page);
    let mut hidden = Vec::new();
    for (permission, types) in guarded(kind) {
        if !cx.allows(tx, *permission, scope).await? {
            hidden.extend_from_slice(types);
        }
    }
    let list = cx.list(id, "");
    let page = list.parse(page_size, page_token)?;
    let since = forgotten_until(cx.call.now);
    let page = tx.list_operations(kind, id, since, &hidden, &page).await?;
    Ok((
        page.items.into_iter().map(render).collect(),
        list.render(page.next.as_ref())?,
    ))
}

/// Metadata of operations, by full message name.
type MessageNames = &'static [&'static str];

const BINDING_CHANGES: MessageNames = &[
    "yandex.cloud.access.SetAccessBindingsMetadata",
    "yandex.cloud.access.UpdateAccessBindingsMetadata",
];
const DOMAIN_CHANGES: MessageNames = &[
    "yandex.cloud.organizationmanager.v1.idp.AddUserpoolDomainMetadata",
    "yandex.cloud.organizationmanager.v1.idp.ValidateUserpoolDomainMetadata",
    "yandex.cloud.organizationmanager.v1.idp.DeleteUserpoolDomainMetadata",
];

/// The operations about a thing that tell more than the thing itself, and the right to see that:
/// who has which role, and domains with their proofs.
fn guarded(kind: OperationResourceKind) -> &'static [(Permission, MessageNames)] {
    match kind {
        OperationResourceKind::Organization => {
            &[(Permission::OrganizationsListAccessBindings, BINDING_CHANGES)]
        }
        OperationResourceKind::Userpool => &[
            (Permission::UserpoolsListAccessBindings, BINDING_CHANGES),
            (Permission::DomainsGet, DOMAIN_CHANGES),
        ],
        OperationResourceKind::Group => &[(Permission::GroupsListAccessBindings, BINDING_CHANGES)],
        OperationResourceKind::User
        | OperationResourceKind::Synchronization
        | OperationResourceKind::ServiceAccount => &[],
    }
}

/// Requires `permission` on `scope`, and what else it takes to see `operation`.
async fn require_sight(
    cx: &Context,
    tx: &Tx,
    operation: &Operation,
    permission: Permission,
    scope: Scope<'_>,
) -> Result<(), Error> {
    cx.authorize(tx, permission, scope).await?;
    let name = operation.metadata.type_name.as_str();
    for (permission, types) in guarded(operation.resource.kind) {
        if types.contains(&name) {
            cx.authorize(tx, *permission, scope).await?;
        }
    }
    Ok(())
}

/// Finds an operation that the caller made or whose subject it may see. Others learn nothing.
async fn find(cx: &Context, tx: &Tx, id: &str) -> Result<Operation, Error> {
    let missing = || Error::from(Refusal::not_found("operation", id));
    let operation = tx
        .find_operation(&OperationId::from(id))
        .await?
        .filter(|operation| !operation.is_forgotten(cx.call.now))
        .ok_or_else(missing)?;
    if operation.created_by == cx.caller()?.id {
        return Ok(operation);
    }
    match require_view(cx, tx, &operation).await {
        Ok(()) => Ok(operation),
        Err(Error::Refused(_)) => Err(missing()),
        Err(error) => Err(error),
    }
}

async fn require_view(cx: &Context, tx: &Tx, operation: &Operation) -> Result<(), Error> {
    let resource = &operation.resource;
    let require =
        async |permission, scope| require_sight(cx, tx, operation, permission, scope).await;
    let pool = UserpoolId::from(resource.parent_id.as_str());
    let organization = OrganizationId::from(resource.parent_id.as_str());
    match resource.kind {
        OperationResourceKind::Organization => {
            let organization = OrganizationId::from(resource.id.as_str());
            let scope = Scope::Organization(&organization);
            require(Permission::OrganizationsGet, scope).await
        }
        OperationResourceKind::Userpool => {
            let pool = UserpoolId::from(resource.id.as_str());
            // The operations of a deleted pool stay with those who see the organization.
            let scope = match tx.find_userpool(&pool).await? {
                Some(_) => Scope::Userpool(&pool),
                None => Scope::Organization(&organization),
            };
            require(Permission::UserpoolsGet, scope).await
        }
        OperationResourceKind::User => {
            require(Permission::UsersGetPhone, Scope::Userpool(&pool)).await
        }
        // The response of OpenSession holds the replication token (decision U26).
        OperationResourceKind::Synchronization => {
            require(Permission::ReplicationTokenGet, Scope::Userpool(&pool)).await
        }
        OperationResourceKind::ServiceAccount => {
            let scope = Scope::Organization(&organization);
            require(Permission::ServiceAccountsGet, scope).await
        }
        OperationResourceKind::Group => {
            let id = GroupId::from(resource.id.as_str());
            let group = tx.find_group(&id).await?;
            let scope = match &group {
                Some(group) => Scope::Group(group),
                None => Scope::Organization(&organization),
            };
            require(Permission::GroupsGet, scope).await
        }
    }
}

/// The answer of a changing call; under a session it tells what was counted.
pub fn answer(call: &Call, operation: Operation) -> Response<wire::Operation> {
    let counted = call.session_id.as_ref().map(|id| operation.tally_of(id));
    let mut response = Response::new(render(operation));
    if let Some(counted) = counted {
        let metadata = response.metadata_mut();
        metadata.insert(SYNC_SESSION_CHANGES, tally::render(&counted));
    }
    response
}

/// An operation in the form of the wire.
pub fn render(operation: Operation) -> wire::Operation {
    let done = operation.is_done();
    wire::Operation {
        id: operation.id.into_string(),
        description: operation.description,
        created_at: Some(render_timestamp(operation.created_at)),
        created_by: operation.created_by.into_string(),
        modified_at: Some(render_timestamp(operation.modified_at)),
        done,
        metadata: Some(render_payload(operation.metadata)),
        result: match operation.outcome {
            Outcome::Running => None,
            Outcome::Response(payload) => {
                Some(wire::operation::Result::Response(render_payload(payload)))
            }
            Outcome::Error(error) => Some(wire::operation::Result::Error(rpc::Status {
                // Bytes that cannot be read only cost the details.
                details: rpc::Status::decode(error.status_bytes.as_slice())
                    .map(|status| status.details)
                    .unwrap_or_default(),
                code: error.code,
                message: error.message,
            })),
        },
    }
}
