use prost_types::FieldMask;
use rollcall_domain::access::Subject;
use rollcall_hub::wire::render_timestamp;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::user::Status as UserStatus;
use rollcall_proto::{admin, iam};
use tonic::{Code, Status};

use crate::harness::{Caller, Harness, expect, expect_field};

const CREATE: &str = "UserService/Create";

async fn get(caller: &Caller, id: &str) -> Result<idp::User, Status> {
    caller
        .call(
            "UserService/Get",
            &idp::GetUserRequest { user_id: id.into() },
        )
        .await
}

async fn suspend(caller: &Caller, id: &str) {
    let request = idp::SuspendUserRequest {
        user_id: id.into(),
        ..Default::default()
    };
    let _: (idp::SuspendUserMetadata, ()) = caller
        .change("UserService/Suspend", &request)
        .await
        .unwrap();
}

async fn reactivate(caller: &Caller, id: &str) -> Result<(), Status> {
    let request = idp::ReactivateUserRequest { user_id: id.into() };
    let _: (idp::ReactivateUserMetadata, ()) =
        caller.change("UserService/Reactivate", &request).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_is_made_read_and_found() {
    let hub = Harness::start().await;
    let mut request = hub.new_user("Ann.B");
    request.external_id = "guid-1".into();
    request.email = "ann@corp.example".into();
    request.phone_number = "+1 555".into();
    request.employee_id = "7".into();
    let (metadata, made): (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(CREATE, &request).await.unwrap();
    assert_eq!(metadata.user_id, made.id);
    assert_eq!(made.status(), UserStatus::Active);
    assert_eq!(made.username, "Ann.B@staff.idp.rollcall.internal");
    assert_eq!(
        (made.email.as_str(), made.employee_id.as_str()),
        ("ann@corp.example", "7")
    );
    assert_eq!(get(&hub.administrator, &made.id).await.unwrap(), made);

    let resolve = idp::ResolveExternalIdsRequest {
        userpool_id: hub.pool_id.clone(),
        external_ids: vec![
            "none".into(),
            "guid-1".into(),
            "GUID-1".into(),
            "guid-1".into(),
        ],
    };
    let resolved: idp::ResolveExternalIdsResponse = hub
        .administrator
        .call("UserService/ResolveExternalIds", &resolve)
        .await
        .unwrap();
    assert_eq!(resolved.resolved_users.len(), 1);
    assert_eq!(resolved.resolved_users[0].user_id, made.id);
    assert_eq!(resolved.resolved_users[0].external_id, "guid-1");

    // The login is unique whatever its case, the external id too (decisions U66, U85).
    let same_login = hub.new_user("ann.b");
    let status = hub.administrator.refused(CREATE, &same_login).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    let same_id = idp::CreateUserRequest {
        external_id: "guid-1".into(),
        ..hub.new_user("bob")
    };
    let status = hub.administrator.refused(CREATE, &same_id).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test]
async fn phone_numbers_are_hidden_from_auditors() {
    let hub = Harness::start().await;
    let mut request = hub.new_user("ann");
    request.phone_number = "+1 555".into();
    let (_, made): (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(CREATE, &request).await.unwrap();
    assert_eq!(made.phone_number, "+1 555");
    let auditor = hub.account(&["userpools.auditor"], hub.pool()).await;
    assert_eq!(get(&auditor, &made.id).await.unwrap().phone_number, "");
    let list = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        ..Default::default()
    };
    let page: idp::ListUsersResponse = auditor.call("UserService/List", &list).await.unwrap();
    assert_eq!(page.users[0].phone_number, "");
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    assert_eq!(get(&viewer, &made.id).await.unwrap().phone_number, "+1 555");
}

#[tokio::test]
async fn an_update_follows_its_mask() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let request = |paths: &[&str]| idp::UpdateUserRequest {
        user_id: id.clone(),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        full_name: "Ann".into(),
        department: "IT".into(),
        ..Default::default()
    };
    let update = "UserService/Update";
    let (_, changed): (idp::UpdateUserMetadata, idp::User) = hub
        .administrator
        .change(update, &request(&["department"]))
        .await
        .unwrap();
    assert_eq!(
        (changed.full_name.as_str(), changed.department.as_str()),
        ("The ann", "IT")
    );
    let (_, changed): (idp::UpdateUserMetadata, idp::User) = hub
        .administrator
        .change(update, &request(&["full_name", "email"]))
        .await
        .unwrap();
    assert_eq!(
        (changed.full_name.as_str(), changed.department.as_str()),
        ("Ann", "IT")
    );
    let status = hub.administrator.refused(update, &request(&["id"])).await;
    expect_field(&status, "update_mask");
    let status = hub
        .administrator
        .refused(update, &request(&["username"]))
        .await;
    expect_field(&status, "username");
    // Without a mask the absent login is refused, because everything is replaced (decision U71).
    let status = hub.administrator.refused(update, &request(&[])).await;
    expect_field(&status, "username");
    let foreign = idp::UpdateUserRequest {
        username: "ann@elsewhere.example".into(),
        ..request(&["username"])
    };
    let status = hub.administrator.refused(update, &foreign).await;
    expect(
        &status,
        Code::FailedPrecondition,
        "USERNAME_DOMAIN_NOT_VALID",
    );
}

#[tokio::test]
async fn causes_of_suspension_are_kept_apart() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let id = hub.create_user("ann").await;
    let opened = hub
        .open(&agent, "agent-1", idp::SessionType::AdUserControl)
        .await;
    let Some(idp::open_session_response::SessionInfo::OpenedSession(session)) = opened.session_info
    else {
        panic!("no session");
    };
    let fenced = agent.with("x-sync-session-id", &session.session_id);
    suspend(&hub.administrator, &id).await;
    suspend(&fenced, &id).await;
    // The agent lifts its own block, not the administrator's (decision U52).
    reactivate(&fenced, &id).await.unwrap();
    assert_eq!(
        get(&hub.administrator, &id).await.unwrap().status(),
        UserStatus::Suspended
    );
    reactivate(&hub.administrator, &id).await.unwrap();
    assert_eq!(
        get(&hub.administrator, &id).await.unwrap().status(),
        UserStatus::Active
    );
    reactivate(&hub.administrator, &id).await.unwrap();
}

#[tokio::test]
async fn an_account_ends_at_its_time_and_revives_with_a_later_one() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let update = |expires_at| idp::UpdateUserRequest {
        user_id: id.clone(),
        update_mask: Some(FieldMask {
            paths: vec!["expires_at".into()],
        }),
        expires_at,
        ..Default::default()
    };
    let end = hub.clock.now().plus(Span::hours(1));
    let _: (idp::UpdateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Update", &update(Some(render_timestamp(end))))
        .await
        .unwrap();
    hub.advance(Span::hours(1));
    let status = reactivate(&hub.administrator, &id).await.unwrap_err();
    expect(&status, Code::FailedPrecondition, "USER_EXPIRED");
    let (_, revived): (idp::UpdateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Update", &update(None))
        .await
        .unwrap();
    assert_eq!(
        (revived.status(), revived.expires_at),
        (UserStatus::Active, None)
    );
}

/// Whether the sweeper came makes no difference to what is shown (decision U9).
#[tokio::test]
async fn an_ended_account_is_suspended_at_once() {
    let hub = Harness::start().await;
    hub.create_user("bob").await;
    let mut request = hub.new_user("ann");
    request.expires_at = Some(render_timestamp(hub.clock.now().plus(Span::minutes(1))));
    let (_, ann): (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(CREATE, &request).await.unwrap();
    let list = async |filter: &str| {
        let request = idp::ListUsersRequest {
            userpool_id: hub.pool_id.clone(),
            filter: filter.into(),
            ..Default::default()
        };
        let page: idp::ListUsersResponse = hub
            .administrator
            .call("UserService/List", &request)
            .await
            .unwrap();
        page.users
    };
    assert_eq!(ann.status(), UserStatus::Active);
    assert_eq!(list("status = ACTIVE").await.len(), 2);
    hub.advance(Span::minutes(1));
    let found = get(&hub.administrator, &ann.id).await.unwrap();
    assert_eq!(found.status(), UserStatus::Suspended);
    assert_eq!(list("status = ACTIVE").await.len(), 1);
    let suspended = list("status = SUSPENDED").await;
    assert_eq!(suspended, [found]);
}

/// Tokens in the name of a service account end with the user that asked for them (decision U82).
#[tokio::test]
async fn a_deleted_user_takes_its_tokens_along() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let ann = Subject::user(id.as_str());
    let ann = hub.sign_in(ann, &["admin"], hub.organization()).await;
    let new = admin::CreateServiceAccountRequest {
        organization_id: hub.made.organization_id.clone(),
        name: "robot".into(),
        ..Default::default()
    };
    let (_, robot): (admin::CreateServiceAccountMetadata, admin::ServiceAccount) = hub
        .administrator
        .change("ServiceAccountService/Create", &new)
        .await
        .unwrap();
    let request = iam::CreateIamTokenForServiceAccountRequest {
        service_account_id: robot.id,
    };
    let token: iam::CreateIamTokenResponse = ann
        .call("IamTokenService/CreateForServiceAccount", &request)
        .await
        .unwrap();
    let bearer = format!("Bearer {}", token.iam_token);
    let robot = hub
        .anonymous()
        .named("the service account")
        .with("authorization", &bearer);
    let get = idp::GetUserRequest {
        user_id: id.clone(),
    };
    // The hub knows both tokens now.
    let _: idp::User = ann.call("UserService/Get", &get).await.unwrap();
    let status = robot.refused("UserService/Get", &get).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let request = idp::DeleteUserRequest { user_id: id };
    let _: (idp::DeleteUserMetadata, ()) = hub
        .administrator
        .change("UserService/Delete", &request)
        .await
        .unwrap();
    for caller in [&ann, &robot] {
        let status = caller.refused("UserService/Get", &get).await;
        expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn the_sweeper_suspends_expired_users() {
    let hub = Harness::start().await;
    let mut request = hub.new_user("ann");
    request.expires_at = Some(render_timestamp(hub.clock.now().plus(Span::minutes(1))));
    let (metadata, _): (idp::CreateUserMetadata, idp::User) =
        hub.administrator.change(CREATE, &request).await.unwrap();
    hub.advance(Span::minutes(2));
    rollcall_hub::sweeper::sweep(&hub.running.hub, hub.clock.now())
        .await
        .unwrap();
    let user = get(&hub.administrator, &metadata.user_id).await.unwrap();
    assert_eq!(user.status(), UserStatus::Suspended);
}

#[tokio::test]
async fn a_user_is_tied_to_one_object() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let convert = "UserService/ConvertToExternal";
    let request = |external_id: &str| idp::ConvertToExternalUserRequest {
        user_id: id.clone(),
        external_id: external_id.into(),
    };
    for _ in 0..2 {
        let (metadata, user): (idp::ConvertToExternalUserMetadata, idp::User) = hub
            .administrator
            .change(convert, &request("guid-1"))
            .await
            .unwrap();
        assert_eq!(
            (metadata.external_id.as_str(), user.external_id.as_str()),
            ("guid-1", "guid-1")
        );
    }
    let status = hub.administrator.refused(convert, &request("guid-2")).await;
    expect(&status, Code::FailedPrecondition, "USER_ALREADY_EXTERNAL");
}

#[tokio::test]
async fn a_deleted_user_leaves_its_login_free() {
    let hub = Harness::start().await;
    let id = hub.create_user("ann").await;
    let request = idp::DeleteUserRequest {
        user_id: id.clone(),
    };
    let _: (idp::DeleteUserMetadata, ()) = hub
        .administrator
        .change("UserService/Delete", &request)
        .await
        .unwrap();
    expect(
        &get(&hub.administrator, &id).await.unwrap_err(),
        Code::NotFound,
        "NOT_FOUND",
    );
    let status = hub
        .administrator
        .refused("UserService/Delete", &request)
        .await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    assert_ne!(hub.create_user("ann").await, id);
}

#[tokio::test]
async fn users_are_listed_in_pages_and_filtered() {
    let hub = Harness::start().await;
    for login in ["ann", "bob", "cyd"] {
        hub.create_user(login).await;
        hub.advance(Span::millis(1));
    }
    let mut request = idp::ListUsersRequest {
        userpool_id: hub.pool_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let list = "UserService/List";
    let first: idp::ListUsersResponse = hub.administrator.call(list, &request).await.unwrap();
    request.page_token = first.next_page_token.clone();
    let second: idp::ListUsersResponse = hub.administrator.call(list, &request).await.unwrap();
    let names: Vec<_> = first
        .users
        .iter()
        .chain(&second.users)
        .map(|user| user.full_name.as_str())
        .collect();
    assert_eq!(names, ["The ann", "The bob", "The cyd"]);
    let filtered = idp::ListUsersRequest {
        filter: "full_name contains 'BO' AND status = 'ACTIVE'".into(),
        page_token: String::new(),
        ..request.clone()
    };
    let page: idp::ListUsersResponse = hub.administrator.call(list, &filtered).await.unwrap();
    assert_eq!(page.users.len(), 1);
    let bad = idp::ListUsersRequest {
        filter: "full_name".into(),
        ..filtered
    };
    expect_field(&hub.administrator.refused(list, &bad).await, "filter");
}

#[tokio::test]
async fn bad_requests_name_their_field() {
    let hub = Harness::start().await;
    let check = async |change: &dyn Fn(&mut idp::CreateUserRequest), field: &str| {
        let mut request = hub.new_user("ann");
        change(&mut request);
        expect_field(&hub.administrator.refused(CREATE, &request).await, field);
    };
    check(&|request| request.username = "no-domain".into(), "username").await;
    check(&|request| request.full_name = String::new(), "full_name").await;
    check(&|request| request.full_name = "x".repeat(257), "full_name").await;
    check(&|request| request.email = "a".into(), "email").await;
    check(&|request| request.credentials = None, "credentials").await;
    let mut request = hub.new_user("ann");
    request.username = "ann@unknown.example".into();
    let status = hub.administrator.refused(CREATE, &request).await;
    expect(
        &status,
        Code::FailedPrecondition,
        "USERNAME_DOMAIN_NOT_VALID",
    );
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let status = viewer.refused(CREATE, &hub.new_user("ann")).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    // Managing users is not importing hashes.
    let manager = hub.account(&["userpools.userAdmin"], hub.pool()).await;
    let status = manager.refused(CREATE, &hub.new_user("ann")).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
