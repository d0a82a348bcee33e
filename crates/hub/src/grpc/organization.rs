//! `OrganizationService`: the organizations a caller may see.

use rollcall_domain::access::{Permission, ResourceKind};
use rollcall_domain::filter::{Filter, ORGANIZATION_FIELDS};
use rollcall_domain::id::OrganizationId;
use rollcall_domain::mask::Mask;
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::organization::{Organization, OrganizationInput};
use rollcall_domain::refusal::Refusal;
use rollcall_proto::access;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::organization_service_server::OrganizationService;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, access as bindings, access_policy, operation};
use crate::wire::{parse_mask, render_timestamp};

#[tonic::async_trait]
impl OrganizationService for Service {
    async fn get(
        &self,
        request: Request<om::GetOrganizationRequest>,
    ) -> Result<Response<om::Organization>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<om::ListOrganizationsRequest>,
    ) -> Result<Response<om::ListOrganizationsResponse>, Status> {
        self.read(request, list).await
    }

    async fn update(
        &self,
        request: Request<om::UpdateOrganizationRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update an organization", update).await
    }

    async fn list_operations(
        &self,
        request: Request<om::ListOrganizationOperationsRequest>,
    ) -> Result<Response<om::ListOrganizationOperationsResponse>, Status> {
        self.read(request, list_operations).await
    }

    async fn list_access_bindings(
        &self,
        request: Request<access::ListAccessBindingsRequest>,
    ) -> Result<Response<access::ListAccessBindingsResponse>, Status> {
        let list = async |cx: &Context, tx: &Tx, request: &access::ListAccessBindingsRequest| {
            bindings::list(cx, tx, request, ResourceKind::Organization).await
        };
        self.read(request, list).await
    }

    async fn set_access_bindings(
        &self,
        request: Request<access::SetAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let set = async |cx: &Context, tx: &Tx, request: &access::SetAccessBindingsRequest| {
            bindings::set(cx, tx, request, ResourceKind::Organization).await
        };
        self.mutate(request, "Set the access bindings of an organization", set)
            .await
    }

    async fn update_access_bindings(
        &self,
        request: Request<access::UpdateAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let update =
            async |cx: &Context, tx: &Tx, request: &access::UpdateAccessBindingsRequest| {
                bindings::update(cx, tx, request, ResourceKind::Organization).await
            };
        self.mutate(
            request,
            "Update the access bindings of an organization",
            update,
        )
        .await
    }

    async fn list_access_policy_bindings(
        &self,
        request: Request<access::ListAccessPolicyBindingsRequest>,
    ) -> Result<Response<access::ListAccessPolicyBindingsResponse>, Status> {
        self.read(request, access_policy::list).await
    }

    async fn bind_access_policy(
        &self,
        request: Request<access::BindAccessPolicyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Bind an access policy", access_policy::bind)
            .await
    }

    async fn unbind_access_policy(
        &self,
        request: Request<access::UnbindAccessPolicyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Unbind an access policy", access_policy::unbind)
            .await
    }

    async fn update_access_policy_binding_parameters(
        &self,
        request: Request<access::UpdateAccessPolicyBindingParametersRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Update the parameters of an access policy",
            access_policy::update_parameters,
        )
        .await
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &om::GetOrganizationRequest,
) -> Result<om::Organization, Error> {
    let id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(tx, Permission::OrganizationsGet, Scope::Organization(&id))
        .await?;
    match tx.find_organization(&id).await? {
        Some(organization) => Ok(render(organization)),
        None => Err(Refusal::not_found("organization", id).into()),
    }
}

/// Lists only what the caller may see; neither pages nor their tokens tell of the rest.
async fn list(
    cx: &Context,
    tx: &Tx,
    request: &om::ListOrganizationsRequest,
) -> Result<om::ListOrganizationsResponse, Error> {
    let filter = Filter::parse(&request.filter, ORGANIZATION_FIELDS)?;
    let list = cx.list("", &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let permission = Permission::OrganizationsGet;
    let page = tx
        .list_organizations_for(cx.caller()?, permission, &filter, &page)
        .await?;
    Ok(om::ListOrganizationsResponse {
        organizations: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

async fn update(
    cx: &Context,
    tx: &Tx,
    request: &om::UpdateOrganizationRequest,
) -> Result<Done, Error> {
    let id = OrganizationId::from(request.organization_id.as_str());
    let scope = Scope::Organization(&id);
    cx.authorize(tx, Permission::OrganizationsUpdate, scope)
        .await?;
    let Some(organization) = tx.find_organization(&id).await? else {
        return Err(Refusal::not_found("organization", id).into());
    };
    let mask: Mask<_> = parse_mask(request.update_mask.as_ref())?;
    let input = OrganizationInput {
        name: request.name.clone(),
        title: request.title.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
    };
    let organization = organization.update(input, &mask, cx.call.now)?;
    tx.save_organization(&organization).await?;
    let metadata = om::UpdateOrganizationMetadata {
        organization_id: id.to_string(),
    };
    let resource = OperationResource::organization(&id);
    Ok(Done::new(&metadata, &render(organization), resource))
}

async fn list_operations(
    cx: &Context,
    tx: &Tx,
    request: &om::ListOrganizationOperationsRequest,
) -> Result<om::ListOrganizationOperationsResponse, Error> {
    let id = OrganizationId::from(request.organization_id.as_str());
    let scope = Scope::Organization(&id);
    cx.authorize(tx, Permission::OrganizationsGet, scope)
        .await?;
    let of = (OperationResourceKind::Organization, id.as_str(), scope);
    let page = (request.page_size, request.page_token.as_str());
    let (operations, next_page_token) = operation::list(cx, tx, of, page).await?;
    Ok(om::ListOrganizationOperationsResponse {
        operations,
        next_page_token,
    })
}

fn render(organization: Organization) -> om::Organization {
    om::Organization {
        id: organization.id.into_string(),
        created_at: Some(render_timestamp(organization.created_at)),
        name: organization.name,
        description: organization.description,
        title: organization.title,
        labels: organization.labels,
    }
}
