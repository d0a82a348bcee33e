//! Service accounts, and tokens in their name.

use prost_types::FieldMask;
use rollcall_client::ServiceAccountKey;
use rollcall_domain::access::{AccessBinding, Role, Subject};
use rollcall_hub::service_account_key::{self, KeyPairPem};
use rollcall_kit::clock::Clock as _;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_proto::iam::create_iam_token_request::Identity;
use rollcall_proto::{admin, iam};
use rollcall_store::Tx;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

pub(super) async fn create(hub: &Harness, name: &str) -> admin::ServiceAccount {
    let request = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        description: "of a test".into(),
    };
    let method = "ServiceAccountService/Create";
    let made: (admin::CreateServiceAccountMetadata, admin::ServiceAccount) =
        hub.administrator.change(method, &request).await.unwrap();
    made.1
}

pub(super) async fn create_key(hub: &Harness, account: &str) -> admin::CreateKeyResponse {
    let request = admin::CreateKeyRequest {
        service_account_id: account.into(),
        description: "laptop".into(),
    };
    let method = "ServiceAccountService/CreateKey";
    hub.administrator.call(method, &request).await.unwrap()
}

pub(super) async fn sign_in(
    hub: &Harness,
    made: &admin::CreateKeyResponse,
) -> Result<String, Status> {
    let key = made.key.as_ref().unwrap();
    let pair = KeyPairPem {
        public_key: key.public_key.clone(),
        private_key: SecretString::new(made.private_key.clone()),
    };
    let now = hub.clock.now();
    let file = service_account_key::render_file(&key.id, &key.service_account_id, now, &pair);
    let key = ServiceAccountKey::parse(file.unwrap().expose()).unwrap();
    let jwt = key.sign(now).unwrap().expose().to_owned();
    let identity = Some(Identity::Jwt(jwt));
    let request = iam::CreateIamTokenRequest { identity };
    let answer: iam::CreateIamTokenResponse = hub
        .anonymous()
        .call("IamTokenService/Create", &request)
        .await?;
    Ok(answer.iam_token)
}

pub(super) fn with_token(hub: &Harness, token: &str) -> Caller {
    let bearer = format!("Bearer {token}");
    hub.anonymous().with("authorization", &bearer)
}

fn get(id: &str) -> admin::GetServiceAccountRequest {
    admin::GetServiceAccountRequest {
        service_account_id: id.into(),
    }
}

async fn bind(hub: &Harness, account: &str, role: Role) {
    let binding = AccessBinding {
        resource: hub.organization(),
        role,
        subject: Subject::service_account(account),
    };
    let store = &hub.running.hub.store;
    let inserted = store
        .write(async move |tx: &Tx| tx.insert_access_binding(&binding).await)
        .await;
    inserted.unwrap();
}

pub(super) async fn disable(caller: &Caller, id: &str) -> Result<admin::ServiceAccount, Status> {
    let request = admin::DisableServiceAccountRequest {
        service_account_id: id.into(),
    };
    let method = "ServiceAccountService/Disable";
    let done: (admin::DisableServiceAccountMetadata, admin::ServiceAccount) =
        caller.change(method, &request).await?;
    Ok(done.1)
}

#[tokio::test]
async fn an_account_lives_and_ends() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    assert_eq!(account.status(), admin::service_account::Status::Active);
    bind(&hub, &account.id, Role::Viewer).await;
    let made = create_key(&hub, &account.id).await;
    let token = sign_in(&hub, &made).await.unwrap();
    let robot = with_token(&hub, &token);
    let seen: admin::ServiceAccount = robot
        .call("ServiceAccountService/Get", &get(&account.id))
        .await
        .unwrap();
    assert_eq!(seen, account);
    let request = admin::GetKeyRequest {
        key_id: made.key.as_ref().unwrap().id.clone(),
    };
    let key: admin::Key = robot
        .call("ServiceAccountService/GetKey", &request)
        .await
        .unwrap();
    assert!(key.last_used_at.is_some());

    let disabled = disable(&hub.administrator, &account.id).await.unwrap();
    assert_eq!(disabled.status(), admin::service_account::Status::Disabled);
    let get_it = "ServiceAccountService/Get";
    let status = robot.refused(get_it, &get(&account.id)).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    let status = sign_in(&hub, &made).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    let request = admin::EnableServiceAccountRequest {
        service_account_id: account.id.clone(),
    };
    let enable = "ServiceAccountService/Enable";
    let _: (admin::EnableServiceAccountMetadata, admin::ServiceAccount) =
        hub.administrator.change(enable, &request).await.unwrap();
    let status = robot.refused(get_it, &get(&account.id)).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");

    let token = sign_in(&hub, &made).await.unwrap();
    let robot = with_token(&hub, &token);
    let revoke = iam::RevokeIamTokenRequest { iam_token: token };
    let revoked: iam::RevokeIamTokenResponse =
        robot.call("IamTokenService/Revoke", &revoke).await.unwrap();
    assert_eq!(revoked.subject_id, account.id);
    let status = robot.refused(get_it, &get(&account.id)).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    let again = hub.administrator.refused("IamTokenService/Revoke", &revoke);
    expect(&again.await, Code::NotFound, "NOT_FOUND");

    let request = admin::DeleteServiceAccountRequest {
        service_account_id: account.id.clone(),
    };
    let delete = "ServiceAccountService/Delete";
    let _: (admin::DeleteServiceAccountMetadata, ()) =
        hub.administrator.change(delete, &request).await.unwrap();
    let status = hub.administrator.refused(get_it, &get(&account.id)).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    let status = sign_in(&hub, &made).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn owners_are_out_of_reach_and_nobody_ends_itself() {
    let hub = Harness::start().await;
    let admin = hub.account(&["admin"], hub.organization()).await;
    let key = ServiceAccountKey::read(&hub.made.key).unwrap();
    let owner = key.service_account_id();
    let status = disable(&admin, owner).await.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let request = admin::CreateKeyRequest {
        service_account_id: owner.into(),
        description: String::new(),
    };
    let status = admin
        .refused("ServiceAccountService/CreateKey", &request)
        .await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let request = iam::CreateIamTokenForServiceAccountRequest {
        service_account_id: owner.into(),
    };
    let status = admin
        .refused("IamTokenService/CreateForServiceAccount", &request)
        .await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = disable(&hub.administrator, owner).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "OWN_ACCOUNT");
    let other = hub
        .account(&["organizations.owner"], hub.organization())
        .await;
    let status = disable(&other, owner).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "LAST_OWNER");
}

#[tokio::test]
async fn who_may_acts_as_an_account_and_ends_with_its_own_rights() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    bind(&hub, &account.id, Role::Admin).await;
    let request = iam::CreateIamTokenForServiceAccountRequest {
        service_account_id: account.id.clone(),
    };
    let method = "IamTokenService/CreateForServiceAccount";
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    let status = viewer.refused(method, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let token: iam::CreateIamTokenResponse =
        hub.administrator.call(method, &request).await.unwrap();
    let robot = with_token(&hub, &token.iam_token);
    let _: admin::ServiceAccount = robot
        .call("ServiceAccountService/Get", &get(&account.id))
        .await
        .unwrap();
    let status = robot.refused(method, &request).await;
    expect(&status, Code::FailedPrecondition, "IMPERSONATED_TOKEN");
    disable(&hub.administrator, &account.id).await.unwrap();
    let status = hub.administrator.refused(method, &request).await;
    expect(
        &status,
        Code::FailedPrecondition,
        "SERVICE_ACCOUNT_DISABLED",
    );
    let missing = iam::CreateIamTokenForServiceAccountRequest {
        service_account_id: "ajemissing".into(),
    };
    let status = hub.administrator.refused(method, &missing).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn the_private_key_is_in_the_answer_only() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let made = create_key(&hub, &account.id).await;
    assert!(!format!("{made:?}").contains("BEGIN PRIVATE KEY"));
    let body: Vec<&str> = made.private_key.lines().skip(1).collect();
    hub.advance(Span::seconds(1));
    for entry in std::fs::read_dir(hub.data().path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for line in body.iter().filter(|line| line.len() == 64) {
            let found = bytes.windows(64).any(|part| part == line.as_bytes());
            assert!(!found, "a private key lies in the data directory");
        }
    }
}

#[tokio::test]
async fn accounts_are_listed_in_pages_and_filtered() {
    let hub = Harness::start().await;
    let list = async |page_size: i64, page_token: &str, filter: &str| {
        let request = admin::ListServiceAccountsRequest {
            organization_id: hub.made.organization_id.clone(),
            page_size,
            page_token: page_token.into(),
            filter: filter.into(),
        };
        let method = "ServiceAccountService/List";
        let page: admin::ListServiceAccountsResponse =
            hub.administrator.call(method, &request).await.unwrap();
        let names: Vec<_> = page
            .service_accounts
            .into_iter()
            .map(|one| one.name)
            .collect();
        (names, page.next_page_token)
    };
    for name in ["first", "second"] {
        hub.advance(Span::seconds(1));
        create(&hub, name).await;
    }
    // The administrator that init made is one.
    let (names, next) = list(2, "", "").await;
    assert_eq!(names, ["administrator", "first"]);
    assert_eq!(
        list(2, &next, "").await,
        (vec!["second".to_owned()], String::new())
    );
    assert_eq!(list(0, "", "name = 'second'").await.0, ["second"]);
    assert_eq!(list(0, "", "status = 'DISABLED'").await.0, [""; 0]);
}

#[tokio::test]
async fn an_account_is_changed_by_mask_or_whole() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let update = async |paths: Option<&[&str]>, name: &str, description: &str| {
        let request = admin::UpdateServiceAccountRequest {
            service_account_id: account.id.clone(),
            update_mask: paths.map(|paths| FieldMask {
                paths: paths.iter().map(|&path| path.to_owned()).collect(),
            }),
            name: name.into(),
            description: description.into(),
        };
        let method = "ServiceAccountService/Update";
        let done: Result<(admin::UpdateServiceAccountMetadata, admin::ServiceAccount), Status> =
            hub.administrator.change(method, &request).await;
        done.map(|(_, account)| (account.name, account.description))
    };
    let changed = update(Some(&["description"]), "ignored", "new").await;
    assert_eq!(changed.unwrap(), ("robot".to_owned(), "new".to_owned()));
    let replaced = update(None, "machine", "").await.unwrap();
    assert_eq!(replaced, ("machine".to_owned(), String::new()));

    let status = update(Some(&["status"]), "", "").await.unwrap_err();
    expect_field(&status, "update_mask");
    let status = update(Some(&["name"]), "", "").await.unwrap_err();
    expect_field(&status, "name");
    let status = update(None, "Upper Case", "").await.unwrap_err();
    expect_field(&status, "name");
    let long = "x".repeat(257);
    let status = update(Some(&["description"]), "", &long).await;
    expect_field(&status.unwrap_err(), "description");
    create(&hub, "other").await;
    let status = update(Some(&["name"]), "other", "").await.unwrap_err();
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");

    let request = admin::ListServiceAccountOperationsRequest {
        service_account_id: account.id.clone(),
        ..Default::default()
    };
    let method = "ServiceAccountService/ListOperations";
    let page: admin::ListServiceAccountOperationsResponse =
        hub.administrator.call(method, &request).await.unwrap();
    let described: Vec<_> = page.operations.iter().map(|one| &one.description).collect();
    assert_eq!(described.len(), 3, "{described:?}");
}

/// The changes of the account `id` that need nothing else, each tried by `caller`.
async fn tries(caller: &Caller, id: &str) -> Vec<Status> {
    let service_account_id = id.to_owned();
    let update = admin::UpdateServiceAccountRequest {
        service_account_id: service_account_id.clone(),
        name: "other".into(),
        ..Default::default()
    };
    let enable = admin::EnableServiceAccountRequest {
        service_account_id: service_account_id.clone(),
    };
    let delete = admin::DeleteServiceAccountRequest { service_account_id };
    vec![
        caller
            .refused("ServiceAccountService/Update", &update)
            .await,
        disable(caller, id).await.unwrap_err(),
        caller
            .refused("ServiceAccountService/Enable", &enable)
            .await,
        caller
            .refused("ServiceAccountService/Delete", &delete)
            .await,
    ]
}

#[tokio::test]
async fn who_may_not_learns_nothing() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let stranger = hub.account(&[], hub.organization()).await;
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    for caller in [&stranger, &viewer] {
        for status in tries(caller, &account.id).await {
            expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        }
    }
    for id in [account.id.as_str(), "ajemissing"] {
        let status = stranger
            .refused("ServiceAccountService/Get", &get(id))
            .await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    for status in tries(&hub.administrator, "ajemissing").await {
        expect(&status, Code::NotFound, "NOT_FOUND");
    }
    for status in tries(&hub.administrator, "").await {
        expect_field(&status, "service_account_id");
    }
}

#[tokio::test]
async fn only_who_may_ends_a_token() {
    let hub = Harness::start().await;
    let account = create(&hub, "robot").await;
    let made = create_key(&hub, &account.id).await;
    let revoke = |token: &str| iam::RevokeIamTokenRequest {
        iam_token: token.into(),
    };
    let method = "IamTokenService/Revoke";
    let token = sign_in(&hub, &made).await.unwrap();
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    for (caller, token) in [
        (&viewer, token.as_str()),
        (&hub.administrator, "t1.no.token"),
    ] {
        let status = caller.refused(method, &revoke(token)).await;
        expect(&status, Code::NotFound, "NOT_FOUND");
    }
    let status = hub.administrator.refused(method, &revoke("")).await;
    expect_field(&status, "iam_token");
    let long = "x".repeat(4097);
    let status = hub.administrator.refused(method, &revoke(&long)).await;
    expect_field(&status, "iam_token");

    let revoked: iam::RevokeIamTokenResponse = hub
        .administrator
        .call(method, &revoke(&token))
        .await
        .unwrap();
    assert_eq!(revoked.subject_id, account.id);
    let robot = with_token(&hub, &token);
    let status = robot.refused(method, &revoke(&token)).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn names_and_filters_are_checked() {
    let hub = Harness::start().await;
    create(&hub, "robot").await;
    let request = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "robot".into(),
        ..Default::default()
    };
    let method = "ServiceAccountService/Create";
    let status = hub.administrator.refused(method, &request).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    for name in ["", "Robot", "-robot"] {
        let request = admin::CreateServiceAccountRequest {
            name: name.into(),
            ..request.clone()
        };
        expect_field(&hub.administrator.refused(method, &request).await, "name");
    }
    let request = admin::CreateServiceAccountRequest {
        name: "other".into(),
        description: "x".repeat(257),
        ..request
    };
    let status = hub.administrator.refused(method, &request).await;
    expect_field(&status, "description");
    let request = admin::ListServiceAccountsRequest {
        organization_id: hub.made.organization_id.clone(),
        filter: "phone = '1'".into(),
        ..Default::default()
    };
    let method = "ServiceAccountService/List";
    let status = hub.administrator.refused(method, &request).await;
    expect_field(&status, "filter");
}
