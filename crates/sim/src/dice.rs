//! Choices made from one stream of random numbers.
//!
//! Invariant: the same seed gives the same choices in the same order.

use rollcall_kit::entropy::{Entropy, SeededEntropy};

/// A source of choices.
#[derive(Debug)]
pub struct Dice(SeededEntropy);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub fn below(&self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.next_u64() % limit).unwrap_or(0)
    }

    /// True in `permille` of 1,000 cases.
    pub fn chance(&self, permille: usize) -> bool {
        self.below(1_000) < permille
    }

    /// One of `items`; `None` when there are none.
    pub fn pick<T: Clone>(&self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).cloned()
    }

    /// `first` or one of `others`.
    pub fn one_of<T: Clone>(&self, first: T, others: &[T]) -> T {
        let at = self.below(others.len() + 1);
        others.get(at.wrapping_sub(1)).cloned().unwrap_or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_repeat_and_reach_everything() {
        let roll = |seed| -> Vec<u8> {
            let dice = Dice::new(seed);
            (0..100).map(|_| dice.one_of(1, &[2, 3])).collect()
        };
        assert_eq!(roll(5), roll(5));
        assert_ne!(roll(5), roll(6));
        assert!([1, 2, 3].iter().all(|item| roll(5).contains(item)));
        assert_eq!(Dice::new(1).pick::<u8>(&[]), None);
    }
}
