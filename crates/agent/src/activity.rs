//! What the agent is doing now: a progress bar on a terminal, else a log line every two seconds.
//!
//! Invariant: showing never slows the work; the numbers are for people, the counters of the
//! session are the truth. Waiting for something to do is no line in the log, however long it lasts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

const LOG_PERIOD: Duration = Duration::from_secs(2);
const BAR_PERIOD: Duration = Duration::from_millis(100);
const BAR: &str = "{spinner} {msg} {wide_bar} {pos}/{len} {per_sec} {elapsed}";
const SPINNER: &str = "{spinner} {msg} {pos} {per_sec} {elapsed}";

/// Where activity is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A bar on the terminal.
    Bar,
    /// Lines in the log.
    Log,
}

/// The present activity. Clones share it.
#[derive(Debug, Clone)]
pub struct Activity {
    state: Arc<Mutex<State>>,
    bar: Option<ProgressBar>,
}

/// What is being done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// In a few words.
    pub what: String,
    /// How much of it is done.
    pub done: usize,
    /// Of how much; 0 when that is not known.
    pub total: usize,
    /// Nothing is done: what there is to do is waited for.
    pub at_rest: bool,
}

/// Shows an activity until it is dropped.
#[derive(Debug)]
pub struct Shown {
    task: AbortOnDropHandle<()>,
    bar: Option<ProgressBar>,
}

impl Activity {
    /// Nothing yet.
    #[must_use]
    pub fn new(show: Show, bars: &MultiProgress) -> Self {
        let bar = match show {
            Show::Bar => Some(bars.add(ProgressBar::no_length())),
            Show::Log => None,
        };
        Self {
            state: Arc::default(),
            bar,
        }
    }

    /// Begins something new; `total` 0 when the amount is not known.
    pub fn begin(&self, what: &str, total: usize) {
        let mut state = self.state();
        what.clone_into(&mut state.what);
        state.done = 0;
        state.total = total;
        state.at_rest = false;
        if let Some(bar) = &self.bar {
            let template = if total == 0 { SPINNER } else { BAR };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.reset();
            bar.set_length(total as u64);
            bar.set_message(state.what.clone());
        }
    }

    /// Waits for something to do.
    pub fn rest(&self, what: &str) {
        self.begin(what, 0);
        self.state().at_rest = true;
    }

    /// Did `number` more.
    pub fn advance(&self, number: usize) {
        self.state().done += number;
        if let Some(bar) = &self.bar {
            bar.inc(number as u64);
        }
    }

    /// What is being done now.
    #[must_use]
    pub fn now(&self) -> State {
        self.state().clone()
    }

    /// Starts to show it.
    #[must_use]
    pub fn show(&self) -> Shown {
        let activity = self.clone();
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(BAR_PERIOD);
        }
        let lines = async move {
            loop {
                tokio::time::sleep(LOG_PERIOD).await;
                if activity.bar.is_none() {
                    activity.log();
                }
            }
        };
        Shown {
            task: AbortOnDropHandle::new(tokio::spawn(lines)),
            bar: self.bar.clone(),
        }
    }

    fn log(&self) {
        let state = self.state();
        if state.at_rest {
            return;
        }
        if state.total > 0 {
            tracing::info!(done = state.done, of = state.total, "{}", state.what);
        } else {
            tracing::info!(done = state.done, "{}", state.what);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Lines of the log, as they come.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn work_is_told_and_waiting_is_not() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let activity = Activity::new(Show::Log, &MultiProgress::new());
        activity.begin("reading", 9);
        activity.advance(4);
        activity.log();
        assert!(lines.take().contains("reading done=4 of=9"));
        activity.rest("following");
        activity.log();
        assert_eq!(lines.take(), "");
        activity.begin("reading", 0);
        activity.log();
        assert!(lines.take().contains("reading done=0"));
    }
}
