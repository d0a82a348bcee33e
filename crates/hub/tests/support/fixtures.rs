//! A valid request for each method: what tables over the whole contract are made of.
//!
//! Invariant: each request names things made for it alone, so it may be sent in any order and once
//! more. Deliberately absent: what is expected of the answers.

use std::cell::Cell;

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::organization::{Organization, OrganizationInput};
use rollcall_kit::clock::Clock as _;
use rollcall_proto::operation::Operation;
use rollcall_proto::{METHODS, Method, admin, descriptor_pool};
use rollcall_store::Tx;
use serde_json::{Value as Json, json};

use crate::harness::Harness;

/// Makes requests and what they need.
pub struct Fixtures<'a> {
    hub: &'a Harness,
    names: Cell<u32>,
    /// A second organization, with the same owner.
    other_organization_id: String,
    owner_id: String,
}

/// A request for a page of a list with at least two entries.
pub struct ListFixture {
    /// The request, without size and token of the page.
    pub request: Json,
    /// The same list of another parent, for lists that have one.
    pub elsewhere: Option<Json>,
}

/// The message `json` as the request of `method`.
pub fn request(method: &Method, json: &Json) -> DynamicMessage {
    DynamicMessage::deserialize(descriptor(method.request), json)
        .unwrap_or_else(|error| panic!("{}: {error} in {json}", method.path))
}

/// The path of `method` without its package, as the harness names methods.
pub fn short(method: &Method) -> &'static str {
    let path = method.path;
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

fn descriptor(name: &str) -> MessageDescriptor {
    descriptor_pool().get_message_by_name(name).unwrap()
}

fn to_json(message: &impl Message, type_name: &str) -> Json {
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor(type_name), bytes.as_slice()).unwrap();
    serde_json::to_value(&message).unwrap()
}

impl<'a> Fixtures<'a> {
    /// Fixtures for `hub`.
    pub async fn new(hub: &'a Harness) -> Self {
        let key: Json = serde_json::from_slice(&std::fs::read(&hub.made.key).unwrap()).unwrap();
        let owner_id = text(&key, "service_account_id");
        let now = hub.clock.now();
        let id = hub.running.hub.new_id("bpf", now);
        let input = OrganizationInput {
            name: "second".into(),
            ..Default::default()
        };
        let second = Organization::create(input, id.as_str().into(), now).unwrap();
        let binding = AccessBinding {
            resource: ResourceRef::organization(&second.id),
            role: Role::Owner,
            subject: Subject::service_account(owner_id.as_str()),
        };
        let store = &hub.running.hub.store;
        store
            .write(async move |tx: &Tx| {
                tx.insert_organization(&second).await?;
                tx.insert_access_binding(&binding).await
            })
            .await
            .unwrap();
        Self {
            hub,
            names: Cell::new(0),
            other_organization_id: id,
            owner_id,
        }
    }

    fn organization_id(&self) -> &str {
        &self.hub.made.organization_id
    }

    fn name(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("n{}", self.names.get())
    }

    /// Makes something and returns a field of the metadata of its operation.
    async fn make(&self, method: &str, json: &Json, field: &str) -> String {
        let declared = METHODS.iter().find(|known| short(known) == method).unwrap();
        let message = request(declared, json);
        let operation: Operation = self
            .hub
            .administrator
            .call(method, &message)
            .await
            .unwrap_or_else(|status| panic!("{method} with {json}: {status:?}"));
        let metadata = operation.metadata.unwrap();
        let kind = descriptor(declared.operation.unwrap().metadata);
        let metadata = DynamicMessage::decode(kind, metadata.value.as_slice()).unwrap();
        text(&serde_json::to_value(&metadata).unwrap(), field)
    }

    async fn service_account(&self) -> String {
        let json = json!({"organizationId": self.organization_id(), "name": self.name()});
        let method = "ServiceAccountService/Create";
        self.make(method, &json, "serviceAccountId").await
    }

    async fn key(&self, service_account_id: &str) -> String {
        let request = admin::CreateKeyRequest {
            service_account_id: service_account_id.into(),
            ..Default::default()
        };
        let made: admin::CreateKeyResponse = self
            .hub
            .administrator
            .call("ServiceAccountService/CreateKey", &request)
            .await
            .unwrap();
        made.key.unwrap().id
    }

    async fn pool(&self) -> String {
        self.hub.create_pool(&self.name()).await
    }

    async fn user(&self) -> String {
        self.hub.create_user(&self.name()).await
    }

    async fn group(&self) -> String {
        let json = json!({"organizationId": self.organization_id(), "name": self.name()});
        self.make("GroupService/Create", &json, "groupId").await
    }

    async fn external_group(&self, pool_id: &str) -> String {
        let json = self.new_external_group(pool_id);
        self.make("GroupService/CreateExternal", &json, "groupId")
            .await
    }

    fn new_external_group(&self, pool_id: &str) -> Json {
        json!({
            "organizationId": self.organization_id(),
            "name": self.name(),
            "subjectContainerId": pool_id,
            "externalId": self.name(),
        })
    }

    async fn add_member(&self, group_id: &str, user_id: &str) {
        let json = json!({
            "groupId": group_id,
            "memberDeltas": [{"action": "ADD", "subjectId": user_id}],
        });
        self.make("GroupService/UpdateMembers", &json, "groupId")
            .await;
    }

    async fn session(&self, pool_id: &str) -> String {
        let json = json!({
            "subjectContainerId": pool_id,
            "agentId": "agent-1",
            "sessionType": "AD_SYNC",
        });
        let method = "SynchronizationSessionService/OpenSession";
        self.make(method, &json, "sessionId").await
    }

    async fn settings(&self, pool_id: &str) {
        let json = json!({"subjectContainerId": pool_id, "filter": {"domain": "corp.example"}});
        let method = "SynchronizationService/CreateSynchronizationSettings";
        self.make(method, &json, "subjectContainerId").await;
    }

    /// A change of the password of a user of the directory, which waits for that; with the id of its
    /// operation.
    async fn password_change(&self, password: &str) -> (String, String) {
        let pool_id = self.hub.create_pool(&self.name()).await;
        let settings = json!({
            "subjectContainerId": pool_id,
            "filter": {"domain": "corp.example"},
            "enablePasswordWriteback": true,
        });
        let method = "SynchronizationService/CreateSynchronizationSettings";
        self.make(method, &settings, "subjectContainerId").await;
        let user = json!({
            "userpoolId": pool_id,
            "username": format!("ann@n{}.idp.rollcall.internal", self.names.get()),
            "fullName": "Ann",
            "externalId": "guid-ann",
            "passwordSpec": {"password": "Staple & battery 8"},
        });
        let user_id = self.make("UserService/Create", &user, "userId").await;
        let change = json!({"userId": user_id, "passwordSpec": {"password": password}});
        let declared = METHODS
            .iter()
            .find(|known| short(known) == "UserService/SetOthersPassword")
            .unwrap();
        let administrator = &self.hub.administrator;
        let operation: Operation = administrator
            .call(short(declared), &request(declared, &change))
            .await
            .unwrap();
        assert!(!operation.done, "{operation:?}");
        (pool_id, operation.id)
    }

    async fn domain(&self, pool_id: &str) -> String {
        let domain = format!("{}.example", self.name());
        let json = json!({"userpoolId": pool_id, "domain": domain});
        self.make("UserpoolService/AddDomain", &json, "domain")
            .await
    }

    fn binding(&self, role: &str, user_id: &str) -> Json {
        json!({
            "roleId": format!("organization-manager.{role}"),
            "subject": {"id": user_id, "type": "userAccount"},
        })
    }

    /// An access policy that gets in nobody's way here.
    fn policy(&self, template: &str) -> Json {
        json!({
            "resourceId": self.organization_id(),
            "accessPolicyBinding": {"accessPolicyTemplateId": template},
        })
    }

    async fn bind_policy(&self, template: &str) {
        let method = "OrganizationService/BindAccessPolicy";
        self.make(method, &self.policy(template), "resourceId")
            .await;
    }

    async fn bind(&self, service: &str, resource_id: &str) {
        for role in ["viewer", "editor"] {
            let json = self.new_binding(resource_id, role).await;
            let method = format!("{service}/UpdateAccessBindings");
            self.make(&method, &json, "resourceId").await;
        }
    }

    async fn new_binding(&self, resource_id: &str, role: &str) -> Json {
        let binding = self.binding(role, &self.user().await);
        let delta = json!({"action": "ADD", "accessBinding": binding});
        json!({"resourceId": resource_id, "accessBindingDeltas": [delta]})
    }
}

fn text(json: &Json, field: &str) -> String {
    json[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {json}"))
        .to_owned()
}

#[path = "fixtures/list.rs"]
mod list;
#[path = "fixtures/mutation.rs"]
mod mutation;
