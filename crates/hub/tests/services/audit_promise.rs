//! What the audit trail promises: no secret in it, no change without it, no event lost on the way
//! to a collector.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use rollcall_domain::audit::{AuditEvent, AuditOrigin, EventStatus};
use rollcall_domain::id::AuditEventId;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::id::new_id;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::operation::Operation;
use rollcall_proto::{admin, idp};
use rollcall_store::{Error, Tx};
use tonic::Code;

use crate::harness::{Caller, Harness, expect, nt};
use crate::scenarios::sign_in;

/// Looks at the file of the export before the test gives up.
const LOOKS_MAX: u32 = 300;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

const PASSWORD: &str = "a Secret of 2 people!";
const HASH: &str = "00112233445566778899aabbccddee77";
const COOKIE: &str = "bWVtb3J5IG9mIHRoZSBkaXJlY3Rvcnk=";

/// Every event in the database.
async fn stored(hub: &Harness) -> Vec<AuditEvent> {
    hub.running
        .hub
        .store
        .read(async |tx: &Tx| {
            let ids = tx.list_audit_event_ids_after(&"".into(), 100_000).await?;
            tx.list_audit_events_by_id(&ids).await
        })
        .await
        .map_err(|error: Error| error)
        .unwrap()
}

/// Starts the hub again with an export to a file.
async fn exporting(hub: Harness) -> (Harness, std::path::PathBuf) {
    let path = hub.data().path().join("audit.jsonl");
    let mut config = std::fs::OpenOptions::new()
        .append(true)
        .open(hub.data().config())
        .unwrap();
    writeln!(config, "audit: {{file: {{path: {}}}}}", path.display()).unwrap();
    (hub.restart().await, path)
}

/// The ids in exported text; each of its lines must be whole, and tell who was let in even when
/// nobody was.
fn exported(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event["authentication"]["authenticated"].is_boolean());
            assert!(event["authorization"]["authorized"].is_boolean());
            event["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Waits until the files hold everything that the database holds.
async fn await_export(hub: &Harness, files: &[&std::path::Path]) -> String {
    let expected: BTreeSet<_> = stored(hub)
        .await
        .into_iter()
        .map(|event| event.id.into_string())
        .collect();
    for _ in 0..LOOKS_MAX {
        let text: String = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap_or_default())
            .collect();
        if text.ends_with('\n') && exported(&text) == expected {
            return text;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    panic!("events are missing in the export")
}

async fn call<Q>(caller: &Caller, method: &str, request: &Q)
where
    Q: prost::Message + Clone + 'static,
{
    let _: Operation = caller.call(method, request).await.unwrap();
}

/// Everything in which a caller hands the hub a secret, and refused attempts with the same.
async fn hand_over_secrets(hub: &Harness) {
    let stranger = hub.account(&[], hub.organization()).await;
    let agent = hub.agent().await;
    let mut own = hub.new_user("ann");
    own.credentials = Some(Credentials::PasswordSpec(idp::PasswordSpec {
        password: PASSWORD.into(),
        ..Default::default()
    }));
    let mut imported = hub.new_user("bob");
    imported.credentials = Some(Credentials::PasswordHash(nt(HASH)));
    for request in [own, imported] {
        stranger.refused("UserService/Create", &request).await;
        call(&hub.administrator, "UserService/Create", &request).await;
        hub.administrator
            .refused("UserService/Create", &request)
            .await;
    }
    let set = idp::SetPasswordHashRequest {
        user_id: hub.create_user("cyd").await,
        hash: Some(nt(HASH)),
        ..Default::default()
    };
    stranger.refused("UserService/SetPasswordHash", &set).await;
    call(&hub.administrator, "UserService/SetPasswordHash", &set).await;
    let damaged = idp::SetPasswordHashRequest {
        hash: Some(nt(&format!("{HASH}0"))),
        ..set
    };
    hub.administrator
        .refused("UserService/SetPasswordHash", &damaged)
        .await;
    let token = idp::SetReplicationTokenRequest {
        subject_container_id: hub.pool_id.clone(),
        replication_token: COOKIE.into(),
        session_type: idp::SessionType::AdSync.into(),
    };
    stranger
        .refused("SynchronizationService/SetReplicationToken", &token)
        .await;
    let open = |agent_id: &str| idp::OpenSessionRequest {
        subject_container_id: hub.pool_id.clone(),
        agent_id: agent_id.into(),
        session_type: idp::SessionType::AdSync.into(),
    };
    let method = "SynchronizationSessionService/OpenSession";
    let opened: (idp::OpenSessionMetadata, idp::OpenSessionResponse) =
        agent.change(method, &open("agent-1")).await.unwrap();
    let session = opened.0.session_id;
    let agent = agent.with("x-sync-session-id", &session);
    call(&agent, "SynchronizationService/SetReplicationToken", &token).await;
    let close = idp::CloseSessionRequest {
        session_id: session,
        ..Default::default()
    };
    call(&agent, "SynchronizationSessionService/CloseSession", &close).await;
    // The answer brings the replication token back.
    hub.advance(Span::days(1));
    let hub_administrator = hub.administrator.with("x-sync-force", "1");
    let _ = hub_administrator
        .call::<_, Operation>(method, &open("agent-2"))
        .await;
}

#[tokio::test]
async fn no_secret_is_in_the_trail_or_in_its_export() {
    let (hub, file) = exporting(Harness::start().await).await;
    hand_over_secrets(&hub).await;
    let bearer = hub.administrator.metadata("authorization").to_owned();
    let key = std::fs::read_to_string(&hub.made.key).unwrap();
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let private_key = key["private_key"].as_str().unwrap();
    let body = private_key.lines().find(|line| line.len() == 64).unwrap();
    let mut text = String::new();
    let events = stored(&hub).await;
    assert!(events.len() > 15, "{}", events.len());
    for event in &events {
        write!(text, "{event:?}").unwrap();
    }
    text.push_str(&await_export(&hub, &[&file]).await);
    assert!(text.contains("SetReplicationToken") && text.contains("t1."));
    let secret_of_token = bearer.rsplit('.').next().unwrap();
    for secret in [
        PASSWORD,
        HASH,
        COOKIE,
        secret_of_token,
        body,
        &HASH.to_uppercase(),
    ] {
        assert!(!text.contains(secret), "{secret} is in the trail");
    }
    hub.running.stop().await;
}

#[tokio::test]
async fn sign_ins_leave_no_secret_in_the_trail() {
    use rollcall_proto::signin;
    use rollcall_proto::signin::sign_in_response::Result as Answer;
    let hub = Harness::start().await;
    let user_id = sign_in::create_user(&hub, "ann").await;
    let first = sign_in::tokens(&hub, "ann", sign_in::PASSWORD).await;
    sign_in::attempt(&hub, "ann", PASSWORD).await.unwrap_err();
    let refresh = signin::RefreshRequest {
        refresh_token: first.refresh_token.clone(),
    };
    let method = "SignInService/Refresh";
    let anybody = hub.anonymous();
    let second: signin::RefreshResponse = anybody.call(method, &refresh).await.unwrap();
    let second = second.tokens.unwrap();
    anybody.refused(method, &refresh).await;
    let required = admin::SetPasswordChangeRequiredRequest {
        user_id,
        required: true,
    };
    let method = "PasswordService/SetChangeRequired";
    call(&hub.administrator, method, &required).await;
    let answer = sign_in::attempt(&hub, "ann", sign_in::PASSWORD).await;
    let change_token = match answer.unwrap().result {
        Some(Answer::PasswordChangeRequired(required)) => required.change_token,
        other => panic!("{other:?}"),
    };
    let change = |password: &str| signin::ChangePasswordRequest {
        change_token: change_token.clone(),
        new_password: password.into(),
    };
    let method = "SignInService/ChangePassword";
    anybody.refused(method, &change("short")).await;
    let third: signin::ChangePasswordResponse =
        anybody.call(method, &change(PASSWORD)).await.unwrap();
    let third = third.tokens.unwrap();

    let events = stored(&hub).await;
    let text: String = events.iter().map(|event| format!("{event:?}")).collect();
    for told in [
        "idp.AuthenticateByPassword",
        "WRONG_PASSWORD",
        "idp.RefreshSignInSession",
        "REFRESH_TOKEN_REUSED",
        "idp.ChangeOneTimePassword",
        &first.sign_in_session_id,
        &third.sign_in_session_id,
    ] {
        assert!(text.contains(told), "{told} is missing");
    }
    let secrets = [&first, &second, &third]
        .into_iter()
        .flat_map(|tokens| [&tokens.iam_token, &tokens.refresh_token])
        .chain([&change_token])
        .map(|token| token.rsplit('.').next().unwrap());
    for secret in secrets.chain([PASSWORD, sign_in::PASSWORD, "short"]) {
        assert!(!text.contains(secret), "{secret} is in the trail");
    }
}

struct Fixed(u64);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// The ids that the next events would have are taken, so that none can be written.
async fn block_events(hub: &Harness) {
    const IDS: u64 = 500;
    let now = hub.clock.now();
    let taken: Vec<_> = [now, now.plus(Span::millis(1))]
        .into_iter()
        .flat_map(|moment| (0..IDS).map(move |number| (moment, number)))
        .map(|(time, number)| AuditEvent {
            id: new_id(AuditEventId::PREFIX, time, &Fixed(number)).into(),
            time,
            source: "test".into(),
            event_type: "test".into(),
            status: EventStatus::Done,
            caller: None,
            token: None,
            authorized: true,
            path: Vec::new(),
            origin: AuditOrigin::default(),
            error: None,
            details: "{}".into(),
            request: "{}".into(),
            response: "{}".into(),
        })
        .collect();
    hub.running
        .hub
        .store
        .write(async move |tx: &Tx| {
            for event in &taken {
                tx.insert_audit_event(event).await?;
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn without_its_event_a_change_is_not_made() {
    let hub = Harness::start().await;
    hub.create_user("ann").await;
    // Away from the moments of the events so far.
    hub.advance(Span::minutes(1));
    block_events(&hub).await;
    let status = hub
        .administrator
        .refused("UserService/Create", &hub.new_user("bob"))
        .await;
    expect(&status, Code::Internal, "INTERNAL");
    let list = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let page: idp::ListUsersResponse = hub
        .administrator
        .call("UserService/List", &list)
        .await
        .unwrap();
    assert_eq!(page.users.len(), 1);
    hub.advance(Span::minutes(1));
    hub.create_user("bob").await;
}

#[tokio::test]
async fn no_event_is_missing_after_a_restart_and_a_rotation() {
    let hub = Harness::start().await;
    // Events from before the export was configured belong to it too.
    hub.create_user("ann").await;
    let (hub, file) = exporting(hub).await;
    hub.create_user("bob").await;
    hub.anonymous()
        .refused("UserService/Delete", &idp::DeleteUserRequest::default())
        .await;
    let text = await_export(&hub, &[&file]).await;
    assert!(text.contains("\"authenticated\":false"));
    assert!(text.contains("\"authorized\":false"));
    // Right before the end, so that the export may not have seen it.
    hub.create_user("cyd").await;
    hub.advance(Span::hours(1));
    let hub = hub.restart().await;
    await_export(&hub, &[&file]).await;
    let rotated = file.with_extension("1");
    std::fs::rename(&file, &rotated).unwrap();
    hub.create_user("dan").await;
    let text = await_export(&hub, &[&rotated, &file]).await;
    assert!(!std::fs::read_to_string(&file).unwrap().is_empty());
    assert!(text.contains("\"event_status\":\"DONE\""));
    hub.running.stop().await;
}

#[tokio::test]
async fn no_event_is_missing_after_the_clock_was_set_back() {
    let (hub, file) = exporting(Harness::start().await).await;
    hub.advance(Span::hours(1));
    hub.create_user("ann").await;
    await_export(&hub, &[&file]).await;
    hub.advance(Span::hours(-1));
    let hub = hub.restart().await;
    hub.create_user("bob").await;
    await_export(&hub, &[&file]).await;
    hub.running.stop().await;
}

#[tokio::test]
async fn strangers_fill_the_trail_slowly() {
    let hub = Harness::start().await;
    let before = stored(&hub).await.len();
    for _ in 0..70 {
        hub.anonymous()
            .refused("UserService/Delete", &idp::DeleteUserRequest::default())
            .await;
    }
    assert_eq!(stored(&hub).await.len(), before + 60);
}

#[tokio::test]
async fn old_events_leave() {
    let hub = Harness::start().await;
    hub.create_user("ann").await;
    hub.advance(Span::days(366));
    let now = hub.clock.now();
    rollcall_hub::sweeper::sweep(&hub.running.hub, now)
        .await
        .unwrap();
    assert_eq!(stored(&hub).await, []);
}
