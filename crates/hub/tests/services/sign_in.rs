use rollcall_domain::id::UserId;
use rollcall_domain::password::{HashType, StoredForm};
use rollcall_hub::password_hash::nt_hash;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{admin, idp, organizationmanager as om, signin};
use rollcall_store::Tx;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field, nt};

pub(crate) const SIGN_IN: &str = "SignInService/SignIn";
const CHANGE: &str = "SignInService/ChangePassword";
/// No waiting for the end of failures.
const FAST: &str = "sign_in: {failure_milliseconds: 0}\n";
pub(crate) const PASSWORD: &str = "Correct horse 7";
pub(crate) const OTHER: &str = "Another horse 8";

pub(crate) fn login(name: &str) -> String {
    format!("{name}@staff.idp.rollcall.internal")
}

fn request(username: &str, password: &str) -> signin::SignInRequest {
    signin::SignInRequest {
        username: username.into(),
        password: password.into(),
    }
}

/// A user with a password of its own.
pub(crate) async fn create_user(hub: &Harness, name: &str) -> String {
    let mut request = hub.new_user(name);
    let credentials = idp::create_user_request::Credentials::PasswordSpec(idp::PasswordSpec {
        password: PASSWORD.into(),
        generation_proof: String::new(),
    });
    request.credentials = Some(credentials);
    let (metadata, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    metadata.user_id
}

pub(crate) async fn attempt(
    hub: &Harness,
    name: &str,
    password: &str,
) -> Result<signin::SignInResponse, Status> {
    let request = request(&login(name), password);
    hub.anonymous().call(SIGN_IN, &request).await
}

/// The tokens of a sign-in that succeeds.
pub(crate) async fn tokens(hub: &Harness, name: &str, password: &str) -> signin::SessionTokens {
    match attempt(hub, name, password).await.unwrap().result {
        Some(Answer::Tokens(tokens)) => tokens,
        other => panic!("{other:?}"),
    }
}

/// Whoever shows these tokens.
pub(crate) fn bearer(hub: &Harness, name: &str, tokens: &signin::SessionTokens) -> Caller {
    hub.anonymous()
        .named(name)
        .with("authorization", &format!("Bearer {}", tokens.iam_token))
}

pub(crate) async fn is_known(caller: &Caller) -> bool {
    let request = om::ListOrganizationsRequest::default();
    let answer: Result<om::ListOrganizationsResponse, _> =
        caller.call("OrganizationService/List", &request).await;
    match answer {
        Ok(_) => true,
        Err(status) => {
            expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
            false
        }
    }
}

#[track_caller]
fn expect_failed(answer: Result<signin::SignInResponse, Status>) {
    let status = answer.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!(
        status.message(),
        "the login or the password is wrong, or the account may not sign in now"
    );
}

pub(crate) async fn set_hash(
    hub: &Harness,
    user_id: &str,
    hash: idp::PasswordHash,
    need_change: bool,
) {
    let request = idp::SetPasswordHashRequest {
        user_id: user_id.into(),
        hash: Some(hash),
        need_change,
    };
    let _: (idp::SetPasswordHashMetadata, ()) = hub
        .administrator
        .change("UserService/SetPasswordHash", &request)
        .await
        .unwrap();
}

fn nt_of(password: &str) -> idp::PasswordHash {
    let hash = nt_hash(&SecretString::new(password.into()));
    let hex: String = hash
        .expose()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    nt(&hex)
}

async fn stored_form(hub: &Harness, user_id: &str) -> StoredForm {
    let id = UserId::from(user_id);
    let found = hub
        .running
        .hub
        .store
        .read(async move |tx: &Tx| tx.find_password(&id).await)
        .await;
    found.unwrap().unwrap().form
}

/// Reasons of failed sign-ins in the trail, the oldest first, with the innermost thing of each.
pub(crate) async fn told(hub: &Harness) -> Vec<(String, String)> {
    let request = admin::ListAuditEventsRequest {
        organization_id: hub.made.organization_id.clone(),
        filter: "event_type = \
                 'yandex.cloud.audit.organizationmanager.idp.AuthenticateByPassword'"
            .into(),
        page_size: 1_000,
        ..Default::default()
    };
    let events: admin::ListAuditEventsResponse = hub
        .administrator
        .call("AuditService/List", &request)
        .await
        .unwrap();
    let mut told: Vec<_> = events
        .events
        .into_iter()
        .map(|event| {
            let text = format!("{event:?}");
            assert!(!text.contains("horse"), "a password in {text}");
            let details = event.details.unwrap_or_default();
            let reason =
                details
                    .fields
                    .get("reason")
                    .and_then(|value| match value.kind.as_ref()? {
                        prost_types::value::Kind::StringValue(text) => Some(text.clone()),
                        _ => None,
                    });
            let path = event.resource_metadata.unwrap_or_default().path;
            let kind = path.last().map_or("", |last| last.resource_type.as_str());
            (
                reason.unwrap_or_else(|| "-".into()),
                kind.rsplit('.').next().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    told.reverse();
    told
}

#[tokio::test]
async fn a_user_signs_in_and_calls() {
    let hub = Harness::start().await;
    let user_id = create_user(&hub, "ann").await;
    let tokens = tokens(&hub, "ann", PASSWORD).await;
    assert_eq!(tokens.user_id, user_id);
    let parts: Vec<_> = tokens.iam_token.split('.').collect();
    assert_eq!((parts[0], parts[2].len()), ("t1", 86));
    let now = hub.clock.now().as_seconds();
    assert_eq!(tokens.expires_at.unwrap().seconds - now, 30 * 60);
    assert_eq!(tokens.session_expires_at.unwrap().seconds - now, 12 * 3600);
    let ann = bearer(&hub, "ann", &tokens);
    assert!(is_known(&ann).await);
    // The login is the same in any case, the password is not.
    let answer = hub
        .anonymous()
        .call::<_, signin::SignInResponse>(SIGN_IN, &request(&login("ANN"), PASSWORD))
        .await;
    assert!(answer.is_ok());
    expect_failed(attempt(&hub, "ann", "correct horse 7").await);
    hub.advance(Span::minutes(30));
    assert!(!is_known(&ann).await);
}

#[tokio::test]
async fn all_failures_look_alike_and_the_trail_tells_them_apart() {
    let hub = Harness::start_with(None, FAST).await;
    create_user(&hub, "ann").await;
    let suspended = create_user(&hub, "bob").await;
    let suspend = idp::SuspendUserRequest {
        user_id: suspended,
        ..Default::default()
    };
    let _: (idp::SuspendUserMetadata, ()) = hub
        .administrator
        .change("UserService/Suspend", &suspend)
        .await
        .unwrap();
    let mut ending = hub.new_user("cyd");
    let end = hub.clock.now().plus(Span::hours(1));
    ending.expires_at = Some(rollcall_hub::wire::render_timestamp(end));
    let _: (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &ending)
        .await
        .unwrap();
    hub.advance(Span::hours(1));
    expect_failed(attempt(&hub, "ann", OTHER).await);
    expect_failed(attempt(&hub, "nobody", PASSWORD).await);
    expect_failed(attempt(&hub, "bob", PASSWORD).await);
    expect_failed(attempt(&hub, "bob", OTHER).await);
    expect_failed(attempt(&hub, "cyd", "password").await);
    let elsewhere = request("ann@other.example", PASSWORD);
    expect_failed(hub.anonymous().call(SIGN_IN, &elsewhere).await);
    let no_login = request(PASSWORD, PASSWORD);
    expect_failed(hub.anonymous().call(SIGN_IN, &no_login).await);
    let empty = hub.anonymous().refused(SIGN_IN, &request("ann", "")).await;
    expect_field(&empty, "password");
    let told = told(&hub).await;
    let told: Vec<_> = told
        .iter()
        .map(|(reason, kind)| format!("{reason} {kind}"))
        .collect();
    assert_eq!(
        told,
        [
            "WRONG_PASSWORD user",
            "UNKNOWN_USER userpool",
            "SUSPENDED user",
            "WRONG_PASSWORD user",
            "ACCOUNT_ENDED user",
            "UNKNOWN_USER organization",
            "UNKNOWN_USER organization",
            "- organization",
        ]
    );
}

pub(crate) async fn set_guard(hub: &Harness, attempts: i64) {
    let minutes = |count: i64| prost_types::Duration {
        seconds: count * 60,
        nanos: 0,
    };
    let request = idp::UpdateUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
        bruteforce_protection_policy: Some(idp::BruteforceProtectionPolicy {
            window: Some(minutes(10)),
            block: Some(minutes(5)),
            attempts,
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["bruteforce_protection_policy".into()],
        }),
        ..Default::default()
    };
    let _: (idp::UpdateUserpoolMetadata, idp::Userpool) = hub
        .administrator
        .change("UserpoolService/Update", &request)
        .await
        .unwrap();
}

#[tokio::test]
async fn guessing_is_blocked_and_looks_like_a_wrong_password() {
    let hub = Harness::start_with(None, FAST).await;
    set_guard(&hub, 3).await;
    create_user(&hub, "ann").await;
    create_user(&hub, "bob").await;
    for _ in 0..2 {
        expect_failed(attempt(&hub, "ann", OTHER).await);
    }
    // A right one clears the count.
    tokens(&hub, "ann", PASSWORD).await;
    for _ in 0..3 {
        expect_failed(attempt(&hub, "ann", OTHER).await);
    }
    expect_failed(attempt(&hub, "ann", PASSWORD).await);
    tokens(&hub, "bob", PASSWORD).await;
    let request = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        filter: "username = 'ann@staff.idp.rollcall.internal'".into(),
        ..Default::default()
    };
    let users: idp::ListUsersResponse = hub
        .administrator
        .call("UserService/List", &request)
        .await
        .unwrap();
    assert_eq!(users.users[0].status(), idp::user::Status::Active);
    // A start of the hub forgets nothing.
    let hub = hub.restart().await;
    expect_failed(attempt(&hub, "ann", PASSWORD).await);
    hub.advance(Span::minutes(5));
    tokens(&hub, "ann", PASSWORD).await;
    let told = told(&hub).await;
    let blocked = told.iter().filter(|(reason, _)| reason == "BLOCKED");
    assert_eq!(blocked.count(), 2);
}

#[tokio::test]
async fn guesses_at_the_same_time_pass_no_limit() {
    let hub = Harness::start_with(None, FAST).await;
    hub.without_transcript("calls at the same time have no order");
    set_guard(&hub, 3).await;
    create_user(&hub, "ann").await;
    let guesses = (0..12).map(|_| attempt(&hub, "ann", OTHER));
    for answer in futures::future::join_all(guesses).await {
        expect_failed(answer);
    }
    let told = told(&hub).await;
    let count = |wanted: &str| told.iter().filter(|(reason, _)| reason == wanted).count();
    assert_eq!((count("WRONG_PASSWORD"), count("BLOCKED")), (3, 9));
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_refused() {
    let section = "sign_in: {failure_milliseconds: 0, address_failures: 4}\n";
    let hub = Harness::start_with(None, section).await;
    create_user(&hub, "ann").await;
    for number in 0..4 {
        expect_failed(attempt(&hub, &format!("nobody{number}"), PASSWORD).await);
    }
    let refused = attempt(&hub, "ann", PASSWORD).await.unwrap_err();
    expect(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    hub.advance(Span::minutes(10));
    tokens(&hub, "ann", PASSWORD).await;
}

#[tokio::test]
async fn a_temporary_password_is_changed_first() {
    let hub = Harness::start_with(None, FAST).await;
    let user_id = create_user(&hub, "ann").await;
    set_hash(&hub, &user_id, nt_of(PASSWORD), true).await;
    let required = match attempt(&hub, "ann", PASSWORD).await.unwrap().result {
        Some(Answer::PasswordChangeRequired(required)) => required,
        other => panic!("{other:?}"),
    };
    assert_eq!(required.reason().as_str_name(), "TEMPORARY");
    let change = |password: &str| signin::ChangePasswordRequest {
        change_token: required.change_token.clone(),
        new_password: password.into(),
    };
    let weak = hub.anonymous().refused(CHANGE, &change("short")).await;
    expect_field(&weak, "new_password");
    let same = hub.anonymous().refused(CHANGE, &change(PASSWORD)).await;
    expect_field(&same, "new_password");
    let invented = signin::ChangePasswordRequest {
        change_token: "ct1.AAAA".into(),
        new_password: OTHER.into(),
    };
    let refused = hub.anonymous().refused(CHANGE, &invented).await;
    expect(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
    let changed: signin::ChangePasswordResponse =
        hub.anonymous().call(CHANGE, &change(OTHER)).await.unwrap();
    assert!(is_known(&bearer(&hub, "ann", &changed.tokens.unwrap())).await);
    // The token is used up.
    let refused = hub.anonymous().refused(CHANGE, &change(PASSWORD)).await;
    expect(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
    expect_failed(attempt(&hub, "ann", PASSWORD).await);
    tokens(&hub, "ann", OTHER).await;
}

#[tokio::test]
async fn an_old_password_has_to_be_changed_in_time() {
    let hub = Harness::start().await;
    create_user(&hub, "ann").await;
    hub.advance(Span::days(365));
    // The token of the administrator has ended, as everything has.
    let hub = hub.restart().await;
    let required = match attempt(&hub, "ann", PASSWORD).await.unwrap().result {
        Some(Answer::PasswordChangeRequired(required)) => required,
        other => panic!("{other:?}"),
    };
    assert_eq!(required.reason().as_str_name(), "EXPIRED");
    hub.advance(Span::minutes(10));
    let change = signin::ChangePasswordRequest {
        change_token: required.change_token,
        new_password: OTHER.into(),
    };
    let refused = hub.anonymous().refused(CHANGE, &change).await;
    expect(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_hash_of_the_directory_signs_in_and_stays_one() {
    let hub = Harness::start_with(None, FAST).await;
    let user_id = create_user(&hub, "ann").await;
    set_hash(&hub, &user_id, nt_of(OTHER), false).await;
    tokens(&hub, "ann", OTHER).await;
    expect_failed(attempt(&hub, "ann", PASSWORD).await);
    // Sealed or strengthened before: a sign-in leaves Argon2id of the NT hash.
    let form = stored_form(&hub, &user_id).await;
    assert!(matches!(form, StoredForm::Argon2NtHash(_)), "{form:?}");
}

/// Hashes of [`PASSWORD`] in the forms of other directories.
const FOREIGN: [(HashType, &str); 4] = [
    (
        HashType::LdapPbkdf2Sha256,
        include_str!("../vectors/389_pbkdf2_sha256.txt"),
    ),
    (
        HashType::LdapPbkdf2Sha256Openldap,
        include_str!("../vectors/openldap_pbkdf2_sha256.txt"),
    ),
    (
        HashType::LdapPbkdf2Sha512,
        include_str!("../vectors/openldap_pbkdf2_sha512.txt"),
    ),
    (
        HashType::LdapPkcs5s2,
        include_str!("../vectors/pkcs5s2.txt"),
    ),
];

#[tokio::test]
async fn a_hash_of_another_directory_is_replaced_by_the_first_sign_in() {
    use rollcall_hub::wire::WireEnum as _;
    let hub = Harness::start_with(None, FAST).await;
    for (number, (hash_type, text)) in FOREIGN.into_iter().enumerate() {
        let name = format!("user{number}");
        let user_id = create_user(&hub, &name).await;
        let hash = idp::PasswordHash {
            password_hash: text.trim().into(),
            password_hash_type: hash_type.to_wire(),
            created_at: None,
        };
        set_hash(&hub, &user_id, hash, false).await;
        expect_failed(attempt(&hub, &name, OTHER).await);
        let form = stored_form(&hub, &user_id).await;
        assert!(matches!(form, StoredForm::Foreign { .. }), "{form:?}");
        tokens(&hub, &name, PASSWORD).await;
        let form = stored_form(&hub, &user_id).await;
        assert!(matches!(form, StoredForm::Argon2Password(_)), "{form:?}");
        tokens(&hub, &name, PASSWORD).await;
        expect_failed(attempt(&hub, &name, OTHER).await);
    }
}

#[tokio::test]
async fn a_damaged_hash_lets_nobody_in() {
    use rollcall_hub::wire::WireEnum as _;
    let hub = Harness::start_with(None, FAST).await;
    let user_id = create_user(&hub, "ann").await;
    let hash = idp::PasswordHash {
        password_hash: "{PBKDF2-SHA256}4000000000$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA".into(),
        password_hash_type: HashType::LdapPbkdf2Sha256Openldap.to_wire(),
        created_at: None,
    };
    set_hash(&hub, &user_id, hash, false).await;
    expect_failed(attempt(&hub, "ann", PASSWORD).await);
    let told = told(&hub).await;
    assert_eq!(told[0].0, "UNUSABLE_PASSWORD");
}
