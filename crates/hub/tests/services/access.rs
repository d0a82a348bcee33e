//! Access bindings, over the services of organizations, pools and groups.

use rollcall_domain::access::{ResourceRef, Subject};
use rollcall_kit::timestamp::Span;
use rollcall_proto::access::{
    AccessBinding, AccessBindingAction, AccessBindingDelta, AccessBindingsOperationResult,
    ListAccessBindingsRequest, ListAccessBindingsResponse, SetAccessBindingsMetadata,
    SetAccessBindingsRequest, UpdateAccessBindingsMetadata, UpdateAccessBindingsRequest,
};
use rollcall_proto::organizationmanager as om;
use rollcall_proto::{access, idp};
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

pub(super) const ADD: AccessBindingAction = AccessBindingAction::Add;
pub(super) const REMOVE: AccessBindingAction = AccessBindingAction::Remove;

pub(super) fn binding(role: &str, id: &str, kind: &str) -> AccessBinding {
    AccessBinding {
        role_id: format!("organization-manager.{role}"),
        subject: Some(access::Subject {
            id: id.into(),
            r#type: kind.into(),
        }),
    }
}

pub(super) fn delta(action: AccessBindingAction, binding: &AccessBinding) -> AccessBindingDelta {
    AccessBindingDelta {
        action: action.into(),
        access_binding: Some(binding.clone()),
    }
}

pub(super) fn deltas(id: &str, deltas: &[AccessBindingDelta]) -> UpdateAccessBindingsRequest {
    UpdateAccessBindingsRequest {
        resource_id: id.into(),
        access_binding_deltas: deltas.to_vec(),
    }
}

pub(super) fn wanted(id: &str, bindings: &[AccessBinding]) -> SetAccessBindingsRequest {
    SetAccessBindingsRequest {
        resource_id: id.into(),
        access_bindings: bindings.to_vec(),
    }
}

/// Changes the bindings of a pool or group and returns what really changed.
pub(super) async fn update(
    caller: &Caller,
    service: &str,
    id: &str,
    changes: &[AccessBindingDelta],
) -> Result<Vec<AccessBindingDelta>, Status> {
    let (metadata, result): (UpdateAccessBindingsMetadata, AccessBindingsOperationResult) = caller
        .change(
            &format!("{service}/UpdateAccessBindings"),
            &deltas(id, changes),
        )
        .await?;
    assert_eq!(metadata.resource_id, id);
    Ok(result.effective_deltas)
}

/// Changes the bindings of the organization, which answers nothing.
pub(super) async fn update_organization(
    hub: &Harness,
    caller: &Caller,
    changes: &[AccessBindingDelta],
) -> Result<(), Status> {
    let request = deltas(&hub.made.organization_id, changes);
    let (metadata, ()): (UpdateAccessBindingsMetadata, ()) = caller
        .change("OrganizationService/UpdateAccessBindings", &request)
        .await?;
    assert_eq!(metadata.resource_id, hub.made.organization_id);
    Ok(())
}

pub(super) async fn list(caller: &Caller, service: &str, id: &str) -> Vec<AccessBinding> {
    let request = ListAccessBindingsRequest {
        resource_id: id.into(),
        ..Default::default()
    };
    let page: ListAccessBindingsResponse = caller
        .call(&format!("{service}/ListAccessBindings"), &request)
        .await
        .unwrap();
    page.access_bindings
}

/// A group of the organization with this user in it.
pub(super) async fn group_of(hub: &Harness, name: &str, user_id: &str) -> String {
    hub.advance(Span::seconds(1));
    let request = om::CreateExternalGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        subject_container_id: hub.pool_id.clone(),
        external_id: format!("guid-{name}"),
        ..Default::default()
    };
    let (metadata, _): (om::CreateExternalGroupMetadata, om::Group) = hub
        .administrator
        .change("GroupService/CreateExternal", &request)
        .await
        .unwrap();
    let request = om::UpdateGroupMembersRequest {
        group_id: metadata.group_id.clone(),
        member_deltas: vec![om::MemberDelta {
            action: om::member_delta::MemberAction::Add.into(),
            subject_id: user_id.into(),
        }],
    };
    let _: (om::UpdateGroupMembersMetadata, ()) = hub
        .administrator
        .change("GroupService/UpdateMembers", &request)
        .await
        .unwrap();
    metadata.group_id
}

/// A user of the pool `staff` who signed in, without rights.
pub(super) async fn user(hub: &Harness, login: &str) -> (String, Caller) {
    hub.advance(Span::seconds(1));
    let id = hub.create_user(login).await;
    let caller = hub
        .sign_in(Subject::user(id.as_str()), &[], hub.organization())
        .await;
    (id, caller)
}

async fn get_pool(hub: &Harness, caller: &Caller) -> Result<idp::Userpool, Status> {
    let request = idp::GetUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    caller.call("UserpoolService/Get", &request).await
}

#[tokio::test]
async fn bindings_are_given_listed_replaced_and_taken_away() {
    let hub = Harness::start().await;
    let admin = &hub.administrator;
    let (ann, _) = user(&hub, "ann").await;
    let group = group_of(&hub, "Staff", &ann).await;
    let viewer = binding("userpools.viewer", &ann, "userAccount");
    let editors = binding("userpools.editor", &group, "group");
    let all = binding("userpools.auditor", "allAuthenticatedUsers", "system");
    for (service, id) in [
        ("UserpoolService", hub.pool_id.as_str()),
        ("GroupService", group.as_str()),
    ] {
        let add = [delta(ADD, &viewer), delta(ADD, &all)];
        assert_eq!(update(admin, service, id, &add).await.unwrap(), add);
        let again = [delta(ADD, &viewer), delta(ADD, &editors)];
        let effective = update(admin, service, id, &again).await.unwrap();
        assert_eq!(effective, [delta(ADD, &editors)], "{service}");
        let mut listed = list(admin, service, id).await;
        listed.sort_by(|a, b| a.role_id.cmp(&b.role_id));
        assert_eq!(listed, [all.clone(), editors.clone(), viewer.clone()]);

        let request = wanted(id, std::slice::from_ref(&editors));
        let (metadata, result): (SetAccessBindingsMetadata, AccessBindingsOperationResult) = admin
            .change(&format!("{service}/SetAccessBindings"), &request)
            .await
            .unwrap();
        assert_eq!(metadata.resource_id, id);
        assert_eq!(result.effective_deltas.len(), 2);
        for gone in [&viewer, &all] {
            assert!(result.effective_deltas.contains(&delta(REMOVE, gone)));
        }
        assert_eq!(
            list(admin, service, id).await,
            std::slice::from_ref(&editors)
        );
        let remove = [delta(REMOVE, &editors), delta(REMOVE, &viewer)];
        let effective = update(admin, service, id, &remove).await.unwrap();
        assert_eq!(effective, [delta(REMOVE, &editors)]);
        assert!(list(admin, service, id).await.is_empty());
    }
}

#[tokio::test]
async fn a_list_goes_on_after_its_page() {
    let hub = Harness::start().await;
    let (ann, _) = user(&hub, "ann").await;
    let roles = ["auditor", "viewer", "editor", "userAdmin", "syncAgent"];
    let all: Vec<_> = roles
        .iter()
        .map(|role| {
            let role = format!("userpools.{role}");
            delta(ADD, &binding(&role, &ann, "userAccount"))
        })
        .collect();
    let admin = &hub.administrator;
    update(admin, "UserpoolService", &hub.pool_id, &all)
        .await
        .unwrap();
    let mut request = ListAccessBindingsRequest {
        resource_id: hub.pool_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    for _ in 0..roles.len() {
        let page: ListAccessBindingsResponse = admin
            .call("UserpoolService/ListAccessBindings", &request)
            .await
            .unwrap();
        sizes.push(page.access_bindings.len());
        seen.extend(page.access_bindings.into_iter().map(|found| found.role_id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), roles.len());
    request.page_token = "made-up".into();
    let status = admin
        .refused("UserpoolService/ListAccessBindings", &request)
        .await;
    expect_field(&status, "page_token");
}

#[tokio::test]
async fn bindings_count_for_members_sets_and_themselves_only() {
    let hub = Harness::start().await;
    let admin = &hub.administrator;
    let (ann, caller) = user(&hub, "ann").await;
    let (_, stranger) = user(&hub, "bob").await;
    let other_pool = hub.create_pool("guests").await;
    let group = group_of(&hub, "Staff", &ann).await;
    let organization_users = format!("group:organization:{}:users", hub.made.organization_id);
    let pool_users = format!("group:userpool:{}:users", hub.pool_id);
    let guests = format!("group:userpool:{other_pool}:users");
    let viewer = |id: &str, kind: &str| binding("userpools.viewer", id, kind);
    for (given, for_ann, for_stranger) in [
        (viewer(&ann, "userAccount"), true, false),
        (viewer(&group, "group"), true, false),
        (viewer("allAuthenticatedUsers", "system"), true, true),
        (viewer("allUsers", "system"), true, true),
        (viewer(&organization_users, "system"), true, true),
        (viewer(&pool_users, "system"), true, true),
        (viewer(&guests, "system"), false, false),
    ] {
        let add = [delta(ADD, &given)];
        let remove = [delta(REMOVE, &given)];
        update(admin, "UserpoolService", &hub.pool_id, &add)
            .await
            .unwrap();
        let seen = get_pool(&hub, &caller).await.is_ok();
        assert_eq!(seen, for_ann, "{given:?}");
        let seen = get_pool(&hub, &stranger).await.is_ok();
        assert_eq!(seen, for_stranger, "{given:?}");
        update(admin, "UserpoolService", &hub.pool_id, &remove)
            .await
            .unwrap();
        for caller in [&caller, &stranger] {
            let status = get_pool(&hub, caller).await.unwrap_err();
            expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        }
    }
    let status = get_pool(&hub, &hub.anonymous()).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn rights_on_one_pool_or_group_end_there() {
    let hub = Harness::start().await;
    let (ann, _) = user(&hub, "ann").await;
    let other_pool = hub.create_pool("guests").await;
    let (staff, other) = (
        group_of(&hub, "Staff", &ann).await,
        group_of(&hub, "Other", &ann).await,
    );
    let pool_admin = hub.account(&["userpools.admin"], hub.pool()).await;
    let group_admin = ResourceRef::group(&staff.as_str().into());
    let group_admin = hub.account(&["groups.admin"], group_admin).await;
    let viewer = [delta(
        ADD,
        &binding("userpools.viewer", &ann, "userAccount"),
    )];
    update(&pool_admin, "UserpoolService", &hub.pool_id, &viewer)
        .await
        .unwrap();
    let viewer = [delta(ADD, &binding("groups.viewer", &ann, "userAccount"))];
    update(&group_admin, "GroupService", &staff, &viewer)
        .await
        .unwrap();
    for (caller, service, id) in [
        (&pool_admin, "UserpoolService", &other_pool),
        (&pool_admin, "GroupService", &staff),
        (
            &pool_admin,
            "OrganizationService",
            &hub.made.organization_id,
        ),
        (&group_admin, "UserpoolService", &hub.pool_id),
        (&group_admin, "GroupService", &other),
        (
            &group_admin,
            "OrganizationService",
            &hub.made.organization_id,
        ),
    ] {
        let method = format!("{service}/UpdateAccessBindings");
        let status = caller.refused(&method, &deltas(id, &viewer)).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        let method = format!("{service}/ListAccessBindings");
        let request = ListAccessBindingsRequest {
            resource_id: id.clone(),
            ..Default::default()
        };
        let status = caller.refused(&method, &request).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn bad_bindings_name_their_field() {
    let hub = Harness::start().await;
    let admin = &hub.administrator;
    let (ann, _) = user(&hub, "ann").await;
    let good = binding("viewer", &ann, "userAccount");
    let check = async |bad: &AccessBinding, field: &str| {
        let request = deltas(&hub.pool_id, &[delta(ADD, &good), delta(ADD, bad)]);
        let status = admin
            .refused("UserpoolService/UpdateAccessBindings", &request)
            .await;
        expect_field(
            &status,
            &format!("access_binding_deltas[1].access_binding{field}"),
        );
        let request = wanted(&hub.pool_id, &[good.clone(), bad.clone()]);
        let status = admin
            .refused("UserpoolService/SetAccessBindings", &request)
            .await;
        expect_field(&status, &format!("access_bindings[1]{field}"));
    };
    check(&good, "").await;
    check(&binding("nobody", &ann, "userAccount"), ".role_id").await;
    let owner = binding("organizations.owner", &ann, "userAccount");
    check(&owner, ".role_id").await;
    check(&binding("viewer", &ann, "person"), ".subject.type").await;
    check(&binding("editor", &ann, "group"), ".subject.type").await;
    check(&binding("viewer", &ann, "federatedUser"), ".subject.type").await;
    check(&binding("viewer", "everybody", "system"), ".subject.id").await;

    let unknown = binding("viewer", "ajemissing", "serviceAccount");
    let request = deltas(&hub.pool_id, &[delta(ADD, &good), delta(ADD, &unknown)]);
    let status = admin
        .refused("UserpoolService/UpdateAccessBindings", &request)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    let text = "access_binding_deltas[1].access_binding.subject";
    assert!(status.message().starts_with(text), "{status:?}");
    assert!(
        list(admin, "UserpoolService", &hub.pool_id)
            .await
            .is_empty(),
        "a batch is made as a whole or not at all"
    );
    let both = [delta(ADD, &good), delta(REMOVE, &good)];
    let status = update(admin, "UserpoolService", &hub.pool_id, &both).await;
    expect_field(
        &status.unwrap_err(),
        "access_binding_deltas[1].access_binding",
    );
}

#[tokio::test]
async fn bindings_leave_with_their_subject() {
    let hub = Harness::start().await;
    let admin = &hub.administrator;
    let (ann, _) = user(&hub, "ann").await;
    let group = group_of(&hub, "Staff", &ann).await;
    let add = [
        delta(ADD, &binding("userpools.viewer", &ann, "userAccount")),
        delta(ADD, &binding("userpools.viewer", &group, "group")),
    ];
    update(admin, "UserpoolService", &hub.pool_id, &add)
        .await
        .unwrap();
    let request = idp::DeleteUserRequest {
        user_id: ann.clone(),
    };
    let _: (idp::DeleteUserMetadata, ()) =
        admin.change("UserService/Delete", &request).await.unwrap();
    let request = om::DeleteGroupRequest {
        group_id: group.clone(),
    };
    let _: (om::DeleteGroupMetadata, ()) =
        admin.change("GroupService/Delete", &request).await.unwrap();
    assert!(
        list(admin, "UserpoolService", &hub.pool_id)
            .await
            .is_empty()
    );
}
