//! The client against a real domain controller: signing in, rights, searches, changes of objects.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rollcall_directory::{
    Access, Base, Bind, BindProblem, CertificateProblem, Change, Connection, Cookie, Deleted,
    DirSyncEvent, DirSyncRequest, Dn, Entry, Error, Filter, Guid, Kind, Links, Member,
    MemberChange, MemberDetail, MissingRight, Operation, Options, PlainText, SearchRequest, Unsafe,
    Verification,
};
use rollcall_kit::secret::SecretString;
use rollcall_lab::samba::{Dc, DcOptions, Fill};

const ATTRIBUTES: [&str; 8] = [
    "sAMAccountName",
    "userPrincipalName",
    "displayName",
    "givenName",
    "mail",
    "userAccountControl",
    "accountExpires",
    "description",
];

fn filled() -> Dc {
    Dc::start(&DcOptions {
        fill: Some(Fill::default()),
    })
    .unwrap()
}

fn options_for(dc: &Dc, account: &str, password: &str) -> Options {
    let bind = Bind::Simple {
        account: account.to_owned(),
        password: SecretString::new(password.to_owned()),
    };
    Options {
        ca_path: Some(dc.ca_path()),
        ..Options::new(dc.ldaps_url(), bind)
    }
}

fn options(dc: &Dc) -> Options {
    options_for(dc, &dc.sync_account_dn(), dc.sync_password())
}

async fn connect(dc: &Dc) -> Connection {
    Connection::open(&options(dc)).await.unwrap()
}

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

fn everything(dc: &Dc) -> Filter {
    let _ = dc;
    "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))"
        .parse()
        .unwrap()
}

fn dirsync_request(dc: &Dc, cookie: Option<Cookie>, members: MemberDetail) -> DirSyncRequest {
    DirSyncRequest {
        base: dc.base_dn().parse().unwrap(),
        filter: everything(dc),
        attributes: ATTRIBUTES
            .into_iter()
            .chain(["member"])
            .map(str::to_owned)
            .collect(),
        cookie,
        access: Access::Replication,
        members,
    }
}

/// All changes since the cookie, and the next cookie.
async fn changes(
    connection: &mut Connection,
    request: DirSyncRequest,
) -> (HashMap<Guid, Change>, Cookie) {
    let mut read = connection.dirsync(request).await.unwrap();
    let mut changes = HashMap::new();
    while let Some(event) = read.next().await.unwrap() {
        match event {
            DirSyncEvent::Change(change) => {
                let twice = changes.insert(change.entry.guid, *change);
                assert_eq!(twice, None);
            }
            DirSyncEvent::Page(_) => {}
            DirSyncEvent::Complete(cookie) => {
                assert_eq!(read.next().await.unwrap(), None);
                return (changes, cookie);
            }
        }
    }
    panic!("the read ended without completion");
}

/// What both ways of reading must agree on.
fn comparable(
    entry: &Entry,
) -> (
    Dn,
    Option<Kind>,
    Option<Guid>,
    BTreeMap<String, Vec<Vec<u8>>>,
) {
    let values = ATTRIBUTES
        .into_iter()
        .map(|name| (name.to_owned(), entry.attributes.values(name).to_vec()))
        .collect();
    (entry.dn.clone(), entry.kind, entry.parent, values)
}

fn guids(members: &[Member]) -> BTreeSet<Guid> {
    members.iter().map(|member| member.guid).collect()
}

#[tokio::test]
async fn a_full_dirsync_equals_a_paged_search() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    let request = dirsync_request(&dc, None, MemberDetail::Incremental);
    let (changes, _) = changes(&mut connection, request).await;

    let base: Dn = dc.base_dn().parse().unwrap();
    let request = SearchRequest {
        page_size: 7,
        ..SearchRequest::subtree(Base::Dn(base), everything(&dc), &ATTRIBUTES)
    };
    let found = connection
        .search(request)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert!(found.len() > 130, "{}", found.len());
    assert_eq!(changes.len(), found.len());
    for entry in &found {
        let change = &changes[&entry.guid];
        assert_eq!(comparable(&change.entry), comparable(entry));
    }

    // Memberships: read with the groups, and one by one.
    let groups = format!("OU=Groups,{}", dc.base_dn()).parse().unwrap();
    let request = SearchRequest {
        links: Links::WithIdentifiers,
        ..SearchRequest::subtree(
            Base::Dn(groups),
            Filter::equal("objectClass", "group"),
            &["member"],
        )
    };
    let mut memberships = 0;
    for group in connection
        .search(request)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap()
    {
        let one_by_one = connection.members(group.guid).await.unwrap().unwrap();
        let MemberChange::Incremental { added, removed } = &changes[&group.guid].members else {
            panic!("{:?}", changes[&group.guid])
        };
        assert_eq!(guids(added), guids(&one_by_one));
        assert!(removed.is_empty());
        assert_eq!(group.attributes.values("member").len(), one_by_one.len());
        memberships += one_by_one.len();
    }
    assert_eq!(
        dc.summary().unwrap().unwrap()["count"]["memberships"],
        memberships
    );
    let nowhere = Guid::from_bytes([7; 16]);
    assert_eq!(connection.members(nowhere).await.unwrap(), None);
}

#[tokio::test]
async fn unusual_names_are_found_by_name_by_identifier_and_by_value() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    let summary = dc.summary().unwrap().unwrap();
    let special = summary["expected"]["special_users"].as_array().unwrap();
    assert!(special.len() >= 15);
    let mut all = Vec::new();
    for account in special {
        let base = Base::Dn(dc.base_dn().parse().unwrap());
        let filter = Filter::equal("sAMAccountName", account.as_str().unwrap());
        let request = SearchRequest::subtree(base.clone(), filter, &["name", "displayName"]);
        let found = connection
            .search(request)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let [entry] = found.as_slice() else {
            panic!("{account}: {found:?}")
        };
        let by_name = connection
            .resolve_dn(&entry.dn, &["displayName"])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(by_name.guid, entry.guid);
        assert_eq!(by_name.dn, entry.dn);
        assert_eq!(by_name.parent, entry.parent);
        // Our own way of writing the name means the same as the directory's.
        let name = entry.attributes.text("name").unwrap();
        assert_eq!(
            entry.dn.parent().unwrap().child("CN", name).unwrap(),
            entry.dn
        );
        let filter = Filter::And(vec![
            Filter::equal("objectClass", "user"),
            Filter::equal("displayName", entry.attributes.text("displayName").unwrap()),
        ]);
        let request = SearchRequest::subtree(base, filter, &[]);
        let by_value = connection
            .search(request)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert!(
            by_value.iter().any(|other| other.guid == entry.guid),
            "{name}"
        );
        all.push(entry.guid);
    }
    let many = connection.read_many_by_guid(&all, &["name"]).await.unwrap();
    let expected: BTreeSet<Guid> = all.iter().copied().collect();
    assert_eq!(
        many.iter().map(|entry| entry.guid).collect::<BTreeSet<_>>(),
        expected
    );
    let first = connection
        .read_by_guid(all[0], &["name"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.kind, Some(Kind::User));
    assert_eq!(
        connection
            .read_by_guid(Guid::from_bytes([7; 16]), &[])
            .await
            .unwrap(),
        None
    );
    let absent = format!("CN=Nobody,{}", dc.base_dn()).parse().unwrap();
    assert_eq!(connection.resolve_dn(&absent, &[]).await.unwrap(), None);
}

/// A connection with the position of its last read.
struct Follower {
    connection: Connection,
    cookie: Cookie,
    members: MemberDetail,
}

impl Follower {
    async fn start(dc: &Dc, members: MemberDetail) -> Self {
        let mut connection = connect(dc).await;
        let request = dirsync_request(dc, None, members);
        let (_, cookie) = changes(&mut connection, request).await;
        Self {
            connection,
            cookie,
            members,
        }
    }

    async fn changes(&mut self, dc: &Dc) -> HashMap<Guid, Change> {
        let request = dirsync_request(dc, Some(self.cookie.clone()), self.members);
        let (changes, cookie) = changes(&mut self.connection, request).await;
        self.cookie = cookie;
        changes
    }

    /// The only change there is.
    async fn change(&mut self, dc: &Dc) -> Change {
        let changes = self.changes(dc).await;
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.into_values().next().unwrap()
    }

    async fn guid(&mut self, dn: &str) -> Guid {
        let found = self
            .connection
            .resolve_dn(&dn.parse().unwrap(), &[])
            .await
            .unwrap();
        found.unwrap_or_else(|| panic!("{dn}")).guid
    }
}

/// A group with two members, in units that nothing else is in.
fn make_scene(dc: &Dc) -> (String, String, String, String) {
    let base = dc.base_dn();
    let (north, south) = (format!("OU=North,{base}"), format!("OU=South,{base}"));
    let (anna, team) = (format!("CN=Anna,{north}"), format!("CN=team,{north}"));
    let mut ldif = String::new();
    for unit in [&north, &south] {
        ldif += &format!("dn: {unit}\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    }
    for (name, account) in [("Anna", "anna"), ("Berta", "berta")] {
        ldif += &format!(
            "dn: CN={name},{north}\nchangetype: add\nobjectClass: user\nsAMAccountName: {account}\n\
             displayName: {name}\nmail: {account}@corp.example.com\nuserAccountControl: 546\n\n"
        );
    }
    ldif += &format!(
        "dn: {team}\nchangetype: add\nobjectClass: group\nsAMAccountName: team\n\
         member: {anna}\nmember: CN=Berta,{north}\n\n"
    );
    dc.admin_ldapmodify(&ldif).unwrap();
    (north, south, anna, team)
}

#[tokio::test]
async fn changes_of_people_are_followed_to_their_end() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let (north, south, anna, team) = make_scene(&dc);
    let mut follower = Follower::start(&dc, MemberDetail::Incremental).await;
    let guid = follower.guid(&anna).await;
    let south_guid = follower.guid(&south).await;
    let team_guid = follower.guid(&team).await;
    assert!(follower.changes(&dc).await.is_empty());

    // A value changes, another one goes; nothing else is told.
    let ldif = format!(
        "dn: {anna}\nchangetype: modify\nreplace: displayName\ndisplayName: Änna\n-\ndelete: mail\n\n"
    );
    dc.admin_ldapmodify(&ldif).unwrap();
    let change = follower.change(&dc).await;
    assert_eq!(change.entry.guid, guid);
    assert_eq!(change.entry.attributes.text("displayName"), Some("Änna"));
    assert!(change.entry.attributes.has("mail"));
    assert!(change.entry.attributes.values("mail").is_empty());
    assert!(!change.entry.attributes.has("userAccountControl"));
    assert_eq!(change.members, MemberChange::Unchanged);
    assert_eq!((change.entry.kind, change.entry.parent), (None, None));

    dc.samba_tool(&["user", "enable", "anna"]).unwrap();
    let change = follower.change(&dc).await;
    let control = change.entry.attributes.i64("userAccountControl").unwrap();
    assert_eq!(control & 2, 0);

    // Renamed and moved at once.
    let ldif = format!(
        "dn: {anna}\nchangetype: modrdn\nnewrdn: CN=Anna B\ndeleteoldrdn: 1\nnewsuperior: {south}\n\n"
    );
    dc.admin_ldapmodify(&ldif).unwrap();
    let change = follower.change(&dc).await;
    assert_eq!(change.entry.guid, guid);
    let moved = format!("CN=Anna B,{south}");
    assert_eq!(change.entry.dn, moved.parse().unwrap());
    assert_eq!(change.entry.parent, Some(south_guid));
    assert_eq!(change.entry.attributes.text("name"), Some("Anna B"));

    // A unit is renamed: its children are not told.
    let ldif =
        format!("dn: {south}\nchangetype: modrdn\nnewrdn: OU=Far South\ndeleteoldrdn: 1\n\n");
    dc.admin_ldapmodify(&ldif).unwrap();
    let change = follower.change(&dc).await;
    assert_eq!(change.entry.guid, south_guid);
    assert_eq!(change.entry.dn.relative(), "OU=Far South");

    let here = follower
        .connection
        .read_by_guid(guid, &[])
        .await
        .unwrap()
        .unwrap();
    dc.admin_ldapdelete(&[here.dn.as_str()]).unwrap();
    let changes = follower.changes(&dc).await;
    let tombstone = &changes[&guid].entry;
    assert!(tombstone.deleted);
    let deleted_objects = format!("CN=Deleted Objects,{}", dc.base_dn())
        .parse()
        .unwrap();
    assert!(tombstone.dn.is_under(&deleted_objects), "{}", tombstone.dn);
    assert!(
        !changes.contains_key(&team_guid),
        "groups of a deleted person are told"
    );

    // A new one is told completely, with kind and place.
    let new = format!("CN=Новый,{north}");
    let ldif = format!("dn: {new}\nchangetype: add\nobjectClass: user\nsAMAccountName: new\n\n");
    dc.admin_ldapmodify(&ldif).unwrap();
    let change = follower.change(&dc).await;
    assert_eq!(change.entry.kind, Some(Kind::User));
    assert_eq!(change.entry.parent, Some(follower.guid(&north).await));
    assert_eq!(change.entry.dn, new.parse().unwrap());
}

#[tokio::test]
async fn memberships_are_followed_as_whole_lists_and_as_steps() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let (north, _, anna, team) = make_scene(&dc);
    let mut steps = Follower::start(&dc, MemberDetail::Incremental).await;
    let mut lists = Follower::start(&dc, MemberDetail::Whole).await;
    let (anna_guid, team_guid) = (steps.guid(&anna).await, steps.guid(&team).await);
    let berta_guid = steps.guid(&format!("CN=Berta,{north}")).await;

    let remove = format!("dn: {team}\nchangetype: modify\ndelete: member\nmember: {anna}\n\n");
    dc.admin_ldapmodify(&remove).unwrap();
    let change = steps.change(&dc).await;
    let MemberChange::Incremental { added, removed } = &change.members else {
        panic!("{change:?}")
    };
    assert_eq!(change.entry.guid, team_guid);
    assert_eq!(
        (guids(added), guids(removed)),
        ([].into(), [anna_guid].into())
    );
    assert_eq!(removed[0].dn, anna.parse().unwrap());
    assert!(!change.entry.attributes.has("member;range=0-0"));
    let MemberChange::Whole(whole) = lists.change(&dc).await.members else {
        panic!("no list")
    };
    assert_eq!(guids(&whole), [berta_guid].into());

    let add = remove.replace("delete: member", "add: member");
    dc.admin_ldapmodify(&add).unwrap();
    let MemberChange::Incremental { added, removed } = steps.change(&dc).await.members else {
        panic!("no steps")
    };
    assert_eq!(
        (guids(&added), guids(&removed)),
        ([anna_guid].into(), [].into())
    );

    let clear = format!("dn: {team}\nchangetype: modify\ndelete: member\n\n");
    dc.admin_ldapmodify(&clear).unwrap();
    assert_eq!(lists.change(&dc).await.members, MemberChange::Whole(vec![]));
    let members = steps.connection.members(team_guid).await.unwrap();
    assert_eq!(members, Some(vec![]));
}

#[tokio::test]
async fn positions_that_are_no_positions_are_refused_by_name() {
    let dc = Dc::start(&DcOptions::default()).unwrap();
    let mut connection = connect(&dc).await;
    let cookie = Some(Cookie::from_bytes(b"nonsense".to_vec()));
    let request = dirsync_request(&dc, cookie, MemberDetail::Incremental);
    let mut read = connection.dirsync(request).await.unwrap();
    let refused = read.next().await.unwrap_err();
    assert!(matches!(refused, Error::CookieRefused { .. }), "{refused}");
    // Ended for good, and the connection is still usable.
    assert!(read.next().await.is_err());
    connection.whoami().await.unwrap();
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

#[tokio::test]
async fn a_search_that_is_dropped_does_not_disturb_the_next_one() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    let base = Base::Dn(dc.base_dn().parse().unwrap());
    let request = SearchRequest {
        deleted: Deleted::Shown,
        ..SearchRequest::subtree(base, Filter::any_object(), &["name"])
    };
    let mut search = connection.search(request).await.unwrap();
    search.next().await.unwrap().unwrap();
    drop(search);
    assert_eq!(connection.whoami().await.unwrap(), None);
}
