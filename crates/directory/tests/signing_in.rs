//! The client against a real domain controller: who may sign in, how, and with which rights.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "samba/domain.rs"]
mod domain;

use domain::{connect, filled, options, options_for};
use rollcall_directory::{
    Base, Bind, BindProblem, CertificateProblem, Connection, Dn, Error, Filter, MissingRight,
    Operation, Options, PlainText, SearchRequest, Unsafe, Verification,
};
use rollcall_lab::samba::{Dc, DcOptions};

async fn problem(options: &Options) -> BindProblem {
    match Connection::open(options).await.unwrap_err() {
        Error::BindRefused { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn person(dc: &Dc, number: u32) -> Options {
    let account = format!("u{number:06}@corp.example.com");
    options_for(dc, &account, &dc.password_of(number))
}

#[tokio::test]
async fn signing_in_works_or_says_why_not() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    assert_eq!(connection.whoami().await.unwrap(), None);
    assert!(connection.certificate_expires().unwrap().as_seconds() > 1_700_000_000);
    let root = connection.root_dse().await.unwrap();
    assert_eq!(root.default_naming_context, dc.base_dn().parse().unwrap());
    assert_eq!(root.domain_name(), dc.realm().to_lowercase());
    assert!(root.is_active_directory);
    assert!(connection.invocation_id().await.unwrap().is_some());
    connection.close().await;

    Connection::open(&person(&dc, 30)).await.unwrap();
    dc.samba_tool(&["user", "disable", "u000030"]).unwrap();
    assert_eq!(problem(&person(&dc, 30)).await, BindProblem::Disabled);
    dc.samba_tool(&["user", "setexpiry", "u000031", "--days=-1"])
        .unwrap();
    assert_eq!(problem(&person(&dc, 31)).await, BindProblem::AccountExpired);
    let wrong = options_for(&dc, &dc.sync_account_dn(), "wrong");
    assert_eq!(problem(&wrong).await, BindProblem::WrongPassword);
    assert_eq!(problem(&wrong).await, BindProblem::WrongPassword);
    problem(&wrong).await;
    assert_eq!(problem(&options(&dc)).await, BindProblem::Locked);
}

#[tokio::test]
async fn what_is_unsafe_is_refused() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let system_store = Options {
        ca_path: None,
        ..options(&dc)
    };
    let refused = Connection::open(&system_store).await.unwrap_err();
    let Error::Certificate { problem: why, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(*why, CertificateProblem::UnknownIssuer);
    assert!(
        refused.to_string().contains("ldap.certificate_path"),
        "{refused}"
    );

    let no_certificates = Options {
        ca_path: Some(dc.conf_path()),
        ..options(&dc)
    };
    let refused = Connection::open(&no_certificates).await.unwrap_err();
    assert!(matches!(refused, Error::CaFile { .. }), "{refused}");

    let plain = Options {
        url: dc.ldap_url(),
        ..options(&dc)
    };
    let refused = Connection::open(&plain).await.unwrap_err();
    assert!(
        matches!(refused, Error::Unsafe(Unsafe::PlainText)),
        "{refused}"
    );
    let plain = Options {
        plain_text: PlainText::WithoutPassword,
        ..plain
    };
    let refused = Connection::open(&plain).await.unwrap_err();
    assert!(
        matches!(refused, Error::Unsafe(Unsafe::PasswordInPlainText)),
        "{refused}"
    );
    let anonymous = Options {
        bind: Bind::Anonymous,
        ..plain.clone()
    };
    Connection::open(&anonymous)
        .await
        .unwrap()
        .root_dse()
        .await
        .unwrap();
    // Even when we would, the controller would not.
    let plain = Options {
        plain_text: PlainText::WithPassword,
        ..plain
    };
    assert_eq!(problem(&plain).await, BindProblem::StrongerNeeded);

    let empty = options_for(&dc, &dc.sync_account_dn(), "");
    let refused = Connection::open(&empty).await.unwrap_err();
    assert!(
        matches!(refused, Error::Unsafe(Unsafe::EmptyPassword)),
        "{refused}"
    );

    let unverified = Options {
        verification: Verification::DangerouslyOff,
        ..system_store
    };
    Connection::open(&unverified).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_a_wrong_name() {
    let mut dc = Dc::start(&DcOptions::default()).unwrap();
    let mut connection = connect(&dc).await;
    dc.stop();
    let refused = Connection::open(&options(&dc)).await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
    assert!(refused.is_transient());
    let lost = connection.whoami().await.unwrap_err();
    assert!(matches!(lost, Error::ConnectionLost { .. }), "{lost}");
    let again = connection.whoami().await.unwrap_err();
    assert!(matches!(again, Error::ConnectionLost { .. }), "{again}");

    let unknown = Options {
        url: "ldaps://no-such-host.invalid".into(),
        ..options(&dc)
    };
    let refused = Connection::open(&unknown).await.unwrap_err();
    assert!(matches!(refused, Error::NameResolution { .. }), "{refused}");
}

#[tokio::test]
async fn missing_rights_are_named_with_their_remedy() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    assert_eq!(connection.check_rights().await.unwrap(), []);

    let mut visitor = Connection::open(&person(&dc, 40)).await.unwrap();
    let base: Dn = dc.base_dn().parse().unwrap();
    assert_eq!(
        visitor.check_rights().await.unwrap(),
        [
            MissingRight::ReplicateChanges(base.clone()),
            MissingRight::ReadDeletedObjects(base)
        ]
    );

    // The delegated account may write what it was given and nothing else.
    let base = Base::Dn(dc.base_dn().parse().unwrap());
    let filter = Filter::equal("sAMAccountName", "u000040");
    let request = SearchRequest::subtree(base, filter, &["displayName", "lockoutTime"]);
    let found = connection
        .search(request.clone())
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let change = [(Operation::Replace, "lockoutTime", vec![&b"0"[..]])];
    connection.modify(&found[0], &change).await.unwrap();
    let found = connection
        .search(request)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(found[0].attributes.i64("lockoutTime"), Some(0));
    let change = [(Operation::Replace, "displayName", vec![&b"x"[..]])];
    let refused = connection.modify(&found[0], &change).await.unwrap_err();
    assert!(matches!(refused, Error::RightsMissing { .. }), "{refused}");
}
