//! Places for streams of password changes.
//!
//! Invariant: a hub serves a bounded number of streams, and no pool takes the places of all others; a
//! place is given back when its stream ends, however it ends. Deliberately absent: which stream of a
//! pool is the active one, which all hubs of a database share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_domain::id::UserpoolId;

use crate::limits::{PASSWORD_CHANGE_STREAMS_MAX, PASSWORD_CHANGE_STREAMS_PER_POOL_MAX};

/// Counts the streams of each pool; one without streams takes no memory.
#[derive(Debug, Default)]
pub struct StreamPlaces(Mutex<HashMap<UserpoolId, usize>>);

/// The right to one stream, until it is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    all: Arc<StreamPlaces>,
    pool: UserpoolId,
}

impl StreamPlaces {
    /// A place for a stream of `pool`; `None` when that, or the hub, has all it may have.
    #[must_use]
    pub fn take(self: &Arc<Self>, pool: &UserpoolId) -> Option<StreamPlace> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_pool = counts.get(pool).copied().unwrap_or(0);
        let of_all: usize = counts.values().sum();
        if of_pool >= PASSWORD_CHANGE_STREAMS_PER_POOL_MAX || of_all >= PASSWORD_CHANGE_STREAMS_MAX
        {
            return None;
        }
        counts.insert(pool.clone(), of_pool + 1);
        Some(StreamPlace {
            all: Arc::clone(self),
            pool: pool.clone(),
        })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.pool) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.pool);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_pool_and_for_all_and_given_back() {
        let places = Arc::new(StreamPlaces::default());
        let pool = |number: usize| UserpoolId::from(format!("ek{number}").as_str());
        let mut taken = Vec::new();
        for number in 0..PASSWORD_CHANGE_STREAMS_MAX {
            let of = pool(number / PASSWORD_CHANGE_STREAMS_PER_POOL_MAX);
            taken.push(places.take(&of).unwrap());
            let is_full = (number + 1).is_multiple_of(PASSWORD_CHANGE_STREAMS_PER_POOL_MAX);
            assert!(!is_full || places.take(&of).is_none());
        }
        assert!(places.take(&pool(9_999)).is_none());
        taken.pop();
        let again = places.take(&pool(9_999));
        assert!(again.is_some());
        drop((taken, again));
        assert!(places.0.lock().unwrap().is_empty());
    }
}
