//! The client against a real domain controller: signing in by Kerberos and NTLM over `ldap://`, and what
//! is sealed after.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "samba/domain.rs"]
mod domain;
#[path = "kerberos/middle.rs"]
mod middle;

use std::collections::BTreeMap;

use domain::{connect, options_for};
use middle::{Interference, Middle};
use rollcall_directory::{
    Access, Base, Bind, BindProblem, Connection, Credential, DirSyncEvent, DirSyncRequest, Error,
    Filter, Guid, Kdc, KdcRequest, Keytab, Krb5Config, Links, Mechanism, MemberChange,
    MemberDetail, Operation, Options, SearchRequest, SecurityError, SecurityOptions, Unsafe,
};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::{Dc, DcOptions, Fill};

fn by_password(user: &str, password: &str) -> Credential {
    Credential::Password {
        domain: "CORP".into(),
        user: user.into(),
        password: SecretString::new(password.into()),
    }
}

fn by_keytab(dc: &Dc) -> Credential {
    let keytab = Keytab::open(&dc.keytab("svc-sync").unwrap()).unwrap();
    Credential::Keytab(keytab.key(&dc.sync_principal()).unwrap())
}

/// The name of the controller is in no DNS, so its address is given beside it.
fn sealed(dc: &Dc, mechanism: Mechanism, credential: Credential) -> Options {
    let mut security = SecurityOptions::new(mechanism, credential, dc.host_name());
    security.realm = dc.realm().into();
    security.kdcs = Krb5Config::open(&dc.krb5_conf_path())
        .unwrap()
        .kdcs(dc.realm());
    let url = format!("ldap://{}", dc.host_name());
    Options {
        address: Some(dc.ip().to_string()),
        ..Options::new(url, Bind::Sealed(Box::new(security)))
    }
}

fn security(options: &mut Options) -> &mut SecurityOptions {
    match &mut options.bind {
        Bind::Sealed(security) => security,
        other => panic!("{other:?}"),
    }
}

fn sync(dc: &Dc, mechanism: Mechanism) -> Options {
    sealed(dc, mechanism, by_password("svc-sync", dc.sync_password()))
}

async fn refusal(options: &Options) -> SecurityError {
    match Connection::open(options).await.unwrap_err() {
        Error::Security(error) => error,
        other => panic!("{other}"),
    }
}

async fn code(options: &Options) -> (u32, String) {
    match refusal(options).await {
        SecurityError::Refused(refusal) => (refusal.code, refusal.to_string()),
        other => panic!("{other}"),
    }
}

async fn names(connection: &mut Connection, filter: Filter, base: &str) -> usize {
    let base = Base::Dn(base.parse().unwrap());
    let request = SearchRequest::subtree(base, filter, &["sAMAccountName"]);
    let search = connection.search(request).await.unwrap();
    search.collect().await.unwrap().len()
}

/// Every object of a DirSync with its members.
async fn everything(connection: &mut Connection, dc: &Dc) -> BTreeMap<Guid, String> {
    let request = DirSyncRequest {
        base: dc.base_dn().parse().unwrap(),
        filter: "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))"
            .parse()
            .unwrap(),
        attributes: ["sAMAccountName", "displayName", "description", "member"]
            .map(str::to_owned)
            .to_vec(),
        cookie: None,
        access: Access::Replication,
        members: MemberDetail::Incremental,
    };
    let mut read = connection.dirsync(request).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(event) = read.next().await.unwrap() {
        if let DirSyncEvent::Change(change) = event {
            let members = match &change.members {
                MemberChange::Incremental { added, .. } => added.len(),
                _ => 0,
            };
            let text = format!("{} {members}", change.entry.dn);
            found.insert(change.entry.guid, text);
        }
    }
    found
}

#[tokio::test]
async fn every_mechanism_signs_in_and_reads_the_same_as_over_tls() {
    let fill = Fill {
        users: 2_000,
        groups: 20,
        memberships: 6_000,
        difficulties: false,
        ..Fill::default()
    };
    let dc = Dc::start(&DcOptions { fill: Some(fill) }).unwrap();
    let over_tls = everything(&mut connect(&dc).await, &dc).await;
    assert!(over_tls.len() > 2_000, "{}", over_tls.len());

    let keytab = sealed(&dc, Mechanism::SpnegoKerberos, by_keytab(&dc));
    for options in [
        keytab,
        sync(&dc, Mechanism::SpnegoKerberos),
        sync(&dc, Mechanism::SpnegoNtlm),
        sync(&dc, Mechanism::Ntlm),
    ] {
        let mut connection = Connection::open(&options).await.unwrap();
        assert_eq!(connection.certificate_expires(), None);
        let root = connection.root_dse().await.unwrap();
        assert_eq!(root.domain_name(), dc.realm().to_lowercase());
        assert!(connection.check_rights().await.unwrap().is_empty());
        // The answer has some hundred sealed buffers, whose ends are not those of messages.
        assert_eq!(
            everything(&mut connection, &dc).await,
            over_tls,
            "{options:?}"
        );

        // A request of several buffers.
        let person = Filter::equal("sAMAccountName", "u000010");
        let nobody = Filter::equal("sAMAccountName", "x".repeat(200_000));
        let filter = Filter::Or(vec![person, nobody]);
        assert_eq!(names(&mut connection, filter, dc.base_dn()).await, 1);
        let kerberos = security(&mut options.clone()).mechanism.is_kerberos();
        assert_eq!(connection.clock_ahead_seconds().is_some(), kerberos);
        assert!(connection.clock_ahead_seconds().unwrap_or(0).abs() < 60);
        connection.close().await;
    }
}

#[tokio::test]
async fn passwords_are_written_over_the_sealed_connection() {
    let dc = domain::filled();
    let mut connection = Connection::open(&sealed(&dc, Mechanism::SpnegoKerberos, by_keytab(&dc)))
        .await
        .unwrap();
    let request = SearchRequest {
        links: Links::Plain,
        ..SearchRequest::subtree(
            Base::Dn(dc.base_dn().parse().unwrap()),
            Filter::equal("sAMAccountName", "u000010"),
            &["cn"],
        )
    };
    let found = connection.search(request).await.unwrap();
    let person = found.collect().await.unwrap().pop().unwrap();
    let quoted = "\"N3w-Secret-w0rd\"".encode_utf16();
    let value: Vec<u8> = quoted.flat_map(u16::to_le_bytes).collect();
    let change = (Operation::Replace, "unicodePwd", vec![value.as_slice()]);
    connection.modify(&person, &[change]).await.unwrap();
    connection.close().await;
    let account = "u000010@corp.example.com";
    let new = options_for(&dc, account, "N3w-Secret-w0rd");
    Connection::open(&new).await.unwrap();
    let old = options_for(&dc, account, &dc.password_of(10));
    assert!(Connection::open(&old).await.is_err());

    // By the new password the person gets tickets too, now that there is an AES key.
    let person = by_password("u000010", "N3w-Secret-w0rd");
    let person = sealed(&dc, Mechanism::SpnegoKerberos, person);
    Connection::open(&person).await.unwrap();
    // Those whose account has only the hash have none.
    let hash_only = by_password("u000011", &dc.password_of(11));
    let hash_only = sealed(&dc, Mechanism::SpnegoKerberos, hash_only);
    let (code, text) = code(&hash_only).await;
    assert!(
        code == 14 && text.contains("no AES256 key"),
        "{code} {text}"
    );
}

#[tokio::test]
async fn each_refusal_of_kerberos_says_what_to_do() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let spnego = Mechanism::SpnegoKerberos;
    let old_keytab = sealed(&dc, spnego, by_keytab(&dc));
    Connection::open(&old_keytab).await.unwrap();

    let wrong = sealed(&dc, spnego, by_password("svc-sync", "wrong"));
    let (number, text) = code(&wrong).await;
    assert!(
        number == 24 && text.contains("password of svc-sync"),
        "{text}"
    );

    let nobody = sealed(&dc, spnego, by_password("nobody", "x"));
    let (number, text) = code(&nobody).await;
    assert!(
        number == 6 && text.contains("does not know the account nobody"),
        "{text}"
    );

    let mut unknown = sync(&dc, spnego);
    security(&mut unknown).target = "dc9.corp.example.com".into();
    let (number, text) = code(&unknown).await;
    assert!(
        number == 7 && text.contains("ldap/dc9.corp.example.com"),
        "{text}"
    );

    dc.samba_tool(&[
        "user",
        "setpassword",
        "svc-sync",
        "--newpassword=N3w-Passw0rd!2",
    ])
    .unwrap();
    let (number, text) = code(&old_keytab).await;
    assert!(number == 24 && text.contains("make a new keytab"), "{text}");
    let new_keytab = sealed(&dc, spnego, by_keytab(&dc));
    Connection::open(&new_keytab).await.unwrap();

    dc.samba_tool(&["user", "disable", "svc-sync"]).unwrap();
    let (number, text) = code(&new_keytab).await;
    assert!(number == 18 && text.contains("disabled"), "{text}");
    dc.samba_tool(&["user", "enable", "svc-sync"]).unwrap();
    dc.samba_tool(&["user", "setexpiry", "svc-sync", "--days=-1"])
        .unwrap();
    let (number, text) = code(&new_keytab).await;
    assert!(
        matches!(number, 1 | 18) && text.contains("expired"),
        "{number} {text}"
    );
    dc.samba_tool(&["user", "setexpiry", "svc-sync", "--noexpiry"])
        .unwrap();

    let must_change = format!(
        "dn: {}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 0\n-\nreplace: \
         userAccountControl\nuserAccountControl: 512\n",
        dc.sync_account_dn()
    );
    dc.admin_ldapmodify(&must_change).unwrap();
    let (number, text) = code(&new_keytab).await;
    assert!(number == 23 && text.contains("must be changed"), "{text}");
}

#[tokio::test]
async fn what_cannot_work_is_told_before_or_at_once() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let good = sync(&dc, Mechanism::SpnegoKerberos);

    let twice = Options {
        url: format!("ldaps://{}", dc.host_name()),
        ..good.clone()
    };
    let error = Connection::open(&twice).await.unwrap_err();
    assert!(
        matches!(error, Error::Unsafe(Unsafe::SealedTwice)),
        "{error}"
    );

    let mut address = good.clone();
    security(&mut address).target = dc.ip().to_string();
    let error = refusal(&address).await;
    assert!(
        matches!(error, SecurityError::AddressAsTarget { .. }),
        "{error}"
    );

    let ntlm = sealed(&dc, Mechanism::SpnegoNtlm, by_keytab(&dc));
    assert_eq!(refusal(&ntlm).await, SecurityError::KeytabWithoutKerberos);

    let mut nowhere = good.clone();
    security(&mut nowhere).kdcs.clear();
    assert!(matches!(
        refusal(&nowhere).await,
        SecurityError::NoKdc { .. }
    ));
    let closed = Kdc {
        host: dc.ip().to_string(),
        port: 1,
    };
    security(&mut nowhere).kdcs = vec![closed.clone()];
    let error = refusal(&nowhere).await;
    assert!(
        error.is_transient() && error.to_string().contains(":1: "),
        "{error}"
    );

    // Another one answers in its place.
    let mut second = good.clone();
    security(&mut second).kdcs.insert(0, closed);
    Connection::open(&second).await.unwrap();

    // A wrong password by NTLM is the directory's own refusal.
    let wrong = sealed(&dc, Mechanism::SpnegoNtlm, by_password("svc-sync", "wrong"));
    match Connection::open(&wrong).await.unwrap_err() {
        Error::BindRefused { problem, .. } => assert_eq!(problem, BindProblem::WrongPassword),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_told_with_the_difference() {
    let kdc = middle::kdc_with_another_clock().await;
    let credential = by_password("svc-sync", "any");
    let mut security = SecurityOptions::new(
        Mechanism::SpnegoKerberos,
        credential,
        "dc1.corp.example.com",
    );
    security.realm = "CORP.EXAMPLE.COM".into();
    security.kdcs = vec![kdc];
    // The directory itself is not asked before there is a ticket.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        address: Some(listener.local_addr().unwrap().to_string()),
        ..Options::new(
            "ldap://dc1.corp.example.com",
            Bind::Sealed(Box::new(security)),
        )
    };
    match refusal(&options).await {
        SecurityError::Refused(refusal) => {
            assert_eq!((refusal.code, refusal.request), (37, KdcRequest::SignIn));
            let text = refusal.to_string();
            assert!(text.contains("s behind") && text.contains("NTP"), "{text}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn whoever_is_on_the_way_can_change_nothing() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    for mechanism in [Mechanism::SpnegoKerberos, Mechanism::SpnegoNtlm] {
        for interference in Interference::ALL {
            let middle = Middle::start((dc.ip(), 389).into()).await;
            let options = Options {
                address: Some(middle.address()),
                ..sync(&dc, mechanism)
            };
            let mut connection = Connection::open(&options).await.unwrap();
            connection.root_dse().await.unwrap();
            middle.interfere(interference);
            // The first answer may have been let through before it was shown again.
            let mut error = None;
            for _ in 0..2 {
                let request = SearchRequest::subtree(
                    Base::Dn(dc.base_dn().parse().unwrap()),
                    Filter::equal("sAMAccountName", "svc-sync"),
                    &["cn"],
                );
                let read = match connection.search(request).await {
                    Ok(search) => search.collect().await.map(drop),
                    Err(error) => Err(error),
                };
                error = error.or(read.err());
            }
            let error = error.unwrap();
            assert!(
                matches!(error, Error::Security(SecurityError::Forged(_))),
                "{mechanism:?} {interference:?}: {error}"
            );
            // Nothing more is read from it.
            assert!(connection.whoami().await.is_err());
        }
    }
}
