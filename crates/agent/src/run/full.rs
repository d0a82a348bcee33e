//! A full comparison: the whole directory against the whole listing of the hub.
//!
//! Invariant: it compares only after both were read completely; the cursor is stored after
//! everything it covers was acknowledged. Deliberately absent: what is written (`crate::uplink`).

use rollcall_kit::clock::Clock;

use super::look_up::{apply, complete, read_again};
use super::{Held, Run, SHOW_EVERY, unshown_members};
use crate::activity::Activity;
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::object::Change;
use crate::engine::scope::Scope;
use crate::engine::snapshot::Snapshot;
use crate::failure::Failure;
use crate::hub::{self, Foreign, Hub};
use crate::index_file::{Cursor, Stored};
use crate::reader::{self, Reader, Told};
use crate::replication_token::token_of;
use crate::settings::Settings;

/// What reading everything needs.
pub(crate) struct Picture<'a> {
    /// Settings of the run.
    pub(crate) settings: &'a Settings,
    /// Scope of the run.
    pub(crate) scope: &'a Scope,
    /// The hub.
    pub(crate) hub: &'a Hub,
    /// Time.
    pub(crate) clock: &'a dyn Clock,
    /// What is shown to people.
    pub(crate) activity: &'a Activity,
}

/// Both sides, completely read.
pub(crate) struct Compared {
    /// The directory beside the hub.
    pub(crate) index: Index,
    /// Where the next read of the directory begins.
    pub(crate) cookie: Vec<u8>,
    /// Objects the directory delivered.
    pub(crate) objects_read: usize,
}

impl Run<'_> {
    /// Compares everything.
    pub(super) async fn full(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<Held, Failure> {
        let agent = self.agent;
        let started_at = agent.clock.now();
        let picture = Picture {
            settings: &self.settings,
            scope,
            hub: self.opened.session.hub(),
            clock: &*agent.clock,
            activity: &agent.activity,
        };
        let stored = Stored {
            file: &agent.file,
            binding: &self.binding,
            token: &self.token,
        };
        let Compared {
            mut index,
            cookie,
            objects_read,
        } = picture.take(reader, Some(&stored)).await?;
        self.summary.objects_read = objects_read;
        // The picture is as old as the reading took; meanwhile the account state stream may have
        // suspended somebody who would be let in again.
        let doubtful = index.to_reactivate();
        let settings = &self.settings;
        apply(reader, settings, &mut index, &doubtful, &Told::default()).await?;
        self.unreadable.clone_from(reader.unreadable());
        self.write(&mut index, scope).await?;
        let token = token_of(&cookie);
        let cursor = Cursor {
            token: &token,
            cookie: &cookie,
        };
        agent.activity.begin("storing the index", index.len());
        let shown = |number| agent.activity.advance(number);
        let replaced = agent.file.replace(&mut index, &self.binding, cursor, shown);
        replaced.await?;
        let controller = reader.controller();
        agent.file.set_controller(controller)?;
        agent.file.set_compared_at(started_at)?;
        self.opened.session.report().await?;
        self.opened.session.set_token(&token).await?;
        self.token.clone_from(&token);
        Ok(Held {
            index,
            binding: self.binding.clone(),
            token,
            cookie,
            controller,
        })
    }
}

impl Picture<'_> {
    /// Reads the directory and the hub, and looks into the `stored` index of the last run, if it
    /// covers what the hub has.
    ///
    /// # Errors
    /// [`Failure`] when either side cannot be read completely.
    pub(crate) async fn take(
        &self,
        reader: &mut Reader,
        stored: Option<&Stored<'_>>,
    ) -> Result<Compared, Failure> {
        let activity = self.activity;
        activity.begin("reading the directory and the hub", 0);
        let mapping = &self.settings.mapping;
        let mut snapshot = Snapshot::default();
        let mut read = 0_usize;
        let everything = reader.everything(mapping, |change| {
            if matches!(change, Change::Seen(_)) {
                read += 1;
                if read.is_multiple_of(SHOW_EVERY) {
                    activity.advance(SHOW_EVERY);
                }
            }
            snapshot.take(change, mapping);
        });
        let again = everything.await.map_err(|error| reader::failure(&error))?;
        let objects_read = read + again.seen.len();
        let (settings, scope) = (self.settings, self.scope);
        let guids: Vec<Guid> = again.seen.iter().copied().collect();
        let sources = again.members.iter();
        let sources = sources.map(|(group, told)| (*group, told.into())).collect();
        let told = Told::of_members(sources, again.restored);
        read_again(reader, settings, &mut snapshot, &guids, &told).await?;
        for (guid, name) in again.elsewhere {
            snapshot.take(Change::Elsewhere(guid, name), mapping);
        }
        let (mut index, deleted) = snapshot.into_parts();
        complete(reader, settings, scope, &mut index).await?;
        self.list(&mut index).await?;
        let memory = match stored {
            Some(stored) => stored.memory(&index).await?,
            None => None,
        };
        if let Some(memory) = memory {
            index.recall(memory);
        }
        for guid in deleted {
            index.apply(Change::Deleted(guid), mapping);
        }
        let missing = index.missing();
        apply(reader, settings, &mut index, &missing, &Told::default()).await?;
        complete(reader, settings, scope, &mut index).await?;
        unshown_members::check(reader, scope, &index).await?;
        Ok(Compared {
            index,
            cookie: again.cookie,
            objects_read,
        })
    }

    /// Takes the hub's listing in, after the directory: so each object gets its place in memory
    /// once.
    async fn list(&self, index: &mut Index) -> Result<(), Failure> {
        let mapping = &self.settings.mapping;
        let now = self.clock.now();
        let users = self
            .hub
            .list_users(mapping, now, |user| index.list_user(user));
        let Foreign(users) = users.await.map_err(|error| hub::failure(&error))?;
        let ids = index.hub_ids();
        let groups = self
            .hub
            .list_groups(mapping, |group| index.list_group(group, &ids));
        let Foreign(groups) = groups.await.map_err(|error| hub::failure(&error))?;
        if users + groups > 0 {
            tracing::warn!(
                count = users + groups,
                "objects of the pool have an external id that is no objectGUID; they are left alone"
            );
        }
        Ok(())
    }
}
