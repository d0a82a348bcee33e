//! Answers of agents: each ends its change once, and failures are told to each as much as is theirs.

use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode as ErrorCode;
use rollcall_proto::{admin, idp};
use tonic::Code;

use super::{FIRST, SECOND, World, failure};
use crate::harness::{expect, expect_field};

pub(super) fn refusal(
    code: ErrorCode,
    message: &str,
) -> Option<idp::PasswordWritebackErrorDetails> {
    Some(idp::PasswordWritebackErrorDetails {
        error_code: code.into(),
        error_message: message.to_owned(),
    })
}

#[tokio::test]
async fn an_answer_counts_once() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    world.change_own().await;
    let change = agent.next().await.unwrap();
    let right = world.answer(&change);
    for (field, wrong) in [
        (
            "password",
            idp::CommitPasswordRequest {
                password: FIRST.into(),
                ..right.clone()
            },
        ),
        (
            "external_user_id",
            idp::CommitPasswordRequest {
                external_user_id: "guid-bob".into(),
                ..right.clone()
            },
        ),
        (
            "error_details.error_code",
            idp::CommitPasswordRequest {
                error_details: refusal(ErrorCode::Unspecified, ""),
                ..right.clone()
            },
        ),
    ] {
        let refused = world.commit(&wrong).await.unwrap_err();
        expect_field(&refused, field);
    }
    let unknown = idp::CommitPasswordRequest {
        modifying_operation_id: "ops00000000000000000".into(),
        ..right.clone()
    };
    let refused = world.commit(&unknown).await.unwrap_err();
    expect(&refused, Code::NotFound, "NOT_FOUND");
    assert!(world.is_right(FIRST).await);
    world.commit(&right).await.unwrap();
    // The same again is fine, another one is not.
    world.commit(&right).await.unwrap();
    let other = idp::CommitPasswordRequest {
        error_details: refusal(ErrorCode::UnknownError, "x"),
        ..right.clone()
    };
    let refused = world.commit(&other).await.unwrap_err();
    expect(&refused, Code::FailedPrecondition, "WRITEBACK_ENDED");
    assert!(world.is_right(SECOND).await);
    // What never was a change is not one now.
    let not_one = idp::CommitPasswordRequest {
        modifying_operation_id: world.commit(&right).await.unwrap().id,
        ..right
    };
    let refused = world.commit(&not_one).await.unwrap_err();
    expect(&refused, Code::FailedPrecondition, "WRITEBACK_ENDED");
}

#[tokio::test]
async fn a_late_answer_is_refused() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let operation = world.change_own().await;
    let change = agent.next().await.unwrap();
    world
        .hub
        .advance(rollcall_kit::timestamp::Span::seconds(61));
    let refused = world.commit(&world.answer(&change)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    world.done(&world.hub.administrator, &operation.id).await;
    let refused = world.commit(&world.answer(&change)).await.unwrap_err();
    expect(&refused, Code::FailedPrecondition, "WRITEBACK_ENDED");
    assert!(world.is_right(FIRST).await);
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let cases = [
        (
            ErrorCode::PermissionDenied,
            "00000005: no",
            Code::FailedPrecondition,
            "PERMISSION_DENIED",
        ),
        (
            ErrorCode::PasswordPolicyViolation,
            "0000052D: x",
            Code::InvalidArgument,
            "PASSWORD_POLICY_VIOLATION",
        ),
        (
            ErrorCode::PasswordPolicyViolation,
            "PASSWORD_TOO_SHORT: 0000052D: x",
            Code::InvalidArgument,
            "PASSWORD_TOO_SHORT",
        ),
        (
            ErrorCode::UnknownError,
            "OLD_PASSWORD_WRONG: 00000056: x",
            Code::InvalidArgument,
            "OLD_PASSWORD_WRONG",
        ),
        (
            ErrorCode::UnknownError,
            "boom",
            Code::Internal,
            "UNKNOWN_ERROR",
        ),
        (
            ErrorCode::DeadlineExceeded,
            "DIRECTORY_UNAVAILABLE: busy",
            Code::DeadlineExceeded,
            "DIRECTORY_UNAVAILABLE",
        ),
    ];
    for (sent, message, code, reason) in cases {
        for is_own in [true, false] {
            let operation = if is_own {
                world.change_own().await
            } else {
                world.reset(SECOND).await.unwrap()
            };
            let change = agent.next().await.unwrap();
            let answer = idp::CommitPasswordRequest {
                error_details: refusal(sent, message),
                ..world.answer(&change)
            };
            world.commit(&answer).await.unwrap();
            agent.acknowledge(change.offset).await;
            let ended = world
                .operation(&world.hub.administrator, &operation.id)
                .await;
            let (found_code, found_reason, details) = failure(&ended);
            assert_eq!(
                (found_code, found_reason.as_str()),
                (code, reason),
                "{message}"
            );
            assert_eq!(details.error_code(), sent);
            // The words of the directory are for administrators.
            let raw = message
                .strip_prefix(&format!("{reason}: "))
                .unwrap_or(message);
            let expected = if is_own { "" } else { raw };
            assert_eq!(details.error_message, expected);
            assert_told(&world, &operation.id, raw).await;
        }
        assert!(world.is_right(FIRST).await, "{message}");
    }
}

/// The audit trail has the end of operation `id` with the words of the directory.
async fn assert_told(world: &World, id: &str, raw: &str) {
    let request = admin::ListAuditEventsRequest {
        organization_id: world.hub.made.organization_id.clone(),
        page_size: 20,
        ..Default::default()
    };
    let page: admin::ListAuditEventsResponse = world
        .hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    let told = page.events.iter().any(|event| {
        let text = format!("{:?}", event.details);
        text.contains(id) && text.contains("directoryMessage") && text.contains(raw)
    });
    assert!(told, "no event of {id} tells {raw}");
}
