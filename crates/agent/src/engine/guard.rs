//! The brake on mass removal (decision U110).
//!
//! Invariant: it judges a whole plan before its first write, together with what was removed
//! before in the same session, so that many small batches do not pass where one would not. Only
//! what the hub would lose counts: not a suspension of a user that is suspended there already, not
//! a reactivation, and a membership not beside the user it ends with. Deliberately absent: who
//! may let a plan pass all the same (`crate::refused_plan`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::Guid;
use super::index::{HubSide, Index};
use super::plan::{self, Activation, Plan, RemoveUserBehavior};

/// Removals that are always allowed under the default limit.
const REMOVALS_ALWAYS_ALLOWED: usize = 20;
/// Share of the known objects that may leave in one run under the default limit.
const REMOVAL_SHARE_PERCENT: usize = 20;
/// How many objects of each kind are named in a message.
const EXAMPLES_MAX: usize = 3;
/// How many groups that lose too many members are named in a message.
const GROUPS_NAMED_MAX: usize = 3;

/// How many users, groups, members of one group, or how many users' right to sign in, one session
/// may take away.
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
    behavior: RemoveUserBehavior,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Side {
    objects: Vec<Guid>,
    known: usize,
}

/// What a session has taken away so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    counts: BTreeMap<What, Count>,
    approved: BTreeSet<(What, Guid)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    removed: usize,
    known: usize,
}

/// A plan that removes too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.headline())]
pub struct TooManyRemovals {
    excesses: Vec<Excess>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Excess {
    what: What,
    /// The group that loses members.
    group: String,
    planned: usize,
    known: usize,
    limit: usize,
    examples: Vec<String>,
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
    pub fn of(plan: &Plan, index: &Index, behavior: RemoveUserBehavior) -> Self {
        let mut removals = Self {
            sides: BTreeMap::new(),
            behavior,
        };
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

    /// Whether the hub shows that this was taken away.
    fn is_done(&self, what: What, guid: Guid, index: &Index) -> bool {
        let hub = side(index, guid);
        let suspended = hub.is_some_and(|hub| hub.enabled == Some(false));
        match what {
            What::Users if self.behavior == RemoveUserBehavior::Block => hub.is_none() || suspended,
            What::Users | What::Groups => hub.is_none(),
            What::Suspensions => suspended,
            What::Members(group) => {
                side(index, group).is_some() && !index.is_hub_member(group, guid)
            }
        }
    }
}

impl Removed {
    /// Counts what the hub acknowledged of a plan's removals. What a person approved does not
    /// count: the rest of the session has the whole limit.
    pub fn count(&mut self, removals: &Removals, index: &Index) {
        for (what, side) in &removals.sides {
            let done = side.objects.iter().filter(|guid| {
                removals.is_done(*what, **guid, index) && !self.approved.contains(&(*what, **guid))
            });
            let number = done.count();
            self.add(*what, number, side.known);
        }
    }

    /// Counts `number` more of `known`.
    pub fn add(&mut self, what: What, number: usize, known: usize) {
        let count = self.counts.entry(what).or_default();
        count.removed = count.removed.saturating_add(number);
        count.known = count.known.max(known);
    }

    /// A person has approved of these: they pass for the rest of the session, also when a part of
    /// them has to be planned again.
    pub fn approve(&mut self, removals: &Removals) {
        for (what, side) in &removals.sides {
            self.approved
                .extend(side.objects.iter().map(|guid| (*what, *guid)));
        }
    }
}

/// Lets a plan pass or not. The share is one of the largest number known in the session, because
/// every removal makes the present number smaller.
///
/// # Errors
/// [`TooManyRemovals`] when it takes away more of anything than `limit` allows, counting what was
/// taken away `before`.
pub fn check(
    removals: &Removals,
    index: &Index,
    limit: Limit,
    before: &Removed,
) -> Result<(), TooManyRemovals> {
    judge(removals, limit, before, |guid| plan::name(index, guid))
}

/// As [`check`], with another way to name objects.
///
/// # Errors
/// As [`check`].
pub fn judge(
    removals: &Removals,
    limit: Limit,
    before: &Removed,
    name: impl Fn(Guid) -> String,
) -> Result<(), TooManyRemovals> {
    let mut excesses = Vec::new();
    for (what, side) in &removals.sides {
        let new: Vec<Guid> = side
            .objects
            .iter()
            .filter(|guid| !before.approved.contains(&(*what, **guid)))
            .copied()
            .collect();
        let earlier = before.counts.get(what).copied().unwrap_or_default();
        let known = side.known.max(earlier.known);
        let planned = earlier.removed.saturating_add(new.len());
        let Some(limit) = limit.of(known) else {
            continue;
        };
        if new.is_empty() || planned <= limit {
            continue;
        }
        excesses.push(Excess {
            what: *what,
            group: match what {
                What::Members(group) => name(*group),
                What::Users | What::Groups | What::Suspensions => String::new(),
            },
            planned,
            known,
            limit,
            examples: new
                .iter()
                .take(EXAMPLES_MAX)
                .map(|guid| name(*guid))
                .collect(),
        });
    }
    if excesses.is_empty() {
        return Ok(());
    }
    Err(TooManyRemovals { excesses })
}

impl TooManyRemovals {
    /// What is too much, without names.
    #[must_use]
    pub fn headline(&self) -> String {
        let (groups, others): (Vec<&Excess>, Vec<&Excess>) = self
            .excesses
            .iter()
            .partition(|excess| matches!(excess.what, What::Members(_)));
        let shown = others.iter().chain(groups.iter().take(GROUPS_NAMED_MAX));
        let mut parts: Vec<String> = shown.map(ToString::to_string).collect();
        if groups.len() > GROUPS_NAMED_MAX {
            let more = groups.len() - GROUPS_NAMED_MAX;
            parts.push(format!("{more} more groups would lose as large a part"));
        }
        parts.join(", ")
    }

    /// A few of the objects.
    #[must_use]
    pub fn examples(&self) -> String {
        let all = self.excesses.iter().take(GROUPS_NAMED_MAX);
        let names: Vec<&str> = all
            .flat_map(|excess| excess.examples.iter().map(String::as_str))
            .collect();
        names.join("; ")
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            planned,
            known,
            limit,
            group,
            ..
        } = self;
        write!(f, "{planned} of {known} ")?;
        match self.what {
            What::Users => write!(f, "users would leave")?,
            What::Groups => write!(f, "groups would leave")?,
            What::Suspensions => write!(f, "users would be suspended")?,
            What::Members(_) => write!(f, "members would leave the group {group}")?,
        }
        write!(f, " (limit {limit})")
    }
}

fn side(index: &Index, guid: Guid) -> Option<&HubSide> {
    index.get(guid)?.hub.as_ref()
}

#[cfg(test)]
mod tests;
