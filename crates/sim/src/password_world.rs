//! One simulated world of passwords: a directory, hubs on one storage, agents, people, and faults.
//!
//! Invariant: everything that happens is decided by the seed. First comes bad weather, then calm, in
//! which both sides must come to have the same passwords: when the streams have caught up, and again
//! after all hashes were read once more.

use rollcall_domain::password_writeback::Arrival;
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::dice::Dice;
use crate::password_agent::{PasswordAgent, hashes, writeback};
use crate::password_coverage::PasswordCoverage;
use crate::password_directory::PasswordDirectory;
use crate::password_hub::{Ending, PasswordHub, Why};
use crate::password_link::{Call, ServerStream};
use crate::password_oracle::{
    self, Breach, JOB_PAUSE, PasswordOracle, Whose, judge_sameness, judge_time,
};
use crate::password_people;
use crate::world::Weather;

/// Longest step of time.
pub const TICK_MAX: Span = Span::millis(1_000);
const TICK_MILLIS_MAX: usize = 1_000;
const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
const TICKS_STORMY_MAX: usize = 500;
/// Longer than any operation lives, with the patience of agents.
const TICKS_TO_SETTLE_MAX: usize = 3_000;
/// Looks of the hash stream, and the end of a session that nobody holds any more.
const TICKS_TO_CATCH_UP: usize = 300;
/// How far the clocks of the directory and of the hub are apart at most: what Kerberos bears.
const SKEW_MILLIS_MAX: usize = 300_000;
/// The same of the clocks of agents.
const AGENT_SKEW_MILLIS_MAX: usize = 20_000;

/// A mistake put into a rule on purpose, to show that the judgement finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFlaw {
    /// None.
    None,
    /// The hub stores a new password before the directory has it.
    StoresAtOnce,
    /// The hub dates what was written back by its own clock.
    DatesByTheOwnClock,
    /// The hub takes what was written back for newer than what came from the directory meanwhile.
    OverwritesWhatCameMeanwhile,
    /// A change begins while another one of the user is pending.
    BeginsWhileOneIsPending,
    /// Whoever listens gets the changes.
    ServesStandBys,
    /// Changes whose time is over are not ended.
    NeverEndsLate,
    /// The agent takes no answer of the directory for a good one.
    TakesSilenceForSuccess,
    /// The agent does not ask whether another one has written what it was to write.
    BelievesThatTheOldOneIsWrong,
    /// The agent takes the clock of the directory for its own when it asks that.
    ForgetsThatClocksDiffer,
    /// The agent does not look at its notes.
    ForgetsWhatItBegan,
}

/// A world that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed}: {breach}\nrepeat with ROLLCALL_SIM_SEED={seed} cargo nextest run -p rollcall-sim -E 'binary(password_seeds)'"
)]
pub struct PasswordFailure {
    /// The seed to repeat it.
    pub seed: u64,
    /// What was broken.
    pub breach: Breach,
}

/// A process of the hub.
#[derive(Debug)]
pub struct Process {
    /// Since when it is up; `None` = it is not.
    pub up_since: Option<Timestamp>,
    up_at: Timestamp,
    job_at: Timestamp,
}

/// Everything there is.
#[derive(Debug)]
pub struct PasswordWorld {
    /// The source of all choices.
    pub dice: Dice,
    /// The present, by the hub's clock.
    pub now: Timestamp,
    /// The directory.
    pub directory: PasswordDirectory,
    /// It cannot be reached until then.
    pub directory_away_until: Timestamp,
    /// What the hubs share.
    pub hub: PasswordHub,
    /// The hubs.
    pub processes: Vec<Process>,
    /// The agents.
    pub agents: Vec<PasswordAgent>,
    /// Streams of changes.
    pub streams: Vec<ServerStream>,
    /// Calls that arrive later.
    pub late: Vec<(Timestamp, Call)>,
    /// Whether faults happen.
    pub weather: Weather,
    /// The mistake under test.
    pub flaw: PasswordFlaw,
    /// What happened.
    pub coverage: PasswordCoverage,
    /// The judgement.
    pub oracle: PasswordOracle,
    breach: Option<Breach>,
    numbers: u64,
}

/// Runs the world of a seed to its end.
///
/// # Errors
/// [`PasswordFailure`] when a promise was broken.
pub fn simulate(seed: u64, flaw: PasswordFlaw) -> Result<PasswordCoverage, PasswordFailure> {
    let failed = |breach| PasswordFailure { seed, breach };
    let mut world = PasswordWorld::new(seed, flaw).map_err(|refusal| {
        failed(Breach {
            clause: password_oracle::Clause::Converges,
            what: refusal.to_string(),
        })
    })?;
    world.storm();
    world.calm_down();
    world.count_endings();
    match world.breach.take() {
        Some(breach) => Err(failed(breach)),
        None => Ok(world.coverage),
    }
}

impl PasswordWorld {
    fn new(seed: u64, flaw: PasswordFlaw) -> Result<Self, Refusal> {
        let dice = Dice::new(seed);
        let skew = match flaw {
            // It matters only then.
            PasswordFlaw::ForgetsThatClocksDiffer => Span::millis(-(SKEW_MILLIS_MAX as i64)),
            _ => skew(&dice),
        };
        let minimum_age = dice.one_of(Span::ZERO, &[Span::seconds(20), Span::minutes(10)]);
        let shows_traces = !dice.chance(150);
        let time = dice.one_of(10, &[20, 60, 60, 60, 300]);
        let agents = (0..dice.one_of(1, &[2, 2]))
            .map(|number| {
                let own = dice.below(2 * AGENT_SKEW_MILLIS_MAX) as i64;
                let own = Span::millis(own - AGENT_SKEW_MILLIS_MAX as i64);
                let ahead = dice.one_of(Span::ZERO, &[own]);
                PasswordAgent::new(number, ahead, START)
            })
            .collect();
        let processes = (0..=dice.below(2)).map(|_| Process {
            up_since: Some(START),
            up_at: START,
            job_at: START,
        });
        let mut world = Self {
            now: START,
            directory: PasswordDirectory::new(skew, minimum_age, shows_traces),
            directory_away_until: START,
            hub: PasswordHub::new(flaw, Span::seconds(time), START)?,
            processes: processes.collect(),
            agents,
            streams: Vec::new(),
            late: Vec::new(),
            weather: Weather::Storm,
            flaw,
            coverage: PasswordCoverage::default(),
            oracle: PasswordOracle::default(),
            breach: None,
            numbers: 0,
            dice,
        };
        for _ in 0..=world.dice.below(3) {
            password_people::join(&mut world);
        }
        world.sync_objects();
        world.count_shape();
        Ok(world)
    }

    /// Whether something of `permille` happens, which it does in bad weather only.
    pub fn happens(&self, permille: usize) -> bool {
        self.weather == Weather::Storm && self.dice.chance(permille)
    }

    /// A time after a pause.
    #[must_use]
    pub fn pause(&self, millis_max: usize) -> Timestamp {
        self.now
            .plus(Span::millis(self.dice.below(millis_max) as i64))
    }

    /// A number that was not there before.
    pub fn new_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A password that was not there before.
    pub fn new_password(&mut self) -> String {
        format!("password-{}", self.new_number())
    }

    /// The present by the clock of an agent.
    #[must_use]
    pub fn clock_of(&self, agent: usize) -> Timestamp {
        let agent = self.agents.get(agent);
        self.now.plus(agent.map_or(Span::ZERO, |agent| agent.ahead))
    }

    /// Whether a controller answers.
    #[must_use]
    pub fn directory_is_reached(&self) -> bool {
        self.directory_away_until <= self.now
    }

    /// Whether any hub answers.
    #[must_use]
    pub fn hub_is_reached(&self) -> bool {
        !self.processes_up().is_empty()
    }

    /// The hubs that are up.
    #[must_use]
    pub fn processes_up(&self) -> Vec<usize> {
        let up = self.processes.iter().enumerate();
        up.filter(|(_, process)| process.up_since.is_some())
            .map(|(number, _)| number)
            .collect()
    }

    /// An agent is killed, and started again later.
    pub fn kill_agent(&mut self, who: usize) {
        self.cut_streams(who);
        let until = self.now.plus(password_people::away(self));
        if let Some(agent) = self.agents.get_mut(who) {
            agent.kill(until);
        }
        self.coverage.count("agents_killed");
    }

    /// A hub is killed, and started again later.
    pub fn kill_hub(&mut self, number: usize) {
        let up_at = self.now.plus(password_people::away(self));
        if let Some(process) = self.processes.get_mut(number) {
            process.up_since = None;
            process.up_at = up_at;
        }
        self.end_streams_of(number);
        self.coverage.count("hubs_killed");
    }

    /// Notes a broken promise; the first one counts.
    pub fn broken(&mut self, breach: Breach) {
        self.breach.get_or_insert(breach);
    }

    fn storm(&mut self) {
        for _ in 0..=self.dice.below(TICKS_STORMY_MAX) {
            if self.dice.chance(120) {
                password_people::any(self);
            }
            if self.dice.chance(20) {
                password_people::fault(self);
            }
            if self.dice.chance(50) && self.hub_is_reached() {
                self.sync_objects();
            }
            self.tick();
            if self.breach.is_some() {
                return;
            }
        }
    }

    fn calm_down(&mut self) {
        self.weather = Weather::Calm;
        self.directory_away_until = self.now;
        for agent in &mut self.agents {
            agent.away_until = self.now;
        }
        for process in &mut self.processes {
            process.up_at = self.now;
        }
        self.tick();
        self.sync_objects();
        for _ in 0..TICKS_TO_SETTLE_MAX {
            if self.is_at_rest() || self.breach.is_some() {
                break;
            }
            self.tick();
        }
        if !self.is_at_rest() && self.breach.is_none() {
            self.broken(Breach {
                clause: password_oracle::Clause::Converges,
                what: "the agents never come to rest".to_owned(),
            });
        }
        self.catch_up();
        self.judge_sameness(Whose::WithoutRepetitions, "when the streams had caught up");
        // An administrator has all hashes read.
        self.hub.cursor = None;
        self.hub.end_session();
        self.catch_up();
        self.judge_sameness(Whose::All, "when all hashes had been read");
    }

    fn catch_up(&mut self) {
        for _ in 0..TICKS_TO_CATCH_UP {
            self.tick();
        }
    }

    fn judge_sameness(&mut self, whose: Whose, when: &str) {
        if let Err(breach) = judge_sameness(&self.hub, &self.directory, whose, when) {
            self.broken(breach);
        }
    }

    fn is_at_rest(&self) -> bool {
        let agents = self.agents.iter();
        self.hub.pending().is_empty()
            && self.late.is_empty()
            && agents
                .map(|agent| &agent.writeback)
                .all(|it| it.is_at_rest())
    }

    /// A moment in which everybody does at most one thing.
    fn tick(&mut self) {
        let millis = 1 + self.dice.below(TICK_MILLIS_MAX);
        self.now = self.now.plus(Span::millis(millis as i64));
        let now = self.now;
        self.deliver_late();
        for number in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(number) else {
                continue;
            };
            if process.up_since.is_none() && process.up_at <= now {
                process.up_since = Some(now);
                process.job_at = now;
            }
            if process.up_since.is_some() && process.job_at <= now {
                process.job_at = now.plus(JOB_PAUSE);
                self.hub.end_overdue(now);
                self.serve_streams(number);
            }
        }
        for who in 0..self.agents.len() {
            let is_there = |world: &Self| {
                let agent = world.agents.get(who);
                agent.is_some_and(|agent| agent.away_until <= now)
            };
            if is_there(self) {
                writeback::step(self, who);
            }
            if is_there(self) {
                hashes::step(self, who);
            }
        }
        if let Err(breach) = self.oracle.judge(&self.hub, &self.directory) {
            self.broken(breach);
        }
        if let Err(breach) = judge_time(self) {
            self.broken(breach);
        }
    }

    /// What the stream of objects does: the hub has the users that are in scope.
    fn sync_objects(&mut self) {
        let now = self.now;
        let known: Vec<_> = self.hub.guids().collect();
        for guid in &known {
            let account = self.directory.get(*guid);
            if !account.is_some_and(|account| account.in_scope) {
                self.hub.delete_user(*guid, now);
            }
        }
        let wanted: Vec<_> = self
            .directory
            .iter()
            .filter(|(guid, account)| account.in_scope && !known.contains(guid))
            .map(|(guid, _)| guid)
            .collect();
        for guid in wanted {
            if let Err(refusal) = self.hub.create_user(guid, now) {
                self.broken(Breach {
                    clause: password_oracle::Clause::Converges,
                    what: refusal.to_string(),
                });
            }
        }
    }

    fn count_shape(&mut self) {
        let coverage = &mut self.coverage;
        coverage.count(match self.directory.ahead == Span::ZERO {
            true => "worlds_with_one_clock",
            false => "worlds_with_clocks_apart",
        });
        if self.agents.len() > 1 {
            coverage.count("worlds_with_several_agents");
        }
        if self.processes.len() > 1 {
            coverage.count("worlds_with_several_hubs");
        }
        if !self.directory.shows_traces {
            coverage.count("worlds_without_traces");
        }
    }

    fn count_endings(&mut self) {
        for arrival in &self.hub.arrivals {
            self.coverage.count(match arrival {
                Arrival::Awaited => "awaited",
                Arrival::Came => "came_before",
                Arrival::Overtaken => "overtaken",
            });
        }
        for (_, record) in self.hub.operations() {
            self.coverage.count(match record.ended {
                None => "unended",
                Some((Ending::Success, _)) => "succeeded",
                Some((Ending::Failed(Why::Refused), _)) => "failed_refused",
                Some((Ending::Failed(Why::Unclear), _)) => "failed_unclear",
                Some((Ending::Late, _)) => "late",
                Some((Ending::Cancelled, _)) => "cancelled",
                Some((Ending::UserGone, _)) => "users_gone",
            });
        }
    }
}

/// How far the clock of the directory is ahead.
fn skew(dice: &Dice) -> Span {
    if dice.chance(300) {
        return Span::ZERO;
    }
    let limit = dice.one_of(SKEW_MILLIS_MAX, &[10_000, 60_000]) as i64;
    let between = dice.below(usize::try_from(2 * limit).unwrap_or(0)) as i64 - limit;
    // The worst ones are drawn often.
    match dice.one_of(between, &[limit, -limit]) {
        0 => Span::seconds(1),
        by => Span::millis(by),
    }
}
