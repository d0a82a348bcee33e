//! A client against a hub over TLS: connection, token, retries, operations.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod fake_hub;

use std::collections::HashMap;

use fake_hub::{Asked, FakeHub, TOKEN_LIFETIME};
use prost_types::Any;
use rollcall_client::{
    CallContext, Client, ClientError, ClientOptions, Credentials, ErrorKind, ServiceAccountKey,
};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::operation::operation::Result as Outcome;
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};
use rollcall_proto::organizationmanager::Group;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

async fn get(client: &Client, context: &CallContext) -> Result<Operation, ClientError> {
    let request = GetOperationRequest {
        operation_id: "ops1".into(),
    };
    client
        .call_with_retry(context, request, |hub, request| async move {
            hub.operations().get(request).await
        })
        .await
}

async fn cancel(client: &Client, context: &CallContext) -> Result<Operation, ClientError> {
    let request = CancelOperationRequest {
        operation_id: "ops1".into(),
    };
    client
        .call_with_retry(context, request, |hub, request| async move {
            hub.operations().cancel(request).await
        })
        .await
}

fn tokens(asked: &[Asked]) -> Vec<&str> {
    asked
        .iter()
        .map(|asked| asked.authorization.as_deref().unwrap_or("none"))
        .collect()
}

#[tokio::test]
async fn many_calls_at_once_share_one_exchange() {
    let hub = FakeHub::start().await;
    let client = Client::lazy(hub.options()).unwrap();

    let calls: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, &CallContext::read()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }

    assert_eq!(hub.exchanges(), 1);
    assert_eq!(tokens(&hub.asked()), ["Bearer t1.token-1"; 64]);
}

#[tokio::test]
async fn a_token_is_renewed_after_an_hour() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    get(&client, &CallContext::read()).await.unwrap();
    hub.clock.advance(Span::minutes(59));
    get(&client, &CallContext::read()).await.unwrap();
    hub.clock.advance(Span::minutes(2));
    get(&client, &CallContext::read()).await.unwrap();

    assert_eq!(
        tokens(&hub.asked()),
        [
            "Bearer t1.token-1",
            "Bearer t1.token-1",
            "Bearer t1.token-2"
        ]
    );
}

#[tokio::test]
async fn a_failed_renewal_disturbs_nobody_until_the_token_ends() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    hub.refuse_exchange();
    hub.clock.advance(Span::hours(2));
    get(&client, &CallContext::read()).await.unwrap();
    assert_eq!(tokens(&hub.asked()), ["Bearer t1.token-1"]);

    hub.clock.advance(TOKEN_LIFETIME);
    let error = get(&client, &CallContext::read()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert!(error.message.contains("the key was deleted"), "{error}");
    assert_eq!(hub.asked().len(), 1, "no call goes out without a token");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_the_same_call() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    hub.will_answer(Err(Status::unauthenticated("the token was revoked")));
    cancel(&client, &CallContext::mutation()).await.unwrap();

    let asked = hub.asked();
    assert_eq!(tokens(&asked), ["Bearer t1.token-1", "Bearer t1.token-2"]);
    assert!(asked[0].idempotency_key.is_some());
    assert_eq!(asked[0].idempotency_key, asked[1].idempotency_key);

    for _ in 0..2 {
        hub.will_answer(Err(Status::unauthenticated("no such account")));
    }
    let error = cancel(&client, &CallContext::mutation()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert_eq!(hub.asked().len(), 4);
}

#[tokio::test]
async fn passing_failures_are_retried_with_one_key() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::ResourceExhausted,
    ] {
        hub.will_answer(Err(Status::new(code, "later")));
    }
    cancel(&client, &CallContext::mutation()).await.unwrap();

    let keys: Vec<_> = hub
        .asked()
        .into_iter()
        .map(|asked| asked.idempotency_key.unwrap())
        .collect();
    assert_eq!(keys.len(), 5);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(keys[0].len(), 36);
    assert_eq!(keys[0].as_bytes()[14], b'4', "a UUID of version 4");
}

#[tokio::test]
async fn attempts_are_limited() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    for _ in 0..10 {
        hub.will_answer(Err(Status::unavailable("later")));
    }
    let error = get(&client, &CallContext::read()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(hub.asked().len(), 5);
    get(&client, &CallContext::read().with_attempts_max(1))
        .await
        .unwrap_err();
    assert_eq!(hub.asked().len(), 6);
}

#[tokio::test]
async fn lasting_failures_are_not_retried_and_keep_their_details() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();

    let mut details = ErrorDetails::new();
    details.set_error_info("SESSION_EXPIRED", "rollcall", HashMap::new());
    details.set_request_info("req-7", "");
    hub.will_answer(Err(Status::with_error_details(
        Code::FailedPrecondition,
        "the session has expired",
        details,
    )));
    let error = cancel(&client, &CallContext::mutation()).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::FailedPrecondition {
            reason: "SESSION_EXPIRED".into()
        }
    );
    assert_eq!(error.request_id.as_deref(), Some("req-7"));

    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("filter.groups[2]", "must have 1 to 253 characters");
    hub.will_answer(Err(Status::with_error_details(
        Code::InvalidArgument,
        "",
        details,
    )));
    let error = cancel(&client, &CallContext::mutation()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter.groups[2]: must have 1 to 253 characters"
    );
    assert!(
        matches!(error.kind, ErrorKind::InvalidArgument { violations } if violations.len() == 1)
    );

    for reason in ["LIMIT_REACHED", "QUOTA_EXCEEDED"] {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "rollcall", HashMap::new());
        hub.will_answer(Err(Status::with_error_details(
            Code::ResourceExhausted,
            "1000 members",
            details,
        )));
        let error = cancel(&client, &CallContext::mutation()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    }
    assert_eq!(hub.asked().len(), 4);
}

#[tokio::test]
async fn the_context_travels_as_metadata() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    get(&client, &CallContext::read()).await.unwrap();
    cancel(
        &client,
        &CallContext::mutation()
            .in_session("sys1")
            .forced()
            .with_idempotency_key("mine"),
    )
    .await
    .unwrap();

    let asked = hub.asked();
    assert_eq!(asked[0].idempotency_key, None, "a read needs no key");
    assert_eq!((&asked[0].session_id, &asked[0].force), (&None, &None));
    assert_eq!(asked[1].idempotency_key.as_deref(), Some("mine"));
    assert_eq!(asked[1].session_id.as_deref(), Some("sys1"));
    assert_eq!(asked[1].force.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_fixed_token_is_sent_as_it_is_and_none_when_there_is_none() {
    let hub = FakeHub::start().await;
    let token = Credentials::IamToken(SecretString::new("t1.mine".into()));
    let client = Client::connect(hub.options().with_credentials(token))
        .await
        .unwrap();
    get(&client, &CallContext::read()).await.unwrap();
    let client = Client::connect(hub.options().with_credentials(Credentials::None))
        .await
        .unwrap();
    get(&client, &CallContext::read()).await.unwrap();
    assert_eq!(tokens(&hub.asked()), ["Bearer t1.mine", "none"]);
    assert_eq!(hub.exchanges(), 0);
}

#[tokio::test]
async fn connection_faults_are_told_apart() {
    let hub = FakeHub::start().await;
    let other = FakeHub::start().await;

    let error = Client::connect(hub.options().with_ca(&other.ca_path))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Certificate, "{error}");

    let port = hub.address.rsplit(':').next().unwrap();
    let mut by_name = hub.options();
    by_name.address = format!("localhost:{port}");
    let error = Client::connect(by_name).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Certificate, "{error}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nobody = hub.options();
    nobody.address = free.local_addr().unwrap().to_string();
    drop(free);
    let error = Client::connect(nobody.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    let lazy = Client::lazy(nobody).unwrap();
    let error = get(&lazy, &CallContext::read().with_attempts_max(2))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");

    for wrong in ["", "hub", "https://hub:443", "a b:1", "hub:port"] {
        let error = Client::connect(ClientOptions::new(wrong))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Configuration, "{wrong}: {error}");
    }
    let missing = hub.options().with_ca("/nonexistent/ca.pem");
    let error = Client::connect(missing).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn a_refused_key_is_known_when_connecting() {
    let hub = FakeHub::start().await;
    hub.refuse_exchange();
    let error = hub.connect().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error}");
}

#[tokio::test]
async fn an_operation_is_waited_for_and_decoded() {
    let hub = FakeHub::start().await;
    let client = hub.connect().await.unwrap();
    let running = Operation {
        id: "ops1".into(),
        ..Default::default()
    };
    let group = Group {
        id: "aje1".into(),
        ..Default::default()
    };
    let done = Operation {
        done: true,
        result: Some(Outcome::Response(Any::from_msg(&group).unwrap())),
        ..running.clone()
    };
    hub.will_answer(Ok(running.clone()));
    hub.will_answer(Ok(done.clone()));
    assert_eq!(client.wait::<Group>(running.clone()).await.unwrap(), group);
    assert_eq!(hub.asked().len(), 2);

    let error = client.wait::<()>(done).await.unwrap_err();
    assert!(
        error.message.contains("organizationmanager.v1.Group"),
        "{error}"
    );

    let failed = Operation {
        done: true,
        result: Some(Outcome::Error(rollcall_proto::rpc::Status {
            code: Code::AlreadyExists.into(),
            message: "the name is taken".into(),
            details: vec![],
        })),
        ..running
    };
    let error = client.wait::<Group>(failed).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "the name is taken");
    assert_eq!(
        hub.asked().len(),
        2,
        "a finished operation is not asked for"
    );
}

#[tokio::test]
async fn key_files_are_read_and_bad_ones_refused_without_their_content() {
    let hub = FakeHub::start().await;
    let key = ServiceAccountKey::parse(&hub.key_json).unwrap();
    assert_eq!(
        (key.id(), key.service_account_id()),
        ("aje-key", "aje-account")
    );
    assert!(!format!("{key:?}").contains("PRIVATE KEY"));

    let without_pem = hub.key_json.replace("BEGIN", "START");
    let broken_pem = hub.key_json.replace("KEY-----\\n", "KEY-----\\nAAAA");
    for wrong in ["", "{}", "[1]", &without_pem, &broken_pem] {
        let error = ServiceAccountKey::parse(wrong).unwrap_err().to_string();
        assert!(error.contains("rollcall-hub init"), "{error}");
        assert!(!error.contains("MII"), "{error}");
    }
}
