//! The looks at the directory within one session: after the first batch one in each period, until the
//! session has lasted as long as it may (decision U131).
//!
//! Invariant: between two looks nothing is half done, and looking for changes leaves nothing half done
//! either, so a stop may cut there; whoever begins to write says so. Deliberately absent: what a look
//! does.

use std::time::Duration;

use tokio::time::Instant;

/// The looks of one session.
#[derive(Debug)]
pub struct Looks {
    began: Instant,
    length: Duration,
    period: Duration,
    is_at_rest: bool,
}

impl Looks {
    /// Those of a session that begins now with a batch.
    #[must_use]
    pub fn of_session(length: Duration, period: Duration) -> Self {
        Self {
            began: Instant::now(),
            length,
            period,
            is_at_rest: false,
        }
    }

    /// Waits for the next look; `false` when the session has lasted long enough.
    pub async fn next(&mut self) -> bool {
        self.rest();
        let left = self.length.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.period.min(left)).await;
        true
    }

    /// Something is about to be written.
    pub fn work(&mut self) {
        self.is_at_rest = false;
    }

    /// Nothing is half done.
    pub fn rest(&mut self) {
        self.is_at_rest = true;
    }

    /// Whether a stop would leave nothing half done.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.is_at_rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_look_comes_at_the_end_of_the_session() {
        let (length, period) = (Duration::from_millis(20), Duration::from_secs(3_600));
        let mut looks = Looks::of_session(length, period);
        assert!(!looks.is_at_rest(), "the first batch");
        assert!(looks.next().await);
        assert!(looks.is_at_rest(), "looking");
        looks.work();
        assert!(!looks.is_at_rest(), "writing");
        assert!(!looks.next().await);
        assert!(looks.is_at_rest(), "over");
    }
}
