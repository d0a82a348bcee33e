//! The audit trail: what is recorded, and who reads it.

use rollcall_hub::wire::render_timestamp;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use rollcall_proto::admin;
use rollcall_proto::admin::audit_event::EventStatus;
use rollcall_proto::operation::Operation;
use rollcall_proto::{iam, idp, organizationmanager as om};
use tonic::Code;

use crate::harness::{Caller, Harness, expect, expect_field, is_loopback};

const CREATE_USER: &str = "yandex.cloud.audit.organizationmanager.idp.CreateUser";

/// The events of the organization that pass `filter`, newest first.
async fn events(hub: &Harness, filter: &str) -> Vec<admin::AuditEvent> {
    list(hub, &hub.administrator, filter).await.unwrap()
}

async fn list(
    hub: &Harness,
    caller: &Caller,
    filter: &str,
) -> Result<Vec<admin::AuditEvent>, tonic::Status> {
    let request = admin::ListAuditEventsRequest {
        organization_id: hub.made.organization_id.clone(),
        filter: filter.into(),
        ..Default::default()
    };
    let page: admin::ListAuditEventsResponse = caller.call("AuditService/List", &request).await?;
    Ok(page.events)
}

fn text(document: &Option<prost_types::Struct>, name: &str) -> Option<String> {
    use prost_types::value::Kind;
    match &document.as_ref()?.fields.get(name)?.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        Some(Kind::BoolValue(value)) => Some(value.to_string()),
        Some(Kind::NumberValue(number)) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

fn path(event: &admin::AuditEvent) -> Vec<(String, String)> {
    let path = event.resource_metadata.clone().unwrap_or_default().path;
    path.into_iter()
        .map(|resource| (resource.resource_type, resource.resource_name))
        .collect()
}

#[tokio::test]
async fn a_change_leaves_one_event() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    let found = events(&hub, &format!("event_type = \"{CREATE_USER}\"")).await;
    let [event] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(event.event_status(), EventStatus::Done);
    assert_eq!(event.event_source, "organizationmanager");
    assert!(event.authorization.as_ref().unwrap().authorized);
    let authentication = event.authentication.clone().unwrap();
    assert!(authentication.authenticated);
    assert_eq!(authentication.subject_type, "SERVICE_ACCOUNT");
    assert_eq!(authentication.subject_name, "administrator");
    let pairs = [
        ("organization-manager.organization", "test"),
        ("organization-manager.userpool", "staff"),
        (
            "organization-manager.user",
            "ann@staff.idp.rollcall.internal",
        ),
    ];
    assert_eq!(
        path(event),
        pairs.map(|(kind, name)| (kind.to_owned(), name.to_owned()))
    );
    let origin = event.request_metadata.clone().unwrap();
    assert!(is_loopback(&origin.remote_address), "{origin:?}");
    assert!(origin.remote_port > 0 && !origin.request_id.is_empty());
    assert_eq!(text(&event.details, "userId"), Some(user_id.clone()));
    assert_eq!(
        text(&event.details, "userpoolId"),
        Some(hub.pool_id.clone())
    );
    assert_eq!(text(&event.details, "status").as_deref(), Some("ACTIVE"));
    // The hash of `password`.
    assert_eq!(
        text(&event.details, "commonPasswordHash").as_deref(),
        Some("true")
    );
    assert_eq!(text(&event.response, "id"), Some(user_id));
    let get = admin::GetAuditEventRequest {
        event_id: event.event_id.clone(),
    };
    let same: admin::AuditEvent = hub
        .administrator
        .call("AuditService/Get", &get)
        .await
        .unwrap();
    assert_eq!(same, *event);
}

#[tokio::test]
async fn refused_attempts_are_told_apart() {
    let hub = Harness::start().await;
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    let request = hub.new_user("ann");
    let status = viewer.refused("UserService/Create", &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    hub.administrator
        .refused("UserService/Create", &idp::CreateUserRequest::default())
        .await;
    let create = om::DeleteGroupRequest {
        group_id: "aje0".into(),
    };
    hub.administrator
        .refused("GroupService/Delete", &create)
        .await;
    hub.anonymous()
        .refused("UserService/Create", &request)
        .await;
    let found = events(&hub, "event_status = ERROR").await;
    let told: Vec<_> = found
        .iter()
        .map(|event| {
            (
                Code::from_i32(event.error.as_ref().unwrap().code),
                event.authentication.as_ref().unwrap().authenticated,
                event.authorization.as_ref().unwrap().authorized,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Code::Unauthenticated, false, false),
            (Code::NotFound, true, true),
            (Code::InvalidArgument, true, true),
            (Code::PermissionDenied, true, false),
        ]
    );
    // Of a stranger's request nothing is kept.
    assert_eq!(
        found[0].request_parameters,
        Some(prost_types::Struct::default())
    );
    let denied = &found[3];
    assert_eq!(path(denied).len(), 2);
    assert_eq!(
        text(&denied.request_parameters, "username"),
        Some(request.username)
    );
    assert!(!denied.error.as_ref().unwrap().details.is_empty());
}

#[tokio::test]
async fn a_repetition_and_what_keeps_a_session_alive_leave_no_event() {
    let hub = Harness::start().await;
    let caller = hub.administrator.with("idempotency-key", "key-1");
    for _ in 0..2 {
        let _: Operation = caller
            .call("UserService/Create", &hub.new_user("ann"))
            .await
            .unwrap();
    }
    let filter = format!("event_type = {CREATE_USER}");
    assert_eq!(events(&hub, &filter).await.len(), 1);
    let opened = hub
        .open(&hub.administrator, "agent-1", idp::SessionType::AdSync)
        .await;
    let Some(idp::open_session_response::SessionInfo::OpenedSession(session)) = opened.session_info
    else {
        panic!("no session")
    };
    let beat = idp::HeartbeatRequest {
        session_id: session.session_id.clone(),
    };
    let _: Operation = hub
        .administrator
        .call("SynchronizationSessionService/Heartbeat", &beat)
        .await
        .unwrap();
    let close = idp::CloseSessionRequest {
        session_id: session.session_id,
        ..Default::default()
    };
    let _: Operation = hub
        .administrator
        .call("SynchronizationSessionService/CloseSession", &close)
        .await
        .unwrap();
    let newest: Vec<_> = events(&hub, "")
        .await
        .into_iter()
        .map(|event| event.event_type.rsplit('.').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        newest,
        [
            "CloseSynchronizationSession",
            "OpenSynchronizationSession",
            "CreateUser",
            "CreateUserpool",
            "CreateToken",
        ]
    );
}

#[tokio::test]
async fn a_token_is_recorded_without_itself() {
    let hub = Harness::start().await;
    let filter = "event_type = yandex.cloud.audit.iam.CreateToken";
    let found = events(&hub, filter).await;
    let [event] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(event.event_source, "iam");
    assert_eq!(
        event.authentication.as_ref().unwrap().subject_name,
        "administrator"
    );
    assert_eq!(path(event)[1].0, "iam.serviceAccount");
    assert!(text(&event.details, "iamTokenId").is_some());
    assert_eq!(text(&event.response, "iamToken"), None);
    // An attempt with a wrong key is one of a stranger.
    let request = iam::CreateIamTokenRequest {
        identity: Some(iam::create_iam_token_request::Identity::Jwt("a.b.c".into())),
    };
    hub.anonymous()
        .refused("IamTokenService/Create", &request)
        .await;
    let found = events(&hub, &format!("{filter} AND event_status = ERROR")).await;
    assert_eq!(found.len(), 1);
    assert!(!found[0].authentication.as_ref().unwrap().authenticated);
}

#[tokio::test]
async fn events_of_a_pool_are_for_its_viewers_and_numbers_for_some() {
    let hub = Harness::start().await;
    let other = hub.create_pool("other").await;
    let mut request = hub.new_user("ann");
    request.phone_number = "+49123".into();
    let _: (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    let of_pool = |pool: &str| admin::ListAuditEventsRequest {
        organization_id: hub.made.organization_id.clone(),
        userpool_id: pool.into(),
        ..Default::default()
    };
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let page: admin::ListAuditEventsResponse = viewer
        .call("AuditService/List", &of_pool(&hub.pool_id))
        .await
        .unwrap();
    assert_eq!(page.events.len(), 2);
    let phone = |event: &admin::AuditEvent| {
        [&event.details, &event.request_parameters, &event.response]
            .map(|document| text(document, "phoneNumber"))
    };
    let number = Some("+49123".to_owned());
    assert_eq!(
        phone(&page.events[0]),
        [number.clone(), number.clone(), number]
    );
    let get = |event: &admin::AuditEvent| admin::GetAuditEventRequest {
        event_id: event.event_id.clone(),
    };
    let same: admin::AuditEvent = viewer
        .call("AuditService/Get", &get(&page.events[0]))
        .await
        .unwrap();
    assert_eq!(same, page.events[0]);
    // Nothing of other pools, nor of the organization, nor whether there is anything.
    let missing = admin::GetAuditEventRequest {
        event_id: "evt0".into(),
    };
    let foreign = events(&hub, &format!("resource_id = {other}")).await;
    let own = events(&hub, "event_type = yandex.cloud.audit.iam.CreateToken").await;
    for request in [missing, get(&foreign[0]), get(&own[0])] {
        let status = viewer.refused("AuditService/Get", &request).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    for pool in ["", &other, "ek00"] {
        let status = viewer.refused("AuditService/List", &of_pool(pool)).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let auditor = hub.account(&["auditor"], hub.organization()).await;
    let filter = format!("event_type = {CREATE_USER}");
    let found = list(&hub, &auditor, &filter).await.unwrap();
    assert_eq!(phone(&found[0]), [None, None, None]);
    let none = hub
        .account(&["userpools.auditor"], hub.organization())
        .await;
    let status = list(&hub, &none, "").await.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn pages_and_conditions() {
    let hub = Harness::start().await;
    for login in ["ann", "bob", "cyd"] {
        hub.create_user(login).await;
    }
    let mut request = admin::ListAuditEventsRequest {
        organization_id: hub.made.organization_id.clone(),
        filter: format!("event_type = {CREATE_USER}"),
        page_size: 2,
        ..Default::default()
    };
    let first: admin::ListAuditEventsResponse = hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    request.page_token = first.next_page_token.clone();
    let second: admin::ListAuditEventsResponse = hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    let names: Vec<_> = first
        .events
        .iter()
        .chain(&second.events)
        .map(|event| path(event)[2].1[..3].to_owned())
        .collect();
    assert_eq!(names, ["cyd", "bob", "ann"]);
    // A token of one list is refused by another one.
    request.since = first.events[0].event_time;
    let status = hub
        .administrator
        .refused("AuditService/List", &request)
        .await;
    expect_field(&status, "page_token");
    request.page_token = String::new();
    let late: admin::ListAuditEventsResponse = hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    assert_eq!(late.events, first.events[..1]);
    request.filter = "phone = '1'".into();
    let status = hub
        .administrator
        .refused("AuditService/List", &request)
        .await;
    expect_field(&status, "filter");
}

/// What the hub ends by itself is told once, and of nobody.
#[tokio::test]
async fn what_a_sweeper_ends_leaves_an_event() {
    let hub = Harness::start().await;
    let mut ann = hub.new_user("ann");
    let end = hub.clock.now().plus(Span::minutes(1));
    ann.expires_at = Some(render_timestamp(end));
    let (ann, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &ann)
        .await
        .unwrap();
    let opened = hub
        .open(&hub.administrator, "agent-1", idp::SessionType::AdSync)
        .await;
    let Some(idp::open_session_response::SessionInfo::OpenedSession(session)) = opened.session_info
    else {
        panic!("no session")
    };
    hub.advance(Span::minutes(2));
    for _ in 0..2 {
        rollcall_hub::sweeper::sweep(&hub.running.hub, hub.clock.now())
            .await
            .unwrap();
    }
    let organization = ("organization-manager.organization", "test");
    let pool = ("organization-manager.userpool", "staff");
    let user = (
        "organization-manager.user",
        "ann@staff.idp.rollcall.internal",
    );
    let end = end.to_string();
    for (name, places, details) in [
        (
            "SuspendUser",
            &[organization, pool, user][..],
            [("userId", ann.user_id.as_str()), ("expiresAt", &end)],
        ),
        (
            "ExpireSynchronizationSession",
            &[organization, pool],
            [
                ("sessionId", session.session_id.as_str()),
                ("userpoolId", &hub.pool_id),
            ],
        ),
    ] {
        let filter = format!("event_type = yandex.cloud.audit.organizationmanager.idp.{name}");
        let found = events(&hub, &filter).await;
        let [event] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(event.event_status(), EventStatus::Done);
        assert_eq!(event.authentication, Some(Default::default()), "{name}");
        assert_eq!(event.request_metadata, Some(Default::default()), "{name}");
        assert!(event.authorization.as_ref().unwrap().authorized);
        let places: Vec<_> = places
            .iter()
            .map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned()))
            .collect();
        assert_eq!(path(event), places);
        for (field, value) in details {
            assert_eq!(text(&event.details, field).as_deref(), Some(value));
        }
    }
}
