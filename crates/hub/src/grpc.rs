//! The rpcs: one file per noun, each handler finds, requires, decides, saves and renders.
//!
//! Invariant: a mutation leaves an operation in the same transaction as its change; a repetition
//! with the same idempotency key returns that operation (decision U73). Deliberately absent:
//! rules, which the domain has, and SQL, which the store has.

pub mod access;
pub mod access_policy;
pub mod audit;
pub mod endpoint;
pub mod group;
pub mod iam_token;
pub mod membership;
pub mod operation;
pub mod organization;
pub mod password;
pub mod password_change;
pub mod password_change_stream;
pub mod password_policy;
pub mod password_writeback;
pub mod replication_token;
pub mod required_change;
pub mod service_account;
pub mod service_account_key;
pub mod sign_in;
pub mod sign_in_session;
pub mod sync_session;
pub mod sync_settings;
pub mod user;
pub mod userpool;
pub mod userpool_domain;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use prost::{Message, Name};
use rollcall_domain::id::{OperationId, SubjectId};
use rollcall_domain::idempotency::{self, IdempotencyRecord, Repetition};
use rollcall_domain::operation::{Operation, Outcome};
use rollcall_kit::secret::with_wiped_stack;
use rollcall_proto::{Check, operation as wire};
use rollcall_store::Tx;
use sha2::Sha256;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status};

use crate::audit::{self as trail, Attempt};
use crate::call::Call;
use crate::context::{Context, Done, Effect, Standing};
use crate::error::Error;
use crate::hub::Hub;

/// The answer of a change that leaves no operation.
trait DirectAnswer: Message + Name {
    /// What the audit trail tells beside the answer, which it shows without its secrets: ids of
    /// what was made.
    fn details(&self) -> serde_json::Map<String, serde_json::Value>;
}

/// What a handler does before its transaction.
type Prepare<Q, P> =
    for<'a> fn(&'a Service, &'a Arc<Call>, &'a Q) -> BoxFuture<'a, Result<P, Error>>;

/// All services of the contract.
#[derive(Clone)]
pub struct Service(pub Arc<Hub>);

impl Service {
    /// Answers a call that changes nothing.
    async fn read<Q, A, F>(&self, request: Request<Q>, find: F) -> Result<Response<A>, Status>
    where
        Q: Check + Send + Sync + 'static,
        A: Send + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<A, Error> + Send + 'static,
    {
        let (call, request) = accept(request)?;
        let outcome = async {
            check(&request)?;
            let cx = Context::new(Arc::clone(&self.0), Arc::clone(&call), Effect::Read);
            self.0
                .store
                .read(async move |tx: &Tx| cx.seal(find(&cx, tx, &request).await))
                .await
        };
        let outcome: Result<A, Error> = outcome.await;
        outcome
            .map(Response::new)
            .map_err(|error| error.into_status(&call.request_id))
    }

    /// Makes a change and answers with its operation.
    async fn mutate<Q, F>(
        &self,
        request: Request<Q>,
        description: &'static str,
        decide: F,
    ) -> Result<Response<wire::Operation>, Status>
    where
        Q: Check + Message + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<Done, Error> + Send + 'static,
    {
        let (call, request) = accept(request)?;
        self.mutate_accepted(call, request, description, decide)
            .await
    }

    /// As [`Service::mutate`], for handlers that had to look at the request before.
    async fn mutate_accepted<Q, F>(
        &self,
        call: Arc<Call>,
        request: Q,
        description: &'static str,
        decide: F,
    ) -> Result<Response<wire::Operation>, Status>
    where
        Q: Check + Message + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<Done, Error> + Send + 'static,
    {
        let attempt = match Attempt::new(&call, &request) {
            Ok(attempt) => attempt.map(Arc::new),
            Err(error) => return Err(error.into_status(&call.request_id)),
        };
        let (service, inner, told) = (self.clone(), Arc::clone(&call), attempt.clone());
        let change = async move {
            service
                .commit(&inner, request, told, description, decide)
                .await
        };
        let operation = self.carry_out(&call, attempt, change).await?;
        Ok(operation::answer(&call, operation))
    }

    /// As [`Service::mutate`], for handlers that prepare much before their transaction, such as
    /// hashes.
    async fn mutate_prepared<Q, P, F>(
        &self,
        request: Request<Q>,
        description: &'static str,
        prepare: Prepare<Q, P>,
        decide: F,
    ) -> Result<Response<wire::Operation>, Status>
    where
        Q: Check + Message + 'static,
        P: Send + Sync + 'static,
        F: AsyncFn(&Context, &Tx, &Q, &P) -> Result<Done, Error> + Send + 'static,
    {
        let (call, request) = accept(request)?;
        let prepared = match self.find_earlier(&call, &request).await {
            Ok(None) => prepare(self, &call, &request).await,
            Ok(Some(operation)) => return Ok(operation::answer(&call, operation)),
            Err(error) => Err(error),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.refuse_early(&call, &request, error).await),
        };
        let decide = async move |cx: &Context, tx: &Tx, request: &Q| {
            decide(cx, tx, request, &prepared).await
        };
        self.mutate_accepted(call, request, description, decide)
            .await
    }

    /// The operation of an earlier call with the same key, for handlers that prepare much before
    /// their transaction: what they would look at may have changed since.
    ///
    /// # Errors
    /// As the check of the request; `Invalid` when the key was used for another request.
    async fn find_earlier<Q>(
        &self,
        call: &Arc<Call>,
        request: &Q,
    ) -> Result<Option<Operation>, Error>
    where
        Q: Check + Message,
    {
        check(request)?;
        if call.idempotency_key.is_none() {
            return Ok(None);
        }
        let digest = self.digest(request)?;
        let cx = Context::new(Arc::clone(&self.0), Arc::clone(call), Effect::Read);
        self.0
            .store
            .read(async move |tx: &Tx| find_repeated(&cx, tx, &digest).await)
            .await
    }

    /// The status of a change that is refused before its transaction, with its audit event.
    async fn refuse_early<Q: Message>(
        &self,
        call: &Arc<Call>,
        request: &Q,
        error: Error,
    ) -> Status {
        let attempt = match Attempt::new(call, request) {
            Ok(attempt) => attempt.map(Arc::new),
            Err(error) => return error.into_status(&call.request_id),
        };
        let refused = std::future::ready(Err::<Infallible, _>(error));
        match self.carry_out(call, attempt, refused).await {
            Ok(never) => match never {},
            Err(status) => status,
        }
    }

    /// Carries a change, or the event of its refusal, to the end, even when the caller goes away or
    /// its time is over meanwhile: from here on the layers leave the event to it.
    async fn carry_out<T, F>(
        &self,
        call: &Arc<Call>,
        attempt: Option<Arc<Attempt>>,
        change: F,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let place = Arc::clone(&self.0.changes).acquire_owned().await;
        let closed = |_| Error::Internal("no place for a change".into());
        let place = place.map_err(|error| closed(error).into_status(&call.request_id))?;
        self.carry_out_in(place, call, attempt, change).await
    }

    /// As [`Service::carry_out`], in a place that the caller has taken.
    async fn carry_out_in<T, F>(
        &self,
        place: OwnedSemaphorePermit,
        call: &Arc<Call>,
        attempt: Option<Arc<Attempt>>,
        change: F,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let broken = || Error::Internal("a change broke off".into()).into_status(&call.request_id);
        call.audit_mark.set();
        let (hub, inner) = (Arc::clone(&self.0), Arc::clone(call));
        let task = self.0.calls.spawn(async move {
            let _place = place;
            let refused = match change.await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.into_status(&inner.request_id),
            };
            if let Some(attempt) = attempt {
                trail::record_refusal(&hub, &inner, attempt, &refused).await;
            }
            Err(refused)
        });
        task.await.unwrap_or_else(|_| {
            call.audit_mark.clear();
            Err(broken())
        })
    }

    /// Looks something up before the transaction of a mutation.
    async fn find_first<T, F>(&self, call: &Arc<Call>, find: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: AsyncFn(&Context, &Tx) -> Result<T, Error> + Send + 'static,
    {
        let cx = Context::new(Arc::clone(&self.0), Arc::clone(call), Effect::Read);
        self.0
            .store
            .read(async move |tx: &Tx| cx.seal(find(&cx, tx).await))
            .await
    }

    async fn commit<Q, F>(
        &self,
        call: &Arc<Call>,
        request: Q,
        attempt: Option<Arc<Attempt>>,
        description: &'static str,
        decide: F,
    ) -> Result<Operation, Error>
    where
        Q: Check + Message + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<Done, Error> + Send + 'static,
    {
        check(&request)?;
        let digest = match call.idempotency_key {
            Some(_) => self.digest(&request)?,
            None => Vec::new(),
        };
        let hub = Arc::clone(&self.0);
        let call = Arc::clone(call);
        self.0
            .store
            .write(async move |tx: &Tx| {
                let cx = Context::new(Arc::clone(&hub), Arc::clone(&call), Effect::Write);
                if let Some(operation) = find_repeated(&cx, tx, &digest).await? {
                    return Ok(operation);
                }
                // What is removed has no place afterwards.
                let path = match attempt.as_deref() {
                    Some(attempt) => trail::find_path(tx, &call, attempt).await?,
                    None => Vec::new(),
                };
                let done = cx.seal(decide(&cx, tx, &request).await)?;
                require_fenced(&cx)?;
                let told = attempt
                    .as_deref()
                    .map(|attempt| attempt.of_type(done.event_type));
                let status = trail::judge(&done.standing);
                let operation = record(&cx, tx, done, description, &digest).await?;
                if let Some(attempt) = told.as_deref() {
                    trail::record_change(&hub, tx, &call, attempt, path, &operation, status)
                        .await?;
                }
                Ok(operation)
            })
            .await
    }

    /// Makes a change that leaves no operation, because its answer must not be stored. Such a call
    /// has no use for an idempotency key.
    async fn change<Q, A, F>(&self, call: &Arc<Call>, request: Q, decide: F) -> Result<A, Status>
    where
        Q: Check + Message + 'static,
        A: DirectAnswer + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<A, Error> + Send + 'static,
    {
        let attempt = match Attempt::new(call, &request) {
            Ok(attempt) => attempt.map(Arc::new),
            Err(error) => return Err(error.into_status(&call.request_id)),
        };
        let (service, inner, told) = (self.clone(), Arc::clone(call), attempt.clone());
        let change = async move { service.commit_directly(&inner, request, told, decide).await };
        self.carry_out(call, attempt, change).await
    }

    async fn commit_directly<Q, A, F>(
        &self,
        call: &Arc<Call>,
        request: Q,
        attempt: Option<Arc<Attempt>>,
        decide: F,
    ) -> Result<A, Error>
    where
        Q: Check + Message + 'static,
        A: DirectAnswer + 'static,
        F: AsyncFn(&Context, &Tx, &Q) -> Result<A, Error> + Send + 'static,
    {
        check(&request)?;
        let hub = Arc::clone(&self.0);
        let call = Arc::clone(call);
        self.0
            .store
            .write(async move |tx: &Tx| {
                let cx = Context::new(Arc::clone(&hub), Arc::clone(&call), Effect::Write);
                let answer = cx.seal(decide(&cx, tx, &request).await)?;
                require_fenced(&cx)?;
                if let Some(attempt) = attempt.as_deref() {
                    let details = answer.details();
                    trail::record_direct(&hub, tx, &call, attempt, &answer, details).await?;
                }
                Ok(answer)
            })
            .await
    }

    /// A digest of a request, under a key: a request may hold a password.
    fn digest<Q: Message>(&self, request: &Q) -> Result<Vec<u8>, Error> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.digest_key.expose())
            .map_err(|_| Error::Internal("the key of request digests is damaged".into()))?;
        let bytes = zeroize::Zeroizing::new(request.encode_to_vec());
        Ok(with_wiped_stack(move || {
            mac.update(&bytes);
            mac.finalize().into_bytes().to_vec()
        }))
    }
}

/// Splits a request into its call and its message.
fn accept<Q>(mut request: Request<Q>) -> Result<(Arc<Call>, Q), Status> {
    match request.extensions_mut().remove::<Arc<Call>>() {
        Some(call) => Ok((call, request.into_inner())),
        None => Err(Error::Internal("a call came past the layers".into()).into_status("")),
    }
}

fn check<Q: Check>(request: &Q) -> Result<(), Error> {
    request.check().map_err(Error::Fields)
}

fn require_fenced(cx: &Context) -> Result<(), Error> {
    if cx.is_fenced() {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "{} did not check the session it was sent under",
        cx.method()
    )))
}

/// The operation of an earlier call with the same key.
async fn find_repeated(cx: &Context, tx: &Tx, digest: &[u8]) -> Result<Option<Operation>, Error> {
    let Some(key) = &cx.call.idempotency_key else {
        return Ok(None);
    };
    let caller = &cx.caller()?.id;
    let record = tx.find_idempotency_record(caller, cx.method(), key).await?;
    match idempotency::judge(record.as_ref(), digest, cx.call.now)? {
        Repetition::FirstCall => Ok(None),
        Repetition::Repeated(id) => match tx.find_operation(&id).await? {
            Some(operation) => Ok(Some(operation)),
            None => Err(Error::Internal(format!(
                "operation {id} of a repeated call is gone"
            ))),
        },
    }
}

/// Stores the operation of a change, and its key.
async fn record(
    cx: &Context,
    tx: &Tx,
    done: Done,
    description: &str,
    digest: &[u8],
) -> Result<Operation, Error> {
    let caller = cx.caller()?.id.clone();
    let (id, outcome) = match done.standing {
        Standing::Finished(response) => (
            OperationId::new(cx.new_id(OperationId::PREFIX)),
            Outcome::Response(response),
        ),
        Standing::Started(id) => (id, Outcome::Running),
        Standing::Earlier(operation) | Standing::Ended(operation) => {
            save_key(cx, tx, caller, digest, &operation.id).await?;
            return Ok(*operation);
        }
    };
    let operation = Operation::new(
        id,
        description,
        caller.clone(),
        done.resource,
        done.metadata,
        outcome,
        cx.call.now,
    );
    let operation = match cx.fence() {
        Some(session_id) => operation.under(session_id.clone(), done.tally),
        None => operation,
    };
    tx.insert_operation(&operation).await?;
    save_key(cx, tx, caller, digest, &operation.id).await?;
    Ok(operation)
}

/// Remembers which operation the key of a call, if it has one, led to.
async fn save_key(
    cx: &Context,
    tx: &Tx,
    caller: SubjectId,
    digest: &[u8],
    operation_id: &OperationId,
) -> Result<(), Error> {
    if let Some(key) = &cx.call.idempotency_key {
        tx.save_idempotency_record(&IdempotencyRecord {
            subject_id: caller,
            method: cx.method().to_owned(),
            key: key.clone(),
            request_digest: digest.to_vec(),
            operation_id: operation_id.clone(),
            created_at: cx.call.now,
        })
        .await?;
    }
    Ok(())
}
