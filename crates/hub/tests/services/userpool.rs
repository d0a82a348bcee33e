use rollcall_proto::idp;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::idp::password_quality_policy::ComplexityPolicy;
use rollcall_proto::operation::Operation;
use tonic::Code;

use crate::harness::{Harness, expect, expect_field};

const CREATE: &str = "UserpoolService/Create";

fn request(hub: &Harness, name: &str) -> idp::CreateUserpoolRequest {
    idp::CreateUserpoolRequest {
        organization_id: hub.made.organization_id.clone(),
        name: name.into(),
        description: "people".into(),
        labels: [("team".to_owned(), "core".to_owned())].into(),
        default_subdomain: "corp".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_pool_has_its_domain_and_the_default_policies() {
    let hub = Harness::start().await;
    let (metadata, pool): (idp::CreateUserpoolMetadata, idp::Userpool) = hub
        .administrator
        .change(CREATE, &request(&hub, "corp"))
        .await
        .unwrap();
    assert_eq!(metadata.userpool_id, pool.id);
    assert!(pool.id.starts_with("ek0"));
    assert_eq!(pool.status(), idp::userpool::Status::Active);
    assert_eq!(pool.domains, ["corp.idp.rollcall.internal"]);
    assert_eq!(pool.labels.get("team").map(String::as_str), Some("core"));
    let quality = pool.password_quality_policy.unwrap();
    let Some(ComplexityPolicy::Smart(smart)) = quality.complexity_policy else {
        panic!("{quality:?}");
    };
    assert_eq!((smart.one_class, smart.two_classes), (0, 24));
    assert_eq!((smart.three_classes, smart.four_classes), (11, 10));
    assert_eq!(pool.password_lifetime_policy.unwrap().max_days_count, 365);
    assert_eq!(pool.bruteforce_protection_policy.unwrap().attempts, 15);
    assert_eq!(
        pool.password_blacklist_policy.unwrap().check_common,
        Some(true)
    );

    let get = idp::GetUserpoolRequest {
        userpool_id: pool.id.clone(),
    };
    let read: idp::Userpool = hub
        .administrator
        .call("UserpoolService/Get", &get)
        .await
        .unwrap();
    assert_eq!(read, pool);
}

#[tokio::test]
async fn names_and_domains_are_unique() {
    let hub = Harness::start().await;
    let status = hub
        .administrator
        .refused(CREATE, &request(&hub, "staff"))
        .await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    let taken = idp::CreateUserpoolRequest {
        default_subdomain: "staff".into(),
        ..request(&hub, "other")
    };
    let status = hub.administrator.refused(CREATE, &taken).await;
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    // What was refused left nothing behind.
    hub.create_pool("other").await;
}

#[tokio::test]
async fn pools_are_listed_in_pages() {
    let hub = Harness::start().await;
    for name in ["alpha", "beta"] {
        hub.create_pool(name).await;
    }
    let mut request = idp::ListUserpoolsRequest {
        organization_id: hub.made.organization_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let first: idp::ListUserpoolsResponse = hub
        .administrator
        .call("UserpoolService/List", &request)
        .await
        .unwrap();
    request.page_token = first.next_page_token.clone();
    let second: idp::ListUserpoolsResponse = hub
        .administrator
        .call("UserpoolService/List", &request)
        .await
        .unwrap();
    let names: Vec<_> = first
        .userpools
        .iter()
        .chain(&second.userpools)
        .map(|p| &p.name)
        .collect();
    assert_eq!(names.len(), 3);
    assert_eq!(second.next_page_token, "");
    request.page_token = "x".into();
    let status = hub
        .administrator
        .refused("UserpoolService/List", &request)
        .await;
    expect_field(&status, "page_token");
    request.page_token = String::new();
    request.page_size = 1_001;
    let status = hub
        .administrator
        .refused("UserpoolService/List", &request)
        .await;
    expect_field(&status, "page_size");
}

#[tokio::test]
async fn rights_and_fields_are_checked() {
    let hub = Harness::start().await;
    let agent = hub.agent().await;
    let status = agent.refused(CREATE, &request(&hub, "corp")).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = hub
        .administrator
        .refused(CREATE, &request(&hub, "Corp"))
        .await;
    expect_field(&status, "name");
    let bad = idp::CreateUserpoolRequest {
        default_subdomain: String::new(),
        ..request(&hub, "a")
    };
    expect_field(
        &hub.administrator.refused(CREATE, &bad).await,
        "default_subdomain",
    );
    let bad = idp::CreateUserpoolRequest {
        organization_id: "bpfx".into(),
        ..request(&hub, "a")
    };
    expect(
        &hub.administrator.refused(CREATE, &bad).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let get = idp::GetUserpoolRequest {
        userpool_id: "ek0missing".into(),
    };
    let status = hub.administrator.refused("UserpoolService/Get", &get).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    // A right on one pool is none on another (decision U77).
    let other = hub.create_pool("other").await;
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let get = idp::GetUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let _: idp::Userpool = viewer.call("UserpoolService/Get", &get).await.unwrap();
    let get = idp::GetUserpoolRequest { userpool_id: other };
    let status = viewer.refused("UserpoolService/Get", &get).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}

async fn update(
    hub: &Harness,
    paths: &[&str],
    request: idp::UpdateUserpoolRequest,
) -> Result<idp::Userpool, tonic::Status> {
    let request = idp::UpdateUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
        update_mask: (!paths.is_empty()).then(|| prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..request
    };
    let method = "UserpoolService/Update";
    let changed = hub.administrator.change(method, &request).await;
    changed.map(|(_, pool): (idp::UpdateUserpoolMetadata, _)| pool)
}

fn four_classes(pool: &idp::Userpool) -> Option<i64> {
    match pool.password_quality_policy.as_ref()?.complexity_policy? {
        ComplexityPolicy::Smart(smart) => Some(smart.four_classes),
        ComplexityPolicy::Fixed(_) => None,
    }
}

#[tokio::test]
async fn a_mask_names_single_rules() {
    let hub = Harness::start().await;
    let smart = idp::password_quality_policy::Smart {
        four_classes: 14,
        ..Default::default()
    };
    let body = idp::UpdateUserpoolRequest {
        description: "not named".into(),
        user_settings: Some(idp::UserSettings {
            allow_edit_self_password: true,
            allow_edit_self_info: true,
            ..Default::default()
        }),
        password_quality_policy: Some(idp::PasswordQualityPolicy {
            complexity_policy: Some(ComplexityPolicy::Smart(smart)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let paths = [
        "user_settings.allow_edit_self_password",
        "password_quality_policy.smart.four_classes",
    ];
    hub.advance(rollcall_kit::timestamp::Span::seconds(1));
    let pool = update(&hub, &paths, body).await.unwrap();
    assert_eq!(
        (pool.name.as_str(), pool.description.as_str()),
        ("staff", "")
    );
    let settings = pool.user_settings.unwrap();
    assert!(settings.allow_edit_self_password && !settings.allow_edit_self_info);
    assert_eq!(four_classes(&pool), Some(14));
    let quality = pool.password_quality_policy.unwrap();
    assert_eq!((quality.max_length, quality.match_length), (128, 4));
    assert_ne!(pool.updated_at, pool.created_at);

    // A member of the complexity policy clears the other; a rule that is named but absent gets
    // its default.
    let fixed = idp::password_quality_policy::Fixed {
        min_length: 12,
        ..Default::default()
    };
    let body = idp::UpdateUserpoolRequest {
        password_quality_policy: Some(idp::PasswordQualityPolicy {
            complexity_policy: Some(ComplexityPolicy::Fixed(fixed)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let paths = [
        "password_quality_policy.fixed",
        "bruteforce_protection_policy.window",
    ];
    let pool = update(&hub, &paths, body).await.unwrap();
    let quality = pool.password_quality_policy.unwrap();
    assert_eq!(
        quality.complexity_policy,
        Some(ComplexityPolicy::Fixed(fixed))
    );
    let window = pool.bruteforce_protection_policy.unwrap().window.unwrap();
    assert_eq!(window.seconds, 600);
    let body = idp::UpdateUserpoolRequest::default();
    let pool = update(&hub, &["password_quality_policy.fixed"], body)
        .await
        .unwrap();
    assert_eq!(four_classes(&pool), Some(10));
}

#[tokio::test]
async fn without_a_mask_everything_is_replaced() {
    let hub = Harness::start().await;
    let body = idp::UpdateUserpoolRequest {
        name: "crew".into(),
        description: "all".into(),
        password_lifetime_policy: Some(idp::PasswordLifetimePolicy {
            min_days_count: 1,
            max_days_count: 30,
        }),
        ..Default::default()
    };
    let pool = update(&hub, &[], body).await.unwrap();
    assert_eq!(
        (pool.name.as_str(), pool.description.as_str()),
        ("crew", "all")
    );
    assert_eq!(pool.password_lifetime_policy.unwrap().max_days_count, 30);
    let body = idp::UpdateUserpoolRequest {
        name: "crew".into(),
        ..Default::default()
    };
    let pool = update(&hub, &[], body).await.unwrap();
    assert_eq!(pool.description, "");
    assert_eq!(pool.password_lifetime_policy.unwrap().max_days_count, 365);
    let status = update(&hub, &[], idp::UpdateUserpoolRequest::default())
        .await
        .unwrap_err();
    expect_field(&status, "name");
}

#[tokio::test]
async fn paths_that_cannot_be_changed_are_named() {
    let hub = Harness::start().await;
    for path in [
        "status",
        "domains",
        "created_at",
        "password_quality_policy.min_length",
        "user_settings.allow_edit_self_job_info",
        "nonsense",
    ] {
        let body = idp::UpdateUserpoolRequest::default();
        let status = update(&hub, &["description", path], body)
            .await
            .unwrap_err();
        expect_field(&status, "update_mask");
        assert!(status.message().contains(path), "{status:?}");
    }
    hub.create_pool("other").await;
    let taken = idp::UpdateUserpoolRequest {
        name: "other".into(),
        ..Default::default()
    };
    let status = update(&hub, &["name"], taken).await.unwrap_err();
    expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test]
async fn only_an_empty_pool_is_deleted() {
    let hub = Harness::start().await;
    let method = "UserpoolService/Delete";
    let request = idp::DeleteUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let user_id = hub.create_user("ann").await;
    let agent = hub.agent().await;
    let opened = hub.open(&agent, "agent-1", idp::SessionType::AdSync).await;
    let status = hub.administrator.refused(method, &request).await;
    expect(&status, Code::FailedPrecondition, "USERPOOL_NOT_EMPTY");
    let left = "1 user, 1 open synchronization session:";
    assert!(status.message().contains(left), "{status:?}");

    let Some(SessionInfo::OpenedSession(session)) = opened.session_info else {
        panic!("{opened:?}");
    };
    let close = idp::CloseSessionRequest {
        session_id: session.session_id,
        ..Default::default()
    };
    let _: Operation = agent
        .call("SynchronizationSessionService/CloseSession", &close)
        .await
        .unwrap();
    let remove = idp::DeleteUserRequest { user_id };
    let _: Operation = hub
        .administrator
        .call("UserService/Delete", &remove)
        .await
        .unwrap();
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let status = viewer.refused(method, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let (metadata, ()): (idp::DeleteUserpoolMetadata, ()) =
        hub.administrator.change(method, &request).await.unwrap();
    assert_eq!(metadata.userpool_id, hub.pool_id);

    let get = idp::GetUserpoolRequest {
        userpool_id: hub.pool_id.clone(),
    };
    let status = hub.administrator.refused("UserpoolService/Get", &get).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
    // Its name and its built-in domain are free.
    hub.create_pool("staff").await;
}

#[tokio::test]
async fn the_operations_of_a_pool_are_listed_newest_first() {
    let hub = Harness::start().await;
    hub.advance(rollcall_kit::timestamp::Span::seconds(1));
    let body = idp::UpdateUserpoolRequest {
        description: "all".into(),
        ..Default::default()
    };
    update(&hub, &["description"], body).await.unwrap();
    hub.advance(rollcall_kit::timestamp::Span::seconds(1));
    let add = idp::AddUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: "corp.example".into(),
    };
    let added: Operation = hub
        .administrator
        .call("UserpoolService/AddDomain", &add)
        .await
        .unwrap();
    let method = "UserpoolService/ListOperations";
    let mut request = idp::ListUserpoolOperationsRequest {
        userpool_id: hub.pool_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let first: idp::ListUserpoolOperationsResponse = viewer.call(method, &request).await.unwrap();
    assert_eq!(first.operations[0], added);
    request.page_token = first.next_page_token;
    let second: idp::ListUserpoolOperationsResponse = viewer.call(method, &request).await.unwrap();
    let names: Vec<_> = first
        .operations
        .iter()
        .chain(&second.operations)
        .map(|operation| operation.description.as_str())
        .collect();
    assert_eq!(
        names,
        ["Add a domain", "Update a user pool", "Create a user pool"]
    );
    let stranger = hub.account(&[], hub.organization()).await;
    let status = stranger.refused(method, &request).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
