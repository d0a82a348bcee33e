//! Domains of a pool: tying, listing and untying them; proving them is `domain_validation`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_types::Timestamp;
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::idp::domain::Status;
use rollcall_proto::idp::domain_challenge::{self, Challenge};
use tonic::Code;

use crate::harness::{Harness, expect, expect_field};

pub(super) const NAME: &str = "corp.example";
fn add_request(hub: &Harness, domain: &str) -> idp::AddUserpoolDomainRequest {
    idp::AddUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: domain.into(),
    }
}

pub(super) async fn add(hub: &Harness, domain: &str) -> idp::Domain {
    let request = add_request(hub, domain);
    let (_, domain): (idp::AddUserpoolDomainMetadata, _) = hub
        .administrator
        .change("UserpoolService/AddDomain", &request)
        .await
        .unwrap();
    domain
}

pub(super) async fn get(hub: &Harness) -> idp::Domain {
    let request = idp::GetUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: NAME.into(),
    };
    let method = "UserpoolService/GetDomain";
    hub.administrator.call(method, &request).await.unwrap()
}

pub(super) fn validate_request(hub: &Harness) -> idp::ValidateUserpoolDomainRequest {
    idp::ValidateUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: NAME.into(),
    }
}

pub(super) async fn delete(hub: &Harness, domain: &str) -> Result<(), tonic::Status> {
    let request = idp::DeleteUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: domain.into(),
    };
    let method = "UserpoolService/DeleteDomain";
    let changed = hub.administrator.change(method, &request).await;
    changed.map(|(_, ()): (idp::DeleteUserpoolDomainMetadata, ())| ())
}

/// The record to publish.
pub(super) fn record(domain: &idp::Domain) -> &domain_challenge::DnsRecord {
    let Some(Challenge::DnsChallenge(record)) = &domain.challenges[0].challenge else {
        panic!("{domain:?}");
    };
    record
}

#[tokio::test]
async fn a_domain_is_tied_and_untied() {
    let hub = Harness::start().await;
    hub.advance(Span::seconds(1));
    let domain = add(&hub, "Corp.Example").await;
    assert_eq!(domain.domain, NAME);
    assert_eq!(domain.status(), Status::NeedToValidate);
    assert_eq!(
        domain.status_code,
        "organization/domain-diagnostics#need-to-validate"
    );
    assert_eq!(domain.validated_at, Some(Timestamp::default()));
    assert!(!domain.deletion_protection);
    assert_eq!(record(&domain).name, "_yandexcloud-challenge.corp.example");
    let value = &record(&domain).value;
    assert_eq!(value.len(), 44);
    assert_eq!(BASE64_STANDARD.decode(value).unwrap().len(), 32);
    assert_eq!(
        domain.challenges[0].r#type(),
        domain_challenge::Type::DnsTxt
    );
    assert_eq!(
        domain.challenges[0].status(),
        domain_challenge::Status::Pending
    );
    assert_eq!(get(&hub).await, domain);
    let pool: idp::Userpool = hub
        .administrator
        .call(
            "UserpoolService/Get",
            &idp::GetUserpoolRequest {
                userpool_id: hub.pool_id.clone(),
            },
        )
        .await
        .unwrap();
    assert_eq!(pool.domains, ["staff.idp.rollcall.internal", NAME]);

    delete(&hub, "CORP.example").await.unwrap();
    let status = delete(&hub, NAME).await.unwrap_err();
    expect(&status, Code::NotFound, "NOT_FOUND");
    let status = delete(&hub, "staff.idp.rollcall.internal")
        .await
        .unwrap_err();
    expect(&status, Code::FailedPrecondition, "DOMAIN_PROTECTED");
    // It is free again.
    add(&hub, NAME).await;
}

#[tokio::test]
async fn names_of_domains_are_checked() {
    let hub = Harness::start().await;
    add(&hub, NAME).await;
    let method = "UserpoolService/AddDomain";
    let other = idp::AddUserpoolDomainRequest {
        userpool_id: hub.create_pool("other").await,
        domain: "CORP.EXAMPLE".into(),
    };
    for taken in [add_request(&hub, NAME), other] {
        let status = hub.administrator.refused(method, &taken).await;
        expect(&status, Code::AlreadyExists, "ALREADY_EXISTS");
    }
    for bad in [
        "corp example",
        "corp.example.",
        "*.example",
        "пример.example",
        "x.idp.rollcall.internal",
        &format!("{}.example", "a.".repeat(112)),
    ] {
        let status = hub
            .administrator
            .refused(method, &add_request(&hub, bad))
            .await;
        expect_field(&status, "domain");
        assert!(
            bad.is_ascii() || status.message().contains("xn--"),
            "{status:?}"
        );
    }
    assert_eq!(
        add(&hub, "xn--e1afmkfd.example").await.domain,
        "xn--e1afmkfd.example"
    );
}

#[tokio::test]
async fn domains_are_listed_by_state_in_pages() {
    let hub = Harness::start().await;
    for name in ["a.example", "b.example"] {
        hub.advance(Span::seconds(1));
        add(&hub, name).await;
    }
    let list = async |filter: &str, page_size, page_token: String| {
        let request = idp::ListUserpoolDomainsRequest {
            userpool_id: hub.pool_id.clone(),
            filter: filter.into(),
            page_size,
            page_token,
        };
        let method = "UserpoolService/ListDomains";
        let page: idp::ListUserpoolDomainsResponse =
            hub.administrator.call(method, &request).await.unwrap();
        let names: Vec<_> = page
            .domains
            .into_iter()
            .map(|domain| domain.domain)
            .collect();
        (names, page.next_page_token)
    };
    let (first, next) = list("", 2, String::new()).await;
    assert_eq!(first, ["staff.idp.rollcall.internal", "a.example"]);
    let (second, end) = list("", 2, next).await;
    assert_eq!(
        (second.as_slice(), end.as_str()),
        (&["b.example".to_owned()][..], "")
    );
    let (proven, _) = list("status = 'VALID'", 0, String::new()).await;
    assert_eq!(proven, ["staff.idp.rollcall.internal"]);
    let (named, _) = list("domain = 'B.EXAMPLE'", 0, String::new()).await;
    assert_eq!(named, ["b.example"]);
}

#[tokio::test]
async fn domains_have_rights_of_their_own() {
    let hub = Harness::start().await;
    add(&hub, NAME).await;
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let request = idp::GetUserpoolDomainRequest {
        userpool_id: hub.pool_id.clone(),
        domain: NAME.into(),
    };
    let method = "UserpoolService/GetDomain";
    let seen: idp::Domain = viewer.call(method, &request).await.unwrap();
    assert_eq!(seen.domain, NAME);
    let method = "UserpoolService/AddDomain";
    let status = viewer
        .refused(method, &add_request(&hub, "b.example"))
        .await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let method = "UserpoolService/ValidateDomain";
    let status = viewer.refused(method, &validate_request(&hub)).await;
    expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}
