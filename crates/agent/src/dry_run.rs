//! A dry run: everything a run would do, worked out and tried in simulation, without doing it.
//!
//! Invariant: nothing is written anywhere: no session is opened, no cursor is stored, the hub and
//! the directory are only read, and of the agent's files at most the log grows (decision U117).
//! The index is looked into as it is, also beside a running service; where that is not possible,
//! everything is compared.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rollcall_directory::Error as DirectoryError;
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use rollcall_proto::idp::SessionType;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::agent;
use crate::config::Config;
use crate::engine::Guid;
use crate::engine::guard::{self, Limit, Removals};
use crate::engine::index::Index;
use crate::engine::plan::{self, PlanHash, Rules, Steps};
use crate::engine::trial::{TrialRules, try_out};
use crate::failure::Failure;
use crate::hub::{self, Hub};
use crate::index_file::{IndexFile, Stored};
use crate::progress::{Change, Count, ObjectType};
use crate::reader;
use crate::refused_plan::{private_file, write_plan};
use crate::removal_file::RemovalFile;
use crate::replication_token::cookie_of;
use crate::run::delta::take_in;
use crate::run::full::{Compared, Picture};
use crate::settings::Settings;
use crate::sight::Sight;
use crate::stream::Stream;

mod password_hash;
mod report;

pub use report::{Counter, DryRunReport};

/// Where the plan goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanOutput {
    /// Nowhere; only its hash is shown.
    Nowhere,
    /// To standard output.
    Stdout,
    /// To this file, readable for the agent's user only.
    File(PathBuf),
}

/// What a dry run is set up with.
pub struct DryRun {
    /// The file.
    pub config: Config,
    /// Where it was read.
    pub config_path: PathBuf,
    /// Where the plan goes.
    pub output: PlanOutput,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for waits between attempts.
    pub entropy: Arc<dyn Entropy>,
    /// What people see.
    pub activity: Activity,
    /// Cancelled when the program has to end.
    pub stop: CancellationToken,
}

/// Both sides as a run would see them, and how that was found out.
struct Seen {
    index: Index,
    mode: &'static str,
    objects_read: usize,
}

impl DryRun {
    /// Does it.
    ///
    /// # Errors
    /// [`Failure`] when a run could not be made, or its plan not be worked out.
    pub async fn go(&self) -> Result<DryRunReport, Failure> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Failure::Stopped),
            report = self.work() => report,
        }
    }

    async fn work(&self) -> Result<DryRunReport, Failure> {
        let started = Instant::now();
        agent::check_permissions(&self.config, &self.config_path)?;
        let mut sight = Sight::open(&self.config, Arc::clone(&self.entropy)).await?;
        let shown = self.activity.show();
        let seen = self.look(&mut sight).await?;
        let Sight {
            settings,
            scope,
            hub,
            ..
        } = &sight;
        let index = &seen.index;
        let behavior = settings.remove_user_behavior;
        let rules = Rules {
            remove_user_behavior: behavior,
            nested_groups: settings.nested_groups,
            now: self.clock.now(),
        };
        let plan = plan::plan(index, scope, &rules)?;
        self.activity.begin("trying the plan", 0);
        let before = hub.before(&plan, index, &settings.mapping).await;
        let steps = Steps {
            plan: &plan,
            index,
            behavior,
            before: &before.map_err(|error| hub::failure(&error))?,
        };
        let hash = self.write(steps)?;
        let removals = Removals::of(&plan, index);
        let before = RemovalFile::look(&self.config.working_directory(), self.clock.now())?;
        let limit = Limit::of_setting(self.config.safety.max_removals);
        let refused = guard::check(&removals, limit, &before, |guid| plan::name(index, guid)).err();
        let names = hub.names().await.map_err(|error| hub::failure(&error))?;
        let trial_rules = TrialRules {
            behavior,
            capture_users: settings.capture_users,
            capture_groups: settings.capture_groups,
            now: self.clock.now(),
        };
        let trial = try_out(&plan, index, names, &trial_rules);
        let hashes = self.hashes(settings, hub, &plan.user_creates).await?;
        drop(shown);
        let mut report = DryRunReport::new(&plan, hash, seen.mode);
        report.objects_read = seen.objects_read;
        report.refused = refused.map(|why| why.headline());
        report.take(&trial, index);
        report.set(ObjectType::User, Change::PasswordHashUpdate, hashes);
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// How many password hashes a run would send.
    async fn hashes(
        &self,
        settings: &Settings,
        hub: &Hub,
        created: &[Guid],
    ) -> Result<Count, Failure> {
        if !self.config.streams().contains(&Stream::PasswordHashes) {
            return Ok(Count::default());
        }
        self.activity.begin("counting the password hashes", 0);
        let file = IndexFile::look(&self.config.working_directory());
        let domain = &settings.filter.domain;
        password_hash::count(&self.config, domain, hub, created, file.as_ref()).await
    }

    /// Reads both sides as a run would.
    async fn look(&self, sight: &mut Sight) -> Result<Seen, Failure> {
        let token = sight.hub.replication_token(SessionType::AdSync).await;
        let token = token.map_err(|error| hub::failure(&error))?;
        let newest = sight.hub.newest_objects_session(None).await;
        let newest = newest.map_err(|error| hub::failure(&error))?;
        let file = IndexFile::look(&self.config.working_directory());
        // What was stored before a session of another agent would be no start for a run either.
        let file = match file {
            Some(file) if newest.is_some() && file.session()? == newest => Some(file),
            _ => None,
        };
        let pool = &self.config.userpool_id;
        let binding = sight.settings.binding(pool, &self.config.ldap.host);
        let stored = file.as_ref().map(|file| Stored {
            file,
            binding: &binding,
            token: &token,
        });
        if let Some(seen) = self.delta(sight, stored.as_ref()).await? {
            return Ok(seen);
        }
        let picture = Picture {
            settings: &sight.settings,
            scope: &sight.scope,
            hub: &sight.hub,
            clock: &*self.clock,
            activity: &self.activity,
        };
        let Compared {
            index,
            objects_read,
            ..
        } = picture.take(&mut sight.reader, stored.as_ref()).await?;
        Ok(Seen {
            index,
            mode: "full",
            objects_read,
        })
    }

    /// What a run would see that reads changes only; `None` when it would have to compare
    /// everything.
    async fn delta(
        &self,
        sight: &mut Sight,
        stored: Option<&Stored<'_>>,
    ) -> Result<Option<Seen>, Failure> {
        let start = match stored {
            Some(stored) => Start::of(stored).await?,
            None => None,
        };
        let Some(Start {
            mut index,
            cookie,
            controller,
        }) = start
        else {
            tracing::info!("there is no index that fits the hub's token; everything is compared");
            return Ok(None);
        };
        self.activity.begin("reading the changes", 0);
        let Sight {
            settings,
            scope,
            reader,
            ..
        } = sight;
        let changes = match reader.changes(&settings.mapping, &cookie, controller).await {
            Ok(changes) => changes,
            Err(DirectoryError::CookieRefused { text }) => {
                tracing::warn!(
                    why = text,
                    "the directory refused the cursor; everything is compared"
                );
                return Ok(None);
            }
            Err(error) => return Err(reader::failure(&error)),
        };
        take_in(reader, settings, scope, &mut index, &changes).await?;
        Ok(Some(Seen {
            index,
            mode: "delta",
            objects_read: changes.seen.len() + changes.deleted.len(),
        }))
    }

    fn write(&self, steps: Steps<'_>) -> Result<PlanHash, Failure> {
        let written = match &self.output {
            PlanOutput::Nowhere => write_plan(steps.iter(), io::sink()),
            PlanOutput::Stdout => write_plan(steps.iter(), io::BufWriter::new(io::stdout().lock())),
            PlanOutput::File(path) => private_file(path)
                .and_then(|file| write_plan(steps.iter(), io::BufWriter::new(file))),
        };
        written.map_err(|error| Failure::run("cannot write the plan", &error))
    }
}

/// Where a delta starts from.
struct Start {
    index: Index,
    cookie: Vec<u8>,
    /// Whose cookie it is.
    controller: Option<Guid>,
}

impl Start {
    /// Where a delta starts from, if the index fits.
    async fn of(stored: &Stored<'_>) -> Result<Option<Self>, Failure> {
        let Some(index) = stored.load().await? else {
            return Ok(None);
        };
        let kept = stored.file.cookie()?;
        let controller = stored.file.controller()?;
        let cookie = cookie_of(stored.token, kept.as_deref());
        Ok(cookie.map(|cookie| Self {
            index,
            cookie,
            controller,
        }))
    }
}
