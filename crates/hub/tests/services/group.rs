use prost_types::FieldMask;
use rollcall_domain::access::ResourceRef;
use rollcall_hub::wire::render_timestamp;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const CREATE: &str = "GroupService/CreateExternal";
const UPDATE_MEMBERS: &str = "GroupService/UpdateMembers";

fn request(hub: &Harness, name: &str) -> om::CreateExternalGroupRequest {
    om::CreateExternalGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        description: "from the directory".into(),
        subject_container_id: hub.pool_id.clone(),
        external_id: format!("guid-{name}"),
        make_editor: true,
        ..Default::default()
    }
}

async fn create(
    caller: &Caller,
    request: &om::CreateExternalGroupRequest,
) -> Result<om::Group, Status> {
    let (_, group): (om::CreateExternalGroupMetadata, _) = caller.change(CREATE, request).await?;
    Ok(group)
}

fn deltas(
    group: &om::Group,
    action: MemberAction,
    users: &[&str],
) -> om::UpdateGroupMembersRequest {
    om::UpdateGroupMembersRequest {
        group_id: group.id.clone(),
        member_deltas: users
            .iter()
            .map(|id| om::MemberDelta {
                action: action.into(),
                subject_id: (*id).to_owned(),
            })
            .collect(),
    }
}

async fn members(caller: &Caller, group: &om::Group) -> Vec<String> {
    let request = om::ListGroupMembersRequest {
        group_id: group.id.clone(),
        ..Default::default()
    };
    let page: om::ListGroupMembersResponse = caller
        .call("GroupService/ListMembers", &request)
        .await
        .unwrap();
    assert!(
        page.members
            .iter()
            .all(|member| member.subject_type == "userAccount")
    );
    let mut ids: Vec<_> = page
        .members
        .into_iter()
        .map(|member| member.subject_id)
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn an_agent_fills_the_group_it_made() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    assert_eq!(
        (group.name.as_str(), group.external_id.as_str()),
        ("Staff", "guid-Staff")
    );
    assert_eq!(group.subject_container_id, hub.pool_id);
    let (ann, bob) = (hub.create_user("ann").await, hub.create_user("bob").await);
    for _ in 0..2 {
        let add = deltas(&group, MemberAction::Add, &[&ann, &bob]);
        let _: (om::UpdateGroupMembersMetadata, ()) =
            agent.change(UPDATE_MEMBERS, &add).await.unwrap();
        let mut both = [ann.clone(), bob.clone()];
        both.sort();
        assert_eq!(members(&agent, &group).await, both);
    }
    for _ in 0..2 {
        let remove = deltas(&group, MemberAction::Remove, &[&ann]);
        let _: (om::UpdateGroupMembersMetadata, ()) =
            agent.change(UPDATE_MEMBERS, &remove).await.unwrap();
        assert_eq!(members(&agent, &group).await, std::slice::from_ref(&bob));
    }
    // Suspended users are no active members; deleted ones are none.
    let suspend = rollcall_proto::idp::SuspendUserRequest {
        user_id: bob.clone(),
        ..Default::default()
    };
    let _: (rollcall_proto::idp::SuspendUserMetadata, ()) = hub
        .administrator
        .change("UserService/Suspend", &suspend)
        .await
        .unwrap();
    assert!(members(&agent, &group).await.is_empty());
}

#[tokio::test]
async fn a_member_whose_account_has_ended_is_not_shown() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    let bob = hub.create_user("bob").await;
    let mut ending = hub.new_user("ann");
    ending.expires_at = Some(render_timestamp(hub.clock.now().plus(Span::minutes(1))));
    let (ann, _): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &ending)
        .await
        .unwrap();
    let add = deltas(&group, MemberAction::Add, &[&ann.user_id, &bob]);
    let _: (om::UpdateGroupMembersMetadata, ()) = agent.change(UPDATE_MEMBERS, &add).await.unwrap();
    assert_eq!(members(&agent, &group).await.len(), 2);
    hub.advance(Span::minutes(1));
    assert_eq!(members(&agent, &group).await, [bob]);
}

#[tokio::test]
async fn a_batch_of_members_is_all_or_nothing() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    let ann = hub.create_user("ann").await;
    let unknown = deltas(&group, MemberAction::Add, &[&ann, "ajemissing"]);
    let status = agent.refused(UPDATE_MEMBERS, &unknown).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    assert!(status.message().contains("member_deltas[1]"), "{status:?}");
    assert!(members(&agent, &group).await.is_empty());
    let twice = deltas(&group, MemberAction::Add, &[&ann, &ann]);
    let status = agent.refused(UPDATE_MEMBERS, &twice).await;
    expect_field(&status, "member_deltas[1].subject_id");
    let none = deltas(&group, MemberAction::Add, &[]);
    expect_field(&agent.refused(UPDATE_MEMBERS, &none).await, "member_deltas");
}

#[tokio::test]
async fn external_groups_are_found_by_their_object() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    let resolve = |external_id: &str| om::ResolveExternalGroupRequest {
        subject_container_id: hub.pool_id.clone(),
        external_id: external_id.into(),
    };
    let method = "GroupService/ResolveExternal";
    let found: om::Group = agent.call(method, &resolve("guid-Staff")).await.unwrap();
    assert_eq!(found, group);
    let status = agent.refused(method, &resolve("guid-none")).await;
    expect(&status, Code::NotFound, "NOT_FOUND");

    let list = om::ListExternalGroupsRequest {
        subject_container_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let page: om::ListExternalGroupsResponse = agent
        .call("GroupService/ListExternal", &list)
        .await
        .unwrap();
    assert_eq!(page.groups, std::slice::from_ref(&group));
    let list = om::ListGroupsRequest {
        organization_id: hub.made.organization_id.clone(),
        filter: "name=\"Staff\"".into(),
        ..Default::default()
    };
    let page: om::ListGroupsResponse = agent.call("GroupService/List", &list).await.unwrap();
    assert_eq!(page.groups, std::slice::from_ref(&group));
    let get = om::GetGroupRequest {
        group_id: group.id.clone(),
    };
    let one: om::Group = agent.call("GroupService/Get", &get).await.unwrap();
    assert_eq!(one, group);
}

#[tokio::test]
async fn names_and_objects_are_unique() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    create(&agent, &request(&hub, "Staff")).await.unwrap();
    let same_name = om::CreateExternalGroupRequest {
        external_id: "guid-2".into(),
        ..request(&hub, "Staff")
    };
    let same_object = om::CreateExternalGroupRequest {
        external_id: "guid-Staff".into(),
        ..request(&hub, "Other")
    };
    for request in [same_name, same_object] {
        let status = create(&agent, &request).await.unwrap_err();
        expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    }
    let status = create(&agent, &request(&hub, "has space"))
        .await
        .unwrap_err();
    expect_field(&status, "name");
}

#[tokio::test]
async fn external_groups_belong_to_their_managers() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    let resource = ResourceRef::group(&group.id.as_str().into());
    let editor = hub.account(&["groups.editor"], resource).await;
    let update = |paths: &[&str]| om::UpdateGroupRequest {
        group_id: group.id.clone(),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        name: "People".into(),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        ..Default::default()
    };
    let method = "GroupService/Update";
    let status = editor.refused(method, &update(&["name"])).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    // Labels stay with ordinary editors (decision U79).
    let (_, labelled): (om::UpdateGroupMetadata, om::Group) =
        editor.change(method, &update(&["labels"])).await.unwrap();
    assert_eq!(
        (labelled.name.as_str(), labelled.labels.len()),
        ("Staff", 1)
    );
    let (_, renamed): (om::UpdateGroupMetadata, om::Group) =
        agent.change(method, &update(&["name"])).await.unwrap();
    assert_eq!(renamed.name, "People");
    // The managers of an external group are no editors of its labels.
    let relabel = om::UpdateGroupRequest {
        labels: [("team".to_owned(), "b".to_owned())].into(),
        ..update(&["name", "labels"])
    };
    let everything = om::UpdateGroupRequest {
        update_mask: None,
        ..relabel.clone()
    };
    for request in [relabel, everything.clone()] {
        let status = agent.refused(method, &request).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let same_labels = om::UpdateGroupRequest {
        labels: labelled.labels.clone(),
        ..everything
    };
    let (_, renamed): (om::UpdateGroupMetadata, om::Group) =
        agent.change(method, &same_labels).await.unwrap();
    assert_eq!(renamed.labels, labelled.labels);

    let other = hub.agent().await;
    let delete = om::DeleteGroupRequest {
        group_id: group.id.clone(),
    };
    let status = other.refused("GroupService/Delete", &delete).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let _: (om::DeleteGroupMetadata, ()) =
        agent.change("GroupService/Delete", &delete).await.unwrap();
    let status = hub
        .administrator
        .refused("GroupService/Delete", &delete)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn without_make_editor_the_group_is_not_the_agents() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let plain = om::CreateExternalGroupRequest {
        make_editor: false,
        ..request(&hub, "Staff")
    };
    let group = create(&agent, &plain).await.unwrap();
    let ann = hub.create_user("ann").await;
    let add = deltas(&group, MemberAction::Add, &[&ann]);
    let status = agent.refused(UPDATE_MEMBERS, &add).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    // Converting what is converted already gives the right.
    let convert = om::ConvertToExternalGroupRequest {
        group_id: group.id.clone(),
        subject_container_id: hub.pool_id.clone(),
        external_id: group.external_id.clone(),
        make_editor: true,
    };
    let method = "GroupService/ConvertToExternal";
    let _: (om::ConvertToExternalGroupMetadata, om::Group) =
        agent.change(method, &convert).await.unwrap();
    let _: (om::UpdateGroupMembersMetadata, ()) = agent.change(UPDATE_MEMBERS, &add).await.unwrap();
    let moved = om::ConvertToExternalGroupRequest {
        external_id: "guid-2".into(),
        ..convert
    };
    let status = agent.refused(method, &moved).await;
    expect(&status, Code::FailedPrecondition, "GROUP_ALREADY_EXTERNAL");
}

#[tokio::test]
async fn basic_groups_are_made_changed_and_their_operations_listed() {
    let hub = Harness::start().await;
    let editor = hub.account(&["groups.editor"], hub.organization()).await;
    let request = om::CreateGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "Staff".into(),
        description: "everybody".into(),
        labels: [("team".to_owned(), "core-1".to_owned())].into(),
    };
    let method = "GroupService/Create";
    let (metadata, group): (om::CreateGroupMetadata, om::Group) =
        editor.change(method, &request).await.unwrap();
    assert_eq!(metadata.group_id, group.id);
    assert_eq!((group.external_id.as_str(), group.labels.len()), ("", 1));
    let status = editor.refused(method, &request).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    let viewer = hub.account(&["groups.viewer"], hub.organization()).await;
    let status = viewer.refused(method, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");

    // Without a mask everything is replaced.
    hub.advance(Span::seconds(1));
    let replace = om::UpdateGroupRequest {
        group_id: group.id.clone(),
        name: "People".into(),
        ..Default::default()
    };
    let (_, replaced): (om::UpdateGroupMetadata, om::Group) = editor
        .change("GroupService/Update", &replace)
        .await
        .unwrap();
    assert_eq!(replaced.name, "People");
    assert_eq!(
        (replaced.description.as_str(), replaced.labels.len()),
        ("", 0)
    );
    let unnamed = om::UpdateGroupRequest {
        name: String::new(),
        ..replace
    };
    expect_field(
        &editor.refused("GroupService/Update", &unnamed).await,
        "name",
    );

    let mut list = om::ListGroupOperationsRequest {
        group_id: group.id.clone(),
        page_size: 1,
        ..Default::default()
    };
    let mut descriptions = Vec::new();
    loop {
        let page: om::ListGroupOperationsResponse = viewer
            .call("GroupService/ListOperations", &list)
            .await
            .unwrap();
        assert!(page.operations.len() <= 1);
        descriptions.extend(page.operations.into_iter().map(|found| found.description));
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
    }
    assert_eq!(descriptions, ["Update a group", "Create a group"]);
    // After their retention they are as if they had never been.
    hub.advance(Span::days(31));
    list.page_token.clear();
    let viewer = hub.account(&["groups.viewer"], hub.organization()).await;
    let page: om::ListGroupOperationsResponse = viewer
        .call("GroupService/ListOperations", &list)
        .await
        .unwrap();
    assert!(page.operations.is_empty());
}

#[tokio::test]
async fn labels_have_limits() {
    let hub = Harness::start().await;
    let create = |labels: Vec<(String, String)>| om::CreateGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: format!("G{}", labels.len()),
        labels: labels.into_iter().collect(),
        ..Default::default()
    };
    let method = "GroupService/Create";
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let many = |count: usize| {
        (0..count)
            .map(|n| (format!("k{n}"), String::new()))
            .collect()
    };
    for wrong in [
        pair("Team", "x"),
        pair("1team", "x"),
        pair(&"k".repeat(64), "x"),
        pair("team", "X"),
        pair("team", &"x".repeat(64)),
        many(65),
    ] {
        let status = hub.administrator.refused(method, &create(wrong)).await;
        expect(&status, Code::InvalidArgument, "INVALID_FIELD");
    }
    for right in [pair(&"k".repeat(63), &"x".repeat(63)), many(64)] {
        let _: Operation = hub
            .administrator
            .call(method, &create(right))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn all_groups_of_a_pool_become_basic() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let group = create(&agent, &request(&hub, "Staff")).await.unwrap();
    create(&agent, &request(&hub, "Other")).await.unwrap();
    let ann = hub.create_user("ann").await;
    let add = deltas(&group, MemberAction::Add, &[&ann]);
    let _: (om::UpdateGroupMembersMetadata, ()) = agent.change(UPDATE_MEMBERS, &add).await.unwrap();
    let convert = om::ConvertAllToBasicGroupsRequest {
        subject_container_id: hub.pool_id.clone(),
    };
    let method = "GroupService/ConvertAllToBasic";
    let status = agent.refused(method, &convert).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let roles = ["userpools.extGroupsCleaner"];
    let cleaner = hub.account(&roles, hub.pool()).await;
    for _ in 0..2 {
        let (metadata, ()): (om::ConvertAllToBasicGroupsMetadata, ()) =
            cleaner.change(method, &convert).await.unwrap();
        assert_eq!(metadata.subject_container_id, hub.pool_id);
    }
    let get = om::GetGroupRequest {
        group_id: group.id.clone(),
    };
    let basic: om::Group = agent.call("GroupService/Get", &get).await.unwrap();
    assert_eq!(
        (
            basic.subject_container_id.as_str(),
            basic.external_id.as_str()
        ),
        ("", "")
    );
    // The members stay; the agent lost the right that make_editor had given.
    assert_eq!(members(&agent, &group).await, std::slice::from_ref(&ann));
    let status = agent.refused(UPDATE_MEMBERS, &add).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    // The object is free again.
    let again = om::CreateExternalGroupRequest {
        name: "Again".into(),
        ..request(&hub, "Staff")
    };
    create(&agent, &again).await.unwrap();
    let missing = om::ConvertAllToBasicGroupsRequest {
        subject_container_id: "ek0missing".into(),
    };
    let status = hub.administrator.refused(method, &missing).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}
