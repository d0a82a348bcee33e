//! Disabled, ended, must change the password: the account state stream against a real domain
//! controller (AT-14), alone, beside the objects, and beside an administrator.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "account_state/cursor.rs"]
mod cursor;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;

use std::time::{Duration, Instant};

use change::*;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{ReactivateUserRequest, SessionStatus, SuspendUserRequest};
use serde_json::Value as Json;
use states::*;
use world::World;

const PERIOD: &str = "  state_period: 200ms";
/// 100 ns since 1601: 2001-01-01 and 2100-01-01.
const PAST: i64 = 126_227_808_000_000_000;
const FUTURE: i64 = 157_469_184_000_000_000;
const FILETIME_EPOCH: i64 = 116_444_736_000_000_000;

/// One combination of what says whether somebody may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    control: u32,
    expires: i64,
    must_change: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for control in [ENABLED, DISABLED] {
            for expires in [0, i64::MAX, PAST, FUTURE] {
                for must_change in [true, false] {
                    all.push(Self {
                        control,
                        expires,
                        must_change,
                    });
                }
            }
        }
        all
    }

    fn active(self) -> bool {
        self.control == ENABLED && self.expires != PAST
    }

    fn expires_at_seconds(self) -> Option<i64> {
        match self.expires {
            0 | i64::MAX => None,
            at => Some((at - FILETIME_EPOCH) / 10_000_000),
        }
    }

    /// pwdLastSet takes 0 and -1, which means now (MS-ADA3 2.176).
    fn ldif(self, dn: &str) -> String {
        let password = if self.must_change { 0 } else { -1 };
        modify(
            dn,
            &format!(
                "replace: userAccountControl\nuserAccountControl: {}\n-\n\
                 replace: accountExpires\naccountExpires: {}\n-\n\
                 replace: pwdLastSet\npwdLastSet: {password}",
                self.control, self.expires
            ),
        )
    }
}

async fn differences(world: &World, wanted: &[(String, Case)]) -> Vec<String> {
    let users = world.users().await;
    let mut differences = Vec::new();
    for (name, case) in wanted {
        let login = format!("{name}@{}", world.domain());
        let Some(found) = users.iter().find(|u| u.username == login) else {
            differences.push(format!("{name} is not there"));
            continue;
        };
        let there = (
            found.status == Status::Active as i32,
            found.expires_at.map(|at| at.seconds),
            world.must_change_password(&found.id).await,
        );
        let expected = (case.active(), case.expires_at_seconds(), case.must_change);
        if there != expected {
            differences.push(format!("{name} {case:?}: {there:?}"));
        }
    }
    differences
}

/// Waits until the hub shows these cases; how long that took.
async fn wait(world: &World, wanted: &[(String, Case)]) -> Duration {
    let started = Instant::now();
    loop {
        let differences = differences(world, wanted).await;
        if differences.is_empty() {
            return started.elapsed();
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{differences:#?}\n{}",
            world.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the objects follow and the account state does, too.
async fn wait_following(world: &World) {
    wait_until("a session of the account state", world, async || {
        let sessions = world.sessions_of("AD_USER_CONTROL").await;
        let opened = sessions.first().map(|session| session.status);
        let status = world.working_directory().join("status.json");
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let status: Json = serde_json::from_str(&status).unwrap_or_default();
        opened == Some(SessionStatus::Opened as i32)
            && status["streams"]["account_state"]["last_success_at"].is_string()
    })
    .await;
}

/// The whole matrix, in an order in which each case follows the one `step` before it.
fn turned(names: &[String], step: usize) -> Vec<(String, Case)> {
    let cases = Case::all();
    let case = |at: usize| cases[(at + step) % cases.len()];
    let cases = names.iter().enumerate();
    cases.map(|(at, name)| (name.clone(), case(at))).collect()
}

fn ldif(wanted: &[(String, Case)]) -> String {
    wanted
        .iter()
        .map(|(name, case)| case.ldif(&dn(name)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_14_every_state_of_an_account_arrives_at_once_and_as_a_change() {
    let world = World::start(None).await;
    // Turning the matrix disables more accounts than the brake lets pass.
    let config = world.configure(PERIOD, "safety: {max_removals: 0}");
    let names: Vec<String> = (0..Case::all().len()).map(|n| format!("case{n}")).collect();
    let made: String = names
        .iter()
        .map(|name| new_user(name, &accounts()))
        .collect();
    world.dc.admin_ldapmodify(&made).unwrap();
    let first = turned(&names, 0);
    world.dc.admin_ldapmodify(&ldif(&first)).unwrap();

    let summary = world.run(&config).await;
    assert_eq!(summary["users"]["created"], names.len(), "{summary:#}");
    let state = &summary["streams"]["account_state"];
    assert_eq!(state["outcome"], "completed", "{summary:#}");
    assert_eq!(state["mode"], "full", "{summary:#}");
    assert_unchanged(state);
    assert_eq!(differences(&world, &first).await, Vec::<String>::new());

    // The objects look once an hour: what arrives now comes by the account state.
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("follow_period: 300ms", "follow_period: 1h");
    std::fs::write(&config, text).unwrap();
    let agent = world.spawn(&config, &["--now"]);
    wait_following(&world).await;
    // 5 and 16 are coprime, as are 3 and 16: every user goes from one case to another.
    for step in [5, 8, 15, 1, 0] {
        let wanted = turned(&names, step);
        world.dc.admin_ldapmodify(&ldif(&wanted)).unwrap();
        let took = wait(&world, &wanted).await;
        println!("the matrix turned by {step} arrived in {took:?}");
    }
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    let sessions = world.sessions_of("AD_USER_CONTROL").await;
    assert_eq!(sessions.len(), 2, "one for the run, one for the service");
    // The signal may have come in the middle of a look, which the session says then.
    let reason = &sessions[0].fail_reason;
    assert!(["", "stopped"].contains(&reason.as_str()), "{reason}");
    assert!(!sessions[0].progress_entries.is_empty());
    let summary = world.run(&config).await;
    assert_unchanged(&summary["streams"]["account_state"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_14_a_change_arrives_within_seconds_at_the_default_period() {
    let world = World::start(None).await;
    let config = world.configure("", "");
    let text = std::fs::read_to_string(&config).unwrap();
    // The objects look once an hour: what arrives comes by the account state.
    let text = text.replace("follow_period: 300ms", "follow_period: 1h");
    std::fs::write(&config, text).unwrap();
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &accounts()))
        .unwrap();
    let agent = world.spawn(&config, &[]);
    wait_following(&world).await;
    for (control, must_change) in [(DISABLED, true), (ENABLED, false), (ENABLED, true)] {
        let case = Case {
            control,
            expires: FUTURE,
            must_change,
        };
        world.dc.admin_ldapmodify(&case.ldif(&dn("anna"))).unwrap();
        let took = wait(&world, &[("anna".into(), case)]).await;
        println!("{case:?} arrived in {took:?}");
    }
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

async fn suspend(world: &World, user_id: &str) {
    let request = SuspendUserRequest {
        user_id: user_id.to_owned(),
        reason: "by an administrator".into(),
        expires_at: None,
    };
    world.client.users().suspend(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrators_block_outlives_what_happens_in_the_directory() {
    let world = World::start(None).await;
    let config = world.configure(PERIOD, "");
    let made = [
        new_user("anna", &accounts()),
        new_user("boris", &accounts()),
    ];
    world.dc.admin_ldapmodify(&made.concat()).unwrap();
    let agent = world.spawn(&config, &[]);
    wait_following(&world).await;
    let anna = user(&world, "anna").await.id;
    suspend(&world, &anna).await;
    for control in [DISABLED, ENABLED] {
        let case = |name: &str| {
            let case = Case {
                control,
                expires: 0,
                must_change: true,
            };
            case.ldif(&dn(name))
        };
        // The second one tells when the first one was looked at: they are one batch.
        let both = [case("anna"), case("boris")].concat();
        world.dc.admin_ldapmodify(&both).unwrap();
        wait_until("boris follows", &world, async || {
            is_active(&world, "boris").await == (control == ENABLED)
        })
        .await;
        assert!(!is_active(&world, "anna").await);
    }
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());

    // A comparison of everything does not undo it either, and says that nothing was changed.
    world.reset_token().await;
    let summary = world.run(&config).await;
    let state = &summary["streams"]["account_state"];
    assert_eq!(state["mode"], "full", "{summary:#}");
    assert_unchanged(state);
    assert!(!is_active(&world, "anna").await);
    let request = ReactivateUserRequest { user_id: anna };
    world.client.users().reactivate(request).await.unwrap();
    assert!(is_active(&world, "anna").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_hold_different_streams() {
    let world = World::start(None).await;
    let config = world.configure(PERIOD, "");
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &accounts()))
        .unwrap();
    let states = other_agent(&world, &config, "states", "account_state");
    let objects = other_agent(&world, &config, "objects", "objects");

    // Before the first run of the objects there is nothing to follow (decision U112).
    let early = world.agent(&states, &["--once", "-o", "json"]).await;
    assert_eq!(early.status.code(), Some(0));
    let early: Json = serde_json::from_slice(&early.stdout).unwrap();
    assert_eq!(
        early["streams"]["account_state"]["outcome"], "too_early",
        "{early:#}"
    );
    assert_eq!(early["outcome"], Json::Null, "{early:#}");
    assert_eq!(world.sessions_of("AD_USER_CONTROL").await.len(), 0);

    let state_agent = spawn(&states);
    wait_until("the states wait", &world, async || {
        log_of(&states).contains("no run of the objects has been completed yet")
    })
    .await;
    let object_agent = spawn(&objects);
    wait_until("both follow", &world, async || {
        let sessions = world.sessions_of("AD_USER_CONTROL").await;
        sessions
            .first()
            .is_some_and(|s| s.status == SessionStatus::Opened as i32)
    })
    .await;
    assert_eq!(
        world.sessions().await[0].status,
        SessionStatus::Opened as i32
    );
    let ids = [
        world.sessions().await[0].agent_id.clone(),
        world.sessions_of("AD_USER_CONTROL").await[0]
            .agent_id
            .clone(),
    ];
    assert_ne!(ids[0], ids[1]);

    // An agent that wants both waits for both.
    let third = other_agent(&world, &config, "third", "objects, account_state");
    let output = world
        .agent(&third, &["--once", "--now", "-o", "json"])
        .await;
    assert_eq!(output.status.code(), Some(1));
    let third: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(third["outcome"], "another_agent", "{third:#}");
    assert_eq!(
        third["streams"]["account_state"]["outcome"],
        "another_agent"
    );

    let off = Case {
        control: DISABLED,
        expires: FUTURE,
        must_change: true,
    };
    world.dc.admin_ldapmodify(&off.ldif(&dn("anna"))).unwrap();
    wait(&world, &[("anna".into(), off)]).await;
    assert_eq!(
        object_agent.terminate().await,
        Some(0),
        "{}",
        log_of(&objects)
    );
    // The objects stopped; the states go on.
    let on = Case {
        control: ENABLED,
        must_change: false,
        ..off
    };
    world.dc.admin_ldapmodify(&on.ldif(&dn("anna"))).unwrap();
    wait(&world, &[("anna".into(), on)]).await;
    assert_eq!(
        state_agent.terminate().await,
        Some(0),
        "{}",
        log_of(&states)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_blocked_for_leaving_the_scope_stays_blocked() {
    let world = World::start(None).await;
    let config = world.configure("  remove_user_behavior: block", "");
    let outside = format!("OU=Elsewhere,{BASE}");
    let made = [
        format!("dn: {outside}\nchangetype: add\nobjectClass: organizationalUnit\n\n"),
        new_user("anna", &accounts()),
        new_user("boris", &accounts()),
    ];
    world.dc.admin_ldapmodify(&made.concat()).unwrap();
    world.run(&config).await;
    let off = |name: &str, control: u32, place: &str| {
        let change = format!("replace: userAccountControl\nuserAccountControl: {control}");
        modify(&format!("CN={name},{place}"), &change)
    };
    let away = rename(&dn("anna"), "CN=anna", Some(&outside));
    let changes = [away, off("boris", DISABLED, &accounts())];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    world.run(&config).await;
    assert!(!is_active(&world, "anna").await && !is_active(&world, "boris").await);

    let states = other_agent(&world, &config, "states", "account_state");
    let changes = [
        off("anna", DISABLED, &outside),
        off("anna", ENABLED, &outside),
        off("boris", ENABLED, &accounts()),
    ];
    world.dc.admin_ldapmodify(&changes.concat()).unwrap();
    let (code, summary) = world.once(&states).await;
    assert_eq!(code, 0, "{summary:#}");
    assert!(is_active(&world, "boris").await);
    assert!(!is_active(&world, "anna").await, "{summary:#}");
    world.reset_token().await;
    let (_, summary) = world.once(&states).await;
    assert_unchanged(&summary["streams"]["account_state"]);
    assert!(!is_active(&world, "anna").await, "{summary:#}");
}
