//! Authorized keys of service accounts.
//!
//! Invariant: the private half of a key is in the one answer of `create` and nowhere else: no
//! operation, row or log has it, and so an idempotency key cannot bring that answer back.

use std::sync::Arc;

use rollcall_domain::access::Permission;
use rollcall_domain::access_policy::PolicyTemplate;
use rollcall_domain::id::KeyId;
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::service_account::{self, ServiceAccount, ServiceAccountKey};
use rollcall_proto::admin;
use rollcall_store::Tx;
use tonic::Status;

use crate::call::Call;
use crate::context::{Context, Done, Placed, Scope};
use crate::error::Error;
use crate::grpc::service_account::{Managed, bindings_of, find as find_account, resource};
use crate::grpc::{DirectAnswer, Service, check};
use crate::service_account_key::KeyPairPem;
use crate::wire::{WireEnum, render_timestamp};

/// How the hub makes keys.
const KEY_ALGORITHM: &str = "RSA_2048";

/// A key with its service account.
struct Owned {
    key: ServiceAccountKey,
    account: ServiceAccount,
}

impl Placed for Owned {
    const KIND: &'static str = "key";

    fn scope(&self) -> Scope<'_> {
        self.account.scope()
    }
}

impl DirectAnswer for admin::CreateKeyResponse {
    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        let id = self.key.as_ref().map(|key| key.id.as_str());
        id.map(|id| ("keyId".to_owned(), id.into()))
            .into_iter()
            .collect()
    }
}

/// Makes a key. Whoever may not have one is refused before it costs anything.
pub(super) async fn create(
    service: &Service,
    call: &Arc<Call>,
    request: admin::CreateKeyRequest,
) -> Result<admin::CreateKeyResponse, Status> {
    let pair = match make_pair(service, call, &request).await {
        Ok(pair) => pair,
        Err(error) => return Err(service.refuse_early(call, &request, error).await),
    };
    let public_key = pair.public_key.clone();
    let insert = async move |cx: &Context, tx: &Tx, request: &admin::CreateKeyRequest| {
        insert(cx, tx, request, &public_key).await
    };
    let mut response = service.change(call, request, insert).await?;
    pair.private_key
        .expose()
        .clone_into(&mut response.private_key);
    Ok(response)
}

async fn make_pair(
    service: &Service,
    call: &Arc<Call>,
    request: &admin::CreateKeyRequest,
) -> Result<KeyPairPem, Error> {
    check(request)?;
    let account_id = request.service_account_id.clone();
    service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            find_with_room(cx, tx, &account_id).await
        })
        .await?;
    service.0.keys.make().await
}

/// Stores the public half; the answer is without the private one, which nobody else may see.
async fn insert(
    cx: &Context,
    tx: &Tx,
    request: &admin::CreateKeyRequest,
    public_key: &str,
) -> Result<admin::CreateKeyResponse, Error> {
    let account = find_with_room(cx, tx, &request.service_account_id).await?;
    let key = ServiceAccountKey::create(
        account.id,
        &request.description,
        public_key.to_owned(),
        KeyId::new(cx.new_id(KeyId::PREFIX)),
        cx.call.now,
    )?;
    tx.insert_service_account_key(&key).await?;
    Ok(admin::CreateKeyResponse {
        key: Some(render(key)),
        private_key: String::new(),
    })
}

async fn find_with_room(cx: &Context, tx: &Tx, account_id: &str) -> Result<ServiceAccount, Error> {
    let permission = Permission::ServiceAccountsManage;
    let managed = Managed::find_with(cx, tx, permission, account_id).await?;
    managed
        .require_allowed(tx, PolicyTemplate::DenyAuthorizedKeysCreation)
        .await?;
    let account = managed.account;
    cx.require_quota(tx, QuotaScope::KeysOf(&account.id), 1)
        .await?;
    let present = tx.count_service_account_keys(&account.id).await?;
    service_account::check_key_count(&account.id, present)?;
    Ok(account)
}

pub(super) async fn get(
    cx: &Context,
    tx: &Tx,
    request: &admin::GetKeyRequest,
) -> Result<admin::Key, Error> {
    let found = find(tx, &request.key_id).await?;
    let permission = Permission::ServiceAccountsGet;
    let (owned, _) = cx.admit(tx, permission, &request.key_id, found).await?;
    Ok(render(owned.key))
}

pub(super) async fn list(
    cx: &Context,
    tx: &Tx,
    request: &admin::ListKeysRequest,
) -> Result<admin::ListKeysResponse, Error> {
    let account = find_account(cx, tx, &request.service_account_id).await?;
    let list = cx.list(account.id.as_str(), "");
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_service_account_keys(&account.id, &page).await?;
    Ok(admin::ListKeysResponse {
        keys: page.items.into_iter().map(render).collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

pub(super) async fn disable(
    cx: &Context,
    tx: &Tx,
    request: &admin::DisableKeyRequest,
) -> Result<Done, Error> {
    let Owned { key, account } = find_managed(cx, tx, &request.key_id).await?;
    let key = key.disable(cx.call.now);
    tx.save_service_account_key(&key).await?;
    let metadata = admin::DisableKeyMetadata {
        key_id: key.id.to_string(),
        service_account_id: account.id.to_string(),
    };
    Ok(Done::new(&metadata, &render(key), resource(&account)))
}

pub(super) async fn enable(
    cx: &Context,
    tx: &Tx,
    request: &admin::EnableKeyRequest,
) -> Result<Done, Error> {
    let Owned { key, account } = find_managed(cx, tx, &request.key_id).await?;
    let key = key.enable();
    tx.save_service_account_key(&key).await?;
    let metadata = admin::EnableKeyMetadata {
        key_id: key.id.to_string(),
        service_account_id: account.id.to_string(),
    };
    Ok(Done::new(&metadata, &render(key), resource(&account)))
}

pub(super) async fn delete(
    cx: &Context,
    tx: &Tx,
    request: &admin::DeleteKeyRequest,
) -> Result<Done, Error> {
    let Owned { key, account } = find_managed(cx, tx, &request.key_id).await?;
    tx.delete_service_account_key(&key.id).await?;
    let metadata = admin::DeleteKeyMetadata {
        key_id: key.id.to_string(),
        service_account_id: account.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), resource(&account)))
}

async fn find(tx: &Tx, id: &str) -> Result<Option<Owned>, Error> {
    let Some(key) = tx.find_service_account_key(&KeyId::from(id)).await? else {
        return Ok(None);
    };
    let account = tx.find_service_account(&key.service_account_id).await?;
    Ok(account.map(|account| Owned { key, account }))
}

async fn find_managed(cx: &Context, tx: &Tx, id: &str) -> Result<Owned, Error> {
    let found = find(tx, id).await?;
    let permission = Permission::ServiceAccountsManage;
    let (owned, callers) = cx.admit(tx, permission, id, found).await?;
    let bindings = bindings_of(tx, &owned.account).await?;
    service_account::check_rank(&bindings, &callers)?;
    Ok(owned)
}

fn render(key: ServiceAccountKey) -> admin::Key {
    admin::Key {
        status: key.status().to_wire(),
        id: key.id.into_string(),
        service_account_id: key.service_account_id.into_string(),
        created_at: Some(render_timestamp(key.created_at)),
        description: key.description,
        key_algorithm: KEY_ALGORITHM.to_owned(),
        public_key: key.public_key_pem,
        last_used_at: key.last_used_at.map(render_timestamp),
    }
}
