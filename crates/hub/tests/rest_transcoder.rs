//! The REST codec alone, in front of services of its own: what a request becomes, and what becomes
//! of an answer.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rest_transcoder/recorder.rs"]
mod recorder;
#[path = "rest_transcoder/values.rs"]
mod values;

use http::{Method, StatusCode};
use recorder::{Answer, Recorder, check};
use rollcall_hub::rest::{ADDRESS_BYTES_MAX, BODY_BYTES_MAX, RuleError, RuleTable, Transcoder};
use rollcall_proto::operation::operation_service_server::{
    OperationService, OperationServiceServer,
};
use rollcall_proto::operation::{
    CancelOperationRequest, GetOperationRequest, Operation, operation,
};
use serde_json::json;

#[test]
fn rules_of_every_shape_lead_to_their_rpc() {
    let echo = Recorder::of_file("echo.proto");
    let say = "/rollcall.test.Echo/Say";
    check(
        &echo,
        "POST",
        "/v1/say",
        r#"{"stringValue":"a"}"#,
        say,
        json!({"stringValue": "a"}),
    );
    check(
        &echo,
        "GET",
        "/v1/say?stringValue=a",
        "",
        say,
        json!({"stringValue": "a"}),
    );
    check(&echo, "REPORT", "/v1/say", "", say, json!({}));
    check(
        &echo,
        "PUT",
        "/v1/a%2Fb/say/7?color=RED",
        r#"{"numbers":[1],"name":"from the body"}"#,
        say,
        json!({"inner": {"name": "a/b", "numbers": ["1"]}, "int32Value": 7, "color": "RED"}),
    );
    check(
        &echo,
        "GET",
        "/v1/things/special",
        "",
        "/rollcall.test.Echo/Special",
        json!({}),
    );
    let thing = "/rollcall.test.Echo/Thing";
    check(
        &echo,
        "GET",
        "/v1/things/other",
        "",
        thing,
        json!({"stringValue": "other"}),
    );
    check(
        &echo,
        "POST",
        "/v1/things/x%3Ay:stop",
        "",
        "/rollcall.test.Echo/Stop",
        json!({"stringValue": "x:y"}),
    );
    // A colon that starts no verb belongs to the value.
    check(
        &echo,
        "GET",
        "/v1/things/urn:x",
        "",
        thing,
        json!({"stringValue": "urn:x"}),
    );
}

#[test]
fn what_is_not_a_call_gets_its_own_status() {
    let echo = Recorder::of_file("echo.proto");
    let cases = [
        ("GET", "/", 404),
        ("GET", "/v1/say/", 404),
        ("GET", "/v1//say", 404),
        ("GET", "/v1/things/", 404),
        ("GET", "/v1/watch", 404),
        ("OPTIONS", "/nothing", 404),
        ("POST", "/rollcall.test.Echo/Silent", 404),
        ("POST", "/v1/things/a:frobnicate", 404),
        ("GET", "/v1/things/a:stop", 405),
        ("DELETE", "/v1/say", 405),
        ("TRACE", "/v1/say", 405),
        ("GET", "/v1/%", 400),
    ];
    for (method, address, status) in cases {
        let answer = echo.send(method, address, "");
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {address}: {}",
            answer.text
        );
        let error = answer.json();
        assert!(
            error["code"].as_i64().is_some_and(|code| code > 0),
            "{error}"
        );
        assert!(!error["message"].as_str().unwrap_or_default().is_empty());
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(
            answer.headers.contains_key("allow"),
            status == 405,
            "{method} {address}"
        );
    }
    let allowed = echo.send("DELETE", "/v1/say", "").headers["allow"].clone();
    assert_eq!(allowed, "GET, HEAD, OPTIONS, POST, REPORT");
    let long = format!("/v1/things/{}", "a".repeat(ADDRESS_BYTES_MAX));
    assert_eq!(echo.send("GET", &long, "").status.as_u16(), 414);
    assert_eq!(echo.calls(), 0);
}

#[test]
fn options_and_head_answer_without_a_body() {
    let echo = Recorder::of_file("echo.proto");
    let answer = echo.send("OPTIONS", "/v1/things/a", "");
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers["allow"], "GET, HEAD, OPTIONS");
    assert_eq!((answer.text.as_str(), echo.calls()), ("", 0));
    let answer = echo.send("HEAD", "/v1/things/a", "");
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(answer.headers["content-length"], "2");
    assert_eq!(echo.only_call().rpc, "/rollcall.test.Echo/Thing");
}

#[test]
fn bodies_must_be_plain_json_of_bounded_length() {
    let echo = Recorder::of_file("echo.proto");
    let post = |headers: &[(&str, &str)], body: &str| {
        let answer = echo.send_with("POST", "/v1/say", headers, body.to_owned().into_bytes());
        (answer.status.as_u16(), echo.forget())
    };
    assert_eq!(
        post(&[("content-type", "application/json; charset=utf-8")], "{}"),
        (200, 1)
    );
    assert_eq!(
        post(&[("content-type", "Application/JSON")], "{}"),
        (200, 1)
    );
    assert_eq!(post(&[], "{}"), (200, 1));
    assert_eq!(post(&[("content-type", "text/plain")], ""), (200, 1));
    assert_eq!(post(&[("content-type", "text/plain")], "{}"), (415, 0));
    assert_eq!(
        post(
            &[("content-type", "application/x-www-form-urlencoded")],
            "a=b"
        ),
        (415, 0)
    );
    assert_eq!(post(&[("content-encoding", "gzip")], "{}"), (415, 0));
    let full = format!("{{}}{}", " ".repeat(BODY_BYTES_MAX - 2));
    assert_eq!(post(&[], &full), (200, 1));
    assert_eq!(post(&[], &format!("{full} ")), (413, 0));
}

#[test]
fn only_chosen_headers_cross() {
    let echo = Recorder::of_file("echo.proto");
    let headers = [
        ("authorization", "Bearer t"),
        ("idempotency-key", "k"),
        ("x-sync-session-id", "s"),
        ("x-request-id", "chosen-1"),
        ("grpc-timeout", "5S"),
        ("cookie", "c"),
        ("x-forwarded-for", "192.0.2.1"),
        ("grpc-encoding", "gzip"),
    ];
    let answer = echo.send_with("GET", "/v1/say", &headers, Vec::new());
    assert_eq!(answer.headers["x-request-id"], "chosen-1");
    let call = echo.only_call();
    let mut names: Vec<&str> = call.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-type",
            "grpc-timeout",
            "idempotency-key",
            "te",
            "x-request-id",
            "x-sync-session-id"
        ]
    );
    let bad = echo.send_with(
        "GET",
        "/v1/say",
        &[("x-request-id", "not a name")],
        Vec::new(),
    );
    let given = bad.headers["x-request-id"].clone();
    assert_eq!(given.len(), 36);
    assert_eq!(echo.only_call().headers["x-request-id"], given);
    let other = echo.send("GET", "/v1/say", "").headers["x-request-id"].clone();
    assert_ne!(given, other);
}

#[test]
fn errors_carry_their_details_and_the_request_id() {
    use tonic_types::StatusExt as _;
    let mut details = tonic_types::ErrorDetails::new();
    details.set_error_info(
        "SESSION_EXPIRED",
        "rollcall",
        [("session".to_owned(), "s1".to_owned())],
    );
    let status = tonic::Status::with_error_details(
        tonic::Code::FailedPrecondition,
        "the lease is över 100% past",
        details,
    );
    let echo = Recorder::of_file("echo.proto").answering(Answer::Status(status));
    let answer = echo.send_with("GET", "/v1/say", &[("x-request-id", "r1")], Vec::new());
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.json(),
        json!({
            "code": 9,
            "message": "the lease is över 100% past",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "SESSION_EXPIRED",
                    "domain": "rollcall",
                    "metadata": {"session": "s1"},
                },
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r1"},
            ],
        })
    );
    let refused = tonic::Status::unauthenticated("no token");
    let echo = Recorder::of_file("echo.proto").answering(Answer::Status(refused));
    let answer = echo.send("GET", "/v1/say", "");
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
}

#[test]
fn who_is_not_admitted_learns_nothing_of_the_message() {
    let refused = tonic::Status::unauthenticated("no token");
    let echo = Recorder::of_file("echo.proto").answering(Answer::Unread(refused));
    let too_long = vec![b' '; BODY_BYTES_MAX + 1];
    for (address, body) in [
        ("/v1/say", b"not JSON".to_vec()),
        ("/v1/say", too_long),
        ("/v1/say?int32Value=x", b"{}".to_vec()),
    ] {
        let answer = echo.send_with("POST", address, &[], body);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    }
    assert_eq!(
        echo.send("POST", "/nothing", "").status,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn an_answer_that_is_not_grpc_is_an_internal_error() {
    for answer in [
        Answer::Raw(StatusCode::OK, "text/html", b"<html>".to_vec()),
        Answer::Raw(StatusCode::NOT_FOUND, "application/grpc", Vec::new()),
        Answer::Raw(
            StatusCode::OK,
            "application/grpc",
            b"\x01\0\0\0\x02{}".to_vec(),
        ),
        Answer::Raw(
            StatusCode::OK,
            "application/grpc",
            b"\0\0\0\0\x02\xff\xff".to_vec(),
        ),
        Answer::Raw(StatusCode::OK, "application/grpc", Vec::new()),
    ] {
        let echo = Recorder::of_file("echo.proto").answering(answer.clone());
        let got = echo.send("GET", "/v1/say", "");
        assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
        assert_eq!(got.json()["code"], 13);
        assert!(!got.text.contains("html"), "{}", got.text);
    }
}

#[test]
fn a_contract_that_cannot_be_served_is_refused() {
    for (file, why) in [
        ("collision.proto", "collides"),
        ("wildcard.proto", "not one field"),
    ] {
        let error = RuleTable::read(&recorder::pool_of_file(file)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = RuleTable::read(&prost_reflect::DescriptorPool::new()).unwrap_err();
    assert!(matches!(error, RuleError::NoHttpOption));
}

#[test]
fn every_rpc_of_the_contract_has_its_rule() {
    let pool = rollcall_proto::descriptor_pool();
    let table = RuleTable::read(pool).unwrap();
    let without: Vec<String> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|rpc| {
            !table
                .rules()
                .any(|rule| rule.rpc.full_name() == rpc.full_name())
        })
        .map(|rpc| rpc.full_name().to_owned())
        .collect();
    assert_eq!(
        without,
        ["yandex.cloud.organizationmanager.v1.idp.UserService.GetPasswordChanges"]
    );
    let cancel: Vec<&Method> = table
        .rules()
        .filter(|rule| rule.template_text == "/operations/{operation_id}:cancel")
        .map(|rule| &rule.method)
        .collect();
    assert!(
        cancel.contains(&&Method::GET) && cancel.contains(&&Method::POST),
        "{cancel:?}"
    );
}

struct Operations;

#[tonic::async_trait]
impl OperationService for Operations {
    async fn get(
        &self,
        request: tonic::Request<GetOperationRequest>,
    ) -> Result<tonic::Response<Operation>, tonic::Status> {
        let id = request.into_inner().operation_id;
        if id != "ops1" {
            return Err(tonic::Status::not_found(format!("no operation {id}")));
        }
        let metadata = rollcall_proto::idp::OpenSessionMetadata {
            session_id: "sys1".to_owned(),
        };
        let response = rollcall_proto::idp::OpenSessionResponse {
            result: rollcall_proto::idp::OpenSessionResult::TooEarly.into(),
            ..Default::default()
        };
        Ok(tonic::Response::new(Operation {
            id,
            created_at: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            done: true,
            metadata: Some(packed(
                "yandex.cloud.organizationmanager.v1.idp.OpenSessionMetadata",
                &metadata,
            )),
            result: Some(operation::Result::Response(packed(
                "yandex.cloud.organizationmanager.v1.idp.OpenSessionResponse",
                &response,
            ))),
            ..Default::default()
        }))
    }

    async fn cancel(
        &self,
        request: tonic::Request<CancelOperationRequest>,
    ) -> Result<tonic::Response<Operation>, tonic::Status> {
        let id = request.into_inner().operation_id;
        Ok(tonic::Response::new(Operation {
            id,
            ..Default::default()
        }))
    }
}

fn packed(name: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

#[test]
fn a_generated_service_answers_in_canonical_json() {
    let transcoder = Transcoder::new(
        rollcall_proto::descriptor_pool(),
        OperationServiceServer::new(Operations),
    )
    .unwrap();
    let get =
        |method: &str, address: &str| recorder::send(&transcoder, method, address, &[], Vec::new());
    let answer = get("GET", "/operations/ops1");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({
            "id": "ops1",
            "createdAt": "1970-01-01T00:00:01.500Z",
            "done": true,
            "metadata": {
                "@type": "type.googleapis.com/yandex.cloud.organizationmanager.v1.idp.OpenSessionMetadata",
                "sessionId": "sys1",
            },
            "response": {
                "@type": "type.googleapis.com/yandex.cloud.organizationmanager.v1.idp.OpenSessionResponse",
                "result": "TOO_EARLY",
            },
        })
    );
    for method in ["GET", "POST"] {
        assert_eq!(
            get(method, "/operations/ops1:cancel").json(),
            json!({"id": "ops1"})
        );
    }
    let answer = get("GET", "/operations/other");
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["message"], "no operation other");
    // A service that is in the contract but not served.
    let answer = get("GET", "/endpoints");
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
}

#[test]
fn requests_of_the_contract_arrive_whole() {
    let contract = Recorder::of_contract();
    let idp = "/yandex.cloud.organizationmanager.v1.idp";
    check(
        &contract,
        "POST",
        "/organization-manager/v1/idp/synchronization-sessions:open",
        r#"{"subjectContainerId":"ek01","agent_id":"a","sessionType":"AD_SYNC"}"#,
        &format!("{idp}.SynchronizationSessionService/OpenSession"),
        json!({"subjectContainerId": "ek01", "agentId": "a", "sessionType": "AD_SYNC"}),
    );
    check(
        &contract,
        "POST",
        "/organization-manager/v1/idp/synchronization-sessions/sys1:reportProgress",
        r#"{"progressEntries":[{"objectType":"USER","changeInfo":[{"changeType":"CREATE","successful":"12","failed":1}]}]}"#,
        &format!("{idp}.SynchronizationSessionService/ReportSessionProgress"),
        json!({"sessionId": "sys1", "progressEntries": [{"objectType": "USER", "changeInfo": [
            {"changeType": "CREATE", "successful": "12", "failed": "1"}]}]}),
    );
    check(
        &contract,
        "GET",
        "/organization-manager/v1/idp/replication-token?subjectContainerId=ek01&sessionType=1",
        "",
        &format!("{idp}.SynchronizationService/GetReplicationToken"),
        json!({"subjectContainerId": "ek01", "sessionType": "AD_SYNC"}),
    );
    check(
        &contract,
        "PATCH",
        "/organization-manager/v1/idp/userpools/ek01?updateMask=userSettings.allow_edit_self_info",
        r#"{"userSettings":{"allowEditSelfInfo":true}}"#,
        &format!("{idp}.UserpoolService/Update"),
        json!({"userpoolId": "ek01", "updateMask": "userSettings.allowEditSelfInfo",
            "userSettings": {"allowEditSelfInfo": true}}),
    );
    check(
        &contract,
        "GET",
        "/organization-manager/v1/external_groups/ek01/CN%3DAll%2FUs,DC=corp",
        "",
        "/yandex.cloud.organizationmanager.v1.GroupService/ResolveExternal",
        json!({"subjectContainerId": "ek01", "externalId": "CN=All/Us,DC=corp"}),
    );
}
