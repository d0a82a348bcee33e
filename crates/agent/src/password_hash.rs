//! The password hash stream: in one session, all hashes or the changes since the last look, then a
//! look every few seconds (decisions U60, U126, U131; decision record 23).
//!
//! Invariant: a hash goes to the user the hub has for that very object and to nobody else; those of
//! others are dropped with the page they came in. The cursor is stored after everything it covers
//! was acknowledged or filed as a failed item. It needs no index and asks the hub who its users are,
//! so it may run in another process, or on another machine, than the objects.

use std::time::Duration;

use rollcall_directory::{Error as DirectoryError, Page, ReplicationCursor, ReplicationProblem};
use tokio::time::Instant;

use crate::agent::Agent;
use crate::engine::password_hash::Reading;
use crate::failure::Failure;
use crate::item_error::ItemErrors;
use crate::looks::Looks;
use crate::outage::Outage;
use crate::replica::{self, Replica};
use crate::replication_token::{replication_of, token_of_replication};
use crate::run::Pace;
use crate::session::{Mode, Opened};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::summary::RunSummary;

mod deliver;
mod later;
mod missing;
mod take;

use missing::Missing;

/// How long a session of this stream lasts (decision U131).
const SESSION_LENGTH: Duration = Duration::from_secs(15 * 60);
/// Looks at the directory between two attempts at what failed, and between two looks for users
/// without a hash; a minute with the default period.
const LOOKS_PER_RETRY: u32 = 12;
/// While pages follow each other the cursor is stored no more often than this.
const STORE_PERIOD_MIN: Duration = Duration::from_secs(1);
/// A cursor that covers nothing of ours is stored this often: reading the same changes again is no
/// harm, but it takes time.
const STORE_PERIOD: Duration = Duration::from_secs(60);

/// The work of one session.
pub struct PasswordHashRun<'a> {
    agent: &'a Agent,
    opened: &'a Opened,
    settings: Settings,
    errors: ItemErrors,
    missing: Missing,
    /// What the hub was left with.
    token: String,
    stored_at: Instant,
    retried_at: Instant,
    summary: &'a mut RunSummary,
    looks: Looks,
}

impl<'a> PasswordHashRun<'a> {
    /// Work that has not begun.
    pub fn new(
        agent: &'a Agent,
        opened: &'a Opened,
        settings: Settings,
        summary: &'a mut RunSummary,
    ) -> Self {
        let period = agent.config.sync_settings.hash_period;
        Self {
            agent,
            opened,
            settings,
            errors: ItemErrors::default(),
            missing: Missing::default(),
            token: opened.token.clone(),
            stored_at: Instant::now(),
            retried_at: Instant::now(),
            summary,
            looks: Looks::of_session(SESSION_LENGTH, period),
        }
    }

    /// Whether a stop would leave nothing half done.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.looks.is_at_rest()
    }

    /// Does it.
    ///
    /// # Errors
    /// [`Failure`]; what was acknowledged until then stays, the cursor does not move.
    pub async fn go(&mut self, pace: Pace) -> Result<(), Failure> {
        let result = self.work(pace).await;
        // For the next session.
        *self.agent.hashless() = std::mem::take(&mut self.missing.hashless);
        result
    }

    async fn work(&mut self, pace: Pace) -> Result<(), Failure> {
        let agent = self.agent;
        self.errors = agent.failed_items(Stream::PasswordHashes).errors()?;
        let mut cursor = self.start()?;
        let mut replica = Replica::connect(&agent.config, &self.settings.filter.domain).await?;
        self.catch_up(&mut replica, &mut cursor).await?;
        self.retry(&mut replica, &mut cursor).await?;
        while pace == Pace::Once && self.missing.has_queue() {
            self.look_at_queue(&mut replica).await?;
        }
        self.caught_up();
        if pace == Pace::Once {
            replica.close().await;
            return Ok(());
        }
        let retry_period = agent.config.sync_settings.hash_period * LOOKS_PER_RETRY;
        while self.looks.next().await {
            let before = (self.summary.objects_read, self.missing.number());
            self.catch_up(&mut replica, &mut cursor).await?;
            self.look_at_unknown().await?;
            self.look_at_queue(&mut replica).await?;
            if self.retried_at.elapsed() >= retry_period {
                self.retry(&mut replica, &mut cursor).await?;
            }
            if (self.summary.objects_read, self.missing.number()) == before {
                agent.quiet(self.opened);
            } else {
                self.caught_up();
            }
        }
        replica.close().await;
        Ok(())
    }

    /// Everything that was read is written.
    fn caught_up(&mut self) {
        let agent = self.agent;
        agent.caught_up(self.opened, self.summary);
        if let Some(number) = self.missing.number() {
            let (stream, now) = (Stream::PasswordHashes.name(), agent.clock.now());
            agent.board.without_hash(stream, number, now);
        }
    }

    /// Where the first look begins.
    fn start(&mut self) -> Result<ReplicationCursor, Failure> {
        let kept = self.agent.file.hash_cursor()?;
        self.missing.later = self.agent.file.later_hashes()?;
        let is_ours = is_of(&self.opened.token, kept.as_deref());
        let hashless = std::mem::take(&mut *self.agent.hashless());
        if is_ours && self.opened.mode == Mode::Delta {
            self.missing.hashless = hashless;
        }
        let cursor = match self.opened.mode {
            // Another agent knows who was left for later.
            Mode::Delta if self.leaves_for_later() && !is_ours => None,
            Mode::Delta => replication_of(&self.opened.token, kept.as_deref()),
            Mode::Full => None,
        };
        let cursor = cursor.unwrap_or_default();
        let mode = match reading(&cursor) {
            Reading::All => "full",
            Reading::Changes => "delta",
        };
        self.summary.mode = Some(mode.into());
        Ok(cursor)
    }

    /// Takes over everything after the cursor, which moves on with each page.
    async fn catch_up(
        &mut self,
        replica: &mut Replica<'_>,
        cursor: &mut ReplicationCursor,
    ) -> Result<(), Failure> {
        let mut written = 0;
        loop {
            let how = reading(cursor);
            let page = match self.page(replica, cursor).await? {
                Some(page) => page,
                None => {
                    *cursor = ReplicationCursor::default();
                    continue;
                }
            };
            written += self.take(replica, page.objects, how).await?;
            *cursor = page.cursor;
            let age = self.stored_at.elapsed();
            let store = match page.more {
                true => age >= STORE_PERIOD_MIN,
                false => written > 0 || how == Reading::All || age >= STORE_PERIOD,
            };
            if store {
                self.store(cursor).await?;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// The next page, over a new association if the present one broke or is old; `None` when the
    /// controller knows less than the cursor, so that only reading everything helps.
    async fn page(
        &self,
        replica: &mut Replica<'_>,
        cursor: &ReplicationCursor,
    ) -> Result<Option<Page>, Failure> {
        let mut outage = Outage::default();
        let mut connected = if replica.is_old() {
            replica.reconnect().await
        } else {
            Ok(())
        };
        loop {
            let why = match connected {
                Ok(()) => match replica.next_page(cursor).await {
                    Ok(page) => return Ok(Some(page)),
                    Err(error) if error.is_transient() => error.to_string(),
                    Err(DirectoryError::Replication(ReplicationProblem::RolledBack))
                        if !cursor.is_start() =>
                    {
                        tracing::warn!(
                            "the domain controller knows less than it did; all hashes are compared"
                        );
                        return Ok(None);
                    }
                    Err(error) => return Err(replica::failure(&error)),
                },
                Err(Failure::Run(why)) => why,
                Err(failure) => return Err(failure),
            };
            let Some(wait) = outage.next_wait(Instant::now(), &*self.agent.entropy) else {
                return Err(Failure::Run(why));
            };
            tracing::warn!(reason = why, "password hashes are asked for again");
            tokio::time::sleep(wait).await;
            connected = replica.reconnect().await;
        }
    }

    /// Stores the cursor, first here: the hub's may be without controllers that do not fit.
    async fn store(&mut self, cursor: &ReplicationCursor) -> Result<(), Failure> {
        self.opened.session.report().await?;
        self.agent.file.set_later_hashes(&self.missing.later)?;
        let token = token_of_replication(cursor);
        if token != self.token {
            self.agent.file.set_hash_cursor(&cursor.to_bytes())?;
            self.opened.session.set_token(&token).await?;
            self.token = token;
        }
        self.stored_at = Instant::now();
        Ok(())
    }
}

/// What a cursor says of how hashes are read: before the end of its first circle it knows of no
/// controller.
fn reading(cursor: &ReplicationCursor) -> Reading {
    if cursor.up_to_date.is_empty() {
        Reading::All
    } else {
        Reading::Changes
    }
}

/// Whether a token is that of the cursor kept here.
fn is_of(token: &str, kept: Option<&[u8]>) -> bool {
    let kept = kept.and_then(ReplicationCursor::from_bytes);
    kept.is_some_and(|kept| token_of_replication(&kept) == token)
}
