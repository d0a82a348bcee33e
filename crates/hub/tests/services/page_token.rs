//! A page token belongs to one list: every method with pages refuses any other (decision U70).

use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use rollcall_proto::{METHODS, Method};

use crate::fixtures::{Fixtures, request, short};
use crate::harness::{Caller, Harness, expect_field};

/// What all answers with pages have in common.
#[derive(Clone, PartialEq, Message)]
struct AnyPage {
    #[prost(string, tag = "2")]
    next_page_token: String,
}

/// A list of two entries or more, and the token of its second page.
struct List {
    method: &'static Method,
    request: DynamicMessage,
    elsewhere: Option<DynamicMessage>,
    token: String,
}

fn with(request: &DynamicMessage, field: &str, value: &str) -> DynamicMessage {
    let mut request = request.clone();
    request.set_field_by_name(field, Value::String(value.to_owned()));
    request
}

async fn refused(caller: &Caller, list: &List, request: &DynamicMessage) {
    let name = short(list.method);
    println!("{name}: {request}");
    expect_field(&caller.refused(name, request).await, "page_token");
}

async fn prepare(hub: &Harness) -> Vec<List> {
    let fixtures = Fixtures::new(hub).await;
    let mut lists = Vec::new();
    for method in METHODS {
        let empty = request(method, &serde_json::json!({}));
        let fields = empty.descriptor();
        let has_pages = fields.get_field_by_name("page_token").is_some();
        if !has_pages {
            continue;
        }
        let fixture = fixtures.list(method).await;
        let page = |json| {
            let mut request = request(method, &json);
            request.set_field_by_name("page_size", Value::I64(1));
            request
        };
        let request = page(fixture.request);
        let first: AnyPage = hub
            .administrator
            .call(short(method), &request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status:?}", method.path));
        assert_ne!(first.next_page_token, "", "{} has two pages", method.path);
        lists.push(List {
            method,
            request,
            elsewhere: fixture.elsewhere.map(page),
            token: first.next_page_token,
        });
    }
    lists
}

#[tokio::test]
async fn a_token_is_taken_by_its_own_list_only() {
    let hub = Harness::start().await;
    let caller = &hub.administrator;
    let lists = prepare(&hub).await;
    assert!(lists.len() > 10, "{}", lists.len());
    for (index, list) in lists.iter().enumerate() {
        let name = short(list.method);
        let next = with(&list.request, "page_token", &list.token);
        let answer: Result<AnyPage, _> = caller.call(name, &next).await;
        answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));

        let last = list.token.chars().last().unwrap();
        let tampered =
            list.token.trim_end_matches(last).to_owned() + if last == 'A' { "B" } else { "A" };
        let foreign = &lists[(index + 1) % lists.len()].token;
        for wrong in [tampered.as_str(), foreign, "x", &"A".repeat(2_001)] {
            refused(caller, list, &with(&list.request, "page_token", wrong)).await;
        }
        if let Some(elsewhere) = &list.elsewhere {
            refused(caller, list, &with(elsewhere, "page_token", &list.token)).await;
        }
        let fields = list.request.descriptor();
        if fields.get_field_by_name("filter").is_some() {
            let filter = match name {
                "AuditService/List" => "event_type != 'x'",
                "SynchronizationSessionService/ListSessions" => "agent_id != 'x'",
                "UserService/List" => "username != 'x'",
                "UserpoolService/ListDomains" => "domain != 'x'",
                _ => "name != 'x'",
            };
            // The filter itself is accepted.
            let filtered = with(&list.request, "filter", filter);
            let answer: Result<AnyPage, _> = caller.call(name, &filtered).await;
            answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));
            refused(caller, list, &with(&filtered, "page_token", &list.token)).await;
        }
    }
}
