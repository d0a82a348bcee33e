//! Objects that wait for each other's names.
//!
//! Invariant: one that waits in a row for something outside of every circle is in none.
//! Deliberately absent: who waits for whom, and how one steps aside.

use std::collections::{BTreeMap, BTreeSet};

use super::Guid;

/// Objects of one kind whose names are looked up in one run.
pub const WAITING_MAX: usize = 500;

/// One member of each circle of those who wait for each other.
#[must_use]
pub fn one_of_each_circle(waits_for: &BTreeMap<Guid, Guid>) -> Vec<Guid> {
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for start in waits_for.keys() {
        let mut path = BTreeSet::new();
        let mut at = *start;
        while !done.contains(&at) {
            if !path.insert(at) {
                found.push(at);
                break;
            }
            match waits_for.get(&at) {
                Some(next) => at = *next,
                None => break,
            }
        }
        done.extend(path);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_once_and_rows_are_none() {
        let links = [(1, 2), (2, 3), (3, 1), (4, 1), (5, 6), (7, 8), (8, 7)];
        let guid = Guid::from_number;
        let waits_for = links.map(|(from, to)| (guid(from), guid(to)));
        let found = one_of_each_circle(&BTreeMap::from(waits_for));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!([1, 2, 3].map(guid).contains(found.first().unwrap()));
        assert!([7, 8].map(guid).contains(found.last().unwrap()));
    }
}
