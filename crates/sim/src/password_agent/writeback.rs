//! The writeback loop: changes come over a stream, are set in the directory, and the hub is told.
//!
//! Invariant: each step of a change is a step of its own, between which anything may happen; before a
//! password is sent it is noted on the disk. An offset is acknowledged when it and all before it are
//! settled.

use std::collections::{BTreeMap, VecDeque};

use rollcall_agent::engine::Guid;
use rollcall_kit::timestamp::{Span, Timestamp};

use super::Begun;
use crate::password_directory::{Account, Refused, Source, Verified};
use crate::password_hub::{Answer, Delivered, Why};
use crate::password_link::{Call, Reply};
use crate::password_world::{PasswordFlaw, PasswordWorld};
use rollcall_agent::engine::password_writeback::{Next, Setter, Traces, after_beginning};

/// The directory's time ends so long before the operation does.
const COMMIT_MARGIN: Span = Span::seconds(1);
/// No write begins later than this before the end of the operation.
const WRITE_MARGIN: Span = Span::seconds(2);
/// How long after the end of an operation the hub is still told (decision U103).
const PATIENCE: Span = Span::seconds(30);
/// Another agent may have written a password that was set within this time: no operation lives
/// longer than five minutes, and clocks may be five minutes apart.
const RECENT: Span = Span::minutes(10);
/// The same for whoever forgets that clocks differ.
const RECENT_BY_ONE_CLOCK: Span = Span::minutes(5);
/// What was left behind by another agent comes so soon after the first change of a stream.
const LEFT_BEHIND: Span = Span::seconds(2);
/// Longest pause between two attempts, in milliseconds.
const PAUSE_MILLIS_MAX: usize = 8_000;
/// Changes that are being worked on at the same time.
const CHANGES_AT_ONCE: usize = 16;
/// Wait after a stream that ended.
const PAUSE: Span = Span::seconds(2);

/// What the loop has in memory.
#[derive(Debug)]
pub struct Writeback {
    /// The stream it listens to.
    pub stream: Option<String>,
    /// What came over that stream and was not looked at.
    pub inbox: VecDeque<Delivered>,
    /// No new stream before.
    pub wait_until: Timestamp,
    newest: i64,
    /// When the first change came over that stream.
    first_at: Option<Timestamp>,
    tasks: VecDeque<Task>,
    held: VecDeque<Task>,
    acknowledged: i64,
    /// By offset: whether it is settled.
    open: BTreeMap<i64, bool>,
}

#[derive(Debug)]
struct Task {
    change: Delivered,
    guid: Guid,
    /// Whether another agent may have had it before.
    is_perhaps_left_behind: bool,
    begun: Option<Traces>,
    stage: Stage,
    /// Nothing happens before.
    wait_until: Timestamp,
}

#[derive(Debug)]
enum Stage {
    /// The account is to be looked at.
    Look,
    /// The password is to be sent: it was noted.
    Send,
    /// The hub is to be told.
    Tell(Option<Why>),
}

/// Whether there is more to do about a change.
enum Progress {
    Goes(Task),
    Ended(Task),
    /// The agent was killed.
    Dead,
}

impl Writeback {
    /// A loop that has just begun.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            stream: None,
            inbox: VecDeque::new(),
            wait_until: now,
            newest: 0,
            first_at: None,
            tasks: VecDeque::new(),
            held: VecDeque::new(),
            acknowledged: 0,
            open: BTreeMap::new(),
        }
    }

    /// Whether nothing is being worked on.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.inbox.is_empty() && self.tasks.is_empty() && self.held.is_empty()
    }

    /// The stream ended.
    pub fn lost(&mut self, now: Timestamp) {
        self.stream = None;
        self.inbox.clear();
        self.wait_until = now.plus(PAUSE);
    }

    /// Takes what came, and begins with the changes of users who have none being worked on.
    fn take(&mut self, now: Timestamp) {
        while let Some(change) = self.inbox.pop_front() {
            self.newest = self.newest.max(change.offset);
            let first_at = *self.first_at.get_or_insert(now);
            let is_known = self
                .tasks
                .iter()
                .chain(&self.held)
                .any(|task| task.change.operation == change.operation);
            let Some(guid) = Guid::parse(&change.external_user_id).filter(|_| !is_known) else {
                continue;
            };
            if change.offset > self.acknowledged {
                self.open.entry(change.offset).or_insert(false);
            }
            self.held.push_back(Task {
                change,
                guid,
                is_perhaps_left_behind: now.since(first_at) < LEFT_BEHIND,
                begun: None,
                stage: Stage::Look,
                wait_until: now,
            });
        }
        for _ in 0..self.held.len() {
            let Some(task) = self.held.pop_front() else {
                break;
            };
            let is_busy = self.tasks.iter().any(|other| other.guid == task.guid);
            if is_busy || self.tasks.len() >= CHANGES_AT_ONCE {
                self.held.push_back(task);
            } else {
                self.tasks.push_back(task);
            }
        }
    }

    fn settle(&mut self, offset: i64) {
        if let Some(settled) = self.open.get_mut(&offset) {
            *settled = true;
        }
        while let Some(first) = self.open.first_entry()
            && *first.get()
        {
            self.acknowledged = *first.key();
            first.remove();
        }
    }
}

/// The next step of an agent.
pub fn step(world: &mut PasswordWorld, who: usize) {
    connect(world, who);
    let Some(agent) = world.agents.get_mut(who) else {
        return;
    };
    agent.writeback.take(world.now);
    if let Some(task) = agent.writeback.tasks.pop_front() {
        let progress = match task.wait_until <= world.now {
            true => advance(world, who, task),
            false => Progress::Goes(task),
        };
        match progress {
            Progress::Goes(task) => {
                if let Some(agent) = world.agents.get_mut(who) {
                    agent.writeback.tasks.push_back(task);
                }
            }
            Progress::Ended(task) => {
                if let Some(agent) = world.agents.get_mut(who) {
                    agent.notes.remove(&task.change.operation);
                    agent.writeback.settle(task.change.offset);
                }
            }
            Progress::Dead => return,
        }
    }
    if let Some(agent) = world.agents.get(who) {
        let loop_ = &agent.writeback;
        if let Some(id) = loop_.stream.clone()
            && loop_.acknowledged <= loop_.newest
        {
            let offset = loop_.acknowledged;
            world.acknowledge(&id, offset);
        }
    }
}

fn connect(world: &mut PasswordWorld, who: usize) {
    let now = world.now;
    let Some(agent) = world.agents.get(who) else {
        return;
    };
    if agent.writeback.stream.is_some() || now < agent.writeback.wait_until {
        return;
    }
    let offset = agent.writeback.acknowledged;
    let id = world.subscribe(who, offset);
    if let Some(agent) = world.agents.get_mut(who) {
        agent.writeback.newest = i64::MIN;
        agent.writeback.first_at = None;
        match id {
            Some(_) => agent.writeback.stream = id,
            None => agent.writeback.lost(now),
        }
    }
}

fn advance(world: &mut PasswordWorld, who: usize, task: Task) -> Progress {
    match task.stage {
        Stage::Look => Progress::Goes(look(world, who, task)),
        Stage::Send => send(world, who, task),
        Stage::Tell(refusal) => tell(world, who, task, refusal),
    }
}

fn setter(change: &Delivered) -> Setter {
    match change.old {
        Some(_) => Setter::User,
        None => Setter::Administrator {
            must_change: change.need_change,
        },
    }
}

fn left(world: &PasswordWorld, who: usize, task: &Task) -> Span {
    task.change.deadline.since(world.clock_of(who))
}

fn look(world: &mut PasswordWorld, who: usize, mut task: Task) -> Task {
    let operation = &task.change.operation;
    let note = world
        .agents
        .get(who)
        .and_then(|agent| agent.notes.get(operation));
    let forgets = world.flaw == PasswordFlaw::ForgetsWhatItBegan;
    match note.filter(|_| !forgets) {
        Some(Begun::Written) => {
            world.coverage.count("notes_of_written");
            task.stage = Stage::Tell(None);
            return task;
        }
        Some(Begun::Refused(why)) => {
            task.stage = Stage::Tell(Some(*why));
            return task;
        }
        Some(Begun::Writing(before)) => task.begun = Some(*before),
        None => {}
    }
    if left(world, who, &task) < COMMIT_MARGIN {
        task.stage = Stage::Tell(Some(Why::Unclear));
        return task;
    }
    if !world.directory_is_reached() || world.happens(30) {
        task.wait_until = world.pause(PAUSE_MILLIS_MAX);
        return task;
    }
    let account = match world.directory.get(task.guid) {
        Some(account) if account.in_scope => account.clone(),
        _ => return settle(world, who, task, Some(Why::Refused)),
    };
    let now = world.directory.traces(&account);
    let begun = task.begun.filter(|_| !forgets);
    match begun.map_or(Next::Write, |before| {
        after_beginning(setter(&task.change), before, now)
    }) {
        Next::Write => note_beginning(world, who, task, &account),
        Next::LeaveAlone => {
            world.coverage.count("left_alone");
            settle(world, who, task, Some(Why::Unclear))
        }
        // A locked account, for instance, tells nothing.
        Next::Verify if world.happens(50) => match setter(&task.change) {
            Setter::User => settle(world, who, task, Some(Why::Unclear)),
            Setter::Administrator { .. } => note_beginning(world, who, task, &account),
        },
        Next::Verify => verify(world, who, task),
    }
}

fn verify(world: &mut PasswordWorld, who: usize, task: Task) -> Task {
    let now = world.now;
    match world.directory.sign_in(task.guid, &task.change.new, now) {
        Verified::Right => {
            world.coverage.count("verified_right");
            settle(world, who, task, None)
        }
        Verified::Wrong => {
            world.coverage.count("verified_wrong");
            settle(world, who, task, Some(Why::Refused))
        }
    }
}

fn note_beginning(
    world: &mut PasswordWorld,
    who: usize,
    mut task: Task,
    account: &Account,
) -> Task {
    if left(world, who, &task) < WRITE_MARGIN {
        return task;
    }
    let traces = world.directory.traces(account);
    note(world, who, &task, Begun::Writing(traces));
    task.begun = Some(traces);
    task.stage = Stage::Send;
    task
}

fn note(world: &mut PasswordWorld, who: usize, task: &Task, begun: Begun) {
    if let Some(agent) = world.agents.get_mut(who) {
        agent.notes.insert(task.change.operation.clone(), begun);
    }
}

/// Notes the end, so that it is told and not tried again.
fn settle(world: &mut PasswordWorld, who: usize, mut task: Task, refusal: Option<Why>) -> Task {
    let begun = refusal.map_or(Begun::Written, Begun::Refused);
    note(world, who, &task, begun);
    if refusal == Some(Why::Refused) {
        let (operation, directory) = (&task.change.operation, &world.directory);
        world.oracle.refused(operation, who, task.guid, directory);
    }
    task.stage = Stage::Tell(refusal);
    task
}

fn send(world: &mut PasswordWorld, who: usize, mut task: Task) -> Progress {
    task.stage = Stage::Look;
    if !world.directory_is_reached() || world.happens(60) {
        if world.flaw == PasswordFlaw::TakesSilenceForSuccess {
            return Progress::Goes(settle(world, who, task, None));
        }
        return Progress::Goes(task);
    }
    let (now, change) = (world.now, &task.change);
    let source = Source::Writeback {
        operation: change.operation.clone(),
        agent: who,
    };
    let (new, directory) = (change.new.clone(), &mut world.directory);
    let result = match &change.old {
        Some(old) => directory.change(task.guid, old, new, source, now),
        None => directory.reset(task.guid, new, change.need_change, source, now),
    };
    if world.happens(60) {
        world.kill_agent(who);
        return Progress::Dead;
    }
    if world.happens(80) {
        world.coverage.count("answers_of_the_directory_lost");
        task.wait_until = world.pause(PAUSE_MILLIS_MAX);
        return Progress::Goes(task);
    }
    Progress::Goes(match result {
        Ok(()) => settle(world, who, task, None),
        Err(Refused::Busy) => task,
        Err(Refused::WrongOld) if may_have_been_written(world, who, &task) => {
            verify(world, who, task)
        }
        Err(_) => settle(world, who, task, Some(Why::Refused)),
    })
}

/// Whether another agent may have written it.
fn may_have_been_written(world: &PasswordWorld, who: usize, task: &Task) -> bool {
    let (clock, directory) = (world.clock_of(who), &world.directory);
    let span = match world.flaw {
        PasswordFlaw::BelievesThatTheOldOneIsWrong => return false,
        PasswordFlaw::ForgetsThatClocksDiffer => RECENT_BY_ONE_CLOCK,
        _ => RECENT,
    };
    let account = directory.get(task.guid);
    task.is_perhaps_left_behind
        && account.is_some_and(|account| directory.was_set_within(account, span, clock))
}

fn tell(world: &mut PasswordWorld, who: usize, task: Task, refusal: Option<Why>) -> Progress {
    let change = &task.change;
    let answer = Answer {
        operation: change.operation.clone(),
        external_user_id: change.external_user_id.clone(),
        password: change.new.clone(),
        refusal,
    };
    match world.call(&Call::Commit { answer, agent: who }) {
        Reply::Done => Progress::Ended(task),
        Reply::Refused(_) => {
            world.coverage.count("commits_refused");
            Progress::Ended(task)
        }
        Reply::Unreachable if change.deadline.plus(PATIENCE) <= world.clock_of(who) => {
            world.coverage.count("commits_given_up");
            Progress::Ended(task)
        }
        Reply::Unreachable => Progress::Goes(Task {
            stage: Stage::Tell(refusal),
            wait_until: world.pause(PAUSE_MILLIS_MAX),
            ..task
        }),
    }
}
