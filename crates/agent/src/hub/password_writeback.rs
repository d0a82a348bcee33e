//! Passwords on their way from the hub to the directory.
//!
//! Invariant: a stream that was ended, by whomever, is never read again. Messages of the library hold
//! a password as long as they are sent or read, which it does not let us wipe.

use std::time::Duration;

use futures::StreamExt as _;
use rollcall_client::ClientError;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_proto::idp::{
    CommitPasswordRequest, GetPasswordChangesRequest, GetPasswordChangesResponse,
};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::Hub;

/// The hub's time as it accepts a subscription.
const HUB_TIME: &str = "x-hub-time";
/// How long the hub may take to accept a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// An open stream of changes.
#[derive(Debug)]
pub struct PasswordChanges {
    hub: Hub,
    /// The newest offset to acknowledge; those in between are covered by it.
    acknowledged: watch::Sender<i64>,
    answers: Streaming<GetPasswordChangesResponse>,
    clock_ahead: Option<Span>,
}

impl PasswordChanges {
    /// The hub's clock minus ours, as the stream began; `None` from a hub that does not tell. What the
    /// subscription took on its way is in it, so that an end by the hub's clock is never put too late.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<Span> {
        self.clock_ahead
    }

    /// The next change; `None` when the hub ended the stream in good order. May be cancelled and
    /// called again.
    ///
    /// # Errors
    /// [`ClientError`] when the stream is over.
    pub async fn next(&mut self) -> Result<Option<GetPasswordChangesResponse>, ClientError> {
        let next = self.answers.next().await.transpose();
        next.map_err(|status| self.hub.client.error(&status))
    }

    /// Tells the hub that everything up to `offset` is done with.
    pub fn acknowledge(&self, offset: i64) {
        self.acknowledged.send_replace(offset);
    }
}

impl Hub {
    /// Subscribes to the changes after `offset`; our clock shows `now`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn password_changes(
        &self,
        agent_id: &str,
        offset: i64,
        now: Timestamp,
    ) -> Result<PasswordChanges, ClientError> {
        let (acknowledged, mut offsets) = watch::channel(offset);
        offsets.mark_changed();
        let (userpool_id, agent_id) = (self.userpool_id(), agent_id.to_owned());
        let requests = futures::stream::unfold(offsets, move |mut offsets| {
            let message = GetPasswordChangesRequest {
                userpool_id: userpool_id.clone(),
                agent_id: agent_id.clone(),
                ..GetPasswordChangesRequest::default()
            };
            async move {
                offsets.changed().await.ok()?;
                let offset = *offsets.borrow_and_update();
                Some((GetPasswordChangesRequest { offset, ..message }, offsets))
            }
        });
        let mut users = self.client.users();
        let opening = users.get_password_changes(requests);
        let opened = tokio::time::timeout(SUBSCRIBE_TIMEOUT, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let text = format!("no answer in {SUBSCRIBE_TIMEOUT:?}");
            Err(Status::deadline_exceeded(text))
        });
        let answers = opened.map_err(|status| self.client.error(&status))?;
        Ok(PasswordChanges {
            hub: self.clone(),
            acknowledged,
            clock_ahead: time_of(answers.metadata()).map(|time| time.since(now)),
            answers: answers.into_inner(),
        })
    }

    /// Tells the hub what became of a change, once and for no longer than `limit`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn commit_password(
        &self,
        request: CommitPasswordRequest,
        limit: Duration,
    ) -> Result<(), ClientError> {
        self.mutate_once(limit, request, |hub, request| async move {
            hub.users().commit_password(request).await
        })
        .await
    }
}

fn time_of(metadata: &MetadataMap) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(metadata.get(HUB_TIME)?.to_str().ok()?)
}
