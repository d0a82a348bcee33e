use rollcall_kit::timestamp::Span;
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};
use rollcall_proto::{access, idp};
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
async fn an_operation_tells_nobody_what_it_could_not_ask_for() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let account = hub.account(&["userpools.syncAgent"], hub.pool()).await;
    let auditor = hub.account(&["userpools.auditor"], hub.pool()).await;
    let request = access::SetAccessBindingsRequest {
        resource_id: hub.pool_id.clone(),
        access_bindings: list_bindings(&hub).await,
    };
    let bound: Operation = owner
        .call("UserpoolService/SetAccessBindings", &request)
        .await
        .unwrap();
    let request = idp::AddUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: "example.org".into(),
    };
    let added: Operation = owner
        .call("UserpoolService/AddDomain", &request)
        .await
        .unwrap();
    let list = idp::ListUserpoolOperationsRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let ids = async |caller: &Caller| {
        let method = "UserpoolService/ListOperations";
        let page: idp::ListUserpoolOperationsResponse = caller.call(method, &list).await.unwrap();
        let ids = page.operations.into_iter().map(|operation| operation.id);
        ids.collect::<Vec<_>>()
    };
    let (shown, all) = (ids(&account).await, ids(&auditor).await);
    assert_eq!(shown.len() + 2, all.len());
    for operation in [&bound, &added] {
        assert!(all.contains(&operation.id) && !shown.contains(&operation.id));
        let status = account
            .refused("OperationService/Get", &get(operation))
            .await;
        expect(&status, Code::NotFound, "NOT_FOUND");
        let read: Operation = auditor
            .call("OperationService/Get", &get(operation))
            .await
            .unwrap();
        assert_eq!(read, *operation);
    }
}

/// The bindings on the pool `staff`.
async fn list_bindings(hub: &Harness) -> Vec<access::AccessBinding> {
    let request = access::ListAccessBindingsRequest {
        resource_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let method = "UserpoolService/ListAccessBindings";
    let page: access::ListAccessBindingsResponse =
        hub.administrator.call(method, &request).await.unwrap();
    page.access_bindings
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
