use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use rollcall_proto::{access, admin, idp};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Harness, expect};

const UPDATE_MEMBERS: &str = "GroupService/UpdateMembers";

/// A hub with one quota.
async fn hub_with(quota: &str, limit: u64) -> Harness {
    Harness::start_with(None, &format!("quotas:\n  {quota}: {limit}\n")).await
}

/// Checks that a call was refused because of a quota, and that it says which.
#[track_caller]
fn expect_full(status: &Status, quota: &str, limit: u64) {
    expect(status, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let violations = status.get_details_quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    assert!(violations[0].subject.ends_with(quota), "{violations:?}");
    let limit = format!("at most {limit} ");
    for text in [status.message(), &violations[0].description] {
        assert!(text.contains(quota) && text.contains(&limit), "{text}");
    }
}

fn group(hub: &Harness, name: &str) -> om::CreateGroupRequest {
    om::CreateGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        ..Default::default()
    }
}

async fn create_group(hub: &Harness, name: &str) -> om::Group {
    let (_, group): (om::CreateGroupMetadata, om::Group) = hub
        .administrator
        .change("GroupService/Create", &group(hub, name))
        .await
        .unwrap();
    group
}

fn members(group: &om::Group, deltas: &[(MemberAction, &String)]) -> om::UpdateGroupMembersRequest {
    om::UpdateGroupMembersRequest {
        group_id: group.id.clone(),
        member_deltas: deltas
            .iter()
            .map(|(action, user_id)| om::MemberDelta {
                action: (*action).into(),
                subject_id: (*user_id).clone(),
            })
            .collect(),
    }
}

async fn update_members(hub: &Harness, request: &om::UpdateGroupMembersRequest) {
    let _: (om::UpdateGroupMembersMetadata, ()) = hub
        .administrator
        .change(UPDATE_MEMBERS, request)
        .await
        .unwrap();
}

#[tokio::test]
async fn users_of_a_pool() {
    let hub = hub_with("users_per_userpool", 2).await;
    let ann = hub.create_user("ann").await;
    hub.create_user("bob").await;
    let method = "UserService/Create";
    let status = hub
        .administrator
        .refused(method, &hub.new_user("cyd"))
        .await;
    expect_full(&status, "users_per_userpool", 2);
    // The other pool has its own two.
    let other = idp::CreateUserRequest {
        userpool_id: hub.create_pool("other").await,
        username: "cyd@other.idp.rollcall.internal".into(),
        ..hub.new_user("cyd")
    };
    let _: (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(method, &other).await.unwrap();
    let delete = idp::DeleteUserRequest { user_id: ann };
    let _: (idp::DeleteUserMetadata, ()) = hub
        .administrator
        .change("UserService/Delete", &delete)
        .await
        .unwrap();
    hub.create_user("cyd").await;
}

#[tokio::test]
async fn subjects_of_an_organization() {
    // The service account that init made is one.
    let hub = hub_with("subjects_per_organization", 3).await;
    hub.create_user("ann").await;
    let other = idp::CreateUserRequest {
        userpool_id: hub.create_pool("other").await,
        username: "bob@other.idp.rollcall.internal".into(),
        ..hub.new_user("bob")
    };
    let method = "UserService/Create";
    let _: (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(method, &other).await.unwrap();
    let status = hub
        .administrator
        .refused(method, &hub.new_user("cyd"))
        .await;
    expect_full(&status, "subjects_per_organization", 3);
}

#[tokio::test]
async fn groups_of_an_organization() {
    let hub = hub_with("groups_per_organization", 1).await;
    create_group(&hub, "Staff").await;
    let method = "GroupService/Create";
    let status = hub
        .administrator
        .refused(method, &group(&hub, "Other"))
        .await;
    expect_full(&status, "groups_per_organization", 1);
    let external = om::CreateExternalGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "Other".into(),
        subject_container_id: hub.pool_id.clone(),
        external_id: "guid".into(),
        ..Default::default()
    };
    let method = "GroupService/CreateExternal";
    let status = hub.administrator.refused(method, &external).await;
    expect_full(&status, "groups_per_organization", 1);
}

#[tokio::test]
async fn members_of_a_group() {
    use MemberAction::{Add, Remove};
    let hub = hub_with("members_per_group", 2).await;
    let group = create_group(&hub, "Staff").await;
    let (ann, bob) = (hub.create_user("ann").await, hub.create_user("bob").await);
    let cyd = hub.create_user("cyd").await;
    let three = members(&group, &[(Add, &ann), (Add, &bob), (Add, &cyd)]);
    let status = hub.administrator.refused(UPDATE_MEMBERS, &three).await;
    expect_full(&status, "members_per_group", 2);
    update_members(&hub, &members(&group, &[(Add, &ann), (Add, &bob)])).await;
    // Who is in it already needs no room, and who leaves makes some.
    update_members(&hub, &members(&group, &[(Add, &ann), (Add, &bob)])).await;
    update_members(&hub, &members(&group, &[(Add, &cyd), (Remove, &bob)])).await;
    let one_more = members(&group, &[(Add, &bob)]);
    let status = hub.administrator.refused(UPDATE_MEMBERS, &one_more).await;
    expect_full(&status, "members_per_group", 2);
}

#[tokio::test]
async fn groups_of_a_user() {
    use MemberAction::{Add, Remove};
    let hub = hub_with("groups_per_user", 1).await;
    let (staff, other) = (
        create_group(&hub, "Staff").await,
        create_group(&hub, "Other").await,
    );
    let (ann, bob) = (hub.create_user("ann").await, hub.create_user("bob").await);
    update_members(&hub, &members(&staff, &[(Add, &ann)])).await;
    let both = members(&other, &[(Add, &bob), (Add, &ann)]);
    let status = hub.administrator.refused(UPDATE_MEMBERS, &both).await;
    expect_full(&status, "groups_per_user", 1);
    assert!(status.message().contains(&ann), "{status:?}");
    update_members(&hub, &members(&staff, &[(Remove, &ann)])).await;
    update_members(&hub, &both).await;
}

#[tokio::test]
async fn pools_of_an_organization() {
    let hub = hub_with("userpools_per_organization", 2).await;
    hub.create_pool("other").await;
    let request = idp::CreateUserpoolRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "third".into(),
        default_subdomain: "third".into(),
        ..Default::default()
    };
    let method = "UserpoolService/Create";
    let status = hub.administrator.refused(method, &request).await;
    expect_full(&status, "userpools_per_organization", 2);
}

#[tokio::test]
async fn domains_of_a_pool() {
    // The built-in one counts.
    let hub = hub_with("domains_per_userpool", 2).await;
    let request = |name: &str| idp::AddUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: name.into(),
    };
    let method = "UserpoolService/AddDomain";
    let _: Operation = hub
        .administrator
        .call(method, &request("corp.example"))
        .await
        .unwrap();
    let status = hub
        .administrator
        .refused(method, &request("other.example"))
        .await;
    expect_full(&status, "domains_per_userpool", 2);
    let delete = idp::DeleteUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: "corp.example".into(),
    };
    let _: Operation = hub
        .administrator
        .call("UserpoolService/DeleteDomain", &delete)
        .await
        .unwrap();
    let _: Operation = hub
        .administrator
        .call(method, &request("other.example"))
        .await
        .unwrap();
}

#[tokio::test]
async fn bindings_on_an_organization() {
    use access::AccessBindingAction::{Add, Remove};
    // The owner that init made has one.
    let hub = hub_with("access_bindings_per_organization", 2).await;
    let binding = |role: &str, user_id: &str| access::AccessBinding {
        role_id: format!("organization-manager.{role}"),
        subject: Some(access::Subject {
            id: user_id.into(),
            r#type: "userAccount".into(),
        }),
    };
    let update = |action: access::AccessBindingAction, role: &str, user_id: &str| {
        access::AccessBindingDelta {
            action: action.into(),
            access_binding: Some(binding(role, user_id)),
        }
    };
    let request = |deltas: Vec<access::AccessBindingDelta>| access::UpdateAccessBindingsRequest {
        resource_id: hub.made.organization_id.clone(),
        access_binding_deltas: deltas,
    };
    let ann = hub.create_user("ann").await;
    let method = "OrganizationService/UpdateAccessBindings";
    let add = request(vec![update(Add, "viewer", &ann)]);
    let _: (access::UpdateAccessBindingsMetadata, ()) =
        hub.administrator.change(method, &add).await.unwrap();
    let more = request(vec![update(Add, "editor", &ann)]);
    let status = hub.administrator.refused(method, &more).await;
    expect_full(&status, "access_bindings_per_organization", 2);
    let exchange = request(vec![
        update(Add, "editor", &ann),
        update(Remove, "viewer", &ann),
    ]);
    let _: (access::UpdateAccessBindingsMetadata, ()) =
        hub.administrator.change(method, &exchange).await.unwrap();
}

#[tokio::test]
async fn service_accounts_of_an_organization() {
    // The administrator that init made is one.
    let hub = hub_with("service_accounts_per_organization", 2).await;
    let request = |name: &str| admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        ..Default::default()
    };
    let method = "ServiceAccountService/Create";
    let _: (admin::CreateServiceAccountMetadata, admin::ServiceAccount) = hub
        .administrator
        .change(method, &request("agent"))
        .await
        .unwrap();
    let status = hub.administrator.refused(method, &request("other")).await;
    expect_full(&status, "service_accounts_per_organization", 2);
}

#[tokio::test]
async fn service_accounts_are_subjects() {
    let hub = hub_with("subjects_per_organization", 2).await;
    hub.create_user("ann").await;
    let request = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "agent".into(),
        ..Default::default()
    };
    let method = "ServiceAccountService/Create";
    let status = hub.administrator.refused(method, &request).await;
    expect_full(&status, "subjects_per_organization", 2);
}

#[tokio::test]
async fn keys_of_a_service_account() {
    let hub = hub_with("keys_per_service_account", 1).await;
    let request = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "agent".into(),
        ..Default::default()
    };
    let (_, account): (admin::CreateServiceAccountMetadata, admin::ServiceAccount) = hub
        .administrator
        .change("ServiceAccountService/Create", &request)
        .await
        .unwrap();
    let request = admin::CreateKeyRequest {
        service_account_id: account.id,
        ..Default::default()
    };
    let method = "ServiceAccountService/CreateKey";
    let made: admin::CreateKeyResponse = hub.administrator.call(method, &request).await.unwrap();
    let status = hub.administrator.refused(method, &request).await;
    expect_full(&status, "keys_per_service_account", 1);
    // A disabled key counts, a deleted one does not.
    let key_id = made.key.unwrap().id;
    let disable = admin::DisableKeyRequest {
        key_id: key_id.clone(),
    };
    let _: Operation = hub
        .administrator
        .call("ServiceAccountService/DisableKey", &disable)
        .await
        .unwrap();
    let status = hub.administrator.refused(method, &request).await;
    expect_full(&status, "keys_per_service_account", 1);
    let delete = admin::DeleteKeyRequest { key_id };
    let _: Operation = hub
        .administrator
        .call("ServiceAccountService/DeleteKey", &delete)
        .await
        .unwrap();
    let _: admin::CreateKeyResponse = hub.administrator.call(method, &request).await.unwrap();
}
