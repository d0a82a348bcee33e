//! Which objects are synchronized (decisions U48, U49, U122).
//!
//! Invariant: the filter is bound to objectGUIDs, so renames and moves of its units and groups
//! change nothing. An object whose place cannot be followed up to the root is neither in nor
//! out: it is [`Verdict::Unknown`] and never removed. The same holds for a user outside the groups
//! of the filter while a member of theirs, which may be a group, cannot be read. isCriticalSystemObject is never in scope.

use std::collections::{BTreeSet, HashMap};

use super::Guid;
use super::index::{Index, Kind, Presence, Record};

/// Longest chain of parents that is followed; real trees are far flatter.
const DEPTH_MAX: usize = 512;

/// The filter: nothing listed means no restriction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Organizational units: users and groups must lie below one of them.
    pub units: BTreeSet<Guid>,
    /// Groups: users must be a direct or nested member of one of them.
    pub groups: BTreeSet<Guid>,
}

/// The place of an object relative to the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is synchronized.
    In,
    /// It was seen, and it is outside.
    Out,
    /// Its place cannot be told.
    Unknown,
}

/// A part of the filter that the directory no longer shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name} of the filter {why}; correct the filter or restore it")]
pub struct FilterGone {
    what: &'static str,
    name: String,
    why: &'static str,
}

/// The verdict on every object of one index.
#[derive(Debug)]
pub struct ScopeView {
    units: BTreeSet<Guid>,
    /// Of the objects that others lie in only: there are few of them.
    places: HashMap<Guid, Verdict>,
    chosen: Option<Nested>,
}

/// Members of groups, direct and nested.
#[derive(Debug, Default)]
pub struct Nested {
    /// Those that were found.
    pub reached: BTreeSet<Guid>,
    /// The groups whose members these are: those asked for and every one inside them.
    pub groups: BTreeSet<Guid>,
    /// Links from a group to a member that were followed, each once.
    pub links: usize,
    /// Whether a member could not be read. It may be a group, so there may be more members. Groups
    /// of other domains are known not to be followed and leave no gap.
    pub has_gaps: bool,
}

impl Scope {
    /// Judges every object of `index`.
    ///
    /// # Errors
    /// [`FilterGone`] when a unit or group of the filter is not in the index.
    pub fn view(&self, index: &Index) -> Result<ScopeView, FilterGone> {
        check(index, &self.units, "the organizational unit")?;
        check(index, &self.groups, "the group")?;
        let mut places = HashMap::new();
        for parent in index.iter().filter_map(|(_, record)| record.parent) {
            self.place(index, parent, &mut places);
        }
        Ok(ScopeView {
            units: self.units.clone(),
            places,
            chosen: (!self.groups.is_empty()).then(|| nested_members(index, &self.groups)),
        })
    }

    /// Finds the place of `guid` by its parents and notes it for all of them.
    fn place(&self, index: &Index, guid: Guid, places: &mut HashMap<Guid, Verdict>) {
        let mut chain = Vec::new();
        let mut at = guid;
        let verdict = loop {
            if let Some(known) = places.get(&at) {
                break *known;
            }
            let Some(record) = index.get(at) else {
                break Verdict::Unknown;
            };
            chain.push(at);
            if self.units.is_empty() || self.units.contains(&at) {
                break Verdict::In;
            }
            match record.parent {
                _ if chain.len() > DEPTH_MAX => break Verdict::Unknown,
                Some(parent) => at = parent,
                None if record.presence == Presence::Seen => break Verdict::Out,
                None => break Verdict::Unknown,
            }
        };
        for link in chain {
            places.insert(link, verdict);
        }
    }
}

impl ScopeView {
    /// The verdict on a user or a group.
    #[must_use]
    pub fn verdict(&self, index: &Index, guid: Guid) -> Verdict {
        let Some(record) = index.get(guid) else {
            return Verdict::Unknown;
        };
        if record.critical {
            return Verdict::Out;
        }
        let place = self.place(guid, record);
        match (record.kind(), place, &self.chosen) {
            (Kind::Container, ..) => Verdict::Out,
            (Kind::User, Verdict::In, Some(chosen)) if !chosen.reached.contains(&guid) => {
                if chosen.has_gaps {
                    Verdict::Unknown
                } else {
                    Verdict::Out
                }
            }
            _ => place,
        }
    }

    fn place(&self, guid: Guid, record: &Record) -> Verdict {
        if self.units.is_empty() || self.units.contains(&guid) {
            return Verdict::In;
        }
        match record.parent {
            Some(parent) => self
                .places
                .get(&parent)
                .copied()
                .unwrap_or(Verdict::Unknown),
            None if record.presence == Presence::Seen => Verdict::Out,
            None => Verdict::Unknown,
        }
    }
}

fn check(index: &Index, wanted: &BTreeSet<Guid>, what: &'static str) -> Result<(), FilterGone> {
    for guid in wanted {
        let (name, why) = match index.get(*guid) {
            None => (guid.to_string(), "is not visible in the directory"),
            Some(record) => match record.presence {
                Presence::Seen => continue,
                Presence::Deleted => (index.dn(*guid), "was deleted"),
                Presence::Missing => (index.dn(*guid), "is not visible in the directory"),
            },
        };
        return Err(FilterGone { what, name, why });
    }
    Ok(())
}

/// Everything that is a member of one of `groups`, directly or through groups in between.
/// Each group is visited once, so cycles end and the work is linear.
#[must_use]
pub fn nested_members(index: &Index, groups: &BTreeSet<Guid>) -> Nested {
    let mut nested = Nested {
        groups: groups.clone(),
        ..Nested::default()
    };
    let mut open: Vec<Guid> = groups.iter().copied().collect();
    while let Some(group) = open.pop() {
        let Some(record) = index.get(group) else {
            continue;
        };
        if record.presence != Presence::Seen {
            continue;
        }
        for member in record.members() {
            nested.links += 1;
            let Some(found) = index.get(*member) else {
                nested.has_gaps = true;
                continue;
            };
            nested.has_gaps |= found.presence == Presence::Missing;
            nested.reached.insert(*member);
            if found.kind() == Kind::Group && nested.groups.insert(*member) {
                open.push(*member);
            }
        }
    }
    nested
}
