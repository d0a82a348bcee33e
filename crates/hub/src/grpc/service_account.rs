//! `ServiceAccountService`: subjects for programs.
//!
//! Invariant: an account that owns the organization is managed by owners only, because whoever
//! manages it can act as it. Tokens of an account that is disabled or deleted end in the same
//! transaction. The keys of accounts are in `service_account_key`.

use rollcall_domain::access::{AccessBinding, Permission, ResourceRef, Role};
use rollcall_domain::access_policy::PolicyTemplate;
use rollcall_domain::filter::{Filter, SERVICE_ACCOUNT_FIELDS};
use rollcall_domain::id::{OrganizationId, ServiceAccountId, SubjectId};
use rollcall_domain::mask::Mask;
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::service_account::{self, ServiceAccount};
use rollcall_proto::admin;
use rollcall_proto::admin::service_account_service_server::ServiceAccountService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, accept, access_policy, operation, service_account_key as key};
use crate::wire::{WireEnum, parse_mask, render_timestamp};

#[tonic::async_trait]
impl ServiceAccountService for Service {
    async fn get(
        &self,
        request: Request<admin::GetServiceAccountRequest>,
    ) -> Result<Response<admin::ServiceAccount>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<admin::ListServiceAccountsRequest>,
    ) -> Result<Response<admin::ListServiceAccountsResponse>, Status> {
        self.read(request, list).await
    }

    async fn create(
        &self,
        request: Request<admin::CreateServiceAccountRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create a service account", create)
            .await
    }

    async fn update(
        &self,
        request: Request<admin::UpdateServiceAccountRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update a service account", update)
            .await
    }

    async fn disable(
        &self,
        request: Request<admin::DisableServiceAccountRequest>,
    ) -> Result<Response<Operation>, Status> {
        let subject = SubjectId::from(request.get_ref().service_account_id.as_str());
        let answer = self
            .mutate(request, "Disable a service account", disable)
            .await?;
        self.0.tokens.forget_subject(&subject);
        Ok(answer)
    }

    async fn enable(
        &self,
        request: Request<admin::EnableServiceAccountRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Enable a service account", enable)
            .await
    }

    async fn delete(
        &self,
        request: Request<admin::DeleteServiceAccountRequest>,
    ) -> Result<Response<Operation>, Status> {
        let subject = SubjectId::from(request.get_ref().service_account_id.as_str());
        let answer = self
            .mutate(request, "Delete a service account", delete)
            .await?;
        self.0.tokens.forget_subject(&subject);
        Ok(answer)
    }

    async fn list_operations(
        &self,
        request: Request<admin::ListServiceAccountOperationsRequest>,
    ) -> Result<Response<admin::ListServiceAccountOperationsResponse>, Status> {
        self.read(request, list_operations).await
    }

    async fn create_key(
        &self,
        request: Request<admin::CreateKeyRequest>,
    ) -> Result<Response<admin::CreateKeyResponse>, Status> {
        let (call, request) = accept(request)?;
        key::create(self, &call, request).await.map(Response::new)
    }

    async fn get_key(
        &self,
        request: Request<admin::GetKeyRequest>,
    ) -> Result<Response<admin::Key>, Status> {
        self.read(request, key::get).await
    }

    async fn list_keys(
        &self,
        request: Request<admin::ListKeysRequest>,
    ) -> Result<Response<admin::ListKeysResponse>, Status> {
        self.read(request, key::list).await
    }

    async fn disable_key(
        &self,
        request: Request<admin::DisableKeyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Disable a key", key::disable).await
    }

    async fn enable_key(
        &self,
        request: Request<admin::EnableKeyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Enable a key", key::enable).await
    }

    async fn delete_key(
        &self,
        request: Request<admin::DeleteKeyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Delete a key", key::delete).await
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &admin::GetServiceAccountRequest,
) -> Result<admin::ServiceAccount, Error> {
    Ok(render(find(cx, tx, &request.service_account_id).await?))
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &admin::ListServiceAccountsRequest,
) -> Result<admin::ListServiceAccountsResponse, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    let scope = Scope::Organization(&organization_id);
    cx.authorize(tx, Permission::ServiceAccountsGet, scope)
        .await?;
    let filter = Filter::parse(&request.filter, SERVICE_ACCOUNT_FIELDS)?;
    let list = cx.list(organization_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx
        .list_service_accounts(&organization_id, &filter, &page)
        .await?;
    Ok(admin::ListServiceAccountsResponse {
        service_accounts: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

async fn create(
    cx: &Context,
    tx: &Tx,
    request: &admin::CreateServiceAccountRequest,
) -> Result<Done, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    let scope = Scope::Organization(&organization_id);
    let callers = cx
        .authorize(tx, Permission::ServiceAccountsManage, scope)
        .await?;
    let template = PolicyTemplate::DenyServiceAccountCreation;
    access_policy::require_allowed(tx, &organization_id, template, &callers).await?;
    cx.require_quota(tx, QuotaScope::ServiceAccountsOf(&organization_id), 1)
        .await?;
    cx.require_quota(tx, QuotaScope::SubjectsOf(&organization_id), 1)
        .await?;
    let account = ServiceAccount::create(
        organization_id,
        &request.name,
        &request.description,
        ServiceAccountId::new(cx.new_id(ServiceAccountId::PREFIX)),
        cx.call.now,
    )?;
    tx.insert_service_account(&account).await?;
    let metadata = admin::CreateServiceAccountMetadata {
        service_account_id: account.id.to_string(),
    };
    let resource = resource(&account);
    Ok(Done::new(&metadata, &render(account), resource))
}

async fn update(
    cx: &Context,
    tx: &Tx,
    request: &admin::UpdateServiceAccountRequest,
) -> Result<Done, Error> {
    let managed = Managed::find(cx, tx, &request.service_account_id).await?;
    let mask: Mask<_> = parse_mask(request.update_mask.as_ref())?;
    let account =
        managed
            .account
            .update(&request.name, &request.description, &mask, cx.call.now)?;
    tx.save_service_account(&account).await?;
    let metadata = admin::UpdateServiceAccountMetadata {
        service_account_id: account.id.to_string(),
    };
    let resource = resource(&account);
    Ok(Done::new(&metadata, &render(account), resource))
}

async fn disable(
    cx: &Context,
    tx: &Tx,
    request: &admin::DisableServiceAccountRequest,
) -> Result<Done, Error> {
    let managed = Managed::find(cx, tx, &request.service_account_id).await?;
    managed.require_dispensable(cx, tx).await?;
    let account = managed.account.disable(cx.call.now);
    tx.save_service_account(&account).await?;
    tx.delete_iam_tokens_of_subject(&account.id.clone().into())
        .await?;
    let metadata = admin::DisableServiceAccountMetadata {
        service_account_id: account.id.to_string(),
    };
    let resource = resource(&account);
    Ok(Done::new(&metadata, &render(account), resource))
}

async fn enable(
    cx: &Context,
    tx: &Tx,
    request: &admin::EnableServiceAccountRequest,
) -> Result<Done, Error> {
    let managed = Managed::find(cx, tx, &request.service_account_id).await?;
    let account = managed.account.enable(cx.call.now);
    tx.save_service_account(&account).await?;
    let metadata = admin::EnableServiceAccountMetadata {
        service_account_id: account.id.to_string(),
    };
    let resource = resource(&account);
    Ok(Done::new(&metadata, &render(account), resource))
}

async fn delete(
    cx: &Context,
    tx: &Tx,
    request: &admin::DeleteServiceAccountRequest,
) -> Result<Done, Error> {
    let managed = Managed::find(cx, tx, &request.service_account_id).await?;
    managed.require_dispensable(cx, tx).await?;
    tx.delete_service_account(&managed.account.id).await?;
    let metadata = admin::DeleteServiceAccountMetadata {
        service_account_id: managed.account.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), resource(&managed.account)))
}

async fn list_operations(
    cx: &Context,
    tx: &Tx,
    request: &admin::ListServiceAccountOperationsRequest,
) -> Result<admin::ListServiceAccountOperationsResponse, Error> {
    let account = find(cx, tx, &request.service_account_id).await?;
    let scope = Scope::Organization(&account.organization_id);
    let of = (
        OperationResourceKind::ServiceAccount,
        account.id.as_str(),
        scope,
    );
    let page = (request.page_size, request.page_token.as_str());
    let (operations, next_page_token) = operation::list(cx, tx, of, page).await?;
    Ok(admin::ListServiceAccountOperationsResponse {
        operations,
        next_page_token,
    })
}

/// A service account that the caller may see.
pub(super) async fn find(cx: &Context, tx: &Tx, id: &str) -> Result<ServiceAccount, Error> {
    let found = tx.find_service_account(&ServiceAccountId::from(id)).await?;
    let (account, _) = cx
        .admit(tx, Permission::ServiceAccountsGet, id, found)
        .await?;
    Ok(account)
}

/// A service account that the caller may manage.
pub(super) struct Managed {
    /// The account.
    pub account: ServiceAccount,
    bindings: Vec<AccessBinding>,
    callers: Vec<AccessBinding>,
}

impl Managed {
    async fn find(cx: &Context, tx: &Tx, id: &str) -> Result<Self, Error> {
        Self::find_with(cx, tx, Permission::ServiceAccountsManage, id).await
    }

    /// The account `id`, if the caller has `permission` and rank enough.
    pub async fn find_with(
        cx: &Context,
        tx: &Tx,
        permission: Permission,
        id: &str,
    ) -> Result<Self, Error> {
        let found = tx.find_service_account(&ServiceAccountId::from(id)).await?;
        let (account, callers) = cx.admit(tx, permission, id, found).await?;
        let bindings = bindings_of(tx, &account).await?;
        service_account::check_rank(&bindings, &callers)?;
        Ok(Self {
            account,
            bindings,
            callers,
        })
    }

    /// Requires that no policy forbids what `template` names.
    pub async fn require_allowed(&self, tx: &Tx, template: PolicyTemplate) -> Result<(), Error> {
        let organization_id = &self.account.organization_id;
        access_policy::require_allowed(tx, organization_id, template, &self.callers).await
    }

    async fn require_dispensable(&self, cx: &Context, tx: &Tx) -> Result<(), Error> {
        let account = &self.account;
        let organization = ResourceRef::organization(&account.organization_id);
        let others = tx
            .count_enabled_service_accounts_with_role(&organization, Role::Owner, &account.id)
            .await?;
        let caller = &cx.caller()?.id;
        service_account::check_dispensable(account, &self.bindings, others, caller)?;
        Ok(())
    }
}

/// The bindings of a service account on its organization.
pub(super) async fn bindings_of(
    tx: &Tx,
    account: &ServiceAccount,
) -> Result<Vec<AccessBinding>, Error> {
    let organization = ResourceRef::organization(&account.organization_id);
    let subject = account.subject();
    Ok(tx
        .list_access_bindings_for(&subject, &[organization])
        .await?)
}

/// What operations on an account and its keys are about.
pub(super) fn resource(account: &ServiceAccount) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::ServiceAccount,
        id: account.id.to_string(),
        parent_id: account.organization_id.to_string(),
    }
}

fn render(account: ServiceAccount) -> admin::ServiceAccount {
    admin::ServiceAccount {
        status: account.status().to_wire(),
        id: account.id.into_string(),
        organization_id: account.organization_id.into_string(),
        created_at: Some(render_timestamp(account.created_at)),
        name: account.name,
        description: account.description,
    }
}
