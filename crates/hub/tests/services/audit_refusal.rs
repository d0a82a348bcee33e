//! Attempts that are refused, and calls whose caller does not wait for the end: what they leave in
//! the audit trail, and what nobody can keep out of it.

use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rollcall_domain::audit::{AuditEvent, EventStatus};
use rollcall_hub::limits;
use rollcall_proto::{idp, organizationmanager as groups};
use rollcall_store::{Error, Tx};
use tonic::Code;

use crate::harness::{Caller, Harness, expect};

/// Looks before the test gives up.
const LOOKS_MAX: u32 = 600;
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for an answer of a hub whose database is busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Every event in the database, in the order of the ids.
async fn stored(hub: &Harness) -> Vec<AuditEvent> {
    let store = &hub.running.hub.store;
    let events: Result<_, Error> = store
        .read(async |tx: &Tx| {
            let ids = tx.list_audit_event_ids_after(&"".into(), 100_000).await?;
            tx.list_audit_events_by_id(&ids).await
        })
        .await;
    events.unwrap()
}

/// The events of a call: how they ended, and with which code.
async fn events_of(hub: &Harness, request_id: &str) -> Vec<(EventStatus, Option<i32>)> {
    let events = stored(hub).await.into_iter();
    let of_call = events.filter(|event| event.origin.request_id == request_id);
    of_call
        .map(|event| (event.status, event.error.map(|error| error.code)))
        .collect()
}

/// A log that the test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the writer of the database busy until the returned end is dropped.
async fn block_writes(hub: &Harness) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let hub = Arc::clone(&hub.running.hub);
    tokio::spawn(async move {
        let wait = async move |_: &Tx| {
            begun.send(()).unwrap();
            // It ends when the other end is dropped.
            let _ = released.lock().unwrap().recv();
            Ok::<_, Error>(())
        };
        hub.store.write(wait).await.unwrap();
    });
    begins.recv().await.unwrap();
    release
}

#[tokio::test]
async fn a_change_that_outlives_its_deadline_leaves_one_event() {
    let hub = Harness::start_with(None, "limits: {call_seconds_max: 1}\n").await;
    let late = hub.administrator.with("x-request-id", "late");
    let release = block_writes(&hub).await;
    let request = idp::CreateUserpoolRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "late".into(),
        default_subdomain: "late".into(),
        ..Default::default()
    };
    let answer = late.refused("UserpoolService/Create", &request);
    let status = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    drop(release);
    // The writer takes calls in their order.
    hub.create_user("ann").await;
    let done = (EventStatus::Done, None);
    assert_eq!(events_of(&hub, "late").await, [done]);
}

#[tokio::test]
async fn whoever_goes_away_hides_no_refused_attempt() {
    let log = Log::default();
    let written = log.clone();
    let logger = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    // For all threads: where tests share a process, one of a single thread misses events that another
    // thread was the first to see.
    tracing::subscriber::set_global_default(logger).unwrap();
    let hub = Harness::start().await;
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let viewer = viewer.with("x-request-id", "gone");
    let release = block_writes(&hub).await;
    let request = hub.new_user("ann");
    let is_under_way = async {
        for _ in 0..LOOKS_MAX {
            if !hub.running.hub.calls.is_empty() {
                return;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        panic!("the hub has nothing to write");
    };
    tokio::select! {
        status = viewer.refused("UserService/Create", &request) => panic!("{status:?}"),
        () = is_under_way => {}
    }
    // The hub reads of the connection in order, so now it knows that the caller is gone.
    let pool = idp::GetUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let _: idp::Userpool = viewer.call("UserpoolService/Get", &pool).await.unwrap();
    drop(release);
    for _ in 0..LOOKS_MAX {
        let events = events_of(&hub, "gone").await;
        if !events.is_empty() {
            assert_eq!(events, [(EventStatus::Error, Some(7))]);
            let text = log.text();
            let mut lines = text.lines();
            let of_call =
                |line: &&str| line.contains("UserService/Create") && line.contains("gone");
            let line = lines.find(of_call);
            assert!(line.unwrap().contains("code=Cancelled"), "{text}");
            return;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    panic!("the attempt left no event");
}

async fn refuse_often(caller: &Caller, times: u32) {
    let delta = |number: u32| groups::MemberDelta {
        action: groups::member_delta::MemberAction::Add.into(),
        subject_id: format!("aje{number:017}"),
    };
    let request = groups::UpdateGroupMembersRequest {
        group_id: "aje00000000000000000".into(),
        member_deltas: (0..1_000).map(delta).collect(),
    };
    for _ in 0..times {
        let status = caller.refused("GroupService/UpdateMembers", &request).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn callers_without_a_right_fill_the_trail_slowly_and_each_on_its_own() {
    let hub = Harness::start().await;
    let (one, other) = (
        hub.account(&[], hub.pool()).await,
        hub.account(&[], hub.pool()).await,
    );
    let before = stored(&hub).await.len();
    let each = limits::AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX;
    refuse_often(&one, each + 10).await;
    let events = stored(&hub).await;
    assert_eq!(events.len(), before + each as usize);
    for event in &events[before..] {
        assert!(event.request.len() <= limits::AUDIT_REFUSED_REQUEST_BYTES_MAX);
        assert!(event.request.contains("cut: "), "{}", event.request);
        assert!(event.request.contains("aje00000000000000000"));
    }

    // Requests that break the contract are the caller's too, and leave strangers their own.
    let own = idp::SetOwnPasswordRequest::default();
    for _ in 0..each {
        other.refused("UserService/SetOwnPassword", &own).await;
    }
    let before = before + 2 * each as usize;
    assert_eq!(stored(&hub).await.len(), before);
    let strangers = limits::AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX;
    for _ in 0..strangers + 10 {
        let request = idp::DeleteUserRequest::default();
        hub.anonymous()
            .refused("UserService/Delete", &request)
            .await;
    }
    let before = before + strangers as usize;
    assert_eq!(stored(&hub).await.len(), before);
    refuse_often(&hub.account(&[], hub.pool()).await, 1).await;
    assert_eq!(stored(&hub).await.len(), before + 1);
}
