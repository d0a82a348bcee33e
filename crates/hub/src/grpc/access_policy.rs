//! Access policies: the handlers behind four methods of `OrganizationService`, and the check of
//! the methods that a policy can forbid.
//!
//! Invariant: a policy is looked up in the transaction of the change that it may forbid.

use rollcall_domain::access::{AccessBinding, Permission};
use rollcall_domain::access_policy::{AccessPolicyBinding, PolicyTemplate};
use rollcall_domain::id::OrganizationId;
use rollcall_domain::operation::OperationResource;
use rollcall_domain::refusal::Refusal;
use rollcall_proto::access as wire;
use rollcall_store::Tx;

use crate::context::{Context, Done, Scope};
use crate::error::Error;

const BINDING: &str = "access_policy_binding";
const BOUND_TEMPLATE: &str = "access_policy_binding.access_policy_template_id";
const PARAMETERS: &str = "access_policy_binding.parameters";

/// Requires that no policy of the organization forbids what `template` names to a caller with
/// these bindings.
///
/// # Errors
/// `Precondition` or `Denied` naming the policy.
pub async fn require_allowed(
    tx: &Tx,
    organization_id: &OrganizationId,
    template: PolicyTemplate,
    bindings: &[AccessBinding],
) -> Result<(), Error> {
    match tx.find_access_policy(organization_id, template).await? {
        Some(policy) => Ok(policy.require_allowed(bindings)?),
        None => Ok(()),
    }
}

/// `ListAccessPolicyBindings`.
pub async fn list(
    cx: &Context,
    tx: &Tx,
    request: &wire::ListAccessPolicyBindingsRequest,
) -> Result<wire::ListAccessPolicyBindingsResponse, Error> {
    let organization_id = OrganizationId::from(request.resource_id.as_str());
    cx.authorize(
        tx,
        Permission::OrganizationsListAccessPolicyBindings,
        Scope::Organization(&organization_id),
    )
    .await?;
    let list = cx.list(organization_id.as_str(), "");
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_access_policies(&organization_id, &page).await?;
    Ok(wire::ListAccessPolicyBindingsResponse {
        access_policy_bindings: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// `BindAccessPolicy`.
pub async fn bind(
    cx: &Context,
    tx: &Tx,
    request: &wire::BindAccessPolicyRequest,
) -> Result<Done, Error> {
    let organization_id = authorize(cx, tx, &request.resource_id).await?;
    let binding = required(request.access_policy_binding.as_ref())?;
    let template = PolicyTemplate::parse_id(BOUND_TEMPLATE, &binding.access_policy_template_id)?;
    let present = tx.find_access_policy(&organization_id, template).await?;
    let resource = OperationResource::organization(&organization_id);
    let policy = AccessPolicyBinding::bind(
        organization_id,
        template,
        binding.parameters.clone(),
        PARAMETERS,
        present.as_ref(),
        cx.call.now,
    )?;
    tx.save_access_policy(&policy).await?;
    let metadata = wire::BindAccessPolicyMetadata {
        resource_id: request.resource_id.clone(),
        access_policy_binding: Some(render(policy)),
    };
    let response = wire::BindAccessPolicyResponse {};
    Ok(Done::new(&metadata, &response, resource))
}

/// `UnbindAccessPolicy`.
pub async fn unbind(
    cx: &Context,
    tx: &Tx,
    request: &wire::UnbindAccessPolicyRequest,
) -> Result<Done, Error> {
    let organization_id = authorize(cx, tx, &request.resource_id).await?;
    let id = &request.access_policy_template_id;
    let template = PolicyTemplate::parse_id("access_policy_template_id", id)?;
    if !tx.delete_access_policy(&organization_id, template).await? {
        return Err(Refusal::not_found("access policy", template).into());
    }
    let metadata = wire::UnbindAccessPolicyMetadata {
        resource_id: request.resource_id.clone(),
        access_policy_template_id: request.access_policy_template_id.clone(),
    };
    let response = wire::UnbindAccessPolicyResponse {};
    Ok(Done::new(
        &metadata,
        &response,
        OperationResource::organization(&organization_id),
    ))
}

/// `UpdateAccessPolicyBindingParameters`: the parameters take the place of all present ones.
pub async fn update_parameters(
    cx: &Context,
    tx: &Tx,
    request: &wire::UpdateAccessPolicyBindingParametersRequest,
) -> Result<Done, Error> {
    let organization_id = authorize(cx, tx, &request.resource_id).await?;
    let binding = required(request.access_policy_binding.as_ref())?;
    let template = PolicyTemplate::parse_id(BOUND_TEMPLATE, &binding.access_policy_template_id)?;
    let policy = tx.find_access_policy(&organization_id, template).await?;
    let policy = policy
        .ok_or_else(|| Refusal::not_found("access policy", template))?
        .with_parameters(binding.parameters.clone(), PARAMETERS)?;
    tx.save_access_policy(&policy).await?;
    let metadata = wire::UpdateAccessPolicyBindingParametersMetadata {
        resource_id: request.resource_id.clone(),
        access_policy_binding: Some(render(policy)),
    };
    let response = wire::UpdateAccessPolicyBindingParametersResponse {};
    Ok(Done::new(
        &metadata,
        &response,
        OperationResource::organization(&organization_id),
    ))
}

async fn authorize(cx: &Context, tx: &Tx, id: &str) -> Result<OrganizationId, Error> {
    let organization_id = OrganizationId::from(id);
    cx.authorize(
        tx,
        Permission::OrganizationsUpdateAccessPolicyBindings,
        Scope::Organization(&organization_id),
    )
    .await?;
    Ok(organization_id)
}

fn required(
    binding: Option<&wire::AccessPolicyBinding>,
) -> Result<&wire::AccessPolicyBinding, Refusal> {
    binding.ok_or_else(|| Refusal::invalid(BINDING, "must be set"))
}

fn render(policy: AccessPolicyBinding) -> wire::AccessPolicyBinding {
    wire::AccessPolicyBinding {
        access_policy_template_id: policy.template.to_string(),
        parameters: policy.parameters,
    }
}
