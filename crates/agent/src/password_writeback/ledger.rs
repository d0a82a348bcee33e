//! Which changes of the stream are done with, and up to where that can be acknowledged.
//!
//! Invariant: an offset is acknowledged only when it and every one received before it are settled,
//! because an acknowledgement covers all smaller ones.

use std::collections::BTreeMap;

/// Offsets that were received and not acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: i64,
    /// By offset: whether it is settled.
    open: BTreeMap<i64, bool>,
}

impl Ledger {
    /// The last offset that may be acknowledged; 0 at the start, which asks for everything pending.
    #[must_use]
    pub fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// The hub does not know the offsets of before: it was restored.
    pub fn start_over(&mut self) {
        *self = Self::default();
    }

    /// A change was received.
    pub fn begin(&mut self, offset: i64) {
        if offset > self.acknowledged {
            self.open.entry(offset).or_insert(false);
        }
    }

    /// A change was committed or given up. What to acknowledge, if that has moved.
    pub fn settle(&mut self, offset: i64) -> Option<i64> {
        if let Some(settled) = self.open.get_mut(&offset) {
            *settled = true;
        }
        let before = self.acknowledged;
        while let Some(first) = self.open.first_entry()
            && *first.get()
        {
            self.acknowledged = *first.key();
            first.remove();
        }
        (self.acknowledged > before).then_some(self.acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_before_what_came_earlier() {
        let mut ledger = Ledger::default();
        for offset in [3, 5, 9] {
            ledger.begin(offset);
        }
        assert_eq!(ledger.settle(5), None);
        assert_eq!(ledger.settle(3), Some(5));
        // Delivered once more after a new subscription.
        ledger.begin(5);
        ledger.begin(9);
        assert_eq!(ledger.settle(5), None);
        assert_eq!(ledger.acknowledged(), 5);
        assert_eq!(ledger.settle(9), Some(9));
        ledger.start_over();
        assert_eq!(ledger.acknowledged(), 0);
        ledger.begin(1);
        assert_eq!(ledger.settle(1), Some(1));
        assert_eq!(ledger.settle(7), None, "never received");
    }
}
