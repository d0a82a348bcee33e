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
