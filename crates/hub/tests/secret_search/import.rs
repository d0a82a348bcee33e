//! Hashes that are imported: of Active Directory, with and without a session, and of other directories.

use rollcall_hub::password_hash::nt_hash;
use rollcall_kit::secret::SecretString;
use rollcall_proto::idp;
use rollcall_proto::operation::Operation;
use serde_json::{Value as Json, json};
use tonic::Code;

use crate::deeds::Stage;
use crate::foreign;
use crate::needles::Kind;

const SET_HASH: &str = "UserService/SetPasswordHash";

impl Stage<'_> {
    /// Every way to import a hash.
    pub async fn import_all(&mut self) {
        self.import().await;
        self.import_in_a_session().await;
        self.import_foreign().await;
    }

    fn nt(password: &str) -> String {
        hex::encode(nt_hash(&SecretString::new(password.into())).expose())
    }

    fn hash(kind: &str, text: &str) -> Json {
        json!({"passwordHash": text, "passwordHashType": kind})
    }

    async fn import(&mut self) {
        let first = self.password("imported with the user");
        let second = self.password("imported later");
        let typed = self.password("typed as a hash");
        let cut = self.password("cut hash");
        let hash = Self::hash("AD_MD4", &Self::nt(&first).to_uppercase());
        let id = self.make("ben", ("passwordHash", hash)).await.unwrap();
        self.enter("ben", &first).await;
        let request = json!({"userId": id, "hash": Self::hash("AD_MD4", &Self::nt(&second))});
        for _ in 0..2 {
            let _: Operation = self
                .administrator
                .call(SET_HASH, request.clone())
                .await
                .unwrap();
        }
        self.enter("ben", &second).await;
        for text in [typed.as_str(), &Self::nt(&cut)[..31]] {
            let request = json!({"userId": id, "hash": Self::hash("AD_MD4", text)});
            self.refused(
                &self.administrator,
                SET_HASH,
                request,
                Code::InvalidArgument,
            )
            .await;
        }
        let request = json!({"userId": id, "hash": Self::hash("LDAP_PBKDF2_SHA512", &typed)});
        self.refused(
            &self.administrator,
            SET_HASH,
            request,
            Code::InvalidArgument,
        )
        .await;
    }

    /// The job strengthens it: nobody signs in.
    async fn import_in_a_session(&mut self) {
        let first = self.password("replaced by a session");
        let second = self.password("imported in a session");
        let id = self.make_with("cid", &first).await;
        let request = json!({"subjectContainerId": self.pool_id(), "agentId": "agent-1",
            "sessionType": "AD_PASSWORD_HASH"});
        let service = |method: &str| format!("SynchronizationSessionService/{method}");
        let opened: Operation = self
            .administrator
            .call(&service("OpenSession"), request)
            .await
            .unwrap();
        let metadata: idp::OpenSessionMetadata =
            rollcall_client::operation_metadata(&opened).unwrap();
        let session = metadata.session_id;
        let fenced = self.administrator.with("x-sync-session-id", &session);
        let request = json!({"userId": id, "hash": Self::hash("AD_MD4", &Self::nt(&second))});
        let _: Operation = fenced.call(SET_HASH, request).await.unwrap();
        let named = json!({"sessionId": session});
        let _: Operation = self
            .administrator
            .call(&service("CloseSession"), named.clone())
            .await
            .unwrap();
        loop {
            let got: idp::GetSessionResponse = self
                .administrator
                .call(&service("GetSession"), named.clone())
                .await
                .unwrap();
            match got.session.unwrap().status() {
                idp::SessionStatus::Pending => tokio::task::yield_now().await,
                status => break assert_eq!(status, idp::SessionStatus::Completed),
            }
        }
    }

    async fn import_foreign(&mut self) {
        for (number, scheme) in foreign::SCHEMES.into_iter().enumerate() {
            let password = self.password(scheme);
            let made = foreign::make(scheme, &password);
            self.needles.add_secret(scheme, Kind::Password, &made.value);
            self.needles.add_hash(scheme, &made.key);
            let hash = Self::hash(scheme, &made.text);
            // One signs in, the other's hash stays as it came.
            let name = format!("dan{number}");
            self.make(&name, ("passwordHash", hash.clone()))
                .await
                .unwrap();
            self.make(&format!("{name}x"), ("passwordHash", hash))
                .await
                .unwrap();
            self.enter(&name, &password).await;
        }
    }
}
