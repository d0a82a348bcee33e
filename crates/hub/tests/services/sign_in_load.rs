//! Sign-ins by the hundred, which must neither pass the guards nor hold up anything else.

use std::sync::Arc;
use std::time::Duration;

use rollcall_hub::limits::AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::operation::Operation;
use rollcall_proto::{idp, signin};
use tonic::Code;

use super::sign_in::{
    OTHER, PASSWORD, SIGN_IN, attempt, create_user, login, set_guard, set_hash, tokens, told,
};
use crate::harness::Harness;

/// A hash of another directory, of no password.
const FOREIGN: &str = "{PBKDF2-SHA256}1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA";
/// Longest wait for what must not have to wait.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn failures_of_an_address_at_the_same_time_pass_no_limit() {
    let section = "sign_in: {failure_milliseconds: 0, address_failures: 4}\n";
    let hub = Harness::start_with(None, section).await;
    hub.without_transcript("calls at the same time have no order");
    create_user(&hub, "ann").await;
    let names: Vec<_> = (0..12).map(|number| format!("nobody{number}")).collect();
    let guesses = names.iter().map(|name| attempt(&hub, name, PASSWORD));
    let answers = futures::future::join_all(guesses).await;
    let count = |code| {
        let failed = answers.iter().filter_map(|answer| answer.as_ref().err());
        failed.filter(|status| status.code() == code).count()
    };
    assert_eq!(
        (count(Code::Unauthenticated), count(Code::ResourceExhausted)),
        (4, 8)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_that_wait_hold_up_no_change() {
    let hub = Harness::start().await;
    hub.without_transcript("calls at the same time have no order");
    let ann = create_user(&hub, "ann").await;
    let inner = Arc::clone(&hub.running.hub);
    let mut ends = Vec::new();
    for _ in 0..std::thread::available_parallelism().unwrap().get() {
        let (tell_begun, begun) = tokio::sync::oneshot::channel();
        let (end, wait_for_end) = std::sync::mpsc::channel::<()>();
        let hashing = inner.hashing.clone();
        let work = move || {
            tell_begun.send(()).unwrap();
            wait_for_end.recv().unwrap();
        };
        tokio::spawn(async move { hashing.run(work).await });
        begun.await.unwrap();
        ends.push(end);
    }
    // All places for changes but one are taken.
    let places = inner.changes.available_permits() - 1;
    let places = u32::try_from(places).unwrap();
    let taken = Arc::clone(&inner.changes).try_acquire_many_owned(places);
    let (caller, request) = (
        hub.anonymous(),
        signin::SignInRequest {
            username: login("ann"),
            password: PASSWORD.into(),
        },
    );
    let signing_in = tokio::spawn(async move {
        caller
            .call::<_, signin::SignInResponse>(SIGN_IN, &request)
            .await
    });
    while inner.hashing.waiting_count() == 0 {
        tokio::task::yield_now().await;
    }
    let suspend = idp::SuspendUserRequest {
        user_id: ann,
        ..Default::default()
    };
    let changing = hub
        .administrator
        .call::<_, Operation>("UserService/Suspend", &suspend);
    let changed = tokio::time::timeout(PATIENCE, changing).await;
    changed.expect("a change waits for a sign-in").unwrap();
    for end in ends {
        end.send(()).unwrap();
    }
    // Right, but suspended meanwhile.
    let refused = signing_in.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_closed_guard_no_hash_of_another_directory_is_computed() {
    let section = "sign_in: {failure_milliseconds: 0}\n";
    let hub = Harness::start_with(None, section).await;
    set_guard(&hub, 3).await;
    let ann = create_user(&hub, "ann").await;
    let hash = idp::PasswordHash {
        password_hash: FOREIGN.into(),
        password_hash_type: PasswordHashType::LdapPbkdf2Sha256Openldap.into(),
        created_at: None,
    };
    set_hash(&hub, &ann, hash, false).await;
    for _ in 0..3 {
        assert!(attempt(&hub, "ann", PASSWORD).await.is_err());
    }
    // Others keep those workers busy that compute such hashes.
    let hashing = &hub.running.hub.hashing;
    let mut ends = Vec::new();
    for _ in 0..hashing.background_workers() {
        let (end, wait_for_end) = std::sync::mpsc::channel::<()>();
        let hashing = hashing.clone();
        let (tell_begun, begun) = tokio::sync::oneshot::channel();
        let work = move || {
            tell_begun.send(()).unwrap();
            // It ends with the test at the latest.
            wait_for_end.recv().unwrap_or_default();
        };
        tokio::spawn(async move { hashing.run_long(work).await });
        begun.await.unwrap();
        ends.push(end);
    }
    let refused = tokio::time::timeout(PATIENCE, attempt(&hub, "ann", PASSWORD)).await;
    let refused = refused.expect("a sign-in waits behind a closed guard");
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

/// The trail has so many failures of a user in a minute, however many sign-ins succeed.
#[tokio::test]
async fn no_failure_hides_behind_sign_ins_that_succeed() {
    let hub = Harness::start().await;
    hub.without_transcript("a hundred equal answers tell nothing");
    create_user(&hub, "ann").await;
    for _ in 0..AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX {
        tokens(&hub, "ann", PASSWORD).await;
    }
    assert!(attempt(&hub, "ann", OTHER).await.is_err());
    let told = told(&hub).await;
    assert_eq!(told.last().unwrap().0, "WRONG_PASSWORD");
}
