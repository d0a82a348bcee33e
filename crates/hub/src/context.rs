//! What a handler works with: the call, the hub, rights and fences.
//!
//! Invariant: a handler of a data call that was sent under a session has its fence checked in the
//! same transaction as its write (decision U121): [`Context::authorize`] does both. A method that
//! needs a permission answers nobody before it asked for one that its row of `method_access`
//! names: [`Context::seal`] sees to that. Whoever may not see a thing is answered as if it were
//! not there (decision U77): [`Context::admit`] sees to that. Deliberately absent: rules of a noun.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use prost::{Message, Name};
use rollcall_domain::access::{
    self, AccessBinding, Permission, ResourceKind, ResourceRef, Subject,
};
use rollcall_domain::group::Group;
use rollcall_domain::id::{OperationId, OrganizationId, SessionId, UserpoolId};
use rollcall_domain::operation::{Operation, OperationResource, Payload};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::service_account::ServiceAccount;
use rollcall_domain::sync_session::{self, SyncSession};
use rollcall_domain::tally::Tally;
use rollcall_domain::user::User;
use rollcall_kit::id::new_id;
use rollcall_store::Tx;

use crate::audit::event_type::EventType;
use crate::call::Call;
use crate::error::Error;
use crate::hub::Hub;
use crate::method_access::{Rule, find_rule};
use crate::page_token::{List, ListKey};
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
    rule: Rule,
    authorized: AtomicBool,
    needs_fence: bool,
    /// The pool of the session of the call, once it was found open.
    fenced_pool: OnceLock<UserpoolId>,
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

/// A thing that has an id of its own and belongs where rights are given.
pub trait Placed {
    /// What messages call it.
    const KIND: &'static str;

    /// Where rights on it are given.
    fn scope(&self) -> Scope<'_>;
}

impl Placed for User {
    const KIND: &'static str = "user";

    fn scope(&self) -> Scope<'_> {
        Scope::Userpool(&self.userpool_id)
    }
}

impl Placed for Group {
    const KIND: &'static str = "group";

    fn scope(&self) -> Scope<'_> {
        Scope::Group(self)
    }
}

impl Placed for SyncSession {
    const KIND: &'static str = "synchronization session";

    fn scope(&self) -> Scope<'_> {
        Scope::Userpool(&self.subject_container_id)
    }
}

impl Placed for ServiceAccount {
    const KIND: &'static str = "service account";

    fn scope(&self) -> Scope<'_> {
        Scope::Organization(&self.organization_id)
    }
}

/// The outcome of a mutation: what its operation carries.
#[derive(Debug)]
pub struct Done {
    /// Metadata of the operation.
    pub metadata: Payload,
    /// How the operation stands.
    pub standing: Standing,
    /// What the operation is about.
    pub resource: OperationResource,
    /// What the call changed, as sessions count it.
    pub tally: Tally,
    /// The type of its audit event, where it is not that of the method.
    pub event_type: Option<&'static EventType>,
}

/// How the operation of a mutation stands when the call answers.
#[derive(Debug)]
pub enum Standing {
    /// A new one, finished with this response.
    Finished(Payload),
    /// A new one with this id, which a job will finish.
    Started(OperationId),
    /// An earlier one, which the call joined.
    Earlier(Box<Operation>),
    /// An earlier one, which the call ended and saved, as it was asked to.
    Ended(Box<Operation>),
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
            standing: Standing::Finished(to_payload(response)),
            resource,
            tally: Tally::default(),
            event_type: None,
        }
    }

    /// A beginning that a job goes on with, under the operation `id`.
    pub fn started<M: Message + Name>(
        id: OperationId,
        metadata: &M,
        resource: OperationResource,
    ) -> Self {
        Self {
            metadata: to_payload(metadata),
            standing: Standing::Started(id),
            resource,
            tally: Tally::default(),
            event_type: None,
        }
    }

    /// An operation of an earlier call.
    #[must_use]
    pub fn earlier(operation: Operation) -> Self {
        Self {
            metadata: operation.metadata.clone(),
            resource: operation.resource.clone(),
            standing: Standing::Earlier(Box::new(operation)),
            tally: Tally::default(),
            event_type: None,
        }
    }

    /// The end of an operation of an earlier call.
    #[must_use]
    pub fn ended(operation: Operation) -> Self {
        Self {
            metadata: operation.metadata.clone(),
            resource: operation.resource.clone(),
            standing: Standing::Ended(Box::new(operation)),
            tally: Tally::default(),
            event_type: None,
        }
    }

    /// The outcome, having changed what `tally` says.
    #[must_use]
    pub fn counting(self, tally: Tally) -> Self {
        Self { tally, ..self }
    }

    /// The outcome, with another type of audit event than that of the method.
    #[must_use]
    pub fn told_as(self, event_type: &'static EventType) -> Self {
        Self {
            event_type: Some(event_type),
            ..self
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
        let rule = call
            .method
            .and_then(|method| find_rule(method.path))
            .unwrap_or(Rule::Anonymous);
        Self {
            hub,
            call,
            rule,
            authorized: AtomicBool::new(false),
            needs_fence,
            fenced_pool: OnceLock::new(),
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

    /// The list of the parts of `parent` that fit `filter`, as the caller wrote it.
    #[must_use]
    pub fn list<'a>(&'a self, parent: &'a str, filter: &'a str) -> List<'a> {
        self.hub.page_tokens.list(ListKey {
            method: self.method(),
            parent,
            filter,
        })
    }

    /// A new id of a noun.
    #[must_use]
    pub fn new_id(&self, prefix: &str) -> String {
        new_id(prefix, self.call.now, self.hub.entropy.as_ref())
    }

    /// Requires `permission` on `scope` and returns the bindings that count there.
    ///
    /// # Errors
    /// For a pool or an organization that is not there or where the permission is missing, see
    /// [`Context::admit`]; for a group `Denied`; `Precondition` when the session of the call is
    /// over; `Internal` when the row of the method does not name the permission.
    pub async fn authorize(
        &self,
        tx: &Tx,
        permission: Permission,
        scope: Scope<'_>,
    ) -> Result<Vec<AccessBinding>, Error> {
        let Some(bindings) = self.list_bindings(tx, scope).await? else {
            return Err(self.hide(tx, permission, scope).await);
        };
        match self.judge(permission, &bindings) {
            Err(Error::Refused(_)) if !matches!(scope, Scope::Group(_) | Scope::Anywhere) => {
                return Err(self.hide(tx, permission, scope).await);
            }
            judged => judged?,
        }
        self.authorized.store(true, Ordering::Relaxed);
        self.check_fence(tx, scope).await?;
        Ok(bindings)
    }

    /// Lets the caller at `found`, which has the id `id`, and returns the bindings that count there.
    ///
    /// # Errors
    /// The same whether nothing was found or `permission` is missing (decision U77): `Denied`, or
    /// `NotFound` for callers with the permission in an organization, who would see it.
    pub async fn admit<T: Placed>(
        &self,
        tx: &Tx,
        permission: Permission,
        id: &str,
        found: Option<T>,
    ) -> Result<(T, Vec<AccessBinding>), Error> {
        let Some(thing) = found else {
            return Err(self.missing(tx, permission, T::KIND, id).await);
        };
        let Some(bindings) = self.list_bindings(tx, thing.scope()).await? else {
            return Err(Error::Internal(format!("{} {id} has no parent", T::KIND)));
        };
        match self.judge(permission, &bindings) {
            Err(Error::Refused(_)) => {
                return Err(self.missing(tx, permission, T::KIND, id).await);
            }
            judged => judged?,
        }
        self.authorized.store(true, Ordering::Relaxed);
        self.check_fence(tx, thing.scope()).await?;
        Ok((thing, bindings))
    }

    /// The answer of the handler, unless it is one that it must not give: whether something is
    /// there or how it is, before the caller proved a right to know.
    ///
    /// # Errors
    /// `Internal` for such an answer.
    pub fn seal<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        let tells = match &answer {
            Ok(_) => true,
            Err(Error::Refused(refusal)) => {
                !matches!(refusal, Refusal::Denied { .. } | Refusal::Invalid { .. })
            }
            Err(_) => false,
        };
        let needed = matches!(self.rule, Rule::Permissions(_));
        if tells && needed && !self.authorized.load(Ordering::Relaxed) {
            return Err(Error::Internal(format!(
                "{} answers without a permission",
                self.method()
            )));
        }
        answer
    }

    /// Whether the caller has `permission` on `scope` besides the right that it was admitted by.
    pub async fn allows(
        &self,
        tx: &Tx,
        permission: Permission,
        scope: Scope<'_>,
    ) -> Result<bool, Error> {
        let bindings = self.list_bindings(tx, scope).await?;
        Ok(bindings.is_some_and(|bindings| access::allows(&bindings, permission)))
    }

    /// The bindings of the caller that count at `scope`; `None` when it is not there.
    async fn list_bindings(
        &self,
        tx: &Tx,
        scope: Scope<'_>,
    ) -> Result<Option<Vec<AccessBinding>>, Error> {
        let resources = match scope {
            Scope::Userpool(id) => {
                let Some(pool) = tx.find_userpool(id).await? else {
                    return Ok(None);
                };
                vec![
                    ResourceRef::userpool(id),
                    ResourceRef::organization(&pool.organization_id),
                ]
            }
            Scope::Group(group) => vec![
                ResourceRef::group(&group.id),
                ResourceRef::organization(&group.organization_id),
            ],
            Scope::Organization(id) => {
                if tx.find_organization(id).await?.is_none() {
                    return Ok(None);
                }
                vec![ResourceRef::organization(id)]
            }
            Scope::Anywhere => return Ok(Some(self.list_all_bindings(tx).await?)),
        };
        let caller = self.caller()?;
        Ok(Some(tx.list_access_bindings_for(caller, &resources).await?))
    }

    async fn list_all_bindings(&self, tx: &Tx) -> Result<Vec<AccessBinding>, Error> {
        let caller = self.caller()?;
        Ok(tx.list_all_access_bindings_for(caller).await?)
    }

    fn judge(&self, permission: Permission, bindings: &[AccessBinding]) -> Result<(), Error> {
        if !self.rule.lists(permission) {
            return Err(Error::Internal(format!(
                "{} asks for a permission that its row does not name",
                self.method()
            )));
        }
        Ok(access::require(bindings, permission)?)
    }

    async fn hide(&self, tx: &Tx, permission: Permission, scope: Scope<'_>) -> Error {
        let (kind, id) = match scope {
            Scope::Userpool(id) => ("user pool", id.as_str()),
            Scope::Organization(id) => ("organization", id.as_str()),
            Scope::Group(group) => (Group::KIND, group.id.as_str()),
            Scope::Anywhere => ("resource", ""),
        };
        self.missing(tx, permission, kind, id).await
    }

    /// The error for a thing that is not there, or that the caller has no `permission` on.
    async fn missing(&self, tx: &Tx, permission: Permission, kind: &str, id: &str) -> Error {
        let judged = self.list_all_bindings(tx).await.and_then(|mut bindings| {
            bindings.retain(|binding| binding.resource.kind == ResourceKind::Organization);
            self.judge(permission, &bindings)
        });
        match judged {
            Ok(()) => {
                // The caller may know what there is, so the answer is not a leak.
                self.authorized.store(true, Ordering::Relaxed);
                Refusal::not_found(kind, id).into()
            }
            Err(error) => error,
        }
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

    /// Requires that the session of the call, if it names one, is open for what is in `scope`, and
    /// for everything in other scopes before.
    ///
    /// # Errors
    /// `Precondition` when it is over, of another pool or of another caller.
    pub async fn check_fence(&self, tx: &Tx, scope: Scope<'_>) -> Result<(), Error> {
        let Some(named) = self.fence() else {
            return Ok(());
        };
        let pool_id = match scope {
            Scope::Userpool(id) => Some(id),
            Scope::Group(group) => {
                let key = group.external.as_ref();
                key.map(|key| &key.subject_container_id)
            }
            Scope::Organization(_) | Scope::Anywhere => None,
        };
        let checked = self.fenced_pool.get();
        if checked.is_some_and(|checked| pool_id.is_none_or(|id| id == checked)) {
            return Ok(());
        }
        let session = tx.find_sync_session(named).await?;
        // A thing outside any pool is written under whatever pool the session is of.
        let of_session = session.as_ref().map(|it| &it.subject_container_id);
        let pool_id = pool_id.or(of_session).cloned();
        let pool_id = pool_id.unwrap_or_else(|| UserpoolId::new(""));
        let caller = &self.caller()?.id;
        sync_session::check_fence(named, session.as_ref(), &pool_id, caller, self.call.now)?;
        // A session is of one pool, so a second answer is the same.
        let _same = self.fenced_pool.set(pool_id);
        Ok(())
    }

    /// The session that the work of the call counts for.
    #[must_use]
    pub fn fence(&self) -> Option<&SessionId> {
        self.call.session_id.as_ref().filter(|_| self.needs_fence)
    }

    /// Whether the fence of the call was checked, if it has one.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        !self.needs_fence || self.fenced_pool.get().is_some()
    }
}
