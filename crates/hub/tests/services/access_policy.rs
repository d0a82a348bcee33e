//! Access policies of an organization, and what they forbid.

use rollcall_proto::access::{
    AccessPolicyBinding, BindAccessPolicyMetadata, BindAccessPolicyRequest,
    BindAccessPolicyResponse, ListAccessPolicyBindingsRequest, ListAccessPolicyBindingsResponse,
    UnbindAccessPolicyMetadata, UnbindAccessPolicyRequest, UnbindAccessPolicyResponse,
    UpdateAccessPolicyBindingParametersMetadata, UpdateAccessPolicyBindingParametersRequest,
    UpdateAccessPolicyBindingParametersResponse,
};
use rollcall_proto::{admin, iam, idp};
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const BIND: &str = "OrganizationService/BindAccessPolicy";
const UPDATE: &str = "OrganizationService/UpdateAccessPolicyBindingParameters";
const DENY_LISTING: &str = "organization.denyUserListing";

fn policy(template: &str, parameters: &[(&str, &str)]) -> Option<AccessPolicyBinding> {
    Some(AccessPolicyBinding {
        access_policy_template_id: template.into(),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    })
}

async fn bind(
    hub: &Harness,
    caller: &Caller,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<(), Status> {
    let request = BindAccessPolicyRequest {
        resource_id: hub.made.organization_id.clone(),
        access_policy_binding: policy(template, parameters),
    };
    let (metadata, _): (BindAccessPolicyMetadata, BindAccessPolicyResponse) =
        caller.change(BIND, &request).await?;
    assert_eq!(
        metadata.access_policy_binding,
        request.access_policy_binding
    );
    Ok(())
}

async fn unbind(hub: &Harness, template: &str) -> Result<(), Status> {
    let request = UnbindAccessPolicyRequest {
        resource_id: hub.made.organization_id.clone(),
        access_policy_template_id: template.into(),
    };
    let (metadata, _): (UnbindAccessPolicyMetadata, UnbindAccessPolicyResponse) = hub
        .administrator
        .change("OrganizationService/UnbindAccessPolicy", &request)
        .await?;
    assert_eq!(metadata.access_policy_template_id, template);
    Ok(())
}

async fn update(hub: &Harness, template: &str, parameters: &[(&str, &str)]) -> Result<(), Status> {
    let request = UpdateAccessPolicyBindingParametersRequest {
        resource_id: hub.made.organization_id.clone(),
        access_policy_binding: policy(template, parameters),
    };
    let (metadata, _): (
        UpdateAccessPolicyBindingParametersMetadata,
        UpdateAccessPolicyBindingParametersResponse,
    ) = hub.administrator.change(UPDATE, &request).await?;
    assert_eq!(
        metadata.access_policy_binding,
        request.access_policy_binding
    );
    Ok(())
}

async fn list(hub: &Harness, page_size: i64, page_token: &str) -> ListAccessPolicyBindingsResponse {
    let request = ListAccessPolicyBindingsRequest {
        resource_id: hub.made.organization_id.clone(),
        page_size,
        page_token: page_token.into(),
    };
    hub.administrator
        .call("OrganizationService/ListAccessPolicyBindings", &request)
        .await
        .unwrap()
}

async fn list_users(hub: &Harness, caller: &Caller) -> Result<idp::ListUsersResponse, Status> {
    let request = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    caller.call("UserService/List", &request).await
}

#[tokio::test]
async fn policies_are_bound_changed_listed_and_unbound() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    for template in ["iam.denyServiceAccountCreation", DENY_LISTING] {
        hub.advance(rollcall_kit::timestamp::Span::seconds(1));
        bind(&hub, owner, template, &[]).await.unwrap();
    }
    let again = bind(&hub, owner, DENY_LISTING, &[]).await.unwrap_err();
    expect(&again, Code::AlreadyExists, "ALREADY_EXISTS");
    update(&hub, DENY_LISTING, &[("message", "ask ann")])
        .await
        .unwrap();
    let first = list(&hub, 1, "").await;
    let second = list(&hub, 1, &first.next_page_token).await;
    assert_eq!(
        [first.access_policy_bindings, second.access_policy_bindings].concat(),
        [
            policy("iam.denyServiceAccountCreation", &[]).unwrap(),
            policy(DENY_LISTING, &[("message", "ask ann")]).unwrap()
        ]
    );
    assert_eq!(second.next_page_token, "");
    unbind(&hub, DENY_LISTING).await.unwrap();
    for status in [
        unbind(&hub, DENY_LISTING).await.unwrap_err(),
        update(&hub, DENY_LISTING, &[]).await.unwrap_err(),
    ] {
        expect(&status, Code::NotFound, "NOT_FOUND");
    }
    assert_eq!(list(&hub, 0, "").await.access_policy_bindings.len(), 1);
}

#[tokio::test]
async fn templates_and_parameters_are_known() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let id = "access_policy_binding.access_policy_template_id";
    let status = bind(&hub, owner, "deny.everything", &[]).await.unwrap_err();
    expect_field(&status, id);
    assert!(status.message().contains(DENY_LISTING), "{status:?}");
    let status = unbind(&hub, "deny.everything").await.unwrap_err();
    expect_field(&status, "access_policy_template_id");
    let parameter = [("color", "red")];
    let field = r#"access_policy_binding.parameters["color"]"#;
    let status = bind(&hub, owner, DENY_LISTING, &parameter).await;
    expect_field(&status.unwrap_err(), field);
    bind(&hub, owner, DENY_LISTING, &[]).await.unwrap();
    let status = update(&hub, DENY_LISTING, &parameter).await.unwrap_err();
    expect_field(&status, field);
    let editor = hub.account(&["editor"], hub.organization()).await;
    let status = bind(&hub, &editor, "iam.denyServiceAccountCreation", &[]).await;
    expect(
        &status.unwrap_err(),
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );
}

#[tokio::test]
async fn users_are_listed_by_owners_only_while_the_policy_says_so() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    hub.create_user("ann").await;
    let admin = hub.account(&["admin"], hub.organization()).await;
    assert_eq!(list_users(&hub, &admin).await.unwrap().users.len(), 1);
    bind(&hub, owner, DENY_LISTING, &[("message", "ask ann")])
        .await
        .unwrap();
    let status = list_users(&hub, &admin).await.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    assert!(status.message().contains(DENY_LISTING), "{status:?}");
    assert!(status.message().ends_with("ask ann"), "{status:?}");
    assert_eq!(list_users(&hub, owner).await.unwrap().users.len(), 1);
    unbind(&hub, DENY_LISTING).await.unwrap();
    assert_eq!(list_users(&hub, &admin).await.unwrap().users.len(), 1);
}

#[tokio::test]
async fn service_accounts_are_made_and_used_as_the_policies_allow() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let new = |name: &str| admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        ..Default::default()
    };
    let create = "ServiceAccountService/Create";
    let (_, account): (admin::CreateServiceAccountMetadata, admin::ServiceAccount) =
        owner.change(create, &new("first")).await.unwrap();
    for template in [
        "iam.denyServiceAccountCreation",
        "iam.denyServiceAccountAuthorizedKeysCreation",
        "iam.denyServiceAccountImpersonation",
    ] {
        bind(&hub, owner, template, &[]).await.unwrap();
    }
    let key = admin::CreateKeyRequest {
        service_account_id: account.id.clone(),
        ..Default::default()
    };
    let token = iam::CreateIamTokenForServiceAccountRequest {
        service_account_id: account.id.clone(),
    };
    let key_method = "ServiceAccountService/CreateKey";
    let token_method = "IamTokenService/CreateForServiceAccount";
    for (status, template) in [
        (
            owner.refused(create, &new("second")).await,
            "iam.denyServiceAccountCreation",
        ),
        (
            owner.refused(key_method, &key).await,
            "iam.denyServiceAccountAuthorizedKeysCreation",
        ),
        (
            owner.refused(token_method, &token).await,
            "iam.denyServiceAccountImpersonation",
        ),
    ] {
        expect(&status, Code::FailedPrecondition, "ACCESS_POLICY");
        assert!(status.message().contains(template), "{status:?}");
        unbind(&hub, template).await.unwrap();
    }
    let _: (admin::CreateServiceAccountMetadata, admin::ServiceAccount) =
        owner.change(create, &new("second")).await.unwrap();
    let made: admin::CreateKeyResponse = owner.call(key_method, &key).await.unwrap();
    assert!(!made.private_key.is_empty());
    let made: iam::CreateIamTokenResponse = owner.call(token_method, &token).await.unwrap();
    assert!(!made.iam_token.is_empty());
}
