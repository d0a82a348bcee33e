//! Who holds a name in the hub, and another name for a moment.

use prost_types::FieldMask;
use rollcall_client::ClientError;
use rollcall_proto::idp::{ListUsersRequest, UpdateUserRequest, User};
use rollcall_proto::organizationmanager::{Group, ListGroupsRequest, UpdateGroupRequest};

use super::Hub;
use crate::engine::Guid;

impl Hub {
    /// The user of this directory that has the login.
    pub(crate) async fn holder_of_username(
        &self,
        username: &str,
    ) -> Result<Option<Guid>, ClientError> {
        let users = self.users_named(username).await?;
        let mut holders = users.iter();
        Ok(holders.find_map(|user| Guid::parse(&user.external_id)))
    }

    /// The user of the pool with this login that has no external id yet.
    pub(crate) async fn find_local_user(
        &self,
        username: &str,
    ) -> Result<Option<String>, ClientError> {
        let mut users = self.users_named(username).await?.into_iter();
        let local = users.find(|user| user.external_id.is_empty());
        Ok(local.map(|user| user.id))
    }

    async fn users_named(&self, username: &str) -> Result<Vec<User>, ClientError> {
        let request = ListUsersRequest {
            userpool_id: self.userpool_id(),
            filter: format!("username = \"{username}\""),
            ..ListUsersRequest::default()
        };
        let answer = self
            .read(request, |hub, request| async move {
                hub.users().list(request).await
            })
            .await?;
        Ok(answer.users)
    }

    /// The group of this directory that has the name.
    pub(crate) async fn holder_of_group_name(
        &self,
        name: &str,
    ) -> Result<Option<Guid>, ClientError> {
        let groups = self.groups_named(name).await?;
        let mut holders = groups.iter();
        Ok(holders.find_map(|group| Guid::parse(&group.external_id)))
    }

    /// The group of the organization with this name that is not external.
    pub(crate) async fn find_local_group(&self, name: &str) -> Result<Option<String>, ClientError> {
        let mut groups = self.groups_named(name).await?.into_iter();
        let local = groups.find(|group| group.external_id.is_empty());
        Ok(local.map(|group| group.id))
    }

    async fn groups_named(&self, name: &str) -> Result<Vec<Group>, ClientError> {
        let request = ListGroupsRequest {
            organization_id: self.organization_id(),
            filter: format!("name = \"{name}\""),
            ..ListGroupsRequest::default()
        };
        let answer = self
            .read(request, |hub, request| async move {
                hub.groups().list(request).await
            })
            .await?;
        Ok(answer.groups)
    }

    /// Sets the login of a user and nothing else.
    pub(crate) async fn rename_user(&self, id: &str, username: String) -> Result<(), ClientError> {
        let request = UpdateUserRequest {
            user_id: id.to_owned(),
            update_mask: Some(FieldMask {
                paths: vec!["username".to_owned()],
            }),
            username,
            ..UpdateUserRequest::default()
        };
        self.save_user(request).await
    }

    /// Sets the name of a group and nothing else.
    pub(crate) async fn rename_group(&self, id: &str, name: String) -> Result<(), ClientError> {
        let request = UpdateGroupRequest {
            group_id: id.to_owned(),
            update_mask: Some(FieldMask {
                paths: vec!["name".to_owned()],
            }),
            name,
            ..UpdateGroupRequest::default()
        };
        self.save_group(request).await
    }
}
