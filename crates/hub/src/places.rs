//! Places that are counted by who takes them: connections by address, streams by pool.
//!
//! Invariant: a place is given back when it is dropped, however its holder ends; who has none takes no
//! memory. Deliberately absent: waiting for a place.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How many places are taken, by whom.
#[derive(Debug)]
pub struct Places<K> {
    of_each_max: usize,
    of_all_max: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    of_each: HashMap<K, usize>,
    of_all: usize,
}

/// The right to one place, until it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    all: Arc<Places<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// At most `of_each_max` places for the same key, and `of_all_max` for all keys together.
    #[must_use]
    pub fn new(of_each_max: usize, of_all_max: usize) -> Self {
        let taken = Taken {
            of_each: HashMap::new(),
            of_all: 0,
        };
        Self {
            of_each_max,
            of_all_max,
            taken: Mutex::new(taken),
        }
    }

    /// A place for `key`; `None` when that, or all together, have what they may have.
    #[must_use]
    pub fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = taken.of_each.get(&key).copied().unwrap_or(0);
        if of_key >= self.of_each_max || taken.of_all >= self.of_all_max {
            return None;
        }
        taken.of_each.insert(key.clone(), of_key + 1);
        taken.of_all += 1;
        Some(Place {
            all: Arc::clone(self),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self
            .all
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.of_all = taken.of_all.saturating_sub(1);
        if let Some(count) = taken.of_each.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.of_each.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_each_and_for_all_and_given_back() {
        let places = Arc::new(Places::new(2, 3));
        let first = places.take("one");
        let second = places.take("one");
        assert!(first.is_some() && second.is_some());
        assert!(places.take("one").is_none());
        let other = places.take("other");
        assert!(other.is_some());
        assert!(places.take("third").is_none());
        drop(first);
        let third = places.take("third");
        assert!(third.is_some());
        assert!(places.take("one").is_none());
        drop((second, other, third));
        let taken = places.taken.lock().unwrap();
        assert!(taken.of_each.is_empty() && taken.of_all == 0);
    }
}
