//! `UserpoolService`: pools of users.

use rollcall_domain::access::{Permission, ResourceKind};
use rollcall_domain::filter::{Filter, USERPOOL_FIELDS};
use rollcall_domain::id::{OrganizationId, UserpoolId};
use rollcall_domain::mask::Mask;
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::page::PageRequest;
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::userpool::{UserSettings, Userpool, UserpoolInput};
use rollcall_proto::access;
use rollcall_proto::idp;
use rollcall_proto::idp::userpool_service_server::UserpoolService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::password_policy as policy;
use crate::grpc::{Service, access as bindings, operation, userpool_domain};
use crate::wire::{WireEnum, parse_mask, render_timestamp};

#[tonic::async_trait]
impl UserpoolService for Service {
    async fn get(
        &self,
        request: Request<idp::GetUserpoolRequest>,
    ) -> Result<Response<idp::Userpool>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<idp::ListUserpoolsRequest>,
    ) -> Result<Response<idp::ListUserpoolsResponse>, Status> {
        self.read(request, list).await
    }

    async fn create(
        &self,
        request: Request<idp::CreateUserpoolRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create a user pool", create).await
    }

    async fn update(
        &self,
        request: Request<idp::UpdateUserpoolRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update a user pool", update).await
    }

    async fn delete(
        &self,
        request: Request<idp::DeleteUserpoolRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Delete a user pool", delete).await
    }

    async fn get_domain(
        &self,
        request: Request<idp::GetUserpoolDomainRequest>,
    ) -> Result<Response<idp::Domain>, Status> {
        self.read(request, userpool_domain::get).await
    }

    async fn list_domains(
        &self,
        request: Request<idp::ListUserpoolDomainsRequest>,
    ) -> Result<Response<idp::ListUserpoolDomainsResponse>, Status> {
        self.read(request, userpool_domain::list).await
    }

    async fn add_domain(
        &self,
        request: Request<idp::AddUserpoolDomainRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Add a domain", userpool_domain::add)
            .await
    }

    async fn validate_domain(
        &self,
        request: Request<idp::ValidateUserpoolDomainRequest>,
    ) -> Result<Response<Operation>, Status> {
        let answer = self
            .mutate(request, "Validate a domain", userpool_domain::validate)
            .await;
        self.0.domain_validation_due.notify_one();
        answer
    }

    async fn delete_domain(
        &self,
        request: Request<idp::DeleteUserpoolDomainRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Delete a domain", userpool_domain::delete)
            .await
    }

    async fn list_operations(
        &self,
        request: Request<idp::ListUserpoolOperationsRequest>,
    ) -> Result<Response<idp::ListUserpoolOperationsResponse>, Status> {
        self.read(request, list_operations).await
    }

    async fn list_access_bindings(
        &self,
        request: Request<access::ListAccessBindingsRequest>,
    ) -> Result<Response<access::ListAccessBindingsResponse>, Status> {
        let list = async |cx: &Context, tx: &Tx, request: &access::ListAccessBindingsRequest| {
            bindings::list(cx, tx, request, ResourceKind::Userpool).await
        };
        self.read(request, list).await
    }

    async fn set_access_bindings(
        &self,
        request: Request<access::SetAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let set = async |cx: &Context, tx: &Tx, request: &access::SetAccessBindingsRequest| {
            bindings::set(cx, tx, request, ResourceKind::Userpool).await
        };
        self.mutate(request, "Set the access bindings of a user pool", set)
            .await
    }

    async fn update_access_bindings(
        &self,
        request: Request<access::UpdateAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let update =
            async |cx: &Context, tx: &Tx, request: &access::UpdateAccessBindingsRequest| {
                bindings::update(cx, tx, request, ResourceKind::Userpool).await
            };
        self.mutate(request, "Update the access bindings of a user pool", update)
            .await
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetUserpoolRequest,
) -> Result<idp::Userpool, Error> {
    let id = UserpoolId::from(request.userpool_id.as_str());
    cx.authorize(tx, Permission::UserpoolsGet, Scope::Userpool(&id))
        .await?;
    match tx.find_userpool(&id).await? {
        Some(pool) => render(tx, pool).await,
        None => Err(Refusal::not_found("user pool", id).into()),
    }
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListUserpoolsRequest,
) -> Result<idp::ListUserpoolsResponse, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(
        tx,
        Permission::UserpoolsGet,
        Scope::Organization(&organization_id),
    )
    .await?;
    let filter = Filter::parse(&request.filter, USERPOOL_FIELDS)?;
    let list = cx.list(organization_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_userpools(&organization_id, &filter, &page).await?;
    let mut userpools = Vec::with_capacity(page.items.len());
    for pool in page.items {
        userpools.push(render(tx, pool).await?);
    }
    Ok(idp::ListUserpoolsResponse {
        userpools,
        next_page_token: list.render(page.next.as_ref())?,
    })
}

async fn create(
    cx: &Context,
    tx: &Tx,
    request: &idp::CreateUserpoolRequest,
) -> Result<Done, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(
        tx,
        Permission::UserpoolsCreate,
        Scope::Organization(&organization_id),
    )
    .await?;
    let made = Userpool::create(
        parse_input(request)?,
        &request.default_subdomain,
        &cx.hub.domain_suffix,
        organization_id,
        UserpoolId::new(cx.new_id(UserpoolId::PREFIX)),
        cx.call.now,
    )?;
    let pool = made.userpool;
    cx.require_quota(tx, QuotaScope::UserpoolsOf(&pool.organization_id), 1)
        .await?;
    tx.insert_userpool(&pool).await?;
    tx.insert_userpool_domain(&made.default_domain).await?;
    let metadata = idp::CreateUserpoolMetadata {
        userpool_id: pool.id.to_string(),
    };
    let resource = resource(&pool);
    Ok(Done::new(&metadata, &render(tx, pool).await?, resource))
}

async fn update(
    cx: &Context,
    tx: &Tx,
    request: &idp::UpdateUserpoolRequest,
) -> Result<Done, Error> {
    let id = &request.userpool_id;
    let pool = userpool_domain::find_pool(cx, tx, Permission::UserpoolsUpdate, id).await?;
    let mask: Mask<_> = parse_mask(request.update_mask.as_ref())?;
    let input = parse_input(&idp::CreateUserpoolRequest {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
        user_settings: request.user_settings,
        password_quality_policy: request.password_quality_policy,
        password_lifetime_policy: request.password_lifetime_policy,
        bruteforce_protection_policy: request.bruteforce_protection_policy,
        password_blacklist_policy: request.password_blacklist_policy,
        ..Default::default()
    })?;
    let pool = pool.update(input, &mask, cx.call.now)?;
    tx.save_userpool(&pool).await?;
    let metadata = idp::UpdateUserpoolMetadata {
        userpool_id: pool.id.to_string(),
    };
    let resource = resource(&pool);
    Ok(Done::new(&metadata, &render(tx, pool).await?, resource))
}

async fn delete(
    cx: &Context,
    tx: &Tx,
    request: &idp::DeleteUserpoolRequest,
) -> Result<Done, Error> {
    let id = &request.userpool_id;
    let pool = userpool_domain::find_pool(cx, tx, Permission::UserpoolsDelete, id).await?;
    let now = cx.call.now;
    let contents = tx.count_userpool_contents(&pool.id, now).await?;
    pool.check_deletable(&contents)?;
    userpool_domain::end_validations(cx, tx, &pool.id).await?;
    tx.delete_userpool(&pool.id).await?;
    let metadata = idp::DeleteUserpoolMetadata {
        userpool_id: pool.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), resource(&pool)))
}

async fn list_operations(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListUserpoolOperationsRequest,
) -> Result<idp::ListUserpoolOperationsResponse, Error> {
    let id = request.userpool_id.as_str();
    if id.is_empty() {
        return Err(Refusal::invalid("userpool_id", "must be given").into());
    }
    let pool = userpool_domain::find_pool(cx, tx, Permission::UserpoolsGet, id).await?;
    let scope = Scope::Userpool(&pool.id);
    let of = (OperationResourceKind::Userpool, pool.id.as_str(), scope);
    let page = (request.page_size, request.page_token.as_str());
    let (operations, next_page_token) = operation::list(cx, tx, of, page).await?;
    Ok(idp::ListUserpoolOperationsResponse {
        operations,
        next_page_token,
    })
}

/// What the operations of a pool and of its domains are about.
pub(super) fn resource(pool: &Userpool) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::Userpool,
        id: pool.id.to_string(),
        parent_id: pool.organization_id.to_string(),
    }
}

fn parse_input(request: &idp::CreateUserpoolRequest) -> Result<UserpoolInput, Refusal> {
    let quality_policy = request.password_quality_policy.as_ref();
    Ok(UserpoolInput {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
        user_settings: request.user_settings.as_ref().map(|settings| UserSettings {
            allow_edit_self_password: settings.allow_edit_self_password,
            allow_edit_self_info: settings.allow_edit_self_info,
            allow_edit_self_contacts: settings.allow_edit_self_contacts,
            allow_edit_self_login: settings.allow_edit_self_login,
        }),
        quality_policy: quality_policy.map(policy::parse_quality).transpose()?,
        lifetime_policy: request
            .password_lifetime_policy
            .as_ref()
            .map(policy::parse_lifetime),
        bruteforce_policy: request
            .bruteforce_protection_policy
            .as_ref()
            .map(policy::parse_bruteforce),
        blacklist_policy: request
            .password_blacklist_policy
            .as_ref()
            .map(policy::parse_blacklist),
    })
}

async fn render(tx: &Tx, pool: Userpool) -> Result<idp::Userpool, Error> {
    let domains = tx
        .list_userpool_domains(&pool.id, &Filter::default(), &PageRequest::first())
        .await?
        .items
        .into_iter()
        .map(|domain| domain.name.as_str().to_owned())
        .collect();
    Ok(idp::Userpool {
        id: pool.id.into_string(),
        organization_id: pool.organization_id.into_string(),
        name: pool.name,
        description: pool.description,
        labels: pool.labels,
        created_at: Some(render_timestamp(pool.created_at)),
        updated_at: Some(render_timestamp(pool.updated_at)),
        domains,
        status: pool.status.to_wire(),
        user_settings: Some(idp::UserSettings {
            allow_edit_self_password: pool.user_settings.allow_edit_self_password,
            allow_edit_self_info: pool.user_settings.allow_edit_self_info,
            allow_edit_self_contacts: pool.user_settings.allow_edit_self_contacts,
            allow_edit_self_login: pool.user_settings.allow_edit_self_login,
        }),
        password_quality_policy: Some(policy::render_quality(&pool.quality_policy)),
        password_lifetime_policy: Some(policy::render_lifetime(&pool.lifetime_policy)),
        bruteforce_protection_policy: Some(policy::render_bruteforce(&pool.bruteforce_policy)),
        password_blacklist_policy: Some(policy::render_blacklist(&pool.blacklist_policy)),
    })
}
