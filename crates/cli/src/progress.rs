//! What a person sees while something takes longer than two seconds.
//!
//! Invariant: it goes to standard error, so that results stay clean. On a terminal it is one line
//! that is written over and taken away at the end; elsewhere a line now and then.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

/// What takes no longer needs no words.
const QUIET: Duration = Duration::from_secs(2);
/// Time between two lines where a line cannot be written over.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Something that may take a while.
pub struct Progress {
    what: String,
    began: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// `what` begins now.
    pub fn begin(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            began: Instant::now(),
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// How long it has taken.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Shows how far it is, such as "1500 so far", if it is time to.
    pub fn tick(&mut self, state: &str) {
        if !self.is_due() {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(&self.what, state, self.elapsed());
        if self.is_terminal {
            eprint!("\r{line}\x1b[K");
            let _ = io::stderr().flush();
        } else {
            eprintln!("rollcall: {line}");
        }
    }

    fn is_due(&self) -> bool {
        let interval = if self.is_terminal {
            Duration::ZERO
        } else {
            LINE_INTERVAL
        };
        match self.shown {
            None => self.elapsed() >= QUIET,
            Some(shown) => shown.elapsed() >= interval,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

fn line(what: &str, state: &str, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 120 {
        format!("{what}: {state}, {seconds} s")
    } else {
        format!("{what}: {state}, {} min", seconds / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_two_seconds_are_quiet_and_lines_are_rare() {
        let mut progress = Progress::begin("listing");
        progress.is_terminal = false;
        progress.tick("500 so far");
        assert!(progress.shown.is_none());
        tokio::time::advance(QUIET).await;
        progress.tick("1000 so far");
        let first = progress.shown;
        assert!(first.is_some());
        tokio::time::advance(Duration::from_secs(5)).await;
        progress.tick("1500 so far");
        assert_eq!(progress.shown, first);
        tokio::time::advance(LINE_INTERVAL).await;
        progress.tick("2000 so far");
        assert_ne!(progress.shown, first);
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        let told = |seconds| line("operation ops1", "running", Duration::from_secs(seconds));
        assert_eq!(told(7), "operation ops1: running, 7 s");
        assert_eq!(told(7_300), "operation ops1: running, 121 min");
    }
}
