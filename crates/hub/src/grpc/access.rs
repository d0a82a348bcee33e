//! Access bindings: the handlers behind three methods of organizations, pools and groups each.
//!
//! Invariant: the three kinds of resources differ in their permissions, their quota and what
//! their operations answer, and in nothing else. Deliberately absent: rights themselves, which
//! `context` judges.

use rollcall_domain::access::binding::{self, BindingAction, BindingDelta, BindingFacts};
use rollcall_domain::access::{AccessBinding, Permission, ResourceKind, ResourceRef, Role};
use rollcall_domain::id::{GroupId, OrganizationId, SubjectId, UserpoolId};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_proto::access as wire;
use rollcall_store::Tx;

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::wire::WireEnum;

/// Path of the batch of `UpdateAccessBindings`.
const DELTAS: &str = "access_binding_deltas";
/// Path of the list of `SetAccessBindings`.
const BINDINGS: &str = "access_bindings";

/// What is done with bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    List,
    Change,
}

/// A resource that the caller may list or change the bindings of.
struct Target {
    resource: ResourceRef,
    organization_id: OrganizationId,
    /// Bindings of the caller that count there.
    counting: Vec<AccessBinding>,
}

/// `ListAccessBindings`.
pub async fn list(
    cx: &Context,
    tx: &Tx,
    request: &wire::ListAccessBindingsRequest,
    kind: ResourceKind,
) -> Result<wire::ListAccessBindingsResponse, Error> {
    let target = find_target(cx, tx, kind, &request.resource_id, Use::List).await?;
    let list = cx.list(&target.resource.id, "");
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx
        .list_access_bindings_page(&target.resource, &page)
        .await?;
    Ok(wire::ListAccessBindingsResponse {
        access_bindings: page.items.iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// `SetAccessBindings`: what is not named goes.
pub async fn set(
    cx: &Context,
    tx: &Tx,
    request: &wire::SetAccessBindingsRequest,
    kind: ResourceKind,
) -> Result<Done, Error> {
    let target = find_target(cx, tx, kind, &request.resource_id, Use::Change).await?;
    let wanted = request.access_bindings.iter().enumerate();
    let wanted: Vec<_> = wanted
        .map(|(index, binding)| {
            parse(
                &format!("{BINDINGS}[{index}]"),
                &target.resource,
                Some(binding),
            )
        })
        .collect::<Result<_, _>>()?;
    let subjects = wanted.iter().map(|binding| binding.subject.id.clone());
    let mut facts = find_facts(tx, &target, subjects.collect()).await?;
    let all = tx.list_access_bindings(&target.resource).await?;
    facts.present.extend(all);
    let effective = binding::replace(BINDINGS, &wanted, &facts)?;
    save(cx, tx, &target, &effective).await?;
    let resource_id = request.resource_id.clone();
    let metadata = wire::SetAccessBindingsMetadata { resource_id };
    Ok(done(&metadata, &target, &effective))
}

/// `UpdateAccessBindings`.
pub async fn update(
    cx: &Context,
    tx: &Tx,
    request: &wire::UpdateAccessBindingsRequest,
    kind: ResourceKind,
) -> Result<Done, Error> {
    let target = find_target(cx, tx, kind, &request.resource_id, Use::Change).await?;
    let deltas = parse_deltas(&target.resource, &request.access_binding_deltas)?;
    let subjects = deltas.iter().map(|delta| delta.binding.subject.id.clone());
    let facts = find_facts(tx, &target, subjects.collect()).await?;
    let effective = binding::update(DELTAS, &deltas, &facts)?;
    save(cx, tx, &target, &effective).await?;
    let resource_id = request.resource_id.clone();
    let metadata = wire::UpdateAccessBindingsMetadata { resource_id };
    Ok(done(&metadata, &target, &effective))
}

async fn find_target(
    cx: &Context,
    tx: &Tx,
    kind: ResourceKind,
    id: &str,
    purpose: Use,
) -> Result<Target, Error> {
    let permission = required(kind, purpose);
    match kind {
        ResourceKind::Organization => {
            let organization_id = OrganizationId::from(id);
            let scope = Scope::Organization(&organization_id);
            Ok(Target {
                counting: cx.authorize(tx, permission, scope).await?,
                resource: ResourceRef::organization(&organization_id),
                organization_id,
            })
        }
        ResourceKind::Userpool => {
            let pool_id = UserpoolId::from(id);
            let scope = Scope::Userpool(&pool_id);
            let counting = cx.authorize(tx, permission, scope).await?;
            let pool = tx.find_userpool(&pool_id).await?;
            let pool = pool.ok_or_else(|| Refusal::not_found("user pool", id))?;
            Ok(Target {
                resource: ResourceRef::userpool(&pool_id),
                organization_id: pool.organization_id,
                counting,
            })
        }
        ResourceKind::Group => {
            let found = tx.find_group(&GroupId::from(id)).await?;
            let (group, counting) = cx.admit(tx, permission, id, found).await?;
            Ok(Target {
                resource: ResourceRef::group(&group.id),
                organization_id: group.organization_id,
                counting,
            })
        }
    }
}

fn required(kind: ResourceKind, purpose: Use) -> Permission {
    match (kind, purpose) {
        (ResourceKind::Organization, Use::List) => Permission::OrganizationsListAccessBindings,
        (ResourceKind::Organization, Use::Change) => Permission::OrganizationsUpdateAccessBindings,
        (ResourceKind::Userpool, Use::List) => Permission::UserpoolsListAccessBindings,
        (ResourceKind::Userpool, Use::Change) => Permission::UserpoolsUpdateAccessBindings,
        (ResourceKind::Group, Use::List) => Permission::GroupsListAccessBindings,
        (ResourceKind::Group, Use::Change) => Permission::GroupsUpdateAccessBindings,
    }
}

async fn find_facts(
    tx: &Tx,
    target: &Target,
    subjects: Vec<SubjectId>,
) -> Result<BindingFacts, Error> {
    let resource = &target.resource;
    let present = tx
        .list_access_bindings_of_subjects(resource, &subjects)
        .await?;
    let owners = tx
        .list_access_bindings_of_role(resource, Role::Owner)
        .await?;
    let concerned = owners.iter().map(|owner| &owner.subject.id);
    let concerned: Vec<_> = concerned.chain(&subjects).cloned().collect();
    Ok(BindingFacts {
        organization_id: target.organization_id.clone(),
        enabled: tx
            .find_enabled_service_accounts(&target.organization_id, &concerned)
            .await?,
        present: present.into_iter().chain(owners).collect(),
        kinds: tx
            .find_subject_kinds(&target.organization_id, &subjects)
            .await?,
        callers: target.counting.clone(),
    })
}

/// Removes first, so that an exchange fits into a full quota.
async fn save(
    cx: &Context,
    tx: &Tx,
    target: &Target,
    effective: &[BindingDelta],
) -> Result<(), Error> {
    let with = |action| {
        effective
            .iter()
            .filter(move |delta| delta.action == action)
            .map(|delta| &delta.binding)
    };
    for binding in with(BindingAction::Remove) {
        tx.delete_access_binding(binding).await?;
    }
    if target.resource.kind == ResourceKind::Organization {
        let scope = QuotaScope::AccessBindingsOf(&target.organization_id);
        let added = with(BindingAction::Add).count() as u64;
        cx.require_quota(tx, scope, added).await?;
    }
    for binding in with(BindingAction::Add) {
        tx.insert_access_binding(binding).await?;
    }
    Ok(())
}

fn parse(
    field: &str,
    resource: &ResourceRef,
    binding: Option<&wire::AccessBinding>,
) -> Result<AccessBinding, Refusal> {
    let binding = binding.ok_or_else(|| Refusal::invalid(field, "must be set"))?;
    let subject = binding.subject.as_ref();
    let subject =
        subject.ok_or_else(|| Refusal::invalid(format!("{field}.subject"), "must be set"))?;
    AccessBinding::parse(
        field,
        resource,
        &binding.role_id,
        &subject.id,
        &subject.r#type,
    )
}

fn parse_deltas(
    resource: &ResourceRef,
    deltas: &[wire::AccessBindingDelta],
) -> Result<Vec<BindingDelta>, Refusal> {
    deltas
        .iter()
        .enumerate()
        .map(|(index, delta)| {
            let field = format!("{DELTAS}[{index}]");
            let binding = delta.access_binding.as_ref();
            Ok(BindingDelta {
                action: WireEnum::parse_wire(&format!("{field}.action"), delta.action)?,
                binding: parse(&format!("{field}.access_binding"), resource, binding)?,
            })
        })
        .collect()
}

/// The operation of a change: of an organization it answers nothing, else what really changed.
fn done<M: prost::Message + prost::Name>(
    metadata: &M,
    target: &Target,
    effective: &[BindingDelta],
) -> Done {
    let below = |kind| OperationResource {
        kind,
        id: target.resource.id.clone(),
        parent_id: target.organization_id.to_string(),
    };
    let resource = match target.resource.kind {
        ResourceKind::Organization => {
            let resource = OperationResource::organization(&target.organization_id);
            return Done::new(metadata, &(), resource);
        }
        ResourceKind::Userpool => below(OperationResourceKind::Userpool),
        ResourceKind::Group => below(OperationResourceKind::Group),
    };
    let response = wire::AccessBindingsOperationResult {
        effective_deltas: effective.iter().map(render_delta).collect(),
    };
    Done::new(metadata, &response, resource)
}

fn render_delta(delta: &BindingDelta) -> wire::AccessBindingDelta {
    wire::AccessBindingDelta {
        action: delta.action.to_wire(),
        access_binding: Some(render(&delta.binding)),
    }
}

fn render(binding: &AccessBinding) -> wire::AccessBinding {
    wire::AccessBinding {
        role_id: binding.role.to_string(),
        subject: Some(wire::Subject {
            id: binding.subject.id.to_string(),
            r#type: binding.subject.kind.to_string(),
        }),
    }
}
