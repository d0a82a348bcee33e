//! Everything the hub has from this directory: users, external groups and their members.
//!
//! Invariant: complete or an error; objects whose external id is not an objectGUID are not ours
//! and are left out. Each object is handed on as it comes: the pool may be too large to be held
//! twice.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rollcall_client::ClientError;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{ListUsersRequest, User};
use rollcall_proto::organizationmanager::{
    Group, ListExternalGroupsRequest, ListGroupMembersRequest,
};

use super::{Hub, PAGES_MAX};
use crate::engine::Guid;
use crate::engine::hub_id::HubId;
use crate::engine::index::{HubGroup, HubUser};
use crate::engine::mapping::Mapping;
use crate::engine::values::{GroupValues, UserTarget, UserValues};

const PAGE_SIZE: i64 = 1_000;
/// Groups whose members are asked for at the same time.
const GROUPS_AT_ONCE: usize = 16;

/// Objects of the pool that have an external id that is no objectGUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign(pub usize);

impl Hub {
    /// Reads the users, page by page.
    ///
    /// # Errors
    /// [`ClientError`]; what was handed on until then is incomplete.
    pub async fn list_users(
        &self,
        mapping: &Mapping,
        now: Timestamp,
        mut sink: impl FnMut(HubUser),
    ) -> Result<Foreign, ClientError> {
        let mut foreign = 0;
        self.each_user(|user| {
            if user.external_id.is_empty() || user.status() == Status::Deleting {
                return;
            }
            match Guid::parse(&user.external_id) {
                Some(guid) => sink(hub_user(guid, &user, mapping, now)),
                None => foreign += 1,
            }
        })
        .await?;
        Ok(Foreign(foreign))
    }

    /// Hands on all users of the pool, whoever they belong to.
    pub(super) async fn each_user(&self, mut sink: impl FnMut(User)) -> Result<(), ClientError> {
        let mut request = ListUsersRequest {
            userpool_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListUsersRequest::default()
        };
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.users().list(request).await
                })
                .await?;
            page.users.into_iter().for_each(&mut sink);
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }

    /// Reads the external groups of the pool with their members, in any order.
    ///
    /// # Errors
    /// [`ClientError`]; what was handed on until then is incomplete.
    pub async fn list_groups(
        &self,
        mapping: &Mapping,
        mut sink: impl FnMut(HubGroup),
    ) -> Result<Foreign, ClientError> {
        let mut request = ListExternalGroupsRequest {
            subject_container_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListExternalGroupsRequest::default()
        };
        let mut foreign = 0;
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_external(request).await
                })
                .await?;
            let all = page.groups.len();
            let ours = page.groups.into_iter();
            let ours: Vec<(Guid, Group)> = ours
                .filter_map(|group| Some((Guid::parse(&group.external_id)?, group)))
                .collect();
            foreign += all - ours.len();
            let mut groups = stream::iter(ours)
                .map(|(guid, group)| async move {
                    let member_ids = self.members(&group.id).await?;
                    Ok::<_, ClientError>(hub_group(guid, group, member_ids, mapping))
                })
                .buffer_unordered(GROUPS_AT_ONCE);
            while let Some(group) = groups.try_next().await? {
                sink(group);
            }
            if page.next_page_token.is_empty() {
                return Ok(Foreign(foreign));
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }

    pub(crate) async fn members(&self, group_id: &str) -> Result<Vec<HubId>, ClientError> {
        let mut request = ListGroupMembersRequest {
            group_id: group_id.to_owned(),
            page_size: PAGE_SIZE,
            ..ListGroupMembersRequest::default()
        };
        let mut members = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_members(request).await
                })
                .await?;
            members.extend(page.members.into_iter().map(|m| HubId::from(m.subject_id)));
            if page.next_page_token.is_empty() {
                return Ok(members);
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }
}

pub(super) fn hub_user(guid: Guid, user: &User, mapping: &Mapping, now: Timestamp) -> HubUser {
    let expires_at = expires_at(user);
    let ended = expires_at.is_some_and(|at| at <= now);
    HubUser {
        guid,
        id: HubId::from(user.id.as_str()),
        values: user_values(user, mapping),
        enabled: match user.status() {
            Status::Active => Some(true),
            Status::Suspended if !ended => Some(false),
            _ => None,
        },
    }
}

/// The values of the mapped fields.
pub(super) fn user_values(user: &User, mapping: &Mapping) -> UserValues {
    let fields = mapping
        .user_targets()
        .map(|target| (target, field(user, target)));
    UserValues::new(fields, expires_at(user))
}

fn expires_at(user: &User) -> Option<Timestamp> {
    let at = user.expires_at?;
    Some(Timestamp::from_seconds_and_nanos(at.seconds, at.nanos))
}

pub(super) fn field(user: &User, target: UserTarget) -> &str {
    match target {
        UserTarget::FullName => &user.full_name,
        UserTarget::GivenName => &user.given_name,
        UserTarget::FamilyName => &user.family_name,
        UserTarget::Email => &user.email,
        UserTarget::PhoneNumber => &user.phone_number,
        UserTarget::Username => &user.username,
        UserTarget::CompanyName => &user.company_name,
        UserTarget::JobTitle => &user.job_title,
        UserTarget::Department => &user.department,
        UserTarget::EmployeeId => &user.employee_id,
    }
}

pub(super) fn hub_group(
    guid: Guid,
    group: Group,
    member_ids: Vec<HubId>,
    mapping: &Mapping,
) -> HubGroup {
    HubGroup {
        guid,
        id: group.id.into(),
        values: GroupValues {
            name: group.name,
            description: mapping.maps_description().then_some(group.description),
        },
        member_ids,
    }
}
