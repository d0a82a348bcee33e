//! The agent signs in by Kerberos only: no password is in its configuration, nothing it sends is in the
//! clear, and each thing that is wrong has its own words.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use change::*;
use rollcall_lab::samba::Dc;
use rollcall_proto::idp::user::Status;
use world::World;

/// `host` and `address` as an administrator writes them where the name is in the DNS, which that of the
/// lab is not.
fn ldap(dc: &Dc) -> String {
    let (host, address) = (dc.host_name(), dc.ip());
    format!("host: '{host}', address: '{address}', use_kerberos: true")
}

fn section(keytab: &Path, principal: &str, krb5: &Path) -> String {
    format!(
        "check_config_permissions: true\nkerberos: {{keytab_path: '{}', principal: '{principal}', \
         krb5_config_path: '{}'}}",
        keytab.display(),
        krb5.display()
    )
}

/// The configuration is a secret file like the others.
fn private(config: PathBuf) -> PathBuf {
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&config, mode).unwrap();
    config
}

fn configure(world: &World, settings: &str, kerberos: &str) -> PathBuf {
    private(world.configure_directory(settings, kerberos, &ldap(&world.dc)))
}

async fn check(world: &World, config: &Path) -> (Option<i32>, String) {
    let output = world.agent(config, &["--check"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keytab_is_enough_for_everything_the_agent_reads() {
    let world = World::start(Some(people(120))).await;
    let keytab = world.dc.keytab("svc-sync").unwrap();
    // The realm is the default one of krb5.conf.
    let kerberos = section(&keytab, "svc-sync", &world.dc.krb5_conf_path());
    let config = configure(&world, "  state_period: 200ms", &kerberos);
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(
        !text.contains("password") && !text.contains("ldaps"),
        "{text}"
    );

    let (code, text) = check(&world, &config).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("✓ directory encryption: signed and sealed by Kerberos"),
        "{text}"
    );
    assert!(text.contains("✓ clock: agrees"), "{text}");
    assert!(!text.contains("directory certificate"), "{text}");

    let first = world.run(&config).await;
    assert_eq!(first["mode"], "full");
    world.assert_equal().await;

    let people = format!("OU=People,{BASE}");
    world
        .dc
        .admin_ldapmodify(&new_user("late", &people))
        .unwrap();
    let second = world.run(&config).await;
    assert_eq!(
        (&second["mode"], &second["users"]["created"]),
        (&"delta".into(), &1.into())
    );
    world.assert_equal().await;

    // The other stream: the account is disabled while the agent runs.
    let agent = world.spawn(&config, &["--now"]);
    let disable = format!(
        "dn: CN=late,{people}\nchangetype: modify\nreplace: userAccountControl\n\
         userAccountControl: 514\n"
    );
    world.dc.admin_ldapmodify(&disable).unwrap();
    let login = format!("late@{}", world.domain());
    let mut suspended = false;
    for _ in 0..600 {
        let users = world.users().await;
        let late = users.iter().find(|user| user.username == login).unwrap();
        suspended = late.status != Status::Active as i32;
        if suspended {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(suspended, "{}", world.log());
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_kerberos_is_told_each_in_its_own_words() {
    let world = World::start(None).await;
    let dc = &world.dc;
    let keytab = dc.keytab("svc-sync").unwrap();
    let krb5 = dc.krb5_conf_path();
    let principal = dc.sync_principal();
    let told = |kerberos: String| {
        let world = &world;
        async move { check(world, &configure(world, "", &kerberos)).await }
    };

    let gone = world.working_directory().join("gone.keytab");
    let (code, text) = told(section(&gone, &principal, &krb5)).await;
    assert_eq!(code, Some(3), "a secret file is missing: {text}");
    assert!(
        text.contains("✗ Kerberos keytab: kerberos.keytab_path"),
        "{text}"
    );

    let (code, text) = told(section(&keytab, "other@CORP.EXAMPLE.COM", &krb5)).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("holds no key of other@CORP.EXAMPLE.COM, only of: svc-sync"),
        "{text}"
    );

    let (_, text) = told(section(&keytab, &principal, &gone)).await;
    assert!(
        text.contains("kerberos.krb5_config_path: the Kerberos configuration"),
        "{text}"
    );

    let open = world.directory.path().join("open.keytab");
    std::fs::copy(&keytab, &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = told(section(&open, &principal, &krb5)).await;
    assert!(
        code == Some(3) && text.contains("open.keytab has mode 644"),
        "{text}"
    );

    let elsewhere = world.directory.path().join("krb5.conf");
    let kdc = format!("{}:88", dc.ip());
    let right = std::fs::read_to_string(&krb5).unwrap();
    std::fs::write(&elsewhere, right.replace(&kdc, &format!("{}:1", dc.ip()))).unwrap();
    let (code, text) = told(section(&keytab, &principal, &elsewhere)).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("✗ Kerberos server: no key distribution centre"),
        "{text}"
    );

    // Where none is named the controller itself is asked.
    std::fs::write(&elsewhere, "[libdefaults]\ndns_lookup_kdc = false\n").unwrap();
    let (code, text) = told(section(&keytab, &principal, &elsewhere)).await;
    assert_eq!(code, Some(0), "{text}");

    let other_name = ldap(dc).replace(&dc.host_name(), "dc9.corp.example.com");
    let kerberos = section(&keytab, &principal, &krb5);
    let config = private(world.configure_directory("", &kerberos, &other_name));
    let (code, text) = check(&world, &config).await;
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("✗ Kerberos service name: Kerberos does not know the service"),
        "{text}"
    );

    dc.samba_tool(&["user", "disable", "svc-sync"]).unwrap();
    let config = configure(&world, "", &kerberos);
    let (code, text) = check(&world, &config).await;
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("✗ directory account: Kerberos refuses the account svc-sync"),
        "{text}"
    );
    let (code, _) = world.once(&config).await;
    assert_eq!(code, 4);
    dc.samba_tool(&["user", "enable", "svc-sync"]).unwrap();

    dc.samba_tool(&[
        "user",
        "setpassword",
        "svc-sync",
        "--newpassword=N3w-Passw0rd!2",
    ])
    .unwrap();
    let (_, text) = check(&world, &config).await;
    assert!(
        text.contains("✗ directory account: the key in the keytab does not fit"),
        "{text}"
    );
    // A new keytab in the same place is taken without a new configuration.
    dc.keytab("svc-sync").unwrap();
    let (code, text) = check(&world, &config).await;
    assert_eq!(code, Some(0), "{text}");
}
