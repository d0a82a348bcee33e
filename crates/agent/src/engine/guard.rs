//! The brake on mass removal (decision U110).
//!
//! Invariant: it judges a whole plan before its first write, together with what was removed within
//! the last day, so that many small batches do not pass where one would not, in one session or in
//! several. Only what the hub would lose counts: not a suspension of a user that is suspended there
//! already, not a reactivation, and a membership not beside the user it ends with. Deliberately
//! absent: who may let a plan pass all the same (`crate::refused_plan`).

use std::collections::{BTreeMap, HashSet};

use rollcall_kit::timestamp::Timestamp;

use super::Guid;
use super::index::{HubSide, Index};
use super::plan::{Activation, Plan};

mod excess;
mod removed;

use excess::Excess;
pub use excess::TooManyRemovals;
pub use removed::{Approved, Loss, Removed, WINDOW};

/// Removals that are always allowed under the default limit.
const REMOVALS_ALWAYS_ALLOWED: usize = 20;
/// Share of the known objects that may leave in one run under the default limit.
const REMOVAL_SHARE_PERCENT: usize = 20;

/// How many users, groups, members of one group, or how many users' right to sign in, may be taken
/// away within a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limit {
    /// The larger of 20 and 20 % of those known.
    #[default]
    Default,
    /// This many.
    Count(usize),
    /// Any number.
    Off,
}

/// What is taken away; each has its own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Users that are deleted, or suspended because they are gone.
    Users,
    /// Groups that are deleted.
    Groups,
    /// Users that are suspended because they are disabled.
    Suspensions,
    /// Members of this group.
    Members(Guid),
}

/// What a plan takes away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removals {
    sides: BTreeMap<What, Side>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Side {
    objects: Vec<Guid>,
    known: usize,
}

impl Limit {
    /// That of `safety.max_removals`.
    #[must_use]
    pub fn of_setting(max_removals: Option<usize>) -> Self {
        match max_removals {
            None => Self::Default,
            Some(0) => Self::Off,
            Some(count) => Self::Count(count),
        }
    }

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

impl Removals {
    /// Those of a plan, before it is carried out.
    #[must_use]
    pub fn of(plan: &Plan, index: &Index) -> Self {
        let mut removals = Self::default();
        let users = plan.user_removals.iter().map(|removal| removal.guid);
        removals.add(What::Users, users, plan.users_known);
        let groups = plan.group_removals.iter().map(|removal| removal.guid);
        removals.add(What::Groups, groups, plan.groups_known);
        let active = |guid: &Guid| side(index, *guid).is_some_and(|hub| hub.enabled == Some(true));
        let suspended = plan
            .user_updates
            .iter()
            .filter(|update| update.activation == Some(Activation::Suspend))
            .map(|update| update.guid)
            .filter(active);
        removals.add(What::Suspensions, suspended, plan.users_known);
        let leaving: HashSet<Guid> = plan.user_removals.iter().map(|gone| gone.guid).collect();
        for change in &plan.memberships {
            let members = change.remove.iter().filter(|user| !leaving.contains(user));
            let known = index.hub_members(change.group).count();
            removals.add(What::Members(change.group), members.copied(), known);
        }
        removals
    }

    /// Those of a plan that only suspends users, of which the hub has `known`.
    #[must_use]
    pub fn of_suspensions(users: impl IntoIterator<Item = Guid>, known: usize) -> Self {
        let mut removals = Self::default();
        removals.add(What::Suspensions, users, known);
        removals
    }

    fn add(&mut self, what: What, objects: impl IntoIterator<Item = Guid>, known: usize) {
        let objects: Vec<Guid> = objects.into_iter().collect();
        if !objects.is_empty() {
            self.sides.insert(what, Side { objects, known });
        }
    }

    /// Whether nothing is taken away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sides.is_empty()
    }

    /// All but those for which `gone` holds.
    #[must_use]
    pub fn without(mut self, gone: impl Fn(What, Guid) -> bool) -> Self {
        self.sides.retain(|what, side| {
            side.objects.retain(|guid| !gone(*what, *guid));
            !side.objects.is_empty()
        });
        self
    }

    /// What is to be remembered when these pass under `limit`. Without a limit there is nothing to
    /// count.
    pub fn losses(&self, limit: Limit, at: Timestamp) -> impl Iterator<Item = Loss> {
        let counted = self.sides.iter().filter(move |_| limit != Limit::Off);
        counted.flat_map(move |(what, side)| {
            side.objects.iter().map(move |object| Loss {
                what: *what,
                object: *object,
                known: side.known,
                limit,
                at,
            })
        })
    }

    fn objects(&self, what: What) -> &[Guid] {
        self.sides.get(&what).map_or(&[], |side| &side.objects)
    }
}

/// Lets a plan pass or not. The share is one of the largest number known within the day, because
/// every removal makes the present number smaller. `name` is asked for the examples of a message.
///
/// # Errors
/// [`TooManyRemovals`] when it takes away more of anything than `limit` allows, counting what was
/// taken away `before`.
pub fn check(
    removals: &Removals,
    limit: Limit,
    before: &Removed,
    name: impl Fn(Guid) -> String,
) -> Result<(), TooManyRemovals> {
    let mut excesses = Vec::new();
    for (what, side) in &removals.sides {
        let earlier = before.beside(*what, &side.objects, limit);
        let known = side.known.max(earlier.known);
        let planned = earlier.number.saturating_add(side.objects.len());
        let Some(limit) = limit.of(known).filter(|limit| planned > *limit) else {
            continue;
        };
        let mut excess = Excess {
            what: *what,
            group: String::new(),
            planned,
            earlier: earlier.number,
            known,
            limit,
            examples: Vec::new(),
        };
        excess.name(removals, &name);
        excesses.push(excess);
    }
    if excesses.is_empty() {
        return Ok(());
    }
    Err(TooManyRemovals { excesses })
}

fn side(index: &Index, guid: Guid) -> Option<&HubSide> {
    index.get(guid)?.hub.as_ref()
}

#[cfg(test)]
mod tests;
