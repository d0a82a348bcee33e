//! The client against a real domain controller: searches, and changes of objects as they happen.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "samba/domain.rs"]
mod domain;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{connect, filled};
use rollcall_directory::{
    Access, Base, Change, Connection, Cookie, Deleted, DirSyncEvent, DirSyncRequest, Dn, Entry,
    Error, Filter, Guid, Kind, Links, Member, MemberChange, MemberDetail, SearchRequest,
};
use rollcall_lab::samba::{Dc, DcOptions};

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

fn everything() -> Filter {
    "(|(objectClass=user)(objectClass=group)(objectClass=organizationalUnit))"
        .parse()
        .unwrap()
}

fn dirsync_request(dc: &Dc, cookie: Option<Cookie>, members: MemberDetail) -> DirSyncRequest {
    DirSyncRequest {
        base: dc.base_dn().parse().unwrap(),
        filter: everything(),
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
type Comparable = (
    Dn,
    Option<Kind>,
    Option<Guid>,
    BTreeMap<String, Vec<Vec<u8>>>,
);

fn comparable(entry: &Entry) -> Comparable {
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
        ..SearchRequest::subtree(Base::Dn(base), everything(), &ATTRIBUTES)
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
        assert_eq!(guids(added), one_by_one.iter().copied().collect());
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
    // Whose positions they are can be told.
    assert!(connection.invocation_id().await.unwrap().is_some());
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
async fn a_search_that_is_dropped_does_not_disturb_the_next_one() {
    let dc = filled();
    let mut connection = connect(&dc).await;
    let base = Base::Dn(dc.base_dn().parse().unwrap());
    // Of these kinds the account may read each object; of all there are, it may not, and a directory shows them in
    // an order of its own.
    let request = SearchRequest {
        deleted: Deleted::Shown,
        ..SearchRequest::subtree(base, everything(), &["name"])
    };
    let mut search = connection.search(request).await.unwrap();
    search.next().await.unwrap().unwrap();
    drop(search);
    assert_eq!(connection.whoami().await.unwrap(), None);
}
