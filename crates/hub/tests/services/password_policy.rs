//! What the rules of a pool ask of passwords: strength, history and age.

use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{idp, signin};
use rollcall_store::Tx;
use tonic::Code;

use super::password_change::{
    FIRST, NEW, SECOND, SET_OTHERS, SET_OWN, allow_own_changes, generate, is_right, metadata,
    others, own, set_others, set_own, signed_in, spec, stored, token_of, update_pool,
};
use crate::harness::{Harness, expect, expect_field};

#[tokio::test]
async fn a_password_that_has_to_be_changed_keeps_the_rules() {
    let hub = Harness::start().await;
    let (id, _) = signed_in(&hub, "ann", FIRST).await;
    let made = generate(&hub.administrator).await;
    set_others(&hub.administrator, &id, Some(made.clone()))
        .await
        .unwrap();
    let request = signin::SignInRequest {
        username: "ann@staff.idp.rollcall.internal".into(),
        password: made.password,
    };
    let method = "SignInService/SignIn";
    let answer: signin::SignInResponse = hub.anonymous().call(method, &request).await.unwrap();
    let Some(Answer::PasswordChangeRequired(required)) = answer.result else {
        panic!("a change is expected");
    };
    let change = |new: &str| signin::ChangePasswordRequest {
        change_token: required.change_token.clone(),
        new_password: new.into(),
    };
    let method = "SignInService/ChangePassword";
    for bad in ["Qwertyuiop-1", FIRST, "short"] {
        let status = hub.anonymous().refused(method, &change(bad)).await;
        expect_field(&status, "new_password");
    }
    let _: signin::ChangePasswordResponse =
        hub.anonymous().call(method, &change(SECOND)).await.unwrap();
    assert!(is_right(&hub, &id, SECOND).await);
}

#[tokio::test]
async fn passwords_do_not_come_back() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let passwords: Vec<String> = [
        "Alder", "Beech", "Cedar", "Dogwood", "Elder", "Fir", "Ginkgo",
    ]
    .iter()
    .zip([31, 47, 59, 61, 73, 89, 97])
    .map(|(tree, number)| format!("{tree}::{number}::{number}{tree}"))
    .collect();
    let (id, ann) = signed_in(&hub, "ann", &passwords[0]).await;
    for pair in passwords.windows(2).take(5) {
        set_own(&ann, &pair[1], &pair[0]).await.unwrap();
    }
    // The present one and the five before it.
    let present = &passwords[5];
    for used in &passwords[..5] {
        let status = ann.refused(SET_OWN, &own(used, present)).await;
        expect_field(&status, NEW);
        assert!(status.message().contains("the 5 before it"), "{status:?}");
        let request = others(&id, spec(used));
        let status = hub.administrator.refused(SET_OTHERS, &request).await;
        expect_field(&status, NEW);
    }
    let request = others(&id, spec(present));
    let status = hub.administrator.refused(SET_OTHERS, &request).await;
    expect_field(&status, NEW);
    set_own(&ann, &passwords[6], present).await.unwrap();
    set_own(&ann, &passwords[0], &passwords[6]).await.unwrap();

    let quality = idp::PasswordQualityPolicy {
        allow_similar: true,
        ..Default::default()
    };
    let request = idp::UpdateUserpoolRequest {
        password_quality_policy: Some(quality),
        ..Default::default()
    };
    update_pool(&hub, "password_quality_policy.allow_similar", request).await;
    set_own(&ann, &passwords[6], &passwords[0]).await.unwrap();
}

#[tokio::test]
async fn weak_passwords_are_refused_by_name_of_the_rule() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    for (weak, rule) in [
        ("short-1", "characters of 4"),
        ("Qwertyuiop-1", "easy to guess"),
        ("Correct horse 9", "too much like"),
        ("correct HORSE 7!", "too much like"),
    ] {
        let status = ann.refused(SET_OWN, &own(weak, FIRST)).await;
        expect_field(&status, NEW);
        let text = format!("{status:?}");
        assert!(text.contains(rule), "{text}");
        assert!(!text.contains(weak) && !text.contains(FIRST), "{text}");
    }
    // An administrator does not know the present one, and may come near to it.
    set_others(&hub.administrator, &id, spec("Correct horse 9"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_password_has_an_age() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let request = idp::UpdateUserpoolRequest {
        password_lifetime_policy: Some(idp::PasswordLifetimePolicy {
            min_days_count: 2,
            max_days_count: 30,
        }),
        ..Default::default()
    };
    update_pool(&hub, "password_lifetime_policy", request).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    let status = ann.refused(SET_OWN, &own(SECOND, FIRST)).await;
    expect(&status, Code::FailedPrecondition, "PASSWORD_TOO_YOUNG");
    let known = metadata(&ann).await;
    let age = known.expires_at.unwrap().seconds - known.created_at.unwrap().seconds;
    assert_eq!(age, 30 * 24 * 3_600);
    assert_eq!(known.last_usage, None);
    let (password, now) = (stored(&hub, &id).await.id, hub.clock.now());
    let store = &hub.running.hub.store;
    store
        .write(async move |tx: &Tx| tx.note_password_use(&password, now, "192.0.2.7").await)
        .await
        .unwrap();
    let usage = metadata(&ann).await.last_usage.unwrap();
    assert_eq!(usage.ip_address, "192.0.2.7");
    assert_eq!(usage.used_at.unwrap().seconds, now.as_seconds());

    hub.advance(Span::days(2));
    let ann = token_of(&hub, "ann", &id).await;
    set_own(&ann, SECOND, FIRST).await.unwrap();
    assert_eq!(metadata(&ann).await.last_usage, None, "another password");
    // Administrators need not wait.
    let admin = hub.account(&["admin"], hub.organization()).await;
    set_others(&admin, &id, spec("Another - horse 9"))
        .await
        .unwrap();
}
