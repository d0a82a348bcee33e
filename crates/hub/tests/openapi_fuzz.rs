//! schemathesis, a program that knows nothing of the hub but its OpenAPI document, against the real
//! program over TLS: no answer may be a fault of the hub or differ from the document.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)] // Made for several tests; this one needs a part.
#[path = "support/rest_client.rs"]
mod rest_client;
#[path = "support/running_hub.rs"]
mod running_hub;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use http::{Method, StatusCode};
use rest_client::{RestClient, Version, signed_jwt};
use running_hub::RunningHub;
use serde_json::{Value as Json, json};

/// Names a Python that has schemathesis; `cargo xtask test` makes one.
const PYTHON_VARIABLE: &str = "ROLLCALL_PYTHON";
/// Set to another number to look elsewhere.
const SEED_VARIABLE: &str = "FUZZ_SEED";
const SEED: &str = "20260131";
/// Random calls for each operation, besides those at the borders of its schema.
const EXAMPLES_VARIABLE: &str = "FUZZ_EXAMPLES";
const EXAMPLES: &str = "12";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance,ignored_auth,has_documented_status,names_its_request";
const POOLS: usize = 6;
const USERS_PER_POOL: usize = 6;
const V1: &str = "/organization-manager/v1";

/// Ids of what exists, by the JSON names of the fields that take them.
type Known = BTreeMap<&'static str, Vec<String>>;

#[tokio::test]
async fn no_answer_is_a_fault_or_undocumented() {
    let python = std::env::var_os(PYTHON_VARIABLE)
        .unwrap_or_else(|| panic!("{PYTHON_VARIABLE} is not set: use `cargo xtask test`"));
    let setting =
        |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let (seed, examples) = (
        setting(SEED_VARIABLE, SEED),
        setting(EXAMPLES_VARIABLE, EXAMPLES),
    );
    println!("{SEED_VARIABLE}={seed} {EXAMPLES_VARIABLE}={examples}");
    let hub = RunningHub::start();
    let client = RestClient::administrator(&hub, Version::Http1).await;
    let known = make_things(&client, &hub).await;
    let token = get_token(&hub).await;
    let folder = tempfile::tempdir().unwrap();
    let (known_file, seen_file) = (folder.path().join("known"), folder.path().join("seen"));
    std::fs::write(&known_file, json!(known).to_string()).unwrap();
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi_fuzz");

    let output = Command::new(python)
        .args([
            "-B",
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
        ])
        .args(["run", &format!("https://{}/openapi.json", hub.address)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args([
            "--seed",
            &seed,
            "--max-examples",
            &examples,
            "--checks",
            CHECKS,
        ])
        .args(["--phases", "coverage,fuzzing", "--continue-on-failure"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .arg("--tls-verify")
        .arg(&hub.ca)
        .current_dir(folder.path())
        .env("PYTHONPATH", hooks)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("FUZZ_KNOWN", &known_file)
        .env("FUZZ_SEEN", &seen_file)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}");
    assert!(output.status.success(), "{stderr}");
    check_depth(&std::fs::read_to_string(&seen_file).unwrap());
}

/// A run that is refused everywhere finds nothing and proves nothing.
fn check_depth(seen: &str) {
    let seen: BTreeMap<String, BTreeMap<String, u64>> = serde_json::from_str(seen).unwrap();
    let (calls, succeeded): (u64, Vec<&String>) = (
        seen.values().flat_map(BTreeMap::values).sum(),
        seen.iter()
            .filter(|(_, statuses)| statuses.contains_key("200"))
            .map(|(operation, _)| operation)
            .collect(),
    );
    println!("{calls} calls; these succeeded at least once: {succeeded:?}");
    for (operation, statuses) in &seen {
        println!("{operation}: {statuses:?}");
    }
    assert!(calls > 1_000, "{calls} calls");
    assert!(succeeded.len() * 2 > seen.len(), "{succeeded:?}");
}

async fn get_token(hub: &RunningHub) -> String {
    let body = json!({"jwt": signed_jwt(&hub.key)});
    let anonymous = RestClient::anonymous(hub, Version::Http1);
    let answer = anonymous.send(Method::POST, "/iam/v1/tokens", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    answer.json["iamToken"].as_str().unwrap().to_owned()
}

/// Makes a few of everything, so that there is something to read, change and delete.
async fn make_things(client: &RestClient, hub: &RunningHub) -> Known {
    let mut known = Known::new();
    let mut remember = |name: &'static str, id: &Json| {
        let id = id.as_str().unwrap_or_else(|| panic!("{name}: {id}"));
        known.entry(name).or_default().push(id.to_owned());
    };
    remember("organizationId", &json!(hub.organization_id));
    for pool in 0..POOLS {
        let name = format!("pool{pool}");
        let body =
            json!({"organizationId": hub.organization_id, "name": name, "defaultSubdomain": name});
        let made = client
            .operation(Method::POST, &format!("{V1}/idp/userpools"), &body)
            .await;
        let (id, domain) = (&made["response"]["id"], &made["response"]["domains"][0]);
        remember("userpoolId", id);
        remember("subjectContainerId", id);
        remember("domain", domain);
        remember("operationId", &made["id"]);
        for user in 0..USERS_PER_POOL {
            let body = json!({
                "userpoolId": id,
                "username": format!("user{user}@{}", domain.as_str().unwrap()),
                "fullName": "The User",
                "passwordHash": {
                    "passwordHash": "8846f7eaee8fb117ad06bdd830b7586c",
                    "passwordHashType": "AD_MD4",
                },
            });
            let made = client
                .operation(Method::POST, &format!("{V1}/idp/users"), &body)
                .await;
            remember("userId", &made["response"]["id"]);
            remember("subjectId", &made["response"]["id"]);
        }
        let settings = json!({"subjectContainerId": id, "filter": {"domain": "corp.example"}});
        let address = format!("{V1}/idp/synchronization-settings");
        client.operation(Method::POST, &address, &settings).await;
        let session =
            json!({"subjectContainerId": id, "agentId": "agent", "sessionType": "AD_SYNC"});
        let address = format!("{V1}/idp/synchronization-sessions:open");
        let opened = client.operation(Method::POST, &address, &session).await;
        remember(
            "sessionId",
            &opened["response"]["openedSession"]["sessionId"],
        );
        let group = json!({"organizationId": hub.organization_id, "name": format!("group{pool}")});
        let made = client
            .operation(Method::POST, &format!("{V1}/groups"), &group)
            .await;
        remember("groupId", &made["response"]["id"]);
        let account =
            json!({"organizationId": hub.organization_id, "name": format!("account{pool}")});
        let made = client
            .operation(
                Method::POST,
                "/rollcall/admin/v1/service-accounts",
                &account,
            )
            .await;
        let account_id = &made["response"]["id"];
        remember("serviceAccountId", account_id);
        let key = json!({"serviceAccountId": account_id});
        let made = client
            .send(Method::POST, "/rollcall/admin/v1/keys", &key)
            .await;
        remember("keyId", &made.json["key"]["id"]);
    }
    known
}
