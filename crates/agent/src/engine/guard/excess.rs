//! Why a plan does not pass: what it takes away too much of, for a person.
//!
//! Invariant: the headline names no user; groups are named because they are the subject.

use std::fmt;

use super::{Removals, What};
use crate::engine::Guid;

/// How many objects of each kind are named in a message.
const EXAMPLES_MAX: usize = 3;
/// How many groups that lose too many members are named in a message.
const GROUPS_NAMED_MAX: usize = 3;

/// A plan that removes too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.headline())]
pub struct TooManyRemovals {
    pub(super) excesses: Vec<Excess>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) what: What,
    /// The group that loses members.
    pub(super) group: String,
    /// With the earlier ones.
    pub(super) planned: usize,
    /// Of these, what left earlier.
    pub(super) earlier: usize,
    pub(super) known: usize,
    pub(super) limit: usize,
    pub(super) examples: Vec<String>,
}

impl Excess {
    pub(super) fn name(&mut self, removals: &Removals, name: impl Fn(Guid) -> String) {
        if let What::Members(group) = self.what {
            self.group = name(group);
        }
        let objects = removals.objects(self.what).iter().take(EXAMPLES_MAX);
        self.examples = objects.map(|guid| name(*guid)).collect();
    }
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
        match self.earlier {
            0 => write!(f, " (limit {limit})"),
            earlier => write!(
                f,
                " (limit {limit}; {earlier} of them in the last 24 hours)"
            ),
        }
    }
}
