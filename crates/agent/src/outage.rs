//! A directory that is away in the middle of a session.
//!
//! Invariant: a controller has the time of a restart before its session is given up; heartbeats go
//! on meanwhile, so the session stays this agent's. Deliberately absent: a directory that is away
//! when a session begins, which fails the session at once and says so.

use std::time::Duration;

use rollcall_kit::backoff::Backoff;
use rollcall_kit::entropy::Entropy;
use tokio::time::Instant;

/// How long the directory may be away inside a session: longer than a controller takes to restart
/// its directory service.
const OUTAGE_MAX: Duration = Duration::from_secs(2 * 60);
/// A last look comes at the end of it, so a wait is never longer than what is left.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// One outage, from the first refused attempt.
#[derive(Debug, Default)]
pub struct Outage {
    since: Option<Instant>,
    backoff: Backoff,
}

impl Outage {
    /// How long to wait before the next attempt; `None` when it has lasted too long.
    pub fn next_wait(&mut self, entropy: &dyn Entropy) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = OUTAGE_MAX.saturating_sub(since.elapsed());
        if left.is_zero() {
            return None;
        }
        Some(self.backoff.next_wait(entropy).max(WAIT_MIN).min(left))
    }
}

#[cfg(test)]
mod tests {
    use rollcall_kit::entropy::SeededEntropy;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_restart_of_the_directory_fits_into_an_outage() {
        let entropy = SeededEntropy::new(4);
        let mut outage = Outage::default();
        let started = Instant::now();
        let mut attempts = 0;
        while let Some(wait) = outage.next_wait(&entropy) {
            tokio::time::sleep(wait).await;
            attempts += 1;
        }
        assert!(started.elapsed() >= OUTAGE_MAX);
        assert!(started.elapsed() < OUTAGE_MAX + Duration::from_secs(1));
        assert!((5..100).contains(&attempts), "{attempts}");
    }
}
