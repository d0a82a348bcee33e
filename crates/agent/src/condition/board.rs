//! The status of the running program, shared by everything that changes or shows it.
//!
//! Invariant: the file is written only by the process that owns the working directory, so a second
//! program that is refused there does not overwrite what the first one says.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_kit::timestamp::{Span, Timestamp};

use super::{Condition, Phase, StreamCondition, WritebackCondition};
use crate::drift::DriftReport;
use crate::failure::Failure;
use crate::summary::{Outcome, RunSummary};

/// Time between two writes of the file while nothing happens.
const QUIET_SAVE_PERIOD: Span = Span::seconds(10);

/// Shared by all clones.
#[derive(Debug, Clone)]
pub struct Board {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    condition: Condition,
    /// Where to write it, once the directory is ours.
    directory: Option<PathBuf>,
    saved_at: Timestamp,
    /// When the last comparison was tried, or when the first one was asked for.
    compared_at: Option<Timestamp>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                condition: Condition::default(),
                directory: None,
                saved_at: Timestamp::EPOCH,
                compared_at: None,
            })),
        }
    }
}

impl Board {
    /// The working directory is ours from now on; what an earlier process left there counts on.
    pub fn own(&self, directory: &Path, agent_id: &str, host: &str) {
        let mut state = self.lock();
        let mut condition = Condition::load(directory).unwrap_or_default();
        for stream in condition.streams.values_mut() {
            if stream.phase != Phase::Failing {
                stream.phase = Phase::Starting;
                stream.reason = None;
            }
            stream.runs_completed = 0;
            stream.runs_failed = 0;
            stream.done = super::Done::default();
        }
        if let Some(writeback) = &mut condition.password_writeback {
            writeback.begin();
        }
        condition.certificates.clear();
        agent_id.clone_into(&mut condition.agent_id);
        host.clone_into(&mut condition.host);
        env!("CARGO_PKG_VERSION").clone_into(&mut condition.version);
        state.condition = condition;
        state.directory = Some(directory.to_owned());
    }

    /// A copy of everything.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.lock().condition.clone()
    }

    /// A session was opened.
    pub fn began(&self, stream: &str, session_id: &str, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.phase = Phase::Working;
            condition.reason = None;
            condition.session_id = Some(session_id.to_owned());
            condition.run = None;
        });
    }

    /// Everything that was read has been written.
    pub fn caught_up(&self, stream: &str, run: &RunSummary, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.last_success_at = Some(now.to_string());
            condition.failed_items_count = run.failed_items_count;
            condition.failures_in_a_row = 0;
            condition.run = Some(run.without_items());
        });
    }

    /// Nothing had to be written.
    pub fn quiet(&self, stream: &str, now: Timestamp) {
        let mut state = self.lock();
        let condition = state
            .condition
            .streams
            .entry(stream.to_owned())
            .or_default();
        condition.last_success_at = Some(now.to_string());
        if now.since(state.saved_at) >= QUIET_SAVE_PERIOD {
            state.save(now);
        }
    }

    /// How many users no password hash has come for.
    pub fn without_hash(&self, stream: &str, number: usize, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.users_without_hash = Some(number);
        });
    }

    /// A session ended.
    pub fn ended(&self, stream: &str, run: &RunSummary, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.phase = match run.outcome {
                Outcome::Failed => Phase::Failing,
                _ => Phase::Ended,
            };
            condition.reason = run.reason.clone();
            condition.last_outcome = Some(run.outcome);
            condition.failed_items_count = run.failed_items_count;
            condition.run = Some(run.without_items());
            condition.done.add(run);
            match run.outcome {
                Outcome::Completed => {
                    condition.last_success_at = Some(now.to_string());
                    condition.failures_in_a_row = 0;
                    condition.runs_completed += 1;
                }
                Outcome::Failed => condition.count_failure(),
                Outcome::TooEarly | Outcome::AnotherAgent | Outcome::Stopped => {}
            }
        });
    }

    /// It did not come as far as a session.
    pub fn failed(&self, stream: &str, failure: &Failure, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.phase = Phase::Failing;
            condition.reason = Some(failure.to_string());
            condition.last_outcome = Some(Outcome::Failed);
            condition.count_failure();
        });
    }

    /// It is not its time. After a failure nobody follows the directory meanwhile, so it goes on
    /// failing, for the reason it had.
    pub fn waits(&self, stream: &str, reason: &str, now: Timestamp) {
        self.change(stream, now, |condition| {
            if condition.phase == Phase::Failing {
                return;
            }
            condition.phase = Phase::Waiting;
            condition.reason = Some(reason.to_owned());
        });
    }

    /// Another agent works: the directory is followed.
    pub fn stands_by(&self, stream: &str, reason: &str, now: Timestamp) {
        self.change(stream, now, |condition| {
            condition.phase = Phase::Waiting;
            condition.reason = Some(reason.to_owned());
        });
    }

    /// Whether `period` has passed since the last comparison, also one of an earlier process, or
    /// since this was first asked; if so, one begins. A period of zero never passes.
    #[must_use]
    pub fn begin_comparison(&self, period: Duration, now: Timestamp) -> bool {
        if period.is_zero() {
            return false;
        }
        let mut state = self.lock();
        let stored = state.condition.drift.as_ref();
        let stored = stored.and_then(|drift| Timestamp::parse_rfc3339(&drift.checked_at));
        let last = *state.compared_at.get_or_insert(stored.unwrap_or(now));
        let is_due = now.since(last) >= Span::from_duration(period);
        if is_due {
            state.compared_at = Some(now);
        }
        is_due
    }

    /// A side showed its certificate.
    pub fn certificate(&self, whose: &str, expires_at: Timestamp, now: Timestamp) {
        let mut state = self.lock();
        let certificates = &mut state.condition.certificates;
        let before = certificates.insert(whose.to_owned(), expires_at.to_string());
        if before.is_none_or(|before| before != expires_at.to_string()) {
            state.save(now);
        }
    }

    /// Something of password writeback changed.
    pub fn writeback(&self, now: Timestamp, change: impl FnOnce(&mut WritebackCondition)) {
        let mut state = self.lock();
        change(state.condition.password_writeback.get_or_insert_default());
        state.save(now);
    }

    /// There is none here.
    pub fn no_writeback(&self) {
        self.lock().condition.password_writeback = None;
    }

    /// Both sides were compared.
    pub fn compared(&self, report: DriftReport, now: Timestamp) {
        let mut state = self.lock();
        state.condition.drift = Some(report);
        state.save(now);
    }

    fn change(&self, stream: &str, now: Timestamp, change: impl FnOnce(&mut StreamCondition)) {
        let mut state = self.lock();
        change(
            state
                .condition
                .streams
                .entry(stream.to_owned())
                .or_default(),
        );
        state.save(now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamCondition {
    fn count_failure(&mut self) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.runs_failed += 1;
    }
}

impl State {
    /// The status is for people: a disk that is full does not stop the work.
    fn save(&mut self, now: Timestamp) {
        self.saved_at = now;
        self.condition.updated_at = now.to_string();
        let Some(directory) = &self.directory else {
            return;
        };
        if let Err(error) = self.condition.save(directory) {
            tracing::warn!(%error, "the status file cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn run(outcome: Outcome, reason: Option<&str>) -> RunSummary {
        let mut run = RunSummary::new(outcome);
        run.reason = reason.map(str::to_owned);
        run.users.created = 2;
        run
    }

    #[test]
    fn a_failure_is_no_success_and_keeps_the_time_of_the_last_one() {
        let board = Board::default();
        let later = NOW.plus(Span::seconds(60));
        board.began("objects", "s1", NOW);
        board.ended("objects", &run(Outcome::Completed, None), NOW);
        board.ended("objects", &run(Outcome::Failed, Some("no DC")), later);
        board.failed("objects", &Failure::Run("no hub".into()), later);
        let condition = board.condition();
        let stream = &condition.streams["objects"];
        assert_eq!(stream.phase, Phase::Failing);
        assert_eq!(stream.reason.as_deref(), Some("no hub"));
        assert_eq!(stream.last_outcome, Some(Outcome::Failed));
        assert_eq!(stream.last_success_at, Some(NOW.to_string()));
        assert_eq!((stream.failures_in_a_row, stream.runs_failed), (2, 2));
        assert_eq!(stream.done.users.created, 4);
        assert!(
            condition.text(NOW).contains("FAILING: no hub"),
            "{}",
            condition.text(NOW)
        );
    }

    #[test]
    fn a_restart_goes_on_from_the_file_and_a_stranger_does_not_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let board = Board::default();
        board.failed("objects", &Failure::Run("in use".into()), NOW);
        assert!(Condition::load(directory.path()).is_err());
        board.own(directory.path(), "a", "h");
        board.ended("objects", &run(Outcome::Completed, None), NOW);
        let next = Board::default();
        next.own(directory.path(), "a", "h");
        let condition = next.condition();
        assert_eq!(
            condition.streams["objects"].last_success_at,
            Some(NOW.to_string())
        );
        assert_eq!(condition.streams["objects"].runs_completed, 0);
        assert_eq!(condition.streams["objects"].phase, Phase::Starting);
    }

    #[test]
    fn waiting_after_a_failure_is_failing_unless_another_agent_works() {
        let directory = tempfile::tempdir().unwrap();
        let board = Board::default();
        board.own(directory.path(), "a", "h");
        let shown = |board: &Board| {
            let stream = board.condition().streams["objects"].clone();
            (stream.phase, stream.reason.unwrap())
        };
        board.waits("objects", "not due", NOW);
        assert_eq!(shown(&board), (Phase::Waiting, "not due".into()));
        board.began("objects", "s1", NOW);
        board.ended("objects", &run(Outcome::Failed, Some("no DC")), NOW);
        board.waits("objects", "not due", NOW);
        assert_eq!(shown(&board), (Phase::Failing, "no DC".into()));
        // So it is after a restart.
        let next = Board::default();
        next.own(directory.path(), "a", "h");
        next.waits("objects", "not due", NOW);
        assert_eq!(shown(&next), (Phase::Failing, "no DC".into()));
        // What another agent follows is followed, also when it is done and nothing is due.
        next.stands_by("objects", "agent b works", NOW);
        assert_eq!(shown(&next), (Phase::Waiting, "agent b works".into()));
        next.waits("objects", "not due", NOW);
        assert_eq!(shown(&next), (Phase::Waiting, "not due".into()));
        next.began("objects", "s2", NOW);
        next.ended("objects", &run(Outcome::Completed, None), NOW);
        next.waits("objects", "not due", NOW);
        assert_eq!(shown(&next), (Phase::Waiting, "not due".into()));
    }

    #[test]
    fn comparisons_have_their_period() {
        let board = Board::default();
        let hour = Duration::from_secs(3_600);
        let at = |minutes| NOW.plus(Span::minutes(minutes));
        assert!(!board.begin_comparison(Duration::ZERO, at(600)));
        assert!(!board.begin_comparison(hour, at(0)), "not at the start");
        assert!(!board.begin_comparison(hour, at(59)));
        assert!(board.begin_comparison(hour, at(60)));
        assert!(!board.begin_comparison(hour, at(61)), "also when it failed");
        assert!(board.begin_comparison(hour, at(120)));
    }

    #[test]
    fn the_present_run_counts_once() {
        let board = Board::default();
        board.began("objects", "s1", NOW);
        let mut present = run(Outcome::Completed, None);
        board.caught_up("objects", &present, NOW);
        let done = |board: &Board| board.condition().streams["objects"].done_so_far();
        assert_eq!(done(&board).users.created, 2);
        present.users.created = 3;
        board.ended("objects", &present, NOW);
        assert_eq!(done(&board).users.created, 3);
    }

    #[test]
    fn hashes_that_stopped_show_as_stale_after_two_minutes() {
        let board = Board::default();
        let name = "password_hashes";
        board.began(name, "sys1", NOW);
        let stale = |seconds: i64| {
            let text = board.condition().text(NOW.plus(Span::seconds(seconds)));
            text.contains("STALE")
        };
        assert!(stale(0), "none has come yet");
        board.caught_up(name, &RunSummary::new(Outcome::Completed), NOW);
        board.without_hash(name, 3, NOW);
        assert_eq!([119, 120].map(stale), [false, true]);
        let text = board.condition().text(NOW);
        assert!(text.contains("3 users without a password hash"), "{text}");
        board.failed(name, &Failure::Run("no right".into()), NOW);
        assert!(stale(120));
        // Another agent works.
        board.stands_by(name, "agent b works", NOW);
        assert!(!stale(120));
    }
}
