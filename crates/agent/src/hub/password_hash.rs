//! Password hashes on their way to the hub, and who has none yet.
//!
//! Invariant: a hash is text only in the message that carries it, and only while that is sent.

use rollcall_client::ClientError;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{
    ListUsersRequest, PasswordHash, ResolveExternalIdsRequest, SetPasswordHashRequest, User,
};

use super::write::proto_timestamp;
use super::{Hub, PAGES_MAX};
use crate::engine::Guid;
use crate::engine::password_hash::Dated;

const PAGE_SIZE: i64 = 1_000;
/// External ids in one call (ResolveExternalIds).
const EXTERNAL_IDS_PER_CALL: usize = 1_000;
/// Bytes of an NT hash.
pub(crate) const NT_HASH_BYTES: usize = 16;

/// A user of this directory and the age of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// objectGUID.
    pub guid: Guid,
    /// Id in the hub.
    pub id: String,
    /// When the stored password was set; `None` = it is not one of the directory.
    pub password_created_at: Option<Timestamp>,
}

impl Hub {
    /// The users of these objects, as far as the hub has them.
    pub(crate) async fn holders(&self, guids: &[Guid]) -> Result<Vec<Holder>, ClientError> {
        let mut holders = Vec::new();
        for batch in guids.chunks(EXTERNAL_IDS_PER_CALL) {
            let request = ResolveExternalIdsRequest {
                userpool_id: self.userpool_id(),
                external_ids: batch.iter().map(ToString::to_string).collect(),
            };
            let answer = self
                .read(request, |hub, request| async move {
                    hub.users().resolve_external_ids(request).await
                })
                .await?;
            holders.extend(answer.resolved_users.into_iter().filter_map(|user| {
                Some(Holder {
                    guid: Guid::parse(&user.external_id)?,
                    id: user.user_id,
                    password_created_at: user.password_created_at.map(timestamp),
                })
            }));
        }
        Ok(holders)
    }

    /// Hands on each user of the directory whose password is none of the directory's. A password
    /// without a date is the one a user is created with (decision U60).
    pub(crate) async fn each_without_hash(
        &self,
        mut sink: impl FnMut(Guid),
    ) -> Result<(), ClientError> {
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
            page.users
                .iter()
                .filter_map(without_hash)
                .for_each(&mut sink);
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }

    /// Gives a user this NT hash.
    pub(crate) async fn set_password_hash(
        &self,
        id: &str,
        hash: &[u8; NT_HASH_BYTES],
        dated: Dated,
    ) -> Result<(), ClientError> {
        let request = SetPasswordHashRequest {
            user_id: id.to_owned(),
            hash: Some(PasswordHash {
                password_hash: hex::encode(hash),
                password_hash_type: PasswordHashType::AdMd4 as i32,
                created_at: dated.created_at.map(proto_timestamp),
            }),
            need_change: dated.need_change,
        };
        self.mutate(request, |hub, request| async move {
            hub.users().set_password_hash(request).await
        })
        .await
    }
}

/// A hash that no password has.
pub(crate) fn unknown_hash(entropy: &dyn Entropy) -> [u8; NT_HASH_BYTES] {
    let mut bytes = [0; NT_HASH_BYTES];
    entropy.fill(&mut bytes);
    bytes
}

fn without_hash(user: &User) -> Option<Guid> {
    let waits = user.password_created_at.is_none() && user.status() != Status::Deleting;
    waits.then(|| Guid::parse(&user.external_id)).flatten()
}

fn timestamp(at: prost_types::Timestamp) -> Timestamp {
    Timestamp::from_seconds_and_nanos(at.seconds, at.nanos)
}
