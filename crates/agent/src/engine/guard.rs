//! The brake on mass removal (decision U110).
//!
//! Invariant: it judges a whole plan before its first write.

use super::plan::Plan;

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
    "{planned} of {known} {what} would be removed, more than the limit of {limit}; nothing was changed. If this is intended, raise safety.max_removals for one run"
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

/// Lets a plan pass or not.
///
/// # Errors
/// [`TooManyRemovals`] when it removes more users or more groups than `limit` allows.
pub fn check(plan: &Plan, limit: Limit) -> Result<(), TooManyRemovals> {
    let sides = [
        ("users", plan.user_removals.len(), plan.users_known),
        ("groups", plan.group_removals.len(), plan.groups_known),
    ];
    for (what, planned, known) in sides {
        if let Some(limit) = limit.of(known)
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
            let verdict = check(&removing(users, known), Limit::Default);
            assert_eq!(verdict.is_ok(), passes, "{users} of {known}: {verdict:?}");
        }
    }

    #[test]
    fn an_own_limit_and_none() {
        assert!(check(&removing(5, 1_000), Limit::Count(4)).is_err());
        assert!(check(&removing(5, 1_000), Limit::Count(5)).is_ok());
        assert!(check(&removing(1_000, 1_000), Limit::Off).is_ok());
    }

    #[test]
    fn groups_are_guarded_too() {
        let mut plan = removing(0, 0);
        plan.group_removals = removing(21, 0).user_removals;
        plan.groups_known = 21;
        let message = check(&plan, Limit::Default).unwrap_err().to_string();
        assert!(message.contains("21 of 21 groups"), "{message}");
    }
}
