//! The agent against a real domain controller and a real hub; an independent oracle compares.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use change::*;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::{
    CreateSynchronizationSettingsRequest, CreateUserRequest, DeleteUserRequest, PasswordSpec,
    SessionStatus, SuspendUserRequest, SynchronizationFilter,
};
use rollcall_proto::organizationmanager::{DeleteGroupRequest, ListExternalGroupsRequest};
use serde_json::Value as Json;
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_makes_the_hub_equal_and_a_second_changes_nothing() {
    let world = World::start(Some(people(300))).await;
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["mode"], "full");
    let expected = world.expected();
    assert_eq!(
        first["failed_items_count"],
        expected.failed_items(),
        "{first:#}"
    );
    assert!(first["users"]["created"].as_u64().unwrap() > 250, "{first}");
    world.assert_equal().await;
    let sessions = world.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert_ne!(sessions[0].status, SessionStatus::Failed as i32);
    assert!(!sessions[0].progress_entries.is_empty());

    let second = world.run(&config).await;
    assert_eq!(second["mode"], "delta");
    assert_unchanged(&second);

    world.reset_token().await;
    let third = world.run(&config).await;
    assert_eq!(third["mode"], "full");
    // The hub does not list memberships of suspended users, and without the token the agent may not
    // trust its memory of them: they are written once more, which changes nothing and counts nothing.
    assert!(world.hidden_memberships().await > 0);
    assert_unchanged(&third);
    world.assert_equal().await;

    std::fs::remove_file(world.working_directory().join("index.redb")).unwrap();
    let fourth = world.run(&config).await;
    assert_eq!(fourth["mode"], "full");
    assert_eq!(fourth["users"]["updated"], 0, "{fourth:#}");
    assert_eq!(fourth["users"]["created"], 0, "{fourth:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_follows_the_directory_and_stops_when_asked() {
    let world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    let agent = world.spawn(&config, &[]);
    world.wait_equal().await;
    world
        .dc
        .admin_ldapmodify(&new_user("late", &format!("OU=People,{BASE}")))
        .unwrap();
    world.wait_equal().await;
    assert_eq!(world.sessions().await.len(), 1, "one session for all of it");
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    let newest = &world.sessions().await[0];
    assert_ne!(newest.status, SessionStatus::Opened as i32);
    assert_ne!(
        newest.status,
        SessionStatus::Failed as i32,
        "{}",
        newest.fail_reason
    );
    let status = world.agent(&config, &["status"]).await;
    assert!(status.status.success());

    // A restart need not wait until the next session is due.
    let agent = world.spawn(&config, &["--now"]);
    let change = new_user("later", &format!("OU=People,{BASE}"));
    world.dc.admin_ldapmodify(&change).unwrap();
    world.wait_equal().await;
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    assert_eq!(world.sessions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_inside_the_interval_is_too_early() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let output = world.agent(&config, &["--once", "-o", "json"]).await;
    let summary: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(summary["outcome"], "too_early", "{summary}");
    assert!(summary["reason"].as_str().unwrap().contains("--now"));
    assert_eq!(world.sessions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_are_failed_items_unless_capture_is_allowed() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    let request = CreateUserRequest {
        userpool_id: world.pool.id.clone(),
        username: format!("anna@{}", world.domain()),
        full_name: "Anna before".into(),
        credentials: Some(Credentials::PasswordSpec(PasswordSpec {
            password: "a Long enough pa55word, is it?".into(),
            ..PasswordSpec::default()
        })),
        ..CreateUserRequest::default()
    };
    world.client.users().create(request).await.unwrap();
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();

    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["failed_items_count"], 1, "{first:#}");
    assert_eq!(first["users"]["failed"], 1);
    let users = world.users().await;
    assert_eq!((users.len(), users[0].external_id.as_str()), (1, ""));

    let config = world.configure("  allow_to_capture_users: true", "");
    let second = world.run(&config).await;
    assert_eq!(second["failed_items_count"], 0, "{second:#}");
    let captured = world.users().await;
    assert_eq!((captured.len(), &captured[0].id), (1, &users[0].id));
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_explains_what_is_wrong() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let good = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success(), "{text}");
    assert!(!text.contains('✗') && text.contains("days left"), "{text}");

    let config = world.configure_with_password("", "", "wrong");
    let bad = world.agent(&config, &["--check", "-o", "json"]).await;
    assert_eq!(bad.status.code(), Some(4));
    let findings: Json = serde_json::from_slice(&bad.stdout).unwrap();
    let wrong: Vec<&Json> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["ok"] == false)
        .collect();
    assert_eq!(wrong.len(), 1, "{findings:#}");
    assert_eq!(wrong[0]["name"], "directory account");

    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("OU=People", "OU=Nobody")
            .replace("'wrong'", &format!("'{}'", world.dc.sync_password())),
    )
    .unwrap();
    let bad = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(
        text.contains("✗ scope") && text.contains("OU=Nobody"),
        "{text}"
    );

    std::fs::write(&config, "userpol_id: x\n").unwrap();
    let bad = world.agent(&config, &["--check"]).await;
    assert_eq!(bad.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_looks_at_the_scope_of_the_hubs_settings() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let request = CreateSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
        filter: Some(SynchronizationFilter {
            domain: world.dc.realm().to_lowercase(),
            organization_units: vec![format!("OU=Elsewhere,{BASE}")],
            groups: Vec::new(),
        }),
        ..CreateSynchronizationSettingsRequest::default()
    };
    world
        .client
        .synchronization()
        .create_synchronization_settings(request)
        .await
        .unwrap();
    let output = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("✗ scope") && text.contains("OU=Elsewhere"),
        "{text}"
    );
    assert!(
        text.contains("those of the hub; it overrides the file's filter"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_hub_and_a_single_run_does_not() {
    let mut world = World::start(Some(people(20))).await;
    let config = world.configure("", "");
    world.stop_hub().await;
    let single = world.agent(&config, &["--once"]).await;
    assert_eq!(single.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&single.stderr).into_owned();
    assert!(errors.contains("cannot be reached"), "{errors}");
    let agent = world.spawn(&config, &[]);
    while !world.log().contains("the hub is away") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.restart_hub().await;
    world.wait_equal().await;
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deleted_in_the_hub_is_made_anew_when_memberships_change() {
    let world = World::start(None).await;
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let change = |ldif: &str| world.dc.admin_ldapmodify(ldif).unwrap();
    for name in ["one", "two"] {
        change(&new_user(name, &people));
    }
    let team = format!("CN=team,{groups}");
    change(&format!(
        "dn: {team}\nchangetype: add\nobjectClass: group\nsAMAccountName: team\n\
         member: CN=one,{people}\n\n"
    ));
    let config = world.configure("", "");
    world.run(&config).await;
    let listed = ListExternalGroupsRequest {
        subject_container_id: world.pool.id.clone(),
        ..ListExternalGroupsRequest::default()
    };
    let listed = world.client.groups().list_external(listed).await.unwrap();
    let group_id = listed.into_inner().groups[0].id.clone();
    let request = DeleteGroupRequest { group_id };
    world.client.groups().delete(request).await.unwrap();
    let users = world.users().await;
    let two = users.iter().find(|u| u.username.starts_with("two@"));
    let user_id = two.unwrap().id.clone();
    let request = DeleteUserRequest { user_id };
    world.client.users().delete(request).await.unwrap();

    change(&modify(
        &team,
        &format!("add: member\nmember: CN=two,{people}"),
    ));
    let run = world.run(&config).await;
    assert_eq!(run["mode"], "delta");
    assert_eq!(run["failed_items_count"], 0, "{run:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_of_the_agents_own_beside_an_administrators_is_no_change() {
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();
    let config = world.configure("", "");
    world.run(&config).await;
    let request = SuspendUserRequest {
        user_id: world.id_of("anna").await.unwrap(),
        reason: "by an administrator".into(),
        expires_at: None,
    };
    world.client.users().suspend(request).await.unwrap();
    let anna = format!("CN=anna,{people}");
    let change = |control: &str| {
        let change = replace(&anna, "userAccountControl", control);
        world.dc.admin_ldapmodify(&change).unwrap();
    };
    let is_active = async || {
        let found = world.found().await;
        found.users.values().any(|user| user.active)
    };
    change("546");
    // The hub does not tell who suspended her, and no index remembers it.
    world.reset_token().await;
    let full = world.run(&config).await;
    assert_eq!(full["mode"], "full");
    assert_unchanged(&full);
    assert!(!is_active().await);
    // The agent takes its own back, which is no change either.
    change("544");
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_unchanged(&delta);
    assert!(!is_active().await);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_keeps_is_closed_to_everybody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start(None).await;
    let people = format!("OU=People,{BASE}");
    // One that does not fit, so that there is a failed item.
    let unfit = replace(
        &format!("CN=boris,{people}"),
        "userPrincipalName",
        "a b@x.example",
    );
    let changes = new_user("anna", &people) + &new_user("boris", &people) + &unfit;
    world.dc.admin_ldapmodify(&changes).unwrap();
    let config = world.configure("", "");
    let own = world.working_directory().join("own");
    let text = std::fs::read_to_string(&config).unwrap();
    let work = format!(
        "working_directory: '{}'",
        world.working_directory().display()
    );
    let text = text.replace(&work, &format!("working_directory: '{}'", own.display()));
    std::fs::write(&config, text).unwrap();
    let run = world.run(&config).await;
    assert_eq!(run["failed_items_count"], 1, "{run:#}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&own) & 0o777, 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(&own).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        names.push(path.file_name().unwrap().to_owned());
    }
    for name in [
        "agent_id",
        "index.redb",
        "failed_items.jsonl",
        "filter.json",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
}
