//! The agent's loop, step by step: open a session, read, plan, write, report, close.
//!
//! Invariant: everything that decides what is written is the real engine; this loop only fetches
//! its inputs and carries out its plan, by the rules that the agent's own loop has to keep:
//! the stored index counts only while the hub holds the token that it covers and nobody else has had
//! a session since, and it covers nothing while a batch is being written. Deliberately absent: concurrency inside an agent.

mod reader;
mod writer;

use std::collections::BTreeSet;

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::guard::{self, Limit, Removals, Removed};
use rollcall_agent::engine::index::Index;
use rollcall_agent::engine::mapping::Mapping;
use rollcall_agent::engine::plan::{self, Plan, Rules, Stop};
use rollcall_agent::engine::scope::Scope;
use rollcall_domain::id::SessionId;
use rollcall_domain::progress::{ChangeType, ObjectType, Progress};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::{self, OpenOutcome, SyncMode, SyncSession, Verdict};
use rollcall_domain::tally::Tally;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::directory::Cookie;
use crate::events;
use crate::hub::{self, Hub};
use crate::oracle::{Promise, Settings};
use crate::world::{Flaw, REMOVALS_MAX, Weather, World};

/// How many agents there are for the one pool.
pub const AGENTS: usize = 2;
const BATCHES_MAX: usize = 3;
/// Passes over the plan of one batch.
const PASSES_MAX: usize = 3;
const EVENTS_BETWEEN_BATCHES_MAX: usize = 3;
const BATCH_INTERVAL: Span = Span::seconds(30);
const HEARTBEAT_INTERVAL: Span = Span::seconds(20);

/// An agent's disk.
#[derive(Debug)]
pub struct Agent {
    name: String,
    stored: Option<Stored>,
}

/// The index as it was last saved.
#[derive(Debug, Clone)]
struct Stored {
    binding: String,
    token: Option<String>,
    /// The last session of this agent through which it stayed current.
    session: SessionId,
    cookie: Cookie,
    index: Index,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its session was closed as successful.
    Completed,
    /// There was no session to be had.
    NotDue,
    /// It was given up.
    GivenUp(Interrupt),
}

/// Why a run is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupt {
    /// The agent died; nothing it had in memory is left.
    Crashed,
    /// The hub does not answer.
    Unreachable,
    /// The session is over.
    LeaseLost,
    /// The directory broke off.
    ReadFailed,
    /// The hub refused something that is not about one item.
    Refused(Refusal),
    /// The engine will not act on what was read.
    Stopped(String),
}

struct Run<'w> {
    world: &'w mut World,
    agent: &'w mut Agent,
    session: SessionId,
    settings: Settings,
    mapping: Mapping,
    index: Index,
    cookie: Cookie,
    progress: Progress,
    totals: Tally,
    failed: BTreeSet<(Guid, ObjectType, ChangeType)>,
    failures: usize,
    removed: Removed,
    renewed_at: Timestamp,
    calls: u64,
}

impl Agent {
    /// A new agent with an empty disk.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            name: format!("agent-{number}"),
            stored: None,
        }
    }
}

/// Whether a refusal says that the session is over.
#[must_use]
pub fn is_lease_lost(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Precondition { reason, .. }
            if [sync_session::REASON_NOT_OPEN, sync_session::REASON_ENDED_OTHERWISE].contains(reason)
    )
}

/// One run of an agent. While it is stopped, another agent may run inside.
pub fn run(world: &mut World, who: usize) -> Outcome {
    let Some(place) = world.agents.get_mut(who) else {
        return Outcome::NotDue;
    };
    let mut agent = std::mem::replace(place, Agent::new(who));
    world.depth += 1;
    let outcome = match attend(world, &mut agent) {
        Ok(outcome) => outcome,
        Err(interrupt) => Outcome::GivenUp(interrupt),
    };
    world.depth -= 1;
    if let Some(place) = world.agents.get_mut(who) {
        // A second process of the same agent may have run meanwhile: the disk is that of whoever
        // wrote last, and each of them distrusts it unless its token is the hub's.
        *place = agent;
    }
    outcome
}

fn attend(world: &mut World, agent: &mut Agent) -> Result<Outcome, Interrupt> {
    let name = agent.name.clone();
    let opened = world.exchange(|hub, now| hub.open(&name, now))?;
    let session = match opened.map_err(Interrupt::Refused)? {
        OpenOutcome::Success { session, .. } => session,
        OpenOutcome::OpenedSessionExists { .. } | OpenOutcome::TooEarly { .. } => {
            return Ok(Outcome::NotDue);
        }
    };
    world.renewed(&session.id);
    let settings = world.settings.clone();
    let mut run = Run {
        mapping: Mapping::new(hub::DOMAIN, settings.replacement_domain),
        index: Index::default(),
        cookie: world.directory.cookie(),
        progress: Progress::default(),
        totals: Tally::default(),
        failed: BTreeSet::new(),
        failures: 0,
        removed: Removed::default(),
        renewed_at: world.now(),
        calls: 0,
        session: session.id.clone(),
        settings,
        agent,
        world,
    };
    match run.work(&session) {
        Ok(()) => run.close(&Verdict::Successful).map(|()| Outcome::Completed),
        Err(interrupt) => {
            if !matches!(interrupt, Interrupt::Crashed | Interrupt::LeaseLost) {
                // The first reason counts, whether or not the hub can be told.
                let _ = run.close(&Verdict::Failed {
                    reason: "given up".to_owned(),
                });
            }
            Err(interrupt)
        }
    }
}

impl Run<'_> {
    fn work(&mut self, session: &SyncSession) -> Result<(), Interrupt> {
        self.world.begin_window(&self.session);
        self.begin_session();
        let stored = self.agent.stored.clone();
        match stored.filter(|stored| self.is_current(stored)) {
            Some(stored) if session.sync_mode == SyncMode::Delta => {
                self.index = stored.index;
                self.cookie = stored.cookie;
                self.read_increment()?;
            }
            _ => self.read_everything()?,
        }
        self.act()?;
        let storm = self.world.weather == Weather::Storm;
        let batches = if storm {
            self.world.dice.below(BATCHES_MAX)
        } else {
            0
        };
        for _ in 0..batches {
            for _ in 0..self.world.dice.below(EVENTS_BETWEEN_BATCHES_MAX) {
                events::directory(self.world);
            }
            self.world.pass(BATCH_INTERVAL);
            self.world.begin_window(&self.session);
            self.read_increment()?;
            self.act()?;
        }
        Ok(())
    }

    /// After a session of another agent, or of another process, the stored index covers nothing:
    /// that one may have died after it wrote and before it stored its token.
    fn begin_session(&mut self) {
        let others = self.world.hub.sessions().iter().rev();
        let mut others = others.filter(|session| session.id != self.session);
        let previous = others.next().map(|session| session.id.clone());
        let Some(stored) = &mut self.agent.stored else {
            return;
        };
        if self.world.flaw != Flaw::TrustsTheTokenAlone
            && previous.as_ref() != Some(&stored.session)
        {
            stored.token = None;
        }
        stored.session = self.session.clone();
    }

    /// Whether nobody has written to the hub since the index was saved.
    fn is_current(&self, stored: &Stored) -> bool {
        let covered = stored.token.is_some() && stored.token == self.world.hub.token();
        let trusted = covered || self.world.flaw == Flaw::TrustsAnyStoredIndex;
        trusted && stored.binding == self.mapping.fingerprint()
    }

    fn plan(&mut self) -> Result<(Plan, Removals), Interrupt> {
        let scope = Scope {
            units: self.settings.units.clone(),
            groups: self.settings.groups.clone(),
        };
        let rules = Rules {
            remove_user_behavior: self.settings.remove_user_behavior,
            nested_groups: self.settings.nested_groups,
            now: self.world.now(),
        };
        let plan = plan::plan(&self.index, &scope, &rules).map_err(|stop| {
            if !matches!(stop, Stop::FilterGone(_)) {
                self.world.coverage.incomplete_pictures += 1;
            }
            Interrupt::Stopped(stop.to_string())
        })?;
        let removals = Removals::of(&plan, &self.index);
        let name = |guid| plan::name(&self.index, guid);
        guard::check(&removals, self.limit(), &self.removed, name).map_err(|stop| {
            self.world.coverage.removals_stopped += 1;
            Interrupt::Stopped(stop.to_string())
        })?;
        Ok((plan, removals))
    }

    fn limit(&self) -> Limit {
        match self.world.weather {
            Weather::Storm => Limit::Count(REMOVALS_MAX),
            Weather::Calm => Limit::Off,
        }
    }

    /// Plans and writes one batch, and makes it the new starting point.
    fn act(&mut self) -> Result<(), Interrupt> {
        let inactive = self.index.inactive_users();
        self.plan_and_write()?;
        if inactive.iter().any(|user| self.index.is_active(*user)) {
            self.list_members_again()?;
            self.plan_and_write()?;
        }
        self.report()?;
        let token = self.token();
        let session = self.session.clone();
        self.about_session(|hub, now| hub.set_token(&token, &session, now))?;
        self.world.step()?;
        self.agent.stored = Some(Stored {
            binding: self.mapping.fingerprint(),
            token: Some(token),
            session: self.session.clone(),
            cookie: self.cookie,
            index: self.index.clone(),
        });
        Ok(())
    }

    /// A conflict may go away by what the same batch did, so there are further passes while the
    /// plan changes.
    fn plan_and_write(&mut self) -> Result<(), Interrupt> {
        let (mut plan, mut removals) = self.plan()?;
        for _ in 0..PASSES_MAX {
            if let Some(stored) = &mut self.agent.stored {
                stored.token = None;
            }
            for loss in removals.losses(self.limit(), self.world.now()) {
                self.removed.add(loss);
            }
            let refused = self.write(&plan)?;
            if refused == 0 {
                return Ok(());
            }
            let next = self.plan()?;
            if next.0 == plan {
                return Ok(());
            }
            (plan, removals) = next;
        }
        Ok(())
    }

    /// The token says how far the directory was read, and not by whom.
    fn token(&self) -> String {
        format!("{:?}", self.cookie)
    }

    fn close(&mut self, verdict: &Verdict) -> Result<(), Interrupt> {
        let id = self.session.clone();
        self.about_session(|hub, now| hub.close(&id, verdict, now).map(drop))?;
        if *verdict == Verdict::Successful {
            self.world.coverage.sessions_completed += 1;
        }
        Ok(())
    }

    fn report(&mut self) -> Result<(), Interrupt> {
        let entries = self.progress.entries();
        if entries.is_empty() {
            return Ok(());
        }
        let id = self.session.clone();
        let before = self.stored_progress();
        self.about_session(|hub, now| hub.report(&id, &entries, now).map(drop))?;
        self.renewed();
        let after = self.stored_progress();
        for (object, change, counts) in before.cells() {
            let later = after.get(object, change).unwrap_or_default();
            if later.successful < counts.successful || later.failed < counts.failed {
                let what = format!("{object} {change} went from {counts:?} to {later:?}");
                self.world.violate(Promise::ExactCounters, what);
            }
        }
        Ok(())
    }

    fn stored_progress(&self) -> Progress {
        let sessions = self.world.hub.sessions();
        let session = sessions.iter().find(|session| session.id == self.session);
        session
            .map(|session| session.progress.clone())
            .unwrap_or_default()
    }

    fn beat(&mut self) -> Result<(), Interrupt> {
        if self.world.now().since(self.renewed_at) < HEARTBEAT_INTERVAL {
            return Ok(());
        }
        let id = self.session.clone();
        self.about_session(|hub, now| hub.heartbeat(&id, now).map(drop))?;
        self.renewed();
        Ok(())
    }

    fn renewed(&mut self) {
        self.renewed_at = self.world.now();
        self.world.renewed(&self.session);
    }

    fn about_session(
        &mut self,
        call: impl Fn(&mut Hub, Timestamp) -> Result<(), Refusal>,
    ) -> Result<(), Interrupt> {
        match self.world.exchange(call)? {
            Ok(()) => Ok(()),
            Err(refusal) if is_lease_lost(&refusal) => Err(Interrupt::LeaseLost),
            Err(refusal) => Err(Interrupt::Refused(refusal)),
        }
    }
}
