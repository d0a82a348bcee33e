//! The search for the record that proves a domain: how it goes, fails, ends and is cancelled.

use prost::{Message as _, Name as _};
use rollcall_domain::audit::EventStatus;
use rollcall_domain::userpool_domain::{DomainStatus, UserpoolDomain};
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::domain::Status;
use rollcall_proto::idp::domain_challenge;
use rollcall_proto::operation::{
    CancelOperationRequest, GetOperationRequest, Operation, operation::Result as Outcome,
};
use rollcall_store::{Error, Tx};
use tonic::Code;
use tonic_types::pb::ErrorInfo;

use super::userpool_domain::{NAME, add, delete, get, record, validate_request};
use crate::harness::{Caller, Harness, expect};
use crate::name_server::{Mood, NameServer};

/// Longest wait for the job of the hub.
const JOB_WAITS_MAX: usize = 1_500;
const JOB_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// A hub that asks `server`.
async fn start(server: &NameServer, timeout_seconds: u32) -> Harness {
    let hub = Harness::start().await;
    let path = hub.data().config();
    let mut config = std::fs::read_to_string(&path).unwrap();
    config.push_str(&format!(
        "\ndns: {{servers: [\"{}\"], timeout_seconds: {timeout_seconds}}}\n",
        server.address
    ));
    std::fs::write(&path, config).unwrap();
    hub.restart().await
}

async fn validate(hub: &Harness) -> Operation {
    let method = "UserpoolService/ValidateDomain";
    let request = validate_request(hub);
    hub.administrator.call(method, &request).await.unwrap()
}

async fn read(caller: &Caller, operation: &Operation) -> Operation {
    let request = GetOperationRequest {
        operation_id: operation.id.clone(),
    };
    caller.call("OperationService/Get", &request).await.unwrap()
}

fn cancel(operation: &Operation) -> CancelOperationRequest {
    CancelOperationRequest {
        operation_id: operation.id.clone(),
    }
}

/// Wakes the job and waits until the domain is as wanted. It looks into the database, because how
/// often it has to look is no property of the interface.
async fn wait_for(hub: &Harness, is_wanted: impl Fn(&UserpoolDomain) -> bool) {
    hub.running.hub.domain_validation_due.notify_one();
    for _ in 0..JOB_WAITS_MAX {
        let pool = hub.pool_id.as_str().into();
        let store = &hub.running.hub.store;
        let found: Result<_, Error> = store
            .read(async move |tx: &Tx| tx.find_userpool_domain(&pool, NAME).await)
            .await;
        if is_wanted(&found.unwrap().unwrap()) {
            return;
        }
        tokio::time::sleep(JOB_WAIT).await;
    }
    panic!("the domain never became as wanted");
}

/// Waits until a look-up ended that did not find the proof.
async fn wait_for_failure(hub: &Harness, anchor: &str) {
    let code = format!("organization/domain-diagnostics#{anchor}");
    wait_for(hub, |domain| domain.status_code() == code).await;
}

fn error_of(operation: &Operation) -> (i32, String) {
    let Some(Outcome::Error(status)) = &operation.result else {
        panic!("{operation:?}");
    };
    assert!(operation.done);
    let info = status
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("google.rpc.ErrorInfo"))
        .expect("the error has a reason");
    let info = ErrorInfo::decode(info.value.as_slice()).unwrap();
    (status.code, info.reason)
}

#[tokio::test]
async fn a_published_record_proves_a_domain() {
    let server = NameServer::start().await;
    let hub = start(&server, 10).await;
    let domain = add(&hub, NAME).await;
    let (record_name, value) = (&record(&domain).name, &record(&domain).value);
    let user = idp::CreateUserRequest {
        username: format!("ann@{NAME}"),
        ..hub.new_user("ann")
    };
    let method = "UserService/Create";
    let status = hub.administrator.refused(method, &user).await;
    assert_eq!(status.code(), Code::FailedPrecondition);

    // Without a record the search goes on; asking again joins it.
    let running = validate(&hub).await;
    assert!(!running.done && running.result.is_none());
    wait_for_failure(&hub, "record-missing").await;
    assert_eq!(get(&hub).await.status(), Status::NeedToValidate);
    server.publish(record_name, &[&["v=spf1 -all"], &["x", value]]);
    let joined = validate(&hub).await;
    assert_eq!(joined, running);
    wait_for_failure(&hub, "value-differs").await;

    // One of several records, in two character strings, behind an alias.
    let (start, end) = value.split_at(20);
    server.publish("proof.example", &[&["other"], &[start, end]]);
    server.publish_alias(record_name, "proof.example");
    hub.advance(Span::minutes(10));
    wait_for(&hub, UserpoolDomain::is_usable).await;
    let domain = get(&hub).await;
    assert_eq!(domain.status(), Status::Valid);
    assert_eq!(
        domain.challenges[0].status(),
        domain_challenge::Status::Valid
    );
    let ended = read(&hub.administrator, &running).await;
    let Some(Outcome::Response(response)) = &ended.result else {
        panic!("{ended:?}");
    };
    assert!(ended.done && response.type_url.ends_with(&idp::Domain::full_name()));
    assert_eq!(
        idp::Domain::decode(response.value.as_slice()).unwrap(),
        domain
    );
    assert_eq!(domain.validated_at, ended.modified_at);

    // A proven domain is used by logins, stays while it is, and needs no second proof.
    let (_, again): (idp::ValidateUserpoolDomainMetadata, idp::Domain) = hub
        .administrator
        .change("UserpoolService/ValidateDomain", &validate_request(&hub))
        .await
        .unwrap();
    assert_eq!(again, domain);
    let (_, user): (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(method, &user).await.unwrap();
    assert_eq!(user.username, "ann@corp.example");
    let status = delete(&hub, NAME).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "DOMAIN_IN_USE");
    assert!(status.message().contains("1 user of"), "{status:?}");
}

#[tokio::test]
async fn failures_of_name_servers_are_told_apart() {
    let server = NameServer::start().await;
    let hub = start(&server, 1).await;
    let domain = add(&hub, NAME).await;
    server.set_mood(Mood::Fails);
    let running = validate(&hub).await;
    wait_for_failure(&hub, "dns-failure").await;
    server.set_mood(Mood::IsSilent);
    hub.advance(Span::minutes(10));
    wait_for_failure(&hub, "dns-timeout").await;
    server.set_mood(Mood::Answers);
    server.publish(&record(&domain).name, &[&[&record(&domain).value]]);
    hub.advance(Span::minutes(10));
    wait_for(&hub, UserpoolDomain::is_usable).await;
    assert!(read(&hub.administrator, &running).await.done);
}

#[tokio::test]
async fn the_search_survives_a_restart_and_ends_after_72_hours() {
    let server = NameServer::start().await;
    let hub = start(&server, 10).await;
    add(&hub, NAME).await;
    let running = validate(&hub).await;
    wait_for_failure(&hub, "record-missing").await;
    let hub = hub.restart().await;
    let asked = server.questions();
    hub.advance(Span::minutes(10));
    let started = hub.running.hub.clock.now();
    wait_for(&hub, |domain| {
        let next = domain
            .validation
            .as_ref()
            .map(|running| running.next_attempt_at);
        next > Some(started)
    })
    .await;
    assert!(server.questions() > asked, "the server was asked again");
    assert!(!read(&hub.administrator, &running).await.done);

    hub.advance(Span::hours(72));
    let hub = hub.restart().await;
    wait_for(&hub, |domain| domain.status == DomainStatus::Invalid).await;
    let domain = get(&hub).await;
    assert_eq!(domain.status(), Status::Invalid);
    assert!(domain.status_code.ends_with("#invalid"));
    let ended = read(&hub.administrator, &running).await;
    assert_eq!(error_of(&ended), (9, "DOMAIN_NOT_PROVEN".to_owned()));
    // A new search may begin.
    let next = validate(&hub).await;
    assert!(next.id != running.id && !next.done);
}

#[tokio::test]
async fn a_search_can_be_cancelled() {
    let server = NameServer::start().await;
    let hub = start(&server, 30).await;
    let domain = add(&hub, NAME).await;
    server.set_mood(Mood::Waits);
    server.publish(&record(&domain).name, &[&[&record(&domain).value]]);
    let running = validate(&hub).await;
    assert_eq!(get(&hub).await.status(), Status::Validating);
    let method = "OperationService/Cancel";
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let status = viewer.refused(method, &cancel(&running)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let stranger = hub.account(&[], hub.pool()).await;
    let status = stranger.refused(method, &cancel(&running)).await;
    expect(&status, Code::NotFound, "NOT_FOUND");

    let editor = hub.account(&["userpools.editor"], hub.pool()).await;
    let ended: Operation = editor.call(method, &cancel(&running)).await.unwrap();
    assert_eq!(ended.id, running.id);
    assert_eq!(error_of(&ended), (1, "OPERATION_CANCELLED".to_owned()));
    assert_eq!(read(&viewer, &running).await, ended);
    let domain = get(&hub).await;
    assert_eq!(domain.status(), Status::NeedToValidate);
    assert!(domain.status_code.ends_with("#need-to-validate"));
    let status = hub.administrator.refused(method, &cancel(&running)).await;
    expect(
        &status,
        Code::FailedPrecondition,
        "OPERATION_NOT_CANCELLABLE",
    );

    // The proof that the look-up under way brings comes too late; that of a new search counts.
    let next = validate(&hub).await;
    let own: Operation = hub
        .administrator
        .call(method, &cancel(&next))
        .await
        .unwrap();
    assert!(own.done);
    server.set_mood(Mood::Answers);
    let third = validate(&hub).await;
    wait_for(&hub, UserpoolDomain::is_usable).await;
    assert!(read(&hub.administrator, &third).await.result.is_some());
    assert_eq!(read(&hub.administrator, &running).await, ended);
}

#[tokio::test]
async fn a_search_ends_with_its_domain_or_pool() {
    let server = NameServer::start().await;
    let hub = start(&server, 10).await;
    add(&hub, NAME).await;
    let of_domain = validate(&hub).await;
    delete(&hub, NAME).await.unwrap();
    let ended = read(&hub.administrator, &of_domain).await;
    assert_eq!(error_of(&ended), (1, "OPERATION_CANCELLED".to_owned()));

    add(&hub, NAME).await;
    let of_pool = validate(&hub).await;
    let request = idp::DeleteUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let (_, ()): (idp::DeleteUserpoolMetadata, ()) = hub
        .administrator
        .change("UserpoolService/Delete", &request)
        .await
        .unwrap();
    let ended = read(&hub.administrator, &of_pool).await;
    assert_eq!(error_of(&ended), (1, "OPERATION_CANCELLED".to_owned()));
}

/// How the events of a type ended, oldest first, and with which code. Those that a call brought are
/// told from those of the job; all must name `creator`, who asked.
async fn events_of(
    hub: &Harness,
    event_type: &str,
    creator: &str,
) -> Vec<(EventStatus, i32, &'static str)> {
    let store = &hub.running.hub.store;
    let events: Result<_, Error> = store
        .read(async |tx: &Tx| {
            let ids = tx.list_audit_event_ids_after(&"".into(), 1_000).await?;
            tx.list_audit_events_by_id(&ids).await
        })
        .await;
    let mut events = events.unwrap();
    events.sort_by_key(|event| event.time);
    events.retain(|event| event.event_type.ends_with(event_type));
    let outlined = events.into_iter().map(|event| {
        let caller = event.caller.expect("somebody asked").subject.id;
        assert_eq!(caller, creator.into());
        let origin = match event.origin.request_id.as_str() {
            "" => "job",
            _ => "call",
        };
        (
            event.status,
            event.error.map_or(0, |error| error.code),
            origin,
        )
    });
    outlined.collect()
}

#[tokio::test]
async fn every_search_has_its_end_in_the_audit_trail() {
    let server = NameServer::start().await;
    let hub = start(&server, 10).await;
    hub.without_transcript("it is about the trail, which it reads from the database");
    let validations = "idp.ValidateUserpoolDomain";
    let started = (EventStatus::Started, 0, "call");
    let cancelled = (EventStatus::Cancelled, 1, "job");
    let domain = add(&hub, NAME).await;
    let running = validate(&hub).await;
    let creator = running.created_by.as_str();
    let method = "OperationService/Cancel";
    let _: Operation = hub
        .administrator
        .call(method, &cancel(&running))
        .await
        .unwrap();
    let mut expected = vec![started, cancelled];
    assert_eq!(events_of(&hub, validations, creator).await, expected);
    let done = (EventStatus::Done, 0, "call");
    assert_eq!(events_of(&hub, "CancelOperation", creator).await, [done]);

    validate(&hub).await;
    wait_for_failure(&hub, "record-missing").await;
    hub.advance(Span::hours(72));
    let hub = hub.restart().await;
    wait_for(&hub, |domain| domain.status == DomainStatus::Invalid).await;
    expected.extend([started, (EventStatus::Error, 9, "job")]);
    assert_eq!(events_of(&hub, validations, creator).await, expected);

    server.publish(&record(&domain).name, &[&[&record(&domain).value]]);
    validate(&hub).await;
    wait_for(&hub, UserpoolDomain::is_usable).await;
    expected.extend([started, (EventStatus::Done, 0, "job")]);
    assert_eq!(events_of(&hub, validations, creator).await, expected);

    delete(&hub, NAME).await.unwrap();
    server.set_mood(Mood::Waits);
    add(&hub, NAME).await;
    validate(&hub).await;
    let request = idp::DeleteUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let (_, ()): (idp::DeleteUserpoolMetadata, ()) = hub
        .administrator
        .change("UserpoolService/Delete", &request)
        .await
        .unwrap();
    expected.extend([started, cancelled]);
    assert_eq!(events_of(&hub, validations, creator).await, expected);
}

#[tokio::test]
async fn whoever_lost_the_right_cancels_no_search() {
    let server = NameServer::start().await;
    let hub = start(&server, 30).await;
    add(&hub, NAME).await;
    server.set_mood(Mood::Waits);
    let editor = hub.account(&["userpools.editor"], hub.pool()).await;
    let method = "UserpoolService/ValidateDomain";
    let running: Operation = editor.call(method, &validate_request(&hub)).await.unwrap();
    let pool = hub.pool_id.as_str().into();
    let store = &hub.running.hub.store;
    let removed: Result<_, Error> = store
        .write(async move |tx: &Tx| tx.delete_access_bindings_of_userpool(&pool).await)
        .await;
    removed.unwrap();
    let method = "OperationService/Cancel";
    let status = editor.refused(method, &cancel(&running)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    assert!(!read(&editor, &running).await.done);
}
