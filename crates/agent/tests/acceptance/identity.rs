//! Who is who: renamed, made again under the same name, names that are taken.

use crate::change::*;
use crate::world::World;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::{CreateUserRequest, DeleteUserRequest, PasswordSpec};
use rollcall_proto::organizationmanager::CreateGroupRequest;
use serde_json::Value as Json;

fn people() -> String {
    format!("OU=People,{BASE}")
}

fn dn(name: &str) -> String {
    format!("CN={name},{}", people())
}

/// Reasons of the failed items of a run, with their objects.
fn failed(summary: &Json) -> Vec<(String, String)> {
    let text = |item: &Json, key: &str| item[key].as_str().unwrap().to_owned();
    let items = summary["failed_items"].as_array().unwrap();
    items
        .iter()
        .map(|item| (text(item, "object"), text(item, "reason")))
        .collect()
}

async fn delete_user(world: &World, user_id: String) {
    let request = DeleteUserRequest { user_id };
    world.client.users().delete(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_05_a_renamed_user_stays_and_one_made_again_is_somebody_else() {
    let world = World::start(None).await;
    let change = |ldif: &str| world.dc.admin_ldapmodify(ldif).unwrap();
    change(&new_user("anna", &people()));
    change(&new_user("boris", &people()));
    let config = world.configure("  allow_to_capture_users: true", "");
    world.run(&config).await;
    let anna = world.id_of("anna").await.unwrap();

    // Everything that is a name, at once.
    change(&rename(&dn("anna"), "CN=Annabel", None));
    for (attribute, value) in [
        ("sAMAccountName", "bell"),
        ("userPrincipalName", "annabel@corp.example.com"),
        ("displayName", "Annabel"),
    ] {
        change(&replace(&dn("Annabel"), attribute, value));
    }
    let renamed = world.run(&config).await;
    assert_eq!(renamed["users"]["updated"], 1, "{renamed:#}");
    assert_eq!(world.id_of("annabel").await, Some(anna.clone()));
    // Somebody else gets the name that became free.
    change(&new_user("anna", &people()));
    world.run(&config).await;
    assert_ne!(world.id_of("anna").await.unwrap(), anna);
    assert_eq!(world.id_of("annabel").await, Some(anna.clone()));
    world.assert_equal().await;

    // Names move on in a row, and are exchanged, between two runs.
    for (name, login) in [("Annabel", "spare"), ("anna", "annabel"), ("boris", "anna")] {
        // Another suffix: the directory knows logins of its own domain by the account too.
        let login = format!("{login}@other.example");
        change(&replace(&dn(name), "userPrincipalName", &login));
    }
    world.run(&config).await;
    world.assert_equal().await;
    assert_eq!(world.id_of("spare").await, Some(anna.clone()));

    // Two users exchange their names, and three groups pass on theirs.
    let groups = format!("OU=Groups,{BASE}");
    let group = |name: &str| format!("CN={name},{groups}");
    for name in ["red", "green", "blue"] {
        change(&new_group(name, &groups, &[]));
    }
    world.run(&config).await;
    for (name, login) in [("anna", "third"), ("boris", "annabel"), ("anna", "anna")] {
        let login = format!("{login}@other.example");
        change(&replace(&dn(name), "userPrincipalName", &login));
    }
    for (from, to) in [
        ("red", "x"),
        ("green", "red"),
        ("blue", "green"),
        ("x", "blue"),
    ] {
        change(&rename(&group(from), &format!("CN={to}"), None));
    }
    let exchanged = world.run(&config).await;
    assert_eq!(exchanged["failed_items_count"], 0, "{exchanged:#}");
    // One of each circle steps aside first, which is an update of its own (decision 20).
    assert_eq!(exchanged["users"]["updated"], 3, "{exchanged:#}");
    assert_eq!(exchanged["groups"]["updated"], 4, "{exchanged:#}");
    world.assert_equal().await;
    let back = "anna@other.example";
    change(&replace(
        &dn("anna"),
        "userPrincipalName",
        "third@other.example",
    ));
    change(&replace(&dn("boris"), "userPrincipalName", back));
    world.run(&config).await;
    world.assert_equal().await;

    // Made again under the same name: never the same user, capture or not.
    let before = world.id_of("anna").await.unwrap();
    world.dc.admin_ldapdelete(&[&dn("boris")]).unwrap();
    let again = new_user("boris", &people());
    let again = again.replace("Name: boris@corp.example.com", "Name: anna@other.example");
    change(&again);
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_ne!(world.id_of("anna").await.unwrap(), before);
    world.assert_equal().await;

    // A blocked user keeps its name, also from its successor, until an administrator decides.
    let lines = "  remove_user_behavior: block\n  allow_to_capture_users: true";
    let config = world.configure(lines, "");
    let before = world.id_of("anna").await.unwrap();
    world.dc.admin_ldapdelete(&[&dn("boris")]).unwrap();
    change(&again);
    let blocked = world.run(&config).await;
    assert_eq!(blocked["users"]["deactivated"], 1, "{blocked:#}");
    assert_eq!(world.id_of("anna").await, Some(before.clone()));
    let failures = failed(&blocked);
    assert_eq!(failures.len(), 1, "{blocked:#}");
    assert!(failures[0].1.contains("exists"), "{failures:?}");
    delete_user(&world, before.clone()).await;
    let healed = world.run(&config).await;
    assert_eq!(healed["failed_items_count"], 0, "{healed:#}");
    assert_ne!(world.id_of("anna").await.unwrap(), before);
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_22_the_replacement_domain_counts_for_every_suffix_and_collisions_heal() {
    let world = World::start(None).await;
    let with_login = |name: &str, login: &str| {
        let was = format!("userPrincipalName: {name}@corp.example.com");
        new_user(name, &people()).replace(&was, &format!("userPrincipalName: {login}"))
    };
    let changes = [
        with_login("anna", "anna@corp.example.com"),
        with_login("boris", "boris@other.example"),
        with_login("clara", "clara@sub.corp.example.com"),
        with_login("david", "David@CORP.EXAMPLE.COM"),
        // Different in the directory, the same in the hub.
        with_login("second", "ANNA@third.example"),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 4, "{first:#}");
    let failures = failed(&first);
    assert_eq!(failures.len(), 1, "{first:#}");
    let (loser, reason) = &failures[0];
    assert!(reason.contains("exists"), "{reason}");
    world.assert_equal().await;
    let logins: Vec<String> = world
        .users()
        .await
        .into_iter()
        .map(|u| u.username)
        .collect();
    let suffix = format!("@{}", world.domain());
    assert!(logins.iter().all(|l| l.ends_with(&suffix)), "{logins:?}");

    // Still there in the next run, gone as soon as either name is another one.
    let again = world.run(&config).await;
    assert_eq!(again["failed_items_count"], 1, "{again:#}");
    let winner = if *loser == dn("anna") {
        "second"
    } else {
        "anna"
    };
    let change = replace(&dn(winner), "userPrincipalName", "else@third.example");
    world.dc.admin_ldapmodify(&change).unwrap();
    let healed = world.run(&config).await;
    assert_eq!(healed["failed_items_count"], 0, "{healed:#}");
    assert_eq!(world.users().await.len(), 5);
    world.assert_equal().await;

    // Without a replacement the suffix has to be a domain of the pool; each user says so itself.
    let text = std::fs::read_to_string(&config).unwrap();
    let line = format!("  replacement_domain: {}\n", world.domain());
    assert!(text.contains(&line), "{text}");
    std::fs::write(&config, text.replace(&line, "")).unwrap();
    let before = world.users().await.len();
    let plain = world.run(&config).await;
    assert_eq!(plain["failed_items_count"], 5, "{plain:#}");
    assert_eq!(
        world.users().await.len(),
        before,
        "nobody is removed for it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_groups_with_taken_names_are_captured_only_where_that_is_allowed() {
    let world = World::start(None).await;
    // Another way of writing the same name.
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
    let request = CreateGroupRequest {
        organization_id: world.pool.organization_id.clone(),
        name: "crew".into(),
        ..CreateGroupRequest::default()
    };
    world.client.groups().create(request).await.unwrap();
    let anna = world.id_of("anna").await.unwrap();
    let upper = new_user("anna", &people()).replace("Name: anna@", "Name: Anna@");
    let crew = new_group("crew", &format!("OU=Groups,{BASE}"), &[&dn("anna")]);
    world.dc.admin_ldapmodify(&(upper + &crew)).unwrap();

    let config = world.configure("", "");
    let refused = world.run(&config).await;
    assert_eq!(refused["failed_items_count"], 2, "{refused:#}");
    assert_eq!(world.users().await[0].external_id, "");
    let only_users = world.configure("  allow_to_capture_users: true", "");
    let half = world.run(&only_users).await;
    assert_eq!(half["failed_items_count"], 1, "{half:#}");
    let users = world.users().await;
    assert_eq!((users.len(), &users[0].id), (1, &anna));
    assert_eq!(users[0].full_name, "anna");
    assert!(!users[0].external_id.is_empty());
    let lines = "  allow_to_capture_users: true\n  allow_to_capture_groups: true";
    let both = world.run(&world.configure(lines, "")).await;
    assert_eq!(both["failed_items_count"], 0, "{both:#}");
    world.assert_equal().await;

    // Somebody of another directory is never captured: its external id is not empty.
    let request = CreateUserRequest {
        userpool_id: world.pool.id.clone(),
        username: format!("boris@{}", world.domain()),
        full_name: "Boris of another forest".into(),
        external_id: "11111111-2222-3333-4444-555555555555".into(),
        credentials: Some(Credentials::PasswordSpec(PasswordSpec {
            password: "a Long enough pa55word, is it?".into(),
            ..PasswordSpec::default()
        })),
        ..CreateUserRequest::default()
    };
    world.client.users().create(request).await.unwrap();
    let change = new_user("boris", &people());
    world.dc.admin_ldapmodify(&change).unwrap();
    let refused = world.run(&world.configure(lines, "")).await;
    assert_eq!(refused["failed_items_count"], 1, "{refused:#}");
    let users = world.users().await;
    let boris = users
        .iter()
        .find(|user| user.username.starts_with("boris@"));
    assert!(boris.unwrap().external_id.starts_with("11111111"));
}
