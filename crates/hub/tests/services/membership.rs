use rollcall_domain::access::ResourceRef;
use rollcall_proto::idp;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const LIST: &str = "GroupService/ListEffective";

async fn group_with(hub: &Harness, name: &str, user_id: &str) -> String {
    let request = om::CreateGroupRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        ..Default::default()
    };
    let (_, group): (om::CreateGroupMetadata, om::Group) = hub
        .administrator
        .change("GroupService/Create", &request)
        .await
        .unwrap();
    let request = om::UpdateGroupMembersRequest {
        group_id: group.id.clone(),
        member_deltas: vec![om::MemberDelta {
            action: MemberAction::Add.into(),
            subject_id: user_id.into(),
        }],
    };
    let _: (om::UpdateGroupMembersMetadata, ()) = hub
        .administrator
        .change("GroupService/UpdateMembers", &request)
        .await
        .unwrap();
    group.id
}

fn of(subject_id: &str, filter: &str) -> om::ListEffectiveRequest {
    om::ListEffectiveRequest {
        subject_id: subject_id.into(),
        filter: filter.into(),
        ..Default::default()
    }
}

async fn names(caller: &Caller, request: &om::ListEffectiveRequest) -> Result<Vec<String>, Status> {
    let page: om::ListEffectiveResponse = caller.call(LIST, request).await?;
    let groups = page.group_membership_info.into_iter();
    Ok(groups.map(|group| group.group_name).collect())
}

#[tokio::test]
async fn the_groups_of_a_user_are_listed_suspended_or_not() {
    let hub = Harness::start().await;
    let ann = hub.create_user("ann").await;
    let staff = group_with(&hub, "Staff", &ann).await;
    group_with(&hub, "Printers", &ann).await;
    group_with(&hub, "Others", &hub.create_user("bob").await).await;
    let suspend = idp::SuspendUserRequest {
        user_id: ann.clone(),
        ..Default::default()
    };
    let _: (idp::SuspendUserMetadata, ()) = hub
        .administrator
        .change("UserService/Suspend", &suspend)
        .await
        .unwrap();

    let auditor = hub.account(&["userpools.auditor"], hub.pool()).await;
    let by_id = format!("id='{staff}'");
    for (filter, expected) in [
        ("", &["Staff", "Printers"][..]),
        ("name = 'Staff'", &["Staff"]),
        ("name = \"Staff\"", &["Staff"]),
        (&by_id, &["Staff"]),
        (
            "name IN ('Staff', 'Printers', 'Others')",
            &["Staff", "Printers"],
        ),
        ("name contains 'print' AND name != 'Staff'", &["Printers"]),
        ("name contains 'print' and id IN ('none')", &[]),
    ] {
        let found = names(&auditor, &of(&ann, filter)).await.unwrap();
        assert_eq!(found, expected, "{filter}");
    }
    for filter in ["name >", "external_id = 'x'", "name IN ()"] {
        let status = names(&auditor, &of(&ann, filter)).await.unwrap_err();
        expect_field(&status, "filter");
    }
    // Page by page.
    let mut request = om::ListEffectiveRequest {
        page_size: 1,
        organization_id: hub.made.organization_id.clone(),
        ..of(&ann, "")
    };
    let page: om::ListEffectiveResponse = auditor.call(LIST, &request).await.unwrap();
    assert_eq!(page.group_membership_info[0].group_id, staff);
    request.page_token = page.next_page_token;
    assert_eq!(names(&auditor, &request).await.unwrap(), ["Printers"]);
}

#[tokio::test]
async fn other_subjects_get_a_clear_answer() {
    let hub = Harness::start().await;
    let ann = hub.create_user("ann").await;
    let file = std::fs::read_to_string(&hub.made.key).unwrap();
    let key: serde_json::Value = serde_json::from_str(&file).unwrap();
    // A service account is in no group.
    let account_id = key["service_account_id"].as_str().unwrap();
    let account = of(account_id, "");
    let found = names(&hub.administrator, &account).await.unwrap();
    assert!(found.is_empty());
    let status = names(&hub.administrator, &of("ajemissing", "")).await;
    expect(&status.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let elsewhere = om::ListEffectiveRequest {
        organization_id: "bpfother".into(),
        ..of(&ann, "")
    };
    let status = names(&hub.administrator, &elsewhere).await.unwrap_err();
    expect(&status, Code::NotFound, "NOT_FOUND");
    assert!(
        status.message().contains("organization bpfother"),
        "{status:?}"
    );

    // Without the right nothing tells which of them exist.
    let agent = hub.agent().await;
    let mut answers = Vec::new();
    for request in [of(&ann, ""), account, of("ajemissing", ""), elsewhere] {
        let status = names(&agent, &request).await.unwrap_err();
        expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        answers.push(status.message().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Neither does it to those who have the right elsewhere.
    let elsewhere = ResourceRef::organization(&"bpfother".into());
    let stranger = hub.account(&["auditor"], elsewhere).await;
    let mut answers = Vec::new();
    for id in [account_id, "ajemissing"] {
        let status = names(&stranger, &of(id, "")).await.unwrap_err();
        expect(&status, Code::NotFound, "NOT_FOUND");
        answers.push(status.message().replace(id, "<id>"));
    }
    assert_eq!(answers[0], answers[1]);
}
