//! `SynchronizationService`: the settings of a pool's synchronization and its replication tokens.

use rollcall_domain::access::Permission;
use rollcall_domain::id::UserpoolId;
use rollcall_domain::named::Named;
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::supported_attribute::{
    DirectoryFlavor, GroupTarget, MappingTarget, UserTarget,
};
use rollcall_domain::sync_settings::{
    self, FullRun, LdapSettings, Mapping, RemoveUserBehavior, SyncFilter, SyncSettings,
    SyncSettingsInput,
};
use rollcall_proto::idp;
use rollcall_proto::idp::synchronization_service_server::SynchronizationService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, replication_token};
use crate::wire::{WireEnum, parse_mask, parse_span, render_span, render_timestamp};

#[tonic::async_trait]
impl SynchronizationService for Service {
    async fn set_replication_token(
        &self,
        request: Request<idp::SetReplicationTokenRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Set a replication token", replication_token::set)
            .await
    }

    async fn reset_replication_token(
        &self,
        request: Request<idp::ResetReplicationTokenRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Reset replication tokens",
            replication_token::reset,
        )
        .await
    }

    async fn get_replication_token(
        &self,
        request: Request<idp::GetReplicationTokenRequest>,
    ) -> Result<Response<idp::GetReplicationTokenResponse>, Status> {
        self.read(request, replication_token::get).await
    }

    async fn create_synchronization_settings(
        &self,
        request: Request<idp::CreateSynchronizationSettingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create synchronization settings", create)
            .await
    }

    async fn update_synchronization_settings(
        &self,
        request: Request<idp::UpdateSynchronizationSettingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Update synchronization settings", update)
            .await
    }

    async fn delete_synchronization_settings(
        &self,
        request: Request<idp::DeleteSynchronizationSettingsRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Delete synchronization settings", delete)
            .await
    }

    async fn get_synchronization_settings(
        &self,
        request: Request<idp::GetSynchronizationSettingsRequest>,
    ) -> Result<Response<idp::SynchronizationSettings>, Status> {
        self.read(request, get).await
    }

    async fn list_supported_attributes(
        &self,
        request: Request<idp::ListSupportedAttributesRequest>,
    ) -> Result<Response<idp::ListSupportedAttributesResponse>, Status> {
        self.read(request, list_supported_attributes).await
    }
}

async fn create(
    cx: &Context,
    tx: &Tx,
    request: &idp::CreateSynchronizationSettingsRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::SyncSettingsManage,
        Scope::Userpool(&pool_id),
    )
    .await?;
    let input = parse_create(request)?;
    let settings = SyncSettings::create(pool_id.clone(), input, cx.call.now)?;
    tx.insert_sync_settings(&settings).await?;
    // What comes into scope now has no change in a delta (decision U24).
    replication_token::demand_full_run(cx, tx, &pool_id).await?;
    let subject_container_id = pool_id.to_string();
    Ok(Done::new(
        &idp::CreateSynchronizationSettingsMetadata {
            subject_container_id,
        },
        &render(settings),
        resource(&pool_id),
    ))
}

async fn update(
    cx: &Context,
    tx: &Tx,
    request: &idp::UpdateSynchronizationSettingsRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::SyncSettingsManage,
        Scope::Userpool(&pool_id),
    )
    .await?;
    let settings = find(tx, &pool_id).await?;
    let mask = parse_mask(request.update_mask.as_ref())?;
    let input = parse_update(request)?;
    let updated = settings.update(input, &mask, cx.call.now)?;
    tx.save_sync_settings(&updated.settings).await?;
    if updated.full_run == FullRun::Needed {
        replication_token::demand_full_run(cx, tx, &pool_id).await?;
    }
    let subject_container_id = pool_id.to_string();
    Ok(Done::new(
        &idp::UpdateSynchronizationSettingsMetadata {
            subject_container_id,
        },
        &render(updated.settings),
        resource(&pool_id),
    ))
}

async fn delete(
    cx: &Context,
    tx: &Tx,
    request: &idp::DeleteSynchronizationSettingsRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::SyncSettingsManage,
        Scope::Userpool(&pool_id),
    )
    .await?;
    find(tx, &pool_id).await?;
    let open_sessions = tx.count_opened_sync_sessions(&pool_id, cx.call.now).await?;
    sync_settings::check_delete(open_sessions)?;
    tx.delete_sync_settings(&pool_id).await?;
    tx.delete_replication_tokens(&pool_id).await?;
    let subject_container_id = pool_id.to_string();
    Ok(Done::new(
        &idp::DeleteSynchronizationSettingsMetadata {
            subject_container_id,
        },
        &(),
        resource(&pool_id),
    ))
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetSynchronizationSettingsRequest,
) -> Result<idp::SynchronizationSettings, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::SyncSettingsGet, Scope::Userpool(&pool_id))
        .await?;
    Ok(render(find(tx, &pool_id).await?))
}

async fn list_supported_attributes(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListSupportedAttributesRequest,
) -> Result<idp::ListSupportedAttributesResponse, Error> {
    cx.authorize(tx, Permission::SyncSettingsGet, Scope::Anywhere)
        .await?;
    let flavor = DirectoryFlavor::parse_wire("flavor", request.flavor)?;
    Ok(idp::ListSupportedAttributesResponse {
        user_supported_attributes: UserTarget::ALL
            .iter()
            .map(|target| idp::UserSupportedAttribute {
                target_attribute: target.to_wire(),
                source_attributes: render_sources(*target, flavor),
            })
            .collect(),
        group_supported_attributes: GroupTarget::ALL
            .iter()
            .map(|target| idp::GroupSupportedAttribute {
                target_attribute: target.to_wire(),
                source_attributes: render_sources(*target, flavor),
            })
            .collect(),
    })
}

async fn find(tx: &Tx, pool_id: &UserpoolId) -> Result<SyncSettings, Error> {
    tx.find_sync_settings(pool_id)
        .await?
        .ok_or_else(|| Refusal::not_found("synchronization settings of pool", pool_id).into())
}

/// The operations of a pool's synchronization.
pub fn resource(pool_id: &UserpoolId) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::Synchronization,
        id: pool_id.to_string(),
        parent_id: pool_id.to_string(),
    }
}

fn render_sources<T: MappingTarget>(
    target: T,
    flavor: DirectoryFlavor,
) -> Vec<idp::SourceAttributes> {
    use rollcall_domain::supported_attribute::MappingKind;
    target
        .kinds()
        .iter()
        .map(|kind| idp::SourceAttributes {
            r#type: kind.to_wire(),
            attributes: match kind {
                MappingKind::Direct => target
                    .sources(flavor)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                MappingKind::Empty | MappingKind::DirectArbitraryAttribute => Vec::new(),
            },
        })
        .collect()
}

// Create and Update have the same fields under two message names.
macro_rules! parse_input {
    ($request:expr) => {
        SyncSettingsInput {
            filter: $request.filter.as_ref().map(parse_filter),
            replacement_domain: $request.replacement_domain.clone(),
            remove_user_behavior: RemoveUserBehavior::from_wire($request.remove_user_behavior),
            interval: $request.synchronization_interval.as_ref().map(parse_span),
            allow_to_capture_users: $request.allow_to_capture_users,
            allow_to_capture_groups: $request.allow_to_capture_groups,
            user_mappings: parse_user_mappings(&$request.user_attribute_mappings)?,
            group_mappings: parse_group_mappings(&$request.group_attribute_mappings)?,
            enable_password_writeback: $request.enable_password_writeback,
            ldap: match &$request.ldap_settings {
                None => None,
                Some(ldap) => Some(LdapSettings {
                    external_id_attribute: ldap.external_id_attribute.clone(),
                    dn_attribute: ldap.dn_attribute.clone(),
                    user_object_class: ldap.user_object_class.clone(),
                    group_object_class: ldap.group_object_class.clone(),
                    account_disabled_attribute: ldap.account_disabled_attribute.clone(),
                    account_disabled_value: ldap.account_disabled_value.clone(),
                    account_enabled_value: ldap.account_enabled_value.clone(),
                    password_attribute: ldap.password_attribute.clone(),
                    delta_sync_mode: parse_delta_mode(ldap.delta_sync_mode)?,
                    use_recursive_membership_filter: ldap.use_recursive_membership_filter,
                }),
            },
        }
    };
}

fn parse_create(
    request: &idp::CreateSynchronizationSettingsRequest,
) -> Result<SyncSettingsInput, Refusal> {
    Ok(parse_input!(request))
}

fn parse_update(
    request: &idp::UpdateSynchronizationSettingsRequest,
) -> Result<SyncSettingsInput, Refusal> {
    Ok(parse_input!(request))
}

fn parse_delta_mode(number: i32) -> Result<sync_settings::LdapDeltaSyncMode, Refusal> {
    WireEnum::parse_wire("ldap_settings.delta_sync_mode", number)
}

fn parse_filter(filter: &idp::SynchronizationFilter) -> SyncFilter {
    SyncFilter {
        domain: filter.domain.clone(),
        groups: filter.groups.clone(),
        organization_units: filter.organization_units.clone(),
    }
}

fn parse_user_mappings(
    mappings: &[idp::UserAttributeMapping],
) -> Result<Vec<Mapping<UserTarget>>, Refusal> {
    let parts = mappings
        .iter()
        .map(|mapping| (&mapping.source, mapping.target, mapping.r#type));
    parse_mappings("user_attribute_mappings", parts)
}

fn parse_group_mappings(
    mappings: &[idp::GroupAttributeMapping],
) -> Result<Vec<Mapping<GroupTarget>>, Refusal> {
    let parts = mappings
        .iter()
        .map(|mapping| (&mapping.source, mapping.target, mapping.r#type));
    parse_mappings("group_attribute_mappings", parts)
}

fn parse_mappings<'a, T: WireEnum>(
    field: &str,
    mappings: impl Iterator<Item = (&'a String, i32, i32)>,
) -> Result<Vec<Mapping<T>>, Refusal> {
    mappings
        .enumerate()
        .map(|(index, (source, target, kind))| {
            Ok(Mapping {
                source: source.clone(),
                target: T::parse_wire(&format!("{field}[{index}].target"), target)?,
                kind: WireEnum::parse_wire(&format!("{field}[{index}].type"), kind)?,
            })
        })
        .collect()
}

/// Settings in the form of the wire.
pub fn render(settings: SyncSettings) -> idp::SynchronizationSettings {
    idp::SynchronizationSettings {
        subject_container_id: settings.subject_container_id.into_string(),
        filter: Some(idp::SynchronizationFilter {
            domain: settings.filter.domain,
            groups: settings.filter.groups,
            organization_units: settings.filter.organization_units,
        }),
        remove_user_behavior: settings.remove_user_behavior.to_wire(),
        synchronization_interval: Some(render_span(settings.interval)),
        allow_to_capture_users: settings.allow_to_capture_users,
        allow_to_capture_groups: settings.allow_to_capture_groups,
        user_attribute_mappings: settings
            .user_mappings
            .into_iter()
            .map(|mapping| idp::UserAttributeMapping {
                source: mapping.source,
                target: mapping.target.to_wire(),
                r#type: mapping.kind.to_wire(),
            })
            .collect(),
        group_attribute_mappings: settings
            .group_mappings
            .into_iter()
            .map(|mapping| idp::GroupAttributeMapping {
                source: mapping.source,
                target: mapping.target.to_wire(),
                r#type: mapping.kind.to_wire(),
            })
            .collect(),
        created_at: Some(render_timestamp(settings.created_at)),
        replacement_domain: settings.replacement_domain,
        enable_password_writeback: settings.enable_password_writeback,
        ldap_settings: settings.ldap.map(render_ldap),
    }
}

fn render_ldap(ldap: LdapSettings) -> idp::LdapSettings {
    idp::LdapSettings {
        external_id_attribute: ldap.external_id_attribute,
        dn_attribute: ldap.dn_attribute,
        user_object_class: ldap.user_object_class,
        group_object_class: ldap.group_object_class,
        account_disabled_attribute: ldap.account_disabled_attribute,
        account_disabled_value: ldap.account_disabled_value,
        account_enabled_value: ldap.account_enabled_value,
        password_attribute: ldap.password_attribute,
        delta_sync_mode: ldap.delta_sync_mode.to_wire(),
        use_recursive_membership_filter: ldap.use_recursive_membership_filter,
    }
}
