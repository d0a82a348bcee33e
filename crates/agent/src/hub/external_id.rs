//! Which users of the pool have which external ids.
//!
//! Invariant: what the hub does not have is left out.

use rollcall_client::ClientError;
use rollcall_proto::idp::{ResolveExternalIdsRequest, ResolvedUser};

use super::Hub;
use crate::engine::Guid;

/// External ids in one call (ResolveExternalIds).
const EXTERNAL_IDS_PER_CALL: usize = 1_000;

impl Hub {
    /// The user with this external id, if there is one.
    pub(crate) async fn find_user(&self, guid: Guid) -> Result<Option<String>, ClientError> {
        let mut users = self.resolve(&[guid]).await?.into_iter();
        Ok(users.next().map(|user| user.user_id))
    }

    /// The users of the pool that have one of these external ids, with their ids in the hub.
    pub(crate) async fn resolve_users(
        &self,
        guids: &[Guid],
    ) -> Result<Vec<(Guid, String)>, ClientError> {
        let users = self.resolve(guids).await?.into_iter();
        let with_guid = |user: ResolvedUser| Some((Guid::parse(&user.external_id)?, user.user_id));
        Ok(users.filter_map(with_guid).collect())
    }

    /// What the hub says of these external ids.
    pub(super) async fn resolve(&self, guids: &[Guid]) -> Result<Vec<ResolvedUser>, ClientError> {
        let mut users = Vec::new();
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
            users.extend(answer.resolved_users);
        }
        Ok(users)
    }
}
