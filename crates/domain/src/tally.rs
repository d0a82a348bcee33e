//! What calls under a session changed: a number for each kind of object and of change.
//!
//! Invariant: only what really became different counts, and numbers of calls add up, unlike the
//! cells of [`crate::progress::Progress`], which are merged by maximum. What goes with something
//! else, such as the memberships of a deleted group, is no change of its own. An `Update` always
//! counts: it writes the object anew. Deliberately absent: what failed, which only the agent knows.

use std::collections::BTreeMap;

use rollcall_kit::timestamp::Timestamp;

use crate::membership::MembersUpdated;
use crate::progress::{ChangeType, ObjectType};
use crate::user::{User, UserStatus};

/// Numbers of changes that were made; cells without any are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    cells: BTreeMap<(ObjectType, ChangeType), i64>,
}

impl Tally {
    /// One change.
    #[must_use]
    pub fn one(object: ObjectType, change: ChangeType) -> Self {
        Self::of(object, change, 1)
    }

    /// `number` changes of one kind.
    #[must_use]
    pub fn of(object: ObjectType, change: ChangeType, number: u64) -> Self {
        let mut tally = Self::default();
        tally.add(object, change, i64::try_from(number).unwrap_or(i64::MAX));
        tally
    }

    /// One change if `made`, otherwise none.
    #[must_use]
    pub fn one_if(made: bool, object: ObjectType, change: ChangeType) -> Self {
        Self::of(object, change, u64::from(made))
    }

    /// The suspension or reactivation that made `after` of `before`: it counts when the user may
    /// sign in no longer, or again. One more cause of a suspension is not seen from outside.
    #[must_use]
    pub fn of_switch(before: &User, after: &User, now: Timestamp) -> Self {
        match (before.status(now), after.status(now)) {
            (UserStatus::Active, after) if after != UserStatus::Active => {
                Self::one(ObjectType::User, ChangeType::Deactivate)
            }
            (before, UserStatus::Active) if before != UserStatus::Active => {
                Self::one(ObjectType::User, ChangeType::Activate)
            }
            _ => Self::default(),
        }
    }

    /// Members who came and went.
    #[must_use]
    pub fn of_members(change: &MembersUpdated) -> Self {
        let came = change.added.len() as u64;
        let mut tally = Self::of(ObjectType::Membership, ChangeType::Create, came);
        let went = change.removed.len() as u64;
        tally.add_times(
            &Self::of(ObjectType::Membership, ChangeType::Delete, went),
            1,
        );
        tally
    }

    /// Adds what `times` calls like that one changed.
    pub fn add_times(&mut self, other: &Self, times: i64) {
        for (object, change, number) in other.cells() {
            self.add(object, change, number.saturating_mul(times));
        }
    }

    /// Adds `number` to one cell; what is not above zero adds nothing.
    pub fn add(&mut self, object: ObjectType, change: ChangeType, number: i64) {
        if number > 0 {
            let cell = self.cells.entry((object, change)).or_default();
            *cell = cell.saturating_add(number);
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Every cell, in the order of the enums.
    pub fn cells(&self) -> impl Iterator<Item = (ObjectType, ChangeType, i64)> + '_ {
        self.cells
            .iter()
            .map(|((object, change), number)| (*object, *change, *number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;
    use crate::user::sample::ann;
    use crate::user::{Actor, NewUser};
    use rollcall_kit::timestamp::Span;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    #[track_caller]
    fn check(tally: &Tally, expected: &[(ObjectType, ChangeType, i64)]) {
        assert_eq!(tally.cells().collect::<Vec<_>>(), expected);
        assert_eq!(tally.is_empty(), expected.is_empty());
    }

    #[test]
    fn numbers_add_up_and_nothing_leaves_no_cell() {
        use ChangeType::{Create, Delete};
        use ObjectType::{Membership, User};
        let mut tally = Tally::one_if(false, User, Create);
        check(&tally, &[]);
        let ids = |names: &[&str]| names.iter().map(|name| UserId::from(*name)).collect();
        let batch = Tally::of_members(&MembersUpdated {
            added: ids(&["u1", "u2"]),
            removed: ids(&["u3"]),
        });
        check(&batch, &[(Membership, Create, 2), (Membership, Delete, 1)]);
        check(&Tally::of_members(&MembersUpdated::default()), &[]);
        tally.add_times(&batch, 3);
        tally.add_times(&Tally::one_if(true, User, Create), 1);
        tally.add_times(&batch, 0);
        tally.add(User, Delete, -4);
        let expected = [
            (User, Create, 1),
            (Membership, Create, 6),
            (Membership, Delete, 3),
        ];
        check(&tally, &expected);
        tally.add(User, Create, i64::MAX);
        assert_eq!(tally.cells().next(), Some((User, Create, i64::MAX)));
    }

    #[test]
    fn a_switch_counts_when_it_is_seen_from_outside() {
        use ObjectType::User as Of;
        let user = |expires_at| {
            let new = NewUser {
                expires_at,
                ..NewUser::default()
            };
            ann(new, NOW)
        };
        let check = |before: &User, after: &User, change: Option<ChangeType>| {
            let expected: Vec<_> = change.map(|change| (Of, change, 1)).into_iter().collect();
            check(&Tally::of_switch(before, after, NOW), &expected);
        };
        let active = user(None);
        let by_agent = active.suspend(Actor::Agent, "", None, NOW).unwrap();
        let by_both = by_agent.suspend(Actor::Administrator, "", None, NOW);
        let by_both = by_both.unwrap();
        check(&active, &by_agent, Some(ChangeType::Deactivate));
        // A second cause, a repetition and a cause less of two.
        check(&by_agent, &by_both, None);
        let again = by_agent.suspend(Actor::Agent, "", None, NOW).unwrap();
        check(&by_agent, &again, None);
        let still = by_both.reactivate(Actor::Agent, NOW).unwrap();
        check(&by_both, &still, None);
        let freed = by_agent.reactivate(Actor::Agent, NOW).unwrap();
        check(&by_agent, &freed, Some(ChangeType::Activate));
        check(&freed, &freed.reactivate(Actor::Agent, NOW).unwrap(), None);
        // An account that has ended is suspended, swept or not.
        let ended = user(Some(NOW.minus(Span::seconds(1))));
        let marked = ended.suspend(Actor::Agent, "", None, NOW).unwrap();
        check(&ended, &marked, None);
    }
}
