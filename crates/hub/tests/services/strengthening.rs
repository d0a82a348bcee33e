//! A closed session waits until the hub has strengthened the hashes that came with it.

use std::time::Duration;

use rollcall_domain::id::{SessionId, UserId};
use rollcall_domain::password::{Password, StoredForm};
use rollcall_kit::secret::SecretBytes;
use rollcall_proto::idp;
use rollcall_proto::idp::{SessionStatus, SessionType, SynchronizationSession};
use rollcall_store::Tx;

use super::sync_session::{close, get, session};
use crate::harness::{Caller, Harness, nt};

/// Longest wait for the job of the hub.
const JOB_WAITS_MAX: usize = 600;
const JOB_WAIT: Duration = Duration::from_millis(50);

/// A closed session when the hub is through with its hashes, which a job sees to.
async fn ended(caller: &Caller, id: &str) -> SynchronizationSession {
    for _ in 0..JOB_WAITS_MAX {
        let session = get(caller, id).await.unwrap();
        if session.status() != SessionStatus::Pending {
            return session;
        }
        tokio::time::sleep(JOB_WAIT).await;
    }
    panic!("session {id} is pending for ever");
}

#[tokio::test]
async fn a_session_waits_for_its_hashes_to_be_strengthened() {
    let hub = Harness::start().await;
    hub.without_transcript("a job beside the calls decides how often they ask");
    let agent = hub.agent().await;
    let user_id = hub.create_user("ann").await;
    let opened = session(
        &hub.open(&agent, "agent-1", SessionType::AdPasswordHash)
            .await,
    );
    let fenced = agent.with("x-sync-session-id", &opened.session_id);
    let request = idp::SetPasswordHashRequest {
        user_id,
        hash: Some(nt("00000000000000000000000000000001")),
        need_change: false,
    };
    let _: (idp::SetPasswordHashMetadata, ()) = fenced
        .change("UserService/SetPasswordHash", &request)
        .await
        .unwrap();
    let closed = close(&agent, &opened.session_id, None).await.unwrap();
    // The job may have been faster than this call.
    assert!(
        [SessionStatus::Pending, SessionStatus::Completed].contains(&closed.status()),
        "{closed:?}"
    );
    let ended = ended(&agent, &opened.session_id).await;
    assert_eq!(ended.status(), SessionStatus::Completed);
}

#[tokio::test]
async fn a_hash_that_does_not_open_fails_its_session() {
    let hub = Harness::start().await;
    hub.without_transcript("a job beside the calls decides how often they ask");
    let ann = hub.create_user("ann").await;
    let opened = session(
        &hub.open(&hub.administrator, "agent-1", SessionType::AdPasswordHash)
            .await,
    );
    let id = opened.session_id.as_str();
    let (user_id, session_id) = (UserId::from(ann.as_str()), SessionId::from(id));
    hub.running
        .hub
        .store
        .write(async move |tx: &Tx| {
            let imported = tx.find_password(&user_id).await?.expect("a password");
            let damaged = Password {
                id: "aje0damaged".into(),
                form: StoredForm::SealedNtHash(SecretBytes::new(vec![1; 45])),
                session_id: Some(session_id.clone()),
                ..imported
            };
            tx.save_password(&damaged).await
        })
        .await
        .unwrap();
    close(&hub.administrator, id, None).await.unwrap();
    hub.running.hub.sealed_hash_arrived.notify_one();
    let found = ended(&hub.administrator, id).await;
    assert_eq!(found.status(), SessionStatus::Failed);
    assert!(found.fail_reason.contains("sealing key"), "{found:?}");

    // The next import takes the place of the damaged one.
    let set = idp::SetPasswordHashRequest {
        user_id: ann,
        hash: Some(nt("8846f7eaee8fb117ad06bdd830b7586c")),
        need_change: false,
    };
    let _: (idp::SetPasswordHashMetadata, ()) = hub
        .administrator
        .change("UserService/SetPasswordHash", &set)
        .await
        .unwrap();
}
