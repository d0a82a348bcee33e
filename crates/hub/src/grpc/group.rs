//! `GroupService`: groups and their members.

use rollcall_domain::access::Permission;
use rollcall_domain::filter::{Filter, GROUP_FIELDS};
use rollcall_domain::group::{ExternalKey, Group, GroupField, GroupInput};
use rollcall_domain::id::{GroupId, OrganizationId, UserId, UserpoolId};
use rollcall_domain::mask::Mask;
use rollcall_domain::membership::{self, MemberDelta};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::quota::{Quota, QuotaScope};
use rollcall_domain::refusal::Refusal;
use rollcall_proto::access as wire_access;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::group_service_server::GroupService;
use rollcall_store::{MemberScope, Tx};
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, not_served};
use crate::page_token::ListKey;
use crate::wire::{WireEnum, parse_mask, render_timestamp};

/// What a member of a group is, as the interface calls it.
const MEMBER_TYPE: &str = "userAccount";

#[tonic::async_trait]
impl GroupService for Service {
    async fn get(
        &self,
        request: Request<om::GetGroupRequest>,
    ) -> Result<Response<om::Group>, Status> {
        self.read(request, get).await
    }

    async fn resolve_external(
        &self,
        request: Request<om::ResolveExternalGroupRequest>,
    ) -> Result<Response<om::Group>, Status> {
        self.read(request, resolve_external).await
    }

    async fn list(
        &self,
        request: Request<om::ListGroupsRequest>,
    ) -> Result<Response<om::ListGroupsResponse>, Status> {
        self.read(request, list).await
    }

    async fn list_external(
        &self,
        request: Request<om::ListExternalGroupsRequest>,
    ) -> Result<Response<om::ListExternalGroupsResponse>, Status> {
        self.read(request, list_external).await
    }

    async fn create_external(
        &self,
        request: Request<om::CreateExternalGroupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create an external group", create_external)
            .await
    }

    async fn convert_to_external(
        &self,
        request: Request<om::ConvertToExternalGroupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Convert a group to an external group",
            convert_to_external,
        )
        .await
    }

    async fn update(
        &self,
        request: Request<om::UpdateGroupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update a group", update).await
    }

    async fn delete(
        &self,
        request: Request<om::DeleteGroupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Delete a group", delete).await
    }

    async fn list_members(
        &self,
        request: Request<om::ListGroupMembersRequest>,
    ) -> Result<Response<om::ListGroupMembersResponse>, Status> {
        self.read(request, list_members).await
    }

    async fn update_members(
        &self,
        request: Request<om::UpdateGroupMembersRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update members of a group", update_members)
            .await
    }

    not_served! {
        create(om::CreateGroupRequest) -> Operation;
        convert_all_to_basic(om::ConvertAllToBasicGroupsRequest) -> Operation;
        list_operations(om::ListGroupOperationsRequest) -> om::ListGroupOperationsResponse;
        list_access_bindings(wire_access::ListAccessBindingsRequest)
            -> wire_access::ListAccessBindingsResponse;
        set_access_bindings(wire_access::SetAccessBindingsRequest) -> Operation;
        update_access_bindings(wire_access::UpdateAccessBindingsRequest) -> Operation;
        list_effective(om::ListEffectiveRequest) -> om::ListEffectiveResponse;
    }
}

async fn get(cx: &Context, tx: &Tx, request: &om::GetGroupRequest) -> Result<om::Group, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    Ok(render(group))
}

async fn resolve_external(
    cx: &Context,
    tx: &Tx,
    request: &om::ResolveExternalGroupRequest,
) -> Result<om::Group, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsGet, Scope::Userpool(&pool_id))
        .await?;
    let key = ExternalKey::new(pool_id, request.external_id.as_str())?;
    match tx.find_group_by_external_key(&key).await? {
        Some(group) => Ok(render(group)),
        None => Err(Refusal::not_found("group with external id", key.external_id).into()),
    }
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &om::ListGroupsRequest,
) -> Result<om::ListGroupsResponse, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(
        tx,
        Permission::GroupsGet,
        Scope::Organization(&organization_id),
    )
    .await?;
    let filter = Filter::parse(&request.filter, GROUP_FIELDS)?;
    let list = ListKey {
        method: cx.method(),
        parent: organization_id.as_str(),
        filter: &request.filter,
    };
    let tokens = &cx.hub.page_tokens;
    let page = tokens.parse(list, request.page_size, &request.page_token)?;
    let page = tx.list_groups(&organization_id, &filter, &page).await?;
    Ok(om::ListGroupsResponse {
        groups: page.items.into_iter().map(render).collect(),
        next_page_token: tokens.render(list, page.next.as_ref())?,
    })
}

async fn list_external(
    cx: &Context,
    tx: &Tx,
    request: &om::ListExternalGroupsRequest,
) -> Result<om::ListExternalGroupsResponse, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsGet, Scope::Userpool(&pool_id))
        .await?;
    let filter = Filter::parse(&request.filter, GROUP_FIELDS)?;
    let list = ListKey {
        method: cx.method(),
        parent: pool_id.as_str(),
        filter: &request.filter,
    };
    let tokens = &cx.hub.page_tokens;
    let page = tokens.parse(list, request.page_size, &request.page_token)?;
    let page = tx.list_external_groups(&pool_id, &filter, &page).await?;
    Ok(om::ListExternalGroupsResponse {
        groups: page.items.into_iter().map(render).collect(),
        next_page_token: tokens.render(list, page.next.as_ref())?,
    })
}

async fn create_external(
    cx: &Context,
    tx: &Tx,
    request: &om::CreateExternalGroupRequest,
) -> Result<Done, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsBind, Scope::Userpool(&pool_id))
        .await?;
    cx.authorize(
        tx,
        Permission::GroupsCreateExternal,
        Scope::Organization(&organization_id),
    )
    .await?;
    require_pool_of(tx, &pool_id, &organization_id).await?;
    let key = ExternalKey::new(pool_id, request.external_id.as_str())?;
    let input = GroupInput {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
    };
    let id = GroupId::new(cx.new_id(GroupId::PREFIX));
    let group = Group::create(organization_id, input, Some(key), id, cx.call.now)?;
    insert(cx, tx, &group).await?;
    if request.make_editor {
        tx.insert_access_binding(&group.editor_binding(cx.caller()?.clone()))
            .await?;
    }
    let metadata = om::CreateExternalGroupMetadata {
        group_id: group.id.to_string(),
        organization_id: request.organization_id.clone(),
        group_name: group.name.clone(),
        subject_container_id: request.subject_container_id.clone(),
        external_id: request.external_id.clone(),
        make_editor: request.make_editor,
    };
    let resource = resource(&group);
    Ok(Done::new(&metadata, &render(group), resource))
}

async fn convert_to_external(
    cx: &Context,
    tx: &Tx,
    request: &om::ConvertToExternalGroupRequest,
) -> Result<Done, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsConvertExternal).await?;
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsBind, Scope::Userpool(&pool_id))
        .await?;
    require_pool_of(tx, &pool_id, &group.organization_id).await?;
    let key = ExternalKey::new(pool_id, request.external_id.as_str())?;
    let group = group.convert_to_external(key, cx.call.now)?;
    tx.save_group(&group).await?;
    if request.make_editor {
        tx.insert_access_binding(&group.editor_binding(cx.caller()?.clone()))
            .await?;
    }
    let metadata = om::ConvertToExternalGroupMetadata {
        group_id: group.id.to_string(),
        subject_container_id: request.subject_container_id.clone(),
        external_id: request.external_id.clone(),
        make_editor: request.make_editor,
    };
    let resource = resource(&group);
    Ok(Done::new(&metadata, &render(group), resource))
}

async fn update(cx: &Context, tx: &Tx, request: &om::UpdateGroupRequest) -> Result<Done, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    let mask: Mask<GroupField> = parse_mask(request.update_mask.as_ref())?;
    for permission in required_for_update(&group, request, &mask) {
        cx.authorize(tx, *permission, Scope::Group(&group)).await?;
    }
    let input = GroupInput {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
    };
    let group = group.update(input, &mask, cx.call.now)?;
    tx.save_group(&group).await?;
    let metadata = om::UpdateGroupMetadata {
        group_id: group.id.to_string(),
    };
    let resource = resource(&group);
    Ok(Done::new(&metadata, &render(group), resource))
}

/// Name and description of an external group belong to its managers, its labels to ordinary
/// editors (decision U79). Whoever sends all fields back needs no right on labels left alone.
fn required_for_update(
    group: &Group,
    request: &om::UpdateGroupRequest,
    mask: &Mask<GroupField>,
) -> &'static [Permission] {
    let only_labels = !mask.covers(GroupField::Name) && !mask.covers(GroupField::Description);
    let labels_change = mask.covers(GroupField::Labels) && request.labels != group.labels;
    if !group.is_external() || only_labels {
        &[Permission::GroupsManage]
    } else if labels_change {
        &[Permission::GroupsManageExternal, Permission::GroupsManage]
    } else {
        &[Permission::GroupsManageExternal]
    }
}

async fn delete(cx: &Context, tx: &Tx, request: &om::DeleteGroupRequest) -> Result<Done, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    cx.authorize(
        tx,
        managing(&group, Permission::GroupsManage),
        Scope::Group(&group),
    )
    .await?;
    tx.delete_group(&group.id).await?;
    let metadata = om::DeleteGroupMetadata {
        group_id: group.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), resource(&group)))
}

async fn list_members(
    cx: &Context,
    tx: &Tx,
    request: &om::ListGroupMembersRequest,
) -> Result<om::ListGroupMembersResponse, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsListMembers).await?;
    let list = ListKey {
        method: cx.method(),
        parent: group.id.as_str(),
        filter: "",
    };
    let tokens = &cx.hub.page_tokens;
    let page = tokens.parse(list, request.page_size, &request.page_token)?;
    let page = tx
        .list_members(&group.id, MemberScope::Active, &page)
        .await?;
    Ok(om::ListGroupMembersResponse {
        members: page
            .items
            .into_iter()
            .map(|member| om::GroupMember {
                subject_id: member.user_id.into_string(),
                subject_type: MEMBER_TYPE.to_owned(),
            })
            .collect(),
        next_page_token: tokens.render(list, page.next.as_ref())?,
    })
}

async fn update_members(
    cx: &Context,
    tx: &Tx,
    request: &om::UpdateGroupMembersRequest,
) -> Result<Done, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    let permission = managing(&group, Permission::GroupsUpdateMembers);
    cx.authorize(tx, permission, Scope::Group(&group)).await?;
    let deltas = parse_deltas(&request.member_deltas)?;
    membership::check_deltas(&deltas)?;
    let facts = tx.find_membership_facts(&group, &deltas).await?;
    let change = membership::update_members(&deltas, &facts)?;
    tx.remove_members(&group.id, &change.removed).await?;
    require_room(cx, tx, &group.id, &change.added).await?;
    tx.add_members(&group.id, &change.added, cx.call.now)
        .await?;
    let metadata = om::UpdateGroupMembersMetadata {
        group_id: group.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), resource(&group)))
}

/// Requires room for these new members: in the group, and in the number of groups of each.
async fn require_room(
    cx: &Context,
    tx: &Tx,
    group_id: &GroupId,
    added: &[UserId],
) -> Result<(), Error> {
    let count = added.len() as u64;
    cx.require_quota(tx, QuotaScope::MembersOf(group_id), count)
        .await?;
    let quotas = &cx.hub.quotas;
    if quotas.limit(Quota::GroupsPerUser).is_some() {
        for (user_id, present) in tx.count_groups_of_users(added).await? {
            quotas.require(QuotaScope::GroupsOfUser(&user_id), present, 1)?;
        }
    }
    Ok(())
}

async fn insert(cx: &Context, tx: &Tx, group: &Group) -> Result<(), Error> {
    cx.require_quota(tx, QuotaScope::GroupsOf(&group.organization_id), 1)
        .await?;
    Ok(tx.insert_group(group).await?)
}

/// Finds a group the caller has `permission` on.
async fn find(cx: &Context, tx: &Tx, id: &str, permission: Permission) -> Result<Group, Error> {
    let found = tx.find_group(&GroupId::from(id)).await?;
    Ok(cx.admit(tx, permission, id, found).await?.0)
}

/// What a change of `group` needs: external groups have their own managers (decision U79).
fn managing(group: &Group, basic: Permission) -> Permission {
    if group.is_external() {
        Permission::GroupsManageExternal
    } else {
        basic
    }
}

async fn require_pool_of(
    tx: &Tx,
    pool_id: &UserpoolId,
    organization_id: &OrganizationId,
) -> Result<(), Error> {
    let pool = tx.find_userpool(pool_id).await?;
    if pool.is_some_and(|pool| pool.organization_id == *organization_id) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "subject_container_id",
        format!("must be a user pool of organization {organization_id}"),
    )
    .into())
}

fn parse_deltas(deltas: &[om::MemberDelta]) -> Result<Vec<MemberDelta>, Refusal> {
    deltas
        .iter()
        .enumerate()
        .map(|(index, delta)| {
            let field = format!("member_deltas[{index}].action");
            Ok(MemberDelta {
                action: WireEnum::parse_wire(&field, delta.action)?,
                user_id: delta.subject_id.as_str().into(),
            })
        })
        .collect()
}

fn resource(group: &Group) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::Group,
        id: group.id.to_string(),
        parent_id: group.organization_id.to_string(),
    }
}

fn render(group: Group) -> om::Group {
    let (subject_container_id, external_id) = match group.external {
        Some(key) => (key.subject_container_id.into_string(), key.external_id),
        None => (String::new(), String::new()),
    };
    om::Group {
        id: group.id.into_string(),
        organization_id: group.organization_id.into_string(),
        created_at: Some(render_timestamp(group.created_at)),
        name: group.name,
        description: group.description,
        subject_container_id,
        external_id,
        labels: group.labels,
    }
}
