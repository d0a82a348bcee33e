//! The network between agents and hubs, and the streams over it.
//!
//! Invariant: a call may be lost before it arrives, its answer may be lost, it may arrive twice, and
//! it may arrive long after its sender gave it up; a hub may die in the middle. A stream of a dead or
//! cut off agent stays with the hub for a while, and what is sent over it is lost.

use std::collections::VecDeque;

use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::password_hub::{Answer, Import, Served};
use crate::password_people;
use crate::password_world::PasswordWorld;

/// Changes that are on their way over a stream at the same time.
const IN_FLIGHT_MAX: usize = 16;
/// How late a call may arrive.
const LATENESS_SECONDS_MAX: usize = 60;
/// How long a hub takes for alive what is cut off.
const HALF_OPEN_SECONDS_MAX: usize = 10;

/// A call of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// UserService.CommitPassword
    Commit {
        /// The answer.
        answer: Answer,
        /// Whose.
        agent: usize,
    },
    /// UserService.SetPasswordHash
    Import(Import),
}

/// What its sender sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was carried out.
    Done,
    /// It was refused.
    Refused(Refusal),
    /// No answer.
    Unreachable,
}

/// The hub's end of a stream.
#[derive(Debug)]
pub struct ServerStream {
    id: String,
    agent: usize,
    /// The hub that serves it.
    process: usize,
    sent: i64,
    unacknowledged: VecDeque<i64>,
    /// When the hub finds out that nobody listens.
    gone_at: Option<Timestamp>,
}

impl PasswordWorld {
    /// A call of an agent, once.
    pub fn call(&mut self, call: &Call) -> Reply {
        if !self.hub_is_reached() || self.happens(120) {
            return Reply::Unreachable;
        }
        if self.happens(30) {
            self.send_later(call.clone());
            return Reply::Unreachable;
        }
        let reply = self.carry_out(call);
        if self.happens(30) {
            self.send_later(call.clone());
        }
        if self.happens(60) {
            return Reply::Unreachable;
        }
        reply
    }

    fn send_later(&mut self, call: Call) {
        let seconds = self.dice.below(LATENESS_SECONDS_MAX);
        let due = self.now.plus(seconds_span(seconds));
        self.late.push((due, call));
    }

    /// Lets late calls arrive whose time has come.
    pub fn deliver_late(&mut self) {
        let now = self.now;
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(due, _)| *due <= now);
        self.late = late;
        let due: Vec<(Timestamp, Call)> = due;
        for (_, call) in due {
            if self.hub_is_reached() {
                self.coverage.count("late_copies");
                let is_first = matches!(&call, Call::Import(import) if !self.hub.remembers(import));
                if self.carry_out(&call) == Reply::Done && is_first {
                    self.coverage.count("late_hashes");
                }
            }
        }
    }

    fn carry_out(&mut self, call: &Call) -> Reply {
        let same = match call {
            Call::Commit { answer, .. } => self.hub.prepare_commit(answer),
            Call::Import(import) => self.hub.prepare_import(import),
        };
        if self.happens(150) {
            password_people::any(self);
        }
        if self.happens(10) {
            let process = self.dice.below(self.processes.len());
            self.kill_hub(process);
            return Reply::Unreachable;
        }
        let now = self.now;
        let result = match call {
            Call::Commit { answer, agent } => {
                let result = self.hub.commit(answer, same.as_ref(), now);
                if result.is_ok() {
                    self.oracle.answered(&answer.operation, *agent);
                }
                result
            }
            Call::Import(import) => self.hub.import(import, same.as_ref(), now),
        };
        match result {
            Ok(()) => Reply::Done,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// Opens a stream of an agent at one of the hubs.
    pub fn subscribe(&mut self, agent: usize, offset: i64) -> Option<String> {
        let up = self.processes_up();
        let process = self.dice.pick(&up)?;
        let id = self.hub.subscribe(offset).ok()?;
        self.streams.push(ServerStream {
            id: id.clone(),
            agent,
            process,
            sent: offset,
            unacknowledged: VecDeque::new(),
            gone_at: None,
        });
        Some(id)
    }

    /// Everything up to `offset` is done with.
    pub fn acknowledge(&mut self, id: &str, offset: i64) {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        if let Some(stream) = stream {
            stream.unacknowledged.retain(|sent| *sent > offset);
        }
    }

    /// The streams of an agent are cut; the hubs find out later.
    pub fn cut_streams(&mut self, agent: usize) {
        let seconds = self.dice.below(HALF_OPEN_SECONDS_MAX);
        let gone_at = self.now.plus(seconds_span(seconds));
        for stream in &mut self.streams {
            if stream.agent == agent {
                stream.gone_at.get_or_insert(gone_at);
            }
        }
        let now = self.now;
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.writeback.lost(now);
        }
    }

    /// The streams of a hub end with it.
    pub fn end_streams_of(&mut self, process: usize) {
        let now = self.now;
        let ended = self.streams.extract_if(.., |it| it.process == process);
        for stream in ended {
            if let Some(agent) = self.agents.get_mut(stream.agent)
                && agent.writeback.stream.as_ref() == Some(&stream.id)
            {
                agent.writeback.lost(now);
            }
        }
    }

    /// A look of each stream of a hub.
    pub fn serve_streams(&mut self, process: usize) {
        let now = self.now;
        self.streams
            .retain(|stream| stream.gone_at.is_none_or(|gone| gone > now));
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|stream| stream.process != process || self.serve(stream));
        streams.append(&mut self.streams);
        self.streams = streams;
    }

    /// A look of a stream; whether it goes on.
    fn serve(&mut self, stream: &mut ServerStream) -> bool {
        let now = self.now;
        let Some(name) = self.agents.get(stream.agent).map(|it| it.name.clone()) else {
            return false;
        };
        let room = IN_FLIGHT_MAX.saturating_sub(stream.unacknowledged.len());
        let served = self.hub.serve(&name, &stream.id, stream.sent, room, now);
        let (is_renewed, changes) = match served {
            Served::Active {
                is_renewed,
                changes,
            } => (is_renewed, changes),
            Served::StandBy => {
                self.coverage.count("stand_bys");
                return true;
            }
            Served::Superseded => {
                self.coverage.count("streams_superseded");
                if let Some(agent) = self.agents.get_mut(stream.agent)
                    && agent.writeback.stream.as_ref() == Some(&stream.id)
                {
                    agent.writeback.lost(now);
                }
                return false;
            }
        };
        if is_renewed || !changes.is_empty() {
            let (agent, id) = (stream.agent, &stream.id);
            match self.oracle.acted(id, agent, is_renewed, now) {
                Ok(true) => self.coverage.count("takeovers"),
                Ok(false) => {}
                Err(breach) => self.broken(breach),
            }
        }
        for change in changes {
            stream.sent = change.offset;
            stream.unacknowledged.push_back(change.offset);
            if let Some(agent) = self.agents.get_mut(stream.agent)
                && agent.writeback.stream.as_ref() == Some(&stream.id)
                && stream.gone_at.is_none()
            {
                agent.writeback.inbox.push_back(change);
            }
        }
        true
    }
}

/// Whole seconds.
pub fn seconds_span(seconds: usize) -> Span {
    Span::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
