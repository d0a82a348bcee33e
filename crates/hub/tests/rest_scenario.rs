//! The main job over REST: a plain HTTP client against the real program over TLS.
//!
//! What a call does is in the scenarios of `services_rest.rs`; here is what only REST has:
//! spellings, headers, bodies, HTTP codes and the second verb of a rule.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/rest_client.rs"]
mod rest_client;
#[path = "support/running_hub.rs"]
mod running_hub;

use http::{Method, StatusCode};
use rest_client::{RestClient, Version, bad_fields, detail};
use rollcall_hub::rest::RuleTable;
use running_hub::RunningHub;
use serde_json::{Value as Json, json};

const V1: &str = "/organization-manager/v1";
const TYPE: &str = "type.googleapis.com/yandex.cloud.organizationmanager.v1";

fn text(json: &Json) -> String {
    json.as_str()
        .unwrap_or_else(|| panic!("{json} is no text"))
        .to_owned()
}

/// Creates a pool; returns its id and the domain of its logins.
async fn create_pool(client: &RestClient, hub: &RunningHub, name: &str) -> (String, String) {
    let body =
        json!({"organizationId": hub.organization_id, "name": name, "defaultSubdomain": name});
    let made = client
        .operation(Method::POST, &format!("{V1}/idp/userpools"), &body)
        .await;
    assert_eq!(
        made["metadata"]["@type"],
        format!("{TYPE}.idp.CreateUserpoolMetadata")
    );
    assert_eq!(made["response"]["@type"], format!("{TYPE}.idp.Userpool"));
    assert_eq!(made["metadata"]["userpoolId"], made["response"]["id"]);
    (
        text(&made["response"]["id"]),
        text(&made["response"]["domains"][0]),
    )
}

async fn create_settings(client: &RestClient, pool: &str) {
    let settings = format!("{V1}/idp/synchronization-settings");
    // Both spellings in one body.
    let body = json!({
        "subject_container_id": pool,
        "filter": {"domain": "corp.example", "organizationUnits": ["OU=People,DC=corp,DC=example"]},
        "synchronizationInterval": "1800s",
    });
    let made = client.operation(Method::POST, &settings, &body).await;
    assert_eq!(made["response"]["removeUserBehavior"], "REMOVE");
    assert_eq!(made["response"]["synchronizationInterval"], "1800s");
    for mask in ["removeUserBehavior", "remove_user_behavior"] {
        let body =
            json!({"updateMask": mask, "removeUserBehavior": "BLOCK", "allowToCaptureUsers": true});
        let changed = client
            .operation(Method::PATCH, &format!("{settings}/{pool}"), &body)
            .await;
        assert_eq!(changed["response"]["removeUserBehavior"], "BLOCK");
        assert_eq!(changed["response"].get("allowToCaptureUsers"), None);
    }
    let stored = client.get(&format!("{settings}/{pool}")).await;
    assert_eq!(
        stored["filter"]["organizationUnits"],
        json!(["OU=People,DC=corp,DC=example"])
    );
    let attributes =
        format!("{V1}/idp/synchronization-supported-attributes?flavor=ACTIVE_DIRECTORY");
    let by_name = client.get(&attributes).await;
    assert_eq!(
        by_name,
        client
            .get(&attributes.replace("ACTIVE_DIRECTORY", "1"))
            .await
    );
    assert_eq!(
        by_name["groupSupportedAttributes"].as_array().map(Vec::len),
        Some(2)
    );
}

async fn open_session(client: &RestClient, pool: &str) -> String {
    let body = json!({"subjectContainerId": pool, "agentId": "agent-1", "sessionType": "AD_SYNC"});
    let opened = client
        .operation(
            Method::POST,
            &format!("{V1}/idp/synchronization-sessions:open"),
            &body,
        )
        .await;
    let response = &opened["response"];
    assert_eq!(response["@type"], format!("{TYPE}.idp.OpenSessionResponse"));
    assert_eq!(response["result"], "SUCCESS");
    assert_eq!(response["openedSession"]["status"], "OPENED");
    assert_eq!(response["openedSession"]["syncMode"], "FULL_SYNC");
    assert_eq!(
        response["synchronizationSettings"]["removeUserBehavior"],
        "BLOCK"
    );
    assert_eq!(
        opened["metadata"]["sessionId"],
        response["openedSession"]["sessionId"]
    );
    text(&response["openedSession"]["sessionId"])
}

async fn work_in_session(client: &RestClient, pool: &str, session: &str) {
    let sessions = format!("{V1}/idp/synchronization-sessions");
    let body = json!({"progressEntries": [{"objectType": "USER", "changeInfo": [
        {"changeType": "CREATE", "successful": "9007199254740993", "failed": 1}]}]});
    let reported = client
        .operation(
            Method::POST,
            &format!("{sessions}/{session}:reportProgress"),
            &body,
        )
        .await;
    let counted = &reported["response"]["progressEntries"][0]["changeInfo"][0];
    assert_eq!(
        counted["successful"], "9007199254740993",
        "64 bits travel as text"
    );
    client
        .operation(
            Method::POST,
            &format!("{sessions}/{session}:heartbeat"),
            &json!({}),
        )
        .await;
    // A call without a body is fine where nothing but the path is needed.
    client
        .operation(
            Method::POST,
            &format!("{sessions}/{session}:heartbeat"),
            &Json::Null,
        )
        .await;
    let body =
        json!({"subjectContainerId": pool, "replicationToken": "v1:cookie", "sessionType": 1});
    let set = format!("{V1}/idp/synchronization-settings:setReplicationToken");
    client.operation(Method::POST, &set, &body).await;
    let get = format!("{V1}/idp/replication-token?subjectContainerId={pool}&session_type=AD_SYNC");
    assert_eq!(
        client.get(&get).await,
        json!({"replicationToken": "v1:cookie"})
    );
}

async fn sync_users(client: &RestClient, pool: &str, domain: &str, session: &str) -> Vec<String> {
    let users = format!("{V1}/idp/users");
    let mut ids = Vec::new();
    for number in 0..3 {
        let body = json!({
            "userpoolId": pool,
            "username": format!("user{number}@{domain}"),
            "fullName": format!("Пользователь {number}"),
            "externalId": format!("external-{number}"),
            "isActive": number != 2,
            "passwordHash": {
                "passwordHash": "31d6cfe0d16ae931b73c59d7e0c089c0",
                "passwordHashType": "AD_MD4",
            },
        });
        let headers = [("x-sync-session-id", session)];
        let answer = client
            .send_with(Method::POST, &users, &headers, &body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        ids.push(text(&answer.json["metadata"]["userId"]));
    }
    let page = client
        .get(&format!("{users}?userpoolId={pool}&pageSize=2"))
        .await;
    assert_eq!(page["users"].as_array().map(Vec::len), Some(2));
    let next = text(&page["nextPageToken"]);
    let page = client
        .get(&format!(
            "{users}?userpool_id={pool}&page_size=2&page_token={next}"
        ))
        .await;
    assert_eq!(page["users"][0]["id"], *ids[2]);
    assert_eq!(page["users"][0]["status"], "SUSPENDED");
    assert_eq!(
        page.get("nextPageToken"),
        None,
        "fields at their default are left out"
    );
    let body =
        json!({"updateMask": "department,jobTitle", "department": "R&D", "fullName": "not named"});
    let changed = client
        .operation(Method::PATCH, &format!("{users}/{}", ids[1]), &body)
        .await;
    assert_eq!(changed["response"]["department"], "R&D");
    assert_eq!(changed["response"]["fullName"], "Пользователь 1");
    let deleted = client
        .operation(Method::DELETE, &format!("{users}/{}", ids[2]), &Json::Null)
        .await;
    assert_eq!(
        deleted["response"],
        json!({"@type": "type.googleapis.com/google.protobuf.Empty", "value": {}})
    );
    ids
}

async fn sync_groups(client: &RestClient, hub: &RunningHub, pool: &str, members: &[String]) {
    let external_id = "CN=All/Us:1,DC=corp";
    let body = json!({
        "organizationId": hub.organization_id,
        "subjectContainerId": pool,
        "name": format!("Everybody-in-{pool}"),
        "externalId": external_id,
    });
    let made = client
        .operation(Method::POST, &format!("{V1}/external_groups"), &body)
        .await;
    let group = text(&made["response"]["id"]);
    let resolved = client
        .get(&format!(
            "{V1}/external_groups/{pool}/CN%3DAll%2FUs%3A1%2CDC%3Dcorp"
        ))
        .await;
    assert_eq!(
        (&resolved["id"], &resolved["externalId"]),
        (&json!(group), &json!(external_id))
    );
    let deltas: Vec<Json> = members
        .iter()
        .map(|id| json!({"action": "ADD", "subjectId": id}))
        .collect();
    client
        .operation(
            Method::POST,
            &format!("{V1}/groups/{group}:updateMembers"),
            &json!({"memberDeltas": deltas}),
        )
        .await;
    let listed = client
        .get(&format!("{V1}/groups/{group}:listMembers"))
        .await;
    assert_eq!(
        listed["members"].as_array().map(Vec::len),
        Some(members.len())
    );
}

async fn close_session(client: &RestClient, pool: &str, session: &str) {
    let sessions = format!("{V1}/idp/synchronization-sessions");
    let closed = client
        .operation(
            Method::POST,
            &format!("{sessions}/{session}:close"),
            &json!({"failed": false}),
        )
        .await;
    let id = text(&closed["id"]);
    assert_eq!(client.get(&format!("/operations/{id}")).await, closed);
    let status = text(&closed["response"]["status"]);
    assert!(status == "COMPLETED" || status == "PENDING", "{closed}");
    let stored = client.get(&format!("{sessions}/{session}")).await;
    assert_eq!(stored["session"]["agentId"], "agent-1");
    let listed = client
        .get(&format!("{sessions}?subjectContainerId={pool}"))
        .await;
    assert_eq!(listed["sessions"][0]["sessionId"], session);
    // A finished operation cannot be cancelled; both documented methods reach the rpc.
    for method in [Method::GET, Method::POST] {
        let cancel = format!("/operations/{id}:cancel");
        client.refused(400, 9, method, &cancel, &Json::Null).await;
    }
}

#[tokio::test]
async fn a_synchronization_runs_over_rest() {
    let hub = RunningHub::start();
    for (version, name) in [(Version::Http1, "one"), (Version::Http2, "two")] {
        let client = RestClient::administrator(&hub, version).await;
        let (pool, domain) = create_pool(&client, &hub, name).await;
        create_settings(&client, &pool).await;
        let session = open_session(&client, &pool).await;
        work_in_session(&client, &pool, &session).await;
        let users = sync_users(&client, &pool, &domain, &session).await;
        sync_groups(&client, &hub, &pool, &users[..2]).await;
        close_session(&client, &pool, &session).await;
    }
}

#[tokio::test]
async fn errors_over_rest_say_what_is_wrong() {
    let hub = RunningHub::start();
    let client = RestClient::administrator(&hub, Version::Http2).await;
    let (pool, _) = create_pool(&client, &hub, "people").await;
    let (get, post) = (Method::GET, Method::POST);
    let sessions = format!("{V1}/idp/synchronization-sessions");
    let none = &Json::Null;

    // Who calls.
    let anonymous = RestClient::anonymous(&hub, Version::Http2);
    let pools = format!("{V1}/idp/userpools?organizationId={}", hub.organization_id);
    for client in [&anonymous, &anonymous.with_token("t1.wrong")] {
        client.refused(401, 16, get.clone(), &pools, none).await;
        let answer = client.send(get.clone(), &pools, none).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }

    // What is asked.
    let open = format!("{sessions}:open");
    let error = client
        .refused(400, 3, post.clone(), &open, &json!({"agentId": "a"}))
        .await;
    assert_eq!(bad_fields(&error), ["subject_container_id", "session_type"]);
    let body = json!({"subjectContainerId": pool, "agentId": "a", "sessionType": "NO_SUCH"});
    let error = client.refused(400, 3, post.clone(), &open, &body).await;
    assert_eq!(bad_fields(&error), ["session_type"]);
    let error = client
        .refused(
            400,
            3,
            get.clone(),
            &format!("{sessions}?subjectContainerId={pool}&pageSize=x"),
            none,
        )
        .await;
    assert_eq!(bad_fields(&error), ["page_size"]);

    // What is no call at all.
    client.refused(404, 5, get.clone(), "/nothing", none).await;
    client.refused(405, 12, Method::DELETE, &open, none).await;
    let grpc = "/yandex.cloud.operation.OperationService/Get";
    client.refused(404, 5, post.clone(), grpc, &json!({})).await;
    let commit = json!({
        "externalUserId": "guid",
        "password": "Correct-Horse-7-battery",
        "modifyingOperationId": "ops1",
        "userpoolId": pool,
    });
    let path = format!("{V1}/idp/users:commitPassword");
    client.refused(404, 5, post, &path, &commit).await;
}

/// The error of an operation that was cancelled, over the wire.
fn assert_cancelled(ended: &Json) {
    assert_eq!(ended["done"], true, "{ended}");
    assert_eq!(ended["error"]["code"], 1, "{ended}");
    assert_eq!(
        detail(&ended["error"], "ErrorInfo")["reason"],
        "OPERATION_CANCELLED"
    );
}

#[tokio::test]
async fn a_running_search_is_cancelled_with_either_verb() {
    let hub = RunningHub::start();
    let client = RestClient::administrator(&hub, Version::Http2).await;
    let (pool, _) = create_pool(&client, &hub, "people").await;
    let domains = format!("{V1}/idp/userpools/{pool}/domains");
    let body = json!({"domain": "corp.example"});
    client.operation(Method::POST, &domains, &body).await;
    for method in [Method::GET, Method::POST] {
        let validate = format!("{domains}/corp.example:validate");
        let running = client.expect_ok(Method::POST, &validate, &json!({})).await;
        assert_eq!(running.get("done"), None, "{running}");
        let operation = format!("/operations/{}", text(&running["id"]));
        let cancel = format!("{operation}:cancel");
        let ended = client.expect_ok(method, &cancel, &Json::Null).await;
        assert_eq!(ended["id"], running["id"]);
        assert_cancelled(&ended);
        assert_eq!(client.get(&operation).await, ended);
    }
}

/// The path of a rule with something in place of each variable.
fn example_path(template: &str) -> String {
    template
        .split('/')
        .map(
            |segment| match segment.split_once('{').zip(segment.split_once('}')) {
                Some(((before, _), (_, after))) => format!("{before}x{after}"),
                None => segment.to_owned(),
            },
        )
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_rule_refuses_anonymous_callers() {
    const OPEN: [&str; 6] = [
        "rollcall.signin.v1.SignInService.SignIn",
        "rollcall.signin.v1.SignInService.ChangePassword",
        "rollcall.signin.v1.SignInService.Refresh",
        "yandex.cloud.iam.v1.IamTokenService.Create",
        "yandex.cloud.endpoint.ApiEndpointService.Get",
        "yandex.cloud.endpoint.ApiEndpointService.List",
    ];
    let hub = RunningHub::start();
    let anonymous = RestClient::anonymous(&hub, Version::Http2);
    let table = RuleTable::read(rollcall_proto::descriptor_pool()).unwrap();
    let mut refused = 0;
    for rule in table.rules() {
        if OPEN.contains(&rule.rpc.full_name()) {
            continue;
        }
        let path = example_path(&rule.template_text);
        // Not even whether the body is right is said to a stranger.
        let body = json!({"updateMask": 7});
        anonymous
            .refused(401, 16, rule.method.clone(), &path, &body)
            .await;
        refused += 1;
    }
    assert!(refused > 70, "only {refused} rules were tried");
}
