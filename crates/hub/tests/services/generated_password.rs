//! Passwords that the hub makes up: their proof, their single use and their end.

use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::password_metadata::PasswordType;
use rollcall_proto::idp::password_quality_policy::{ComplexityPolicy, Fixed};
use tonic::Code;

use super::password_change::{
    FIRST, GENERATE, NEW, SECOND, SET_OTHERS, SET_OWN, generate, is_right, metadata, others, own,
    set_others, set_own, spec, token_of, update_pool,
};
use crate::harness::{Harness, expect, expect_field};

#[tokio::test]
async fn a_generated_password_is_used_once() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let manager = hub.account(&["userpools.userAdmin"], hub.pool()).await;
    let made = generate(&manager).await;
    assert_ne!(made.password, generate(&manager).await.password);
    let groups: Vec<_> = made.password.split('-').map(str::len).collect();
    assert_eq!(groups, [4; 4]);
    // By itself it would not do here: it has no digit.
    let digits = Fixed {
        digits_required: true,
        ..Default::default()
    };
    let policy = idp::UpdateUserpoolRequest {
        password_quality_policy: Some(idp::PasswordQualityPolicy {
            complexity_policy: Some(ComplexityPolicy::Fixed(digits)),
            ..Default::default()
        }),
        ..Default::default()
    };
    update_pool(&hub, "password_quality_policy.fixed", policy).await;
    let status = manager
        .refused(SET_OTHERS, &others(&id, spec(&made.password)))
        .await;
    expect_field(&status, NEW);
    let forged = idp::PasswordSpec {
        password: FIRST.into(),
        ..made.clone()
    };
    let status = manager
        .refused(SET_OTHERS, &others(&id, Some(forged)))
        .await;
    expect_field(&status, "password_spec.generation_proof");

    set_others(&manager, &id, Some(made.clone())).await.unwrap();
    assert!(is_right(&hub, &id, &made.password).await);
    let ann = token_of(&hub, "ann", &id).await;
    let known = metadata(&ann).await;
    assert_eq!(known.r#type(), PasswordType::Temporary);
    let week = known.expires_at.unwrap().seconds - known.created_at.unwrap().seconds;
    assert_eq!(week, 7 * 24 * 3_600);

    // No right to change it is needed, and no old password, but the rules hold.
    let status = ann.refused(SET_OWN, &own("short", "")).await;
    expect_field(&status, NEW);
    let status = ann.refused(SET_OWN, &own(SECOND, "wrong")).await;
    expect_field(&status, "old_password");
    let proven = idp::SetOwnPasswordRequest {
        password_spec: Some(generate(&manager).await),
        old_password: String::new(),
    };
    let status = ann.refused(SET_OWN, &proven).await;
    expect_field(&status, "password_spec.generation_proof");
    set_own(&ann, SECOND, "").await.unwrap();
    assert_eq!(metadata(&ann).await.r#type(), PasswordType::Permanent);
    let status = ann.refused(SET_OWN, &own(FIRST, SECOND)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");

    let stranger = hub.account(&[], hub.pool()).await;
    let request = idp::GeneratePasswordRequest {};
    let status = stranger.refused(GENERATE, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_proof_and_a_temporary_password_end() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let late = generate(&hub.administrator).await;
    hub.advance(Span::hours(1));
    let request = others(&id, Some(late));
    let status = hub.administrator.refused(SET_OTHERS, &request).await;
    expect_field(&status, "password_spec.generation_proof");

    let made = generate(&hub.administrator).await;
    set_others(&hub.administrator, &id, Some(made))
        .await
        .unwrap();
    hub.advance(Span::minutes(7 * 24 * 60 - 1));
    let ann = token_of(&hub, "ann", &id).await;
    hub.advance(Span::minutes(1));
    let status = ann.refused(SET_OWN, &own(SECOND, "")).await;
    expect(&status, Code::FailedPrecondition, "PASSWORD_ENDED");
}

#[tokio::test]
async fn a_user_is_made_with_a_generated_password() {
    let hub = Harness::start().await;
    let made = generate(&hub.administrator).await;
    let mut request = hub.new_user("ann");
    request.credentials = Some(Credentials::PasswordSpec(idp::PasswordSpec {
        password: FIRST.into(),
        ..made.clone()
    }));
    let status = hub
        .administrator
        .refused("UserService/Create", &request)
        .await;
    expect_field(&status, "password_spec.generation_proof");
    request.credentials = Some(Credentials::PasswordSpec(made.clone()));
    let (known, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    assert!(is_right(&hub, &known.user_id, &made.password).await);
    let ann = token_of(&hub, "ann", &known.user_id).await;
    assert_eq!(metadata(&ann).await.r#type(), PasswordType::Temporary);
}
