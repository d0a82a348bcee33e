//! The work inside a session: a full comparison or the changes since the last one, then, if asked
//! for, following the directory until the session has lasted its interval (decision U131).
//!
//! Invariant: the cursor is stored at the hub only after everything it covers was acknowledged;
//! the index file carries a token only while it equals what the hub was left with.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall_directory::Error as DirectoryError;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::engine::Guid;
use crate::engine::guard::Removed;
use crate::engine::index::Index;
use crate::engine::object::{Change, ObjectClass};
use crate::engine::plan::NestedGroups;
use crate::engine::scope::Scope;
use crate::engine::snapshot::Snapshot;
use crate::failure::Failure;
use crate::hub;
use crate::index_file::Cursor;
use crate::item_error::ItemErrors;
use crate::reader::{self, Members, Reader};
use crate::replication_token::{cookie_of, token_of};
use crate::session::{Mode, Opened};
use crate::settings::Settings;
use crate::summary::RunSummary;
use crate::uplink::{Done, Work};

/// Rounds in which parents and members of objects are looked up; one round climbs one level.
const ROUNDS_MAX: usize = 64;
/// Attempts to reach the directory again inside a session in follow mode.
const RECONNECTS_MAX: u32 = 5;
/// Objects between two updates of what people see.
const SHOW_EVERY: usize = 200;

/// How long a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Until everything is done once.
    Once,
    /// For its whole interval.
    Follow,
}

/// What stays in memory from one session to the next.
#[derive(Debug)]
pub struct Held {
    index: Index,
    binding: Vec<u8>,
    token: String,
    cookie: Vec<u8>,
}

/// The work of one session.
pub struct Run<'a> {
    agent: &'a Agent,
    opened: &'a Opened,
    settings: Settings,
    binding: Vec<u8>,
    held: Option<Held>,
    errors: ItemErrors,
    removed: Removed,
    /// What the hub was left with.
    token: String,
    summary: &'a mut RunSummary,
    rest: Rest,
}

/// Whether a stop would leave anything half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Working,
    BetweenBatches,
}

impl<'a> Run<'a> {
    /// Work that goes on from `held` if that still fits.
    pub fn new(
        agent: &'a Agent,
        opened: &'a Opened,
        settings: Settings,
        held: Option<Held>,
        summary: &'a mut RunSummary,
    ) -> Self {
        let binding = settings.binding(&agent.config.userpool_id, &agent.config.ldap.host);
        Self {
            agent,
            opened,
            settings,
            binding,
            held,
            errors: ItemErrors::default(),
            removed: Removed::default(),
            token: opened.token.clone(),
            summary,
            rest: Rest::Working,
        }
    }

    /// Whether a stop would leave nothing half done.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.rest == Rest::BetweenBatches
    }

    /// What the next session can go on from.
    #[must_use]
    pub fn into_held(self) -> Option<Held> {
        self.held
    }

    /// Does it.
    ///
    /// # Errors
    /// [`Failure`]; what was acknowledged until then stays, the cursor does not move.
    pub async fn go(&mut self, pace: Pace) -> Result<(), Failure> {
        let started = Instant::now();
        self.errors = self.agent.file.item_errors()?;
        self.agent.activity.begin("connecting to the directory", 0);
        let mut reader = self.connect().await?;
        let scope = self.resolve(&mut reader).await?;
        self.first_batch(&mut reader, &scope).await?;
        if pace == Pace::Once {
            return Ok(());
        }
        let period = self.agent.config.sync_settings.follow_period;
        while started.elapsed() < self.settings.interval {
            self.agent.activity.begin("following the directory", 0);
            self.rest = Rest::BetweenBatches;
            let left = self.settings.interval.saturating_sub(started.elapsed());
            tokio::time::sleep(period.min(left)).await;
            self.rest = Rest::Working;
            self.follow_once(&mut reader, &scope).await?;
        }
        self.rest = Rest::BetweenBatches;
        Ok(())
    }

    async fn connect(&self) -> Result<Reader, Failure> {
        Reader::connect(&self.agent.config, &self.settings.filter.domain).await
    }

    async fn resolve(&self, reader: &mut Reader) -> Result<Scope, Failure> {
        let memory = Some(&self.agent.file);
        let resolved = reader.resolve(&self.settings.filter, memory).await?;
        for note in &resolved.moved {
            tracing::warn!("{note}");
        }
        Ok(resolved.scope)
    }

    /// Brings the index to the present, whatever there is to start from.
    async fn first_batch(&mut self, reader: &mut Reader, scope: &Scope) -> Result<(), Failure> {
        if let Some(held) = self.start_of_delta()? {
            self.summary.mode = Some("delta".into());
            match self
                .delta(reader, scope, held, Thorough::RetryFailed)
                .await?
            {
                Followed::Done(held) => {
                    self.held = Some(held);
                    return Ok(());
                }
                Followed::CookieRefused(why) => {
                    tracing::warn!(
                        why,
                        "the directory refused the cursor; everything is compared"
                    );
                }
            }
        }
        self.summary.mode = Some("full".into());
        self.held = Some(self.full(reader, scope).await?);
        Ok(())
    }

    /// The index that corresponds to the hub's token, if there is one.
    fn start_of_delta(&mut self) -> Result<Option<Held>, Failure> {
        let held = self.held.take();
        if self.opened.mode == Mode::Full {
            return Ok(None);
        }
        let token = &self.opened.token;
        if let Some(held) = held
            && held.token == *token
            && held.binding == self.binding
        {
            return Ok(Some(held));
        }
        let file = &self.agent.file;
        let Some(index) = file.load(&self.binding, token)? else {
            tracing::info!(
                "the local index does not match the hub's token; everything is compared"
            );
            return Ok(None);
        };
        let kept = file.cookie()?;
        Ok(cookie_of(token, kept.as_deref()).map(|cookie| Held {
            index,
            binding: self.binding.clone(),
            token: token.clone(),
            cookie,
        }))
    }

    async fn full(&mut self, reader: &mut Reader, scope: &Scope) -> Result<Held, Failure> {
        let agent = self.agent;
        agent.activity.begin("reading the directory and the hub", 0);
        let mapping = &self.settings.mapping;
        let mut snapshot = Snapshot::default();
        let mut read = 0_usize;
        let everything = async {
            reader
                .everything(mapping, |change| {
                    if matches!(change, Change::Seen(_)) {
                        read += 1;
                        if read.is_multiple_of(SHOW_EVERY) {
                            agent.activity.advance(SHOW_EVERY);
                        }
                    }
                    snapshot.take(change, mapping);
                })
                .await
                .map_err(|error| reader::failure(&error))
        };
        let listing = async {
            let listing = self.opened.session.hub().list(mapping, agent.clock.now());
            listing.await.map_err(|error| hub::failure(&error))
        };
        let (again, listing) = futures::try_join!(everything, listing)?;
        self.summary.objects_read = read + again.seen.len();
        let guids: Vec<Guid> = again.seen.iter().copied().collect();
        read_again(
            reader,
            &self.settings,
            &mut snapshot,
            &guids,
            &again.members,
        )
        .await?;
        let (mut index, deleted) = snapshot.into_parts();
        if listing.foreign > 0 {
            tracing::warn!(
                count = listing.foreign,
                "objects of the pool have an external id that is no objectGUID; they are left alone"
            );
        }
        complete(reader, &self.settings, scope, &mut index).await?;
        index.set_hub(listing.users, listing.groups);
        if let Some(before) = agent.file.load(&self.binding, &self.token)? {
            index.remember(&before);
        }
        for guid in deleted {
            index.apply(Change::Deleted(guid), mapping);
        }
        let missing = index.missing();
        apply(
            reader,
            &self.settings,
            &mut index,
            &missing,
            &BTreeMap::new(),
        )
        .await?;
        complete(reader, &self.settings, scope, &mut index).await?;
        self.write(&mut index, scope).await?;
        let token = token_of(&again.cookie);
        let cursor = Cursor {
            token: &token,
            cookie: &again.cookie,
        };
        agent.file.replace(&mut index, &self.binding, cursor)?;
        self.opened.session.report().await?;
        self.opened.session.set_token(&token).await?;
        self.token.clone_from(&token);
        Ok(Held {
            index,
            binding: self.binding.clone(),
            token,
            cookie: again.cookie,
        })
    }

    async fn follow_once(&mut self, reader: &mut Reader, scope: &Scope) -> Result<(), Failure> {
        let Some(held) = self.held.take() else {
            return Err(Failure::Run("there is nothing to follow from".into()));
        };
        match self
            .delta(reader, scope, held, Thorough::ChangesOnly)
            .await?
        {
            Followed::Done(held) => self.held = Some(held),
            Followed::CookieRefused(why) => {
                tracing::warn!(
                    why,
                    "the directory refused the cursor; everything is compared"
                );
                self.held = Some(self.full(reader, scope).await?);
            }
        }
        Ok(())
    }

    async fn delta(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
        mut held: Held,
        thorough: Thorough,
    ) -> Result<Followed, Failure> {
        let changes = match self.changes(reader, &held.cookie).await {
            Ok(changes) => changes,
            Err(DirectoryError::CookieRefused { text }) => {
                return Ok(Followed::CookieRefused(text));
            }
            Err(error) => return Err(reader::failure(&error)),
        };
        let quiet = changes.seen.is_empty() && changes.deleted.is_empty();
        if quiet && thorough == Thorough::ChangesOnly {
            // An old cursor is as good as a new one while nothing changed.
            return Ok(Followed::Done(held));
        }
        self.summary.objects_read += changes.seen.len() + changes.deleted.len();
        let index = &mut held.index;
        for guid in &changes.deleted {
            index.apply(Change::Deleted(*guid), &self.settings.mapping);
        }
        let seen: Vec<Guid> = changes.seen.iter().copied().collect();
        apply(reader, &self.settings, index, &seen, &changes.members).await?;
        complete(reader, &self.settings, scope, index).await?;
        self.write(index, scope).await?;
        let token = token_of(&changes.cookie);
        let cursor = Cursor {
            token: &token,
            cookie: &changes.cookie,
        };
        self.agent.file.save(index, cursor)?;
        self.opened.session.report().await?;
        if token != held.token {
            self.opened.session.set_token(&token).await?;
        }
        self.token.clone_from(&token);
        held.token = token;
        held.cookie = changes.cookie;
        Ok(Followed::Done(held))
    }

    /// Changes since the cookie, over a new connection if the present one broke.
    async fn changes(
        &self,
        reader: &mut Reader,
        cookie: &[u8],
    ) -> Result<reader::Changes, DirectoryError> {
        let mut backoff = rollcall_kit::backoff::Backoff::new();
        loop {
            let error = match reader.changes(&self.settings.mapping, cookie).await {
                Err(error) if error.is_transient() => error,
                other => return other,
            };
            if backoff.attempts() >= RECONNECTS_MAX {
                return Err(error);
            }
            tracing::warn!(%error, "the directory is asked again");
            let wait: Duration = backoff.next_wait(&*self.agent.entropy);
            tokio::time::sleep(wait).await;
            if let Ok(new) = self.connect().await {
                *reader = new;
            }
        }
    }

    /// Makes the hub equal to the index. It does not list suspended members: once a user was
    /// reactivated, the members are listed again, so that no membership from before comes back to
    /// life unnoticed.
    async fn write(&mut self, index: &mut Index, scope: &Scope) -> Result<(), Failure> {
        let mut inactive = index.inactive_users();
        self.write_once(index, scope).await?;
        inactive.retain(|user| index.is_active(*user));
        if inactive.is_empty() {
            return Ok(());
        }
        tracing::debug!(
            users = inactive.len(),
            "users were reactivated; the members of groups are listed again"
        );
        let mapping = &self.settings.mapping;
        let hub = self.opened.session.hub();
        let listing = hub.list(mapping, self.agent.clock.now()).await;
        let groups = listing.map_err(|error| hub::failure(&error))?.groups;
        let members = groups
            .into_iter()
            .map(|group| (group.guid, group.member_ids));
        index.set_members(&members.collect());
        self.write_once(index, scope).await
    }

    async fn write_once(&mut self, index: &mut Index, scope: &Scope) -> Result<(), Failure> {
        let agent = self.agent;
        let limit = agent.limit();
        let work = Work {
            session: &self.opened.session,
            settings: &self.settings,
            scope,
            limit,
            clock: &*agent.clock,
            entropy: &agent.entropy,
            activity: &agent.activity,
        };
        let begin = || agent.file.begin_writing().map_err(Failure::from);
        let (errors, removed) = (&mut self.errors, &mut self.removed);
        let result = work.carry_out(index, errors, removed, begin).await;
        agent.file.set_item_errors(&self.errors)?;
        self.summary.list(&self.errors);
        let Done {
            users_in_scope,
            groups_in_scope,
            memberships_in_scope,
            wrote,
        } = result?;
        self.summary.users_in_scope = users_in_scope;
        self.summary.groups_in_scope = groups_in_scope;
        self.summary.memberships_in_scope = memberships_in_scope;
        if wrote {
            tracing::info!(
                users = users_in_scope,
                groups = groups_in_scope,
                memberships = memberships_in_scope,
                failed_items = self.errors.len(),
                "the hub follows the directory"
            );
        }
        Ok(())
    }
}

/// What a batch is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thorough {
    /// Also items that failed before.
    RetryFailed,
    /// Only what changed.
    ChangesOnly,
}

enum Followed {
    Done(Held),
    CookieRefused(String),
}

/// Reads objects whole and takes them in. Objects of no interest that are not known stay unknown.
async fn apply(
    reader: &mut Reader,
    settings: &Settings,
    index: &mut Index,
    guids: &[Guid],
    reported: &BTreeMap<Guid, Members>,
) -> Result<(), Failure> {
    for change in read(reader, settings, index, guids, reported).await? {
        index.apply(change, &settings.mapping);
    }
    Ok(())
}

/// As [`apply`], while everything is being read.
async fn read_again(
    reader: &mut Reader,
    settings: &Settings,
    snapshot: &mut Snapshot,
    guids: &[Guid],
    reported: &BTreeMap<Guid, Members>,
) -> Result<(), Failure> {
    for change in read(reader, settings, &snapshot.index, guids, reported).await? {
        snapshot.take(change, &settings.mapping);
    }
    Ok(())
}

async fn read(
    reader: &mut Reader,
    settings: &Settings,
    index: &Index,
    guids: &[Guid],
    reported: &BTreeMap<Guid, Members>,
) -> Result<Vec<Change>, Failure> {
    if guids.is_empty() {
        return Ok(Vec::new());
    }
    let mut changes = reader
        .objects(&settings.mapping, guids, reported)
        .await
        .map_err(|error| reader::failure(&error))?;
    changes.retain_mut(|change| {
        let Change::Seen(object) = change else {
            return true;
        };
        if !reported.contains_key(&object.guid) && index.keep_unreported_members(object) {
            tracing::warn!(
                group = object.dn,
                "no members are shown, though none was reported to have left; they are kept"
            );
        }
        object.class != ObjectClass::Other || index.get(object.guid).is_some()
    });
    Ok(changes)
}

/// Looks up what objects name but the index does not have: parents, so that every object's place
/// is known, and members where groups inside groups count.
async fn complete(
    reader: &mut Reader,
    settings: &Settings,
    scope: &Scope,
    index: &mut Index,
) -> Result<(), Failure> {
    let follows_groups =
        !scope.groups.is_empty() || settings.nested_groups == NestedGroups::Flatten;
    for _ in 0..ROUNDS_MAX {
        let mut unknown = index.missing_parents();
        if follows_groups {
            unknown.extend(index.missing_members());
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let before = index.len();
        let changes = reader
            .objects(&settings.mapping, &unknown, &BTreeMap::new())
            .await
            .map_err(|error| reader::failure(&error))?;
        for change in changes {
            if matches!(change, Change::Seen(_)) {
                index.apply(change, &settings.mapping);
            }
        }
        if index.len() == before {
            return Ok(());
        }
    }
    Ok(())
}
