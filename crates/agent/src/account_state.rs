//! The account state stream: in one session, a comparison of all accounts or the changes since the
//! last look, then a look every few seconds (decisions U52, U55, U131).
//!
//! Invariant: it asks the hub about each account it changes, so it needs no index and may run in
//! another process than the objects; users the hub does not have are the objects' matter. The
//! cursor is stored after everything it covers was acknowledged or filed as a failed item, with the
//! controller it is of, for no other one takes it in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollcall_directory::Error as DirectoryError;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::brake::Brake;
use crate::engine::Guid;
use crate::engine::account_state::{AccountState, News, compare};
use crate::failure::Failure;
use crate::hub::{self, Account};
use crate::item_error::ItemErrors;
use crate::looks::Looks;
use crate::outage::Outage;
use crate::reader::{self, ChangedAccounts, Reader};
use crate::replication_token::{cookie_of, origin_of, token_of_controller};
use crate::run::Pace;
use crate::session::{Mode, Opened};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::summary::RunSummary;

mod brake;
mod correct;
mod place;

use correct::Task;

/// How long a session of this stream lasts (decision U131).
const SESSION_LENGTH: Duration = Duration::from_secs(15 * 60);
/// Time between two attempts at what failed.
const RETRY_PERIOD: Duration = Duration::from_secs(60);

/// The work of one session.
pub struct AccountStateRun<'a> {
    agent: &'a Agent,
    opened: &'a Opened,
    settings: Settings,
    errors: ItemErrors,
    brake: Brake<'a>,
    /// Users whose accounts the directory cannot show, with their logins and what it said.
    unreadable: BTreeMap<Guid, (String, String)>,
    /// What the hub was left with.
    token: String,
    /// Whose cookie that is.
    origin: Option<Guid>,
    retried_at: Instant,
    summary: &'a mut RunSummary,
    looks: Looks,
}

impl<'a> AccountStateRun<'a> {
    /// Work that has not begun.
    pub fn new(
        agent: &'a Agent,
        opened: &'a Opened,
        settings: Settings,
        summary: &'a mut RunSummary,
    ) -> Self {
        let period = agent.config.sync_settings.state_period;
        Self {
            agent,
            opened,
            settings,
            errors: ItemErrors::default(),
            unreadable: BTreeMap::new(),
            brake: Brake::new(agent, Stream::AccountState),
            token: opened.token.clone(),
            origin: None,
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
        self.errors = self.agent.failed_items(Stream::AccountState).errors()?;
        let mut reader = self.connect().await?;
        let mut cookie = self.first_batch(&mut reader).await?;
        self.agent.caught_up(self.opened, self.summary);
        if pace == Pace::Once {
            return Ok(());
        }
        while self.looks.next().await {
            let retry = self.retried_at.elapsed() >= RETRY_PERIOD;
            let failed = if retry { self.failed() } else { Vec::new() };
            let read = self.summary.objects_read;
            cookie = self.follow(&mut reader, cookie, failed).await?;
            if self.summary.objects_read == read {
                self.agent.quiet(self.opened);
            } else {
                self.agent.caught_up(self.opened, self.summary);
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Reader, Failure> {
        self.agent.connect(&self.settings.filter.domain).await
    }

    /// The accounts that failed before, to be looked at once more.
    fn failed(&mut self) -> Vec<Guid> {
        self.retried_at = Instant::now();
        self.errors.keys().map(|(guid, ..)| guid).collect()
    }

    /// Brings the hub to the present; returns where the next look begins.
    async fn first_batch(&mut self, reader: &mut Reader) -> Result<Vec<u8>, Failure> {
        let kept = self.agent.file.account_cookie()?;
        let (origin, token) = origin_of(&self.opened.token);
        // A cookie of an unknown controller may be of any.
        let start = match self.opened.mode {
            Mode::Delta if origin.is_some() || reader.controller().is_none() => {
                cookie_of(token, kept.as_deref())
            }
            Mode::Delta | Mode::Full => None,
        };
        self.origin = origin;
        let failed = self.failed();
        match start {
            Some(cookie) => {
                self.summary.mode = Some("delta".into());
                self.follow(reader, cookie, failed).await
            }
            None => self.full(reader).await,
        }
    }

    /// Takes over what changed since `cookie`, and looks at `failed` again.
    async fn follow(
        &mut self,
        reader: &mut Reader,
        cookie: Vec<u8>,
        failed: Vec<Guid>,
    ) -> Result<Vec<u8>, Failure> {
        let changed = match self.changes(reader, &cookie).await {
            Ok(changed) => changed,
            Err(DirectoryError::CookieRefused { text }) => {
                tracing::warn!(
                    why = text,
                    "the directory refused the cursor; all accounts are compared"
                );
                return self.full(reader).await;
            }
            Err(error) => return Err(reader::failure(&error)),
        };
        let mut news = changed.news;
        for guid in failed {
            news.insert(guid, News::ReportedWithPassword);
        }
        if news.is_empty() {
            // An old cursor is as good as a new one while nothing changed.
            return Ok(cookie);
        }
        self.looks.work();
        self.summary.objects_read += news.len();
        let guids: Vec<Guid> = news.keys().copied().collect();
        let states = reader.accounts(&guids).await;
        let states: BTreeMap<Guid, AccountState> = states
            .map_err(|error| reader::failure(&error))?
            .into_iter()
            .collect();
        let accounts = self.opened.session.hub().accounts(&guids).await;
        let accounts = accounts.map_err(|error| hub::failure(&error))?;
        self.unreadable.clear();
        for account in &accounts {
            self.unreadable.extend(unreadable(reader, account));
        }
        let now = self.agent.clock.now();
        let tasks = accounts.into_iter().filter_map(|account| {
            let (state, news) = (states.get(&account.guid)?, news.get(&account.guid)?);
            Task::new(&account, compare(*state, account.present, *news, now))
        });
        let tasks = tasks.collect();
        let tried = guids.into_iter().collect();
        self.correct(reader, tasks, Known::Uncounted, &tried)
            .await?;
        self.store(changed.cookie).await
    }

    /// Compares all accounts of the directory with all of the hub.
    async fn full(&mut self, reader: &mut Reader) -> Result<Vec<u8>, Failure> {
        self.looks.work();
        self.summary.mode = Some("full".into());
        let all = reader.all_accounts().await;
        let all = all.map_err(|error| reader::failure(&error))?;
        self.summary.objects_read += all.states.len();
        let now = self.agent.clock.now();
        let mut tasks = Vec::new();
        let mut tried: BTreeSet<Guid> = self.errors.keys().map(|(guid, ..)| guid).collect();
        let mut cannot_be_shown = BTreeMap::new();
        let take = |account: Account| {
            cannot_be_shown.extend(unreadable(reader, &account));
            if let Some(state) = all.states.get(&account.guid) {
                let correction = compare(*state, account.present, News::Compared, now);
                tasks.extend(Task::new(&account, correction));
            }
        };
        let known = self.opened.session.hub().each_account(take).await;
        let known = known.map_err(|error| hub::failure(&error))?;
        self.unreadable = cannot_be_shown;
        tried.extend(self.unreadable.keys());
        tried.extend(tasks.iter().map(|task| task.guid));
        self.correct(reader, tasks, Known::Counted(known), &tried)
            .await?;
        self.origin = reader.controller();
        self.store(all.cookie).await
    }

    /// Stores the cursor, first here: one that is too long for the hub is kept only here.
    async fn store(&mut self, cookie: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.opened.session.report().await?;
        let token = token_of_controller(&cookie, self.origin);
        if token != self.token {
            self.agent.file.set_account_cookie(&cookie)?;
            self.opened.session.set_token(&token).await?;
            self.token = token;
        }
        Ok(cookie)
    }

    /// Changes since the cookie, over a new connection if the present one broke.
    async fn changes(
        &self,
        reader: &mut Reader,
        cookie: &[u8],
    ) -> Result<ChangedAccounts, DirectoryError> {
        let mut outage = Outage::default();
        loop {
            let error = match reader.changed_accounts(cookie, self.origin).await {
                Err(error) if error.is_transient() => error,
                other => return other,
            };
            let Some(wait) = outage.next_wait(Instant::now(), &*self.agent.entropy) else {
                return Err(error);
            };
            tracing::warn!(%error, "the directory is asked again");
            tokio::time::sleep(wait).await;
            if let Ok(new) = self.connect().await {
                reader.replace_by(new);
            }
        }
    }
}

/// The login of an account that the directory cannot show, and what it said.
fn unreadable(reader: &Reader, account: &Account) -> Option<(Guid, (String, String))> {
    let why = reader.unreadable().get(&account.guid)?;
    Some((account.guid, (account.username.clone(), why.clone())))
}

/// How many accounts the hub has, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Counted(usize),
    /// Counted only when it matters: it takes a listing.
    Uncounted,
}
