//! Accounts as the account state stream sees and changes them.
//!
//! Invariant: only users with an objectGUID as external id are ours.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use prost_types::FieldMask;
use rollcall_client::ClientError;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::admin::{SetPasswordChangeRequiredRequest, SetPasswordChangeRequiredResponse};
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{
    GetReplicationTokenRequest, GetUserRequest, ListSessionsRequest, SessionType,
    UpdateUserRequest, User,
};

use super::Hub;
use super::one::found;
use super::write::proto_timestamp;
use crate::engine::Guid;
use crate::engine::account_state::HubAccount;

/// Users that are looked at at the same time.
const USERS_AT_ONCE: usize = 32;
/// Runs of the objects that the agent completed; the hub may still work on their hashes.
const COMPLETED_OBJECTS: &str = "session_type = 'AD_SYNC' AND status IN ('COMPLETED', 'PENDING')";

/// A user of this directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// objectGUID.
    pub guid: Guid,
    /// Id in the hub.
    pub id: String,
    /// Login, for messages.
    pub username: String,
    /// What the hub shows.
    pub present: HubAccount,
}

impl Hub {
    /// The accounts of these objects, as far as the hub has them.
    pub(crate) async fn accounts(&self, guids: &[Guid]) -> Result<Vec<Account>, ClientError> {
        let found: Vec<Option<Account>> = stream::iter(self.resolve(guids).await?)
            .map(|user| self.find_account(user.user_id))
            .buffer_unordered(USERS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The account with this id, unless it is gone.
    pub(crate) async fn find_account(&self, id: String) -> Result<Option<Account>, ClientError> {
        let request = GetUserRequest { user_id: id };
        let answer = self
            .read(request, |hub, request| async move {
                hub.users().get(request).await
            })
            .await;
        Ok(found(answer)?.and_then(account))
    }

    /// Hands every account on; returns how many there are.
    pub(crate) async fn each_account(
        &self,
        mut sink: impl FnMut(Account),
    ) -> Result<usize, ClientError> {
        let mut number = 0;
        self.each_user(|user| {
            if let Some(found) = account(user) {
                number += 1;
                sink(found);
            }
        })
        .await?;
        Ok(number)
    }

    /// Sets or clears the end of an account.
    pub(crate) async fn set_account_end(
        &self,
        id: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<(), ClientError> {
        let request = UpdateUserRequest {
            user_id: id.to_owned(),
            update_mask: Some(FieldMask {
                paths: vec!["expires_at".to_owned()],
            }),
            expires_at: expires_at.map(proto_timestamp),
            ..UpdateUserRequest::default()
        };
        self.save_user(request).await
    }

    /// Says whether the present password has to be changed; returns whether that was news.
    pub(crate) async fn set_password_change_required(
        &self,
        id: &str,
        required: bool,
    ) -> Result<bool, ClientError> {
        let request = SetPasswordChangeRequiredRequest {
            user_id: id.to_owned(),
            required,
        };
        let answer: SetPasswordChangeRequiredResponse = self
            .mutate(request, |hub, request| async move {
                hub.passwords().set_change_required(request).await
            })
            .await?;
        Ok(answer.changed)
    }

    /// Whether the objects of the directory have been synchronized once: before that its accounts
    /// are unknown here (decision U112). A stored cursor says so in the middle of a session, too.
    pub(crate) async fn has_objects(&self) -> Result<bool, ClientError> {
        let request = GetReplicationTokenRequest {
            subject_container_id: self.userpool_id(),
            session_type: SessionType::AdSync as i32,
        };
        let stored = self
            .read(request, |hub, request| async move {
                hub.synchronization().get_replication_token(request).await
            })
            .await?;
        if !stored.replication_token.is_empty() {
            return Ok(true);
        }
        let request = ListSessionsRequest {
            subject_container_id: self.userpool_id(),
            page_size: 1,
            filter: COMPLETED_OBJECTS.to_owned(),
            ..ListSessionsRequest::default()
        };
        let completed = self
            .read(request, |hub, request| async move {
                hub.synchronization_sessions().list_sessions(request).await
            })
            .await?;
        Ok(!completed.sessions.is_empty())
    }
}

fn account(user: User) -> Option<Account> {
    let active = match user.status() {
        Status::Active => true,
        Status::Suspended => false,
        Status::Deleting | Status::Creating | Status::Unspecified => return None,
    };
    Some(Account {
        guid: Guid::parse(&user.external_id)?,
        id: user.id,
        username: user.username,
        present: HubAccount {
            active,
            expires_at: user
                .expires_at
                .map(|at| Timestamp::from_seconds_and_nanos(at.seconds, at.nanos)),
        },
    })
}
