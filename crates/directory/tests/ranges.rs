//! Long member lists against a scripted server that delivers them in ranges, as Windows does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "scripted/server.rs"]
mod server;

use std::collections::BTreeSet;

use ldap3_proto::proto::{LdapMsg, LdapOp, LdapSearchRequest};
use rollcall_directory::{Error, Guid};
use server::{Action, Server, done, entry, success};

fn search_of(message: &LdapMsg) -> &LdapSearchRequest {
    match &message.op {
        LdapOp::SearchRequest(search) => search,
        other => panic!("{other:?}"),
    }
}

fn member(number: usize) -> Vec<u8> {
    let guid = member_guid(number);
    format!("<GUID={guid}>;<SID=S-1-5-21-1-2-3-{number}>;CN=member {number},DC=corp").into()
}

fn member_guid(number: usize) -> Guid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Guid::from_bytes(bytes)
}

/// Answers like a Windows server: at most 1,500 values, and `member` itself without any.
fn ranged_answer(message: &LdapMsg, count: usize, version: &str) -> Vec<Action> {
    let asked = search_of(message).attrs.iter().find_map(|name| {
        name.strip_prefix("member;range=")?
            .strip_suffix("-*")?
            .parse::<usize>()
            .ok()
    });
    let from = asked.unwrap();
    let to = count.min(from + 1_500);
    let values: Vec<Vec<u8>> = (from..to).map(member).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let end = if to == count {
        "*".to_owned()
    } else {
        (to - 1).to_string()
    };
    let name = format!("member;range={from}-{end}");
    let version = [version.as_bytes()];
    let mut attributes = vec![("uSNChanged", &version[..]), ("member", &[])];
    if count > 0 {
        attributes.push((name.as_str(), &values));
    }
    vec![entry(1, &attributes), done(success())]
}

#[tokio::test]
async fn long_groups_are_read_in_ranges() {
    for count in [0, 1, 1_499, 1_500, 1_501, 3_000, 5_001] {
        let server = Server::start(move |message| ranged_answer(message, count, "7")).await;
        let mut connection = server.connect().await;
        let members = connection.members(member_guid(9)).await.unwrap().unwrap();
        assert_eq!(members.len(), count);
        let expected: BTreeSet<Guid> = (0..count).map(member_guid).collect();
        assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(
            server.requests.lock().unwrap().len(),
            count.div_ceil(1_500).max(1)
        );
    }
}

#[tokio::test]
async fn a_group_that_changes_between_two_ranges_is_read_again() {
    let mut answered = 0;
    let server = Server::start(move |message| {
        answered += 1;
        // One member leaves after the first range: the second would begin one too late.
        let (count, version) = if answered == 1 {
            (3_001, "7")
        } else {
            (3_000, "8")
        };
        ranged_answer(message, count, version)
    })
    .await;
    let mut connection = server.connect().await;
    let members = connection.members(member_guid(9)).await.unwrap().unwrap();
    assert_eq!(members.len(), 3_000);
    assert_eq!(server.requests.lock().unwrap().len(), 4);

    let mut version = 0;
    let restless = Server::start(move |message| {
        version += 1;
        ranged_answer(message, 3_000, &version.to_string())
    })
    .await;
    let mut connection = restless.connect().await;
    let error = connection.members(member_guid(9)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

#[tokio::test]
async fn ranges_that_were_not_asked_for_are_refused() {
    let values = [member(1), member(2)];
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    for name in [
        "member;range=1-*",
        "member;range=0-7",
        "member;range=0-",
        "member;range=x-*",
    ] {
        let answer = vec![entry(1, &[(name, &values)]), done(success())];
        let server = Server::start(move |_| answer.clone()).await;
        let mut connection = server.connect().await;
        let error = connection.members(member_guid(9)).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{name}: {error}");
    }
}
