//! One simulated world: its parts, its history, and the judgement on it.
//!
//! Invariant: everything that happens is decided by the seed. First comes bad weather with runs,
//! changes and faults of all kinds, then calm, in which the promises of convergence must come
//! true.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::plan::{NestedGroups, RemoveUserBehavior};
use rollcall_domain::id::SessionId;
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::SessionStatus;
use rollcall_domain::user::SuspensionCause;
use rollcall_kit::clock::{Clock, ManualClock};
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::agent::{self, Agent, Outcome};
use crate::dice::Dice;
use crate::directory::Directory;
use crate::events;
use crate::hub::{Counting, Effect, Envelope, Hub, Write};
use crate::oracle::{Promise, Settings, Truth, Violation};

/// A session lives that long without a sign of life (decision U2). Told again here, so that the
/// judgement does not rest on the code it judges.
pub const LEASE: Span = Span::seconds(60);
/// Most users and most groups that one batch may delete in bad weather.
pub const REMOVALS_MAX: usize = 6;
const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
const ROUNDS_STORMY_MAX: usize = 16;
const EVENTS_BETWEEN_RUNS_MAX: usize = 8;
/// Runs until the hub must equal the directory.
const RUNS_TO_CONVERGE: usize = 2;
/// Runs until names that were passed on in a chain have settled: each run can pass on one.
const RUNS_TO_SETTLE_MAX: usize = 12;

/// Whether faults happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They do, and the directory changes while agents work.
    Storm,
    /// They do not.
    Calm,
}

/// Who changes the hub beside the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interference {
    /// Administrators, and those who take rights away; at the end they demand a full run.
    Administrators,
    /// Nobody: the agents have to find their way without a demand for a full run.
    Nobody,
}

/// A mistake put into the agent on purpose, to show that the judgement finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// None: the agent as it should be.
    None,
    /// What was not seen counts as deleted.
    RemovesOnAbsence,
    /// Writes do not name their session.
    WritesWithoutFence,
    /// A repeated call gets a new idempotency key.
    NewKeyPerAttempt,
    /// A refused item ends the run.
    StopsAtRefusedItem,
    /// After an increment the children of reported units are taken for gone.
    ForgetsChildrenOfMovedUnits,
    /// An index is taken for current although another agent may have worked since.
    TrustsAnyStoredIndex,
    /// An index is taken for current when its token is the hub's, whoever had a session since.
    TrustsTheTokenAlone,
    /// What an index says about activation is believed although others may have changed it.
    TrustsStaleActivation,
    /// The hub leaves counting to agents, which may die before they report.
    HubDoesNotCount,
}

/// How often the rare things happened, so that a test can demand that they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Full runs that were read to the end.
    pub full_reads: usize,
    /// Increments that were read to the end.
    pub delta_reads: usize,
    /// Agents that died.
    pub crashes: usize,
    /// Agents that were stopped for longer than their lease.
    pub stalls: usize,
    /// Agents that worked while another one was stopped.
    pub takeovers: usize,
    /// Writes refused because their session was over.
    pub stale_writes_refused: usize,
    /// Calls refused for another reason.
    pub items_refused: usize,
    /// Copies of calls that arrived late.
    pub late_copies: usize,
    /// Plans that stopped because something was not visible.
    pub incomplete_pictures: usize,
    /// Plans that stopped at the limit of removals.
    pub removals_stopped: usize,
    /// Cookies the directory refused.
    pub cookies_refused: usize,
    /// Effects on the hub.
    pub effects: usize,
    /// Sessions that ended well.
    pub sessions_completed: usize,
}

/// A world that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed}: {violation}\nrepeat with ROLLCALL_SIM_SEED={seed} cargo nextest run -p rollcall-sim"
)]
pub struct Failure {
    /// The seed to repeat it.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The source of all choices.
    pub dice: Dice,
    /// The present.
    pub clock: ManualClock,
    /// The directory.
    pub directory: Directory,
    /// The hub.
    pub hub: Hub,
    /// The administrator's settings.
    pub settings: Settings,
    /// Whether faults happen.
    pub weather: Weather,
    /// Whether somebody else changes the hub.
    pub interference: Interference,
    /// The mistake under test.
    pub flaw: Flaw,
    /// The rare things so far.
    pub coverage: Coverage,
    /// How many runs are going on, one inside the stall of another.
    pub depth: usize,
    pub(crate) agents: Vec<Agent>,
    pub(crate) late: Vec<Envelope>,
    keys: u64,
    pub(crate) refused_keys: BTreeSet<String>,
    pub(crate) leases: BTreeMap<SessionId, Timestamp>,
    windows: BTreeMap<SessionId, Vec<Truth>>,
    tallies: BTreeMap<SessionId, BTreeMap<(ObjectType, ChangeType), i64>>,
    removals: BTreeMap<(SessionId, ObjectType), usize>,
    /// The attempt by which each call was carried out.
    carried_out: BTreeMap<String, String>,
    violation: Option<Violation>,
}

impl Coverage {
    /// Adds what happened in another world.
    pub fn add(&mut self, other: Self) {
        self.full_reads += other.full_reads;
        self.delta_reads += other.delta_reads;
        self.crashes += other.crashes;
        self.stalls += other.stalls;
        self.takeovers += other.takeovers;
        self.stale_writes_refused += other.stale_writes_refused;
        self.items_refused += other.items_refused;
        self.late_copies += other.late_copies;
        self.incomplete_pictures += other.incomplete_pictures;
        self.removals_stopped += other.removals_stopped;
        self.cookies_refused += other.cookies_refused;
        self.effects += other.effects;
        self.sessions_completed += other.sessions_completed;
    }

    /// The names of what never happened.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let all = [
            ("full_reads", self.full_reads),
            ("delta_reads", self.delta_reads),
            ("crashes", self.crashes),
            ("stalls", self.stalls),
            ("takeovers", self.takeovers),
            ("stale_writes_refused", self.stale_writes_refused),
            ("items_refused", self.items_refused),
            ("late_copies", self.late_copies),
            ("incomplete_pictures", self.incomplete_pictures),
            ("removals_stopped", self.removals_stopped),
            ("cookies_refused", self.cookies_refused),
            ("effects", self.effects),
            ("sessions_completed", self.sessions_completed),
        ];
        all.into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Runs the world of a seed to its end.
///
/// # Errors
/// [`Failure`] when a promise was broken.
pub fn simulate(seed: u64, flaw: Flaw) -> Result<Coverage, Failure> {
    let failed = |violation| Failure { seed, violation };
    let mut world = World::new(seed, flaw).map_err(|refusal| {
        failed(Violation {
            promise: Promise::Convergence,
            what: refusal.to_string(),
        })
    })?;
    world.storm();
    world.calm_down();
    world.judge_counters();
    match world.violation.take() {
        Some(violation) => Err(failed(violation)),
        None => Ok(world.coverage),
    }
}

impl World {
    fn new(seed: u64, flaw: Flaw) -> Result<Self, Refusal> {
        let dice = Dice::new(seed);
        let mut world = Self {
            clock: ManualClock::at(START),
            directory: Directory::default(),
            hub: Hub::new(
                match flaw {
                    Flaw::HubDoesNotCount => Counting::Off,
                    _ => Counting::On,
                },
                START,
            )?,
            settings: Settings {
                units: BTreeSet::new(),
                groups: BTreeSet::new(),
                remove_user_behavior: dice
                    .one_of(RemoveUserBehavior::Remove, &[RemoveUserBehavior::Block]),
                nested_groups: dice.one_of(NestedGroups::Direct, &[NestedGroups::Flatten]),
                replacement_domain: None,
            },
            interference: dice.one_of(Interference::Administrators, &[Interference::Nobody]),
            dice,
            weather: Weather::Storm,
            flaw,
            coverage: Coverage::default(),
            depth: 0,
            agents: (0..agent::AGENTS).map(Agent::new).collect(),
            late: Vec::new(),
            keys: 0,
            refused_keys: BTreeSet::new(),
            leases: BTreeMap::new(),
            windows: BTreeMap::new(),
            tallies: BTreeMap::new(),
            removals: BTreeMap::new(),
            carried_out: BTreeMap::new(),
            violation: None,
        };
        events::populate(&mut world);
        Ok(world)
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh idempotency key.
    pub fn new_key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}", self.keys)
    }

    fn storm(&mut self) {
        for _ in 0..=self.dice.below(ROUNDS_STORMY_MAX) {
            for _ in 0..=self.dice.below(EVENTS_BETWEEN_RUNS_MAX) {
                events::any(self);
            }
            self.note_truth();
            self.pass(crate::hub::INTERVAL);
            let who = self.dice.below(agent::AGENTS);
            agent::run(self, who);
            if self.violation.is_some() {
                return;
            }
        }
    }

    fn calm_down(&mut self) {
        events::repair(self);
        self.weather = Weather::Calm;
        for _ in 0..RUNS_TO_CONVERGE {
            self.calm_run();
        }
        self.judge_hub("after the first runs without faults");
        for _ in 0..RUNS_TO_SETTLE_MAX {
            if self.violation.is_some() {
                return;
            }
            let before = self.coverage.effects;
            self.calm_run();
            if self.coverage.effects == before {
                self.judge_hub("when there was nothing left to write");
                return;
            }
        }
        self.violate(
            Promise::Convergence,
            "the runs never come to rest".to_owned(),
        );
    }

    fn calm_run(&mut self) {
        self.pass(crate::hub::INTERVAL);
        let who = self.dice.below(agent::AGENTS);
        match agent::run(self, who) {
            Outcome::Completed => {}
            other => self.violate(
                Promise::Convergence,
                format!("a run without faults ended with {other:?}"),
            ),
        }
    }

    fn judge_hub(&mut self, when: &str) {
        let truth = Truth::of(&self.directory, &self.settings);
        let behavior = self.settings.remove_user_behavior;
        if let Err(difference) = truth.check(&self.hub, behavior, self.now()) {
            self.violate(Promise::Convergence, format!("{when}: {difference}"));
        }
    }

    /// Notes a broken promise; the first one counts.
    pub fn violate(&mut self, promise: Promise, what: String) {
        self.violation.get_or_insert(Violation { promise, what });
    }

    /// A session begins to read: from now on its writes must be asked for by what can be read.
    pub fn begin_window(&mut self, session: &SessionId) {
        let truth = Truth::of(&self.directory, &self.settings);
        self.windows.insert(session.clone(), vec![truth]);
        self.removals.clear();
    }

    /// Something changed: open sessions may act on the new state too.
    pub fn note_truth(&mut self) {
        let open = self
            .hub
            .sessions()
            .iter()
            .filter(|s| s.status == SessionStatus::Opened);
        let open: Vec<SessionId> = open.map(|session| session.id.clone()).collect();
        for session in open {
            if let Some(window) = self.windows.get_mut(&session) {
                window.push(Truth::of(&self.directory, &self.settings));
            }
        }
    }

    /// Judges what agents have written since the last call.
    pub fn judge_writes(&mut self) {
        for write in self.hub.take_writes() {
            self.coverage.effects += usize::from(!self.is_vain(write.effect));
            self.judge_key(&write);
            let Some(session) = write.session else {
                self.violate(
                    Promise::OneWriter,
                    format!("{:?} named no session", write.effect),
                );
                continue;
            };
            let newest = self
                .hub
                .sessions()
                .last()
                .is_some_and(|newest| newest.id == session);
            let alive = self.leases.get(&session).is_some_and(|end| write.at < *end);
            if !newest || !alive {
                let what = format!("{:?} in session {session}, which was over", write.effect);
                self.violate(Promise::OneWriter, what);
            }
            let window = self.windows.get(&session);
            if !window.is_some_and(|states| states.iter().any(|t| t.asks_for(write.effect))) {
                let what = format!("nothing in the directory asked for {:?}", write.effect);
                self.violate(Promise::NoUnrequestedRemoval, what);
            }
            let tally = self.tallies.entry(session.clone()).or_default();
            if write.changed {
                *tally.entry(cell(write.effect)).or_default() += 1;
            }
            self.judge_removal(session, write.effect);
        }
    }

    /// Whether a write changed nothing: an agent may not undo the suspension of an administrator,
    /// and cannot see whose it is.
    fn is_vain(&self, effect: Effect) -> bool {
        let Effect::UserReactivated(guid) = effect else {
            return false;
        };
        let user = self.hub.resolve_user(guid);
        user.is_some_and(|user| user.suspension.has(SuspensionCause::Admin))
    }

    /// Judges that a call which was made several times was carried out once.
    fn judge_key(&mut self, write: &Write) {
        let call = write.key.split(' ').next().unwrap_or_default();
        let carried_out = self.carried_out.entry(call.to_owned());
        if *carried_out.or_insert_with(|| write.key.clone()) != write.key {
            let what = format!(
                "{:?} was carried out by two attempts of {call}",
                write.effect
            );
            self.violate(Promise::ExactCounters, what);
        }
    }

    fn judge_removal(&mut self, session: SessionId, effect: Effect) {
        let object = match effect {
            Effect::UserDeleted(_) => ObjectType::User,
            Effect::GroupDeleted(_) => ObjectType::Group,
            _ => return,
        };
        let removals = self.removals.entry((session, object)).or_default();
        *removals += 1;
        if *removals > REMOVALS_MAX && self.weather == Weather::Storm {
            let what = format!("one batch deleted more than {REMOVALS_MAX} of {object}");
            self.violate(Promise::NoUnrequestedRemoval, what);
        }
    }

    /// Judges the counters of all sessions, however they ended: each counts what was done in it.
    fn judge_counters(&mut self) {
        self.judge_writes();
        let mut wrong = Vec::new();
        for session in self.hub.sessions() {
            let counted = self.hub.counted(session);
            let shown: BTreeMap<_, _> = counted
                .progress
                .cells()
                .filter(|(.., counts)| counts.successful > 0)
                .map(|(object, change, counts)| ((object, change), counts.successful))
                .collect();
            let done = self.tallies.get(&session.id).cloned().unwrap_or_default();
            if shown != done {
                let (id, status) = (&session.id, session.status);
                wrong.push(format!(
                    "session {id}, {status}, shows {shown:?}, but did {done:?}"
                ));
            }
        }
        for what in wrong {
            self.violate(Promise::ExactCounters, what);
        }
    }
}

/// The counter that an effect belongs to.
fn cell(effect: Effect) -> (ObjectType, ChangeType) {
    match effect {
        Effect::UserCreated(_) => (ObjectType::User, ChangeType::Create),
        Effect::UserUpdated(_) => (ObjectType::User, ChangeType::Update),
        Effect::UserSuspended(_) => (ObjectType::User, ChangeType::Deactivate),
        Effect::UserReactivated(_) => (ObjectType::User, ChangeType::Activate),
        Effect::UserDeleted(_) => (ObjectType::User, ChangeType::Delete),
        Effect::GroupCreated(_) => (ObjectType::Group, ChangeType::Create),
        Effect::GroupUpdated(_) => (ObjectType::Group, ChangeType::Update),
        Effect::GroupDeleted(_) => (ObjectType::Group, ChangeType::Delete),
        Effect::MemberAdded { .. } => (ObjectType::Membership, ChangeType::Create),
        Effect::MemberRemoved { .. } => (ObjectType::Membership, ChangeType::Delete),
    }
}
