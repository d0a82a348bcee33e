//! The audit trail: what is recorded, and who reads it.

use rollcall_proto::admin;
use rollcall_proto::admin::audit_event::EventStatus;
use rollcall_proto::{idp, organizationmanager as om};
use tonic::Code;

use crate::harness::{Caller, Harness, expect};

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
    assert_eq!(origin.remote_address, "127.0.0.1");
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
