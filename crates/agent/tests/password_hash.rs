//! The password hash stream against a real domain controller: who has a password there signs in at
//! the hub with it, soon; who has not, does not; and that it stopped shows (AT-15).

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::time::Instant;

use change::*;
use rollcall_hub::password_hash::nt_hash;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_lab::samba::Fill;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::idp::{
    ChangeType, CreateUserRequest, PasswordHash, PasswordSpec, SessionStatus,
    SetPasswordHashRequest, SynchronizationSession,
};
use serde_json::Value as Json;
use sign_in::*;
use states::{accounts, dn, log_of, other_agent, spawn, wait_until};
use world::World;

const SESSIONS: &str = "AD_PASSWORD_HASH";
const PERIOD: &str = "  hash_period: 200ms\n  state_period: 200ms";
const FIRST: &str = "Erstes-Passwort-1";
const SECOND: &str = "Zweites-Пароль-2";
const THIRD: &str = "Third-Passw0rd-3";

fn crowd(users: u32) -> Fill {
    Fill {
        users,
        groups: 4,
        memberships: 20,
        seed: 23,
        big_group: false,
        difficulties: false,
    }
}

fn hashes(summary: &Json) -> &Json {
    &summary["streams"]["password_hashes"]
}

/// Imported and failed hashes of a session, as the hub has counted them.
fn counted(session: &SynchronizationSession) -> (i64, i64) {
    let entries = session.progress_entries.iter();
    let infos = entries.flat_map(|entry| &entry.change_info);
    infos
        .filter(|info| info.change_type() == ChangeType::PasswordHashUpdate)
        .fold((0, 0), |(done, failed), info| {
            (done + info.successful, failed + info.failed)
        })
}

/// Makes a user in the directory with this password.
fn add(world: &World, name: &str, place: &str, password: &str) {
    let made = new_user(name, place);
    world.dc.admin_ldapmodify(&made).unwrap();
    set_password(&world.dc, name, password, Change::Free);
}

/// Waits until all streams follow.
async fn wait_following(world: &World) {
    wait_until("a session of the hashes", world, async || {
        let path = world.working_directory().join("status.json");
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let status: Json = serde_json::from_str(&status).unwrap_or_default();
        let stream = &status["streams"]["password_hashes"];
        stream["phase"] == "working" && stream["last_success_at"].is_string()
    })
    .await;
}

fn assert_nowhere(directory: &Path, secrets: &[Vec<u8>]) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, secrets);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} holds a hash", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_people_sign_in_with_the_passwords_of_the_directory() {
    let world = World::start(Some(crowd(200))).await;
    let config = world.configure("", &drsr(&world));
    let summary = world.run(&config).await;
    let run = hashes(&summary);
    assert_eq!(run["outcome"], "completed", "{summary:#}");
    assert_eq!(run["mode"], "full", "{summary:#}");
    assert_eq!(run["users"]["password_hashes"], 200, "{summary:#}");
    let sessions = world.sessions_of(SESSIONS).await;
    assert_eq!(counted(&sessions[0]), (200, 0));
    let mut signed_in = 0;
    for number in 1..=200 {
        let name = format!("u{number:06}");
        // Some are disabled or have ended; they got their hash all the same.
        let expected = match states::is_active(&world, &name).await {
            true => Entry::In,
            false => Entry::Refused,
        };
        let password = world.dc.password_of(number);
        let found = sign_in(&world, &name, &password).await;
        assert_eq!(found, expected, "{name}");
        signed_in += usize::from(found == Entry::In);
    }
    println!("{signed_in} of 200 signed in, the others are suspended");
    assert!(signed_in > 150, "{signed_in}");
    let wrong = sign_in(&world, "u000001", &world.dc.password_of(2)).await;
    assert_eq!(wrong, Entry::Refused);

    // Neither the changes since then nor a comparison of everything bring anything new.
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["mode"], "delta", "{summary:#}");
    assert_eq!(hashes(&summary)["users"]["password_hashes"], 0);
    world.reset_token().await;
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["mode"], "full", "{summary:#}");
    assert_eq!(hashes(&summary)["users"]["password_hashes"], 0);

    // No hash is left on any disk, in whatever form.
    let mut secrets = Vec::new();
    for number in 1..=200 {
        let hash = nt_hash(&SecretString::new(world.dc.password_of(number)));
        let text = hash.expose().iter().map(|byte| format!("{byte:02x}"));
        secrets.push(text.collect::<String>().into_bytes());
        secrets.push(hash.expose().to_vec());
    }
    assert_nowhere(&world.working_directory(), &secrets);
    assert_nowhere(&world.hub_data, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_counts_within_seconds_whoever_it_is() {
    let world = World::start(None).await;
    let config = world.configure(PERIOD, &drsr(&world));
    add(&world, "anna", &accounts(), FIRST);
    let elsewhere = format!("OU=Service,{BASE}");
    add(&world, "boris", &elsewhere, FIRST);
    let agent = world.spawn(&config, &["--now"]);
    wait_following(&world).await;
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);

    // Changed.
    let before = password_at(&world, "anna").await;
    set_password(&world.dc, "anna", SECOND, Change::Free);
    let took = wait_password(&world, "anna", before).await;
    println!("a changed password arrived in {took:?}");
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::Refused);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);

    // A new user.
    add(&world, "clara", &accounts(), THIRD);
    let took = wait_password(&world, "clara", None).await;
    println!("the password of a new user arrived in {took:?}");
    assert_eq!(sign_in(&world, "clara", THIRD).await, Entry::In);

    // Into the scope, with an old password.
    let dn_of = format!("CN=boris,{elsewhere}");
    let moved = rename(&dn_of, "CN=boris", Some(&accounts()));
    world.dc.admin_ldapmodify(&moved).unwrap();
    let took = wait_password(&world, "boris", None).await;
    println!("the password of a user moved into the scope arrived in {took:?}");
    assert_eq!(sign_in(&world, "boris", FIRST).await, Entry::In);

    // Reset, and to be changed.
    let before = password_at(&world, "clara").await;
    set_password(&world.dc, "clara", SECOND, Change::Demanded);
    wait_password(&world, "clara", before).await;
    assert_eq!(sign_in(&world, "clara", THIRD).await, Entry::Refused);
    assert_eq!(sign_in(&world, "clara", SECOND).await, Entry::MustChange);

    // Changed while disabled.
    world.dc.samba_tool(&["user", "disable", "boris"]).unwrap();
    let before = password_at(&world, "boris").await;
    set_password(&world.dc, "boris", THIRD, Change::Free);
    wait_password(&world, "boris", before).await;
    wait_until("boris is suspended", &world, async || {
        !states::is_active(&world, "boris").await
    })
    .await;
    assert_eq!(sign_in(&world, "boris", THIRD).await, Entry::Refused);
    world.dc.samba_tool(&["user", "enable", "boris"]).unwrap();
    wait_until("boris is active", &world, async || {
        states::is_active(&world, "boris").await
    })
    .await;
    assert_eq!(sign_in(&world, "boris", THIRD).await, Entry::In);
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_hash_never_takes_the_place_of_a_newer_one() {
    let world = World::start(None).await;
    let config = world.configure(PERIOD, &drsr(&world));
    add(&world, "anna", &accounts(), FIRST);
    world.run(&config).await;
    let user = find(&world, "anna").await.unwrap();
    let hash = nt_hash(&SecretString::new(SECOND.to_owned()));
    let text = hash.expose().iter().map(|byte| format!("{byte:02x}"));
    let later = SystemClock.now().plus(Span::hours(1));
    let request = SetPasswordHashRequest {
        user_id: user.id,
        hash: Some(PasswordHash {
            password_hash: text.collect(),
            password_hash_type: PasswordHashType::AdMd4 as i32,
            created_at: Some(prost_types::Timestamp {
                seconds: later.as_seconds(),
                nanos: later.subsecond_nanos(),
            }),
        }),
        need_change: false,
    };
    let mut users = world.client.users();
    users.set_password_hash(request).await.unwrap();
    world.reset_token().await;
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["mode"], "full", "{summary:#}");
    set_password(&world.dc, "anna", THIRD, Change::Free);
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["mode"], "delta", "{summary:#}");
    assert_eq!(hashes(&summary)["failed_items_count"], 0, "{summary:#}");
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(sign_in(&world, "anna", THIRD).await, Entry::Refused);
}

/// Accounts made by hand before there was a directory: from the capture on the directory decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_captured_user_gets_the_older_password_of_the_directory() {
    let world = World::start(None).await;
    add(&world, "anna", &accounts(), FIRST);
    let own = CreateUserRequest {
        userpool_id: world.pool.id.clone(),
        username: format!("anna@{}", world.domain()),
        full_name: "Anna before".into(),
        credentials: Some(Credentials::PasswordSpec(PasswordSpec {
            password: SECOND.into(),
            ..PasswordSpec::default()
        })),
        ..CreateUserRequest::default()
    };
    world.client.users().create(own).await.unwrap();
    let config = world.configure("", &drsr(&world));
    let summary = world.run(&config).await;
    assert_eq!(summary["failed_items_count"], 1, "{summary:#}");
    assert_eq!(hashes(&summary)["mode"], "full", "{summary:#}");
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::Refused);

    let config = world.configure("  allow_to_capture_users: true", &drsr(&world));
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["mode"], "delta", "{summary:#}");
    assert_eq!(hashes(&summary)["users"]["password_hashes"], 1);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::Refused);
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_15_a_revoked_right_shows() {
    let world = World::start(None).await;
    let top = format!("{}\nmetrics: {{listen: '127.0.0.1:0'}}", drsr(&world));
    let config = world.configure("", &top);
    add(&world, "anna", &accounts(), FIRST);
    // Nobody has ever given this one a password.
    let made = new_user("nobody", &accounts());
    world.dc.admin_ldapmodify(&made).unwrap();
    let agent = world.spawn(&config, &["--now"]);
    wait_following(&world).await;
    let port = port_of(&world.log());
    let text = metrics(port).await;
    let line = "rollcall_agent_users_without_hash 1";
    assert!(text.lines().any(|found| found == line), "{text}");
    assert!(
        text.contains("rollcall_agent_hash_stream_age_seconds "),
        "{text}"
    );

    // DS-Replication-Get-Changes-All (MS-ADTS 5.1.3.2.1).
    let account = world.sync_account_sid();
    let sddl = format!("--sddl=(OD;;CR;1131f6ad-9c07-11d1-f79f-00c04fc2dcd2;;{account})");
    let domain = format!("--objectdn={BASE}");
    let revoked = Instant::now();
    let set = ["dsacl", "set", &domain, &sddl];
    world.dc.samba_tool(&set).unwrap();
    let failed = async || {
        let sessions = world.sessions_of(SESSIONS).await;
        let is_failed = |s: &SynchronizationSession| s.status() == SessionStatus::Failed;
        sessions.into_iter().find(is_failed)
    };
    wait_until("the session fails", &world, async || {
        failed().await.is_some()
    })
    .await;
    println!("the revoked right showed after {:?}", revoked.elapsed());
    let reason = failed().await.unwrap().fail_reason;
    assert!(
        reason.contains("Replicating Directory Changes All"),
        "{reason}"
    );
    wait_until("the metrics tell", &world, async || {
        let text = metrics(port).await;
        text.contains("rollcall_agent_failing{stream=\"password_hashes\"} 1")
    })
    .await;
    let shown = world.agent(&config, &["status"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("password_hashes: FAILING"), "{shown}");
    assert!(
        shown.contains("Replicating Directory Changes All"),
        "{shown}"
    );
    assert!(shown.contains("1 users without a password hash"), "{shown}");
    assert!(world.log().contains("Replicating Directory Changes All"));
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

/// Where the agent serves its metrics.
fn port_of(log: &str) -> u16 {
    let line = log.lines().find(|line| line.contains("metrics are served"));
    let (_, port) = line.unwrap().rsplit_once(':').unwrap();
    port.trim().parse().unwrap()
}

async fn metrics(port: u16) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_would_send_is_counted_and_what_is_wrong_is_explained() {
    let world = World::start(Some(crowd(20))).await;
    let config = world.configure("", &drsr(&world));
    let would_send = async || {
        let output = world.agent(&config, &["--dry-run", "-o", "json"]).await;
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        let counters = report["counters"].as_array().unwrap();
        let counter = counters
            .iter()
            .find(|counter| counter["change"] == "password_hash_update");
        counter.unwrap()["successful"].as_u64().unwrap()
    };
    assert_eq!(would_send().await, 20, "users that are not there yet count");
    let objects = other_agent(&world, &config, "objects", "objects");
    world.run(&objects).await;
    assert_eq!(would_send().await, 20);
    assert_eq!(world.sessions_of(SESSIONS).await.len(), 0);
    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["users"]["password_hashes"], 20);
    assert_eq!(would_send().await, 0);
    set_password(&world.dc, "u000007", FIRST, Change::Free);
    assert_eq!(would_send().await, 1);

    let check = async |top: &str| {
        let config = world.configure("", top);
        let output = world.agent(&config, &["--check"]).await;
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = check(&drsr(&world)).await;
    assert_eq!(code, Some(0), "{text}");
    let good = "✓ password hashes: can be read; that of the account itself is right";
    assert!(text.contains(good), "{text}");
    let (code, text) = check(&drsr_of(&world, "svc-sync", "wrong")).await;
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("✗ replication account: "), "{text}");
    let create = ["user", "create", "svc-less", FIRST];
    world.dc.samba_tool(&create).unwrap();
    let (code, text) = check(&drsr_of(&world, "svc-less", FIRST)).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("✗ password hashes: "), "{text}");
    assert!(text.contains("Replicating Directory Changes All"), "{text}");
    // Nothing listens there.
    let closed = drsr(&world).replace("}", ", port: 1}");
    let (code, text) = check(&closed).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("✗ replication port: drsr.host"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sweep_goes_on_where_it_was() {
    const USERS: u32 = 900;
    let world = World::start(Some(crowd(USERS))).await;
    let config = world.configure("", &drsr(&world));
    let objects = other_agent(&world, &config, "objects", "objects");
    world.run(&objects).await;
    let hashes_only = other_agent(&world, &config, "hashes", "password_hashes");
    let agent = spawn(&hashes_only);
    wait_until("some have theirs", &world, async || {
        let users = world.users().await;
        let with = users.iter().filter(|u| u.password_created_at.is_some());
        with.count() >= 50
    })
    .await;
    agent.kill();
    let before = world.users().await;
    let before = before.iter().filter(|u| u.password_created_at.is_some());
    let before = before.count();
    println!("killed after {before} of {USERS}");
    let agent = spawn(&hashes_only);
    wait_until("all have theirs", &world, async || {
        let users = world.users().await;
        users.iter().all(|user| user.password_created_at.is_some())
    })
    .await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&hashes_only));
    let sessions = world.sessions_of(SESSIONS).await;
    let second = counted(&sessions[0]).0;
    assert!(second <= i64::from(USERS) - before as i64, "{second}");
    for number in [1, USERS / 2, USERS] {
        let name = format!("u{number:06}");
        let password = world.dc.password_of(number);
        assert_eq!(sign_in(&world, &name, &password).await, Entry::In, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_outside_the_scope_keep_the_hash_they_had_until_they_return() {
    let world = World::start(None).await;
    let settings = format!("{PERIOD}\n  remove_user_behavior: block");
    let config = world.configure(&settings, &drsr(&world));
    add(&world, "anna", &accounts(), FIRST);
    let agent = world.spawn(&config, &["--now"]);
    wait_following(&world).await;
    let outside = format!("OU=Service,{BASE}");
    let left = rename(&dn("anna"), "CN=anna", Some(&outside));
    world.dc.admin_ldapmodify(&left).unwrap();
    wait_until("anna is blocked", &world, async || {
        !states::is_active(&world, "anna").await
    })
    .await;
    let before = password_at(&world, "anna").await;
    set_password(&world.dc, "anna", SECOND, Change::Free);
    // Somebody else's password tells when this one was looked at.
    add(&world, "boris", &accounts(), FIRST);
    wait_password(&world, "boris", None).await;
    assert_eq!(password_at(&world, "anna").await, before);
    // Who waits is known after a restart.
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    let agent = world.spawn(&config, &["--now"]);
    let back = rename(&format!("CN=anna,{outside}"), "CN=anna", Some(&accounts()));
    world.dc.admin_ldapmodify(&back).unwrap();
    wait_password(&world, "anna", before).await;
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}
