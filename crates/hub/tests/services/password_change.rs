use rollcall_domain::access::Subject;
use rollcall_domain::id::UserId;
use rollcall_domain::password::{Password, StoredForm};
use rollcall_hub::sign_in::{Verdict, verify_password};
use rollcall_kit::clock::Clock as _;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::password_metadata::PasswordType;
use rollcall_proto::operation::Operation;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{admin, idp, signin};
use rollcall_store::Tx;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const SET_OWN: &str = "UserService/SetOwnPassword";
const SET_OTHERS: &str = "UserService/SetOthersPassword";
const GENERATE: &str = "UserService/GeneratePassword";
const GET_METADATA: &str = "UserService/GetSelfPasswordMetadata";

const NEW: &str = "password_spec.password";
const FIRST: &str = "Correct horse 7";
const SECOND: &str = "Staple & battery 8";

fn spec(password: &str) -> Option<idp::PasswordSpec> {
    Some(idp::PasswordSpec {
        password: password.into(),
        generation_proof: String::new(),
    })
}

fn own(new: &str, old: &str) -> idp::SetOwnPasswordRequest {
    idp::SetOwnPasswordRequest {
        password_spec: spec(new),
        old_password: old.into(),
    }
}

fn others(
    user_id: &str,
    password_spec: Option<idp::PasswordSpec>,
) -> idp::SetOthersPasswordRequest {
    idp::SetOthersPasswordRequest {
        user_id: user_id.into(),
        password_spec,
    }
}

async fn set_own(user: &Caller, new: &str, old: &str) -> Result<(), Status> {
    user.change(SET_OWN, &own(new, old))
        .await
        .map(|(_, _): (idp::SetOwnPasswordMetadata, idp::SetOwnPasswordResponse)| ())
}

async fn set_others(
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

async fn generate(caller: &Caller) -> idp::PasswordSpec {
    let made: idp::GeneratePasswordResponse = caller
        .call(GENERATE, &idp::GeneratePasswordRequest {})
        .await
        .unwrap();
    made.password_spec.unwrap()
}

async fn metadata(user: &Caller) -> idp::PasswordMetadata {
    user.call(GET_METADATA, &()).await.unwrap()
}

/// A user of the pool whose permanent password is `password`, with a token.
async fn signed_in(hub: &Harness, login: &str, password: &str) -> (String, Caller) {
    let id = hub.create_user(login).await;
    set_others(&hub.administrator, &id, spec(password))
        .await
        .unwrap();
    let user = token_of(hub, login, &id).await;
    (id, user)
}

async fn token_of(hub: &Harness, login: &str, id: &str) -> Caller {
    hub.sign_in(Subject::user(id), &[], hub.pool())
        .await
        .named(login)
}

/// Whether `password` is the present one of the user.
async fn is_right(hub: &Harness, id: &str, password: &str) -> bool {
    let secret = SecretString::new(password.into());
    let verdict = verify_password(&hub.running.hub, &UserId::from(id), secret).await;
    verdict.unwrap() == Verdict::Right
}

async fn stored(hub: &Harness, id: &str) -> Password {
    let id = UserId::from(id);
    let store = &hub.running.hub.store;
    let found = store.read(async move |tx: &Tx| tx.find_password(&id).await);
    found.await.unwrap().expect("a password")
}

/// Changes the pool `staff` in what `mask` names.
async fn update_pool(hub: &Harness, mask: &str, mut request: idp::UpdateUserpoolRequest) {
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

async fn allow_own_changes(hub: &Harness) {
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
        assert_eq!(usage.ip_address, "127.0.0.1");
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
async fn a_generated_password_is_used_once() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let manager = hub.account(&["userpools.userAdmin"], hub.pool()).await;
    let made = generate(&manager).await;
    assert_ne!(made.password, generate(&manager).await.password);
    let groups: Vec<_> = made.password.split('-').map(str::len).collect();
    assert_eq!(groups, [4; 4]);
    // By itself it would not do: it has two classes of characters.
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
