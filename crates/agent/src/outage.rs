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
/// A wait without length would ask again and again at the beginning.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// One outage, from the first refused attempt.
#[derive(Debug, Default)]
pub struct Outage {
    since: Option<Instant>,
    backoff: Backoff,
}

impl Outage {
    /// How long to wait before the next attempt; `None` when it has lasted too long. The last
    /// attempt comes at the end of it.
    pub fn next_wait(&mut self, now: Instant, entropy: &dyn Entropy) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let left = OUTAGE_MAX.saturating_sub(now.saturating_duration_since(since));
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

    #[test]
    fn a_restart_of_the_directory_fits_into_an_outage() {
        let entropy = SeededEntropy::new(4);
        let mut outage = Outage::default();
        let began = Instant::now();
        let mut now = began;
        let mut attempts = 0;
        while let Some(wait) = outage.next_wait(now, &entropy) {
            now += wait;
            attempts += 1;
        }
        assert_eq!(now - began, OUTAGE_MAX);
        assert!((5..100).contains(&attempts), "{attempts}");
    }
}
