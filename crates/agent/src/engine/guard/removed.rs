//! What was taken away within a day, and what a person allowed.
//!
//! Invariant: an object counts once, however often it is taken away or tried; what was taken under
//! another limit does not count, because a person changed that meanwhile. The number kept is
//! bounded: beyond it the oldest go first. Deliberately absent: where it is kept
//! (`crate::removal_file`).

use std::collections::{BTreeMap, BTreeSet};

use rollcall_kit::timestamp::{Span, Timestamp};

use super::{Limit, Removals, What};
use crate::engine::Guid;

/// How long a removal counts: a script that deletes slowly is stopped like one that does not.
pub const WINDOW: Span = Span::days(1);
/// Removals that are remembered.
const LOSSES_MAX: usize = 1_000_000;

/// One object that was taken away, or was about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// What of it.
    pub what: What,
    /// The object, of a group's members the user.
    pub object: Guid,
    /// How many of these were known then.
    pub known: usize,
    /// The limit it passed under.
    pub limit: Limit,
    /// When.
    pub at: Timestamp,
}

/// What was taken away within [`WINDOW`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    taken: BTreeMap<What, BTreeMap<Guid, Taken>>,
    by_age: BTreeSet<(Timestamp, What, Guid)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    at: Timestamp,
    known: usize,
    limit: Limit,
}

/// Earlier removals beside a plan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Earlier {
    /// How many, without those the plan takes away once more.
    pub(super) number: usize,
    /// The largest number known at one of them.
    pub(super) known: usize,
}

impl Removed {
    /// Remembers a removal. Of an object that is remembered already the new one counts.
    pub fn add(&mut self, loss: Loss) {
        let Loss {
            what,
            object,
            known,
            limit,
            at,
        } = loss;
        let of = self.taken.entry(what).or_default();
        let before = of.insert(object, Taken { at, known, limit });
        if let Some(before) = before {
            self.by_age.remove(&(before.at, what, object));
        }
        self.by_age.insert((at, what, object));
        if self.by_age.len() > LOSSES_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets what is older than [`WINDOW`]. What seems to come from the future, because a clock
    /// was set back, goes on counting from now.
    pub fn expire(&mut self, now: Timestamp) {
        while self
            .by_age
            .first()
            .is_some_and(|(at, ..)| at.plus(WINDOW) <= now)
        {
            self.forget_oldest();
        }
        while let Some((at, what, object)) = self.by_age.last().copied().filter(|last| last.0 > now)
        {
            self.by_age.remove(&(at, what, object));
            self.by_age.insert((now, what, object));
            if let Some(taken) = self.taken.get_mut(&what).and_then(|of| of.get_mut(&object)) {
                taken.at = now;
            }
        }
    }

    /// Everything that is remembered, the oldest first.
    pub fn losses(&self) -> impl Iterator<Item = Loss> {
        self.by_age.iter().filter_map(|(at, what, object)| {
            let taken = self.taken.get(what)?.get(object)?;
            Some(Loss {
                what: *what,
                object: *object,
                known: taken.known,
                limit: taken.limit,
                at: *at,
            })
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    pub(super) fn beside(&self, what: What, planned: &[Guid], limit: Limit) -> Earlier {
        let Some(of) = self.taken.get(&what) else {
            return Earlier::default();
        };
        let planned: BTreeSet<&Guid> = planned.iter().collect();
        let mut earlier = Earlier::default();
        for (guid, taken) in of {
            if taken.limit == limit {
                earlier.known = earlier.known.max(taken.known);
                earlier.number += usize::from(!planned.contains(guid));
            }
        }
        earlier
    }

    fn forget_oldest(&mut self) {
        let Some((_, what, object)) = self.by_age.pop_first() else {
            return;
        };
        if let Some(of) = self.taken.get_mut(&what) {
            of.remove(&object);
            if of.is_empty() {
                self.taken.remove(&what);
            }
        }
    }
}

/// What a person approved of in a session: it passes for the rest of it, also when a part of it
/// has to be planned again, and does not count against the limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approved(BTreeSet<(What, Guid)>);

impl Approved {
    /// All of these are approved of.
    pub fn add(&mut self, removals: &Removals) {
        for (what, side) in &removals.sides {
            self.0
                .extend(side.objects.iter().map(|guid| (*what, *guid)));
        }
    }

    /// Those of `removals` that nobody approved of.
    #[must_use]
    pub fn rest(&self, removals: Removals) -> Removals {
        removals.without(|what, guid| self.0.contains(&(what, guid)))
    }
}
