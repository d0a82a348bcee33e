use prost_types::FieldMask;
use rollcall_kit::timestamp::Span;
use rollcall_proto::organizationmanager as om;
use tonic::Code;

use crate::harness::{Harness, expect, expect_field};

#[tokio::test]
async fn the_organization_of_init_is_seen_by_its_owner() {
    let hub = Harness::start().await;
    let list: om::ListOrganizationsResponse = hub
        .administrator
        .call(
            "OrganizationService/List",
            &om::ListOrganizationsRequest::default(),
        )
        .await
        .unwrap();
    assert_eq!(list.organizations.len(), 1);
    let organization = &list.organizations[0];
    assert_eq!(
        (organization.name.as_str(), organization.title.as_str()),
        ("test", "Test")
    );
    let request = om::GetOrganizationRequest {
        organization_id: organization.id.clone(),
    };
    let one: om::Organization = hub
        .administrator
        .call("OrganizationService/Get", &request)
        .await
        .unwrap();
    assert_eq!(&one, organization);
    assert_eq!(one.id, hub.made.organization_id);
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let hub = Harness::start().await;
    let stranger = hub.account(&[], hub.organization()).await;
    let list: om::ListOrganizationsResponse = stranger
        .call(
            "OrganizationService/List",
            &om::ListOrganizationsRequest::default(),
        )
        .await
        .unwrap();
    assert!(list.organizations.is_empty());
    for id in [hub.made.organization_id.as_str(), "bpfmissing"] {
        let request = om::GetOrganizationRequest {
            organization_id: id.into(),
        };
        let status = stranger.refused("OrganizationService/Get", &request).await;
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn filters_and_ids_are_checked() {
    let hub = Harness::start().await;
    let filtered = |filter: &str| om::ListOrganizationsRequest {
        filter: filter.into(),
        ..Default::default()
    };
    let list = "OrganizationService/List";
    let found: om::ListOrganizationsResponse = hub
        .administrator
        .call(list, &filtered("name = \"test\""))
        .await
        .unwrap();
    assert_eq!(found.organizations.len(), 1);
    let found: om::ListOrganizationsResponse = hub
        .administrator
        .call(list, &filtered("name != 'test'"))
        .await
        .unwrap();
    assert!(found.organizations.is_empty());
    let status = hub
        .administrator
        .refused(list, &filtered("colour = 'red'"))
        .await;
    expect_field(&status, "filter");
    let request = om::GetOrganizationRequest::default();
    let status = hub
        .administrator
        .refused("OrganizationService/Get", &request)
        .await;
    expect_field(&status, "organization_id");
    let request = om::GetOrganizationRequest {
        organization_id: "bpfmissing".into(),
    };
    let status = hub
        .administrator
        .refused("OrganizationService/Get", &request)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn an_organization_is_changed_by_mask_or_whole() {
    let hub = Harness::start().await;
    let update = |paths: Option<&[&str]>| om::UpdateOrganizationRequest {
        organization_id: hub.made.organization_id.clone(),
        update_mask: paths.map(|paths| FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        name: "acme".into(),
        description: "all of it".into(),
        title: "ACME".into(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    let method = "OrganizationService/Update";
    let viewer = hub.account(&["viewer"], hub.organization()).await;
    let status = viewer.refused(method, &update(None)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");

    let editor = hub.account(&["editor"], hub.organization()).await;
    let (metadata, changed): (om::UpdateOrganizationMetadata, om::Organization) = editor
        .change(method, &update(Some(&["title", "labels"])))
        .await
        .unwrap();
    assert_eq!(metadata.organization_id, hub.made.organization_id);
    assert_eq!(
        (
            changed.name.as_str(),
            changed.title.as_str(),
            changed.description.as_str()
        ),
        ("test", "ACME", "")
    );
    assert_eq!(changed.labels.len(), 1);
    hub.advance(Span::seconds(1));
    let (_, changed): (om::UpdateOrganizationMetadata, om::Organization) =
        editor.change(method, &update(None)).await.unwrap();
    assert_eq!(changed.name, "acme");
    let emptied = om::UpdateOrganizationRequest {
        name: "acme".into(),
        description: String::new(),
        title: String::new(),
        labels: [].into(),
        ..update(None)
    };
    hub.advance(Span::seconds(1));
    let (_, changed): (om::UpdateOrganizationMetadata, om::Organization) =
        editor.change(method, &emptied).await.unwrap();
    assert_eq!((changed.title.as_str(), changed.labels.len()), ("", 0));
    let unnamed = om::UpdateOrganizationRequest {
        name: String::new(),
        ..emptied
    };
    expect_field(&editor.refused(method, &unnamed).await, "name");
    let status = editor.refused(method, &update(Some(&["colour"]))).await;
    expect_field(&status, "update_mask");

    let list = om::ListOrganizationOperationsRequest {
        organization_id: hub.made.organization_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let page: om::ListOrganizationOperationsResponse = viewer
        .call("OrganizationService/ListOperations", &list)
        .await
        .unwrap();
    assert_eq!(page.operations.len(), 2);
    assert!(
        page.operations[0].created_at.unwrap().seconds
            > page.operations[1].created_at.unwrap().seconds
    );
    let list = om::ListOrganizationOperationsRequest {
        page_token: page.next_page_token,
        ..list
    };
    let page: om::ListOrganizationOperationsResponse = viewer
        .call("OrganizationService/ListOperations", &list)
        .await
        .unwrap();
    assert_eq!(
        (page.operations.len(), page.next_page_token.as_str()),
        (1, "")
    );
}
