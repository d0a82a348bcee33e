use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};
use tonic::Code;

use crate::harness::{Caller, Harness, expect};

async fn suspend(caller: &Caller, user_id: &str) -> Operation {
    let request = idp::SuspendUserRequest {
        user_id: user_id.into(),
        ..Default::default()
    };
    caller.call("UserService/Suspend", &request).await.unwrap()
}

fn get(operation: &Operation) -> GetOperationRequest {
    GetOperationRequest {
        operation_id: operation.id.clone(),
    }
}

#[tokio::test]
async fn an_operation_tells_who_did_what_when() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    let operation = suspend(&hub.administrator, &user_id).await;
    assert!(operation.id.starts_with("ops") && operation.id.len() == 20);
    assert_eq!(operation.description, "Suspend a user");
    assert_eq!(operation.created_at, operation.modified_at);
    assert!(operation.created_by.starts_with("aje"));
    let hub = hub.restart().await;
    let read: Operation = hub
        .administrator
        .call("OperationService/Get", &get(&operation))
        .await
        .unwrap();
    assert_eq!(read, operation);
}

#[tokio::test]
async fn viewers_of_the_resource_see_it_and_others_do_not() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    let operation = suspend(&hub.administrator, &user_id).await;
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let _: Operation = viewer
        .call("OperationService/Get", &get(&operation))
        .await
        .unwrap();
    let stranger = hub.account(&[], hub.organization()).await;
    let status = stranger
        .refused("OperationService/Get", &get(&operation))
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");

    // The answer of OpenSession holds the replication token (decision U26).
    let agent = hub.agent().await;
    let request = idp::OpenSessionRequest {
        subject_container_id: hub.pool_id.clone(),
        agent_id: "agent-1".into(),
        session_type: idp::SessionType::AdSync.into(),
    };
    let method = "SynchronizationSessionService/OpenSession";
    let opened: Operation = agent.call(method, &request).await.unwrap();
    let status = viewer.refused("OperationService/Get", &get(&opened)).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn operations_are_forgotten_after_thirty_days() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    let operation = suspend(&hub.administrator, &user_id).await;
    hub.advance(Span::days(30));
    let hub = hub.restart().await;
    let status = hub
        .administrator
        .refused("OperationService/Get", &get(&operation))
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn what_is_done_cannot_be_cancelled() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    let operation = suspend(&hub.administrator, &user_id).await;
    let cancel = CancelOperationRequest {
        operation_id: operation.id,
    };
    let status = hub
        .administrator
        .refused("OperationService/Cancel", &cancel)
        .await;
    expect(
        &status,
        Code::FailedPrecondition,
        "OPERATION_NOT_CANCELLABLE",
    );
    let cancel = CancelOperationRequest {
        operation_id: "opsmissing".into(),
    };
    let status = hub
        .administrator
        .refused("OperationService/Cancel", &cancel)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}
