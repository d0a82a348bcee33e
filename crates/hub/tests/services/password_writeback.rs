//! Password changes that wait for a directory: what callers, agents and the trail see of them.

mod agent;
mod answer;
mod hash;
mod replicas;
mod required;
mod stream;

use rollcall_domain::access::Subject;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode as ErrorCode;
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};
use rollcall_proto::{idp, rpc};
use tonic::{Code, Status};

use super::password_change::{FIRST, SECOND, is_right, own, spec};
use crate::harness::{Caller, Harness, expect};
use agent::Agent;

const THIRD: &str = "Paper * scissors 9";

/// A hub whose pool writes passwords back, with the user `ann` of the directory.
struct World {
    hub: Harness,
    ann_id: String,
    /// Her, signed in.
    ann: Caller,
    /// The account of an agent.
    agent: Caller,
}

impl World {
    async fn start() -> Self {
        Self::on(Harness::start().await).await
    }

    async fn on(hub: Harness) -> Self {
        hub.without_transcript("a stream has no other transport");
        let settings = idp::CreateSynchronizationSettingsRequest {
            subject_container_id: hub.pool_id.clone(),
            filter: Some(idp::SynchronizationFilter {
                domain: "corp.example".into(),
                ..Default::default()
            }),
            enable_password_writeback: true,
            ..Default::default()
        };
        let _: Operation = hub
            .administrator
            .call(
                "SynchronizationService/CreateSynchronizationSettings",
                &settings,
            )
            .await
            .unwrap();
        let pool = idp::UpdateUserpoolRequest {
            userpool_id: hub.pool_id.clone(),
            user_settings: Some(idp::UserSettings {
                allow_edit_self_password: true,
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["user_settings.allow_edit_self_password".into()],
            }),
            ..Default::default()
        };
        let _: Operation = hub
            .administrator
            .call("UserpoolService/Update", &pool)
            .await
            .unwrap();
        let agent = hub.account(&["userpools.writebackAgent"], hub.pool()).await;
        let ann_id = create(&hub, "ann").await;
        let ann = hub
            .sign_in(Subject::user(ann_id.as_str()), &[], hub.pool())
            .await;
        Self {
            hub,
            ann_id,
            ann,
            agent,
        }
    }

    async fn change_own(&self) -> Operation {
        let operation: Operation = self
            .ann
            .call("UserService/SetOwnPassword", &own(SECOND, FIRST))
            .await
            .unwrap();
        assert!(!operation.done, "{operation:?}");
        operation
    }

    async fn reset(&self, password: &str) -> Result<Operation, Status> {
        self.reset_by(&self.hub.administrator, password).await
    }

    async fn reset_by(&self, caller: &Caller, password: &str) -> Result<Operation, Status> {
        let request = idp::SetOthersPasswordRequest {
            user_id: self.ann_id.clone(),
            password_spec: spec(password),
        };
        caller.call("UserService/SetOthersPassword", &request).await
    }

    async fn subscribe(&self, agent_id: &str) -> Agent {
        Agent::subscribe(&self.agent, &self.hub.pool_id, agent_id, 0)
            .await
            .unwrap()
    }

    async fn commit(&self, answer: &idp::CommitPasswordRequest) -> Result<Operation, Status> {
        self.agent.call("UserService/CommitPassword", answer).await
    }

    /// The answer that `change` was written.
    fn answer(&self, change: &idp::GetPasswordChangesResponse) -> idp::CommitPasswordRequest {
        idp::CommitPasswordRequest {
            external_user_id: change.external_user_id.clone(),
            password: change.password.clone(),
            modifying_operation_id: change.modifying_operation_id.clone(),
            need_change: change.need_change,
            error_details: None,
            expires_at: change.expires_at,
            generated: change.generated,
            userpool_id: self.hub.pool_id.clone(),
        }
    }

    /// The operation as `caller` sees it.
    async fn operation(&self, caller: &Caller, id: &str) -> Operation {
        let request = GetOperationRequest {
            operation_id: id.to_owned(),
        };
        caller.call("OperationService/Get", &request).await.unwrap()
    }

    /// The operation when it is done, which a job sees to.
    async fn done(&self, caller: &Caller, id: &str) -> Operation {
        for _ in 0..200 {
            let operation = self.operation(caller, id).await;
            if operation.done {
                return operation;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("operation {id} does not end");
    }

    async fn is_right(&self, password: &str) -> bool {
        is_right(&self.hub, &self.ann_id, password).await
    }
}

/// A user of the directory with the permanent password [`FIRST`]; with its id.
async fn create(hub: &Harness, login: &str) -> String {
    let mut request = hub.new_user(login);
    request.external_id = format!("guid-{login}");
    request.credentials = Some(Credentials::PasswordHash(idp::PasswordHash {
        password_hash: nt_hex(FIRST),
        password_hash_type: idp::password_hash::PasswordHashType::AdMd4.into(),
        created_at: None,
    }));
    let (made, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    made.user_id
}

fn nt_hex(password: &str) -> String {
    let hash = rollcall_hub::password_hash::nt_hash(&SecretString::new(password.into()));
    hash.expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Code, reason and the details of the writeback of a failed operation.
fn failure(operation: &Operation) -> (Code, String, idp::PasswordWritebackErrorDetails) {
    use prost::Message as _;
    use rollcall_proto::operation::operation::Result as Ended;
    let Some(Ended::Error(error)) = &operation.result else {
        panic!("{operation:?} did not fail");
    };
    let status = rpc::Status {
        code: error.code,
        message: error.message.clone(),
        details: error.details.clone(),
    };
    let status = Status::with_details(
        Code::from(error.code),
        error.message.clone(),
        status.encode_to_vec().into(),
    );
    let reason = tonic_types::StatusExt::get_details_error_info(&status)
        .expect("ErrorInfo")
        .reason;
    let details = error
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("PasswordWritebackErrorDetails"))
        .expect("PasswordWritebackErrorDetails");
    let details = idp::PasswordWritebackErrorDetails::decode(details.value.as_slice()).unwrap();
    (status.code(), reason, details)
}

fn is_response(operation: &Operation, name: &str) -> bool {
    use rollcall_proto::operation::operation::Result as Ended;
    matches!(&operation.result, Some(Ended::Response(any)) if any.type_url.ends_with(name))
}

#[tokio::test]
async fn an_own_change_waits_for_the_directory() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let operation = world.change_own().await;
    assert!(world.is_right(FIRST).await);
    let change = agent.next().await.unwrap();
    assert_eq!(change.external_user_id, "guid-ann");
    assert_eq!(change.password, SECOND);
    assert_eq!(change.old_password, FIRST);
    assert_eq!(change.modifying_operation_id, operation.id);
    assert_eq!((change.need_change, change.generated), (false, false));
    assert_eq!((change.offset, change.expires_at), (1, None));
    let created_at = operation.created_at.unwrap();
    let deadline = change.operation_expires_at.unwrap();
    assert_eq!(deadline.seconds - created_at.seconds, 60);
    // Nothing is decided yet.
    assert!(!world.operation(&world.ann, &operation.id).await.done);
    let other = world
        .hub
        .sign_in(Subject::user(world.ann_id.as_str()), &[], world.hub.pool())
        .await;
    let committed = world.commit(&world.answer(&change)).await.unwrap();
    assert!(committed.done && committed.id != operation.id);
    let ended = world.operation(&world.ann, &operation.id).await;
    assert!(is_response(&ended, "SetOwnPasswordResponse"), "{ended:?}");
    assert!(world.is_right(SECOND).await);
    assert!(!world.is_right(FIRST).await);
    // The other tokens of the user ended with the password.
    world.hub.advance(Span::seconds(6));
    let get = GetOperationRequest {
        operation_id: operation.id.clone(),
    };
    let refused = other.refused("OperationService/Get", &get).await;
    expect(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn administrators_reset_and_generate() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let operation = world.reset(SECOND).await.unwrap();
    let change = agent.next().await.unwrap();
    assert_eq!(change.old_password, "");
    assert_eq!((change.need_change, change.generated), (false, false));
    world.commit(&world.answer(&change)).await.unwrap();
    let ended = world
        .operation(&world.hub.administrator, &operation.id)
        .await;
    assert!(is_response(&ended, "SetOthersPasswordResponse"));
    let made: idp::GeneratePasswordResponse = world
        .hub
        .administrator
        .call(
            "UserService/GeneratePassword",
            &idp::GeneratePasswordRequest {},
        )
        .await
        .unwrap();
    let request = idp::SetOthersPasswordRequest {
        user_id: world.ann_id.clone(),
        password_spec: made.password_spec.clone(),
    };
    let begun: Operation = world
        .hub
        .administrator
        .call("UserService/SetOthersPassword", &request)
        .await
        .unwrap();
    assert!(!begun.done);
    let change = agent.next().await.unwrap();
    assert_eq!(change.password, made.password_spec.unwrap().password);
    assert_eq!((change.need_change, change.generated), (true, true));
    assert_eq!((change.offset, change.expires_at.is_some()), (2, true));
    world.commit(&world.answer(&change)).await.unwrap();
    assert!(world.is_right(&change.password).await);
}

#[tokio::test]
async fn one_change_at_a_time_and_all_of_them_end() {
    let world = World::start().await;
    let first = world.reset(SECOND).await.unwrap();
    let refused = world.reset(THIRD).await.unwrap_err();
    expect(&refused, Code::Aborted, "CONFLICT");
    assert!(refused.message().contains(&first.id), "{refused:?}");
    // Nobody took it.
    world.hub.advance(Span::seconds(60));
    let ended = world.done(&world.hub.administrator, &first.id).await;
    let (code, reason, details) = failure(&ended);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "NO_AGENT"));
    assert_eq!(details.error_code(), ErrorCode::DeadlineExceeded);
    // Somebody took it and said nothing.
    let mut agent = world.subscribe("agent-1").await;
    let second = world.reset(THIRD).await.unwrap();
    agent.next().await.unwrap();
    world.hub.advance(Span::seconds(60));
    let ended = world.done(&world.hub.administrator, &second.id).await;
    let (code, reason, _) = failure(&ended);
    assert_eq!(
        (code, reason.as_str()),
        (Code::DeadlineExceeded, "NO_ANSWER")
    );
    assert!(world.is_right(FIRST).await);
}

#[tokio::test]
async fn whoever_began_it_or_may_set_it_cancels_it() {
    let world = World::start().await;
    let cancel = |id: &str| CancelOperationRequest {
        operation_id: id.to_owned(),
    };
    let method = "OperationService/Cancel";
    let operation = world.change_own().await;
    let bob_id = create(&world.hub, "bob").await;
    let bob = world
        .hub
        .sign_in(Subject::user(bob_id.as_str()), &[], world.hub.pool())
        .await;
    let refused = bob.refused(method, &cancel(&operation.id)).await;
    expect(&refused, Code::NotFound, "NOT_FOUND");
    let ended: Operation = world
        .ann
        .call(method, &cancel(&operation.id))
        .await
        .unwrap();
    assert!(ended.done && ended.id == operation.id);
    let operation = world.change_own().await;
    let ended: Operation = world
        .hub
        .administrator
        .call(method, &cancel(&operation.id))
        .await
        .unwrap();
    assert!(ended.done);
    let refused = world.ann.refused(method, &cancel(&operation.id)).await;
    expect(
        &refused,
        Code::FailedPrecondition,
        "OPERATION_NOT_CANCELLABLE",
    );
    assert!(world.is_right(FIRST).await);
}

#[tokio::test]
async fn the_pool_looks_first() {
    let world = World::start().await;
    let refused = world.reset("short").await.unwrap_err();
    expect(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let wrong = own(SECOND, "Wrong horse 7");
    let refused = world
        .ann
        .refused("UserService/SetOwnPassword", &wrong)
        .await;
    expect(&refused, Code::InvalidArgument, "INVALID_FIELD");
    let stranger = world.hub.account(&[], world.hub.pool()).await;
    let refused = world.reset_by(&stranger, SECOND).await.unwrap_err();
    expect(&refused, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_deleted_user_has_no_change() {
    let world = World::start().await;
    let operation = world.reset(SECOND).await.unwrap();
    let request = idp::DeleteUserRequest {
        user_id: world.ann_id.clone(),
    };
    let _: Operation = world
        .hub
        .administrator
        .call("UserService/Delete", &request)
        .await
        .unwrap();
    let ended = world
        .operation(&world.hub.administrator, &operation.id)
        .await;
    assert!(ended.done);
}

#[tokio::test]
async fn a_change_survives_the_hub_and_lies_sealed() {
    let world = World::start().await;
    let operation = world.change_own().await;
    let World {
        hub,
        ann_id,
        ann,
        agent,
    } = world;
    let data = hub.data();
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [FIRST, SECOND] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} lies in the clear");
        }
    }
    let tokens = (
        ann.metadata("authorization").to_owned(),
        agent.metadata("authorization").to_owned(),
    );
    let hub = hub.restart().await;
    let ann = hub.anonymous().with("authorization", &tokens.0);
    let agent = hub.anonymous().with("authorization", &tokens.1);
    let world = World {
        hub,
        ann_id,
        ann,
        agent,
    };
    let mut agent = world.subscribe("agent-1").await;
    let change = agent.next().await.unwrap();
    assert_eq!(change.modifying_operation_id, operation.id);
    assert_eq!(
        (change.password.as_str(), change.old_password.as_str()),
        (SECOND, FIRST)
    );
    world.commit(&world.answer(&change)).await.unwrap();
    assert!(world.is_right(SECOND).await);
}
