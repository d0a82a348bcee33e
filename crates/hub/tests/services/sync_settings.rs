use prost_types::{Duration, FieldMask};
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::SessionType;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const SERVICE: &str = "SynchronizationService";

fn create_request(hub: &Harness) -> idp::CreateSynchronizationSettingsRequest {
    idp::CreateSynchronizationSettingsRequest {
        subject_container_id: hub.pool_id.clone(),
        filter: Some(idp::SynchronizationFilter {
            domain: "corp.example".into(),
            groups: vec!["CloudUsers".into()],
            organization_units: vec!["OU=Staff,DC=corp,DC=example".into()],
        }),
        ..Default::default()
    }
}

async fn create(
    caller: &Caller,
    request: &idp::CreateSynchronizationSettingsRequest,
) -> Result<idp::SynchronizationSettings, Status> {
    let method = format!("{SERVICE}/CreateSynchronizationSettings");
    let (_, settings): (idp::CreateSynchronizationSettingsMetadata, _) =
        caller.change(&method, request).await?;
    Ok(settings)
}

async fn get(caller: &Caller, pool_id: &str) -> Result<idp::SynchronizationSettings, Status> {
    let request = idp::GetSynchronizationSettingsRequest {
        subject_container_id: pool_id.into(),
    };
    caller
        .call(&format!("{SERVICE}/GetSynchronizationSettings"), &request)
        .await
}

async fn update(
    caller: &Caller,
    request: &idp::UpdateSynchronizationSettingsRequest,
) -> Result<idp::SynchronizationSettings, Status> {
    let method = format!("{SERVICE}/UpdateSynchronizationSettings");
    let (_, settings): (idp::UpdateSynchronizationSettingsMetadata, _) =
        caller.change(&method, request).await?;
    Ok(settings)
}

#[tokio::test]
async fn settings_are_made_once_with_explicit_defaults() {
    let hub = Harness::start().await;
    let status = get(&hub.administrator, &hub.pool_id).await.unwrap_err();
    expect(&status, Code::NotFound, "NOT_FOUND");
    let made = create(&hub.administrator, &create_request(&hub))
        .await
        .unwrap();
    assert_eq!(made.remove_user_behavior(), idp::RemoveUserBehavior::Remove);
    assert_eq!(
        made.synchronization_interval,
        Some(Duration {
            seconds: 900,
            nanos: 0
        })
    );
    assert_eq!(made.filter, create_request(&hub).filter);
    assert!(made.created_at.is_some());
    assert_eq!(get(&hub.administrator, &hub.pool_id).await.unwrap(), made);
    let status = create(&hub.administrator, &create_request(&hub))
        .await
        .unwrap_err();
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test]
async fn a_mask_limits_an_update_and_scope_changes_demand_a_full_run() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let made = create(&hub.administrator, &create_request(&hub))
        .await
        .unwrap();
    let token = idp::SetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
        replication_token: "cookie".into(),
        session_type: SessionType::AdUserControl.into(),
    };
    let set = format!("{SERVICE}/SetReplicationToken");
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(&set, &token).await.unwrap();

    // New settings demand a full run, whatever token is there (decision U24).
    let opened = hub
        .open(&agent, "agent-1", SessionType::AdUserControl)
        .await;
    assert_eq!(mode(&opened), idp::SyncMode::FullSync);
    let close = idp::CloseSessionRequest {
        session_id: session_id(&opened),
        ..Default::default()
    };
    let _: (idp::CloseSessionMetadata, idp::SynchronizationSession) = agent
        .change("SynchronizationSessionService/CloseSession", &close)
        .await
        .unwrap();

    let masked = |paths: &[&str]| idp::UpdateSynchronizationSettingsRequest {
        subject_container_id: hub.pool_id.clone(),
        synchronization_interval: Some(Duration {
            seconds: 3600,
            nanos: 0,
        }),
        replacement_domain: "Staff.Example".into(),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..Default::default()
    };
    let changed = update(&hub.administrator, &masked(&["synchronization_interval"]))
        .await
        .unwrap();
    assert_eq!(
        changed.synchronization_interval,
        Some(Duration {
            seconds: 3600,
            nanos: 0
        })
    );
    assert_eq!(
        (changed.filter, changed.replacement_domain.as_str()),
        (made.filter.clone(), "")
    );
    let opened = hub
        .open(&agent, "agent-1", SessionType::AdUserControl)
        .await;
    assert_eq!(mode(&opened), idp::SyncMode::Delta);
    assert_eq!(
        opened.synchronization_settings,
        Some(get(&agent, &hub.pool_id).await.unwrap())
    );

    let changed = update(&hub.administrator, &masked(&["replacement_domain"]))
        .await
        .unwrap();
    assert_eq!(changed.replacement_domain, "staff.example");
    let opened = hub
        .open(&agent, "agent-1", SessionType::AdUserControl)
        .await;
    assert_eq!(mode(&opened), idp::SyncMode::FullSync);

    let status = update(&hub.administrator, &masked(&["created_at"]))
        .await
        .unwrap_err();
    expect_field(&status, "update_mask");
}

fn session_id(response: &idp::OpenSessionResponse) -> String {
    match &response.session_info {
        Some(idp::open_session_response::SessionInfo::OpenedSession(session)) => {
            session.session_id.clone()
        }
        other => panic!("no session: {other:?}"),
    }
}

fn mode(response: &idp::OpenSessionResponse) -> idp::SyncMode {
    match &response.session_info {
        Some(idp::open_session_response::SessionInfo::OpenedSession(session)) => {
            session.sync_mode()
        }
        other => panic!("no session: {other:?}"),
    }
}

#[tokio::test]
async fn without_a_mask_everything_is_replaced() {
    let hub = Harness::start().await;
    let mut request = create_request(&hub);
    request.allow_to_capture_users = true;
    request.remove_user_behavior = idp::RemoveUserBehavior::Block.into();
    create(&hub.administrator, &request).await.unwrap();
    let replacement = idp::UpdateSynchronizationSettingsRequest {
        subject_container_id: hub.pool_id.clone(),
        filter: Some(idp::SynchronizationFilter {
            domain: "other.example".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let changed = update(&hub.administrator, &replacement).await.unwrap();
    assert!(!changed.allow_to_capture_users);
    assert_eq!(
        changed.remove_user_behavior(),
        idp::RemoveUserBehavior::Remove
    );
    assert!(changed.filter.unwrap().groups.is_empty());
}

#[tokio::test]
async fn settings_go_with_their_tokens_but_not_under_an_open_session() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    create(&hub.administrator, &create_request(&hub))
        .await
        .unwrap();
    hub.open(&agent, "agent-1", SessionType::AdSync).await;
    let request = idp::DeleteSynchronizationSettingsRequest {
        subject_container_id: hub.pool_id.clone(),
    };
    let delete = format!("{SERVICE}/DeleteSynchronizationSettings");
    let status = hub.administrator.refused(&delete, &request).await;
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_OPEN");
    hub.advance(Span::seconds(61));
    let (metadata, ()): (idp::DeleteSynchronizationSettingsMetadata, ()) =
        hub.administrator.change(&delete, &request).await.unwrap();
    assert_eq!(metadata.subject_container_id, hub.pool_id);
    let status = get(&hub.administrator, &hub.pool_id).await.unwrap_err();
    expect(&status, Code::NotFound, "NOT_FOUND");
    let status = hub.administrator.refused(&delete, &request).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn bad_values_name_their_field() {
    let hub = Harness::start().await;
    let check = async |change: &dyn Fn(&mut idp::CreateSynchronizationSettingsRequest), field| {
        let mut request = create_request(&hub);
        change(&mut request);
        let method = format!("{SERVICE}/CreateSynchronizationSettings");
        expect_field(&hub.administrator.refused(&method, &request).await, field);
    };
    check(&|request| request.filter = None, "filter").await;
    check(
        &|request| request.filter.as_mut().unwrap().domain = "a b".into(),
        "filter.domain",
    )
    .await;
    check(
        &|request| {
            request.filter.as_mut().unwrap().organization_units = vec!["not a DN".into()];
        },
        "filter.organization_units[0]",
    )
    .await;
    check(
        &|request| {
            request.synchronization_interval = Some(Duration {
                seconds: 60,
                nanos: 0,
            });
        },
        "synchronization_interval",
    )
    .await;
    check(
        &|request| {
            request.user_attribute_mappings = vec![idp::UserAttributeMapping {
                source: "nonsense".into(),
                target: idp::UserTargetAttribute::Email.into(),
                r#type: idp::MappingType::Direct.into(),
            }];
        },
        "user_attribute_mappings[0].source",
    )
    .await;
}

#[tokio::test]
async fn supported_attributes_begin_with_their_default() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let request = idp::ListSupportedAttributesRequest {
        flavor: idp::AttributesFlavor::ActiveDirectory.into(),
    };
    let method = format!("{SERVICE}/ListSupportedAttributes");
    let list: idp::ListSupportedAttributesResponse = agent.call(&method, &request).await.unwrap();
    assert_eq!(list.user_supported_attributes.len(), 10);
    assert_eq!(list.group_supported_attributes.len(), 2);
    let email = list
        .user_supported_attributes
        .iter()
        .find(|one| one.target_attribute() == idp::UserTargetAttribute::Email)
        .unwrap();
    assert_eq!(
        email.source_attributes[0].attributes,
        ["mail", "userPrincipalName"]
    );
    let stranger = hub.account(&[], hub.organization()).await;
    let status = stranger.refused(&method, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
