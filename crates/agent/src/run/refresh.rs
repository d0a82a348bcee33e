//! Single objects that a person asked for: read on both sides whatever is known, then written.
//!
//! Invariant: the plan and the brake judge what comes of it as they judge everything else. An object
//! that is merely not visible changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use super::look_up::{complete, read};
use crate::engine::Guid;
use crate::engine::hub_id::HubId;
use crate::engine::index::{Index, Kind};
use crate::engine::object::Change;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::hub;
use crate::index_file::Cursor;
use crate::reader::{Reader, Told};
use crate::resync::{Answer, Brought, Found, Mailbox, OBJECTS_MAX, Request};

impl Run<'_> {
    /// Answers the requests that wait.
    pub(super) async fn serve_requests(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<(), Failure> {
        let mailbox = Mailbox::new(&self.agent.directory);
        for request in mailbox.requests(self.agent.clock.now()) {
            tracing::info!(
                objects = request.objects.len(),
                "objects are brought up to date on request"
            );
            let mut answer = Answer {
                id: request.id.clone(),
                ..Answer::default()
            };
            let result = self.serve(reader, scope, &request, &mut answer).await;
            answer.answered_at = self.agent.clock.now().to_string();
            answer.reason = result.as_ref().err().map(ToString::to_string);
            if let Err(error) = mailbox.answer(&answer) {
                tracing::warn!(%error, "a request cannot be answered");
            }
            match result {
                Ok(()) => self.agent.caught_up(self.opened, self.summary),
                // What was asked for is refused; what runs by itself goes on from the file.
                Err(Failure::Run(reason)) => {
                    tracing::warn!(reason, "a request was refused");
                    self.held = match self.stored(&self.token).await? {
                        Some(held) => Some(held),
                        None => Some(self.full(reader, scope).await?),
                    };
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn serve(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
        request: &Request,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let mut guids = Vec::new();
        for asked in request.objects.iter().take(OBJECTS_MAX) {
            let (external_id, result, reason) = match reader.find_one(asked).await {
                Ok(guid) => {
                    guids.push(guid);
                    (Some(guid.to_string()), Found::Compared, None)
                }
                Err(Failure::Run(reason)) => (None, Found::NotVisible, Some(reason)),
                Err(failure) => return Err(failure),
            };
            answer.objects.push(Brought {
                asked: asked.clone(),
                external_id,
                result,
                reason,
            });
        }
        if guids.is_empty() {
            return Ok(());
        }
        let Some(mut held) = self.held.take() else {
            return Err(Failure::Run("there is nothing to go on from".into()));
        };
        self.refresh_hub(&mut held.index, &guids).await?;
        self.refresh_directory(reader, scope, &mut held.index, &guids, answer)
            .await?;
        self.summary.count(&self.opened.session.progress());
        let before = self.summary.without_items();
        self.write(&mut held.index, scope).await?;
        let cursor = Cursor {
            token: &held.token,
            cookie: &held.cookie,
        };
        self.save(&mut held.index, cursor).await?;
        self.opened.session.report().await?;
        self.held = Some(held);
        self.summary.count(&self.opened.session.progress());
        answer.count(&before, self.summary);
        let asked: BTreeSet<String> = guids.iter().map(ToString::to_string).collect();
        let items = self.errors.iter();
        let concerned = items.filter(|item| asked.contains(&item.external_id));
        answer.failed_items = concerned.cloned().collect();
        Ok(())
    }

    /// Takes in what the hub has of these objects now, and in which groups their users are.
    async fn refresh_hub(&self, index: &mut Index, guids: &[Guid]) -> Result<(), Failure> {
        let failed = |error| hub::failure(&error);
        let hub = self.opened.session.hub();
        let mapping = &self.settings.mapping;
        for guid in guids {
            let now = self.agent.clock.now();
            if let Some(user) = hub.listed_user(*guid, mapping, now).await.map_err(failed)? {
                let groups = hub.groups_of_user(user.id.as_str()).await.map_err(failed)?;
                let ids = groups
                    .iter()
                    .map(|group| HubId::from(group.group_id.as_str()));
                let ids: BTreeSet<HubId> = ids.collect();
                index.list_user(user);
                index.set_groups_of(*guid, &ids);
            } else if let Some(group) = hub.listed_group(*guid, mapping).await.map_err(failed)? {
                let members = group.member_ids.clone();
                let ids = index.hub_ids();
                index.list_group(group, &ids);
                index.set_members(&BTreeMap::from([(*guid, members)]));
            } else if index.hub_id(*guid).is_some() {
                index.removed(*guid);
            }
        }
        Ok(())
    }

    /// Reads these objects, and the groups that have or had users among them as members.
    async fn refresh_directory(
        &self,
        reader: &mut Reader,
        scope: &Scope,
        index: &mut Index,
        guids: &[Guid],
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let mut wanted: BTreeSet<Guid> = guids.iter().copied().collect();
        for guid in guids {
            let above = reader.groups_of(*guid).await;
            wanted.extend(above.map_err(|error| crate::reader::failure(&error))?);
        }
        for (group, record) in index.iter() {
            let has = |guid: &Guid| record.members().binary_search(guid).is_ok();
            if record.kind() == Kind::Group && guids.iter().any(has) {
                wanted.insert(group);
            }
        }
        let wanted: Vec<Guid> = wanted.into_iter().collect();
        let changes = read(reader, &self.settings, index, &wanted, &Told::default()).await?;
        for change in changes {
            let (guid, result) = match &change {
                Change::Elsewhere(..) => {
                    index.apply(change, &self.settings.mapping);
                    continue;
                }
                Change::Seen(object) => (object.guid, Found::Compared),
                Change::Deleted(guid) => (*guid, Found::Deleted),
                Change::Missing(guid) => (*guid, Found::NotVisible),
            };
            let text = guid.to_string();
            for object in &mut answer.objects {
                if object.external_id.as_deref() == Some(&text) {
                    object.result = result;
                }
            }
            if result != Found::NotVisible {
                index.apply(change, &self.settings.mapping);
            }
        }
        complete(reader, &self.settings, scope, index).await
    }
}
