//! Password writeback: passwords that people set at the hub are set in the directory first, and count
//! at the hub when the directory has taken them (decision record 28).
//!
//! Invariant: a change is acknowledged only when the hub was told what became of it, or will not be;
//! what was received and not settled comes again, here or to another agent. It needs no session and no
//! index, and may run in a process of its own. Asked to stop, it ends within `STOP_GRACE`, whatever the
//! directory or the hub does.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rollcall_client::{ClientError, ErrorKind};
use rollcall_kit::backoff::Backoff;
use rollcall_kit::timestamp::Span;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tonic::Code;

use crate::agent::Agent;
use crate::condition::{Phase, Told};
use crate::failure::Failure;
use crate::fault_count::Side;
use crate::hub::PasswordChanges;
use crate::settings::Settings;

pub mod change;
mod commit;
mod ledger;
pub mod note;
pub mod refusal;
mod switch;
mod writer;

use change::{Delivery, PasswordChange};
use commit::commit;
use ledger::Ledger;
use note::Notes;
use refusal::Refusal;
pub use switch::settings_of;
use switch::{Position, Switch};
use writer::Writer;

/// Changes that are being worked on at the same time.
const CHANGES_AT_ONCE: usize = 16;
/// What those may take to end when the agent is asked to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Wait after refused credentials, a missing right, or files that cannot be used: a person has to mend
/// them.
const UNUSABLE_WAIT: Duration = Duration::from_secs(60);
/// Wait after another process took this one's place: with the same agent id they would take turns.
const SUPERSEDED_WAIT: Duration = Duration::from_secs(60);
/// A stream that lasted so long was a good one: its end is no reason to wait.
const GOOD_STREAM: Duration = Duration::from_secs(10);
/// What was left behind by another agent comes so soon after the first change of a stream.
const LEFT_BEHIND: Duration = Duration::from_secs(2);
/// From here on it is told that the clocks of hub and agent differ.
const CLOCK_DIFFERENCE_SECONDS_MIN: i64 = 5;
/// A wait without length would ask again and again at the beginning.
const WAIT_MIN: Duration = Duration::from_millis(100);
const CONNECTED: &str =
    "connected; no change has come yet, so another agent may be the one that gets them";

/// Why a stream ended.
enum End {
    Stopped,
    SwitchedOff,
    Lost(Option<ClientError>),
}

/// How a change ended, and whether the hub knows.
struct Settled {
    result: Result<(), Refusal>,
    told: Told,
}

/// A change that is being worked on.
struct Running {
    offset: i64,
    operation_id: String,
    external_user_id: String,
}

/// The work that goes on while streams come and go.
struct Consumer {
    agent: Arc<Agent>,
    notes: Arc<Notes>,
    tasks: JoinSet<Settled>,
    running: HashMap<Id, Running>,
    /// Changes of users who have another one being worked on.
    held: VecDeque<(PasswordChange, Arc<Settings>)>,
    ledger: Ledger,
}

/// Writes passwords back until the agent is stopped.
pub async fn follow(agent: &Arc<Agent>) {
    let Some(notes) = open_notes(agent).await else {
        return;
    };
    let mut consumer = Consumer {
        agent: Arc::clone(agent),
        notes: Arc::new(notes),
        tasks: JoinSet::new(),
        running: HashMap::new(),
        held: VecDeque::new(),
        ledger: Ledger::default(),
    };
    let mut switch = Switch::watch(agent);
    let mut backoff = Backoff::new();
    loop {
        let Some(settings) = consumer.switched_on(&mut switch).await else {
            break;
        };
        let began = Instant::now();
        let wait = match consumer.consume(settings, &mut switch).await {
            End::Stopped => break,
            End::SwitchedOff => continue,
            End::Lost(error) => {
                if began.elapsed() >= GOOD_STREAM {
                    backoff.reset();
                }
                consumer.lost(error.as_ref(), &mut backoff)
            }
        };
        if consumer.rest(wait).await.is_none() {
            break;
        }
    }
    consumer.stop().await;
}

/// Opens the notes; tries again, for a full disk may be emptied.
async fn open_notes(agent: &Agent) -> Option<Notes> {
    loop {
        let failure = match Notes::open(&agent.directory, agent.clock.now(), &*agent.entropy) {
            Ok(notes) => return Some(notes),
            Err(failure) => failure,
        };
        tracing::error!(reason = %failure, "passwords cannot be written back; it is tried again later");
        let now = agent.clock.now();
        agent
            .board
            .writeback(now, |condition| condition.fail(&failure));
        tokio::select! {
            () = agent.stop.cancelled() => return None,
            () = tokio::time::sleep(UNUSABLE_WAIT) => {}
        }
    }
}

impl Consumer {
    /// Waits until the pool's switch is on; `None` when the agent is stopped first.
    async fn switched_on(&mut self, switch: &mut Switch) -> Option<Arc<Settings>> {
        loop {
            let reason = match switch.position() {
                Position::On(settings) => return Some(settings),
                Position::Off(reason) | Position::Unknown(reason) => reason,
            };
            let now = self.agent.clock.now();
            self.agent.board.writeback(now, |condition| {
                condition.phase = Phase::Waiting;
                condition.reason = Some(reason);
                condition.connected_at = None;
            });
            let stop = self.agent.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                () = switch.changed() => {}
                joined = next_of(&mut self.tasks) => { self.settled(joined); }
            }
        }
    }

    /// Subscribes and works on what comes, until the stream ends.
    async fn consume(&mut self, mut settings: Arc<Settings>, switch: &mut Switch) -> End {
        let stop = self.agent.stop.clone();
        let agent = Arc::clone(&self.agent);
        let (acknowledged, now) = (self.ledger.acknowledged(), agent.clock.now());
        let opening = agent
            .hub
            .password_changes(&agent.agent_id, acknowledged, now);
        let mut changes = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            opened = opening => match opened {
                Ok(changes) => changes,
                Err(error) => return End::Lost(Some(error)),
            }
        };
        let clock_ahead = changes.clock_ahead();
        self.connected(clock_ahead);
        // The newest that came over this stream: the hub takes no acknowledgement of others.
        let mut newest = i64::MIN;
        let mut first_at = None;
        loop {
            let has_room = self.running.len() + self.held.len() < CHANGES_AT_ONCE;
            tokio::select! {
                () = stop.cancelled() => return End::Stopped,
                () = switch.changed() => match switch.position() {
                    Position::On(new) => settings = new,
                    Position::Off(_) | Position::Unknown(_) => return End::SwitchedOff,
                },
                joined = next_of(&mut self.tasks) => {
                    self.settled(joined);
                    self.acknowledge(&changes, newest);
                }
                next = changes.next(), if has_room => match next {
                    Ok(Some(message)) => {
                        let first_at: Instant = *first_at.get_or_insert_with(Instant::now);
                        let delivery = match first_at.elapsed() < LEFT_BEHIND {
                            true => Delivery::PerhapsAgain,
                            false => Delivery::First,
                        };
                        let now = agent.clock.now();
                        let change = PasswordChange::new(message, delivery, now, clock_ahead);
                        newest = newest.max(change.offset);
                        self.take(change, &settings);
                    }
                    Ok(None) => return End::Lost(None),
                    Err(error) => return End::Lost(Some(error)),
                },
            }
        }
    }

    fn connected(&self, clock_ahead: Option<Span>) {
        let now = self.agent.clock.now();
        tracing::info!("connected to the hub for changes of passwords");
        let hub_ahead_seconds = clock_ahead.map_or(0, Span::as_seconds);
        if hub_ahead_seconds.abs() >= CLOCK_DIFFERENCE_SECONDS_MIN {
            tracing::warn!(
                hub_ahead_seconds,
                "the clocks of the hub and of this machine differ; changes of passwords end by the hub's"
            );
        }
        self.agent.board.writeback(now, |condition| {
            condition.phase = Phase::Waiting;
            condition.reason = Some(CONNECTED.to_owned());
            condition.connected_at = Some(now.to_string());
        });
    }

    fn acknowledge(&self, changes: &PasswordChanges, newest: i64) {
        let offset = self.ledger.acknowledged();
        if offset <= newest {
            changes.acknowledge(offset);
        }
    }

    /// Begins to work on a change, unless that has begun before.
    fn take(&mut self, change: PasswordChange, settings: &Arc<Settings>) {
        self.agent
            .board
            .writeback(self.agent.clock.now(), |condition| {
                condition.phase = Phase::Working;
                condition.reason = None;
            });
        let is_known = self
            .running
            .values()
            .any(|running| running.operation_id == change.operation_id)
            || self
                .held
                .iter()
                .any(|(held, _)| held.operation_id == change.operation_id);
        if is_known {
            return;
        }
        self.ledger.begin(change.offset);
        self.held.push_back((change, Arc::clone(settings)));
        self.begin_held();
    }

    /// Begins with the changes of users who have none being worked on.
    fn begin_held(&mut self) {
        for _ in 0..self.held.len() {
            let Some((change, settings)) = self.held.pop_front() else {
                break;
            };
            let user = &change.external_user_id;
            if self
                .running
                .values()
                .any(|running| running.external_user_id == *user)
            {
                self.held.push_back((change, settings));
            } else {
                self.begin(change, settings);
            }
        }
        let pending = self.running.len() + self.held.len();
        self.agent
            .board
            .writeback(self.agent.clock.now(), |condition| {
                condition.pending = pending;
            });
    }

    fn begin(&mut self, change: PasswordChange, settings: Arc<Settings>) {
        let running = Running {
            offset: change.offset,
            operation_id: change.operation_id.clone(),
            external_user_id: change.external_user_id.clone(),
        };
        let (agent, notes) = (Arc::clone(&self.agent), Arc::clone(&self.notes));
        let task = self.tasks.spawn(async move {
            let writer = Writer::new(&agent, &notes, &settings, &change);
            let result = writer.write().await;
            let told = commit(&agent, &change, &result).await;
            if let Err(failure) = notes.forget(&change) {
                tracing::error!(reason = %failure, "a note about a password change stays behind");
            }
            Settled { result, told }
        });
        self.running.insert(task.id(), running);
    }

    /// A task ended.
    fn settled(&mut self, joined: Result<(Id, Settled), JoinError>) {
        let (id, settled) = match joined {
            Ok((id, settled)) => (id, Some(settled)),
            Err(error) => {
                tracing::error!(%error, "the work on a password change broke down");
                (error.id(), None)
            }
        };
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        // One that broke down is not acknowledged: it comes again with the next stream.
        if let Some(settled) = &settled {
            self.ledger.settle(running.offset);
            tell(&running, settled);
        }
        let now = self.agent.clock.now();
        self.agent.board.writeback(now, |condition| match &settled {
            Some(settled) => condition.count(settled.result.as_ref().err(), settled.told, now),
            None => condition.commit_failures += 1,
        });
        self.begin_held();
    }

    /// How long to wait after a stream that ended.
    fn lost(&mut self, error: Option<&ClientError>, backoff: &mut Backoff) -> Duration {
        let now = self.agent.clock.now();
        let reason = error.map_or_else(
            || "the hub ended the stream".to_owned(),
            ToString::to_string,
        );
        let code = error.and_then(|error| error.code);
        if code == Some(Code::OutOfRange) {
            tracing::warn!(
                reason,
                "the hub is older than what was done; all pending changes are asked for"
            );
            self.ledger.start_over();
        }
        let kind = error.map(|error| &error.kind);
        let wait = match (code, kind) {
            (Some(Code::Aborted), _) => {
                tracing::error!(
                    reason,
                    "another process with the same agent id gets the changes of passwords; give each agent its own agent_id"
                );
                SUPERSEDED_WAIT
            }
            (_, Some(ErrorKind::Denied)) => {
                tracing::error!(
                    reason,
                    "the hub gives no changes of passwords; it is tried again later"
                );
                UNUSABLE_WAIT
            }
            (_, Some(ErrorKind::Unauthenticated)) if backoff.attempts() > 0 => {
                tracing::error!(
                    reason,
                    "the hub does not accept the credentials; it is tried again later"
                );
                UNUSABLE_WAIT
            }
            _ => {
                tracing::warn!(
                    reason,
                    "the stream of password changes ended; it is opened again"
                );
                backoff.next_wait(&*self.agent.entropy).max(WAIT_MIN)
            }
        };
        // After its lifetime, or a restart of the hub, the next stream is open in a moment.
        let is_failure = wait >= UNUSABLE_WAIT || backoff.attempts() > 1;
        if is_failure {
            Side::Hub.failed();
        }
        self.agent.board.writeback(now, |condition| {
            condition.connected_at = None;
            if is_failure {
                condition.fail(&Failure::Run(reason));
            }
        });
        wait
    }

    /// Waits, while the work goes on; `None` when the agent is stopped.
    async fn rest(&mut self, wait: Duration) -> Option<()> {
        let end = Instant::now() + wait;
        let stop = self.agent.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(end) => return Some(()),
                joined = next_of(&mut self.tasks) => self.settled(joined),
            }
        }
    }

    /// Lets what is being worked on end, for a while. What does not is noted, and delivered again.
    async fn stop(&mut self) {
        // Nothing new is begun.
        self.held.clear();
        let end = Instant::now() + STOP_GRACE;
        while !self.tasks.is_empty() {
            tokio::select! {
                joined = next_of(&mut self.tasks) => self.settled(joined),
                () = tokio::time::sleep_until(end) => break,
            }
        }
        if !self.tasks.is_empty() {
            let left = self.tasks.len();
            tracing::warn!(
                left,
                "changes of passwords are left to the next start, or to another agent"
            );
        }
        self.tasks.abort_all();
        self.agent
            .board
            .writeback(self.agent.clock.now(), |condition| {
                condition.phase = Phase::Ended;
                condition.reason = None;
                condition.connected_at = None;
                condition.pending = 0;
            });
    }
}

/// The next task that ends; waits for ever while there is none.
async fn next_of(tasks: &mut JoinSet<Settled>) -> Result<(Id, Settled), JoinError> {
    match tasks.join_next_with_id().await {
        Some(joined) => joined,
        None => std::future::pending().await,
    }
}

fn tell(running: &Running, settled: &Settled) {
    let (operation, user) = (&running.operation_id, &running.external_user_id);
    match (&settled.result, settled.told) {
        (Ok(()), Told::Yes) => tracing::info!(operation, user, "a password was written back"),
        (Err(refusal), Told::Yes) => tracing::warn!(
            operation,
            user,
            code = refusal.code(),
            reason = refusal.message,
            "a password was refused"
        ),
        // Told where it happened.
        (_, Told::No) => {}
    }
}
