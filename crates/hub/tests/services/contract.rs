//! Coverage that follows from the contract: no rpc can be forgotten.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message;
use rollcall_hub::limits::MESSAGE_BYTES_MAX;
use rollcall_proto::operation::GetOperationRequest;
use rollcall_proto::{FILE_DESCRIPTOR_SET, METHODS, descriptor_pool};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_types::StatusExt as _;

use crate::harness::{Harness, expect};

/// Methods that need no token.
const ANONYMOUS: &[&str] = &[
    "yandex.cloud.iam.v1.IamTokenService/Create",
    "yandex.cloud.endpoint.ApiEndpointService/Get",
    "yandex.cloud.endpoint.ApiEndpointService/List",
    "rollcall.signin.v1.SignInService/SignIn",
    "rollcall.signin.v1.SignInService/ChangePassword",
    "rollcall.signin.v1.SignInService/Refresh",
];

fn short(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

#[tokio::test]
async fn every_rpc_but_a_few_refuses_strangers() {
    let hub = Harness::start().await;
    for method in METHODS {
        let name = method.path.trim_start_matches('/');
        let answer: Result<(), _> = hub.anonymous().call(short(name), &()).await;
        if ANONYMOUS.contains(&name) {
            let code = answer.err().map(|status| status.code());
            assert_ne!(code, Some(Code::Unauthenticated), "{name}");
        } else {
            expect(
                &answer.unwrap_err(),
                Code::Unauthenticated,
                "UNAUTHENTICATED",
            );
        }
    }
}

#[tokio::test]
async fn everything_is_served() {
    let hub = Harness::start().await;
    for method in METHODS {
        let answer: Result<(), _> = hub.administrator.call(short(method.path), &()).await;
        let code = answer.err().map(|status| status.code());
        assert_ne!(code, Some(Code::Unimplemented), "{}", method.path);
    }
}

#[tokio::test]
async fn every_required_field_is_named_when_it_is_missing() {
    let hub = Harness::start().await;
    // These have no required field.
    let free = [
        "ApiEndpointService/Get",
        "ApiEndpointService/List",
        "OrganizationService/List",
        "SignInService/SignOut",
        "UserService/GeneratePassword",
        "UserService/GetSelfPasswordMetadata",
    ];
    for method in METHODS {
        let name = short(method.path);
        if free.contains(&name) {
            continue;
        }
        let status = hub
            .administrator
            .call::<(), ()>(name, &())
            .await
            .unwrap_err();
        expect(&status, Code::InvalidArgument, "INVALID_FIELD");
        let details = status.get_error_details();
        let named: BTreeSet<_> = details
            .bad_request()
            .expect("BadRequest")
            .field_violations
            .iter()
            .map(|violation| violation.field.clone())
            .collect();
        let required = required_fields(method.request);
        assert!(
            named.is_superset(&required),
            "{name}: {named:?} {required:?}"
        );
    }
}

/// The fields of a message that the contract calls required.
fn required_fields(message: &str) -> BTreeSet<String> {
    let pool = descriptor_pool();
    let option = pool
        .get_extension_by_name("yandex.cloud.required")
        .expect("the option is in the contract");
    let message = pool
        .get_message_by_name(message)
        .expect("the message is in the contract");
    message
        .fields()
        .filter(|field| field.options().get_extension(&option).as_bool() == Some(true))
        .map(|field| field.name().to_owned())
        .collect()
}

#[derive(Clone, PartialEq, Message)]
struct RawFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

macro_rules! reflected_files {
    ($version:ident, $hub:expr, $names:expr) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let mut client = ServerReflectionClient::new($hub.anonymous().channel());
        let questions: Vec<_> = $names
            .into_iter()
            .map(|name: String| $version::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::FileByFilename(name)),
            })
            .collect();
        let answers = client
            .server_reflection_info(futures::stream::iter(questions))
            .await
            .unwrap()
            .into_inner();
        let files: Vec<Vec<u8>> = answers
            .map(|answer| match answer.unwrap().message_response {
                Some(MessageResponse::FileDescriptorResponse(files)) => {
                    files.file_descriptor_proto[0].clone()
                }
                other => panic!("{other:?}"),
            })
            .collect()
            .await;
        files
    }};
}

#[tokio::test]
async fn reflection_serves_the_contract_byte_by_byte() {
    let hub = Harness::start().await;
    let expected = RawFiles::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let names = || {
        expected
            .iter()
            .map(|raw| {
                let file = prost_types::FileDescriptorProto::decode(raw.clone()).unwrap();
                file.name().to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert!(names().len() > 10);
    assert_eq!(reflected_files!(v1, hub, names()), expected);
    assert_eq!(reflected_files!(v1alpha, hub, names()), expected);
}

#[tokio::test]
async fn health_is_told_to_anybody() {
    let hub = Harness::start().await;
    let mut client = HealthClient::new(hub.anonymous().channel());
    let answer = client
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

/// REST has no room for such an id: it would be part of the path.
#[tokio::test]
async fn an_id_of_100_kb_is_answered_within_the_headers() {
    let hub = Harness::start().await;
    let request = GetOperationRequest {
        operation_id: "я".repeat(50_000),
    };
    let status = hub
        .administrator
        .refused("OperationService/Get", &request)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    assert!(status.message().len() <= MESSAGE_BYTES_MAX, "{status:?}");
}
