//! What a handler works with: the call, the hub, rights and fences.
//!
//! Invariant: a handler of a data call that was sent under a session has its fence checked in the
//! same transaction as its write (decision U121): [`Context::authorize`] does both, and
//! `mutation` refuses to commit when it was never asked. Deliberately absent: rules of a noun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::{Message, Name};
use rollcall_domain::access::{self, AccessBinding, Permission, ResourceRef, Subject};
use rollcall_domain::group::Group;
use rollcall_domain::id::{OrganizationId, UserpoolId};
use rollcall_domain::operation::{OperationResource, Payload};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session;
use rollcall_kit::id::new_id;
use rollcall_store::Tx;

use crate::call::Call;
use crate::error::Error;
use crate::hub::Hub;
use crate::wire::to_payload;

/// The service whose calls name their session in the request and are judged by its rules.
const SESSION_SERVICE: &str =
    "yandex.cloud.organizationmanager.v1.idp.SynchronizationSessionService";

/// Everything a handler needs besides its request and its transaction.
pub struct Context {
    /// The hub.
    pub hub: Arc<Hub>,
    /// The call.
    pub call: Arc<Call>,
    fence_checked: AtomicBool,
}

/// What a right is needed on.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// A pool; bindings on its organization count too.
    Userpool(&'a UserpoolId),
    /// A group; bindings on its organization count too.
    Group(&'a Group),
    /// An organization.
    Organization(&'a OrganizationId),
    /// Any resource at all.
    Anywhere,
}

/// The outcome of a mutation: what its operation carries.
#[derive(Debug)]
pub struct Done {
    /// Metadata of the operation.
    pub metadata: Payload,
    /// Response of the operation.
    pub response: Payload,
    /// What the operation is about.
    pub resource: OperationResource,
}

impl Done {
    /// An outcome with these messages.
    pub fn new<M: Message + Name, R: Message + Name>(
        metadata: &M,
        response: &R,
        resource: OperationResource,
    ) -> Self {
        Self {
            metadata: to_payload(metadata),
            response: to_payload(response),
            resource,
        }
    }
}

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Read,
    /// It changes something, so a session it was sent under must be open.
    Write,
}

impl Context {
    /// The context of one run of a handler.
    #[must_use]
    pub fn new(hub: Arc<Hub>, call: Arc<Call>, effect: Effect) -> Self {
        let is_session_call = call
            .method
            .is_some_and(|method| method.service == SESSION_SERVICE);
        let needs_fence = effect == Effect::Write && call.session_id.is_some() && !is_session_call;
        Self {
            hub,
            call,
            fence_checked: AtomicBool::new(!needs_fence),
        }
    }

    /// Who calls.
    ///
    /// # Errors
    /// `Internal` for an anonymous call.
    pub fn caller(&self) -> Result<&Subject, Error> {
        self.call.subject()
    }

    /// Path of the called method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.call.method.map_or("", |method| method.path)
    }

    /// A new id of a noun.
    #[must_use]
    pub fn new_id(&self, prefix: &str) -> String {
        new_id(prefix, self.call.now, self.hub.entropy.as_ref())
    }

    /// Requires `permission` on `scope` and returns the bindings that count there.
    ///
    /// # Errors
    /// `Denied` without the permission, also when the thing does not exist (decision U77);
    /// `NotFound` with it; `Precondition` when the session of the call is over.
    pub async fn authorize(
        &self,
        tx: &Tx,
        permission: Permission,
        scope: Scope<'_>,
    ) -> Result<Vec<AccessBinding>, Error> {
        let caller = self.caller()?;
        let bindings = match scope {
            Scope::Userpool(id) => {
                let Some(pool) = tx.find_userpool(id).await? else {
                    return Err(self.missing(tx, permission, "user pool", id.as_str()).await);
                };
                let resources = [
                    ResourceRef::userpool(id),
                    ResourceRef::organization(&pool.organization_id),
                ];
                tx.list_access_bindings_of_subject(&caller.id, &resources)
                    .await?
            }
            Scope::Group(group) => {
                let resources = [
                    ResourceRef::group(&group.id),
                    ResourceRef::organization(&group.organization_id),
                ];
                tx.list_access_bindings_of_subject(&caller.id, &resources)
                    .await?
            }
            Scope::Organization(id) => {
                let resources = [ResourceRef::organization(id)];
                let bindings = tx
                    .list_access_bindings_of_subject(&caller.id, &resources)
                    .await?;
                if tx.find_organization(id).await?.is_none() {
                    return Err(self
                        .missing(tx, permission, "organization", id.as_str())
                        .await);
                }
                bindings
            }
            Scope::Anywhere => tx.list_all_access_bindings_of_subject(&caller.id).await?,
        };
        access::require(&bindings, permission)?;
        self.check_fence(tx, scope).await?;
        Ok(bindings)
    }

    /// The error for a thing that is not there: a caller who could not see it anywhere learns
    /// nothing (decision U77).
    pub async fn missing(&self, tx: &Tx, permission: Permission, kind: &str, id: &str) -> Error {
        match self.require_anywhere(tx, permission).await {
            Ok(()) => Refusal::not_found(kind, id).into(),
            Err(error) => error,
        }
    }

    async fn require_anywhere(&self, tx: &Tx, permission: Permission) -> Result<(), Error> {
        let bindings = tx
            .list_all_access_bindings_of_subject(&self.caller()?.id)
            .await?;
        Ok(access::require(&bindings, permission)?)
    }

    /// Requires room for `added` more of what `scope` counts. It stands after the removals and
    /// before the insertions of a change; without a limit nothing is counted.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    pub async fn require_quota(
        &self,
        tx: &Tx,
        scope: QuotaScope<'_>,
        added: u64,
    ) -> Result<(), Error> {
        let quotas = &self.hub.quotas;
        match quotas.limit(scope.quota()) {
            Some(limit) if added > 0 => {
                let present = tx.count_for_quota(scope, limit).await?;
                Ok(quotas.require(scope, present, added)?)
            }
            _ => Ok(()),
        }
    }

    async fn check_fence(&self, tx: &Tx, scope: Scope<'_>) -> Result<(), Error> {
        let Some(named) = &self.call.session_id else {
            return Ok(());
        };
        if self.fence_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let session = tx.find_sync_session(named).await?;
        let pool_id = match scope {
            Scope::Userpool(id) => Some(id.clone()),
            Scope::Group(group) => group
                .external
                .as_ref()
                .map(|key| key.subject_container_id.clone()),
            Scope::Organization(_) | Scope::Anywhere => None,
        };
        // A thing outside any pool is written under whatever pool the session is of.
        let pool_id = pool_id
            .or_else(|| {
                session
                    .as_ref()
                    .map(|session| session.subject_container_id.clone())
            })
            .unwrap_or_else(|| UserpoolId::new(""));
        sync_session::check_fence(named, session.as_ref(), &pool_id, self.call.now)?;
        self.fence_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the fence of the call was checked, if it has one.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fence_checked.load(Ordering::Relaxed)
    }
}
