//! AT-20: certificates of the directory and of the hub are replaced, expire and do not fit.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/agents.rs"]
mod agents;
#[path = "support/change.rs"]
mod change;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/world.rs"]
mod world;

use std::path::Path;

use agents::*;
use change::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rollcall_hub::data_directory::DataDirectory;
use time::{Duration, OffsetDateTime};
use world::World;

const OTHER: &str = "elsewhere.corp.example.com";

/// A new authority and a certificate of it.
struct Issued {
    ca: String,
    certificate: String,
    key: String,
}

fn issue(name: &str, days_left: i64) -> Issued {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = OffsetDateTime::now_utc() - Duration::days(90);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days_left) + Duration::HOUR;
    let certificate = params.signed_by(&key, &authority).unwrap();
    Issued {
        ca: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Gives the directory a certificate for `name` of a new authority, which the agent's file names.
fn renew_directory(world: &mut World, name: &str, days_left: i64) {
    let issued = issue(name, days_left);
    let ca = world.dc.ca_path();
    let tls = ca.parent().unwrap().to_owned();
    world.dc.stop();
    write(&ca, &issued.ca);
    write(&tls.join("cert.pem"), &issued.certificate);
    write(&tls.join("key.pem"), &issued.key);
    world.dc.restart().unwrap();
}

async fn renew_hub(world: &mut World, name: &str, days_left: i64) {
    let issued = issue(name, days_left);
    let data = DataDirectory::at(&world.hub_data);
    world.stop_hub().await;
    write(&data.ca_certificate(), &issued.ca);
    write(&data.server_certificate(), &issued.certificate);
    write(&data.server_key(), &issued.key);
    world.restart_hub().await;
}

/// A run that must fail; its reason and what the agent says on standard error.
async fn failing(world: &World, agent: &Agent) -> String {
    let output = world
        .agent(&agent.config, &["--once", "--now", "-o", "json"])
        .await;
    assert_ne!(output.status.code(), Some(0));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn check(world: &World, agent: &Agent) -> String {
    let output = world.agent(&agent.config, &["--check"]).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_20_certificates_are_replaced_expire_and_do_not_fit() {
    let mut world = World::start(Some(people(30))).await;
    let agent = Agent::new(&world, "anna", &Ways::default(), "", "");
    let following = agent.spawn(&["--now"]);
    world.wait_equal().await;
    assert!(!agent.log().contains("expires soon"), "{}", agent.log());
    assert!(!agent.log().contains("NOT verified"), "off by default");

    // New certificates of new authorities on both sides, in the files the agent knows.
    let directory_ip = world.dc.ip().to_string();
    renew_directory(&mut world, &directory_ip, 10);
    let people = format!("OU=People,{BASE}");
    world
        .dc
        .admin_ldapmodify(&new_user("first", &people))
        .unwrap();
    wait_login(&world, "first").await;
    renew_hub(&mut world, "127.0.0.1", 9).await;
    world
        .dc
        .admin_ldapmodify(&new_user("second", &people))
        .unwrap();
    wait_login(&world, "second").await;
    assert_eq!(following.terminate().await, Some(0), "{}", agent.log());

    // Both expire within two weeks: that is told at every start and by --check.
    let again = agent.spawn(&["--once", "--now"]);
    assert_eq!(again.end().await, Some(0), "{}", agent.log());
    for whose in ["directory", "hub"] {
        let told = format!("the certificate of the {whose} expires soon");
        assert!(agent.log().contains(&told), "{}", agent.log());
    }
    let found = check(&world, &agent).await;
    assert!(
        found.contains("directory certificate: accepted; 10 days left; renew it soon"),
        "{found}"
    );
    assert!(
        found.contains("hub certificate: accepted; 9 days left; renew it soon"),
        "{found}"
    );

    // Names that do not fit are told, with the names that would.
    renew_directory(&mut world, OTHER, 90);
    let told = failing(&world, &agent).await;
    assert!(
        told.contains(OTHER) && told.contains(&directory_ip),
        "{told}"
    );
    assert!(check(&world, &agent).await.contains(OTHER));

    // Verification can be switched off, loudly.
    let text = std::fs::read_to_string(&agent.config).unwrap();
    let insecure = text.replace("ldap: {", "ldap: {insecure_skip_verify: true, ");
    write(&agent.config, &insecure);
    let output = world.agent(&agent.config, &["--once", "--now"]).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("NOT verified"), "{told}");
    assert!(check(&world, &agent).await.contains("NOT VERIFIED"));
    write(&agent.config, &text);

    renew_directory(&mut world, &directory_ip, -1);
    let told = failing(&world, &agent).await;
    assert!(told.contains("it has expired; renew it"), "{told}");
    renew_directory(&mut world, &directory_ip, 90);

    renew_hub(&mut world, OTHER, 90).await;
    let told = failing(&world, &agent).await;
    assert!(told.contains(OTHER) && told.contains("127.0.0.1"), "{told}");
    renew_hub(&mut world, "127.0.0.1", -1).await;
    let told = failing(&world, &agent).await;
    assert!(told.contains("its certificate has expired"), "{told}");
    assert!(
        check(&world, &agent)
            .await
            .contains("its certificate has expired")
    );
    renew_hub(&mut world, "127.0.0.1", 90).await;
    world.run(&agent.config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_compared_again_when_that_was_long_ago() {
    let world = World::start(Some(people(30))).await;
    let config = world.configure("", "");
    assert_eq!(world.run(&config).await["mode"], "full");
    assert_eq!(world.run(&config).await["mode"], "delta");
    // Something happens in the hub that no increment of the directory tells.
    let users = world.users().await;
    let request = rollcall_proto::idp::DeleteUserRequest {
        user_id: users[0].id.clone(),
    };
    world.client.users().delete(request).await.unwrap();
    let often = world.configure("  full_comparison_period: 1s", "");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let run = world.run(&often).await;
    assert_eq!(
        (&run["mode"], &run["users"]["created"]),
        (&"full".into(), &1.into())
    );
    world.assert_equal().await;
    let config = world.configure("  full_comparison_period: 7d", "");
    assert_eq!(world.run(&config).await["mode"], "delta");
}
