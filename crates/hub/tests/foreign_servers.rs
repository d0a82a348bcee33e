//! Passwords that other directory servers hashed: the hub takes what they stored, lets in who knows the
//! password and nobody else, and keeps it better from then on.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)] // not every test binary needs all of it
#[path = "support/harness.rs"]
mod harness;

use harness::Harness;
use rollcall_domain::id::UserId;
use rollcall_domain::password::StoredForm;
use rollcall_lab::directory_389::Directory389;
use rollcall_lab::openldap::OpenLdap;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{idp, signin};
use rollcall_store::Tx;
use tonic::Code;

const PASSWORDS: [&str; 3] = ["Correct horse 7", "пароль ключ 7", "$x{y}\\\"'<&>"];

/// A hub, and names of users that nobody has yet.
struct Desk {
    hub: Harness,
    users: u32,
}

impl Desk {
    async fn start() -> Self {
        Self {
            hub: Harness::start().await,
            users: 0,
        }
    }

    /// Imports a hash and signs in with what it was made of.
    async fn check(&mut self, kind: PasswordHashType, hash: &str, password: &str) {
        self.users += 1;
        let login = format!("user{}", self.users);
        let user_id = self.hub.create_user(&login).await;
        let request = idp::SetPasswordHashRequest {
            user_id: user_id.clone(),
            hash: Some(idp::PasswordHash {
                password_hash: hash.to_owned(),
                password_hash_type: kind.into(),
                created_at: None,
            }),
            need_change: false,
        };
        let _: (idp::SetPasswordHashMetadata, ()) = self
            .hub
            .administrator
            .change("UserService/SetPasswordHash", &request)
            .await
            .unwrap();
        assert!(!self.is_in(&login, "wrong").await, "{hash}");
        assert!(!self.is_in(&login, &format!("{password}x")).await, "{hash}");
        let stored = self.stored(&user_id).await;
        assert!(matches!(stored, StoredForm::Foreign { .. }), "{stored:?}");
        assert!(self.is_in(&login, password).await, "{hash}");
        let stored = self.stored(&user_id).await;
        let StoredForm::Argon2Password(phc) = stored else {
            panic!("{stored:?} of {hash}");
        };
        assert!(phc.expose().starts_with("$argon2id$"));
        assert!(self.is_in(&login, password).await, "{hash}");
        assert!(!self.is_in(&login, "wrong").await, "{hash}");
    }

    async fn is_in(&self, login: &str, password: &str) -> bool {
        let request = signin::SignInRequest {
            username: format!("{login}@staff.idp.rollcall.internal"),
            password: password.to_owned(),
        };
        let answer: Result<signin::SignInResponse, _> = self
            .hub
            .anonymous()
            .call("SignInService/SignIn", &request)
            .await;
        match answer {
            Ok(answer) => matches!(answer.result, Some(Answer::Tokens(_))),
            Err(status) => {
                assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
                false
            }
        }
    }

    async fn stored(&self, user_id: &str) -> StoredForm {
        let id = UserId::from(user_id);
        let store = &self.hub.running.hub.store;
        let found = store.read(async move |tx: &Tx| tx.find_password(&id).await);
        found.await.unwrap().unwrap().form
    }
}

/// That the server did what it was asked for.
fn assert_kind(hash: &str, scheme: &str) {
    let start = format!("{{{scheme}}}");
    assert!(hash.starts_with(&start), "{hash} is no {scheme}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_openldap_stored() {
    let kinds = [
        ("PBKDF2-SHA256", PasswordHashType::LdapPbkdf2Sha256Openldap),
        ("PBKDF2-SHA512", PasswordHashType::LdapPbkdf2Sha512),
    ];
    let server = OpenLdap::start(&kinds.map(|(scheme, _)| scheme)).unwrap();
    let mut desk = Desk::start().await;
    for (number, password) in PASSWORDS.into_iter().enumerate() {
        let mut hashes = server.hashes_of(&format!("p{number}"), password).unwrap();
        assert_eq!(hashes.len(), kinds.len(), "{hashes:?}");
        hashes.sort();
        for ((scheme, kind), hash) in kinds.into_iter().zip(hashes) {
            assert_kind(&hash, scheme);
            desk.check(kind, &hash, password).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_389_directory_server_stored() {
    let server = Directory389::start().unwrap();
    let mut desk = Desk::start().await;
    for (scheme, kind) in [
        ("PBKDF2_SHA256", PasswordHashType::LdapPbkdf2Sha256),
        ("PBKDF2-SHA256", PasswordHashType::LdapPbkdf2Sha256Openldap),
        ("PBKDF2-SHA512", PasswordHashType::LdapPbkdf2Sha512),
    ] {
        for (number, password) in PASSWORDS.into_iter().enumerate() {
            let name = format!("{scheme}-{number}");
            let hash = server.hash_of(scheme, &name, password).unwrap();
            assert_kind(&hash, scheme);
            desk.check(kind, &hash, password).await;
        }
    }
}
