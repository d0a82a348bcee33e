//! What the hub has of the objects that a plan changes or removes.
//!
//! Invariant: only what the plan is about is kept; few objects are asked for one by one, many are
//! picked out of a listing. An object the hub lost meanwhile is left out.

use std::collections::HashMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rollcall_client::ClientError;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{GetUserRequest, User};
use rollcall_proto::organizationmanager::{GetGroupRequest, Group, ListExternalGroupsRequest};

use super::one::found;
use super::{Hub, PAGES_MAX, listing};
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::mapping::Mapping;
use crate::engine::plan::{Before, Plan, UserBefore};
use crate::engine::values::GroupValues;

const PAGE_SIZE: i64 = 1_000;
/// Objects that are asked for one by one; more are picked out of a listing.
const ASKED_SINGLY_MAX: usize = 500;
/// Calls in flight.
const CALLS_AT_ONCE: usize = 16;

impl Hub {
    /// The present state of everything `plan` updates, switches or removes.
    ///
    /// # Errors
    /// [`ClientError`] when it cannot be read completely.
    pub(crate) async fn before(
        &self,
        plan: &Plan,
        index: &Index,
        mapping: &Mapping,
    ) -> Result<Before, ClientError> {
        let users = plan.user_updates.iter().map(|update| update.guid);
        let users = users.chain(plan.user_removals.iter().map(|gone| gone.guid));
        let groups = plan.group_updates.iter().copied();
        let groups = groups.chain(plan.group_removals.iter().map(|gone| gone.guid));
        let (users, groups) = (by_id(users, index), by_id(groups, index));
        let mut before = Before::default();
        let (found_users, found_groups) =
            futures::try_join!(self.users_of(&users), self.groups_of(&groups))?;
        for user in found_users {
            if let Some(guid) = users.get(user.id.as_str()) {
                let active = user.status() == Status::Active;
                let values = listing::user_values(&user, mapping);
                before.users.insert(*guid, UserBefore { values, active });
            }
        }
        for group in found_groups {
            if let Some(guid) = groups.get(group.id.as_str()) {
                let description = mapping.maps_description().then_some(group.description);
                let name = group.name;
                let values = GroupValues { name, description };
                before.groups.insert(*guid, values);
            }
        }
        Ok(before)
    }

    async fn users_of(&self, wanted: &HashMap<&str, Guid>) -> Result<Vec<User>, ClientError> {
        if wanted.len() > ASKED_SINGLY_MAX {
            return self.listed_users(wanted).await;
        }
        let found = stream::iter(wanted.keys().map(|id| (*id).to_owned()))
            .map(|user_id| async move {
                let request = GetUserRequest { user_id };
                let answer = self.read(request, |hub, request| async move {
                    hub.users().get(request).await
                });
                found(answer.await)
            })
            .buffer_unordered(CALLS_AT_ONCE);
        let found: Vec<Option<User>> = found.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn listed_users(&self, wanted: &HashMap<&str, Guid>) -> Result<Vec<User>, ClientError> {
        let mut users = Vec::new();
        self.each_user(|user| {
            if wanted.contains_key(user.id.as_str()) {
                users.push(user);
            }
        })
        .await?;
        Ok(users)
    }

    async fn groups_of(&self, wanted: &HashMap<&str, Guid>) -> Result<Vec<Group>, ClientError> {
        if wanted.len() > ASKED_SINGLY_MAX {
            return self.listed_groups(wanted).await;
        }
        let found = stream::iter(wanted.keys().map(|id| (*id).to_owned()))
            .map(|group_id| async move {
                let request = GetGroupRequest { group_id };
                let answer = self.read(request, |hub, request| async move {
                    hub.groups().get(request).await
                });
                found(answer.await)
            })
            .buffer_unordered(CALLS_AT_ONCE);
        let found: Vec<Option<Group>> = found.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn listed_groups(&self, wanted: &HashMap<&str, Guid>) -> Result<Vec<Group>, ClientError> {
        let mut request = ListExternalGroupsRequest {
            subject_container_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListExternalGroupsRequest::default()
        };
        let mut groups = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_external(request).await
                })
                .await?;
            let ours = page.groups.into_iter();
            groups.extend(ours.filter(|group| wanted.contains_key(group.id.as_str())));
            if page.next_page_token.is_empty() {
                return Ok(groups);
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }
}

fn by_id(guids: impl Iterator<Item = Guid>, index: &Index) -> HashMap<&str, Guid> {
    guids
        .filter_map(|guid| Some((index.hub_id(guid)?, guid)))
        .collect()
}
