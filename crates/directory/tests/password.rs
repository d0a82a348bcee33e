//! Setting passwords in a real domain controller: what arrives, and every way to be refused. That
//! the old password stops working is never what a test relies on: it opens for an hour.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "samba/domain.rs"]
mod domain;

use std::time::Duration;

use domain::{connect, options, options_for};
use rollcall_directory::{
    Bind, Connection, Credential, Guid, Krb5Config, Mechanism, NextSignIn, Options,
    PasswordProblem, PasswordRefusal, PasswordWrite, PlainText, SecurityOptions, Setter, Verified,
    verify_password,
};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::{Dc, DcOptions};

const FIRST: &str = "Erstes-Passwort-1";
const SECOND: &str = "Zweites-Пароль-2-😀";
const THIRD: &str = "Third-\"quoted\"-3";

/// A domain with these people, all with the first password.
fn domain_of(people: &[&str]) -> Dc {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    policy(&dc, &["--min-pwd-age=0", "--history-length=3"]);
    for name in people {
        let unit = "--userou=OU=People";
        dc.samba_tool(&["user", "create", name, FIRST, unit])
            .unwrap();
    }
    dc
}

fn policy(dc: &Dc, settings: &[&str]) {
    let set = ["domain", "passwordsettings", "set"];
    dc.samba_tool(&[&set[..], settings].concat()).unwrap();
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

fn dn(dc: &Dc, name: &str) -> String {
    format!("CN={name},OU=People,{}", dc.base_dn())
}

async fn guid(connection: &mut Connection, dn: &str) -> Guid {
    let found = connection.resolve_dn(&dn.parse().unwrap(), &[]).await;
    found.unwrap().unwrap_or_else(|| panic!("{dn}")).guid
}

async fn set(
    connection: &mut Connection,
    user: Guid,
    old: Option<&str>,
    new: &str,
    next_sign_in: NextSignIn,
) -> Result<(), PasswordRefusal> {
    let (old, new) = (old.map(secret), secret(new));
    let setter = match &old {
        Some(old) => Setter::User { old },
        None => Setter::Administrator(next_sign_in),
    };
    let write = PasswordWrite {
        user,
        new: &new,
        setter,
    };
    connection.set_password(&write).await
}

async fn verify(dc: &Dc, name: &str, password: &str) -> Verified {
    let account = dn(dc, name);
    let options = options_for(dc, &account, password);
    verify_password(&options).await.unwrap()
}

/// Whether the person can sign in and work.
async fn enters(dc: &Dc, name: &str, password: &str) -> bool {
    let account = dn(dc, name);
    let options = options_for(dc, &account, password);
    Connection::open(&options).await.is_ok()
}

fn number(dc: &Dc, name: &str, attribute: &str) -> i64 {
    let filter = format!("(sAMAccountName={name})");
    let dump = dc.admin_ldapsearch(&[&filter, attribute]).unwrap();
    let line = dump.lines().find_map(|line| line.strip_prefix(attribute));
    line.map_or(0, |line| line[2..].parse().unwrap())
}

#[tokio::test]
async fn changes_and_resets_arrive() {
    let dc = domain_of(&["anna"]);
    let mut connection = connect(&dc).await;
    assert!(connection.is_encrypted());
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let free = NextSignIn::Free;

    // By the user.
    let changed = set(&mut connection, anna, Some(FIRST), SECOND, free).await;
    changed.unwrap();
    assert!(enters(&dc, "anna", SECOND).await);
    // By an administrator; what was used before counts no more, and does no harm twice.
    for password in [THIRD, FIRST, FIRST] {
        set(&mut connection, anna, None, password, free)
            .await
            .unwrap();
        assert!(enters(&dc, "anna", password).await, "{password}");
    }
    assert!(number(&dc, "anna", "pwdLastSet") > 0);

    // To be changed at the next sign-in.
    let must = NextSignIn::MustChange;
    set(&mut connection, anna, None, SECOND, must)
        .await
        .unwrap();
    assert_eq!(number(&dc, "anna", "pwdLastSet"), 0);
    assert!(!enters(&dc, "anna", SECOND).await);
    assert_eq!(verify(&dc, "anna", SECOND).await, Verified::Right);
    // The user chose another one at the hub: it is set for good.
    set(&mut connection, anna, None, THIRD, free).await.unwrap();
    assert!(number(&dc, "anna", "pwdLastSet") > 0);
    assert!(enters(&dc, "anna", THIRD).await);
}

#[tokio::test]
async fn each_refusal_has_its_reason_and_changes_nothing() {
    let dc = domain_of(&["anna", "boris", "clara", "dmitri"]);
    let mut connection = connect(&dc).await;
    let free = NextSignIn::Free;
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let set_at = number(&dc, "anna", "pwdLastSet");
    for (old, new, problem) in [
        (None, "Ab-1", PasswordProblem::TooShort),
        (Some(FIRST), "Ab-1", PasswordProblem::TooShort),
        (None, "alllowercase", PasswordProblem::NotComplex),
        (Some(FIRST), "alllowercase", PasswordProblem::NotComplex),
        (Some(FIRST), FIRST, PasswordProblem::InHistory),
    ] {
        let refusal = set(&mut connection, anna, old, new, free)
            .await
            .unwrap_err();
        assert_eq!(refusal.problem, problem, "{refusal:?}");
        assert!(refusal.text.contains("0000052D"), "{refusal:?}");
        assert!(!refusal.text.contains(new), "{refusal:?}");
    }
    assert_eq!(number(&dc, "anna", "badPwdCount"), 0);
    assert_eq!(number(&dc, "anna", "pwdLastSet"), set_at);

    // A wrong old one counts, and in the end locks.
    for count in 1..=3 {
        let refusal = set(&mut connection, anna, Some("wrong"), SECOND, free).await;
        assert_eq!(refusal.unwrap_err().problem, PasswordProblem::WrongOld);
        assert_eq!(number(&dc, "anna", "badPwdCount"), count);
    }
    let refusal = set(&mut connection, anna, Some(FIRST), SECOND, free).await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.problem, PasswordProblem::Locked, "{refusal:?}");
    let verified = verify(&dc, "anna", FIRST).await;
    assert!(matches!(verified, Verified::Unknown(_)), "{verified:?}");

    // Too young: only for changes.
    policy(&dc, &["--min-pwd-age=1"]);
    let boris = guid(&mut connection, &dn(&dc, "boris")).await;
    let refusal = set(&mut connection, boris, Some(FIRST), SECOND, free).await;
    assert_eq!(refusal.unwrap_err().problem, PasswordProblem::TooYoung);
    set(&mut connection, boris, None, SECOND, free)
        .await
        .unwrap();
    assert!(enters(&dc, "boris", SECOND).await);

    // No right to reset outside of OU=People; to change a password that is known everybody has one
    // unless it is taken away ("User cannot change password").
    let unit = "--userou=OU=Service";
    dc.samba_tool(&["user", "create", "elena", FIRST, unit])
        .unwrap();
    let elena_dn = format!("CN=elena,OU=Service,{}", dc.base_dn());
    let object = format!("--objectdn={elena_dn}");
    let denied = "--sddl=(OD;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)";
    dc.samba_tool(&["dsacl", "set", &object, denied]).unwrap();
    let elena = guid(&mut connection, &elena_dn).await;
    for old in [None, Some(FIRST)] {
        let refusal = set(&mut connection, elena, old, SECOND, free).await;
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.problem, PasswordProblem::NoRight, "{refusal:?}");
    }

    // Gone.
    let clara = guid(&mut connection, &dn(&dc, "clara")).await;
    dc.samba_tool(&["user", "delete", "clara"]).unwrap();
    for user in [clara, Guid::from_bytes([7; 16])] {
        let refusal = set(&mut connection, user, None, SECOND, free).await;
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.problem, PasswordProblem::NoSuchUser, "{refusal:?}");
    }

    // The connection is as good as before.
    let dmitri = guid(&mut connection, &dn(&dc, "dmitri")).await;
    set(&mut connection, dmitri, None, THIRD, free)
        .await
        .unwrap();
    assert!(enters(&dc, "dmitri", THIRD).await);
}

#[tokio::test]
async fn the_state_of_an_account_tells_of_its_password() {
    let dc = domain_of(&["anna", "boris", "clara"]);
    dc.samba_tool(&["user", "disable", "anna"]).unwrap();
    dc.samba_tool(&["user", "setexpiry", "boris", "--days=-1"])
        .unwrap();
    let must = "--must-change-at-next-login";
    let password = format!("--newpassword={FIRST}");
    dc.samba_tool(&["user", "setpassword", "clara", &password, must])
        .unwrap();
    for name in ["anna", "boris", "clara"] {
        assert!(!enters(&dc, name, FIRST).await, "{name}");
        assert_eq!(verify(&dc, name, FIRST).await, Verified::Right, "{name}");
        assert_eq!(verify(&dc, name, SECOND).await, Verified::Wrong, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear() {
    let dc = domain_of(&["anna"]);
    let mut connection = connect(&dc).await;
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let plain = Options {
        url: dc.ldap_url(),
        bind: Bind::Anonymous,
        plain_text: PlainText::WithoutPassword,
        ..options(&dc)
    };
    let mut plain = Connection::open(&plain).await.unwrap();
    assert!(!plain.is_encrypted());
    // It would hang if anything were sent.
    let _pause = dc.pause().unwrap();
    let refusal = set(&mut plain, anna, None, SECOND, NextSignIn::Free).await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.problem, PasswordProblem::NotEncrypted);
    assert!(refusal.to_string().contains("use ldaps://"), "{refusal}");
}

#[tokio::test]
async fn a_controller_that_hangs_leaves_it_open() {
    let dc = domain_of(&["anna"]);
    let hasty = Options {
        answer_timeout: Duration::from_millis(500),
        ..options(&dc)
    };
    let mut connection = Connection::open(&hasty).await.unwrap();
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let pause = dc.pause().unwrap();
    let refusal = set(&mut connection, anna, None, SECOND, NextSignIn::Free).await;
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.problem, PasswordProblem::NoAnswer);
    assert!(!refusal.problem.is_certain());
    // Nothing more can be taken for its answer.
    let refusal = set(&mut connection, anna, None, SECOND, NextSignIn::Free).await;
    assert_eq!(refusal.unwrap_err().problem, PasswordProblem::NoAnswer);
    drop(pause);
    // It was written after all, once the controller woke up.
    for _ in 0..600 {
        if enters(&dc, "anna", SECOND).await {
            return;
        }
        // A wrong password would lock the account.
        dc.samba_tool(&["user", "unlock", "anna"]).unwrap();
    }
    panic!("it was never written");
}

#[tokio::test]
async fn a_write_that_waits_is_done_even_if_nobody_waits_for_it() {
    let dc = domain_of(&["anna"]);
    let mut connection = connect(&dc).await;
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let before = number(&dc, "anna", "pwdLastSet");
    let hold = dc.hold_writes().unwrap();
    let patience = Duration::from_secs(1);
    let free = NextSignIn::Free;
    let write = set(&mut connection, anna, Some(FIRST), SECOND, free);
    let waited = tokio::time::timeout(patience, write).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(connection);
    drop(hold);
    for _ in 0..600 {
        if number(&dc, "anna", "pwdLastSet") != before {
            assert!(enters(&dc, "anna", SECOND).await);
            return;
        }
    }
    panic!("it was never written");
}

/// The name of the controller is in no DNS, so its address is given beside it.
fn kerberos(dc: &Dc, user: &str, password: &str) -> Options {
    let credential = Credential::Password {
        domain: dc.realm().to_owned(),
        user: user.to_owned(),
        password: secret(password),
    };
    let mut security = SecurityOptions::new(Mechanism::SpnegoKerberos, credential, dc.host_name());
    security.realm = dc.realm().into();
    let krb5 = Krb5Config::open(&dc.krb5_conf_path()).unwrap();
    security.kdcs = krb5.kdcs(dc.realm());
    let url = format!("ldap://{}", dc.host_name());
    Options {
        address: Some(dc.ip().to_string()),
        ..Options::new(url, Bind::Sealed(Box::new(security)))
    }
}

#[tokio::test]
async fn a_connection_sealed_by_kerberos_will_do() {
    let dc = domain_of(&["anna"]);
    let sealed = kerberos(&dc, "svc-sync", dc.sync_password());
    let mut connection = Connection::open(&sealed).await.unwrap();
    assert!(connection.is_encrypted());
    let anna = guid(&mut connection, &dn(&dc, "anna")).await;
    let free = NextSignIn::Free;
    let changed = set(&mut connection, anna, Some(FIRST), SECOND, free).await;
    changed.unwrap();
    assert!(enters(&dc, "anna", SECOND).await);
    let verified = |password: &'static str| {
        let options = kerberos(&dc, "anna", password);
        async move { verify_password(&options).await.unwrap() }
    };
    assert_eq!(verified(SECOND).await, Verified::Right);
    assert_eq!(verified(THIRD).await, Verified::Wrong);
    let must = NextSignIn::MustChange;
    set(&mut connection, anna, None, THIRD, must).await.unwrap();
    let unsure = verified(THIRD).await;
    assert!(matches!(unsure, Verified::Unknown(_)), "{unsure:?}");
    let refusal = set(&mut connection, anna, None, "Ab-1", free).await;
    assert_eq!(refusal.unwrap_err().problem, PasswordProblem::TooShort);
}
