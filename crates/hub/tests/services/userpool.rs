use rollcall_proto::idp;
use rollcall_proto::idp::password_quality_policy::ComplexityPolicy;
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
