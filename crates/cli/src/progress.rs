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
        let interval = if self.is_terminal {
            Duration::ZERO
        } else {
            LINE_INTERVAL
        };
        let since_shown = self.shown.map(|shown| shown.elapsed());
        if !is_due(self.elapsed(), since_shown, interval) {
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
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}

/// Whether it is time to say something, `elapsed` after the beginning and `since_shown` after the
/// last time.
fn is_due(elapsed: Duration, since_shown: Option<Duration>, interval: Duration) -> bool {
    match since_shown {
        None => elapsed >= QUIET,
        Some(since_shown) => since_shown >= interval,
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

    #[test]
    fn the_first_two_seconds_are_quiet_and_lines_are_rare() {
        let second = Duration::from_secs(1);
        assert!(!is_due(second, None, LINE_INTERVAL));
        assert!(is_due(QUIET, None, LINE_INTERVAL));
        assert!(!is_due(QUIET + second, Some(second), LINE_INTERVAL));
        assert!(is_due(QUIET * 20, Some(LINE_INTERVAL), LINE_INTERVAL));
        assert!(is_due(QUIET + second, Some(second), Duration::ZERO));
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        let told = |seconds| line("operation ops1", "running", Duration::from_secs(seconds));
        assert_eq!(told(7), "operation ops1: running, 7 s");
        assert_eq!(told(7_300), "operation ops1: running, 121 min");
    }
}
