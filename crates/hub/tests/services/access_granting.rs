//! Who may give which roles, and that an organization keeps an owner.

use rollcall_domain::access::{ResourceRef, Subject};
use rollcall_kit::timestamp::Span;
use rollcall_proto::access::{SetAccessBindingsMetadata, UpdateAccessBindingsRequest};
use rollcall_proto::admin;
use rollcall_proto::operation::Operation;
use tonic::Code;

use super::access::{
    ADD, REMOVE, binding, delta, deltas, group_of, list, update, update_organization, user, wanted,
};
use crate::harness::{Harness, expect, expect_field};

/// A service account of the organization.
async fn create_account(hub: &Harness, name: &str) -> String {
    hub.advance(Span::seconds(1));
    let request = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        ..Default::default()
    };
    let (metadata, _): (admin::CreateServiceAccountMetadata, admin::ServiceAccount) = hub
        .administrator
        .change("ServiceAccountService/Create", &request)
        .await
        .unwrap();
    metadata.service_account_id
}

#[tokio::test]
async fn owners_are_the_matter_of_owners() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let (ann, _) = user(&hub, "ann").await;
    let organization_id = hub.made.organization_id.as_str();
    let present = list(owner, "OrganizationService", organization_id).await;
    assert_eq!(present.len(), 1, "init makes the first owner");
    let first = present[0].clone();
    assert_eq!(first.role_id, "organization-manager.organizations.owner");
    let second = binding("organizations.owner", &ann, "userAccount");

    let admin = hub.account(&["admin"], hub.organization()).await;
    for change in [delta(ADD, &second), delta(REMOVE, &first)] {
        let status = update_organization(&hub, &admin, &[change]).await;
        expect(
            &status.unwrap_err(),
            Code::PermissionDenied,
            "PERMISSION_DENIED",
        );
    }
    let status = admin
        .refused(
            "OrganizationService/SetAccessBindings",
            &wanted(organization_id, &[]),
        )
        .await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let last = async |request: &UpdateAccessBindingsRequest| {
        let status = owner
            .refused("OrganizationService/UpdateAccessBindings", request)
            .await;
        expect(&status, Code::FailedPrecondition, "LAST_OWNER");
    };
    let without_first = deltas(organization_id, &[delta(REMOVE, &first)]);
    last(&without_first).await;
    update_organization(&hub, owner, &[delta(ADD, &second)])
        .await
        .unwrap();
    // A user cannot sign in, and neither can a disabled account.
    last(&without_first).await;
    let spare = create_account(&hub, "spare").await;
    let third = binding("organizations.owner", &spare, "serviceAccount");
    update_organization(&hub, owner, &[delta(ADD, &third)])
        .await
        .unwrap();
    let request = admin::DisableServiceAccountRequest {
        service_account_id: spare.clone(),
    };
    let _: Operation = owner
        .call("ServiceAccountService/Disable", &request)
        .await
        .unwrap();
    last(&without_first).await;
    let request = admin::EnableServiceAccountRequest {
        service_account_id: spare.clone(),
    };
    let _: Operation = owner
        .call("ServiceAccountService/Enable", &request)
        .await
        .unwrap();
    let request = wanted(organization_id, std::slice::from_ref(&third));
    let (_, ()): (SetAccessBindingsMetadata, ()) = owner
        .change("OrganizationService/SetAccessBindings", &request)
        .await
        .unwrap();
    let spare_calls = hub
        .sign_in(
            Subject::service_account(spare.as_str()),
            &[],
            hub.organization(),
        )
        .await;
    assert_eq!(
        list(&spare_calls, "OrganizationService", organization_id).await,
        [third]
    );
}

#[tokio::test]
async fn nobody_gives_what_it_does_not_have() {
    let hub = Harness::start().await;
    let (ann, _) = user(&hub, "ann").await;
    let staff = group_of(&hub, "Staff", &ann).await;
    let organization_id = hub.made.organization_id.as_str();
    let on_staff = ResourceRef::group(&staff.as_str().into());
    let group_admin = hub.account(&["groups.admin"], on_staff).await;
    let pool_admin = hub.account(&["userpools.admin"], hub.pool()).await;
    let admin = hub.account(&["admin"], hub.organization()).await;
    let agent = create_account(&hub, "agent").await;
    for (caller, service, id, role, allowed) in [
        (&group_admin, "GroupService", &staff, "admin", false),
        (&group_admin, "GroupService", &staff, "groups.editor", true),
        (&pool_admin, "UserpoolService", &hub.pool_id, "admin", false),
        (
            &pool_admin,
            "UserpoolService",
            &hub.pool_id,
            "userpools.syncAgent",
            true,
        ),
        (&admin, "UserpoolService", &hub.pool_id, "admin", true),
        (
            &admin,
            "GroupService",
            &staff,
            "groups.externalManager",
            true,
        ),
    ] {
        let given = delta(ADD, &binding(role, &agent, "serviceAccount"));
        let answer = update(caller, service, id, &[given]).await;
        match answer {
            Ok(_) => assert!(allowed, "{service} {role}"),
            Err(status) => {
                assert!(!allowed, "{service} {role}: {status:?}");
                expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
                let named = format!("the role organization-manager.{role} ");
                assert!(status.message().starts_with(&named), "{status:?}");
            }
        }
    }
    let owner = &hub.administrator;
    let everybody = delta(ADD, &binding("editor", "allUsers", "system"));
    let status = update_organization(&hub, owner, &[everybody]).await;
    let status = status.unwrap_err();
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    // Else whoever manages its members would make owners.
    let group = delta(ADD, &binding("organizations.owner", &staff, "group"));
    let request = deltas(organization_id, &[group]);
    let status = owner
        .refused("OrganizationService/UpdateAccessBindings", &request)
        .await;
    expect_field(
        &status,
        "access_binding_deltas[0].access_binding.subject.type",
    );
    let wrong = delta(REMOVE, &binding("admin", &agent, "userAccount"));
    let status = update(owner, "UserpoolService", &hub.pool_id, &[wrong]).await;
    expect_field(
        &status.unwrap_err(),
        "access_binding_deltas[0].access_binding.subject.type",
    );
}
