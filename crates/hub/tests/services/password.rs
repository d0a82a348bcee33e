use rollcall_domain::access::Subject;
use rollcall_domain::id::UserId;
use rollcall_domain::password::{Password, PasswordKind, StoredForm};
use rollcall_hub::password_hash::{nt_hash, verify};
use rollcall_hub::sign_in::{self, Verdict};
use rollcall_hub::wire::render_timestamp;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Span;
use rollcall_proto::admin;
use rollcall_proto::idp;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_store::Tx;
use tonic::Code;

use crate::harness::{Harness, expect, expect_field, nt};

const SET_REQUIRED: &str = "PasswordService/SetChangeRequired";
const SET: &str = "UserService/SetPasswordHash";

async fn stored(hub: &Harness, user_id: &str) -> Password {
    let id = UserId::from(user_id);
    hub.running
        .hub
        .store
        .read(async move |tx: &Tx| tx.find_password(&id).await)
        .await
        .unwrap()
        .expect("a password")
}

/// Waits for the strengthening job.
async fn strengthened(hub: &Harness, user_id: &str) -> Password {
    for _ in 0..600 {
        let password = stored(hub, user_id).await;
        if !password.is_sealed() {
            return password;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the hash was not strengthened in 30 s");
}

async fn set(hub: &Harness, user_id: &str, hash: idp::PasswordHash, need_change: bool) {
    let request = idp::SetPasswordHashRequest {
        user_id: user_id.into(),
        hash: Some(hash),
        need_change,
    };
    let _: (idp::SetPasswordHashMetadata, ()) =
        hub.administrator.change(SET, &request).await.unwrap();
}

async fn set_required(hub: &Harness, user_id: &str, required: bool) -> bool {
    let request = admin::SetPasswordChangeRequiredRequest {
        user_id: user_id.into(),
        required,
    };
    let (metadata, answer): (
        admin::SetPasswordChangeRequiredMetadata,
        admin::SetPasswordChangeRequiredResponse,
    ) = hub
        .administrator
        .change(SET_REQUIRED, &request)
        .await
        .unwrap();
    assert_eq!(metadata.user_id, user_id);
    answer.changed
}

fn hex_of(password: &str) -> String {
    let hash = nt_hash(&SecretString::new(password.into()));
    hash.expose()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

/// Whether any file of the data directory holds these bytes.
fn lies_on_disk(hub: &Harness, secret: &[u8]) -> bool {
    std::fs::read_dir(hub.data().path()).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(secret.len()).any(|part| part == secret)
    })
}

#[tokio::test]
async fn whether_a_password_must_change_can_be_said_alone() {
    let hub = Harness::start().await;
    let user_id = hub.create_user("ann").await;
    set(&hub, &user_id, nt(&hex_of("one")), false).await;
    let before = strengthened(&hub, &user_id).await;
    for (required, kind) in [
        (true, PasswordKind::Temporary),
        (false, PasswordKind::Permanent),
    ] {
        assert!(set_required(&hub, &user_id, required).await);
        assert!(!set_required(&hub, &user_id, required).await, "so already");
        let expected = Password {
            kind,
            ..before.clone()
        };
        assert_eq!(stored(&hub, &user_id).await, expected);
    }
    let request = admin::SetPasswordChangeRequiredRequest {
        user_id: "aje00000000000000000".into(),
        required: true,
    };
    let refused = hub.administrator.refused(SET_REQUIRED, &request).await;
    expect(&refused, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn a_password_is_kept_as_argon2() {
    let hub = Harness::start().await;
    let mut request = hub.new_user("ann");
    request.credentials = Some(Credentials::PasswordSpec(idp::PasswordSpec {
        password: "Correct horse 7".into(),
        generation_proof: String::new(),
    }));
    let (metadata, user): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &request)
        .await
        .unwrap();
    assert!(user.password_created_at.is_some());
    let password = stored(&hub, &metadata.user_id).await;
    let StoredForm::Argon2Password(phc) = &password.form else {
        panic!("{password:?}");
    };
    assert!(verify(&SecretBytes::new(b"Correct horse 7".to_vec()), phc));
    assert_eq!(password.kind, PasswordKind::Permanent);
    assert!(!lies_on_disk(&hub, b"Correct horse 7"));
    let id = UserId::from(metadata.user_id.as_str());
    let attempt = async |text: &str| {
        let secret = SecretString::new(text.into());
        sign_in::verify_password(&hub.running.hub, &id, secret)
            .await
            .unwrap()
    };
    assert_eq!(attempt("Correct horse 7").await, Verdict::Right);
    assert_eq!(attempt("correct horse 7").await, Verdict::Wrong);
}

#[tokio::test]
async fn a_weak_password_is_refused_by_the_rule_of_the_pool() {
    let hub = Harness::start().await;
    let request = |password: &str| idp::CreateUserRequest {
        credentials: Some(Credentials::PasswordSpec(idp::PasswordSpec {
            password: password.into(),
            generation_proof: String::new(),
        })),
        ..hub.new_user("ann")
    };
    let method = "UserService/Create";
    for weak in ["qwerty-asdfgh", "Aa1-horse"] {
        let status = hub.administrator.refused(method, &request(weak)).await;
        expect_field(&status, "password_spec.password");
        let text = format!("{status:?}");
        assert!(text.contains("11 characters of 3"), "{text}");
        assert!(!text.contains(weak), "{text}");
    }
    let _: (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change(method, &request("Aa1-horses"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_imported_hash_is_sealed_then_strengthened() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let hex = hex_of("Correct horse 7");
    set(&hub, &id, nt(&hex), true).await;
    let raw = nt_hash(&SecretString::new("Correct horse 7".into()));
    assert!(!lies_on_disk(&hub, raw.expose()));
    assert!(!lies_on_disk(&hub, hex.as_bytes()));

    let user_id = UserId::from(id.as_str());
    let attempt = async |text: &str| {
        let secret = SecretString::new(text.into());
        sign_in::verify_password(&hub.running.hub, &user_id, secret)
            .await
            .unwrap()
    };
    // Sealed or strengthened already: the answer is the same.
    assert_eq!(attempt("Correct horse 7").await, Verdict::Right);
    assert_eq!(attempt("wrong").await, Verdict::Wrong);
    let password = strengthened(&hub, &id).await;
    assert_eq!(password.kind, PasswordKind::Temporary);
    let StoredForm::Argon2NtHash(phc) = &password.form else {
        panic!("{password:?}");
    };
    assert!(verify(&raw, phc));
    assert_eq!(attempt("Correct horse 7").await, Verdict::Right);
    assert_eq!(attempt("wrong").await, Verdict::Wrong);
    assert!(!lies_on_disk(&hub, raw.expose()));
}

#[tokio::test]
async fn the_same_hash_again_changes_nothing_but_the_kind() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let hex = hex_of("one");
    set(&hub, &id, nt(&hex), false).await;
    let before = strengthened(&hub, &id).await;
    set(&hub, &id, nt(&hex.to_lowercase()), true).await;
    let after = stored(&hub, &id).await;
    assert_eq!(
        after,
        Password {
            kind: PasswordKind::Temporary,
            ..before.clone()
        }
    );
    set(&hub, &id, nt(&hex_of("two")), false).await;
    assert_ne!(stored(&hub, &id).await.id, before.id);
}

#[tokio::test]
async fn an_older_hash_never_replaces_a_newer_one() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let now = hub.clock.now();
    let dated = |hex: String, at| idp::PasswordHash {
        created_at: Some(render_timestamp(at)),
        ..nt(&hex)
    };
    set(&hub, &id, dated(hex_of("new"), now), false).await;
    let kept = strengthened(&hub, &id).await;
    set(
        &hub,
        &id,
        dated(hex_of("old"), now.minus(Span::days(1))),
        false,
    )
    .await;
    assert_eq!(stored(&hub, &id).await, kept);
    let request = idp::GetUserRequest {
        user_id: id.clone(),
    };
    let user: idp::User = hub
        .administrator
        .call("UserService/Get", &request)
        .await
        .unwrap();
    assert_eq!(user.password_created_at, Some(render_timestamp(now)));
}

#[tokio::test]
async fn another_hash_of_the_same_date_replaces_the_stored_one() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let dated = |password: &str| idp::PasswordHash {
        created_at: Some(render_timestamp(hub.clock.now())),
        ..nt(&hex_of(password))
    };
    set(&hub, &id, dated("one"), false).await;
    let first = strengthened(&hub, &id).await;
    set(&hub, &id, dated("one"), false).await;
    assert_eq!(stored(&hub, &id).await, first);
    set(&hub, &id, dated("two"), false).await;
    let user_id = UserId::from(id.as_str());
    let secret = SecretString::new("two".into());
    let verdict = sign_in::verify_password(&hub.running.hub, &user_id, secret)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Right);
}

#[tokio::test]
async fn a_captured_user_keeps_the_own_password_until_the_directory_sends_one() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let own = stored(&hub, &id).await;
    let capture = idp::ConvertToExternalUserRequest {
        user_id: id.clone(),
        external_id: "guid-ann".into(),
    };
    let convert = async || -> idp::User {
        let changed = hub
            .administrator
            .change("UserService/ConvertToExternal", &capture);
        let (_, user): (idp::ConvertToExternalUserMetadata, _) = changed.await.unwrap();
        user
    };
    assert_eq!(convert().await.password_created_at, None);
    let kept = stored(&hub, &id).await;
    assert_eq!((&kept.id, kept.created_at), (&own.id, None));
    // A year older than the own one.
    let of_directory = idp::PasswordHash {
        created_at: Some(render_timestamp(hub.clock.now().minus(Span::days(365)))),
        ..nt(&hex_of("one"))
    };
    set(&hub, &id, of_directory, false).await;
    let taken = stored(&hub, &id).await;
    assert_ne!(taken.id, own.id);
    // Tied already: what the directory sent stays as it is.
    assert!(convert().await.password_created_at.is_some());
    assert_eq!(stored(&hub, &id).await.created_at, taken.created_at);
}

/// Whoever sets the password of an owner can sign in as an owner, however it is set.
#[tokio::test]
async fn the_hash_of_an_owner_is_the_matter_of_owners_and_of_its_directory() {
    let hub = Harness::start().await;
    let boss = hub.create_user("boss").await;
    let subject = Subject::user(boss.as_str());
    hub.sign_in(subject, &["organizations.owner"], hub.organization())
        .await;
    let before = stored(&hub, &boss).await.id;
    let import = idp::SetPasswordHashRequest {
        user_id: boss.clone(),
        hash: Some(nt(&hex_of("mine"))),
        need_change: false,
    };
    let capture = idp::ConvertToExternalUserRequest {
        user_id: boss.clone(),
        external_id: "guid-boss".into(),
    };
    let admin = hub.account(&["admin"], hub.organization()).await;
    let agent = hub.account(&["userpools.syncAgent"], hub.pool()).await;
    for caller in [&admin, &agent] {
        let refused = caller.refused(SET, &import).await;
        expect(&refused, Code::FailedPrecondition, "USER_IS_OWNER");
        let refused = caller
            .refused("UserService/ConvertToExternal", &capture)
            .await;
        expect(&refused, Code::FailedPrecondition, "USER_IS_OWNER");
    }
    assert_eq!(stored(&hub, &boss).await.id, before);
    // From here on the directory has the say, but not whoever may import a hash.
    let _: (idp::ConvertToExternalUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/ConvertToExternal", &capture)
        .await
        .unwrap();
    let refused = admin.refused(SET, &import).await;
    expect(&refused, Code::FailedPrecondition, "USER_IS_OWNER");
    let _: (idp::SetPasswordHashMetadata, ()) = agent.change(SET, &import).await.unwrap();
    assert_ne!(stored(&hub, &boss).await.id, before);
}

#[tokio::test]
async fn foreign_hashes_are_sealed_as_they_came() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let text = "{PBKDF2-SHA256}10000$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA";
    let hash = idp::PasswordHash {
        password_hash: text.into(),
        password_hash_type: idp::password_hash::PasswordHashType::LdapPbkdf2Sha256Openldap.into(),
        created_at: None,
    };
    set(&hub, &id, hash.clone(), false).await;
    let before = stored(&hub, &id).await;
    assert!(matches!(before.form, StoredForm::Foreign { .. }));
    assert!(!lies_on_disk(&hub, b"c2FsdHNhbHRzYWx0"));
    set(&hub, &id, hash, true).await;
    assert_eq!(stored(&hub, &id).await.id, before.id);
}

#[tokio::test]
async fn bad_hashes_are_refused_without_showing_them() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let request = |text: &str| idp::SetPasswordHashRequest {
        user_id: id.clone(),
        hash: Some(nt(text)),
        need_change: false,
    };
    for text in [
        "8846f7eaee8fb117ad06bdd830b7586",
        "zz46f7eaee8fb117ad06bdd830b7586c",
    ] {
        let status = hub.administrator.refused(SET, &request(text)).await;
        expect_field(&status, "hash.password_hash");
        assert!(!format!("{status:?}").contains(text));
    }
    let missing = idp::SetPasswordHashRequest {
        hash: None,
        ..request("")
    };
    expect_field(&hub.administrator.refused(SET, &missing).await, "hash");
    let unknown = idp::SetPasswordHashRequest {
        user_id: "ajemissing".into(),
        ..request(&hex_of("x"))
    };
    expect(
        &hub.administrator.refused(SET, &unknown).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let manager = hub.account(&["userpools.userAdmin"], hub.pool()).await;
    let status = manager.refused(SET, &request(&hex_of("x"))).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
