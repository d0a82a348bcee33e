//! One object of the hub, with its memberships.
//!
//! Invariant: what is not there is `None`, and an error only when it could not be asked for.

use rollcall_client::{ClientError, ErrorKind};
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{
    GetSynchronizationSettingsRequest, GetUserRequest, SynchronizationSettings, User,
};
use rollcall_proto::organizationmanager::{
    GetGroupRequest, Group, GroupMembershipInfo, ListEffectiveRequest,
};

use super::listing;
use super::{Hub, PAGES_MAX};
use crate::engine::Guid;
use crate::engine::index::{HubGroup, HubUser};
use crate::engine::mapping::Mapping;
use crate::engine::values::UserTarget;

const PAGE_SIZE: i64 = 1_000;

impl Hub {
    /// The settings of the pool, if it has any.
    pub(crate) async fn settings(&self) -> Result<Option<SynchronizationSettings>, ClientError> {
        let request = GetSynchronizationSettingsRequest {
            subject_container_id: self.userpool_id(),
        };
        let answer = self.read(request, |hub, request| async move {
            hub.synchronization()
                .get_synchronization_settings(request)
                .await
        });
        found(answer.await)
    }

    /// The user with this external id.
    pub(crate) async fn user_of(&self, guid: Guid) -> Result<Option<User>, ClientError> {
        let Some(user_id) = self.find_user(guid).await? else {
            return Ok(None);
        };
        let answer = self.read(GetUserRequest { user_id }, |hub, request| async move {
            hub.users().get(request).await
        });
        found(answer.await)
    }

    /// The same as a listing shows it.
    pub(crate) async fn listed_user(
        &self,
        guid: Guid,
        mapping: &Mapping,
        now: Timestamp,
    ) -> Result<Option<HubUser>, ClientError> {
        let user = self.user_of(guid).await?;
        let present = user.filter(|user| user.status() != Status::Deleting);
        Ok(present.map(|user| listing::hub_user(guid, &user, mapping, now)))
    }

    /// The external group of this pool with this external id, as a listing shows it.
    pub(crate) async fn listed_group(
        &self,
        guid: Guid,
        mapping: &Mapping,
    ) -> Result<Option<HubGroup>, ClientError> {
        let Some(group) = self.group_of(guid).await? else {
            return Ok(None);
        };
        let member_ids = self.members(&group.id).await?;
        Ok(Some(listing::hub_group(guid, group, member_ids, mapping)))
    }

    /// The external group of this pool with this external id.
    pub(crate) async fn group_of(&self, guid: Guid) -> Result<Option<Group>, ClientError> {
        found(self.find_group(guid).await)
    }

    /// The group with this id.
    pub(crate) async fn group(&self, group_id: &str) -> Result<Option<Group>, ClientError> {
        let request = GetGroupRequest {
            group_id: group_id.to_owned(),
        };
        let answer = self.read(request, |hub, request| async move {
            hub.groups().get(request).await
        });
        found(answer.await)
    }

    /// The groups a user is in, whether or not it may sign in.
    pub(crate) async fn groups_of_user(
        &self,
        user_id: &str,
    ) -> Result<Vec<GroupMembershipInfo>, ClientError> {
        let mut request = ListEffectiveRequest {
            subject_id: user_id.to_owned(),
            page_size: PAGE_SIZE,
            ..ListEffectiveRequest::default()
        };
        let mut groups = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_effective(request).await
                })
                .await?;
            groups.extend(page.group_membership_info);
            if page.next_page_token.is_empty() {
                return Ok(groups);
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }
}

/// A field of a user of the hub.
pub(crate) fn user_field(user: &User, target: UserTarget) -> &str {
    listing::field(user, target)
}

/// What was asked for, unless the hub does not have it.
pub(super) fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
