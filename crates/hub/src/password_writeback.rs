//! Password changes that wait for a directory: their beginning, their end, and the job that ends those
//! whose time is over (decision U89).
//!
//! Invariant: the passwords of a change lie in the database only sealed, and only until its end, which is
//! stored in one transaction with the end of its operation, the password and the audit event. What the
//! directory says in its own words is for administrators: the audit trail has it always, the operation
//! only when somebody other than the user began it. Deliberately absent: the stream to the agent and its
//! answer, which are `grpc::password_change_stream` and `grpc::password_writeback`.

use std::sync::Arc;

use rollcall_domain::id::{OperationId, PasswordId, UserpoolId};
use rollcall_domain::operation::{Operation, Outcome, Payload};
use rollcall_domain::password::Password;
use rollcall_domain::password_writeback::{
    self as rule, PasswordWriteback, Settled, WritebackCause, WritebackFailure, WritebackSecrets,
};
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp;
use rollcall_store::Tx;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::audit::document::Document;
use crate::error::{Error, writeback_failed};
use crate::hub::Hub;
use crate::limits;
use crate::password_change::{self, Facts, Setting};
use crate::password_hash::{self, Salt, nt_hash};
use crate::places::Places;
use crate::wire::to_payload;

const SET_OWN: &str = "/yandex.cloud.organizationmanager.v1.idp.UserService/SetOwnPassword";
const SET_OTHERS: &str = "/yandex.cloud.organizationmanager.v1.idp.UserService/SetOthersPassword";

/// What this hub tells its own streams and waiting calls. Other hubs on the database find out by
/// looking.
pub struct PasswordChanges {
    begun: Notify,
    ended: Notify,
    /// Places for streams.
    pub streams: Arc<Places<UserpoolId>>,
    /// Places for calls that wait for the end of a change.
    pub waiters: Arc<Semaphore>,
}

impl Default for PasswordChanges {
    fn default() -> Self {
        Self {
            begun: Notify::new(),
            ended: Notify::new(),
            streams: Arc::new(Places::new(
                limits::PASSWORD_CHANGE_STREAMS_PER_POOL_MAX,
                limits::PASSWORD_CHANGE_STREAMS_MAX,
            )),
            waiters: Arc::new(Semaphore::new(limits::PASSWORD_CHANGE_WAITERS_MAX)),
        }
    }
}

impl PasswordChanges {
    /// Tells that there may be a new change.
    pub fn tell_begun(&self) {
        self.begun.notify_waiters();
    }

    /// Tells that a change may have ended.
    pub fn tell_ended(&self) {
        self.ended.notify_waiters();
    }

    /// Where to wait for new changes.
    #[must_use]
    pub fn begun(&self) -> &Notify {
        &self.begun
    }

    /// Where to wait for the end of changes.
    #[must_use]
    pub fn ended(&self) -> &Notify {
        &self.ended
    }
}

/// A new password in the forms that may be stored, for the operation that will wait for it.
#[derive(Debug)]
pub struct Prepared {
    operation_id: OperationId,
    secrets: WritebackSecrets,
}

/// Whose password is to be changed, and how.
pub struct Beginning<'a> {
    /// The user with its pool and present password.
    pub facts: &'a Facts,
    /// How the password is set.
    pub setting: &'a Setting,
}

/// The passwords of a change, as an agent receives them.
pub struct Opened {
    /// The new one.
    pub new: SecretString,
    /// The old one, when the user gave it.
    pub old: Option<SecretString>,
}

/// Seals a new password, and the old one if it is at hand, before the transaction that begins the
/// change.
///
/// # Errors
/// `Busy` when too many passwords wait.
pub async fn prepare(
    hub: &Hub,
    new: &SecretString,
    old: Option<&SecretString>,
    now: Timestamp,
) -> Result<Prepared, Error> {
    let operation_id = OperationId::new(hub.new_id(OperationId::PREFIX, now));
    let seal = |part: Part, secret: &SecretString| {
        let secret = SecretBytes::new(secret.expose().as_bytes().to_vec());
        let row = part.row(&operation_id);
        let sealed = hub.sealing_key.seal(&row, &secret, hub.entropy.as_ref())?;
        Ok::<_, Error>(SecretBytes::new(sealed))
    };
    let sealed_new = seal(Part::New, new)?;
    let sealed_old = old.map(|old| seal(Part::Old, old)).transpose()?;
    let (secret, salt) = (nt_hash(new), Salt::random(hub.entropy.as_ref()));
    let strengthen = move || password_hash::strengthen(&secret, salt);
    let argon2 = hub.hashing.run(strengthen).await??;
    Ok(Prepared {
        operation_id,
        secrets: WritebackSecrets {
            sealed_new,
            sealed_old,
            argon2,
        },
    })
}

/// The passwords of `writeback`.
///
/// # Errors
/// When they do not open with the key of this hub.
pub fn open(hub: &Hub, writeback: &PasswordWriteback) -> Result<Opened, Error> {
    let open = |part: Part, sealed: &SecretBytes| {
        let row = part.row(&writeback.operation_id);
        let bytes = hub.sealing_key.open(&row, sealed.expose())?;
        let text = String::from_utf8(bytes.expose().to_vec());
        let text = text.map_err(|_| Error::Internal("a sealed password is no text".into()))?;
        Ok::<_, Error>(SecretString::new(text))
    };
    let secrets = &writeback.secrets;
    let old = secrets.sealed_old.as_ref();
    Ok(Opened {
        new: open(Part::New, &secrets.sealed_new)?,
        old: old.map(|old| open(Part::Old, old)).transpose()?,
    })
}

/// The two passwords of a change: a sealed one does not open in the place of the other.
#[derive(Clone, Copy)]
enum Part {
    New,
    Old,
}

impl Part {
    fn row(self, id: &OperationId) -> String {
        let part = match self {
            Self::New => "new",
            Self::Old => "old",
        };
        format!("{id}/{part}")
    }
}

/// Stores a change that from now on waits for the directory, and returns the id of the operation that
/// the caller has to store.
///
/// # Errors
/// `Aborted` when an earlier one of the user is pending.
pub async fn begin(
    hub: &Hub,
    tx: &Tx,
    prepared: &Prepared,
    beginning: &Beginning<'_>,
    now: Timestamp,
) -> Result<OperationId, Error> {
    let Beginning { facts, setting } = beginning;
    let user = &facts.user;
    let pending = tx.find_pending_password_writeback(&user.id).await?;
    rule::require_none_pending(pending.as_ref(), now)?;
    if let Some(late) = pending {
        end(hub, tx, &late, Err(late.late()), None, now).await?;
    }
    let external_user_id = user.external_id.clone();
    let external_user_id = external_user_id
        .ok_or_else(|| Error::Internal(format!("user {} is in no directory", user.id)))?;
    tx.insert_password_writeback(&PasswordWriteback {
        operation_id: prepared.operation_id.clone(),
        userpool_id: facts.pool.id.clone(),
        user_id: user.id.clone(),
        external_user_id: external_user_id.to_string(),
        offset: tx.next_password_change_offset(&facts.pool.id).await?,
        cause: setting.cause,
        secrets: prepared.secrets.clone(),
        kind: setting.kind,
        is_generated: setting.is_generated,
        replaces: facts.present.as_ref().map(|present| present.id.clone()),
        kept: setting.kept.clone(),
        created_at: now,
        deadline: now.plus(hub.password_writeback.deadline()),
        delivered_at: None,
    })
    .await?;
    Ok(prepared.operation_id.clone())
}

/// Ends a change: with what is to be stored, or with why it failed. `answer_digest` tells the answer of
/// an agent from others. Returns the operation, unless that is gone.
///
/// # Errors
/// When the database fails.
pub async fn end(
    hub: &Hub,
    tx: &Tx,
    writeback: &PasswordWriteback,
    ending: Result<Settled, WritebackFailure>,
    answer_digest: Option<&[u8]>,
    now: Timestamp,
) -> Result<Option<Operation>, Error> {
    let mut raw = String::new();
    let outcome = match ending {
        Ok(settled) => {
            store(tx, writeback, settled, now).await?;
            Outcome::Response(response(writeback.cause))
        }
        Err(failure) => {
            let to_administrator = writeback.cause == WritebackCause::Reset;
            let error = writeback_failed(&failure, writeback.cause, to_administrator);
            raw = failure.raw;
            Outcome::Error(error)
        }
    };
    end_with(hub, tx, writeback, outcome, answer_digest, raw, now).await
}

/// Ends a change with `outcome`, and nothing is stored of its password.
///
/// # Errors
/// When the database fails.
pub async fn give_up(
    hub: &Hub,
    tx: &Tx,
    writeback: &PasswordWriteback,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Option<Operation>, Error> {
    end_with(hub, tx, writeback, outcome, None, String::new(), now).await
}

async fn end_with(
    hub: &Hub,
    tx: &Tx,
    writeback: &PasswordWriteback,
    outcome: Outcome,
    answer_digest: Option<&[u8]>,
    raw: String,
    now: Timestamp,
) -> Result<Option<Operation>, Error> {
    let id = &writeback.operation_id;
    tx.end_password_writeback(id, answer_digest, now).await?;
    let Some(operation) = tx.find_operation(id).await? else {
        return Ok(None);
    };
    let operation = operation.end(outcome, now);
    tx.save_operation(&operation).await?;
    let mut details = Document::new();
    if !raw.is_empty() {
        details.insert("directoryMessage".to_owned(), raw.into());
    }
    let method = method(writeback.cause);
    audit::record_end(hub, tx, method, &operation, details).await?;
    Ok(Some(operation))
}

async fn store(
    tx: &Tx,
    writeback: &PasswordWriteback,
    settled: Settled,
    now: Timestamp,
) -> Result<(), Error> {
    match settled {
        Settled::Replaced(password) => {
            let present = tx.find_password(&writeback.user_id).await?;
            let kept = writeback.kept.as_ref();
            password_change::replace(tx, present.as_ref(), &password, kept, now).await
        }
        Settled::OfKind(password) => Ok(tx.save_password(&password).await?),
        Settled::Unchanged => Ok(()),
    }
}

/// What is stored when the directory accepted `writeback`, whose password was found to be the stored
/// one `same`.
///
/// # Errors
/// When the database fails.
pub async fn settle(
    hub: &Hub,
    tx: &Tx,
    writeback: &PasswordWriteback,
    same: Option<&PasswordId>,
    now: Timestamp,
) -> Result<Settled, Error> {
    let present: Option<Password> = tx.find_password(&writeback.user_id).await?;
    let arrival = writeback.arrival(present.as_ref(), same);
    let id = PasswordId::new(hub.new_id(PasswordId::PREFIX, now));
    Ok(writeback.settle(present.as_ref(), arrival, id, now))
}

fn response(cause: WritebackCause) -> Payload {
    match cause {
        WritebackCause::OwnChange | WritebackCause::RequiredChange => {
            to_payload(&idp::SetOwnPasswordResponse {})
        }
        WritebackCause::Reset => to_payload(&idp::SetOthersPasswordResponse {}),
    }
}

fn method(cause: WritebackCause) -> &'static str {
    match cause {
        WritebackCause::OwnChange | WritebackCause::RequiredChange => SET_OWN,
        WritebackCause::Reset => SET_OTHERS,
    }
}

/// Runs until `stop`.
pub async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match end_overdue(&hub).await {
            Ok(ended) if ended == limits::SWEEP_BATCH_MAX => continue,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "late password changes could not be ended"),
        }
        tokio::select! {
            () = tokio::time::sleep(limits::PASSWORD_CHANGE_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Ends the changes whose time is over; tells how many, at most as many as a sweep takes.
async fn end_overdue(hub: &Arc<Hub>) -> Result<u32, Error> {
    let now = hub.clock.now();
    let is_due = hub
        .store
        .read(async move |tx: &Tx| {
            let due = tx.list_overdue_password_writebacks(now, 1).await?;
            Ok::<_, Error>(!due.is_empty())
        })
        .await?;
    if !is_due {
        return Ok(0);
    }
    let inner = Arc::clone(hub);
    let ended = hub
        .store
        .write(async move |tx: &Tx| {
            let batch = limits::SWEEP_BATCH_MAX;
            let due = tx.list_overdue_password_writebacks(now, batch).await?;
            for writeback in &due {
                end(&inner, tx, writeback, Err(writeback.late()), None, now).await?;
            }
            Ok::<_, Error>(u32::try_from(due.len()).unwrap_or(batch))
        })
        .await?;
    hub.password_changes.tell_ended();
    Ok(ended)
}
