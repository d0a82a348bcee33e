//! The work inside a session: a full comparison or the changes since the last one, then, if asked
//! for, following the directory until the session has lasted its interval (decision U131).
//!
//! Invariant: the cursor is stored at the hub only after everything it covers was acknowledged;
//! the index file carries a token only while it equals what the hub was left with.

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::brake::Brake;
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::hub;
use crate::item_error::ItemErrors;
use crate::looks::Looks;
use crate::reader::Reader;
use crate::session::Opened;
use crate::settings::Settings;
use crate::sight::save_filter;
use crate::stream::Stream;
use crate::summary::RunSummary;
use crate::uplink::{Done, Work};

pub(crate) mod delta;
mod drift_check;
pub(crate) mod full;
pub(crate) mod look_up;
mod refresh;
mod unshown_members;

use delta::{Followed, Thorough};

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
    /// Whose cookie it is.
    controller: Option<Guid>,
}

/// The work of one session.
pub struct Run<'a> {
    agent: &'a Agent,
    opened: &'a Opened,
    settings: Settings,
    binding: Vec<u8>,
    held: Option<Held>,
    errors: ItemErrors,
    /// What the directory cannot show.
    unreadable: BTreeMap<Guid, String>,
    brake: Brake<'a>,
    /// What the hub was left with.
    token: String,
    summary: &'a mut RunSummary,
    looks: Looks,
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
        let period = agent.config.sync_settings.follow_period;
        let looks = Looks::of_session(settings.interval, period);
        let binding = settings.binding(&agent.config.userpool_id, &agent.config.ldap.host);
        Self {
            agent,
            opened,
            settings,
            binding,
            held,
            errors: ItemErrors::default(),
            unreadable: BTreeMap::new(),
            brake: Brake::new(agent, Stream::Objects),
            token: opened.token.clone(),
            summary,
            looks,
        }
    }

    /// Whether a stop would leave nothing half done.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.looks.is_at_rest()
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
        self.errors = self.agent.failed_items(Stream::Objects).errors()?;
        self.agent.activity.begin("connecting to the directory", 0);
        let mut reader = self.connect().await?;
        let scope = self.resolve(&mut reader).await?;
        self.first_batch(&mut reader, &scope).await?;
        self.agent.caught_up(self.opened, self.summary);
        self.serve_requests(&mut reader, &scope).await?;
        if pace == Pace::Once {
            return Ok(());
        }
        loop {
            self.agent.activity.rest("following the directory");
            if !self.looks.next().await {
                return Ok(());
            }
            let read = self.summary.objects_read;
            self.follow_once(&mut reader, &scope).await?;
            if self.summary.objects_read == read {
                self.agent.quiet(self.opened);
            } else {
                self.agent.caught_up(self.opened, self.summary);
            }
            self.serve_requests(&mut reader, &scope).await?;
            self.check_drift_when_due(&mut reader, &scope).await?;
        }
    }

    async fn connect(&self) -> Result<Reader, Failure> {
        self.agent.connect(&self.settings.filter.domain).await
    }

    async fn resolve(&self, reader: &mut Reader) -> Result<Scope, Failure> {
        reader.check_mapping(&self.settings.mapping).await?;
        let memory = Some(&self.agent.file);
        let resolved = reader.resolve(&self.settings.filter, memory).await?;
        for note in &resolved.notes {
            tracing::warn!("{note}");
        }
        if let Err(error) = save_filter(&self.agent.directory, &resolved.known) {
            tracing::warn!(%error, "what the filter means cannot be stored for explain and drift");
        }
        Ok(resolved.scope)
    }

    /// Brings the index to the present, whatever there is to start from.
    async fn first_batch(&mut self, reader: &mut Reader, scope: &Scope) -> Result<(), Failure> {
        let began = self.agent.clock.now();
        let held = match self.start_of_delta().await? {
            Some(held) if self.deletions_are_remembered(reader).await? => Some(held),
            _ => None,
        };
        if let Some(held) = held {
            self.summary.mode = Some("delta".into());
            match self
                .delta(reader, scope, held, Thorough::RetryFailed)
                .await?
            {
                Followed::Done(held) => {
                    self.held = Some(held);
                    self.agent.file.set_followed_at(began)?;
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
        self.agent.file.set_followed_at(began)?;
        Ok(())
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
        let mut members = BTreeMap::new();
        hub.list_groups(mapping, |group| {
            members.insert(group.guid, group.member_ids);
        })
        .await
        .map_err(|error| hub::failure(&error))?;
        index.set_members(&members);
        self.write_once(index, scope).await
    }

    async fn write_once(&mut self, index: &mut Index, scope: &Scope) -> Result<(), Failure> {
        let agent = self.agent;
        let work = Work {
            session: &self.opened.session,
            settings: &self.settings,
            scope,
            unreadable: &self.unreadable,
            clock: &*agent.clock,
            entropy: &agent.entropy,
            activity: &agent.activity,
            stop: &agent.stop,
        };
        let begin = || agent.file.begin_writing().map_err(Failure::from);
        let (errors, brake) = (&mut self.errors, &mut self.brake);
        let result = work.carry_out(index, errors, brake, begin).await;
        self.summary.refused_plan = self.brake.refused().cloned();
        agent.failed_items(Stream::Objects).keep(&mut self.errors)?;
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
