//! What goes wrong around a run: nobody is removed, the reason is told, the next run converges.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use change::*;
use rollcall_agent::engine::index::Index;
use rollcall_agent::index_file::{Cursor, IndexFile};
use rollcall_agent::replication_token::token_of;
use rollcall_proto::idp::{SessionStatus, SessionType, SetReplicationTokenRequest};
use world::World;

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
    assert_eq!(agent.terminate().await, Some(1), "{}", world.log());
    assert!(world.users().await.len() < 290, "the run had ended before");
    let stopped = &world.sessions().await[0];
    assert_eq!(stopped.status, SessionStatus::Failed as i32);
    assert_eq!(stopped.fail_reason, "stopped");
    world.run(&config).await;
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
    let mut nothing = Index::default();
    let saved = file.save(&mut nothing, cursor, |_| {});
    saved.await.unwrap();
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
