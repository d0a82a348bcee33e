//! The counters of sessions whose agents did not live to report.

use rollcall_kit::clock::Clock;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::idp::{ChangeType, RelatedObjectType, SessionStatus, SessionType};
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic_prost::ProstCodec;

use crate::harness::{Caller, Harness, find_method, nt};

const CREATE: &str = "UserService/Create";

fn session(response: &idp::OpenSessionResponse) -> idp::SynchronizationSession {
    match &response.session_info {
        Some(SessionInfo::OpenedSession(session)) => session.clone(),
        other => panic!("no session: {other:?}"),
    }
}

async fn get(caller: &Caller, id: &str) -> idp::SynchronizationSession {
    let request = idp::GetSessionRequest {
        session_id: id.into(),
    };
    let method = "SynchronizationSessionService/GetSession";
    let answer: idp::GetSessionResponse = caller.call(method, &request).await.unwrap();
    answer.session.unwrap()
}

/// `USER CREATE 2/0`, for each counter.
fn counters(session: &idp::SynchronizationSession) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in &session.progress_entries {
        let object = entry.object_type().as_str_name();
        for info in &entry.change_info {
            let change = info.change_type().as_str_name();
            lines.push(format!(
                "{object} {change} {}/{}",
                info.successful, info.failed
            ));
        }
    }
    lines
}

async fn made<Q: prost::Message + Clone + 'static>(
    caller: &Caller,
    method: &str,
    request: &Q,
) -> Operation {
    caller.call(method, request).await.unwrap()
}

async fn create(caller: &Caller, request: &idp::CreateUserRequest) -> String {
    let (metadata, _): (idp::CreateUserMetadata, idp::User) =
        caller.change(CREATE, request).await.unwrap();
    metadata.user_id
}

fn deltas(action: MemberAction, users: &[&String]) -> Vec<om::MemberDelta> {
    let delta = |user: &&String| om::MemberDelta {
        action: action.into(),
        subject_id: (*user).clone(),
    };
    users.iter().map(delta).collect()
}

/// Everything that an agent changes, some of it in vain. Returns a member of a group.
async fn work(hub: &Harness, fenced: &Caller) -> String {
    let once = fenced.with("idempotency-key", "ann");
    let ann = create(&once, &hub.new_user("ann")).await;
    assert_eq!(create(&once, &hub.new_user("ann")).await, ann);
    fenced.refused(CREATE, &hub.new_user("ann")).await;
    let bob = create(fenced, &hub.new_user("bob")).await;
    let cyd = create(fenced, &hub.new_user("cyd")).await;
    let delete = idp::DeleteUserRequest { user_id: cyd };
    made(fenced, "UserService/Delete", &delete).await;

    let suspend = idp::SuspendUserRequest {
        user_id: bob.clone(),
        ..Default::default()
    };
    let reactivate = idp::ReactivateUserRequest {
        user_id: bob.clone(),
    };
    for _ in 0..2 {
        made(fenced, "UserService/Suspend", &suspend).await;
    }
    made(fenced, "UserService/Reactivate", &reactivate).await;
    // The suspension of an administrator stays.
    made(&hub.administrator, "UserService/Suspend", &suspend).await;
    made(fenced, "UserService/Suspend", &suspend).await;
    made(fenced, "UserService/Reactivate", &reactivate).await;

    let group = om::CreateExternalGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "Staff".into(),
        subject_container_id: hub.pool_id.clone(),
        external_id: "guid".into(),
        make_editor: true,
        ..Default::default()
    };
    let (metadata, _): (om::CreateExternalGroupMetadata, om::Group) = fenced
        .change("GroupService/CreateExternal", &group)
        .await
        .unwrap();
    let mut members = om::UpdateGroupMembersRequest {
        group_id: metadata.group_id,
        member_deltas: deltas(MemberAction::Add, &[&ann, &bob]),
    };
    for _ in 0..2 {
        made(fenced, "GroupService/UpdateMembers", &members).await;
    }
    members.member_deltas = deltas(MemberAction::Remove, &[&bob]);
    made(fenced, "GroupService/UpdateMembers", &members).await;
    ann
}

const WORK: [&str; 7] = [
    "USER CREATE 3/0",
    "USER DELETE 1/0",
    "USER ACTIVATE 1/0",
    "USER DEACTIVATE 1/0",
    "GROUP CREATE 1/0",
    "MEMBERSHIP CREATE 2/0",
    "MEMBERSHIP DELETE 1/0",
];

#[tokio::test]
async fn a_session_that_expires_unreported_counts_what_was_changed() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    work(&hub, &agent.with("x-sync-session-id", id)).await;
    // Not under the session.
    hub.create_user("dan").await;
    assert_eq!(counters(&get(&agent, id).await), WORK);

    hub.advance(Span::seconds(61));
    let expired = get(&agent, id).await;
    assert_eq!(expired.status(), SessionStatus::Expired);
    assert_eq!(counters(&expired), WORK);
    let now = hub.clock.now();
    rollcall_hub::sweeper::sweep(&hub.running.hub, now)
        .await
        .unwrap();
    assert_eq!(get(&agent, id).await, expired);
    let list = idp::ListSessionsRequest {
        subject_container_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let method = "SynchronizationSessionService/ListSessions";
    let page: idp::ListSessionsResponse = agent.call(method, &list).await.unwrap();
    assert_eq!(page.sessions, std::slice::from_ref(&expired));

    // The operations may be forgotten, the counters stay.
    hub.advance(Span::days(31));
    for _ in 0..2 {
        let now = hub.clock.now();
        rollcall_hub::sweeper::sweep(&hub.running.hub, now)
            .await
            .unwrap();
    }
    let viewer = hub.agent().await;
    assert_eq!(get(&viewer, id).await, expired);
}

#[tokio::test]
async fn a_session_that_is_taken_over_counts_what_was_changed_in_it() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let first = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let other = session(
        &hub.open(&agent, "agent-1", SessionType::AdUserControl)
            .await,
    );
    let fenced = |id: &str| agent.with("x-sync-session-id", id);
    let ann = work(&hub, &fenced(&first.session_id)).await;
    let suspend = idp::SuspendUserRequest {
        user_id: ann.clone(),
        ..Default::default()
    };
    made(&fenced(&other.session_id), "UserService/Suspend", &suspend).await;
    let second = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let update = idp::UpdateUserRequest {
        user_id: ann.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["department".into()],
        }),
        department: "Accounts".into(),
        ..Default::default()
    };
    let hash = idp::SetPasswordHashRequest {
        user_id: ann,
        hash: Some(nt("00000000000000000000000000000001")),
        need_change: false,
    };
    let now = fenced(&second.session_id);
    made(&now, "UserService/Update", &update).await;
    for _ in 0..2 {
        made(&now, "UserService/SetPasswordHash", &hash).await;
    }
    let superseded = get(&agent, &first.session_id).await;
    assert_eq!(superseded.fail_reason, "superseded");
    assert_eq!(counters(&superseded), WORK);
    let expected = ["USER UPDATE 1/0", "USER PASSWORD_HASH_UPDATE 1/0"];
    assert_eq!(counters(&get(&agent, &second.session_id).await), expected);
    let found = counters(&get(&agent, &other.session_id).await);
    assert_eq!(found, ["USER DEACTIVATE 1/0"]);
}

#[tokio::test]
async fn what_is_reported_and_what_was_seen_are_merged_by_maximum() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    let fenced = agent.with("x-sync-session-id", id);
    for login in ["ann", "bob"] {
        create(&fenced, &hub.new_user(login)).await;
    }
    let info = |change: ChangeType, successful, failed| idp::ChangeInfo {
        change_type: change.into(),
        successful,
        failed,
    };
    let report = idp::ReportSessionProgressRequest {
        session_id: id.into(),
        progress_entries: vec![idp::ProgressEntry {
            object_type: RelatedObjectType::User.into(),
            change_info: vec![
                info(ChangeType::Create, 1, 3),
                info(ChangeType::Activate, 4, 0),
            ],
        }],
    };
    let method = "SynchronizationSessionService/ReportSessionProgress";
    made(&agent, method, &report).await;
    let close = idp::CloseSessionRequest {
        session_id: id.into(),
        ..Default::default()
    };
    let (_, closed): (idp::CloseSessionMetadata, idp::SynchronizationSession) = agent
        .change("SynchronizationSessionService/CloseSession", &close)
        .await
        .unwrap();
    let expected = ["USER CREATE 2/3", "USER ACTIVATE 4/0"];
    assert_eq!(counters(&closed), expected);
    assert_eq!(get(&agent, id).await, closed);
}

/// What the answer to a call over gRPC tells about its changes.
async fn told<Q: prost::Message + Clone + 'static>(
    caller: &Caller,
    method: &str,
    request: &Q,
) -> Option<String> {
    let mut message = tonic::Request::new(request.clone());
    for key in ["authorization", "x-sync-session-id", "idempotency-key"] {
        let value = caller.metadata(key);
        if !value.is_empty() {
            let value = AsciiMetadataValue::try_from(value).unwrap();
            message.metadata_mut().insert(key, value);
        }
    }
    let mut grpc = Grpc::new(caller.channel());
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(find_method(method).path);
    let codec = ProstCodec::<Q, Operation>::default();
    let answer = grpc.unary(message, path, codec).await.unwrap();
    let value = answer.metadata().get("x-sync-session-changes");
    value.map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn answers_tell_what_was_counted() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let stream = SessionType::AdUserControl;
    let opened = session(&hub.open(&agent, "agent-1", stream).await);
    let fenced = agent.with("x-sync-session-id", &opened.session_id);
    let once = fenced.with("idempotency-key", "ann");
    let ann = hub.new_user("ann");
    let mut said = Vec::new();
    for _ in 0..2 {
        said.push(told(&once, CREATE, &ann).await);
    }
    let suspend = idp::SuspendUserRequest {
        user_id: hub.create_user("bob").await,
        ..Default::default()
    };
    for _ in 0..2 {
        said.push(told(&fenced, "UserService/Suspend", &suspend).await);
    }
    said.push(told(&agent, "UserService/Suspend", &suspend).await);
    // A repetition in the next session was counted for the first one.
    let next = session(&hub.open(&agent, "agent-1", stream).await);
    let again = once.with("x-sync-session-id", &next.session_id);
    said.push(told(&again, CREATE, &ann).await);
    let said: Vec<_> = said.iter().map(Option::as_deref).collect();
    let expected = [
        Some("USER.CREATE=1"),
        Some("USER.CREATE=1"),
        Some("USER.DEACTIVATE=1"),
        Some("none"),
        None,
        Some("none"),
    ];
    assert_eq!(said, expected);
    assert_eq!(counters(&get(&agent, &next.session_id).await), [""; 0]);
}
