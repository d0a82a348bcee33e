//! Passwords on their way to a directory: pending, delivered, refused, committed, and one that nobody
//! takes.

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt as _};
use rollcall_proto::idp;
use rollcall_proto::idp::user_service_client::UserServiceClient;
use rollcall_proto::operation::Operation;
use serde_json::{Value as Json, json};
use tonic::{Code, Request};

use crate::deeds::Stage;

const COMMIT: &str = "UserService/CommitPassword";

impl Stage<'_> {
    /// Own changes and resets that a directory takes or not.
    pub async fn write_back(&mut self) {
        let settings = json!({"subjectContainerId": self.pool_id(),
            "filter": {"domain": "corp.example"}, "enablePasswordWriteback": true});
        let _: Operation = self
            .administrator
            .call(
                "SynchronizationService/CreateSynchronizationSettings",
                settings,
            )
            .await
            .unwrap();
        let first = self.told_password("before a writeback");
        let refused = self.told_password("refused by the directory");
        let second = self.told_password("taken by the directory");
        let wrong = self.password("committed in place of another");
        let left = self.told_password("taken by nobody");
        self.make_external("ivy", &first).await;
        let (ivy, _) = self.enter("ivy", &first).await;
        let own = |new: &str| json!({"passwordSpec": {"password": new}, "oldPassword": first});
        let (_requests, mut changes) = self.changes().await;

        let _: Operation = ivy
            .call("UserService/SetOwnPassword", own(&refused))
            .await
            .unwrap();
        let change = changes.next().await.unwrap();
        assert_eq!((&change.password, &change.old_password), (&refused, &first));
        let answer = self.answer(&change, &wrong);
        let admin = &self.administrator;
        self.refused(admin, COMMIT, answer, Code::InvalidArgument)
            .await;
        let mut answer = self.answer(&change, &refused);
        answer["errorDetails"] = json!({"errorCode": "PASSWORD_POLICY_VIOLATION",
            "errorMessage": "PASSWORD_USED_BEFORE: 0000052D: in history"});
        let _: Operation = self.administrator.call(COMMIT, answer).await.unwrap();
        self.enter("ivy", &first).await;

        let (ivy, _) = self.enter("ivy", &first).await;
        let _: Operation = ivy
            .call("UserService/SetOwnPassword", own(&second))
            .await
            .unwrap();
        let change = changes.next().await.unwrap();
        let answer = self.answer(&change, &second);
        for _ in 0..2 {
            let _: Operation = self
                .administrator
                .call(COMMIT, answer.clone())
                .await
                .unwrap();
        }
        self.enter("ivy", &second).await;

        let id = self.make_external("jay", &first).await;
        let reset = json!({"userId": id, "passwordSpec": {"password": left}});
        let begun: Operation = self
            .administrator
            .call("UserService/SetOthersPassword", reset)
            .await
            .unwrap();
        assert!(!begun.done);
    }

    async fn make_external(&self, name: &str, password: &str) -> String {
        let id = self.make_with(name, password).await;
        let request = json!({"userId": id, "externalId": format!("guid-{name}")});
        let _: Operation = self
            .administrator
            .call("UserService/ConvertToExternal", request)
            .await
            .unwrap();
        id
    }

    /// What an agent receives, as long as it keeps the sender of its requests.
    async fn changes(
        &self,
    ) -> (
        UnboundedSender<idp::GetPasswordChangesRequest>,
        impl Stream<Item = idp::GetPasswordChangesResponse> + Unpin + use<>,
    ) {
        let (sender, requests) = unbounded();
        let first = idp::GetPasswordChangesRequest {
            userpool_id: self.pool_id().to_owned(),
            agent_id: "agent-1".into(),
            offset: 0,
        };
        sender.unbounded_send(first).unwrap();
        let mut request = Request::new(requests);
        let token = self.administrator.token().parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let mut client = UserServiceClient::new(self.administrator.channel());
        let changes = client.get_password_changes(request).await.unwrap();
        (sender, changes.into_inner().map(Result::unwrap))
    }

    fn answer(&self, change: &idp::GetPasswordChangesResponse, password: &str) -> Json {
        json!({"userpoolId": self.pool_id(), "externalUserId": change.external_user_id,
            "modifyingOperationId": change.modifying_operation_id, "password": password})
    }
}
