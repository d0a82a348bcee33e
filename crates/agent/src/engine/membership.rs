//! Members of groups from what came and went.
//!
//! Invariant: differences are applied to sets, so that one that is repeated, or older than what is
//! known, does no harm as long as the newest one comes last. A group whose members are not known
//! stays so: a difference alone is no list. Deliberately absent: members in the hub.

use std::collections::BTreeSet;

use super::Guid;
use super::index::Index;
use super::record::{Kind, Presence};

/// Members that came to a group and left it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    added: BTreeSet<Guid>,
    removed: BTreeSet<Guid>,
}

impl Difference {
    /// Adds what came and went later.
    pub fn then(
        &mut self,
        added: impl IntoIterator<Item = Guid>,
        removed: impl IntoIterator<Item = Guid>,
    ) {
        for member in removed {
            self.added.remove(&member);
            self.removed.insert(member);
        }
        for member in added {
            self.removed.remove(&member);
            self.added.insert(member);
        }
    }

    /// Adds a later difference to this one.
    pub fn follow(&mut self, later: Self) {
        self.then(later.added, later.removed);
    }

    /// The members that came.
    pub fn added(&self) -> impl Iterator<Item = Guid> + '_ {
        self.added.iter().copied()
    }

    /// The members of a group that had these before.
    pub fn apply(&self, before: &[Guid]) -> Vec<Guid> {
        let stayed = before
            .iter()
            .filter(|member| !self.removed.contains(member) && !self.added.contains(member));
        stayed.copied().chain(self.added()).collect()
    }
}

/// The members of a group that was read before and not seen deleted since; `None` when they are
/// not known.
#[must_use]
pub fn known(index: &Index, group: Guid) -> Option<&[Guid]> {
    let record = index.get(group)?;
    let shown = record.kind() == Kind::Group && record.presence == Presence::Seen;
    shown.then(|| record.members())
}

/// Those of `guids` that were seen deleted: when the directory shows one of them again, it was
/// brought back.
#[must_use]
pub fn deleted(index: &Index, guids: impl IntoIterator<Item = Guid>) -> BTreeSet<Guid> {
    let deleted = |guid: &Guid| {
        let record = index.get(*guid);
        record.is_some_and(|record| record.presence == Presence::Deleted)
    };
    guids.into_iter().filter(deleted).collect()
}

/// The groups that name one of these as a member.
#[must_use]
pub fn naming(index: &Index, members: &BTreeSet<Guid>) -> Vec<Guid> {
    if members.is_empty() {
        return Vec::new();
    }
    let groups = index.iter().map(|(guid, _)| guid);
    groups
        .filter(|group| {
            let listed = known(index, *group).unwrap_or_default();
            listed.iter().any(|member| members.contains(member))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guids(numbers: &[u128]) -> Vec<Guid> {
        numbers.iter().map(|n| Guid::from_number(*n)).collect()
    }

    fn sorted(mut guids: Vec<Guid>) -> Vec<Guid> {
        guids.sort_unstable();
        guids
    }

    #[test]
    fn the_last_word_on_a_member_counts_and_repetitions_do_not() {
        let mut difference = Difference::default();
        difference.then(guids(&[1, 2]), guids(&[3]));
        difference.then(guids(&[3]), guids(&[1]));
        difference.then(guids(&[3]), guids(&[1, 9]));
        let after = difference.apply(&guids(&[1, 3, 5]));
        assert_eq!(sorted(after.clone()), guids(&[2, 3, 5]));
        assert_eq!(sorted(difference.apply(&after)), guids(&[2, 3, 5]));
        assert_eq!(sorted(difference.apply(&[])), guids(&[2, 3]));
    }
}
