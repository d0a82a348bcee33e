//! What holds for calls of every service: repetition, fences, request ids, deadlines.

use prost::Message as _;
use prost_types::FieldMask;
use rollcall_hub::limits::{DESCRIPTION_BYTES_MAX, MESSAGE_BYTES_MAX};
use rollcall_kit::timestamp::Span;
use rollcall_proto::access::UnbindAccessPolicyRequest;
use rollcall_proto::idp;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::operation::{GetOperationRequest, Operation};
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::UpdateOrganizationRequest;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{Harness, expect, expect_field};

const CREATE: &str = "UserService/Create";

#[tokio::test]
async fn a_repeated_call_answers_with_the_first_operation() {
    let hub = Harness::start().await;
    let caller = hub
        .administrator
        .with("idempotency-key", "6f1c2a5e-0000-4000-8000-000000000001");
    let request = hub.new_user("ann");
    let first: Operation = caller.call(CREATE, &request).await.unwrap();
    let again: Operation = caller.call(CREATE, &request).await.unwrap();
    assert_eq!(first, again);
    let status = caller.refused(CREATE, &hub.new_user("bob")).await;
    expect_field(&status, "idempotency-key");
    // The key belongs to one subject and one method.
    let status = hub.administrator.refused(CREATE, &request).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    let other = hub.account(&["userpools.admin"], hub.pool()).await;
    let other = other.with("idempotency-key", "6f1c2a5e-0000-4000-8000-000000000001");
    let status = other.refused(CREATE, &request).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    // Reads ignore it (decision U129).
    let list = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let page: idp::ListUsersResponse = caller.call("UserService/List", &list).await.unwrap();
    assert_eq!(page.users.len(), 1);
}

#[tokio::test]
async fn a_refused_call_may_be_repeated_with_its_key() {
    let hub = Harness::start().await;
    let caller = hub.administrator.with("idempotency-key", "key-1");
    let request = idp::SuspendUserRequest {
        user_id: "ajemissing".into(),
        ..Default::default()
    };
    for _ in 0..2 {
        let status = caller.refused("UserService/Suspend", &request).await;
        expect(&status, Code::NotFound, "NOT_FOUND");
    }
    let user_id = hub.create_user("ann").await;
    let request = idp::SuspendUserRequest {
        user_id,
        ..Default::default()
    };
    let _: Operation = caller.call("UserService/Suspend", &request).await.unwrap();
    let long = hub.administrator.with("idempotency-key", &"k".repeat(129));
    let status = long.refused("UserService/Suspend", &request).await;
    expect_field(&status, "idempotency-key");
}

#[tokio::test]
async fn a_stale_session_writes_nothing() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let opened = hub.open(&agent, "agent-1", idp::SessionType::AdSync).await;
    let Some(SessionInfo::OpenedSession(session)) = opened.session_info else {
        panic!("no session");
    };
    let fenced = agent.with("x-sync-session-id", &session.session_id);
    let _: Operation = fenced.call(CREATE, &hub.new_user("ann")).await.unwrap();

    let other_pool = hub.create_pool("other").await;
    let elsewhere = idp::CreateUserRequest {
        userpool_id: other_pool.clone(),
        username: "x@other.idp.rollcall.internal".into(),
        ..hub.new_user("x")
    };
    let status = fenced.refused(CREATE, &elsewhere).await;
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");

    // A basic group is of no pool, but it would become one of the other pool.
    let request = om::CreateGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "Basic".into(),
        ..Default::default()
    };
    let (metadata, _): (om::CreateGroupMetadata, om::Group) = hub
        .administrator
        .change("GroupService/Create", &request)
        .await
        .unwrap();
    let mut convert = om::ConvertToExternalGroupRequest {
        group_id: metadata.group_id,
        subject_container_id: other_pool,
        external_id: "guid-basic".into(),
        ..Default::default()
    };
    let method = "GroupService/ConvertToExternal";
    let status = fenced.refused(method, &convert).await;
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    convert.subject_container_id.clone_from(&hub.pool_id);
    let _: Operation = fenced.call(method, &convert).await.unwrap();

    // Who learns the id of a session is no agent yet.
    let other = hub.agent().await;
    let other = other.with("x-sync-session-id", &session.session_id);
    let status = other.refused(CREATE, &hub.new_user("bob")).await;
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");

    hub.advance(Span::seconds(61));
    let group = om::CreateExternalGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "Staff".into(),
        subject_container_id: hub.pool_id.clone(),
        external_id: "guid".into(),
        ..Default::default()
    };
    let token = idp::SetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
        replication_token: "x".into(),
        session_type: idp::SessionType::AdSync.into(),
    };
    for status in [
        fenced.refused(CREATE, &hub.new_user("bob")).await,
        fenced.refused("GroupService/CreateExternal", &group).await,
        fenced
            .refused("SynchronizationService/SetReplicationToken", &token)
            .await,
        agent
            .with("x-sync-session-id", "sysmissing")
            .refused(CREATE, &hub.new_user("bob"))
            .await,
    ] {
        expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    }
    let list = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    // Looking is allowed nevertheless.
    let page: idp::ListUsersResponse = fenced.call("UserService/List", &list).await.unwrap();
    assert_eq!(page.users.len(), 1);
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let hub = Harness::start().await;
    let caller = hub.administrator.with("x-request-id", "mine-1");
    let request = idp::GetUserRequest {
        user_id: "ajemissing".into(),
    };
    let status = caller.refused("UserService/Get", &request).await;
    let details = status.get_error_details();
    assert_eq!(details.request_info().unwrap().request_id, "mine-1");
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "mine-1");
}

#[tokio::test]
async fn long_texts_come_back_cut() {
    let hub = Harness::start().await;
    // REST refuses longer paths before it reads them.
    let request = GetOperationRequest {
        operation_id: "x".repeat(4_000),
    };
    let status = hub
        .administrator
        .refused("OperationService/Get", &request)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    assert!(status.message().len() <= MESSAGE_BYTES_MAX, "{status:?}");

    let request = UnbindAccessPolicyRequest {
        resource_id: hub.made.organization_id.clone(),
        access_policy_template_id: "x".repeat(100_000),
    };
    let status = hub
        .administrator
        .refused("OrganizationService/UnbindAccessPolicy", &request)
        .await;
    expect_field(&status, "access_policy_template_id");
    assert!(status.message().len() <= MESSAGE_BYTES_MAX, "{status:?}");

    let request = UpdateOrganizationRequest {
        organization_id: hub.made.organization_id.clone(),
        update_mask: Some(FieldMask {
            paths: vec!["x".repeat(100_000)],
        }),
        ..Default::default()
    };
    let status = hub
        .administrator
        .refused("OrganizationService/Update", &request)
        .await;
    expect_field(&status, "update_mask");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert!(violations[0].description.len() <= DESCRIPTION_BYTES_MAX);
}

/// The gRPC client of the other tests keeps deadlines itself, so this one speaks plain HTTP/2.
#[tokio::test]
async fn a_deadline_of_nothing_is_exceeded() {
    let hub = Harness::start().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(&std::fs::read(&hub.made.ca).unwrap()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([ca])
        .build()
        .unwrap();
    let mut request = hub.new_user("ann");
    request.credentials = Some(idp::create_user_request::Credentials::PasswordSpec(
        idp::PasswordSpec {
            password: "Correct horse 7".into(),
            generation_proof: String::new(),
        },
    ));
    let message = request.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let status_with = async |timeout: &str| {
        let path = "yandex.cloud.organizationmanager.v1.idp.UserService/Create";
        let answer = http
            .post(format!("https://{}/{path}", hub.running.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", timeout)
            .header("authorization", hub.administrator.metadata("authorization"))
            .body(frame.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let status = answer.headers().get("grpc-status");
        status.map(|status| status.to_str().unwrap().to_owned())
    };
    // One Argon2 hash takes longer than that; no status in the headers means success.
    assert_eq!(status_with("1n").await.as_deref(), Some("4"));
    assert_eq!(status_with("30S").await, None);
}

#[tokio::test]
async fn a_wrong_token_is_refused_everywhere_with_a_reason() {
    let hub = Harness::start().await;
    let request = idp::GetUserRequest {
        user_id: "ajemissing".into(),
    };
    for value in ["Bearer t1.wrong.token", "Basic abc", "Bearer "] {
        let caller = hub.anonymous().with("authorization", value);
        let status = caller.refused("UserService/Get", &request).await;
        expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    }
}
