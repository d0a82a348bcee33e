//! What an administrator sees and does: failed items, status, metrics, the reasons of failures.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "operator/explain.rs"]
mod explain;
#[path = "operator/repair.rs"]
mod repair;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::time::Duration;

use change::*;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::{
    CreateSynchronizationSettingsRequest, CreateUserRequest, DeleteSynchronizationSettingsRequest,
    DeleteUserRequest, PasswordSpec, SessionStatus, SynchronizationFilter,
};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use world::World;

const POLLS_MAX: u32 = 300;
const POLL: Duration = Duration::from_millis(100);

async fn status(world: &World, config: &Path, more: &[&str]) -> Json {
    let arguments = [&["status", "-o", "json"], more].concat();
    let output = world.agent(config, &arguments).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A user of the pool that has nothing to do with the directory.
async fn local_user(world: &World, name: &str) {
    let request = CreateUserRequest {
        userpool_id: world.pool.id.clone(),
        username: format!("{name}@{}", world.domain()),
        full_name: "Somebody else".into(),
        credentials: Some(Credentials::PasswordSpec(PasswordSpec {
            password: "a Long enough pa55word, is it?".into(),
            ..PasswordSpec::default()
        })),
        ..CreateUserRequest::default()
    };
    world.client.users().create(request).await.unwrap();
}

/// AT-6: one object in a hundred cannot be synchronized; all others are.
#[tokio::test(flavor = "multi_thread")]
async fn at_06_one_bad_object_in_a_hundred_stops_nothing_else() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let names: Vec<String> = (0..200).map(|number| format!("person{number}")).collect();
    let mut ldif: String = names.iter().map(|name| new_user(name, &people)).collect();
    // A login the hub does not allow.
    ldif.push_str(&modify(
        &format!("CN=person7,{people}"),
        "replace: userPrincipalName\nuserPrincipalName: person 7@corp.example.com",
    ));
    world.dc.admin_ldapmodify(&ldif).unwrap();
    // A login that is taken.
    local_user(&world, "person8").await;
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 198, "{first:#}");
    assert_eq!(first["users"]["failed"], 2);
    assert_eq!(first["failed_items_count"], 2);
    let newest = &world.sessions().await[0];
    assert_ne!(newest.status, SessionStatus::Failed as i32);

    let shown = status(&world, &config, &[]).await;
    let items = shown["failed_items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{shown:#}");
    for (name, reason, remedy) in [
        ("CN=person7,", "before @", "map Username"),
        ("CN=person8,", "exists", "allow_to_capture_users"),
    ] {
        let object = |item: &&Json| item["object"].as_str().unwrap().starts_with(name);
        let item = items.iter().find(object).unwrap();
        assert_eq!(item["change"], "create");
        assert!(
            item["reason"].as_str().unwrap().contains(reason),
            "{item:#}"
        );
        assert!(
            item["remedy"].as_str().unwrap().contains(remedy),
            "{item:#}"
        );
    }
    let one = status(&world, &config, &["--contains", "PERSON7"]).await;
    assert_eq!(
        (&one["matching_count"], &one["failed_items_count"]),
        (&1.into(), &2.into())
    );
    let none = status(&world, &config, &["--kind", "group"]).await;
    assert_eq!(none["matching_count"], 0);
    let limited = status(&world, &config, &["--limit", "1"]).await;
    assert_eq!(limited["failed_items"].as_array().unwrap().len(), 1);

    // Nothing changed in the directory: they are tried again all the same.
    let first_at = items[0]["first_at"].clone();
    let again = world.run(&config).await;
    assert_eq!(again["mode"], "delta");
    assert_eq!(again["users"]["failed"], 2, "{again:#}");
    let shown = status(&world, &config, &[]).await;
    assert_eq!(shown["failed_items"][0]["first_at"], first_at);

    // One is mended in the directory, the other one in the hub.
    world
        .dc
        .admin_ldapmodify(&modify(
            &format!("CN=person7,{people}"),
            "replace: userPrincipalName\nuserPrincipalName: person7@corp.example.com",
        ))
        .unwrap();
    let taken = world.users().await;
    let taken = taken
        .iter()
        .find(|user| user.external_id.is_empty())
        .unwrap();
    let request = DeleteUserRequest {
        user_id: taken.id.clone(),
    };
    world.client.users().delete(request).await.unwrap();
    let mended = world.run(&config).await;
    assert_eq!(mended["users"]["created"], 2, "{mended:#}");
    assert_eq!(mended["failed_items_count"], 0);
    let shown = status(&world, &config, &[]).await;
    assert_eq!(shown["failed_items_count"], 0, "{shown:#}");
    world.assert_equal().await;
}

/// AT-18: whatever keeps a run from its work, nobody is told that it succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn at_18_a_failure_is_never_shown_as_a_success() {
    let mut world = World::start(None).await;
    let config = world.configure("", "");
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &format!("OU=People,{BASE}")))
        .unwrap();
    world.run(&config).await;
    let before = status(&world, &config, &[]).await;
    assert_eq!(before["streams"]["objects"]["last_outcome"], "completed");
    let success = before["streams"]["objects"]["last_success_at"].clone();
    assert!(success.is_string(), "{before:#}");
    let good = std::fs::read_to_string(&config).unwrap();
    let other_domain = good.replace("domain: corp.example.com", "domain: other.example.com");
    let no_unit = good.replace("OU=People,DC=", "OU=Nowhere,DC=");
    let no_controller = good.replace(&world.dc.ldaps_url(), "ldaps://127.0.0.1:9");
    let wrong_password = good.replace(world.dc.sync_password(), "wrong");
    for (text, code, reason) in [
        (&wrong_password, 4, "password"),
        (&no_controller, 1, "127.0.0.1:9"),
        (&other_domain, 2, "other.example.com"),
        (&no_unit, 1, "OU=Nowhere"),
    ] {
        assert_ne!(*text, good);
        std::fs::write(&config, text).unwrap();
        let output = world
            .agent(&config, &["--once", "--now", "-o", "json"])
            .await;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{reason}: {log}");
        assert!(log.contains(reason), "{log}");
        let summary: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["outcome"], "failed", "{summary:#}");
        assert!(summary["reason"].as_str().unwrap().contains(reason));
        let newest = &world.sessions().await[0];
        assert_eq!(newest.status, SessionStatus::Failed as i32, "{reason}");
        assert!(
            newest.fail_reason.contains(reason),
            "{}",
            newest.fail_reason
        );
        let shown = status(&world, &config, &[]).await;
        let objects = &shown["streams"]["objects"];
        assert_eq!(objects["phase"], "failing", "{shown:#}");
        assert_eq!(objects["last_outcome"], "failed");
        assert!(objects["reason"].as_str().unwrap().contains(reason));
        assert_eq!(objects["last_success_at"], success, "no success since");
        assert!(!log.contains(world.dc.sync_password()), "{log}");
    }
    assert_eq!(world.users().await.len(), 1);

    // Files that others may read keep it from starting at all (A12).
    let strict = format!("{good}check_config_permissions: true\n");
    std::fs::write(&config, strict).unwrap();
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(&world.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    mode(0o644);
    let output = world.agent(&config, &["--once", "--now"]).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("chmod 600"));
    mode(0o600);
    let output = world.agent(&config, &["--once", "--now"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = status(&world, &config, &[]).await;
    let success = shown["streams"]["objects"]["last_success_at"].clone();

    // The hub is away: there is no session that could tell.
    std::fs::write(&config, &good).unwrap();
    world.stop_hub().await;
    let output = world.agent(&config, &["--once", "--now"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = status(&world, &config, &[]).await;
    let objects = &shown["streams"]["objects"];
    assert_eq!(objects["phase"], "failing", "{shown:#}");
    assert_eq!(objects["last_success_at"], success);
    assert_eq!(objects["failures_in_a_row"], 1);

    // The service says it in its metrics too, and says when it is over.
    let port = free_port();
    let config = world.configure("", &format!("metrics: {{listen: '127.0.0.1:{port}'}}"));
    let agent = world.spawn(&config, &["--now"]);
    let failing = "rollcall_agent_failing{stream=\"objects\"} 1";
    let text = metrics_with(&world, port, failing).await;
    assert!(text.contains("rollcall_agent_last_run_success{stream=\"objects\"} 0"));
    world.restart_hub().await;
    let working = "rollcall_agent_failing{stream=\"objects\"} 0";
    metrics_with(&world, port, working).await;
    let users = "rollcall_agent_users_in_scope{stream=\"objects\"} 1";
    let text = metrics_with(&world, port, users).await;
    assert!(text.contains("rollcall_agent_consecutive_failures{stream=\"objects\"} 0"));
    assert!(!text.contains("anna"), "{text}");
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

/// AT-18: waiting for the next attempt is no recovery, and a directory that shows nothing is no empty
/// directory.
#[tokio::test(flavor = "multi_thread")]
async fn at_18_what_fails_goes_on_failing_until_it_works() {
    let world = World::start(None).await;
    let unit = format!("OU=People,{BASE}");
    world.dc.admin_ldapmodify(&new_user("anna", &unit)).unwrap();
    let port = free_port();
    let top = format!("metrics: {{listen: '127.0.0.1:{port}'}}");
    let config = world.configure("", &top);
    world.run(&config).await;
    let good = std::fs::read_to_string(&config).unwrap();
    let failing = "rollcall_agent_failing{stream=\"objects\"} 1";

    let no_unit = good.replace("OU=People,DC=", "OU=Nowhere,DC=");
    std::fs::write(&config, no_unit).unwrap();
    let agent = world.spawn(&config, &["--now"]);
    for _ in 0..POLLS_MAX {
        if world.log().contains("the next session is not due yet") {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(world.log().contains("not due yet"), "{}", world.log());
    let text = metrics(port).await.unwrap();
    assert!(text.lines().any(|line| line == failing), "{text}");
    let shown = status(&world, &config, &[]).await;
    let objects = &shown["streams"]["objects"];
    assert_eq!(objects["phase"], "failing", "{shown:#}");
    let reason = objects["reason"].as_str().unwrap();
    assert!(reason.contains("OU=Nowhere"), "{reason}");
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());

    // Nothing below the unit can be read any more (MS-ADTS 5.1.3.2: list contents, read property).
    std::fs::write(&config, &good).unwrap();
    let account = world.sync_account_sid();
    let sddl = format!("--sddl=(D;CI;LCRP;;;{account})");
    let people = format!("--objectdn={unit}");
    let set = ["dsacl", "set", &people, &sddl];
    world.dc.samba_tool(&set).unwrap();
    world.reset_token().await;
    let reason = world.failing_run(&config).await;
    let shown = status(&world, &config, &[]).await;
    let objects = &shown["streams"]["objects"];
    assert_eq!(objects["phase"], "failing", "{shown:#}");
    assert_eq!(objects["reason"], reason.as_str());
    assert_eq!(objects["last_outcome"], "failed");
    assert_eq!(world.users().await.len(), 1, "nobody is removed");
    let agent = world.spawn(&config, &["--now"]);
    let text = metrics_with(&world, port, failing).await;
    assert!(text.contains("rollcall_agent_last_run_success{stream=\"objects\"} 0"));
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

async fn set_domain(world: &World, domain: &str) {
    let mut synchronization = world.client.synchronization();
    let request = DeleteSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
    };
    let _ = synchronization
        .delete_synchronization_settings(request)
        .await;
    let request = CreateSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
        filter: Some(SynchronizationFilter {
            domain: domain.to_owned(),
            organization_units: world.units.clone(),
            groups: Vec::new(),
        }),
        replacement_domain: world.domain().to_owned(),
        ..CreateSynchronizationSettingsRequest::default()
    };
    let created = synchronization.create_synchronization_settings(request);
    created.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_settings_of_the_hub_ends_no_service() {
    let world = World::start(None).await;
    let unit = format!("OU=People,{BASE}");
    world.dc.admin_ldapmodify(&new_user("anna", &unit)).unwrap();
    let config = world.configure("", "");
    set_domain(&world, "other.example.com").await;
    assert_eq!(world.once(&config).await.0, 2, "a single run says so");
    let agent = world.spawn(&config, &["--now"]);
    for _ in 0..POLLS_MAX {
        if world.log().contains("they are tried again later") {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    assert!(world.log().contains("other.example.com"), "{}", world.log());
    let shown = status(&world, &config, &[]).await;
    let objects = &shown["streams"]["objects"];
    assert_eq!(objects["phase"], "failing", "{shown:#}");
    let reason = objects["reason"].as_str().unwrap();
    assert!(reason.contains("other.example.com"), "{reason}");
    let newest = &world.sessions().await[0];
    assert!(newest.fail_reason.contains("other.example.com"));

    set_domain(&world, "corp.example.com").await;
    for _ in 0..4 * POLLS_MAX {
        if world.id_of("anna").await.is_some() {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    world.wait_equal().await;
    assert!(world.id_of("anna").await.is_some(), "{}", world.log());
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The metrics, once they hold this line.
async fn metrics_with(world: &World, port: u16, line: &str) -> String {
    let mut text = String::new();
    for _ in 0..POLLS_MAX {
        text = metrics(port).await.unwrap_or_default();
        if text.lines().any(|found| found == line) {
            return text;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("never {line}:\n{text}\n{}", world.log());
}

async fn metrics(port: u16) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
