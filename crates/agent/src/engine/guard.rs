//! The brake on mass removal (decision U110).
//!
//! Invariant: it judges a whole plan before its first write, together with what was removed
//! before in the same session, so that many small batches do not pass where one would not.

use super::index::Index;
use super::plan::{Plan, Removal, RemoveUserBehavior};

/// Removals that are always allowed under the default limit.
const REMOVALS_ALWAYS_ALLOWED: usize = 20;
/// Share of the known objects that may leave in one run under the default limit.
const REMOVAL_SHARE_PERCENT: usize = 20;

/// How many users, or groups, one run may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limit {
    /// The larger of 20 objects and 20 % of those known.
    #[default]
    Default,
    /// This many.
    Count(usize),
    /// Any number.
    Off,
}

/// A plan that removes too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{planned} of {known} {what} would be removed in this session, more than the limit of {limit}; nothing was changed by this plan. If this is intended, raise safety.max_removals for one run"
)]
pub struct TooManyRemovals {
    what: &'static str,
    planned: usize,
    known: usize,
    limit: usize,
}

impl Limit {
    fn of(self, known: usize) -> Option<usize> {
        match self {
            Self::Default => {
                Some(REMOVALS_ALWAYS_ALLOWED.max(known.saturating_mul(REMOVAL_SHARE_PERCENT) / 100))
            }
            Self::Count(count) => Some(count),
            Self::Off => None,
        }
    }
}

/// What a session has removed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    users: usize,
    groups: usize,
    users_known: usize,
    groups_known: usize,
}

impl Removed {
    /// Counts what the hub acknowledged of a plan's removals.
    pub fn count(&mut self, plan: &Plan, index: &Index, behavior: RemoveUserBehavior) {
        self.users_known = self.users_known.max(plan.users_known);
        self.groups_known = self.groups_known.max(plan.groups_known);
        let side = |removal: &Removal| index.get(removal.guid).and_then(|found| found.hub.as_ref());
        let blocks = behavior == RemoveUserBehavior::Block;
        let users = plan
            .user_removals
            .iter()
            .filter(|removal| side(removal).is_none_or(|hub| blocks && hub.enabled == Some(false)));
        self.users += users.count();
        let groups = plan.group_removals.iter();
        self.groups += groups.filter(|removal| side(removal).is_none()).count();
    }
}

/// Lets a plan pass or not. The share is one of the largest number known in the session, because
/// every removal makes the present number smaller.
///
/// # Errors
/// [`TooManyRemovals`] when it removes more users or more groups than `limit` allows, counting
/// those removed `before`.
pub fn check(plan: &Plan, limit: Limit, before: &Removed) -> Result<(), TooManyRemovals> {
    let users_known = plan.users_known.max(before.users_known);
    let groups_known = plan.groups_known.max(before.groups_known);
    let sides = [
        ("users", plan.user_removals.len(), before.users, users_known),
        (
            "groups",
            plan.group_removals.len(),
            before.groups,
            groups_known,
        ),
    ];
    for (what, now, earlier, known) in sides {
        let planned = earlier.saturating_add(now);
        if let Some(limit) = limit.of(known)
            && now > 0
            && planned > limit
        {
            return Err(TooManyRemovals {
                what,
                planned,
                known,
                limit,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Guid;
    use crate::engine::plan::{Cause, Removal};

    fn removing(users: usize, known: usize) -> Plan {
        let removal = |n: usize| Removal {
            guid: Guid::from_number(n as u128),
            cause: Cause::Deleted,
        };
        Plan {
            user_removals: (0..users).map(removal).collect(),
            users_known: known,
            ..Plan::default()
        }
    }

    #[test]
    fn the_default_is_twenty_or_twenty_percent() {
        for (users, known, passes) in [
            (20, 20, true),
            (21, 21, false),
            (21, 105, true),
            (200, 1_000, true),
            (201, 1_000, false),
        ] {
            let verdict = check(&removing(users, known), Limit::Default, &Removed::default());
            assert_eq!(verdict.is_ok(), passes, "{users} of {known}: {verdict:?}");
        }
    }

    #[test]
    fn an_own_limit_and_none() {
        let none = Removed::default();
        assert!(check(&removing(5, 1_000), Limit::Count(4), &none).is_err());
        assert!(check(&removing(5, 1_000), Limit::Count(5), &none).is_ok());
        assert!(check(&removing(1_000, 1_000), Limit::Off, &none).is_ok());
    }

    #[test]
    fn groups_are_guarded_too() {
        let mut plan = removing(0, 0);
        plan.group_removals = removing(21, 0).user_removals;
        plan.groups_known = 21;
        let message = check(&plan, Limit::Default, &Removed::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains("21 of 21 groups"), "{message}");
    }

    #[test]
    fn small_batches_of_one_session_count_together() {
        let mut removed = Removed::default();
        let nothing_left = Index::default();
        for known in [30, 20] {
            let batch = removing(10, known);
            assert!(check(&batch, Limit::Default, &removed).is_ok());
            removed.count(&batch, &nothing_left, RemoveUserBehavior::Remove);
        }
        let message = check(&removing(1, 10), Limit::Default, &removed)
            .unwrap_err()
            .to_string();
        assert!(message.contains("21 of 30 users"), "{message}");
        assert!(check(&removing(0, 10), Limit::Default, &removed).is_ok());
        assert!(check(&removing(1, 10), Limit::Default, &Removed::default()).is_ok());
    }
}
