//! A full comparison: the whole directory against the whole listing of the hub.
//!
//! Invariant: it compares only after both were read completely; the cursor is stored after
//! everything it covers was acknowledged. Deliberately absent: what is written (`crate::uplink`).

use std::collections::BTreeMap;

use super::look_up::{apply, complete, read_again};
use super::{Held, Run, SHOW_EVERY};
use crate::engine::Guid;
use crate::engine::object::Change;
use crate::engine::scope::Scope;
use crate::engine::snapshot::Snapshot;
use crate::failure::Failure;
use crate::hub;
use crate::index_file::Cursor;
use crate::reader::{self, Reader};
use crate::replication_token::token_of;

impl Run<'_> {
    /// Compares everything.
    pub(super) async fn full(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<Held, Failure> {
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
}
