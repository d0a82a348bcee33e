//! The agent against a real domain controller and a real hub; an independent oracle compares.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/world.rs"]
mod world;

use rollcall_agent::engine::index::Index;
use rollcall_agent::index_file::{Cursor, IndexFile};
use rollcall_agent::replication_token::token_of;
use rollcall_lab::samba::Fill;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::{
    CreateUserRequest, PasswordSpec, SessionStatus, SessionType, SetReplicationTokenRequest,
};
use serde_json::Value as Json;
use world::World;

fn people(users: u32) -> Fill {
    Fill {
        users,
        groups: 12,
        memberships: 600,
        seed: 7,
        big_group: false,
        difficulties: true,
    }
}

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
    assert_unchanged(&third);

    std::fs::remove_file(world.working_directory().join("index.redb")).unwrap();
    let fourth = world.run(&config).await;
    assert_eq!(fourth["mode"], "full");
    assert_eq!(fourth["users"]["updated"], 0, "{fourth:#}");
    assert_eq!(fourth["users"]["created"], 0, "{fourth:#}");
    world.assert_equal().await;
}

fn assert_unchanged(summary: &Json) {
    for what in ["users", "groups", "memberships"] {
        for change in ["created", "updated", "removed", "activated", "deactivated"] {
            assert_eq!(summary[what][change], 0, "{summary:#}");
        }
    }
}

const BASE: &str = "DC=corp,DC=example,DC=com";

/// Adds a user with an LDIF for the administrator.
fn new_user(name: &str, place: &str) -> String {
    format!(
        "dn: CN={name},{place}\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n\
         userPrincipalName: {name}@corp.example.com\ndisplayName: {name}\n\
         userAccountControl: 544\n\n"
    )
}

fn modify(dn: &str, change: &str) -> String {
    format!("dn: {dn}\nchangetype: modify\n{change}\n\n")
}

fn rename(dn: &str, new: &str, above: Option<&str>) -> String {
    let above = above.map_or(String::new(), |above| format!("newsuperior: {above}\n"));
    format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {new}\ndeleteoldrdn: 1\n{above}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_follows_every_kind_of_change() {
    let world = World::start(Some(people(100))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    let people = format!("OU=People,{BASE}");
    let outside = format!("OU=Elsewhere,{BASE}");
    let team = format!("OU=Team,{people}");
    let ou = |dn: &str| format!("dn: {dn}\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    let id_of = async |name: &str| {
        let wanted = format!("{name}@{}", world.domain());
        let users = world.users().await;
        let found = users.into_iter().find(|user| user.username == wanted);
        found.map(|user| user.id)
    };

    let changes = [
        ou(&outside),
        ou(&team),
        new_user("anna", &people),
        new_user("boris", &team),
        new_user("vera", &outside),
        format!(
            "dn: CN=crew,{team}\nchangetype: add\nobjectClass: group\nsAMAccountName: crew\n\
             member: CN=anna,{people}\nmember: CN=vera,{outside}\n\n"
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["created"], 2, "{delta:#}");
    assert_eq!(delta["groups"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    let anna = id_of("anna").await.unwrap();

    let changes = [
        // Attribute, disabled, end of the account, rename, move into scope.
        modify(
            &format!("CN=anna,{people}"),
            "replace: title\ntitle: Lead, R&D",
        ),
        modify(
            &format!("CN=boris,{team}"),
            "replace: userAccountControl\nuserAccountControl: 546",
        ),
        rename(&format!("CN=anna,{people}"), "CN=anna b", None),
        rename(&format!("CN=vera,{outside}"), "CN=vera", Some(&people)),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["mode"], "delta");
    assert_eq!(delta["users"]["deactivated"], 1, "{delta:#}");
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    world.assert_equal().await;
    assert_eq!(
        id_of("anna").await.as_ref(),
        Some(&anna),
        "a rename keeps the hub's id"
    );

    // The whole team moves out; the unit of the filter is renamed; a member leaves.
    let changes = [
        modify(
            &format!("CN=boris,{team}"),
            "replace: userAccountControl\nuserAccountControl: 544",
        ),
        modify(
            &format!("CN=crew,{team}"),
            &format!("delete: member\nmember: CN=anna b,{people}"),
        ),
        modify(
            &format!("CN=anna b,{people}"),
            "replace: accountExpires\naccountExpires: 126227808000000000",
        ),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    world.run(&config).await;
    world.assert_equal().await;
    let changes = [rename(&team, "OU=Team", Some(&outside))];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["groups"]["removed"], 1, "{delta:#}");
    world.assert_equal().await;
    let changes = [rename(
        &format!("OU=Team,{outside}"),
        "OU=Crew",
        Some(&people),
    )];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_eq!(delta["mode"], "delta");
    world.assert_equal().await;

    let vera = format!("CN=vera,{people}");
    let crew = format!("CN=crew,OU=Crew,{people}");
    world.dc.admin_ldapdelete(&[&vera, &crew]).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(
        (&delta["users"]["removed"], &delta["groups"]["removed"]),
        (&1.into(), &1.into())
    );
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_the_unit_of_the_filter_changes_nothing() {
    let mut world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let users = world.users().await.len();
    let change = rename(&format!("OU=People,{BASE}"), "OU=Staff", None);
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_unchanged(&delta);
    assert_eq!(world.users().await.len(), users);
    world.units[0] = format!("OU=Staff,{BASE}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_in_the_middle_converges() {
    let world = World::start(Some(people(300))).await;
    let config = world.configure("", "");
    let agent = world.spawn(&config, &["--once", "--now"]);
    world.wait_users(40).await;
    agent.kill();
    let left = world.users().await.len();
    assert!(left < 290, "the run had ended before it was killed");
    let next = world.run(&config).await;
    assert_eq!(next["mode"], "full");
    assert!(next["users"]["created"].as_u64().unwrap() <= 300 - left as u64);
    world.assert_equal().await;
    let statuses: Vec<i32> = world.sessions().await.iter().map(|s| s.status).collect();
    assert_eq!(
        statuses[1],
        SessionStatus::Failed as i32,
        "the killed one was superseded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_in_the_middle_says_so_and_the_next_one_converges() {
    let world = World::start(Some(people(300))).await;
    let config = world.configure("", "");
    let agent = world.spawn(&config, &["--once", "--now"]);
    world.wait_users(40).await;
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    assert!(world.users().await.len() < 290, "the run had ended before");
    let stopped = &world.sessions().await[0];
    assert_eq!(stopped.status, SessionStatus::Failed as i32);
    assert_eq!(stopped.fail_reason, "stopped");
    world.run(&config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_deleted_and_made_again_is_another_user() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let people = format!("OU=People,{BASE}");
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();
    world.run(&config).await;
    let before = world.users().await;
    world
        .dc
        .admin_ldapdelete(&[&format!("CN=anna,{people}")])
        .unwrap();
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &people))
        .unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["users"]["created"], 1, "{delta:#}");
    assert_eq!(delta["users"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["failed_items_count"], 0, "{delta:#}");
    let after = world.users().await;
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before[0].id, after[0].id);
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_cursor_leads_to_one_comparison_of_everything() {
    let world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let cookie = b"not a cookie of any directory";
    let token = token_of(cookie);
    let file = IndexFile::open(&world.working_directory()).unwrap();
    let cursor = Cursor {
        token: &token,
        cookie,
    };
    file.save(&mut Index::default(), cursor).unwrap();
    drop(file);
    let request = SetReplicationTokenRequest {
        subject_container_id: world.pool.id.clone(),
        replication_token: token,
        session_type: SessionType::AdSync as i32,
    };
    let mut synchronization = world.client.synchronization();
    synchronization
        .set_replication_token(request)
        .await
        .unwrap();
    let run = world.run(&config).await;
    assert_eq!(run["mode"], "full");
    assert_unchanged(&run);
    assert_eq!(world.run(&config).await["mode"], "delta");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_longer_than_a_range_and_a_page_is_kept_whole() {
    let fill = Fill {
        users: 1_700,
        groups: 3,
        memberships: 1_650,
        seed: 3,
        big_group: true,
        difficulties: false,
    };
    let world = World::start(Some(fill)).await;
    let config = world.configure("", "");
    let first = world.run(&config).await;
    assert_eq!(first["users"]["created"], 1_700, "{first:#}");
    println!("{} objects/s", first["objects_per_second"]);
    world.assert_equal().await;
    let dump = world
        .dc
        .admin_ldapsearch(&["(objectClass=group)", "member"])
        .unwrap();
    let entry = dump.split("\n\n").max_by_key(|entry| entry.len()).unwrap();
    let members = entry.lines().filter(|line| line.starts_with("member:"));
    assert!(members.count() > 1_500);
    let group = entry
        .lines()
        .find_map(|line| line.strip_prefix("dn: "))
        .unwrap();
    let member = entry
        .lines()
        .find(|line| line.starts_with("member:"))
        .unwrap();
    let change = modify(group, &format!("delete: member\n{member}"));
    world.dc.admin_ldapmodify(&change).unwrap();
    let delta = world.run(&config).await;
    assert_eq!(delta["memberships"]["removed"], 1, "{delta:#}");
    assert_eq!(delta["memberships"]["created"], 0, "{delta:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_restarts_in_the_middle_is_waited_for() {
    let mut world = World::start(Some(people(300))).await;
    let config = world.configure("", "");
    let agent = world.spawn(&config, &["--once", "--now"]);
    world.wait_users(40).await;
    world.stop_hub().await;
    world.restart_hub().await;
    assert_eq!(agent.end().await, Some(0), "{}", world.log());
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_goes_away_removes_nobody() {
    let mut world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let users = world.users().await.len();
    world.dc.kill();
    for reset in [false, true] {
        if reset {
            world.reset_token().await;
        }
        let (code, summary) = world.once(&config).await;
        assert_eq!((code, &summary["outcome"]), (1, &"failed".into()));
        assert_eq!(world.users().await.len(), users);
        let newest = &world.sessions().await[0];
        assert_eq!(newest.status, SessionStatus::Failed as i32);
        assert!(
            newest.fail_reason.contains("directory"),
            "{}",
            newest.fail_reason
        );
    }
    world.dc.restart().unwrap();
    world.run(&config).await;
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_authentication_failure() {
    let world = World::start(None).await;
    let config = world.configure_with_password("", "", "wrong");
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 4, "{summary}");
    let newest = &world.sessions().await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32);
    assert!(
        newest.fail_reason.contains("password"),
        "{}",
        newest.fail_reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_rights_remove_nobody() {
    let world = World::start(Some(people(60))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let users = world.users().await.len();
    // The account may no longer see what lies below OU=People.
    let account = world.sync_account_sid();
    let sddl = format!("--sddl=(D;CI;LC;;;{account})");
    let people = format!("--objectdn=OU=People,{BASE}");
    world
        .dc
        .samba_tool(&["dsacl", "set", &people, &sddl])
        .unwrap();
    for reset in [false, true] {
        if reset {
            world.reset_token().await;
        }
        let (code, summary) = world.once(&config).await;
        assert_eq!(world.users().await.len(), users, "{summary:#}");
        if reset {
            assert_eq!(code, 1, "{summary:#}");
            let reason = summary["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("nothing was changed"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deletion_is_stopped_until_it_is_allowed() {
    let world = World::start(Some(people(120))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let users = world.users().await.len();
    let germany = format!("OU=Germany,OU=People,{BASE}");
    let listed = world
        .dc
        .admin_ldapsearch(&["(&(objectClass=user)(department=*))", "dn"])
        .unwrap();
    let dns: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("dn: "))
        .filter(|dn| dn.ends_with(&germany))
        .collect();
    assert!(dns.len() > 24, "{}", dns.len());
    world.dc.admin_ldapdelete(&dns).unwrap();
    let (code, summary) = world.once(&config).await;
    assert_eq!(code, 1);
    assert!(
        summary["reason"].as_str().unwrap().contains("max_removals"),
        "{summary}"
    );
    assert_eq!(world.users().await.len(), users);
    let config = world.configure("", "safety: {max_removals: 0}");
    world.run(&config).await;
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
