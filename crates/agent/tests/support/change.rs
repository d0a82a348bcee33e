//! Changes of the directory, as LDIF for its administrator, and what runs say about them.

// Each test program uses a part of it.
#![allow(dead_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_lab::samba::Fill;
use serde_json::Value as Json;

pub fn people(users: u32) -> Fill {
    Fill {
        users,
        groups: 12,
        memberships: 600,
        seed: 7,
        big_group: false,
        difficulties: true,
    }
}

pub fn assert_unchanged(summary: &Json) {
    for what in ["users", "groups", "memberships"] {
        for change in ["created", "updated", "removed", "activated", "deactivated"] {
            assert_eq!(summary[what][change], 0, "{summary:#}");
        }
    }
}

pub const BASE: &str = "DC=corp,DC=example,DC=com";

/// Adds a user with an LDIF for the administrator.
pub fn new_user(name: &str, place: &str) -> String {
    format!(
        "dn: CN={name},{place}\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n\
         userPrincipalName: {name}@corp.example.com\ndisplayName: {name}\n\
         userAccountControl: 544\n\n"
    )
}

pub fn modify(dn: &str, change: &str) -> String {
    format!("dn: {dn}\nchangetype: modify\n{change}\n\n")
}

pub fn rename(dn: &str, new: &str, above: Option<&str>) -> String {
    let above = above.map_or(String::new(), |above| format!("newsuperior: {above}\n"));
    format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {new}\ndeleteoldrdn: 1\n{above}\n")
}

/// Any value as a line of LDIF.
pub fn line(name: &str, value: &str) -> String {
    let encoded = STANDARD.encode(value);
    format!("{name}:: {encoded}\n")
}

/// A value for a distinguished name: every unusual byte in hexadecimal (RFC 4514 2.4).
pub fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("\\{byte:02x}"),
    };
    value.bytes().map(byte).collect()
}

pub fn new_unit(name: &str, place: &str) -> String {
    let dn = format!("OU={},{place}", escaped(name));
    let dn = line("dn", &dn);
    format!("{dn}changetype: add\nobjectClass: organizationalUnit\n\n")
}

/// A group whose relative name is also its account; members are DNs.
pub fn new_group(name: &str, place: &str, members: &[&str]) -> String {
    let members: String = members.iter().map(|dn| line("member", dn)).collect();
    format!(
        "dn: CN={name},{place}\nchangetype: add\nobjectClass: group\n\
         sAMAccountName: {name}\n{members}\n"
    )
}

pub fn add_member(group: &str, member: &str) -> String {
    modify(group, &format!("add: member\nmember: {member}"))
}

pub fn remove_member(group: &str, member: &str) -> String {
    modify(group, &format!("delete: member\nmember: {member}"))
}

pub fn replace(dn: &str, attribute: &str, value: &str) -> String {
    modify(dn, &format!("replace: {attribute}\n{attribute}: {value}"))
}

/// The distinguished names of a dump; those that are not ASCII are in base 64 (RFC 2849).
pub fn dns(dump: &str) -> Vec<String> {
    let name = |line: &str| {
        if let Some(coded) = line.strip_prefix("dn:: ") {
            return Some(String::from_utf8(STANDARD.decode(coded).unwrap()).unwrap());
        }
        line.strip_prefix("dn: ").map(str::to_owned)
    };
    let mut names: Vec<String> = dump.lines().filter_map(name).collect();
    names.sort_unstable();
    names
}
