//! Password hashes on their way to the hub, and who has none yet.
//!
//! Invariant: a hash is text only in the message that carries it, and only while that is sent.

use rollcall_client::ClientError;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::password_hash::PasswordHashType;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{PasswordHash, ResolvedUser, SetPasswordHashRequest, User};

use super::Hub;
use super::write::proto_timestamp;
use crate::engine::Guid;
use crate::engine::password_hash::Dated;

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
        let users = self.resolve(guids).await?.into_iter();
        let holder = |user: ResolvedUser| {
            Some(Holder {
                guid: Guid::parse(&user.external_id)?,
                id: user.user_id,
                password_created_at: user.password_created_at.map(timestamp),
            })
        };
        Ok(users.filter_map(holder).collect())
    }

    /// Hands on each user of the directory whose password is none of the directory's. A password
    /// without a date is the one a user is created with (decision U60).
    pub(crate) async fn each_without_hash(
        &self,
        mut sink: impl FnMut(Guid),
    ) -> Result<(), ClientError> {
        self.each_user(|user| {
            if let Some(guid) = without_hash(&user) {
                sink(guid);
            }
        })
        .await
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
