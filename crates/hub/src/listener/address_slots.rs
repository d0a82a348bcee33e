//! How many connections each address has.
//!
//! Invariant: a slot is given back when its connection ends, however it ends; addresses without a
//! connection take no memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rate_limit::address_key;

/// Counts the connections of each address.
#[derive(Debug)]
pub(super) struct AddressSlots {
    /// 0 = any number.
    connections_max: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// The right to one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct AddressSlot {
    all: Arc<AddressSlots>,
    key: IpAddr,
}

impl AddressSlots {
    pub fn new(connections_max: u32) -> Self {
        Self {
            connections_max,
            counts: Mutex::new(HashMap::new()),
        }
    }

    /// A slot for `address`; `None` when it has all it may have.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<AddressSlot> {
        let key = address_key(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if self.connections_max > 0 && *count >= self.connections_max {
            return None;
        }
        *count += 1;
        Some(AddressSlot {
            all: Arc::clone(self),
            key,
        })
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut counts = self
            .all
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_per_address_and_given_back() {
        let slots = Arc::new(AddressSlots::new(2));
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = slots.take(one);
        let second = slots.take(one);
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(one).is_none());
        assert!(slots.take(other).is_some());
        drop(first);
        let third = slots.take(one);
        assert!(third.is_some());
        drop((second, third));
        assert!(slots.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let slots = Arc::new(AddressSlots::new(0));
        let taken: Vec<_> = (0..100)
            .map(|_| slots.take(IpAddr::from([127, 0, 0, 1])))
            .collect();
        assert!(taken.iter().all(Option::is_some));
    }
}
