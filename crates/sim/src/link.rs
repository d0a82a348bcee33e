//! The network between an agent and the hub, and everything that can happen on the way.
//!
//! Invariant: a call is repeated with the same key until it is answered or the attempts are used
//! up. It may be lost before it arrives, its answer may be lost, it may arrive twice, and a copy
//! may arrive late; meanwhile time passes, the directory changes, the agent may die or be stopped
//! for longer than its lease while another one works.

use rollcall_domain::id::SessionId;
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::agent::{self, Interrupt};
use crate::events;
use crate::hub::{Answer, Envelope, Hub};
use crate::oracle::Promise;
use crate::world::{Weather, World};

const ATTEMPTS_MAX: usize = 6;
const STEP_MILLIS_MAX: usize = 1_500;
/// Longer than any lease.
const STALL: Span = Span::seconds(90);
/// As long as a repeated call may take: a hub that starts again needs as much.
const RETRY: Span = Span::seconds(2);

/// What becomes of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    RequestLost,
    AnswerLost,
    Doubled,
    LateCopy,
    AnsweredToTheDead,
}

impl World {
    /// One step: time passes and, in bad weather, anything may happen.
    ///
    /// # Errors
    /// [`Interrupt::Crashed`] when the agent dies here.
    pub fn step(&mut self) -> Result<(), Interrupt> {
        let millis = i64::try_from(self.dice.below(STEP_MILLIS_MAX)).unwrap_or(0);
        self.pass(Span::millis(millis));
        if self.weather == Weather::Calm {
            return Ok(());
        }
        if self.dice.chance(15) {
            events::directory(self);
            self.note_truth();
        }
        if self.dice.chance(100) {
            self.deliver_late_copy();
        }
        if self.dice.chance(3) {
            self.coverage.stalls += 1;
            self.pass(STALL);
            if self.depth == 1 && self.dice.chance(700) {
                self.coverage.takeovers += 1;
                let other = self.dice.below(agent::AGENTS);
                agent::run(self, other);
            }
        }
        if self.dice.chance(3) {
            self.coverage.crashes += 1;
            return Err(Interrupt::Crashed);
        }
        Ok(())
    }

    /// Time passes; the hub's own jobs run.
    pub fn pass(&mut self, span: Span) {
        self.clock.advance(span);
        let now = self.now();
        self.hub.sweep(now);
    }

    fn fate(&self) -> Fate {
        if self.weather == Weather::Calm {
            return Fate::Answered;
        }
        match self.dice.below(100) {
            0..3 => Fate::RequestLost,
            3..6 => Fate::AnswerLost,
            6..9 => Fate::Doubled,
            9..11 => Fate::LateCopy,
            11 if self.dice.chance(300) => Fate::AnsweredToTheDead,
            _ => Fate::Answered,
        }
    }

    /// A call about a session or a token.
    ///
    /// # Errors
    /// [`Interrupt`] when there is no answer; the inner error when the answer is a refusal.
    pub fn exchange<T>(
        &mut self,
        call: impl Fn(&mut Hub, Timestamp) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, Interrupt> {
        for _ in 0..ATTEMPTS_MAX {
            self.step()?;
            let fate = self.fate();
            if fate == Fate::RequestLost {
                self.pass(RETRY);
                continue;
            }
            let now = self.now();
            let mut answer = call(&mut self.hub, now);
            match fate {
                Fate::AnswerLost => self.pass(RETRY),
                Fate::AnsweredToTheDead => return Err(self.die()),
                Fate::Doubled => {
                    answer = call(&mut self.hub, now);
                    return Ok(answer);
                }
                _ => return Ok(answer),
            }
        }
        Err(Interrupt::Unreachable)
    }

    /// A changing call.
    ///
    /// # Errors
    /// As [`World::exchange`].
    pub fn send(
        &mut self,
        mut envelope: impl FnMut(usize) -> Envelope,
    ) -> Result<Result<Answer, Refusal>, Interrupt> {
        for attempt in 0..ATTEMPTS_MAX {
            self.step()?;
            let envelope = envelope(attempt);
            let fate = self.fate();
            if fate == Fate::RequestLost {
                self.pass(RETRY);
                continue;
            }
            if fate == Fate::LateCopy {
                self.late.push(envelope.clone());
                if self.dice.chance(500) {
                    self.pass(RETRY);
                    continue;
                }
            }
            let answer = self.serve(&envelope);
            match fate {
                Fate::AnswerLost => self.pass(RETRY),
                Fate::AnsweredToTheDead => return Err(self.die()),
                Fate::Doubled => {
                    let again = self.serve(&envelope);
                    if answer.is_ok() && again != answer {
                        self.violate(
                            Promise::ExactCounters,
                            format!("a repeated call got {again:?} after {answer:?}"),
                        );
                    }
                    return Ok(again);
                }
                _ => return Ok(answer),
            }
        }
        Err(Interrupt::Unreachable)
    }

    fn die(&mut self) -> Interrupt {
        self.coverage.crashes += 1;
        Interrupt::Crashed
    }

    /// A copy of a call that was made long ago arrives. Copies of refused calls do not: the hub
    /// answered them on the same connection before the caller went on.
    fn deliver_late_copy(&mut self) {
        let at = self.dice.below(self.late.len());
        if at < self.late.len() {
            let envelope = self.late.swap_remove(at);
            if !self.refused_keys.contains(&envelope.key) {
                self.coverage.late_copies += 1;
                // Nobody waits for this answer.
                let _ = self.serve(&envelope);
            }
        }
    }

    fn serve(&mut self, envelope: &Envelope) -> Result<Answer, Refusal> {
        let now = self.now();
        let answer = self.hub.serve(envelope, now);
        match &answer {
            Ok(_) => {}
            Err(refusal) => {
                self.refused_keys.insert(envelope.key.clone());
                if agent::is_lease_lost(refusal) {
                    self.coverage.stale_writes_refused += 1;
                } else {
                    self.coverage.items_refused += 1;
                }
            }
        }
        self.judge_writes();
        answer
    }

    /// Notes the hub's answer that a session lives for another lease.
    pub fn renewed(&mut self, session: &SessionId) {
        self.leases
            .insert(session.clone(), self.now().plus(crate::world::LEASE));
    }
}
