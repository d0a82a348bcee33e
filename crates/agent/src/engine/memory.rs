//! What an earlier index knew of the hub that the hub's listing does not tell: whether a
//! suspended user was suspended by the agent too, and in which groups suspended users are, for the
//! hub lists active members only.
//!
//! Invariant: what the listing does tell is never overruled: a user it calls suspended may have
//! been suspended by another agent, and reactivating it does not undo an administrator's block
//! (decision U52). Memberships of suspended users that no index remembers are added once more,
//! which changes nothing where they exist. The earlier index is looked at record by record, so that
//! it need not be in memory beside the present one.

use std::collections::BTreeSet;

use super::Guid;
use super::index::Index;
use super::record::{Kind, Record};

/// What was found so far.
#[derive(Debug, Default)]
pub struct Memory {
    /// Users that the agent had suspended.
    suspended: Vec<Guid>,
    /// Users that are not active now and are the same users of the hub as before.
    same: BTreeSet<Guid>,
    /// Groups and members that are not active now.
    members: Vec<(Guid, Vec<Guid>)>,
}

impl Memory {
    /// Looks at one record of the earlier index; `present` is the one that remembers.
    pub fn note(&mut self, present: &Index, guid: Guid, before: &Record) {
        let side = |record: &Record| record.hub.clone();
        let (Some(now), Some(known)) = (present.get(guid).and_then(side), side(before)) else {
            return;
        };
        if now.id != known.id {
            return;
        }
        if before.kind() == Kind::User && present.is_inactive(guid) {
            self.same.insert(guid);
            if known.enabled == Some(false) {
                self.suspended.push(guid);
            }
        }
        let members = before.told_members().iter().copied();
        let hidden: Vec<Guid> = members.filter(|user| present.is_inactive(*user)).collect();
        if !hidden.is_empty() {
            self.members.push((guid, hidden));
        }
    }

    /// Users the agent had suspended, and members of groups that the hub hides.
    #[must_use]
    pub(super) fn into_parts(mut self) -> (Vec<Guid>, Vec<(Guid, Vec<Guid>)>) {
        for (_, members) in &mut self.members {
            members.retain(|user| self.same.contains(user));
        }
        (self.suspended, self.members)
    }
}
