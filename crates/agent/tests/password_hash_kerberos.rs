//! The streams of the agent by Kerberos alone: no password is in its configuration, people sign in at
//! the hub with those they have in the directory, and each thing that is missing has its own words and
//! damages nothing.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/keytab.rs"]
mod keytab;
#[allow(dead_code)] // only its clock is needed
#[path = "../../directory/tests/kerberos/middle.rs"]
mod middle;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use change::*;
use rollcall_proto::idp::User;
use sign_in::*;
use states::{accounts, is_active, other_agent, wait_until};
use world::World;

const FIRST: &str = "Erstes-Passwort-1";
const SECOND: &str = "Zweites-Passwort-2";
const THIRD: &str = "Drittes-Passwort-3";
const LESS: &str = "svc-less";
/// MS-ADTS 5.1.3.2.1.
const GET_CHANGES: &str = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2";
const GET_CHANGES_ALL: &str = "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2";

/// What a sign-in by Kerberos is configured with.
struct Kerberos {
    keytab: PathBuf,
    principal: String,
    krb5: PathBuf,
}

impl Kerberos {
    fn of(world: &World, account: &str) -> Self {
        Self {
            keytab: world.dc.keytab(account).unwrap(),
            principal: account.to_owned(),
            krb5: world.dc.krb5_conf_path(),
        }
    }

    /// Writes the configuration, which is a secret file like others.
    fn configure(&self, world: &World, settings: &str) -> PathBuf {
        let (host, address) = (world.dc.host_name(), world.dc.ip());
        let directory = format!("host: '{host}', address: '{address}', use_kerberos: true");
        let top = format!(
            "check_config_permissions: true\ndrsr: {{{directory}}}\n\
             kerberos: {{keytab_path: '{}', principal: '{}', krb5_config_path: '{}'}}",
            self.keytab.display(),
            self.principal,
            self.krb5.display()
        );
        let path = world.configure_directory(settings, &top, &directory);
        close(&path);
        path
    }

    /// The same for an agent that works in the hashes only.
    fn configure_hashes(&self, world: &World) -> PathBuf {
        let path = other_agent(
            world,
            &self.configure(world, ""),
            "hashes",
            "password_hashes",
        );
        close(&path);
        path
    }
}

fn close(path: &Path) {
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).unwrap();
}

fn add(world: &World, name: &str, password: &str) {
    let made = new_user(name, &accounts());
    world.dc.admin_ldapmodify(&made).unwrap();
    set_password(&world.dc, name, password, Change::Free);
}

fn hashes(summary: &serde_json::Value) -> &serde_json::Value {
    &summary["streams"]["password_hashes"]
}

/// A run in the hashes alone that must succeed, and how many came.
async fn run_hashes(world: &World, config: &Path) -> u64 {
    let (code, summary) = world.once(config).await;
    let run = hashes(&summary);
    assert_eq!(
        (code, &run["outcome"]),
        (0, &"completed".into()),
        "{summary:#}"
    );
    assert_eq!(run["mode"], "delta", "{summary:#}");
    run["users"]["password_hashes"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_password_in_its_configuration_it_brings_everything() {
    const PERIODS: &str = "  hash_period: 200ms\n  state_period: 200ms";
    let world = World::start(Some(people(100))).await;
    let config = Kerberos::of(&world, "svc-sync").configure(&world, PERIODS);
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(!text.contains("password"), "{text}");
    let output = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("✓ password hashes: can be read"), "{text}");

    let summary = world.run(&config).await;
    assert_eq!(hashes(&summary)["outcome"], "completed", "{summary:#}");
    assert_eq!(hashes(&summary)["mode"], "full", "{summary:#}");
    world.assert_equal().await;
    let (mut signed_in, mut refused) = (0, 0);
    for number in 1..=100 {
        let name = format!("u{number:06}");
        if find(&world, &name).await.is_none() {
            continue;
        }
        let expected = match is_active(&world, &name).await {
            true => Entry::In,
            false => Entry::Refused,
        };
        let password = world.dc.password_of(number);
        let found = sign_in(&world, &name, &password).await;
        assert_eq!(found, expected, "{name}");
        signed_in += u32::from(found == Entry::In);
        refused += u32::from(found == Entry::Refused);
    }
    println!("{signed_in} signed in, {refused} are suspended");
    assert!(signed_in >= 50, "{signed_in}");

    // While it runs: somebody new, another password, a disabled account.
    let agent = world.spawn(&config, &["--now"]);
    add(&world, "anna", FIRST);
    wait_password(&world, "anna", None).await;
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);
    let before = password_at(&world, "anna").await;
    set_password(&world.dc, "anna", SECOND, Change::Free);
    let took = wait_password(&world, "anna", before).await;
    println!("a changed password arrived in {took:?}");
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::Refused);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    world.dc.samba_tool(&["user", "disable", "anna"]).unwrap();
    wait_until("anna is suspended", &world, async || {
        !is_active(&world, "anna").await
    })
    .await;
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

/// Runs that must fail, and what the hub has meanwhile.
struct Outage {
    world: World,
    users: Vec<User>,
}

impl Outage {
    /// Anna has a password at the hub, and a newer one in the directory.
    async fn begin() -> Self {
        let world = World::start(Some(people(20))).await;
        add(&world, "anna", FIRST);
        let good = Kerberos::of(&world, "svc-sync");
        world.run(&good.configure(&world, "")).await;
        assert_eq!(run_hashes(&world, &good.configure_hashes(&world)).await, 0);
        assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);
        set_password(&world.dc, "anna", SECOND, Change::Free);
        let users = world.users().await;
        Self { world, users }
    }

    /// A run with this fails and says so, and the hub is as before.
    async fn check(&self, kerberos: &Kerberos, code: i32, words: &[&str]) {
        let world = &self.world;
        let config = kerberos.configure_hashes(world);
        let output = world.agent(&config, &["--once", "--now"]).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        for part in words {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(world.users().await, self.users, "{words:?}");
        assert_eq!(sign_in(world, "anna", FIRST).await, Entry::In, "{words:?}");
    }

    /// With everything in place it goes on where it was.
    async fn end(self) {
        let world = &self.world;
        let config = Kerberos::of(world, "svc-sync").configure_hashes(world);
        assert_eq!(run_hashes(world, &config).await, 1);
        assert_eq!(sign_in(world, "anna", SECOND).await, Entry::In);
        assert_eq!(sign_in(world, "anna", FIRST).await, Entry::Refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_right_is_named_and_damages_nothing() {
    let outage = Outage::begin().await;
    let world = &outage.world;
    let create = ["user", "create", LESS, THIRD];
    world.dc.samba_tool(&create).unwrap();
    let shown = ["user", "show", LESS, "--attributes=objectSid"];
    let shown = world.dc.samba_tool(&shown).unwrap();
    let sid = shown.lines().find_map(|l| l.strip_prefix("objectSid: "));
    let sid = sid.unwrap();
    let less = Kerberos::of(world, LESS);
    for (right, name) in [
        (GET_CHANGES, "\"Replicating Directory Changes\""),
        (GET_CHANGES_ALL, "\"Replicating Directory Changes All\""),
    ] {
        outage.check(&less, 1, &["grant it", name]).await;
        let sddl = format!("--sddl=(OA;;CR;{right};;{sid})");
        let domain = format!("--objectdn={BASE}");
        let set = ["dsacl", "set", &domain, &sddl];
        world.dc.samba_tool(&set).unwrap();
    }
    // The objects need the first of them, too.
    let create = ["user", "create", "svc-none", THIRD];
    world.dc.samba_tool(&create).unwrap();
    let none = Kerberos::of(world, "svc-none").configure(world, "");
    let objects = other_agent(world, &none, "objects", "objects");
    close(&objects);
    let reason = world.failing_run(&objects).await;
    assert!(
        reason.contains("\"Replicating Directory Changes\""),
        "{reason}"
    );
    assert_eq!(world.users().await, outage.users);
    // With both the account is as good as another.
    assert_eq!(run_hashes(world, &less.configure_hashes(world)).await, 1);
    assert_eq!(sign_in(world, "anna", SECOND).await, Entry::In);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_keytab_is_named_and_damages_nothing() {
    let outage = Outage::begin().await;
    let world = &outage.world;
    let good = Kerberos::of(world, "svc-sync");
    let with = |keytab: &Path| Kerberos {
        keytab: keytab.to_owned(),
        principal: good.principal.clone(),
        krb5: good.krb5.clone(),
    };
    let file = |name: &str, bytes: &[u8]| {
        let path = world.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        close(&path);
        path
    };
    let bytes = std::fs::read(&good.keytab).unwrap();

    let gone = world.directory.path().join("gone.keytab");
    let name = "kerberos.keytab_path";
    outage
        .check(&with(&gone), 3, &["gone.keytab", "No such file"])
        .await;
    // A folder of mode 600 cannot be read as a file even by root.
    let folder = world.directory.path().join("folder.keytab");
    std::fs::create_dir(&folder).unwrap();
    close(&folder);
    outage
        .check(&with(&folder), 2, &[name, "folder.keytab"])
        .await;
    let junk = file("junk.keytab", b"this is no keytab");
    outage.check(&with(&junk), 2, &[name, "junk.keytab"]).await;
    let cut = file("cut.keytab", &bytes[..bytes.len() / 2]);
    outage.check(&with(&cut), 2, &[name]).await;

    let wrong = file("wrong.keytab", &keytab::with_other_keys(&bytes));
    let does_not_fit = ["the key in the keytab does not fit", "make a new keytab"];
    outage.check(&with(&wrong), 4, &does_not_fit).await;
    // The key of before the last change of the password.
    let old = file("old.keytab", &bytes);
    let set = [
        "user",
        "setpassword",
        "svc-sync",
        "--newpassword=N3w-Passw0rd!2",
    ];
    world.dc.samba_tool(&set).unwrap();
    outage.check(&with(&old), 4, &does_not_fit).await;
    outage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_account_and_clock_is_named_and_damages_nothing() {
    let outage = Outage::begin().await;
    let world = &outage.world;
    let mut kerberos = Kerberos::of(world, "svc-sync");
    world
        .dc
        .samba_tool(&["user", "disable", "svc-sync"])
        .unwrap();
    let disabled = ["it is disabled", "(KDC_ERR_CLIENT_REVOKED); enable"];
    outage.check(&kerberos, 4, &disabled).await;
    world
        .dc
        .samba_tool(&["user", "enable", "svc-sync"])
        .unwrap();

    let expire = ["user", "setexpiry", "svc-sync", "--days=-1"];
    world.dc.samba_tool(&expire).unwrap();
    outage.check(&kerberos, 4, &["expir"]).await;
    let keep = ["user", "setexpiry", "svc-sync", "--noexpiry"];
    world.dc.samba_tool(&keep).unwrap();

    let kdc = middle::kdc_with_another_clock().await;
    let right = std::fs::read_to_string(&kerberos.krb5).unwrap();
    let here = format!("{}:88", world.dc.ip());
    let there = format!("{}:{}", kdc.host, kdc.port);
    assert!(right.contains(&here), "{right}");
    let late = world.directory.path().join("late.conf");
    std::fs::write(&late, right.replace(&here, &there)).unwrap();
    let good = std::mem::replace(&mut kerberos.krb5, late);
    let differ = ["clocks", "differ", "s behind", "NTP"];
    outage.check(&kerberos, 4, &differ).await;

    let unreachable = world.directory.path().join("unreachable.conf");
    let nowhere = right.replace(&here, &format!("{}:1", world.dc.ip()));
    std::fs::write(&unreachable, nowhere).unwrap();
    kerberos.krb5 = unreachable;
    outage
        .check(&kerberos, 1, &["no key distribution centre"])
        .await;
    kerberos.krb5 = good;
    outage.end().await;
}
