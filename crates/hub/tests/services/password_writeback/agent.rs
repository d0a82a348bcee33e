//! An agent's end of the stream.

use std::time::Duration;

use futures::stream::poll_fn;
use rollcall_proto::idp;
use rollcall_proto::idp::user_service_client::UserServiceClient;
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming};

use crate::harness::Caller;

/// Longest wait for a change: hubs look once in a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long nothing must come where nothing may.
const SILENCE: Duration = Duration::from_millis(1_500);

pub struct Agent {
    pool_id: String,
    agent_id: String,
    acknowledgements: mpsc::Sender<idp::GetPasswordChangesRequest>,
    changes: Streaming<idp::GetPasswordChangesResponse>,
    /// What time it was at the hub.
    pub hub_time: String,
}

impl Agent {
    pub async fn subscribe(
        caller: &Caller,
        pool_id: &str,
        agent_id: &str,
        offset: i64,
    ) -> Result<Self, Status> {
        let (acknowledgements, mut requests) = mpsc::channel(16);
        let first = message(pool_id, agent_id, offset);
        acknowledgements.send(first).await.unwrap();
        let mut request = Request::new(poll_fn(move |cx| requests.poll_recv(cx)));
        let token = caller.metadata("authorization").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let mut client = UserServiceClient::new(caller.channel());
        let answer = client.get_password_changes(request).await?;
        let hub_time = answer.metadata().get("x-hub-time").unwrap();
        let hub_time = hub_time.to_str().unwrap().to_owned();
        let changes = answer.into_inner();
        Ok(Self {
            hub_time,
            pool_id: pool_id.to_owned(),
            agent_id: agent_id.to_owned(),
            acknowledgements,
            changes,
        })
    }

    /// The next change, or how the stream ended.
    pub async fn next(&mut self) -> Result<idp::GetPasswordChangesResponse, Status> {
        let message = tokio::time::timeout(PATIENCE, self.changes.message()).await;
        let message = message.expect("something comes")?;
        Ok(message.expect("the stream does not end without a status"))
    }

    /// Requires that nothing comes for a while.
    pub async fn hears_nothing(&mut self) {
        let message = tokio::time::timeout(SILENCE, self.changes.message()).await;
        assert!(message.is_err(), "{message:?}");
    }

    pub async fn acknowledge(&self, offset: i64) {
        self.say(message(&self.pool_id, &self.agent_id, offset))
            .await;
    }

    pub async fn say(&self, message: idp::GetPasswordChangesRequest) {
        self.acknowledgements.send(message).await.unwrap();
    }
}

pub fn message(pool_id: &str, agent_id: &str, offset: i64) -> idp::GetPasswordChangesRequest {
    idp::GetPasswordChangesRequest {
        userpool_id: pool_id.to_owned(),
        agent_id: agent_id.to_owned(),
        offset,
    }
}
