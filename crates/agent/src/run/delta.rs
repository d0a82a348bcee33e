//! What changed since the last batch, and where a delta can start from.
//!
//! Invariant: a delta starts only from an index that corresponds to the token of the hub, and only
//! when nobody else has had a session since it was stored; the cursor moves only after everything
//! it covers was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_directory::Error as DirectoryError;
use tokio::time::Instant;

use super::look_up::{apply, complete};
use super::{Held, Run};
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::membership;
use crate::engine::object::Change;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::index_file::{Cursor, Stored};
use crate::outage::Outage;
use crate::reader::{self, Changes, Members, Reader, Source, Told};
use crate::replication_token::{cookie_of, token_of};
use crate::session::Mode;
use crate::settings::Settings;

/// What a batch is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thorough {
    /// Also items that failed before.
    RetryFailed,
    /// Only what changed.
    ChangesOnly,
}

/// How a delta ended.
pub(super) enum Followed {
    /// The index is at the present.
    Done(Held),
    /// Only a full comparison helps.
    CookieRefused(String),
}

impl Run<'_> {
    /// The index that corresponds to the hub's token, if there is one.
    pub(super) async fn start_of_delta(&mut self) -> Result<Option<Held>, Failure> {
        let held = self.held.take();
        if self.opened.mode == Mode::Full || self.full_comparison_is_due()? {
            return Ok(None);
        }
        let token = &self.opened.token;
        if let Some(held) = held
            && held.token == *token
            && held.binding == self.binding
        {
            return Ok(Some(held));
        }
        self.stored(token).await
    }

    /// The index as it was stored after the last batch, if it covers exactly what `token` covers.
    pub(super) async fn stored(&self, token: &str) -> Result<Option<Held>, Failure> {
        let file = &self.agent.file;
        let stored = Stored {
            file,
            binding: &self.binding,
            token,
        };
        let Some(index) = stored.load().await? else {
            tracing::info!(
                "the local index does not match the hub's token; everything is compared"
            );
            return Ok(None);
        };
        let kept = file.cookie()?;
        let controller = file.controller()?;
        Ok(cookie_of(token, kept.as_deref()).map(|cookie| Held {
            index,
            binding: self.binding.clone(),
            token: token.to_owned(),
            cookie,
            controller,
        }))
    }

    /// Whether the safety net is due: what changed in the hub behind the agent's back, and what
    /// no increment told, is found by comparing everything only (decision U35).
    fn full_comparison_is_due(&self) -> Result<bool, Failure> {
        let period = self.agent.config.sync_settings.full_comparison_period;
        let Some(last) = self.agent.file.compared_at()? else {
            return Ok(false);
        };
        let due = self.agent.clock.now().since(last).to_duration() >= period;
        if due {
            tracing::info!(%last, "everything was last compared long ago and is compared again");
        }
        Ok(due)
    }

    /// Whether the directory still knows everything that was deleted since it was last followed.
    pub(super) async fn deletions_are_remembered(
        &self,
        reader: &mut Reader,
    ) -> Result<bool, Failure> {
        let Some(last) = self.agent.file.followed_at()? else {
            return Ok(true);
        };
        let lifetime = reader.tombstone_lifetime().await?;
        let away = self.agent.clock.now().since(last).to_duration();
        if away < lifetime {
            return Ok(true);
        }
        tracing::warn!(
            last_followed = %last,
            tombstone_lifetime_days = lifetime.as_secs() / (24 * 60 * 60),
            "the agent was away longer than the directory remembers what was deleted; everything is compared"
        );
        Ok(false)
    }

    /// One batch in follow mode.
    pub(super) async fn follow_once(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<(), Failure> {
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
                self.looks.work();
                self.held = Some(self.full(reader, scope).await?);
            }
        }
        Ok(())
    }

    /// Brings `held` to the present.
    pub(super) async fn delta(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
        mut held: Held,
        thorough: Thorough,
    ) -> Result<Followed, Failure> {
        let mut changes = match self.changes(reader, &held).await {
            Ok(changes) => changes,
            Err(DirectoryError::CookieRefused { text }) => {
                return Ok(Followed::CookieRefused(text));
            }
            Err(error) => return Err(reader::failure(&error)),
        };
        reader.forget_unreadable(&changes.deleted);
        if thorough == Thorough::RetryFailed {
            changes.seen.extend(self.errors.unreadable());
        }
        let quiet = changes.seen.is_empty() && changes.deleted.is_empty();
        if quiet && thorough == Thorough::ChangesOnly {
            // An old cursor is as good as a new one while nothing changed.
            return Ok(Followed::Done(held));
        }
        self.looks.work();
        self.summary.objects_read += changes.seen.len() + changes.deleted.len();
        let index = &mut held.index;
        take_in(reader, &self.settings, scope, index, &changes).await?;
        self.unreadable.clone_from(reader.unreadable());
        self.write(index, scope).await?;
        let token = token_of(&changes.cookie);
        let cursor = Cursor {
            token: &token,
            cookie: &changes.cookie,
        };
        self.save(index, cursor).await?;
        self.opened.session.report().await?;
        if token != held.token {
            self.opened.session.set_token(&token).await?;
        }
        self.token.clone_from(&token);
        held.token = token;
        held.cookie = changes.cookie;
        Ok(Followed::Done(held))
    }

    /// Stores what changed in the index.
    pub(super) async fn save(&self, index: &mut Index, cursor: Cursor<'_>) -> Result<(), Failure> {
        let agent = self.agent;
        agent.activity.begin("storing the index", 0);
        let shown = |number| agent.activity.advance(number);
        Ok(agent.file.save(index, cursor, shown).await?)
    }

    /// Changes since the cookie, over a new connection if the present one broke.
    async fn changes(&self, reader: &mut Reader, held: &Held) -> Result<Changes, DirectoryError> {
        let mapping = &self.settings.mapping;
        let mut outage = Outage::default();
        loop {
            let error = match reader.changes(mapping, &held.cookie, held.controller).await {
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

/// Brings the directory's side of `index` to the present.
///
/// # Errors
/// [`Failure`] when an object cannot be read completely.
pub(crate) async fn take_in(
    reader: &mut Reader,
    settings: &Settings,
    scope: &Scope,
    index: &mut Index,
    changes: &Changes,
) -> Result<(), Failure> {
    let mut restored = membership::deleted(index, changes.seen.iter().copied());
    restored.extend(&changes.restored);
    for guid in &changes.deleted {
        index.apply(Change::Deleted(*guid), &settings.mapping);
    }
    let mut regained: BTreeSet<Guid> = membership::naming(index, &restored).into_iter().collect();
    for member in &restored {
        // Links that were made shortly before a deletion are known to nobody here.
        let named = reader.groups_of(*member).await;
        regained.extend(named.map_err(|error| reader::failure(&error))?);
    }
    let sources = sources(index, changes, &restored, regained);
    let seen: BTreeSet<Guid> = changes.seen.iter().chain(sources.keys()).copied().collect();
    let seen: Vec<Guid> = seen.into_iter().collect();
    let told = Told::by(changes, sources);
    apply(reader, settings, index, &seen, &told).await?;
    for (guid, name) in &changes.elsewhere {
        let elsewhere = Change::Elsewhere(*guid, name.clone());
        index.apply(elsewhere, &settings.mapping);
    }
    complete(reader, settings, scope, index).await
}

/// Where the members of the changed groups come from.
///
/// Members that came and went are applied to what is known, so that a long list is not read for one
/// of them; a group that is new was reported with all of them. The groups of an object that was
/// brought back are not reported, whether its memberships came back with it or not, so they are read.
fn sources(
    index: &Index,
    changes: &Changes,
    restored: &BTreeSet<Guid>,
    regained: BTreeSet<Guid>,
) -> BTreeMap<Guid, Source> {
    let mut sources = BTreeMap::new();
    for group in &changes.seen {
        let known = membership::known(index, *group).filter(|_| !restored.contains(group));
        let source = match (changes.members.get(group), known) {
            (Some(Members::Changed(difference)), Some(known)) => {
                Source::Known(difference.apply(known))
            }
            (Some(Members::Changed(difference)), None) if changes.new.contains(group) => {
                Source::Known(difference.apply(&[]))
            }
            (Some(told), _) => told.into(),
            (None, Some(known)) => Source::Known(known.to_vec()),
            (None, None) => continue,
        };
        sources.insert(*group, source);
    }
    for group in regained {
        let before = match sources.remove(&group) {
            Some(Source::Known(members)) => members,
            _ => membership::known(index, group).unwrap_or_default().to_vec(),
        };
        let others = before
            .into_iter()
            .filter(|member| !restored.contains(member));
        sources.insert(group, Source::AtLeast(others.collect()));
    }
    sources
}
