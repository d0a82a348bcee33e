//! Whether passwords have to be changed: what the directory says beside what the hub has.
//!
//! Invariant: after a lost cursor a password that was given meanwhile may stay temporary in the hub,
//! because the hub does not show the kind (decision 14); nothing else may differ.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_agent::engine::Guid;

use crate::world::World;

/// What may differ.
#[derive(Default)]
pub struct Passwords {
    excused: BTreeSet<String>,
    /// Comparisons of one user.
    pub compared: usize,
    /// Of these, passwords that had to be changed.
    pub to_change: usize,
}

/// Whether the run knew what had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    Kept,
    Lost,
}

impl Passwords {
    /// The logins of users of whom hub and directory say different things.
    pub async fn differences(&mut self, world: &World, cursor: Cursor) -> Vec<String> {
        let wanted = wanted(&world.dc.admin_ldapsearch(&["(objectClass=user)"]).unwrap());
        let mut differences = Vec::new();
        for user in world.users().await {
            let Some(must_change) = wanted.get(&user.external_id).copied() else {
                continue;
            };
            let there = world.must_change_password(&user.id).await;
            self.compared += 1;
            self.to_change += usize::from(must_change);
            if there == must_change {
                self.excused.remove(&user.external_id);
            } else if there && cursor == Cursor::Lost {
                self.excused.insert(user.external_id);
            } else if must_change || !self.excused.contains(&user.external_id) {
                differences.push(format!("{}: must change {must_change}", user.username));
            }
        }
        differences
    }
}

/// Users by external id with whether pwdLastSet is 0 (MS-ADA3 2.176).
fn wanted(dump: &str) -> BTreeMap<String, bool> {
    let user = |entry: &str| {
        let value = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name));
        let guid = STANDARD.decode(value("objectGUID:: ")?).unwrap();
        let guid = Guid::from_wire(guid.try_into().unwrap());
        Some((guid.to_string(), value("pwdLastSet: ") == Some("0")))
    };
    dump.split("\n\n").filter_map(user).collect()
}
