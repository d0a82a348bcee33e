//! Password hashes by replication from a real domain controller.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "replication/domain.rs"]
mod domain;
#[path = "replication/tampering.rs"]
mod tampering;

use std::collections::{BTreeMap, HashMap};

use domain::{ATTRIBUTES, changes, md4_of, open, options, options_for, sweep};
use rollcall_directory::{
    Credential, Error, Guid, HashValue, Keytab, Mechanism, PasswordLastSet, ReplicatedObject,
    ReplicationCursor, ReplicationProblem, ReplicationRight,
};
use rollcall_lab::samba::{Dc, DcOptions, Fill};

fn of_users(count: u32) -> Dc {
    let fill = Fill {
        users: count,
        groups: 4,
        memberships: 20,
        seed: 22,
        big_group: false,
        difficulties: false,
    };
    Dc::start(&DcOptions { fill: Some(fill) }).unwrap()
}

fn hash_of(object: &ReplicatedObject) -> [u8; 16] {
    match &object.nt_hash {
        HashValue::Hash(hash) => *hash.expose(),
        other => panic!("{}: {other:?}", object.dn),
    }
}

/// The users of the fill by the number at the end of their names.
fn by_number(objects: &HashMap<Guid, ReplicatedObject>) -> BTreeMap<u32, &ReplicatedObject> {
    let people = objects
        .values()
        .filter(|object| object.dn.contains(",OU=People,"));
    let numbered = people.filter_map(|object| {
        let name = object.dn.split(',').next()?;
        Some((name.rsplit(' ').next()?.parse().ok()?, object))
    });
    numbered.collect()
}

/// Changes some passwords the way people do, in clear.
fn set_in_clear(dc: &Dc, number: u32, password: &str) {
    let account = format!("u{number:06}");
    let new = format!("--newpassword={password}");
    dc.samba_tool(&["user", "setpassword", &account, &new])
        .unwrap();
}

#[tokio::test]
async fn the_hashes_of_two_hundred_people_are_those_of_their_passwords() {
    let dc = of_users(200);
    let mut passwords: BTreeMap<u32, String> = (1..=200)
        .map(|number| (number, dc.password_of(number)))
        .collect();
    for number in [3, 77] {
        let password = format!("Schlüssel-{number}-ключ");
        set_in_clear(&dc, number, &password);
        passwords.insert(number, password);
    }
    let mut replication = open(&options(&dc, Mechanism::Ntlm)).await.unwrap();
    let (objects, cursor) = sweep(&mut replication).await;
    let people = by_number(&objects);
    assert_eq!(people.len(), 200);
    for (number, password) in &passwords {
        let person = people[number];
        assert_eq!(hash_of(person), md4_of(password), "{number}");
        assert!(matches!(person.pwd_last_set, Some(PasswordLastSet::At(_))));
        assert!(matches!(person.user_account_control, Some(0x200 | 0x202)));
        assert!(!person.is_deleted && person.rid.is_some());
        assert!(person.nt_hash_changed.is_some());
    }

    // One by one, and one that does not exist.
    let person = people[&77];
    let one = replication
        .one_object(person.guid, &ATTRIBUTES)
        .await
        .unwrap();
    assert_eq!(hash_of(&one.unwrap()), md4_of(&passwords[&77]));
    let nobody = replication
        .one_object(Guid::from_bytes([7; 16]), &ATTRIBUTES)
        .await;
    assert!(nobody.unwrap().is_none());

    // Nothing more to read, also after the cursor was kept.
    let kept = ReplicationCursor::from_bytes(&cursor.to_bytes()).unwrap();
    let (rest, _) = changes(&mut replication, kept).await;
    assert!(rest.is_empty(), "{rest:?}");
    replication.close().await;
}

#[tokio::test]
async fn every_way_to_sign_in_gives_the_same_hashes() {
    let dc = of_users(200);
    let with_keytab = |mechanism| {
        let mut options = options(&dc, mechanism);
        let keytab = Keytab::open(&dc.keytab("svc-sync").unwrap()).unwrap();
        let key = keytab.key(&dc.sync_principal()).unwrap();
        options.security.credential = Credential::Keytab(key);
        options
    };
    let ways = [
        options(&dc, Mechanism::Ntlm),
        options(&dc, Mechanism::SpnegoNtlm),
        options(&dc, Mechanism::Kerberos),
        options(&dc, Mechanism::SpnegoKerberos),
        with_keytab(Mechanism::Kerberos),
        with_keytab(Mechanism::SpnegoKerberos),
    ];
    for options in ways {
        let way = &options.security;
        let mut replication = open(&options).await.unwrap();
        let (objects, _) = sweep(&mut replication).await;
        let people = by_number(&objects);
        assert_eq!(people.len(), 200, "{way:?}");
        for (number, person) in people {
            let password = dc.password_of(number);
            assert_eq!(hash_of(person), md4_of(&password), "{way:?}");
        }
        replication.close().await;
    }
    // The controller's name is in the ticket, so an address will not do.
    let mut by_address = options(&dc, Mechanism::Kerberos);
    by_address.name = Some(dc.ip().to_string());
    let refused = open(&by_address).await.unwrap_err();
    assert!(matches!(refused, Error::Security(_)), "{refused}");
}

fn modify(dc: &Dc, dn: &str, change: &str) {
    let ldif = format!("dn: {dn}\nchangetype: modify\n{change}\n\n");
    dc.admin_ldapmodify(&ldif).unwrap();
}

#[tokio::test]
async fn each_change_comes_once_and_alone() {
    let dc = of_users(20);
    let mut replication = open(&options(&dc, Mechanism::Ntlm)).await.unwrap();
    let (objects, cursor) = sweep(&mut replication).await;
    let people = by_number(&objects);
    let [reset, disabled, deleted, renamed, must] = [1, 2, 3, 4, 5].map(|number| people[&number]);

    set_in_clear(&dc, 1, "Another-Passw0rd!");
    modify(
        &dc,
        &disabled.dn,
        "replace: userAccountControl\nuserAccountControl: 514",
    );
    modify(&dc, &must.dn, "replace: pwdLastSet\npwdLastSet: 0");
    modify(
        &dc,
        &people[&6].dn,
        "replace: displayName\ndisplayName: Somebody",
    );
    dc.admin_ldapdelete(&[&deleted.dn]).unwrap();
    let rename = "changetype: modrdn\nnewrdn: CN=Another Name\ndeleteoldrdn: 1";
    dc.admin_ldapmodify(&format!("dn: {}\n{rename}\n\n", renamed.dn))
        .unwrap();

    let (changed, cursor) = changes(&mut replication, cursor).await;
    let guids = |objects: &HashMap<Guid, ReplicatedObject>| {
        let mut guids: Vec<_> = objects.keys().copied().collect();
        guids.sort_unstable();
        guids
    };
    let mut wanted = vec![reset.guid, disabled.guid, deleted.guid, must.guid];
    wanted.sort_unstable();
    assert_eq!(guids(&changed), wanted, "{changed:#?}");

    let now = &changed[&reset.guid];
    assert_eq!(hash_of(now), md4_of("Another-Passw0rd!"));
    let (Some(PasswordLastSet::At(before)), Some(PasswordLastSet::At(after))) =
        (reset.pwd_last_set, now.pwd_last_set)
    else {
        panic!("{now:?}")
    };
    assert!(after > before && now.nt_hash_changed >= reset.nt_hash_changed);
    assert_eq!(now.rid, reset.rid);

    let now = &changed[&disabled.guid];
    assert_eq!(now.user_account_control, Some(0x202));
    assert!(matches!(now.nt_hash, HashValue::NotSent) && now.pwd_last_set.is_none());
    assert_eq!(
        changed[&must.guid].pwd_last_set,
        Some(PasswordLastSet::MustChange)
    );
    let now = &changed[&deleted.guid];
    assert!(
        now.is_deleted && matches!(now.nt_hash, HashValue::Removed),
        "{now:?}"
    );

    let (rest, _) = changes(&mut replication, cursor).await;
    assert!(rest.is_empty(), "{rest:?}");
    // The new name comes with the next change.
    let now = replication
        .one_object(renamed.guid, &ATTRIBUTES)
        .await
        .unwrap()
        .unwrap();
    assert!(now.dn.starts_with("CN=Another Name,"), "{}", now.dn);
    let now = replication
        .one_object(deleted.guid, &ATTRIBUTES)
        .await
        .unwrap();
    assert!(now.is_none_or(|object| object.is_deleted));
}

#[tokio::test]
async fn a_sweep_of_many_pages_goes_on_after_the_controller_was_killed() {
    let fill = Fill {
        users: 1_200,
        groups: 6,
        memberships: 6_000,
        seed: 22,
        big_group: false,
        difficulties: false,
    };
    let mut dc = Dc::start(&DcOptions { fill: Some(fill) }).unwrap();
    let options = options(&dc, Mechanism::Ntlm);
    let mut replication = open(&options).await.unwrap();
    let start = ReplicationCursor::default();
    let first = replication.next_page(&start, &ATTRIBUTES).await.unwrap();
    assert!(first.more);
    dc.kill();
    let lost = replication
        .next_page(&first.cursor, &ATTRIBUTES)
        .await
        .unwrap_err();
    assert!(
        matches!(lost, Error::ConnectionLost { .. }) && lost.is_transient(),
        "{lost}"
    );
    let lost = open(&options).await.unwrap_err();
    assert!(
        matches!(lost, Error::Unreachable { .. }) && lost.is_transient(),
        "{lost}"
    );

    dc.restart().unwrap();
    let mut replication = open(&options).await.unwrap();
    let mut objects: HashMap<Guid, ReplicatedObject> = HashMap::new();
    objects.extend(
        first
            .objects
            .into_iter()
            .map(|object| (object.guid, object)),
    );
    let (mut pages, mut links, mut cursor) = (1, first.link_values_skipped, first.cursor);
    loop {
        let kept = ReplicationCursor::from_bytes(&cursor.to_bytes()).unwrap();
        let page = replication.next_page(&kept, &ATTRIBUTES).await.unwrap();
        objects.extend(page.objects.into_iter().map(|object| (object.guid, object)));
        links += page.link_values_skipped;
        pages += 1;
        cursor = page.cursor;
        if !page.more {
            break;
        }
    }
    assert!(
        pages >= 5 && links >= 5_000,
        "{pages} pages, {links} memberships"
    );
    let people = by_number(&objects);
    assert_eq!(people.len(), 1_200);
    for (number, person) in people {
        assert_eq!(hash_of(person), md4_of(&dc.password_of(number)));
    }
}

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> ReplicationProblem {
    match result {
        Err(Error::Replication(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn sid_of(dc: &Dc, account: &str) -> String {
    let shown = dc
        .samba_tool(&["user", "show", account, "--attributes=objectSid"])
        .unwrap();
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix("objectSid: "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn what_the_account_lacks_is_named() {
    const PASSWORD: &str = "Delegated-Passw0rd!1";
    let dc = of_users(20);
    dc.samba_tool(&["user", "create", "svc-less", PASSWORD])
        .unwrap();
    let less = options_for(&dc, Mechanism::Ntlm, "svc-less", PASSWORD);
    let start = ReplicationCursor::default();
    for right in [
        ReplicationRight::GetChanges,
        ReplicationRight::GetChangesAll,
    ] {
        let mut replication = open(&less).await.unwrap();
        let wanted = ReplicationProblem::MissingRight {
            right,
            naming_context: dc.base_dn().to_owned(),
        };
        let result = replication.next_page(&start, &ATTRIBUTES).await;
        assert_eq!(problem(result), wanted);
        // The association is as good as before.
        let result = replication
            .one_object(Guid::from_bytes([7; 16]), &ATTRIBUTES)
            .await;
        assert!(
            !matches!(result, Err(Error::ConnectionLost { .. })),
            "{result:?}"
        );
        // DS-Replication-Get-Changes alone.
        let sid = sid_of(&dc, "svc-less");
        let ace = format!("--sddl=(OA;;CR;1131f6aa-9c07-11d1-f79f-00c04fc2dcd2;;{sid})");
        let domain = format!("--objectdn={}", dc.base_dn());
        dc.samba_tool(&["dsacl", "set", &domain, &ace]).unwrap();
    }

    let wrong = options_for(&dc, Mechanism::Ntlm, "svc-less", "wrong");
    let nobody = options_for(&dc, Mechanism::Ntlm, "nobody", PASSWORD);
    let mut spnego = wrong.clone();
    spnego.security.mechanism = Mechanism::SpnegoNtlm;
    for options in [wrong, nobody, spnego] {
        let refused = problem(open(&options).await);
        assert!(
            matches!(refused, ReplicationProblem::SignInRefused { .. }),
            "{refused:?}"
        );
        assert!(!refused.is_transient());
    }
    dc.samba_tool(&["user", "disable", "svc-less"]).unwrap();
    let refused = problem(open(&less).await);
    assert!(
        matches!(refused, ReplicationProblem::SignInRefused { .. }),
        "{refused:?}"
    );

    // A right that is taken away while we are signed in.
    let mut replication = open(&options(&dc, Mechanism::Ntlm)).await.unwrap();
    let page = replication.next_page(&start, &ATTRIBUTES).await.unwrap();
    let sid = sid_of(&dc, "svc-sync");
    let deny = format!("--sddl=(OD;;CR;1131f6ad-9c07-11d1-f79f-00c04fc2dcd2;;{sid})");
    let domain = format!("--objectdn={}", dc.base_dn());
    dc.samba_tool(&["dsacl", "set", &domain, &deny]).unwrap();
    let refused = problem(replication.next_page(&page.cursor, &ATTRIBUTES).await);
    let right = ReplicationRight::GetChangesAll;
    assert!(matches!(refused, ReplicationProblem::MissingRight { right: r, .. } if r == right));

    let mut elsewhere = options(&dc, Mechanism::Ntlm);
    elsewhere.naming_context = "DC=other,DC=example".to_owned();
    let mut replication = open(&elsewhere).await.unwrap();
    let refused = problem(replication.next_page(&start, &ATTRIBUTES).await);
    assert!(refused.to_string().contains("DC=other"), "{refused:?}");
    // A port that speaks something else.
    let mut ldap = options(&dc, Mechanism::Ntlm);
    ldap.port = Some(389);
    let error = open(&ldap).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::ConnectionLost { .. } | Error::Replication(ReplicationProblem::Malformed(_))
        ),
        "{error}"
    );
}

#[tokio::test]
async fn another_controller_shows_what_is_not_known_and_an_older_copy_is_noticed() {
    let dc = of_users(20);
    let mut replication = open(&options(&dc, Mechanism::Ntlm)).await.unwrap();
    let (objects, _) = sweep(&mut replication).await;
    let person = by_number(&objects)[&1].guid;
    for password in ["One-Passw0rd!", "Two-Passw0rd!", "Three-Passw0rd!"] {
        set_in_clear(&dc, 1, password);
    }
    let (_, cursor) = sweep(&mut replication).await;

    // A copy from before the changes, under the same invocation: a snapshot that was restored.
    let mut copy = of_users(20);
    let mut at_copy = open(&options(&copy, Mechanism::Ntlm)).await.unwrap();
    let result = at_copy.next_page(&cursor, &ATTRIBUTES).await;
    assert_eq!(problem(result), ReplicationProblem::RolledBack);

    // With an invocation of its own it is another controller, of whose changes nothing is known.
    copy.renew_invocation().unwrap();
    let mut at_other = open(&options(&copy, Mechanism::Ntlm)).await.unwrap();
    let (missed, other) = changes(&mut at_other, cursor.clone()).await;
    assert_ne!(other.invocation_id, cursor.invocation_id);
    assert!(missed.is_empty(), "{missed:?}");
    set_in_clear(&copy, 1, "Four-Passw0rd!");
    // From the first controller's cursor as well as from the one just read.
    for from in [cursor, other] {
        let (missed, _) = changes(&mut at_other, from).await;
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert_eq!(hash_of(&missed[&person]), md4_of("Four-Passw0rd!"));
    }
}

#[tokio::test]
async fn a_request_of_many_fragments_is_understood() {
    /// Each has 24 bytes in the request, and a fragment has 5,840.
    const CONTROLLERS: u16 = 2_000;
    let dc = of_users(20);
    for (number, mechanism) in [(1, Mechanism::Ntlm), (2, Mechanism::SpnegoKerberos)] {
        let options = options(&dc, mechanism);
        // In a task of its own, as an agent may run it.
        let opening = tokio::spawn(async move { open(&options).await });
        let mut replication = opening.await.unwrap().unwrap();
        let (_, mut cursor) = sweep(&mut replication).await;
        for number in 0..CONTROLLERS {
            let mut bytes = [0xee; 16];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            let controller = Guid::from_bytes(bytes);
            cursor.up_to_date.push((controller, i64::from(number)));
        }
        let (rest, cursor) = changes(&mut replication, cursor).await;
        assert!(rest.is_empty(), "{rest:?}");
        assert!(cursor.up_to_date.len() > usize::from(CONTROLLERS));
        set_in_clear(&dc, number, "Another-Passw0rd!");
        let (changed, _) = changes(&mut replication, cursor).await;
        let [changed] = changed.values().collect::<Vec<_>>()[..] else {
            panic!("{changed:?}")
        };
        assert_eq!(hash_of(changed), md4_of("Another-Passw0rd!"));
    }
}
