use rollcall_proto::idp;
use rollcall_proto::idp::{OpenSessionResult, SessionType, SyncMode};
use tonic::Code;

use crate::harness::{Caller, Harness, expect, expect_field};

const SET: &str = "SynchronizationService/SetReplicationToken";
const GET: &str = "SynchronizationService/GetReplicationToken";
const RESET: &str = "SynchronizationService/ResetReplicationToken";

fn set_request(pool_id: &str, token: &str) -> idp::SetReplicationTokenRequest {
    idp::SetReplicationTokenRequest {
        subject_container_id: pool_id.into(),
        replication_token: token.into(),
        session_type: SessionType::AdSync.into(),
    }
}

async fn stored(caller: &Caller, pool_id: &str, stream: SessionType) -> String {
    let request = idp::GetReplicationTokenRequest {
        subject_container_id: pool_id.into(),
        session_type: stream.into(),
    };
    let response: idp::GetReplicationTokenResponse = caller.call(GET, &request).await.unwrap();
    response.replication_token
}

#[tokio::test]
async fn each_stream_has_its_token() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    assert_eq!(stored(&agent, &hub.pool_id, SessionType::AdSync).await, "");
    let request = set_request(&hub.pool_id, "cookie");
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(SET, &request).await.unwrap();
    assert_eq!(
        stored(&agent, &hub.pool_id, SessionType::AdSync).await,
        "cookie"
    );
    assert_eq!(
        stored(&agent, &hub.pool_id, SessionType::AdUserControl).await,
        ""
    );
    let hub = hub.restart().await;
    assert_eq!(
        stored(&hub.administrator, &hub.pool_id, SessionType::AdSync).await,
        "cookie"
    );
}

#[tokio::test]
async fn a_reset_clears_all_streams_and_demands_full_runs() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let request = set_request(&hub.pool_id, "cookie");
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(SET, &request).await.unwrap();
    let request = idp::ResetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
    };
    let _: (idp::ResetReplicationTokenMetadata, ()) = agent.change(RESET, &request).await.unwrap();
    assert_eq!(stored(&agent, &hub.pool_id, SessionType::AdSync).await, "");

    // A token stored meanwhile does not fulfil the demand; a completed full run does.
    let request = set_request(&hub.pool_id, "cookie-2");
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(SET, &request).await.unwrap();
    for mode in [SyncMode::FullSync, SyncMode::Delta] {
        let opened = hub
            .open(
                &agent.with("x-sync-force", "1"),
                "agent-1",
                SessionType::AdSync,
            )
            .await;
        assert_eq!(opened.result(), OpenSessionResult::Success);
        let Some(idp::open_session_response::SessionInfo::OpenedSession(session)) =
            opened.session_info
        else {
            panic!("no session");
        };
        assert_eq!(session.sync_mode(), mode);
        let close = idp::CloseSessionRequest {
            session_id: session.session_id,
            ..Default::default()
        };
        let _: (idp::CloseSessionMetadata, idp::SynchronizationSession) = agent
            .change("SynchronizationSessionService/CloseSession", &close)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_foreign_session_and_bad_values_are_refused() {
    let hub = Harness::start().await;
    let (agent, other) = (hub.agent().await, hub.agent().await);
    hub.open(&agent, "agent-1", SessionType::AdSync).await;
    let request = set_request(&hub.pool_id, "cookie");
    let status = other.refused(SET, &request).await;
    expect(&status, Code::FailedPrecondition, "SYNC_SESSION_OF_ANOTHER");
    let _: (idp::SetReplicationTokenMetadata, ()) = agent.change(SET, &request).await.unwrap();

    let request = set_request(&hub.pool_id, &"x".repeat(1_001));
    expect_field(&agent.refused(SET, &request).await, "replication_token");
    let request = set_request(&hub.pool_id, "");
    expect_field(&agent.refused(SET, &request).await, "replication_token");
    let request = set_request("ek0missing", "x");
    expect(
        &agent.refused(SET, &request).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let request = idp::GetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
        session_type: SessionType::AdSync.into(),
    };
    let status = viewer.refused(GET, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
