//! P3, no lost password, in clauses that are judged from what the directory really had.
//!
//! Invariant: no rule of the hub or the agent is used here; times of decisions are told again. A
//! refusal is judged at the moment in which an agent makes up its mind. Excused is what that agent
//! cannot know: that another one, which was stopped, writes afterwards; and who wrote, when it may not
//! read `pwdLastSet`. What becomes of accounts that are gone or out of scope is no matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rollcall_agent::engine::Guid;
use rollcall_domain::id::OperationId;
use rollcall_domain::password::PasswordKind;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::password_directory::{PasswordDirectory, Source};
use crate::password_hub::{Ending, PasswordHub, Record, Why};
use crate::password_world::{PasswordWorld, TICK_MAX};

/// So long a stream stays the active one (decision U95).
const STREAM_LEASE: Span = Span::seconds(5);
/// Pause of the job that ends late changes.
pub const JOB_PAUSE: Span = Span::seconds(1);

/// Passwords of an account that a breach shows.
const SHOWN_MAX: usize = 4;

/// A part of P3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    /// What opens at the hub, the directory had.
    HadByTheDirectory,
    /// When faults stop, both have the same.
    Converges,
    /// The end of an operation says what the directory did.
    TrueEnd,
    /// A user has at most one change pending.
    OneAtATime,
    /// One stream at a time receives changes.
    OneStream,
    /// No change of a user counts as a wrong sign-in because it was repeated.
    NoBadLogon,
    /// Nothing is pending after its time.
    InTime,
}

/// A broken clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("P3, {clause}: {what}")]
pub struct Breach {
    /// Which one.
    pub clause: Clause,
    /// How it was broken.
    pub what: String,
}

/// What it remembers.
#[derive(Debug, Default)]
pub struct PasswordOracle {
    active: Option<Active>,
    judged: BTreeSet<OperationId>,
    answered: BTreeMap<OperationId, usize>,
    /// Refusals of what the directory had taken, by operation and agent.
    false_refusals: BTreeMap<(OperationId, usize), String>,
}

#[derive(Debug)]
struct Active {
    id: String,
    agent: usize,
    until: Timestamp,
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HadByTheDirectory => "what opens at the hub the directory had",
            Self::Converges => "both have the same in the end",
            Self::TrueEnd => "the end of an operation is true",
            Self::OneAtATime => "one change of a user at a time",
            Self::OneStream => "one stream at a time",
            Self::NoBadLogon => "no wrong sign-in by repetition",
            Self::InTime => "nothing waits after its time",
        })
    }
}

impl Clause {
    fn broken(self, what: String) -> Breach {
        Breach { clause: self, what }
    }
}

impl PasswordOracle {
    /// An agent's answer was taken; the first one counts.
    pub fn answered(&mut self, operation: &OperationId, agent: usize) {
        self.answered.entry(operation.clone()).or_insert(agent);
    }

    /// An agent made up its mind to refuse a change.
    pub fn refused(
        &mut self,
        operation: &OperationId,
        agent: usize,
        guid: Guid,
        directory: &PasswordDirectory,
    ) {
        let is_in_scope = directory.get(guid).is_some_and(|account| account.in_scope);
        let present = directory
            .taken
            .iter()
            .rev()
            .find(|taken| taken.guid == guid);
        if let Some(taken) = present
            && let Source::Writeback { operation: of, .. } = &taken.source
            && (of, is_in_scope, directory.shows_traces) == (operation, true, true)
        {
            let key = (operation.clone(), agent);
            self.false_refusals.insert(key, format!("{taken:?}"));
        }
    }

    /// A stream acted as the active one; whether it took over from another agent.
    ///
    /// # Errors
    /// When another one was active.
    pub fn acted(
        &mut self,
        id: &str,
        agent: usize,
        is_renewed: bool,
        now: Timestamp,
    ) -> Result<bool, Breach> {
        let other = self.active.as_ref().filter(|active| active.id != id);
        let is_newer = |other: &Active| other.agent == agent && id > other.id.as_str();
        if let Some(other) = other
            && ((other.until > now && !is_newer(other)) || !is_renewed)
        {
            let what = format!("{id} of agent {agent} acted beside {other:?} at {now}");
            return Err(Clause::OneStream.broken(what));
        }
        let takes_over = other.is_some_and(|other| other.agent != agent);
        if is_renewed {
            self.active = Some(Active {
                id: id.to_owned(),
                agent,
                until: now.plus(STREAM_LEASE),
            });
        }
        Ok(takes_over)
    }

    /// Judges the present.
    ///
    /// # Errors
    /// The first clause that is broken.
    pub fn judge(
        &mut self,
        hub: &PasswordHub,
        directory: &PasswordDirectory,
    ) -> Result<(), Breach> {
        judge_pending(hub)?;
        if let Some(bad) = directory.bad_logons.iter().find(|bad| bad.is_repetition) {
            let newest = directory.newest_of(bad.guid, SHOWN_MAX);
            return Err(Clause::NoBadLogon.broken(format!("{bad:?}; it took {newest:?}")));
        }
        for (id, record) in hub.operations() {
            let Some((ending, at)) = record.ended else {
                continue;
            };
            if self.judged.insert(id.clone()) {
                judge_end(id, record, ending, directory)?;
            }
            if ending == Ending::Failed(Why::Refused) {
                self.judge_refused(id, at, directory)?;
            }
        }
        judge_stored(hub, directory)
    }

    /// A refused change is not written later by whoever refused it.
    fn judge_refused(
        &self,
        id: &OperationId,
        at: Timestamp,
        directory: &PasswordDirectory,
    ) -> Result<(), Breach> {
        let Some(agent) = self.answered.get(id) else {
            return Err(Clause::TrueEnd.broken(format!("nobody refused {id}")));
        };
        if let Some(taken) = self.false_refusals.get(&(id.clone(), *agent)) {
            let what = format!("agent {agent} refused {id}, but the directory had {taken}");
            return Err(Clause::TrueEnd.broken(what));
        }
        let source = Source::Writeback {
            operation: id.clone(),
            agent: *agent,
        };
        let later = |at_: Timestamp| at_ > at;
        match directory
            .taken
            .iter()
            .rev()
            .take_while(|taken| later(taken.at))
            .find(|taken| taken.source == source)
        {
            Some(taken) => {
                let what = format!("{id} was refused at {at}, and then there was {taken:?}");
                Err(Clause::TrueEnd.broken(what))
            }
            None => Ok(()),
        }
    }
}

fn judge_stored(hub: &PasswordHub, directory: &PasswordDirectory) -> Result<(), Breach> {
    for guid in hub.guids() {
        let Some(text) = hub.opens_with(guid) else {
            continue;
        };
        let had = |password: &str| {
            directory
                .taken
                .iter()
                .any(|taken| taken.guid == guid && taken.password == password)
        };
        if !had(&text) {
            let what = format!("{guid} opens with {text}");
            return Err(Clause::HadByTheDirectory.broken(what));
        }
    }
    Ok(())
}

fn judge_pending(hub: &PasswordHub) -> Result<(), Breach> {
    let mut users = BTreeSet::new();
    for pending in hub.pending() {
        if !users.insert(&pending.user_id) {
            let what = format!("{} has several", pending.user_id);
            return Err(Clause::OneAtATime.broken(what));
        }
    }
    Ok(())
}

fn judge_end(
    id: &OperationId,
    record: &Record,
    ending: Ending,
    directory: &PasswordDirectory,
) -> Result<(), Breach> {
    if ending == Ending::Success && !had_since(directory, record) {
        let what = format!("{id} succeeded, but the directory never had {record:?}");
        return Err(Clause::TrueEnd.broken(what));
    }
    Ok(())
}

/// Whether the directory had the password of an operation at a time after its beginning.
fn had_since(directory: &PasswordDirectory, record: &Record) -> bool {
    let taken: Vec<_> = directory
        .taken
        .iter()
        .filter(|taken| taken.guid == record.guid)
        .collect();
    let ends = taken.iter().skip(1).map(|next| Some(next.at));
    taken.iter().zip(ends.chain([None])).any(|(taken, end)| {
        taken.password == record.password && end.is_none_or(|end| end > record.began)
    })
}

/// Judges that nothing waits after its time, in a world whose hubs are up for so long.
///
/// # Errors
/// When something does.
pub fn judge_time(world: &PasswordWorld) -> Result<(), Breach> {
    let Some(up_since) = world.processes.iter().filter_map(|it| it.up_since).min() else {
        return Ok(());
    };
    for pending in world.hub.pending() {
        let due = pending.deadline.max(up_since);
        if due.plus(JOB_PAUSE).plus(TICK_MAX) < world.now {
            let what = format!("{} waits at {}", pending.operation_id, world.now);
            return Err(Clause::InTime.broken(what));
        }
    }
    Ok(())
}

/// Whose sameness is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of all users in scope.
    All,
    /// Not that of accounts whose present password was set twice: when the directory gets a password
    /// again that the hub still has, between the write of another one and the word of it, nothing
    /// tells the hub so. The writeback seems to be the newer one, until all hashes are read.
    WithoutRepetitions,
}

/// Judges that users in scope have one password.
///
/// # Errors
/// When one has two.
pub fn judge_sameness(
    hub: &PasswordHub,
    directory: &PasswordDirectory,
    whose: Whose,
    when: &str,
) -> Result<(), Breach> {
    for (guid, account) in directory.iter().filter(|(_, account)| account.in_scope) {
        let is_repeated = was_set_twice(hub, directory, guid, &account.password);
        if whose == Whose::WithoutRepetitions && is_repeated {
            continue;
        }
        let (here, there, stored) = (hub.opens_with(guid), &account.password, hub.stored(guid));
        let newest = directory.newest_of(guid, SHOWN_MAX);
        let clock = directory.ahead;
        if here.as_ref() != Some(there) {
            let what = format!(
                "{when}: {guid} has {there} in the directory, whose clock is ahead by {clock:?} and \
                 which took {newest:?}; the hub has {here:?}, {stored:?}"
            );
            return Err(Clause::Converges.broken(what));
        }
        let is_temporary = stored.is_some_and(|stored| stored.kind == PasswordKind::Temporary);
        // A word of the first time may come after the hash of the second one.
        if is_temporary != account.must_change && !is_repeated {
            let what = format!("{when}: {guid} is {account:?} in the directory, {stored:?} here");
            return Err(Clause::Converges.broken(what));
        }
    }
    Ok(())
}

/// Whether the directory took a password more than once, or several people asked for it.
fn was_set_twice(
    hub: &PasswordHub,
    directory: &PasswordDirectory,
    guid: Guid,
    password: &str,
) -> bool {
    let taken: Vec<_> = directory
        .taken
        .iter()
        .filter(|taken| taken.guid == guid && taken.password == password)
        .collect();
    let there = taken
        .iter()
        .filter(|taken| !matches!(taken.source, Source::Writeback { .. }));
    let here = hub
        .operations()
        .filter(|(_, record)| record.guid == guid && record.password == password);
    taken.len() > 1 || there.count() + here.count() > 1
}
