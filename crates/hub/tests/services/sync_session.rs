//! Sessions of agents over their whole life, apart from what the hub still does after their close.

use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::idp::{OpenSessionResult, SessionStatus, SessionType, SyncMode};
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const SERVICE: &str = "SynchronizationSessionService";

pub(super) fn session(response: &idp::OpenSessionResponse) -> idp::SynchronizationSession {
    match &response.session_info {
        Some(SessionInfo::OpenedSession(session)) => session.clone(),
        other => panic!("no session: {other:?}"),
    }
}

async fn heartbeat(caller: &Caller, id: &str) -> Result<(), Status> {
    let request = idp::HeartbeatRequest {
        session_id: id.into(),
    };
    let method = format!("{SERVICE}/Heartbeat");
    let (metadata, ()): (idp::HeartbeatMetadata, ()) = caller.change(&method, &request).await?;
    assert_eq!(metadata.session_id, id);
    Ok(())
}

pub(super) async fn close(
    caller: &Caller,
    id: &str,
    failure: Option<&str>,
) -> Result<idp::SynchronizationSession, Status> {
    let request = idp::CloseSessionRequest {
        session_id: id.into(),
        failed: failure.is_some(),
        fail_reason: failure.unwrap_or_default().into(),
    };
    let method = format!("{SERVICE}/CloseSession");
    let (_, session): (idp::CloseSessionMetadata, _) = caller.change(&method, &request).await?;
    Ok(session)
}

pub(super) async fn get(caller: &Caller, id: &str) -> Result<idp::SynchronizationSession, Status> {
    let request = idp::GetSessionRequest {
        session_id: id.into(),
    };
    let response: idp::GetSessionResponse = caller
        .call(&format!("{SERVICE}/GetSession"), &request)
        .await?;
    Ok(response.session.expect("a session"))
}

fn report(id: &str, successful: i64, failed: i64) -> idp::ReportSessionProgressRequest {
    idp::ReportSessionProgressRequest {
        session_id: id.into(),
        progress_entries: vec![idp::ProgressEntry {
            object_type: idp::RelatedObjectType::User.into(),
            change_info: vec![idp::ChangeInfo {
                change_type: idp::ChangeType::Create.into(),
                successful,
                failed,
            }],
        }],
    }
}

async fn send(
    caller: &Caller,
    request: &idp::ReportSessionProgressRequest,
) -> Result<idp::SynchronizationSession, Status> {
    let method = format!("{SERVICE}/ReportSessionProgress");
    let (_, session): (idp::ReportSessionProgressMetadata, _) =
        caller.change(&method, request).await?;
    Ok(session)
}

#[tokio::test]
async fn a_session_goes_from_open_to_completed() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let response = hub.open(&agent, "agent-1", SessionType::AdSync).await;
    assert_eq!(response.result(), OpenSessionResult::Success);
    assert_eq!(response.synchronization_settings, None);
    let opened = session(&response);
    assert_eq!(opened.status(), SessionStatus::Opened);
    assert_eq!(opened.sync_mode(), SyncMode::FullSync);
    assert_eq!(opened.session_type(), SessionType::AdSync);
    assert_eq!(opened.agent_id, "agent-1");
    let lease = opened.expires_at.unwrap().seconds - opened.created_at.unwrap().seconds;
    assert_eq!(lease, 60);

    let id = opened.session_id.as_str();
    let reported = send(&agent, &report(id, 5, 1)).await.unwrap();
    assert_eq!(reported.progress_entries, report(id, 5, 1).progress_entries);
    // A late report cannot lower a counter (decision U27).
    let reported = send(&agent, &report(id, 3, 2)).await.unwrap();
    assert_eq!(reported.progress_entries, report(id, 5, 2).progress_entries);

    let closed = close(&agent, id, None).await.unwrap();
    assert_eq!(closed.status(), SessionStatus::Completed);
    assert!(closed.closed_at.is_some());
    assert_eq!(get(&agent, id).await.unwrap(), closed);
    assert_eq!(close(&agent, id, None).await.unwrap(), closed);
    let status = close(&agent, id, Some("late")).await.unwrap_err();
    expect(
        &status,
        Code::FailedPrecondition,
        "SYNC_SESSION_ENDED_OTHERWISE",
    );
    let status = send(&agent, &report(id, 9, 9)).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    assert!(status.message().contains("COMPLETED"), "{status:?}");
}

#[tokio::test]
async fn a_lease_is_renewed_by_signs_of_life_and_ends_without() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    hub.advance(Span::seconds(50));
    heartbeat(&agent, id).await.unwrap();
    hub.advance(Span::seconds(50));
    send(&agent, &report(id, 1, 0)).await.unwrap();
    hub.advance(Span::seconds(59));
    let alive = get(&agent, id).await.unwrap();
    assert_eq!(alive.status(), SessionStatus::Opened);

    hub.advance(Span::seconds(1));
    let expired = get(&agent, id).await.unwrap();
    assert_eq!(expired.status(), SessionStatus::Expired);
    assert_eq!(expired.closed_at, expired.expires_at);
    assert_eq!(expired.expires_at, alive.expires_at);
    assert!(!expired.fail_reason.is_empty());
    let status = heartbeat(&agent, id).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    let status = close(&agent, id, None).await.unwrap_err();
    expect(
        &status,
        Code::FailedPrecondition,
        "SYNC_SESSION_ENDED_OTHERWISE",
    );

    // The stream is free for another agent at once (decision U13).
    let response = hub.open(&agent, "agent-2", SessionType::AdSync).await;
    assert_eq!(response.result(), OpenSessionResult::Success);
    assert_eq!(get(&agent, id).await.unwrap(), expired);
}

/// A session that the hub's configuration limits ends although its agent is alive (decision U6).
#[tokio::test]
async fn signs_of_life_extend_no_session_beyond_the_greatest_length() {
    let limit = "sessions: {max_session_duration_seconds: 100}\n";
    let hub = Harness::start_with(None, limit).await;
    let agent = hub.agent().await;
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
    let end = seconds(opened.created_at) + 100;
    hub.advance(Span::seconds(30));
    heartbeat(&agent, id).await.unwrap();
    let renewed = get(&agent, id).await.unwrap();
    assert_eq!(seconds(renewed.expires_at), end - 10);
    for _ in 0..2 {
        hub.advance(Span::seconds(30));
        heartbeat(&agent, id).await.unwrap();
        send(&agent, &report(id, 1, 0)).await.unwrap();
        let renewed = get(&agent, id).await.unwrap();
        assert_eq!(renewed.status(), SessionStatus::Opened);
        assert_eq!(seconds(renewed.expires_at), end);
    }

    hub.advance(Span::seconds(10));
    let ended = get(&agent, id).await.unwrap();
    assert_eq!(ended.status(), SessionStatus::Expired);
    assert_eq!(seconds(ended.closed_at), end);
    assert!(ended.fail_reason.contains("as long as"), "{ended:?}");
    let fenced = agent.with("x-sync-session-id", id);
    let create = "UserService/Create";
    for status in [
        heartbeat(&agent, id).await.unwrap_err(),
        fenced.refused(create, &hub.new_user("ann")).await,
    ] {
        expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    }
    let next = hub.open(&agent, "agent-2", SessionType::AdSync).await;
    assert_eq!(next.result(), OpenSessionResult::Success);
}

#[tokio::test]
async fn one_agent_works_and_the_same_agent_takes_over() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let first = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let response = hub.open(&agent, "agent-2", SessionType::AdSync).await;
    assert_eq!(response.result(), OpenSessionResult::OpenedSessionExists);
    assert_eq!(session(&response), first);
    assert_eq!(response.replication_token, "");
    // Other streams are free (decision U1).
    for stream in [SessionType::AdPasswordHash, SessionType::AdUserControl] {
        let response = hub.open(&agent, "agent-2", stream).await;
        assert_eq!(response.result(), OpenSessionResult::Success);
    }

    let second = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    assert_ne!(second.session_id, first.session_id);
    let superseded = get(&agent, &first.session_id).await.unwrap();
    assert_eq!(superseded.status(), SessionStatus::Failed);
    assert_eq!(superseded.fail_reason, "superseded");
    let status = heartbeat(&agent, &first.session_id).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_NOT_OPEN");
    heartbeat(&agent, &second.session_id).await.unwrap();
}

#[tokio::test]
async fn the_interval_counts_for_the_main_stream_unless_forced() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let first = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    close(&agent, &first.session_id, None).await.unwrap();
    hub.advance(Span::minutes(14));
    let early = hub.open(&agent, "agent-2", SessionType::AdSync).await;
    assert_eq!(early.result(), OpenSessionResult::TooEarly);
    let Some(SessionInfo::NextSessionAt(next)) = early.session_info else {
        panic!("{early:?}");
    };
    assert_eq!(next.seconds, first.created_at.unwrap().seconds + 15 * 60);

    let forced = hub
        .open(
            &agent.with("x-sync-force", "1"),
            "agent-2",
            SessionType::AdSync,
        )
        .await;
    assert_eq!(forced.result(), OpenSessionResult::Success);
    close(&agent, &session(&forced).session_id, None)
        .await
        .unwrap();
    hub.advance(Span::minutes(15));
    let due = hub.open(&agent, "agent-2", SessionType::AdSync).await;
    assert_eq!(due.result(), OpenSessionResult::Success);

    for _ in 0..2 {
        let fast = session(
            &hub.open(&agent, "agent-1", SessionType::AdPasswordHash)
                .await,
        );
        close(&agent, &fast.session_id, None).await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_run_brakes_the_same_agent_for_a_minute() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let failed = close(&agent, &opened.session_id, Some("directory unreachable"))
        .await
        .unwrap();
    assert_eq!(failed.status(), SessionStatus::Failed);
    assert_eq!(failed.fail_reason, "directory unreachable");
    let again = hub.open(&agent, "agent-1", SessionType::AdSync).await;
    assert_eq!(again.result(), OpenSessionResult::TooEarly);
    hub.advance(Span::seconds(60));
    let again = hub.open(&agent, "agent-1", SessionType::AdSync).await;
    assert_eq!(again.result(), OpenSessionResult::Success);
}

#[tokio::test]
async fn a_stored_token_makes_the_next_run_a_delta() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let first = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let token = idp::SetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
        replication_token: "cookie-1".into(),
        session_type: SessionType::AdSync.into(),
    };
    let set = "SynchronizationService/SetReplicationToken";
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(set, &token).await.unwrap();
    close(&agent, &first.session_id, None).await.unwrap();
    hub.advance(Span::minutes(15));
    let second = hub.open(&agent, "agent-1", SessionType::AdSync).await;
    assert_eq!(session(&second).sync_mode(), SyncMode::Delta);
    assert_eq!(second.replication_token, "cookie-1");
}

#[tokio::test]
async fn sessions_are_listed_newest_first_and_filtered() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let mut ids = Vec::new();
    for agent_id in ["a", "b", "c"] {
        let opened = session(&hub.open(&agent, agent_id, SessionType::AdUserControl).await);
        close(&agent, &opened.session_id, None).await.unwrap();
        ids.push(opened.session_id);
        hub.advance(Span::seconds(1));
    }
    ids.reverse();
    let list = format!("{SERVICE}/ListSessions");
    let mut request = idp::ListSessionsRequest {
        subject_container_id: hub.pool_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page: idp::ListSessionsResponse = agent.call(&list, &request).await.unwrap();
        assert!(page.sessions.len() <= 2);
        listed.extend(page.sessions.into_iter().map(|session| session.session_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, ids);

    let moved = idp::ListSessionsRequest {
        filter: "agent_id = 'a'".into(),
        ..request.clone()
    };
    expect_field(&agent.refused(&list, &moved).await, "page_token");
    let filtered = idp::ListSessionsRequest {
        filter: "agent_id IN ('a', 'c') AND status = 'COMPLETED'".into(),
        page_token: String::new(),
        ..request
    };
    let page: idp::ListSessionsResponse = agent.call(&list, &filtered).await.unwrap();
    let agents: Vec<_> = page
        .sessions
        .iter()
        .map(|session| session.agent_id.as_str())
        .collect();
    assert_eq!(agents, ["c", "a"]);
}

#[tokio::test]
async fn only_the_opener_acts_and_an_administrator_may_close() {
    let hub = Harness::start().await;
    let (agent, other) = (hub.agent().await, hub.agent().await);
    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    for status in [
        heartbeat(&other, id).await.unwrap_err(),
        close(&other, id, None).await.unwrap_err(),
        send(&other, &report(id, 1, 0)).await.unwrap_err(),
    ] {
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    get(&viewer, id).await.unwrap();
    let status = close(&viewer, id, None).await.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let administrator = hub.account(&["userpools.admin"], hub.pool()).await;
    let closed = close(&administrator, id, Some("by hand")).await.unwrap();
    assert_eq!(closed.status(), SessionStatus::Failed);
    let status = agent.with("x-sync-force", "1");
    assert_eq!(
        hub.open(&status, "agent-1", SessionType::AdSync)
            .await
            .result(),
        OpenSessionResult::Success
    );
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let open = format!("{SERVICE}/OpenSession");
    let request = idp::OpenSessionRequest {
        subject_container_id: hub.pool_id.clone(),
        agent_id: "a".repeat(51),
        session_type: SessionType::AdSync.into(),
    };
    expect_field(&agent.refused(&open, &request).await, "agent_id");
    let request = idp::OpenSessionRequest {
        agent_id: "a".into(),
        session_type: 0,
        ..request
    };
    expect_field(&agent.refused(&open, &request).await, "session_type");
    let request = idp::OpenSessionRequest {
        subject_container_id: "ek0missing".into(),
        session_type: 1,
        ..request
    };
    expect(
        &agent.refused(&open, &request).await,
        Code::NotFound,
        "NOT_FOUND",
    );

    let opened = session(&hub.open(&agent, "agent-1", SessionType::AdSync).await);
    let id = opened.session_id.as_str();
    let status = send(&agent, &report(id, -1, 0)).await.unwrap_err();
    expect_field(&status, "progress_entries[0].change_info[0].successful");
    let mut twice = report(id, 1, 0);
    twice
        .progress_entries
        .push(twice.progress_entries[0].clone());
    let status = send(&agent, &twice).await.unwrap_err();
    expect_field(&status, "progress_entries[1].object_type");
    let status = heartbeat(&agent, "sysmissing").await.unwrap_err();
    expect(&status, Code::NotFound, "NOT_FOUND");
    let stranger = hub.account(&[], hub.organization()).await;
    for id in ["sysmissing", id] {
        let status = get(&stranger, id).await.unwrap_err();
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn a_filter_sees_the_status_that_is_shown() {
    let hub = Harness::start().await;
    hub.open(&hub.administrator, "agent-1", SessionType::AdSync)
        .await;
    let list = async |filter: &str| {
        let request = idp::ListSessionsRequest {
            subject_container_id: hub.pool_id.clone(),
            filter: filter.into(),
            ..Default::default()
        };
        let page: idp::ListSessionsResponse = hub
            .administrator
            .call(&format!("{SERVICE}/ListSessions"), &request)
            .await
            .unwrap();
        page.sessions.len()
    };
    assert_eq!(list("status = OPENED").await, 1);
    assert_eq!(list("status : 'open'").await, 1);
    assert_eq!(list("status = EXPIRED").await, 0);
    hub.advance(Span::seconds(61));
    assert_eq!(list("status = OPENED").await, 0);
    assert_eq!(list("status IN (EXPIRED, FAILED)").await, 1);
    assert_eq!(list("status != EXPIRED").await, 0);
    assert_eq!(list("status contains 'open'").await, 0);
    assert_eq!(list("status : 'pire'").await, 1);
    assert_eq!(list("agent_id = 'agent-1'").await, 1);
}
