//! Everything the hub has from this directory: users, external groups and their members.
//!
//! Invariant: complete or an error; objects whose external id is not an objectGUID are not ours
//! and are left out.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rollcall_client::ClientError;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{ListUsersRequest, User};
use rollcall_proto::organizationmanager::{
    Group, ListExternalGroupsRequest, ListGroupMembersRequest,
};

use super::Hub;
use crate::engine::Guid;
use crate::engine::index::{HubGroup, HubUser};
use crate::engine::mapping::Mapping;
use crate::engine::values::{GroupValues, UserTarget, UserValues};

const PAGE_SIZE: i64 = 1_000;
/// Groups whose members are asked for at the same time.
const GROUPS_AT_ONCE: usize = 16;

/// What the hub has.
#[derive(Debug, Default)]
pub struct Listing {
    /// Users with an objectGUID as external id.
    pub users: Vec<HubUser>,
    /// External groups of the pool.
    pub groups: Vec<HubGroup>,
    /// Users and groups whose external id is of another kind.
    pub foreign: usize,
}

impl Hub {
    /// Reads users, groups and members.
    ///
    /// # Errors
    /// [`ClientError`] when any part cannot be read.
    pub async fn list(&self, mapping: &Mapping, now: Timestamp) -> Result<Listing, ClientError> {
        let (users, groups) = futures::try_join!(self.users(), self.groups())?;
        let mut listing = Listing::default();
        let present =
            |user: &&User| !user.external_id.is_empty() && user.status() != Status::Deleting;
        for user in users.iter().filter(present) {
            match Guid::parse(&user.external_id) {
                Some(guid) => listing.users.push(hub_user(guid, user, mapping, now)),
                None => listing.foreign += 1,
            }
        }
        let ours = groups.into_iter().filter_map(|group| {
            let guid = Guid::parse(&group.external_id);
            if guid.is_none() {
                listing.foreign += 1;
            }
            Some((guid?, group))
        });
        let ours: Vec<(Guid, Group)> = ours.collect();
        listing.groups = stream::iter(ours)
            .map(|(guid, group)| async move {
                let member_ids = self.members(&group.id).await?;
                Ok::<_, ClientError>(hub_group(guid, group, member_ids, mapping))
            })
            .buffer_unordered(GROUPS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(listing)
    }

    async fn users(&self) -> Result<Vec<User>, ClientError> {
        let mut request = ListUsersRequest {
            userpool_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListUsersRequest::default()
        };
        let mut users = Vec::new();
        loop {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.users().list(request).await
                })
                .await?;
            users.extend(page.users);
            if page.next_page_token.is_empty() {
                return Ok(users);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn groups(&self) -> Result<Vec<Group>, ClientError> {
        let mut request = ListExternalGroupsRequest {
            subject_container_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListExternalGroupsRequest::default()
        };
        let mut groups = Vec::new();
        loop {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_external(request).await
                })
                .await?;
            groups.extend(page.groups);
            if page.next_page_token.is_empty() {
                return Ok(groups);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn members(&self, group_id: &str) -> Result<Vec<String>, ClientError> {
        let mut request = ListGroupMembersRequest {
            group_id: group_id.to_owned(),
            page_size: PAGE_SIZE,
            ..ListGroupMembersRequest::default()
        };
        let mut members = Vec::new();
        loop {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list_members(request).await
                })
                .await?;
            members.extend(page.members.into_iter().map(|member| member.subject_id));
            if page.next_page_token.is_empty() {
                return Ok(members);
            }
            request.page_token = page.next_page_token;
        }
    }
}

fn hub_user(guid: Guid, user: &User, mapping: &Mapping, now: Timestamp) -> HubUser {
    let expires_at = expires_at(user);
    let ended = expires_at.is_some_and(|at| at <= now);
    HubUser {
        guid,
        id: user.id.clone(),
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
        .map(|target| (target, field(user, target).to_owned()));
    UserValues::new(fields, expires_at(user))
}

fn expires_at(user: &User) -> Option<Timestamp> {
    let at = user.expires_at?;
    Some(Timestamp::from_seconds_and_nanos(at.seconds, at.nanos))
}

fn field(user: &User, target: UserTarget) -> &str {
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

fn hub_group(guid: Guid, group: Group, member_ids: Vec<String>, mapping: &Mapping) -> HubGroup {
    HubGroup {
        guid,
        id: group.id,
        values: GroupValues {
            name: group.name,
            description: mapping.maps_description().then_some(group.description),
        },
        member_ids,
    }
}
