//! `GroupService`: groups. Its calls about members are in `membership`.

use rollcall_domain::access::{Permission, ResourceKind};
use rollcall_domain::filter::{Filter, GROUP_FIELDS};
use rollcall_domain::group::{ExternalKey, Group, GroupField, GroupInput};
use rollcall_domain::id::{GroupId, OrganizationId, UserpoolId};
use rollcall_domain::mask::Mask;
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::tally::Tally;
use rollcall_proto::access as wire_access;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::group_service_server::GroupService;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, access as bindings, membership, operation};
use crate::wire::{parse_mask, render_timestamp};

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

    async fn create(
        &self,
        request: Request<om::CreateGroupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create a group", create).await
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

    async fn convert_all_to_basic(
        &self,
        request: Request<om::ConvertAllToBasicGroupsRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Convert all external groups of a user pool to basic groups",
            convert_all_to_basic,
        )
        .await
    }

    async fn list_operations(
        &self,
        request: Request<om::ListGroupOperationsRequest>,
    ) -> Result<Response<om::ListGroupOperationsResponse>, Status> {
        self.read(request, list_operations).await
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
        self.read(request, membership::list_members).await
    }

    async fn update_members(
        &self,
        request: Request<om::UpdateGroupMembersRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Update members of a group",
            membership::update_members,
        )
        .await
    }

    async fn list_effective(
        &self,
        request: Request<om::ListEffectiveRequest>,
    ) -> Result<Response<om::ListEffectiveResponse>, Status> {
        self.read(request, membership::list_effective).await
    }

    async fn list_access_bindings(
        &self,
        request: Request<wire_access::ListAccessBindingsRequest>,
    ) -> Result<Response<wire_access::ListAccessBindingsResponse>, Status> {
        let list =
            async |cx: &Context, tx: &Tx, request: &wire_access::ListAccessBindingsRequest| {
                bindings::list(cx, tx, request, ResourceKind::Group).await
            };
        self.read(request, list).await
    }

    async fn set_access_bindings(
        &self,
        request: Request<wire_access::SetAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let set = async |cx: &Context, tx: &Tx, request: &wire_access::SetAccessBindingsRequest| {
            bindings::set(cx, tx, request, ResourceKind::Group).await
        };
        self.mutate(request, "Set the access bindings of a group", set)
            .await
    }

    async fn update_access_bindings(
        &self,
        request: Request<wire_access::UpdateAccessBindingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        let update =
            async |cx: &Context, tx: &Tx, request: &wire_access::UpdateAccessBindingsRequest| {
                bindings::update(cx, tx, request, ResourceKind::Group).await
            };
        self.mutate(request, "Update the access bindings of a group", update)
            .await
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
    let list = cx.list(organization_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_groups(&organization_id, &filter, &page).await?;
    Ok(om::ListGroupsResponse {
        groups: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
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
    let list = cx.list(pool_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_external_groups(&pool_id, &filter, &page).await?;
    Ok(om::ListExternalGroupsResponse {
        groups: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

async fn create(cx: &Context, tx: &Tx, request: &om::CreateGroupRequest) -> Result<Done, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    let scope = Scope::Organization(&organization_id);
    cx.authorize(tx, Permission::GroupsManage, scope).await?;
    let input = GroupInput {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
    };
    let id = GroupId::new(cx.new_id(GroupId::PREFIX));
    let group = Group::create(organization_id, input, None, id, cx.call.now)?;
    insert(cx, tx, &group).await?;
    let metadata = om::CreateGroupMetadata {
        group_id: group.id.to_string(),
    };
    let resource = resource(&group);
    let made = Tally::one(ObjectType::Group, ChangeType::Create);
    Ok(Done::new(&metadata, &render(group), resource).counting(made))
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
    let made = Tally::one(ObjectType::Group, ChangeType::Create);
    Ok(Done::new(&metadata, &render(group), resource).counting(made))
}

async fn convert_to_external(
    cx: &Context,
    tx: &Tx,
    request: &om::ConvertToExternalGroupRequest,
) -> Result<Done, Error> {
    let before = find(cx, tx, &request.group_id, Permission::GroupsConvertExternal).await?;
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsBind, Scope::Userpool(&pool_id))
        .await?;
    require_pool_of(tx, &pool_id, &before.organization_id).await?;
    let key = ExternalKey::new(pool_id, request.external_id.as_str())?;
    let group = before.convert_to_external(key, cx.call.now)?;
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
    let tally = Tally::one_if(group != before, ObjectType::Group, ChangeType::Update);
    Ok(Done::new(&metadata, &render(group), resource).counting(tally))
}

/// Unties every group of a pool in one step, however many there are; groups and members stay
/// (decision U80).
async fn convert_all_to_basic(
    cx: &Context,
    tx: &Tx,
    request: &om::ConvertAllToBasicGroupsRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::ExtGroupsUnbind, Scope::Userpool(&pool_id))
        .await?;
    let Some(pool) = tx.find_userpool(&pool_id).await? else {
        return Err(Refusal::not_found("user pool", pool_id).into());
    };
    let untied = tx.convert_groups_to_basic(&pool.id, cx.call.now).await?;
    let metadata = om::ConvertAllToBasicGroupsMetadata {
        subject_container_id: pool.id.to_string(),
    };
    let resource = OperationResource {
        kind: OperationResourceKind::Userpool,
        id: pool.id.into_string(),
        parent_id: pool.organization_id.into_string(),
    };
    let tally = Tally::of(ObjectType::Group, ChangeType::Update, untied);
    Ok(Done::new(&metadata, &(), resource).counting(tally))
}

async fn list_operations(
    cx: &Context,
    tx: &Tx,
    request: &om::ListGroupOperationsRequest,
) -> Result<om::ListGroupOperationsResponse, Error> {
    let group = find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    let scope = Scope::Group(&group);
    let of = (OperationResourceKind::Group, group.id.as_str(), scope);
    let page = (request.page_size, request.page_token.as_str());
    let (operations, next_page_token) = operation::list(cx, tx, of, page).await?;
    Ok(om::ListGroupOperationsResponse {
        operations,
        next_page_token,
    })
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
    let written = Tally::one(ObjectType::Group, ChangeType::Update);
    Ok(Done::new(&metadata, &render(group), resource).counting(written))
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
    let gone = Tally::one(ObjectType::Group, ChangeType::Delete);
    Ok(Done::new(&metadata, &(), resource(&group)).counting(gone))
}

async fn insert(cx: &Context, tx: &Tx, group: &Group) -> Result<(), Error> {
    cx.require_quota(tx, QuotaScope::GroupsOf(&group.organization_id), 1)
        .await?;
    Ok(tx.insert_group(group).await?)
}

/// Finds a group the caller has `permission` on.
pub async fn find(cx: &Context, tx: &Tx, id: &str, permission: Permission) -> Result<Group, Error> {
    let found = tx.find_group(&GroupId::from(id)).await?;
    Ok(cx.admit(tx, permission, id, found).await?.0)
}

/// What a change of `group` needs: external groups have their own managers (decision U79).
pub fn managing(group: &Group, basic: Permission) -> Permission {
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

/// What an operation about `group` is about.
pub fn resource(group: &Group) -> OperationResource {
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
