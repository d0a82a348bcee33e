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
        let mut ids = answer.users.iter();
        Ok(ids.find_map(|user| Guid::parse(&user.external_id)))
    }

    /// The group of this directory that has the name.
    pub(crate) async fn holder_of_group_name(
        &self,
        name: &str,
    ) -> Result<Option<Guid>, ClientError> {
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
        let mut ids = answer.groups.iter();
        Ok(ids.find_map(|group| Guid::parse(&group.external_id)))
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
        let _: User = self
            .mutate(request, |hub, request| async move {
                hub.users().update(request).await
            })
            .await?;
        Ok(())
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
        let _: Group = self
            .mutate(request, |hub, request| async move {
                hub.groups().update(request).await
            })
            .await?;
        Ok(())
    }
}
