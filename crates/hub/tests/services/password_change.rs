//! Who may change which password, and what ends with the old one.

use rollcall_domain::access::Subject;
use rollcall_domain::id::UserId;
use rollcall_domain::password::{Password, StoredForm};
use rollcall_hub::sign_in::{Verdict, verify_password};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::password_metadata::PasswordType;
use rollcall_proto::operation::Operation;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{admin, idp, signin};
use rollcall_store::Tx;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field, is_loopback};

pub(super) const SET_OWN: &str = "UserService/SetOwnPassword";
pub(super) const SET_OTHERS: &str = "UserService/SetOthersPassword";
pub(super) const GENERATE: &str = "UserService/GeneratePassword";
const GET_METADATA: &str = "UserService/GetSelfPasswordMetadata";

pub(super) const NEW: &str = "password_spec.password";
pub(super) const FIRST: &str = "Correct horse 7";
pub(super) const SECOND: &str = "Staple & battery 8";

pub(super) fn spec(password: &str) -> Option<idp::PasswordSpec> {
    Some(idp::PasswordSpec {
        password: password.into(),
        generation_proof: String::new(),
    })
}

pub(super) fn own(new: &str, old: &str) -> idp::SetOwnPasswordRequest {
    idp::SetOwnPasswordRequest {
        password_spec: spec(new),
        old_password: old.into(),
    }
}

pub(super) fn others(
    user_id: &str,
    password_spec: Option<idp::PasswordSpec>,
) -> idp::SetOthersPasswordRequest {
    idp::SetOthersPasswordRequest {
        user_id: user_id.into(),
        password_spec,
    }
}

pub(super) async fn set_own(user: &Caller, new: &str, old: &str) -> Result<(), Status> {
    user.change(SET_OWN, &own(new, old))
        .await
        .map(|(_, _): (idp::SetOwnPasswordMetadata, idp::SetOwnPasswordResponse)| ())
}

pub(super) async fn set_others(
    caller: &Caller,
    user_id: &str,
    password_spec: Option<idp::PasswordSpec>,
) -> Result<(), Status> {
    let request = others(user_id, password_spec);
    let (metadata, _): (
        idp::SetOthersPasswordMetadata,
        idp::SetOthersPasswordResponse,
    ) = caller.change(SET_OTHERS, &request).await?;
    assert_eq!(metadata.user_id, user_id);
    Ok(())
}

pub(super) async fn generate(caller: &Caller) -> idp::PasswordSpec {
    let made: idp::GeneratePasswordResponse = caller
        .call(GENERATE, &idp::GeneratePasswordRequest {})
        .await
        .unwrap();
    made.password_spec.unwrap()
}

pub(super) async fn metadata(user: &Caller) -> idp::PasswordMetadata {
    user.call(GET_METADATA, &()).await.unwrap()
}

/// A user of the pool whose permanent password is `password`, with a token.
pub(super) async fn signed_in(hub: &Harness, login: &str, password: &str) -> (String, Caller) {
    let id = hub.create_user(login).await;
    set_others(&hub.administrator, &id, spec(password))
        .await
        .unwrap();
    let user = token_of(hub, login, &id).await;
    (id, user)
}

pub(super) async fn token_of(hub: &Harness, login: &str, id: &str) -> Caller {
    hub.sign_in(Subject::user(id), &[], hub.pool())
        .await
        .named(login)
}

/// Whether `password` is the present one of the user.
pub(super) async fn is_right(hub: &Harness, id: &str, password: &str) -> bool {
    let secret = SecretString::new(password.into());
    let verdict = verify_password(&hub.running.hub, &UserId::from(id), secret).await;
    verdict.unwrap() == Verdict::Right
}

pub(super) async fn stored(hub: &Harness, id: &str) -> Password {
    let id = UserId::from(id);
    let store = &hub.running.hub.store;
    let found = store.read(async move |tx: &Tx| tx.find_password(&id).await);
    found.await.unwrap().expect("a password")
}

/// Changes the pool `staff` in what `mask` names.
pub(super) async fn update_pool(
    hub: &Harness,
    mask: &str,
    mut request: idp::UpdateUserpoolRequest,
) {
    request.userpool_id.clone_from(&hub.pool_id);
    request.update_mask = Some(prost_types::FieldMask {
        paths: vec![mask.into()],
    });
    let _: (idp::UpdateUserpoolMetadata, idp::Userpool) = hub
        .administrator
        .change("UserpoolService/Update", &request)
        .await
        .unwrap();
}

pub(super) async fn allow_own_changes(hub: &Harness) {
    let request = idp::UpdateUserpoolRequest {
        user_settings: Some(idp::UserSettings {
            allow_edit_self_password: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    update_pool(hub, "user_settings.allow_edit_self_password", request).await;
}

#[tokio::test]
async fn a_user_changes_the_own_password() {
    let hub = Harness::start().await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    let status = ann.refused(SET_OWN, &own(SECOND, FIRST)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    allow_own_changes(&hub).await;
    let status = ann.refused(SET_OWN, &own(SECOND, "")).await;
    expect_field(&status, "old_password");
    let status = ann.refused(SET_OWN, &own(SECOND, "wrong")).await;
    expect_field(&status, "old_password");
    assert!(is_right(&hub, &id, FIRST).await);

    set_own(&ann, SECOND, FIRST).await.unwrap();
    assert!(is_right(&hub, &id, SECOND).await && !is_right(&hub, &id, FIRST).await);
    assert!(matches!(
        stored(&hub, &id).await.form,
        StoredForm::Argon2Password(_)
    ));
    // The token that the change was made with stays.
    let known = metadata(&ann).await;
    assert_eq!(known.r#type(), PasswordType::Permanent);

    let account = hub.account(&["admin"], hub.organization()).await;
    let status = account.refused(SET_OWN, &own(SECOND, FIRST)).await;
    expect(&status, Code::FailedPrecondition, "NOT_A_USER");
    let status = account.refused(GET_METADATA, &()).await;
    expect(&status, Code::FailedPrecondition, "NOT_A_USER");
}

#[tokio::test]
async fn a_change_ends_the_other_tokens_of_the_user() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    let phone = token_of(&hub, "the phone of ann", &id).await;
    let (_, bob) = signed_in(&hub, "bob", FIRST).await;
    for caller in [&ann, &phone, &bob] {
        metadata(caller).await;
    }
    set_own(&ann, SECOND, FIRST).await.unwrap();
    metadata(&ann).await;
    metadata(&bob).await;
    let status = phone.refused(GET_METADATA, &()).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");

    set_others(&hub.administrator, &id, spec("Another - horse 9"))
        .await
        .unwrap();
    let status = ann.refused(GET_METADATA, &()).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    metadata(&bob).await;
}

/// Signs in and returns the caller with its session, and its refresh token.
async fn sign_in(hub: &Harness, login: &str, password: &str) -> Result<(Caller, String), Status> {
    let request = signin::SignInRequest {
        username: format!("{login}@staff.idp.rollcall.internal"),
        password: password.into(),
    };
    let method = "SignInService/SignIn";
    let answer: signin::SignInResponse = hub.anonymous().call(method, &request).await?;
    let Some(Answer::Tokens(tokens)) = answer.result else {
        panic!("a session is expected");
    };
    let bearer = format!("Bearer {}", tokens.iam_token);
    let caller = hub.anonymous().named(login).with("authorization", &bearer);
    Ok((caller, tokens.refresh_token))
}

#[tokio::test]
async fn a_change_ends_the_other_sessions_of_the_user() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    signed_in(&hub, "ann", FIRST).await;
    let (desk, desk_refresh) = sign_in(&hub, "ann", FIRST).await.unwrap();
    let (phone, phone_refresh) = sign_in(&hub, "ann", FIRST).await.unwrap();
    for caller in [&desk, &phone] {
        let usage = metadata(caller).await.last_usage.unwrap();
        assert!(is_loopback(&usage.ip_address), "{usage:?}");
    }
    set_own(&desk, SECOND, FIRST).await.unwrap();
    metadata(&desk).await;
    let status = phone.refused(GET_METADATA, &()).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    let refresh = |refresh_token: String| signin::RefreshRequest { refresh_token };
    let method = "SignInService/Refresh";
    let status = hub
        .anonymous()
        .refused(method, &refresh(phone_refresh))
        .await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    let _: signin::RefreshResponse = hub
        .anonymous()
        .call(method, &refresh(desk_refresh))
        .await
        .unwrap();
    assert!(sign_in(&hub, "ann", FIRST).await.is_err());
    sign_in(&hub, "ann", SECOND).await.unwrap();
}

#[tokio::test]
async fn wrong_old_passwords_count_as_guesses() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let request = idp::UpdateUserpoolRequest {
        bruteforce_protection_policy: Some(idp::BruteforceProtectionPolicy {
            attempts: 3,
            ..Default::default()
        }),
        ..Default::default()
    };
    update_pool(&hub, "bruteforce_protection_policy.attempts", request).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    for _ in 0..2 {
        expect_field(
            &ann.refused(SET_OWN, &own(SECOND, "wrong")).await,
            "old_password",
        );
    }
    // A right one in between clears the count.
    set_own(&ann, SECOND, FIRST).await.unwrap();
    let wrong = own("Another - horse 9", "wrong");
    for _ in 0..3 {
        expect_field(&ann.refused(SET_OWN, &wrong).await, "old_password");
    }
    let right = own("Another - horse 9", SECOND);
    let blocked = ann.refused(SET_OWN, &right).await;
    let status = ann.refused(SET_OWN, &wrong).await;
    assert_eq!(
        blocked.message(),
        status.message(),
        "nothing tells them apart"
    );
    assert!(
        sign_in(&hub, "ann", SECOND).await.is_err(),
        "one guard for all"
    );
    assert!(is_right(&hub, &id, SECOND).await);
    hub.advance(Span::minutes(10));
    let _: Operation = ann.call(SET_OWN, &right).await.unwrap();
}

#[tokio::test]
async fn who_may_set_the_password_of_another() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let request = others(&id, spec(FIRST));
    for role in ["userpools.viewer", "userpools.syncAgent"] {
        let caller = hub.account(&[role], hub.pool()).await;
        let answer = caller.call::<_, Operation>(SET_OTHERS, &request).await;
        let allowed = role.ends_with("syncAgent");
        assert_eq!(answer.is_ok(), allowed, "{role}: {answer:?}");
    }
    let missing = others("aje00000000000000000", spec(FIRST));
    let status = hub.administrator.refused(SET_OTHERS, &missing).await;
    expect(&status, Code::NotFound, "NOT_FOUND");

    // Whoever could set the password of an owner would be an owner.
    let boss = hub.create_user("boss").await;
    let subject = Subject::user(boss.as_str());
    hub.sign_in(subject, &["organizations.owner"], hub.organization())
        .await;
    let admin = hub.account(&["admin"], hub.organization()).await;
    let request = others(&boss, spec(FIRST));
    let status = admin.refused(SET_OTHERS, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    set_others(&hub.administrator, &boss, spec(FIRST))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_suspended_user_changes_nothing() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    let suspend = idp::SuspendUserRequest {
        user_id: id.clone(),
        ..Default::default()
    };
    let _: (idp::SuspendUserMetadata, ()) = hub
        .administrator
        .change("UserService/Suspend", &suspend)
        .await
        .unwrap();
    assert!(set_own(&ann, SECOND, FIRST).await.is_err());
    assert!(is_right(&hub, &id, FIRST).await);
    set_others(&hub.administrator, &id, spec(SECOND))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_repeated_change_is_one() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let (_, ann) = signed_in(&hub, "ann", FIRST).await;
    let keyed = ann.with("idempotency-key", "the-key");
    let first: Operation = keyed.call(SET_OWN, &own(SECOND, FIRST)).await.unwrap();
    let again: Operation = keyed.call(SET_OWN, &own(SECOND, FIRST)).await.unwrap();
    assert_eq!(again.id, first.id);
    let status = keyed
        .refused(SET_OWN, &own("Another - horse 9", SECOND))
        .await;
    expect_field(&status, "idempotency-key");
}

#[tokio::test]
async fn each_change_is_told_in_the_trail() {
    let hub = Harness::start().await;
    allow_own_changes(&hub).await;
    let (id, ann) = signed_in(&hub, "ann", FIRST).await;
    ann.refused(SET_OWN, &own(SECOND, "wrong")).await;
    set_own(&ann, SECOND, FIRST).await.unwrap();
    let made = generate(&hub.administrator).await;
    set_others(&hub.administrator, &id, Some(made))
        .await
        .unwrap();
    let ann = token_of(&hub, "ann", &id).await;
    set_own(&ann, "Another - horse 9", "").await.unwrap();
    let request = admin::ListAuditEventsRequest {
        organization_id: hub.made.organization_id.clone(),
        userpool_id: hub.pool_id.clone(),
        page_size: 20,
        ..Default::default()
    };
    let page: admin::ListAuditEventsResponse = hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    let told: Vec<_> = page
        .events
        .iter()
        .filter(|event| event.event_type.contains("Password"))
        .map(|event| {
            let path = &event.resource_metadata.as_ref().unwrap().path;
            assert_eq!(path.last().unwrap().resource_id, id, "{event:?}");
            let name = event.event_type.rsplit('.').next().unwrap();
            let caller = event.authentication.as_ref().unwrap();
            let by_user = caller.subject_id == id;
            (name.to_owned(), event.event_status().as_str_name(), by_user)
        })
        .collect();
    let expected = [
        ("ChangeOneTimePassword", "DONE", true),
        ("SetUserPassword", "DONE", false),
        ("SetUserPassword", "DONE", true),
        ("SetUserPassword", "ERROR", true),
        ("SetUserPassword", "DONE", false),
    ];
    let told: Vec<_> = told
        .iter()
        .map(|(name, status, by_user)| (name.as_str(), *status, *by_user))
        .collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_synchronized_user_has_its_password_here_without_writeback() {
    let hub = Harness::start().await;
    let mut request = hub.new_user("ann");
    request.external_id = "guid-ann".into();
    let (known, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    set_others(&hub.administrator, &known.user_id, spec(FIRST))
        .await
        .unwrap();
    assert!(is_right(&hub, &known.user_id, FIRST).await);
    // Its age is the matter of the directory.
    let ann = token_of(&hub, "ann", &known.user_id).await;
    assert_eq!(metadata(&ann).await.expires_at, None);
}
