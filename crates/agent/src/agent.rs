//! The agent: what it is set up with, and one session from its opening to its close.
//!
//! Invariant: a session that was opened is closed, as completed or as failed with a reason a
//! person understands, unless its lease was lost. Deliberately absent: when sessions are opened
//! (`crate::follow`) and what happens inside (`crate::run`, `crate::account_state`,
//! `crate::password_hash`).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_client::ClientError;
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::account_state::AccountStateRun;
use crate::activity::Activity;
use crate::agent_id::agent_id;
use crate::certificate::Certificates;
use crate::condition::Board;
use crate::config::Config;
use crate::engine::Guid;
use crate::engine::guard::Limit;
use crate::failure::Failure;
use crate::file_permission;
use crate::handover;
use crate::hub::{Hub, Patience};
use crate::index_file::IndexFile;
use crate::item_error::ItemErrorFile;
use crate::password_hash::PasswordHashRun;
use crate::reader::Reader;
use crate::removal_file::RemovalFile;
use crate::run::{Held, Pace, Run};
use crate::session::{self, Opened, Opening, Urgency};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::summary::{Outcome, RunSummary};

/// How long the last counters may take on the way to a close that must not wait for them.
const LAST_REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Where Linux tells the host name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Everything a session needs.
pub struct Agent {
    /// The file.
    pub config: Config,
    /// The hub.
    pub hub: Hub,
    /// The index on disk.
    pub file: IndexFile,
    /// What was removed within a day.
    pub removals: RemovalFile,
    /// What is shown of all this.
    pub board: Board,
    /// Certificates that expire soon.
    pub certificates: Certificates,
    /// Who we are.
    pub agent_id: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What people see.
    pub activity: Activity,
    /// Cancelled when the program has to end.
    pub stop: CancellationToken,
    /// Where our files are.
    pub directory: PathBuf,
    hashless: Mutex<HashSet<Guid>>,
}

/// What the program gives an agent to work with.
pub struct Means {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What people see of the work.
    pub activity: Activity,
    /// What people see of its results.
    pub board: Board,
    /// Cancelled when the program has to end.
    pub stop: CancellationToken,
}

impl Agent {
    /// Prepares files, identity and the connection to the hub; `patience` is for a hub that is
    /// away.
    ///
    /// # Errors
    /// [`Failure`] with what to do; [`Failure::Stopped`] when `stop` came first.
    pub async fn new(
        config: Config,
        config_path: &std::path::Path,
        means: Means,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let Means {
            clock,
            entropy,
            activity,
            board,
            stop,
        } = means;
        check_permissions(&config, config_path)?;
        crate::kerberos::warn(&config);
        let agent_id = agent_id(&config, &*entropy)?;
        // Cloned machines share an agent id; the host name tells them apart (decision U104).
        let host = host_name();
        tracing::info!(agent_id, host, "the agent starts");
        if config.named_streams.is_none() && config.drsr.is_none() {
            tracing::info!("there is no section drsr: password hashes are not synchronized");
        }
        let directory = config.working_directory();
        let file = IndexFile::open(&directory)?;
        let removals = RemovalFile::open(&directory, clock.now())?;
        board.own(&directory, &agent_id, &host);
        if !config.enable_password_writeback {
            board.no_writeback();
        }
        let unusable = |failure: &Failure| {
            for stream in config.streams() {
                board.failed(stream.name(), failure, clock.now());
            }
            if config.enable_password_writeback {
                board.writeback(clock.now(), |condition| condition.fail(failure));
            }
        };
        let away = |error: &ClientError| unusable(&Failure::Run(error.to_string()));
        let hub = tokio::select! {
            () = stop.cancelled() => return Err(Failure::Stopped),
            hub = Hub::connect(&config, Arc::clone(&entropy), patience, away) => hub,
        };
        let hub = hub.inspect_err(|failure| {
            tracing::error!(reason = %failure, "the hub cannot be used");
            unusable(failure);
        })?;
        Ok(Self {
            config,
            hub,
            file,
            removals,
            board,
            certificates: Certificates::default(),
            agent_id,
            clock,
            entropy,
            activity,
            stop,
            directory,
            hashless: Mutex::default(),
        })
    }

    /// The brake on removals.
    #[must_use]
    pub fn limit(&self) -> Limit {
        Limit::of_setting(self.config.safety.max_removals)
    }

    /// The failed items of a stream on disk.
    #[must_use]
    pub fn failed_items(&self, stream: Stream) -> ItemErrorFile {
        ItemErrorFile::of(stream, &self.directory)
    }

    /// A new connection to the directory of `domain`.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub async fn connect(&self, domain: &str) -> Result<Reader, Failure> {
        let reader = Reader::connect(&self.config, domain).await?;
        self.look_at_certificate("directory", reader.certificate_expires());
        Ok(reader)
    }

    /// Opens a session of `stream`, or tells why not.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open(&self, stream: Stream, urgency: Urgency) -> Result<Opening, Failure> {
        let opening = session::open(&self.hub, stream, &self.agent_id, urgency, &self.entropy);
        tokio::select! {
            () = self.stop.cancelled() => Err(Failure::Stopped),
            opening = opening => {
                self.look_at_certificate("hub", self.hub.certificate_expires());
                opening
            }
        }
    }

    /// Warns of a certificate that expires soon, and shows when it does.
    fn look_at_certificate(&self, whose: &'static str, expires_at: Option<Timestamp>) {
        let now = self.clock.now();
        self.certificates.look(whose, expires_at, now);
        if let Some(expires_at) = expires_at {
            self.board.certificate(whose, expires_at, now);
        }
    }

    /// Works in an open session and closes it. `held` is what the last session of the objects left
    /// in memory.
    pub async fn work(
        &self,
        opened: Opened,
        pace: Pace,
        held: &mut Option<Held>,
    ) -> (RunSummary, Result<(), Failure>) {
        let started = Instant::now();
        let mut summary = RunSummary::new(Outcome::Completed);
        summary.session_id = Some(opened.session.id().to_owned());
        let id = opened.session.id();
        let stream = opened.session.stream();
        self.board.began(stream.name(), id, self.clock.now());
        let shown = (stream == Stream::Objects).then(|| self.activity.show());
        let result = self.inside(&opened, pace, held, &mut summary).await;
        drop(shown);
        summary.count(&opened.session.progress());
        summary.took(started.elapsed().as_secs_f64());
        summary.ended_at = self.clock.now().to_string();
        let result = self.close(opened, result, &mut summary).await;
        self.board.ended(stream.name(), &summary, self.clock.now());
        (summary, result)
    }

    async fn inside(
        &self,
        opened: &Opened,
        pace: Pace,
        held: &mut Option<Held>,
        summary: &mut RunSummary,
    ) -> Result<(), Failure> {
        if opened.session.stream() == Stream::Objects {
            // First of all: a session that fails early is one of this agent's all the same.
            handover::begin_session(self, &opened.session, held).await?;
        }
        let settings = Settings::effective(&self.config, opened.settings.as_ref())?;
        if let Some(of_hub) = &opened.settings {
            if of_hub.enable_password_writeback
                && !self.config.enable_password_writeback
                && opened.session.stream() == Stream::Objects
            {
                tracing::info!(
                    "the pool has password writeback on, this file has not \
                     (enable_password_writeback); another agent has to write passwords back"
                );
            }
            for name in settings.differences(&Settings::of_file(&self.config)) {
                tracing::warn!(
                    setting = name,
                    "the hub's value differs from the file's and wins"
                );
            }
        }
        // Between two batches everything is acknowledged and stored: a stop is no failure then.
        match opened.session.stream() {
            Stream::Objects => {
                let mut run = Run::new(self, opened, settings, held.take(), summary);
                let result = match self.until_stopped(opened, run.go(pace)).await {
                    Err(Failure::Stopped) if run.is_at_rest() => Ok(()),
                    other => other,
                };
                if result.is_ok() {
                    *held = run.into_held();
                }
                result
            }
            Stream::AccountState => {
                let mut run = AccountStateRun::new(self, opened, settings, summary);
                match self.until_stopped(opened, run.go(pace)).await {
                    Err(Failure::Stopped) if run.is_at_rest() => Ok(()),
                    other => other,
                }
            }
            Stream::PasswordHashes => {
                let mut run = PasswordHashRun::new(self, opened, settings, summary);
                match self.until_stopped(opened, run.go(pace)).await {
                    Err(Failure::Stopped) if run.is_at_rest() => Ok(()),
                    other => other,
                }
            }
        }
    }

    /// Users who have no password hash in the directory, from one session of their stream to the
    /// next.
    pub fn hashless(&self) -> MutexGuard<'_, HashSet<Guid>> {
        self.hashless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells people that everything that was read in the session is written.
    pub fn caught_up(&self, opened: &Opened, summary: &mut RunSummary) {
        summary.count(&opened.session.progress());
        let stream = opened.session.stream().name();
        self.board.caught_up(stream, summary, self.clock.now());
    }

    /// Tells people that a look in the session found nothing new.
    pub fn quiet(&self, opened: &Opened) {
        let stream = opened.session.stream().name();
        self.board.quiet(stream, self.clock.now());
    }

    async fn until_stopped(
        &self,
        opened: &Opened,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let fence = opened.session.fence().clone();
        tokio::select! {
            result = work => result,
            () = fence.lost().cancelled() => Err(fence
                .check(Instant::now())
                .err()
                .unwrap_or(Failure::LeaseLost("the lease ended".into()))),
            () = self.stop.cancelled() => Err(Failure::Stopped),
        }
    }

    async fn close(
        &self,
        opened: Opened,
        result: Result<(), Failure>,
        summary: &mut RunSummary,
    ) -> Result<(), Failure> {
        let closed = match &result {
            Ok(()) => {
                let reported = self.last_report(&opened).await;
                let closed = opened.session.close(None).await;
                reported.and(closed)
            }
            Err(Failure::LeaseLost(_)) => Ok(()),
            Err(failure) => {
                let reason = failure.to_string();
                let report = opened.session.report();
                let _ = tokio::time::timeout(LAST_REPORT_TIMEOUT, report).await;
                opened.session.close(Some(&reason)).await
            }
        };
        let result = result.and(closed);
        if let Err(failure) = &result {
            summary.outcome = match failure {
                Failure::Stopped => Outcome::Stopped,
                _ => Outcome::Failed,
            };
            summary.reason = Some(failure.to_string());
        }
        result
    }

    /// Reports the counters of a run that succeeded. A stop leaves little time: the close matters
    /// more then.
    async fn last_report(&self, opened: &Opened) -> Result<(), Failure> {
        let hurry = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_REPORT_TIMEOUT).await;
        };
        tokio::select! {
            reported = opened.session.report() => reported,
            () = hurry => {
                tracing::warn!("the hub did not take the last counters in time");
                Ok(())
            }
        }
    }
}

/// The name of this machine, for people.
pub(crate) fn host_name() -> String {
    let variable = |name| std::env::var(name).ok();
    std::fs::read_to_string(HOST_NAME_FILE)
        .ok()
        .or_else(|| variable("COMPUTERNAME"))
        .or_else(|| variable("HOSTNAME"))
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// Checks the secret files if the configuration asks for it.
///
/// # Errors
/// [`Failure::Permission`].
pub fn check_permissions(config: &Config, config_path: &std::path::Path) -> Result<(), Failure> {
    if !config.check_config_permissions {
        return Ok(());
    }
    let mut files = config.secret_files();
    files.push(config_path.to_owned());
    let directory = config.working_directory();
    file_permission::check(files.iter().map(PathBuf::as_path), &directory)
}
