use std::sync::Arc;

use rollcall_client::ServiceAccountKey;
use rollcall_hub::service_account_key;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use rollcall_proto::iam;
use rollcall_proto::iam::create_iam_token_request::Identity;
use rollcall_proto::organizationmanager as om;
use tonic::Code;

use crate::harness::{Harness, expect, expect_field};

fn jwt(text: &str) -> iam::CreateIamTokenRequest {
    iam::CreateIamTokenRequest {
        identity: Some(Identity::Jwt(text.into())),
    }
}

/// A token for the key that `init` made.
async fn token_of_key(hub: &Harness) -> iam::CreateIamTokenResponse {
    let key = ServiceAccountKey::read(&hub.made.key).unwrap();
    let signed = key.sign(hub.clock.now()).unwrap();
    hub.anonymous()
        .call("IamTokenService/Create", &jwt(signed.expose()))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_has_the_known_form_and_ends_after_twelve_hours() {
    let hub = Harness::start().await;
    let token = token_of_key(&hub).await;
    let parts: Vec<_> = token.iam_token.split('.').collect();
    assert_eq!((parts[0], parts[2].len(), parts.len()), ("t1", 86, 3));
    assert!(
        token
            .iam_token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    );
    let ends = token.expires_at.unwrap().seconds - hub.clock.now().as_seconds();
    assert_eq!(ends, 12 * 3600);

    let caller = hub
        .anonymous()
        .with("authorization", &format!("Bearer {}", token.iam_token));
    let request = om::ListOrganizationsRequest::default();
    let list = "OrganizationService/List";
    let _: om::ListOrganizationsResponse = caller.call(list, &request).await.unwrap();
    hub.advance(Span::hours(12));
    let status = caller.refused(list, &request).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn only_the_key_of_the_account_is_accepted() {
    let hub = Harness::start().await;
    let now = hub.clock.now();
    let anybody = hub.anonymous();
    let create = "IamTokenService/Create";
    let key = ServiceAccountKey::read(&hub.made.key).unwrap();

    let old = key.sign(now.minus(Span::hours(2))).unwrap();
    let status = anybody.refused(create, &jwt(old.expose())).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(status.message().contains("expired"), "{status:?}");

    let pair = service_account_key::generate().unwrap();
    let ids = [
        (key.id(), key.service_account_id()),
        ("ajeunknown", key.service_account_id()),
    ];
    for (id, account) in ids {
        let file = service_account_key::render_file(id, account, now, &pair).unwrap();
        let forged = ServiceAccountKey::parse(file.expose()).unwrap();
        let signed = forged.sign(now).unwrap();
        let status = anybody.refused(create, &jwt(signed.expose())).await;
        expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
        assert!(
            status.message().contains("not signed by a valid key"),
            "{status:?}"
        );
    }
    let status = anybody.refused(create, &jwt("no.jwt")).await;
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn other_identities_are_refused_by_name() {
    let hub = Harness::start().await;
    let create = "IamTokenService/Create";
    let status = hub
        .anonymous()
        .refused(create, &iam::CreateIamTokenRequest::default())
        .await;
    expect_field(&status, "identity");
    let identity = Some(Identity::YandexPassportOauthToken("x".into()));
    let request = iam::CreateIamTokenRequest { identity };
    let status = hub.anonymous().refused(create, &request).await;
    expect_field(&status, "yandex_passport_oauth_token");
}

#[tokio::test]
async fn the_token_is_not_in_the_database() {
    let hub = Harness::start().await;
    let token = token_of_key(&hub).await;
    let secret = token.iam_token.rsplit('.').next().unwrap().to_owned();
    let path = hub.data().path().to_owned();
    let hub_alive = Arc::clone(&hub.running.hub);
    for entry in std::fs::read_dir(path).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "the token lies in the data directory");
    }
    drop(hub_alive);
}
