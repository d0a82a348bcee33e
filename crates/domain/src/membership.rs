//! Members of groups.
//!
//! Invariant: a batch of deltas is applied as a whole or not at all; adding a member and removing
//! a stranger change nothing, so that a batch can be repeated (decision U78). Deliberately absent:
//! how many members fit, which is a matter of the quotas.

use std::collections::HashSet;

use rollcall_kit::timestamp::Timestamp;

use crate::id::{GroupId, UserId};
use crate::named::named_enum;
use crate::refusal::Refusal;

/// Most deltas of one batch.
pub const DELTAS_MAX: usize = 1_000;

/// A user in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group_id: GroupId,
    /// The member.
    pub user_id: UserId,
    /// When the user was added.
    pub created_at: Timestamp,
}

named_enum! {
    /// What to do with a member.
    pub enum MemberAction {
        /// Put into the group.
        Add = "ADD",
        /// Take out of the group.
        Remove = "REMOVE",
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDelta {
    /// What to do.
    pub action: MemberAction,
    /// With whom.
    pub user_id: UserId,
}

/// What is known about the users of a batch and the group.
#[derive(Debug, Clone, Default)]
pub struct MembershipFacts {
    /// Users of the batch that exist.
    pub known: HashSet<UserId>,
    /// Users of the batch that are members now.
    pub members: HashSet<UserId>,
}

/// What really changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembersUpdated {
    /// Users to put into the group, in the order of the batch.
    pub added: Vec<UserId>,
    /// Users to take out, in the order of the batch.
    pub removed: Vec<UserId>,
}

/// Checks the form of a batch, before any look at the database.
///
/// # Errors
/// `Invalid` when the batch is empty, too large or names a user twice.
pub fn check_deltas(deltas: &[MemberDelta]) -> Result<(), Refusal> {
    if deltas.is_empty() || deltas.len() > DELTAS_MAX {
        return Err(Refusal::invalid(
            "member_deltas",
            format!("has {} items, must have 1 to {DELTAS_MAX}", deltas.len()),
        ));
    }
    let mut seen = HashSet::with_capacity(deltas.len());
    for (index, delta) in deltas.iter().enumerate() {
        if !seen.insert(&delta.user_id) {
            return Err(Refusal::invalid(
                format!("member_deltas[{index}].subject_id"),
                format!("{} occurs twice in one call", delta.user_id),
            ));
        }
    }
    Ok(())
}

/// Decides what a batch changes.
///
/// # Errors
/// As [`check_deltas`]; `NotFound` naming the index of an unknown user.
pub fn update_members(
    deltas: &[MemberDelta],
    facts: &MembershipFacts,
) -> Result<MembersUpdated, Refusal> {
    check_deltas(deltas)?;
    let mut change = MembersUpdated::default();
    for (index, delta) in deltas.iter().enumerate() {
        if !facts.known.contains(&delta.user_id) {
            return Err(Refusal::NotFound {
                what: format!("member_deltas[{index}]: user {}", delta.user_id),
            });
        }
        let is_member = facts.members.contains(&delta.user_id);
        match delta.action {
            MemberAction::Add if !is_member => change.added.push(delta.user_id.clone()),
            MemberAction::Remove if is_member => change.removed.push(delta.user_id.clone()),
            MemberAction::Add | MemberAction::Remove => {}
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> HashSet<UserId> {
        names.iter().map(|name| UserId::from(*name)).collect()
    }

    fn delta(text: &str) -> MemberDelta {
        let (action, user) = text.split_at(1);
        let action = if action == "+" {
            MemberAction::Add
        } else {
            MemberAction::Remove
        };
        MemberDelta {
            action,
            user_id: user.into(),
        }
    }

    /// Users a, b, c, d exist; a and b are members.
    #[track_caller]
    fn check(deltas: &[&str], expected: Result<(&[&str], &[&str]), &str>) {
        let deltas: Vec<_> = deltas.iter().map(|text| delta(text)).collect();
        let facts = MembershipFacts {
            known: ids(&["a", "b", "c", "d"]),
            members: ids(&["a", "b"]),
        };
        let found = update_members(&deltas, &facts);
        match expected {
            Ok((added, removed)) => {
                let found = found.unwrap();
                let texts = |ids: &[UserId]| -> Vec<String> {
                    ids.iter().map(ToString::to_string).collect()
                };
                assert_eq!(
                    (texts(&found.added), texts(&found.removed)),
                    (
                        added.iter().map(ToString::to_string).collect(),
                        removed.iter().map(ToString::to_string).collect(),
                    )
                );
            }
            Err(part) => {
                let refusal = found.unwrap_err();
                assert!(
                    refusal.to_string().contains(part),
                    "{refusal} lacks {part:?}"
                );
            }
        }
    }

    #[test]
    fn batches() {
        check(&["+c"], Ok((&["c"], &[])));
        check(&["+a", "-c"], Ok((&[], &[])));
        check(&["-a", "+c", "+d"], Ok((&["c", "d"], &["a"])));
        check(&["+c", "+x"], Err("member_deltas[1]: user x not found"));
        check(&["+c", "-c"], Err("member_deltas[1].subject_id"));
        check(&[], Err("has 0 items"));
        check(&["+c"; 1_001], Err("has 1001 items"));
    }
}
