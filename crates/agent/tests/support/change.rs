//! Changes of the directory, as LDIF for its administrator, and what runs say about them.

// Each test program uses a part of it.
#![allow(dead_code)]

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
