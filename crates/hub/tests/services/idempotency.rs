//! The same key means the same call, for every method that makes an operation (decision U73).

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use rollcall_proto::METHODS;
use rollcall_proto::operation::Operation;

use crate::fixtures::{Fixtures, request, short};
use crate::harness::{Harness, expect_field};

/// The same request with another text in it. Where a handler looks at the thing before, which may
/// then not be there, another field than the first is changed.
fn changed(method: &str, message: &DynamicMessage) -> DynamicMessage {
    let mut changed = message.clone();
    if method == "UserService/SetPasswordHash" {
        let mut hash = changed.get_field_by_name("hash").unwrap();
        let Value::Message(inner) = hash.to_mut() else {
            panic!("a hash is expected");
        };
        let other = "8846f7eaee8fb117ad06bdd830b7586d".to_owned();
        inner.set_field_by_name("password_hash", Value::String(other));
        let hash = hash.into_owned();
        changed.set_field_by_name("hash", hash);
        return changed;
    }
    let name = match method {
        "UserService/Create" => "full_name".to_owned(),
        _ => {
            let fields = message.descriptor();
            let first = fields.fields().find(|field| {
                field.kind() == prost_reflect::Kind::String
                    && !field.is_list()
                    && message.has_field(field)
            });
            first.unwrap().name().to_owned()
        }
    };
    let value = changed.get_field_by_name(&name).unwrap().into_owned();
    let text = format!("{}x", value.as_str().unwrap());
    changed.set_field_by_name(&name, Value::String(text));
    changed
}

#[tokio::test]
async fn a_key_names_one_call_of_one_caller() {
    let hub = Harness::start().await;
    let fixtures = Fixtures::new(&hub).await;
    let mut checked = 0;
    for method in METHODS {
        let name = short(method);
        if method.operation.is_none() {
            continue;
        }
        // It is for users; the scenarios of passwords repeat it.
        if name == "UserService/SetOwnPassword" {
            continue;
        }
        let message = request(method, &fixtures.mutation(method).await);
        let caller = hub.administrator.with("idempotency-key", "the-key");
        let first: Operation = caller
            .call(name, &message)
            .await
            .unwrap_or_else(|status| panic!("{name}: {status:?}"));
        let again: Operation = caller.call(name, &message).await.unwrap();
        assert_eq!(again.id, first.id, "{name}");
        let status = caller.refused(name, &changed(name, &message)).await;
        expect_field(&status, "idempotency-key");
        // Another caller has the key for itself: it makes its own operation, or is refused
        // because of what the first call did, but never for the key.
        let other = hub.account(&["admin"], hub.organization()).await;
        let other = other.with("idempotency-key", "the-key");
        match other.call::<_, Operation>(name, &message).await {
            // A search for the proof of a domain that runs already is everybody's.
            Ok(own) if name == "UserpoolService/ValidateDomain" => assert!(!own.done),
            Ok(own) => assert_ne!(own.id, first.id, "{name}"),
            Err(status) => assert!(!status.message().contains("idempotency-key"), "{status:?}"),
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Official clients send the key on reads too (decision U129).
#[tokio::test]
async fn reads_ignore_the_key() {
    let hub = Harness::start().await;
    let fixtures = Fixtures::new(&hub).await;
    let caller = hub.administrator.with("idempotency-key", "the-key");
    for method in METHODS {
        let fields = request(method, &serde_json::json!({})).descriptor();
        let name = short(method);
        let has_pages = fields.get_field_by_name("page_token").is_some();
        if !has_pages {
            continue;
        }
        let list = fixtures.list(method).await;
        let elsewhere = list.elsewhere.unwrap_or_else(|| list.request.clone());
        for json in [list.request, elsewhere] {
            let answer: Result<(), _> = caller.call(name, &request(method, &json)).await;
            answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
    }
}
