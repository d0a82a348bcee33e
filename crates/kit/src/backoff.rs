//! Waiting times between attempts: exponential with full jitter (decision U120).

use std::time::Duration;

use crate::entropy::Entropy;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The waiting times of one retried call.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// A fresh start: the first wait is at most half a second.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many waits were handed out.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next wait: random between zero and the bound, which doubles up to 30 s.
    pub fn next_wait(&mut self, entropy: &dyn Entropy) -> Duration {
        let bound = FIRST
            .saturating_mul(1 << self.attempts.min(10))
            .min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let bound_micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(entropy.next_u64() % bound_micros.saturating_add(1))
    }

    /// Forgets the past: the next wait is short again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn waits_grow_to_the_longest_and_no_further() {
        let entropy = SeededEntropy::new(3);
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait(&entropy)).collect();
        assert!(waits[0] <= FIRST);
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(20)));
        backoff.reset();
        assert!(backoff.next_wait(&entropy) <= FIRST);
    }
}
