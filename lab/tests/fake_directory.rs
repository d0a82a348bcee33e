//! The fake directory seen by a client that knows nothing of us: OpenLDAP's `ldapsearch`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::Command;

use rollcall_lab::fake_directory::{BASE_DN, Code, FakeDirectory, Fault, Lasting};

/// Exit code (the LDAP result) and output.
fn ldapsearch(directory: &FakeDirectory, arguments: &[&str]) -> (i32, String) {
    let output = Command::new("ldapsearch")
        .args(["-x", "-o", "ldif-wrap=no", "-LLL", "-H"])
        .arg(directory.ldaps_url())
        .args(["-D", &directory.sync_account_dn()])
        .args(["-w", directory.sync_password()])
        .args(arguments)
        .env("LDAPTLS_CACERT", directory.ca_path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

fn count(text: &str, what: &str) -> usize {
    text.lines().filter(|line| line.starts_with(what)).count()
}

#[test]
fn another_client_understands_searches() {
    let directory = FakeDirectory::start().unwrap();
    let anna = directory.edit(|domain| {
        let people = domain.people().unwrap();
        domain.populate(people, 2_500).unwrap();
        let anna = domain.add_user("anna, the \"first\"", people).unwrap();
        let groups = domain.groups().unwrap();
        let members: Vec<_> = (0..1_600).map(|at| domain.person(at)).collect();
        domain.add_group("all", groups, members).unwrap();
        anna
    });
    let (code, text) = ldapsearch(&directory, &["-s", "base", "-b", "", "(objectClass=*)"]);
    assert_eq!(code, 0);
    assert!(text.contains(&format!("defaultNamingContext: {BASE_DN}")));

    // MaxPageSize ends a search without pages; with pages it is only the size of a page.
    let users = ["-b", BASE_DN, "(&(objectClass=user)(!(cn=p*7)))", "cn"];
    assert_eq!(ldapsearch(&directory, &users).0, 4);
    let (code, text) = ldapsearch(
        &directory,
        &[&["-E", "pr=5000/noprompt"], &users[..]].concat(),
    );
    assert_eq!((code, count(&text, "dn")), (0, 2_251));

    let guid = format!("<GUID={}>", anna.guid_text());
    let (_, text) = ldapsearch(&directory, &["-s", "base", "-b", &guid, "displayName"]);
    assert!(text.contains("displayName: anna, the \"first\""), "{text}");

    let (_, text) = ldapsearch(&directory, &["-b", BASE_DN, "(cn=all)", "member"]);
    assert_eq!(count(&text, "member;range=0-1499: "), 1_500);
    let next = ["-b", BASE_DN, "(cn=all)", "member;range=1500-*"];
    let (_, text) = ldapsearch(&directory, &next);
    assert_eq!(count(&text, "member;range=1500-*: "), 100);
}

#[test]
fn another_client_understands_changes_and_deletions() {
    let directory = FakeDirectory::start().unwrap();
    let (anna, team) = directory.edit(|domain| {
        let people = domain.people().unwrap();
        let anna = domain.add_user("anna", people).unwrap();
        let boris = domain.add_user("boris", people).unwrap();
        let groups = domain.groups().unwrap();
        let team = domain.add_group("team", groups, [anna, boris]).unwrap();
        domain.policy.changes_per_page = 2;
        (anna, team)
    });
    let attributes = ["name", "displayName", "parentGUID", "isDeleted", "member"];
    let filter = "(|(objectClass=user)(objectClass=group))";
    // Follows the cookies until nothing more comes; returns all text and the last cookie.
    let read = |mut cookie: String| {
        let mut all = String::new();
        loop {
            let control = format!("!dirSync=-2147481600/0/{cookie}");
            let mut arguments = vec!["-E", &control, "-b", BASE_DN, filter];
            arguments.extend(attributes);
            let (code, text) = ldapsearch(&directory, &arguments);
            assert_eq!(code, 0);
            let more = text.contains("# DirSync control continueFlag=1");
            let mut lines = text.lines();
            let position = lines.find_map(|line| line.strip_prefix("# cookie:: "));
            cookie = position.unwrap().to_owned();
            all.push_str(&text);
            if !more {
                return (all, cookie);
            }
        }
    };
    let (text, cookie) = read(String::new());
    assert_eq!(
        (count(&text, "dn"), count(&text, "member;range=1-1")),
        (3, 2)
    );
    assert_eq!(read(cookie.clone()).0.matches("dn:").count(), 0);

    directory.edit(|domain| {
        domain.remove_member(team, anna).unwrap();
        domain.set(anna, "displayName", &[]).unwrap();
    });
    let (text, cookie) = read(cookie);
    assert_eq!(
        (count(&text, "dn"), count(&text, "member;range=0-0")),
        (2, 1)
    );

    directory.edit(|domain| domain.delete(anna).unwrap());
    let (text, _) = read(cookie);
    assert!(text.contains("isDeleted: TRUE"), "{text}");
    // As if it were gone, to everybody who does not ask for deleted objects.
    let (_, text) = ldapsearch(&directory, &["-b", BASE_DN, "(sAMAccountName=anna)"]);
    assert_eq!(count(&text, "dn"), 0);
}

#[test]
fn faults_hit_the_planned_answer() {
    let directory = FakeDirectory::start().unwrap();
    let search = ["-b", BASE_DN, "(objectClass=organizationalUnit)", "name"];
    for (fault, expected) in [
        (Fault::Result(Code::Busy), 51),
        (Fault::Result(Code::Referral), 10),
    ] {
        directory.plan(Some((fault, 2, Lasting::Once)));
        assert_eq!(ldapsearch(&directory, &search).0, 0);
        assert_eq!(ldapsearch(&directory, &search).0, expected);
        assert_eq!(ldapsearch(&directory, &search).0, 0);
        assert_eq!(directory.answers(), 3);
    }
    directory.plan(Some((Fault::Cut, 1, Lasting::Always)));
    assert_ne!(ldapsearch(&directory, &search).0, 0);
}
