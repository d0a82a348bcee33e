//! The calls that change users, groups and memberships.

use prost_types::FieldMask;
use rollcall_client::ClientError;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::idp::{
    ConvertToExternalUserRequest, CreateUserRequest, DeleteUserRequest, PasswordHash,
    ReactivateUserRequest, SuspendUserRequest, UpdateUserRequest, User,
};
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use rollcall_proto::organizationmanager::{
    ConvertToExternalGroupRequest, CreateExternalGroupRequest, DeleteGroupRequest, Group,
    MemberDelta, ResolveExternalGroupRequest, UpdateGroupMembersRequest, UpdateGroupRequest,
};

use super::Hub;
use super::password_hash::unknown_hash;
use crate::engine::Guid;
use crate::engine::account_state::SignIn;
use crate::engine::mapping::Mapping;
use crate::engine::values::{GroupValues, UserTarget, UserValues};

const SUSPEND_REASON: &str = "disabled or removed in the directory";

impl Hub {
    /// Creates a user without a known password (decision U60).
    pub(crate) async fn create_user(
        &self,
        guid: Guid,
        values: &UserValues,
        sign_in: SignIn,
        entropy: &dyn Entropy,
    ) -> Result<String, ClientError> {
        let text = |target| values.get(target).to_owned();
        let request = CreateUserRequest {
            userpool_id: self.userpool_id(),
            username: text(UserTarget::Username),
            full_name: text(UserTarget::FullName),
            given_name: text(UserTarget::GivenName),
            family_name: text(UserTarget::FamilyName),
            email: text(UserTarget::Email),
            phone_number: text(UserTarget::PhoneNumber),
            is_active: Some(sign_in.enabled),
            external_id: guid.to_string(),
            company_name: text(UserTarget::CompanyName),
            department: text(UserTarget::Department),
            job_title: text(UserTarget::JobTitle),
            employee_id: text(UserTarget::EmployeeId),
            expires_at: values.expires_at.map(proto_timestamp),
            password_change_required: sign_in.must_change_password,
            credentials: Some(Credentials::PasswordHash(unknown_password(entropy))),
        };
        let user: User = self
            .mutate(request, |hub, request| async move {
                hub.users().create(request).await
            })
            .await?;
        Ok(user.id)
    }

    /// Sets all mapped fields of a user.
    pub(crate) async fn update_user(
        &self,
        id: &str,
        values: &UserValues,
        mapping: &Mapping,
    ) -> Result<(), ClientError> {
        let text = |target| values.get(target).to_owned();
        let mut paths: Vec<String> = mapping
            .user_targets()
            .map(|target| target.field().to_owned())
            .collect();
        paths.push("expires_at".to_owned());
        let request = UpdateUserRequest {
            user_id: id.to_owned(),
            update_mask: Some(FieldMask { paths }),
            username: text(UserTarget::Username),
            full_name: text(UserTarget::FullName),
            given_name: text(UserTarget::GivenName),
            family_name: text(UserTarget::FamilyName),
            email: text(UserTarget::Email),
            phone_number: text(UserTarget::PhoneNumber),
            company_name: text(UserTarget::CompanyName),
            department: text(UserTarget::Department),
            job_title: text(UserTarget::JobTitle),
            employee_id: text(UserTarget::EmployeeId),
            expires_at: values.expires_at.map(proto_timestamp),
        };
        self.save_user(request).await
    }

    /// Changes the fields of a user that the request names.
    pub(super) async fn save_user(&self, request: UpdateUserRequest) -> Result<(), ClientError> {
        let _: User = self
            .mutate(request, |hub, request| async move {
                hub.users().update(request).await
            })
            .await?;
        Ok(())
    }

    /// Switches a user off.
    pub(crate) async fn suspend_user(&self, id: &str) -> Result<(), ClientError> {
        let request = SuspendUserRequest {
            user_id: id.to_owned(),
            reason: SUSPEND_REASON.to_owned(),
            expires_at: None,
        };
        self.mutate(request, |hub, request| async move {
            hub.users().suspend(request).await
        })
        .await
    }

    /// Switches a user on.
    pub(crate) async fn reactivate_user(&self, id: &str) -> Result<(), ClientError> {
        let request = ReactivateUserRequest {
            user_id: id.to_owned(),
        };
        self.mutate(request, |hub, request| async move {
            hub.users().reactivate(request).await
        })
        .await
    }

    /// Deletes a user.
    pub(crate) async fn delete_user(&self, id: &str) -> Result<(), ClientError> {
        let request = DeleteUserRequest {
            user_id: id.to_owned(),
        };
        self.mutate(request, |hub, request| async move {
            hub.users().delete(request).await
        })
        .await
    }

    /// Takes over a user of the pool (decision U66).
    pub(crate) async fn capture_user(&self, id: &str, guid: Guid) -> Result<(), ClientError> {
        let request = ConvertToExternalUserRequest {
            user_id: id.to_owned(),
            external_id: guid.to_string(),
        };
        let _: User = self
            .mutate(request, |hub, request| async move {
                hub.users().convert_to_external(request).await
            })
            .await?;
        Ok(())
    }

    /// Creates a group that the agent may edit.
    pub(crate) async fn create_group(
        &self,
        guid: Guid,
        values: &GroupValues,
    ) -> Result<String, ClientError> {
        let request = CreateExternalGroupRequest {
            organization_id: self.organization_id(),
            name: values.name.clone(),
            description: values.description.clone().unwrap_or_default(),
            subject_container_id: self.userpool_id(),
            external_id: guid.to_string(),
            make_editor: true,
            ..CreateExternalGroupRequest::default()
        };
        let group: Group = self
            .mutate(request, |hub, request| async move {
                hub.groups().create_external(request).await
            })
            .await?;
        Ok(group.id)
    }

    /// Sets name and, if it is mapped, description of a group.
    pub(crate) async fn update_group(
        &self,
        id: &str,
        values: &GroupValues,
    ) -> Result<(), ClientError> {
        let mut paths = vec!["name".to_owned()];
        if values.description.is_some() {
            paths.push("description".to_owned());
        }
        let request = UpdateGroupRequest {
            group_id: id.to_owned(),
            update_mask: Some(FieldMask { paths }),
            name: values.name.clone(),
            description: values.description.clone().unwrap_or_default(),
            ..UpdateGroupRequest::default()
        };
        self.save_group(request).await
    }

    /// Changes the fields of a group that the request names.
    pub(super) async fn save_group(&self, request: UpdateGroupRequest) -> Result<(), ClientError> {
        let _: Group = self
            .mutate(request, |hub, request| async move {
                hub.groups().update(request).await
            })
            .await?;
        Ok(())
    }

    /// Deletes a group.
    pub(crate) async fn delete_group(&self, id: &str) -> Result<(), ClientError> {
        let request = DeleteGroupRequest {
            group_id: id.to_owned(),
        };
        self.mutate(request, |hub, request| async move {
            hub.groups().delete(request).await
        })
        .await
    }

    /// The external group of this pool with this external id. The hub answers `NotFound` if there
    /// is none.
    pub(crate) async fn find_group(&self, guid: Guid) -> Result<Group, ClientError> {
        let request = ResolveExternalGroupRequest {
            subject_container_id: self.userpool_id(),
            external_id: guid.to_string(),
        };
        self.read(request, |hub, request| async move {
            hub.groups().resolve_external(request).await
        })
        .await
    }

    /// Takes over a group (decision U66).
    pub(crate) async fn capture_group(&self, id: &str, guid: Guid) -> Result<(), ClientError> {
        let request = ConvertToExternalGroupRequest {
            group_id: id.to_owned(),
            subject_container_id: self.userpool_id(),
            external_id: guid.to_string(),
            make_editor: true,
        };
        let _: Group = self
            .mutate(request, |hub, request| async move {
                hub.groups().convert_to_external(request).await
            })
            .await?;
        Ok(())
    }

    /// Changes the members of a group, all of these or none.
    pub(crate) async fn update_members(
        &self,
        group_id: &str,
        deltas: &[(MemberAction, String)],
    ) -> Result<(), ClientError> {
        let request = UpdateGroupMembersRequest {
            group_id: group_id.to_owned(),
            member_deltas: deltas
                .iter()
                .map(|(action, subject_id)| MemberDelta {
                    action: *action as i32,
                    subject_id: subject_id.clone(),
                })
                .collect(),
        };
        self.mutate(request, |hub, request| async move {
            hub.groups().update_members(request).await
        })
        .await
    }
}

/// A hash that no password has, so that nobody can sign in until the first real one.
fn unknown_password(entropy: &dyn Entropy) -> PasswordHash {
    PasswordHash {
        password_hash: hex::encode(unknown_hash(entropy)),
        password_hash_type: PasswordHashType::AdMd4 as i32,
        created_at: None,
    }
}

pub(crate) fn proto_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_seconds(),
        nanos: at.subsecond_nanos(),
    }
}
