//! Authorized keys of service accounts.

use rollcall_kit::timestamp::Span;
use rollcall_proto::admin;
use rollcall_proto::admin::key::Status as KeyStatus;
use tonic::{Code, Status};

use super::service_account::{create, create_key, sign_in, with_token};
use crate::harness::{Caller, Harness, expect, expect_field};

async fn get(caller: &Caller, key_id: &str) -> Result<admin::Key, Status> {
    let request = admin::GetKeyRequest {
        key_id: key_id.into(),
    };
    caller.call("ServiceAccountService/GetKey", &request).await
}

async fn disable(caller: &Caller, key_id: &str) -> Result<admin::Key, Status> {
    let request = admin::DisableKeyRequest {
        key_id: key_id.into(),
    };
    let method = "ServiceAccountService/DisableKey";
    let done: (admin::DisableKeyMetadata, admin::Key) = caller.change(method, &request).await?;
    assert_eq!(done.0.service_account_id, done.1.service_account_id);
    Ok(done.1)
}

async fn enable(caller: &Caller, key_id: &str) -> Result<admin::Key, Status> {
    let request = admin::EnableKeyRequest {
        key_id: key_id.into(),
    };
    let method = "ServiceAccountService/EnableKey";
    let done: (admin::EnableKeyMetadata, admin::Key) = caller.change(method, &request).await?;
    Ok(done.1)
}

async fn delete(caller: &Caller, key_id: &str) -> Result<(), Status> {
    let request = admin::DeleteKeyRequest {
        key_id: key_id.into(),
    };
    let method = "ServiceAccountService/DeleteKey";
    let _: (admin::DeleteKeyMetadata, ()) = caller.change(method, &request).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_signs_in_until_it_is_disabled_or_deleted() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let account = create(&hub, "robot").await;
    let made = create_key(&hub, &account.id).await;
    let key = made.key.clone().unwrap();
    assert!(made.private_key.contains("BEGIN PRIVATE KEY"));
    assert_eq!(key.service_account_id, account.id);
    assert_eq!((key.status(), key.last_used_at), (KeyStatus::Active, None));
    assert_eq!(get(owner, &key.id).await.unwrap(), key);

    let token = sign_in(&hub, &made).await.unwrap();
    assert!(get(owner, &key.id).await.unwrap().last_used_at.is_some());

    let disabled = disable(owner, &key.id).await.unwrap();
    assert_eq!(disabled.status(), KeyStatus::Disabled);
    assert_eq!(disable(owner, &key.id).await.unwrap(), disabled);
    let status = sign_in(&hub, &made).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    // The token that it gave lives on: the account is known, and has no right.
    let status = get(&with_token(&hub, &token), &key.id).await.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");

    let enabled = enable(owner, &key.id).await.unwrap();
    assert_eq!(enabled.status(), KeyStatus::Active);
    sign_in(&hub, &made).await.unwrap();

    delete(owner, &key.id).await.unwrap();
    let status = sign_in(&hub, &made).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    for status in [
        get(owner, &key.id).await.unwrap_err(),
        disable(owner, &key.id).await.unwrap_err(),
        enable(owner, &key.id).await.unwrap_err(),
        delete(owner, &key.id).await.unwrap_err(),
    ] {
        expect(&status, Code::NotFound, "NOT_FOUND");
    }
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let first = create_key(&hub, &account.id).await.key.unwrap();
    hub.advance(Span::seconds(1));
    let second = create_key(&hub, &account.id).await.key.unwrap();
    let method = "ServiceAccountService/ListKeys";
    let request = |page_size: i64, page_token: &str| admin::ListKeysRequest {
        service_account_id: account.id.clone(),
        page_size,
        page_token: page_token.into(),
    };
    let owner = &hub.administrator;
    let page: admin::ListKeysResponse = owner.call(method, &request(1, "")).await.unwrap();
    assert_eq!(page.keys, [first]);
    let next = page.next_page_token;
    let page: admin::ListKeysResponse = owner.call(method, &request(1, &next)).await.unwrap();
    assert_eq!(page.keys, [second]);
    assert_eq!(page.next_page_token, "");
    let status = owner.refused(method, &request(1001, "")).await;
    expect_field(&status, "page_size");
    let status = owner.refused(method, &request(1, "broken")).await;
    expect_field(&status, "page_token");
}

#[tokio::test]
async fn keys_have_rights_and_rules() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let key = create_key(&hub, &account.id).await.key.unwrap();
    let method = "ServiceAccountService/CreateKey";
    let request = |id: &str, description: &str| admin::CreateKeyRequest {
        service_account_id: id.into(),
        description: description.into(),
    };
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    assert_eq!(get(&viewer, &key.id).await.unwrap(), key);
    for status in [
        viewer.refused(method, &request(&account.id, "")).await,
        disable(&viewer, &key.id).await.unwrap_err(),
        enable(&viewer, &key.id).await.unwrap_err(),
        delete(&viewer, &key.id).await.unwrap_err(),
    ] {
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let stranger = hub.account(&[], hub.organization()).await;
    for id in [key.id.as_str(), "ajemissing"] {
        let status = get(&stranger, id).await.unwrap_err();
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let owner = &hub.administrator;
    let status = owner.refused(method, &request("ajemissing", "")).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    let status = owner.refused(method, &request("", "")).await;
    expect_field(&status, "service_account_id");
    let long = "x".repeat(257);
    let status = owner.refused(method, &request(&account.id, &long)).await;
    expect_field(&status, "description");
    for status in [
        get(owner, "").await.unwrap_err(),
        disable(owner, "").await.unwrap_err(),
        enable(owner, "").await.unwrap_err(),
        delete(owner, "").await.unwrap_err(),
    ] {
        expect_field(&status, "key_id");
    }
}
