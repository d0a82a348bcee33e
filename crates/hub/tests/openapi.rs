//! The OpenAPI document that the hub serves: complete, valid, and the one of the documentation.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)] // Made for several tests; this one needs a part.
#[path = "support/rest_client.rs"]
mod rest_client;
#[allow(dead_code)] // As above.
#[path = "support/running_hub.rs"]
mod running_hub;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::{Method, StatusCode};
use rest_client::{RestClient, Version};
use rollcall_hub::rest::RuleTable;
use rollcall_proto::descriptor_pool;
use running_hub::RunningHub;
use serde_json::{Value as Json, json};

/// Set to `always` to take over the document that the hub serves.
const UPDATE_VARIABLE: &str = "INSTA_UPDATE";
/// Names a Python that has the validator; `cargo xtask test` makes one.
const PYTHON_VARIABLE: &str = "ROLLCALL_PYTHON";

fn snapshot_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[tokio::test]
async fn the_document_is_served_valid_and_documented() {
    let hub = RunningHub::start();
    let client = RestClient::anonymous(&hub, Version::Http2);
    let answer = client.send(Method::GET, "/openapi.json", &Json::Null).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    check_conditional_requests(&client, answer.headers["etag"].to_str().unwrap()).await;
    check_coverage(&answer.json);
    check_references(&answer.json, &answer.json);
    check_validity(&answer.json);
    check_snapshot(&answer.json);
}

async fn check_conditional_requests(client: &RestClient, tag: &str) {
    let get = async |method: Method, tag: &str| {
        let headers = [("if-none-match", tag)];
        client
            .send_with(method, "/openapi.json", &headers, &Json::Null)
            .await
    };
    let known = get(Method::GET, tag).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.headers["etag"], tag);
    assert_eq!(get(Method::GET, "\"other\"").await.status, StatusCode::OK);
    let head = get(Method::HEAD, "\"other\"").await;
    assert_eq!((head.status, head.json), (StatusCode::OK, Json::Null));
    let options = get(Method::OPTIONS, tag).await;
    assert_eq!(options.status, StatusCode::NO_CONTENT);
    assert_eq!(options.headers["allow"], "GET, HEAD, OPTIONS");
    let post = get(Method::POST, tag).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers["allow"], "GET, HEAD, OPTIONS");
}

/// Every rule of the contract is there, once, and nothing else is.
fn check_coverage(document: &Json) {
    let table = RuleTable::read(descriptor_pool()).unwrap();
    let expected: BTreeSet<(String, String)> = table
        .rules()
        .map(|rule| {
            let service = rule.rpc.parent_service().full_name().to_owned();
            let grpc = format!("/{service}/{}", rule.rpc.name());
            (rule.method.as_str().to_lowercase(), grpc)
        })
        .collect();
    let (mut found, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let grpc = operation["x-grpc-method"].as_str().unwrap().to_owned();
            found.insert((method.clone(), grpc));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()));
            for text in ["summary", "description"] {
                let is_written = operation[text]
                    .as_str()
                    .is_some_and(|text| !text.is_empty());
                assert!(is_written, "{method} {path} has no {text}");
            }
            for status in ["200", "400", "401", "404", "429", "500", "default"] {
                assert!(
                    operation["responses"].get(status).is_some(),
                    "{id} {status}"
                );
            }
        }
    }
    assert_eq!(found, expected);
    assert!(tags.contains("OperationService"));
}

fn check_references(document: &Json, part: &Json) {
    match part {
        Json::Object(entries) => {
            if let Some(Json::String(reference)) = entries.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(
                    document.pointer(pointer).is_some(),
                    "{reference} is nowhere"
                );
            }
            entries
                .values()
                .for_each(|inner| check_references(document, inner));
        }
        Json::Array(items) => items
            .iter()
            .for_each(|inner| check_references(document, inner)),
        _ => {}
    }
}

/// Judged by a program that is not ours.
fn check_validity(document: &Json) {
    const SCRIPT: &str = "import json, sys, openapi_spec_validator as v\n\
        v.validate(json.load(open(sys.argv[1])), cls=v.OpenAPIV31SpecValidator)";
    let python = std::env::var_os(PYTHON_VARIABLE)
        .unwrap_or_else(|| panic!("{PYTHON_VARIABLE} is not set: use `cargo xtask test`"));
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(file.as_file(), document).unwrap();
    let output = Command::new(python)
        .args(["-B", "-c", SCRIPT])
        .arg(file.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

fn check_snapshot(document: &Json) {
    let path = snapshot_path();
    if std::env::var(UPDATE_VARIABLE).is_ok_and(|value| value == "always") {
        let mut text = serde_json::to_string_pretty(document).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let recorded: Json = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    assert!(
        recorded == *document,
        "docs/openapi.json is not what the hub serves: look at what changed, and take it over with \
         {UPDATE_VARIABLE}=always"
    );
}

/// What the document says of one rpc of each kind.
#[test]
fn constraints_and_forms_of_the_contract_are_told() {
    let text = std::fs::read_to_string(snapshot_path()).unwrap();
    let document: Json = serde_json::from_str(&text).unwrap();
    let at = |pointer: &str| document.pointer(pointer).unwrap_or(&Json::Null);
    let parameter = |path: &str, method: &str, name: &str| {
        let path = path.replace('/', "~1");
        at(&format!("/paths/{path}/{method}/parameters"))
            .as_array()
            .unwrap()
            .iter()
            .find(|parameter| parameter["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{path} has no parameter {name}"))
    };
    let users = "/organization-manager/v1/idp/users";
    let pool = parameter(users, "get", "userpoolId");
    assert_eq!(
        (&pool["in"], &pool["required"]),
        (&json!("query"), &json!(true))
    );
    let size = parameter(users, "get", "pageSize");
    assert_eq!(size["schema"]["type"], "integer");
    assert_eq!(size["schema"]["maximum"], 1000);
    let user = parameter(
        "/organization-manager/v1/idp/users/{userId}",
        "get",
        "userId",
    );
    assert_eq!(
        (&user["in"], &user["required"]),
        (&json!("path"), &json!(true))
    );
    let key = at("/paths/~1organization-manager~1v1~1idp~1users/post/parameters/0/$ref");
    assert_eq!(key, "#/components/parameters/IdempotencyKey");
    // Both ways to cancel.
    let cancel = "/paths/~1operations~1{operationId}:cancel";
    for method in ["get", "post"] {
        assert!(at(&format!("{cancel}/{method}/operationId")).is_string());
    }
    // Anonymous.
    assert_eq!(at("/paths/~1endpoints/get/security"), &json!([]));
    assert_eq!(at("/components/securitySchemes/bearer/scheme"), "bearer");
    // Forms of proto3 JSON.
    let user = "/components/schemas/yandex.cloud.organizationmanager.v1.idp.User/properties";
    assert_eq!(at(&format!("{user}/createdAt/format")), "date-time");
    let create = at(
        "/paths/~1organization-manager~1v1~1idp~1users/post/requestBody/content/application~1json/schema",
    );
    assert!(
        create["required"]
            .as_array()
            .unwrap()
            .contains(&json!("userpoolId")),
        "{create}"
    );
    assert!(create["oneOf"].is_array(), "{create}");
    assert!(
        create["properties"]["externalId"]["maxLength"].is_number(),
        "{create}"
    );
    assert_eq!(
        at("/components/schemas/google.protobuf.Any/required"),
        &json!(["@type"])
    );
    // What an operation carries.
    let response = at(
        "/paths/~1organization-manager~1v1~1idp~1users/post/responses/200/content/application~1json/schema",
    );
    assert_eq!(
        response["properties"]["response"]["properties"]["@type"]["const"],
        "type.googleapis.com/yandex.cloud.organizationmanager.v1.idp.User"
    );
}
