//! `UserService.GetPasswordChanges`: password changes on their way to an agent.
//!
//! Invariant: a stream sends a change only in the knowledge of a transaction that found it the active one
//! of its pool, its caller still in possession of the right and the token; what it sent and was not
//! committed comes again with the next subscription (decisions U93 to U95). It ends with the hub, with its
//! client, and after its lifetime. Deliberately absent: who is active, which the domain decides, and the
//! answers.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{BoxStream, poll_fn};
use rollcall_domain::access::Permission;
use rollcall_domain::id::UserpoolId;
use rollcall_domain::password::PasswordKind;
use rollcall_domain::password_change_stream::{PasswordChangeStream, Standing};
use rollcall_domain::password_writeback::PasswordWriteback;
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp;
use rollcall_store::Tx;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::call::Call;
use crate::context::{Context, Effect, Scope};
use crate::error::Error;
use crate::grpc::{Service, accept, check};
use crate::hub::Hub;
use crate::limits;
use crate::password_writeback::open;
use crate::places::Place;
use crate::wire::render_timestamp;

/// What an agent receives.
pub type Changes = BoxStream<'static, Result<idp::GetPasswordChangesResponse, Status>>;

type Sender = mpsc::Sender<Result<idp::GetPasswordChangesResponse, Status>>;
type Inbound = Streaming<idp::GetPasswordChangesRequest>;

/// The hub's time as a stream begins (RFC 3339): ends of operations are told by the hub's clock, which
/// the agent's need not agree with.
pub const HUB_TIME: &str = "x-hub-time";
/// Prefix of the ids of streams, which are in no table of nouns.
const STREAM_ID_PREFIX: &str = "pcs";

/// `UserService.GetPasswordChanges`.
pub async fn subscribe(
    service: &Service,
    request: Request<Inbound>,
) -> Result<Response<Changes>, Status> {
    let (call, mut inbound) = accept(request)?;
    let refused = |error: Error| error.into_status(&call.request_id);
    let first = first_message(&mut inbound).await.map_err(refused)?;
    let place = admit(service, &call, &first).await.map_err(refused)?;
    let hub = Arc::clone(&service.0);
    let capacity = usize::try_from(limits::PASSWORD_CHANGES_IN_FLIGHT_MAX).unwrap_or(1);
    // One more for the status that ends the stream.
    let (sender, mut receiver) = mpsc::channel(capacity + 1);
    let stream = Stream {
        subscription: first.clone(),
        pool: UserpoolId::from(first.userpool_id.as_str()),
        id: hub.new_id(STREAM_ID_PREFIX, call.now),
        sent: first.offset,
        unacknowledged: VecDeque::new(),
        call,
        hub,
        _place: place,
    };
    let calls = service.0.calls.clone();
    calls.spawn(stream.run(inbound, sender));
    let mut response = Response::new(poll_fn(move |cx| receiver.poll_recv(cx)).boxed());
    // Digits and punctuation always are a value.
    if let Ok(now) = service.0.clock.now().to_string().parse() {
        response.metadata_mut().insert(HUB_TIME, now);
    }
    Ok(response)
}

async fn first_message(inbound: &mut Inbound) -> Result<idp::GetPasswordChangesRequest, Error> {
    let wait = limits::PASSWORD_CHANGE_SUBSCRIPTION_TIMEOUT;
    let first = tokio::time::timeout(wait, inbound.message()).await;
    let missing = || {
        let why = "the first message of the stream must subscribe: send userpool_id, agent_id and \
                   offset";
        Error::from(Refusal::invalid("userpool_id", why))
    };
    let first = first.map_err(|_| missing())?;
    let first = first.map_err(|_| missing())?.ok_or_else(missing)?;
    check(&first)?;
    Ok(first)
}

/// Requires the right and a possible offset, and takes a place for the stream.
async fn admit(
    service: &Service,
    call: &Arc<Call>,
    first: &idp::GetPasswordChangesRequest,
) -> Result<Place<UserpoolId>, Error> {
    let (pool, offset) = (UserpoolId::from(first.userpool_id.as_str()), first.offset);
    let of_pool = pool.clone();
    service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            let scope = Scope::Userpool(&pool);
            cx.authorize(tx, Permission::PasswordChangesUse, scope)
                .await?;
            let stream = tx.get_password_change_stream(&pool).await?;
            Ok(stream.check_offset(offset)?)
        })
        .await?;
    let places = &service.0.password_changes.streams;
    places.take(of_pool).ok_or(Error::Busy)
}

struct Stream {
    hub: Arc<Hub>,
    call: Arc<Call>,
    subscription: idp::GetPasswordChangesRequest,
    pool: UserpoolId,
    id: String,
    /// Offset of the newest change that was sent.
    sent: i64,
    /// Offsets that were sent and not acknowledged, in their order.
    unacknowledged: VecDeque<i64>,
    _place: Place<UserpoolId>,
}

/// What a look at the database leads to.
enum Look {
    Rest,
    Act,
}

impl Stream {
    async fn run(mut self, inbound: Inbound, sender: Sender) {
        let stopping = self.hub.stopping.clone();
        let end = tokio::select! {
            end = self.serve(inbound, &sender) => end,
            () = sender.closed() => return,
            () = stopping.cancelled() => {
                Err(Status::unavailable("the hub stops: subscribe again"))
            }
        };
        if let Err(status) = end {
            tracing::info!(
                userpool_id = self.pool.as_str(),
                agent_id = self.subscription.agent_id,
                code = ?status.code(),
                reason = status.message(),
                "a stream of password changes ends"
            );
            // Nobody may listen any more.
            let _ended = sender.try_send(Err(status));
        }
    }

    async fn serve(&mut self, mut inbound: Inbound, sender: &Sender) -> Result<(), Status> {
        let hub = Arc::clone(&self.hub);
        let request_id = self.call.request_id.clone();
        let refused = |error: Error| error.into_status(&request_id);
        let mut is_inbound_open = true;
        loop {
            // Listening begins before the look, so that no change is missed.
            let mut begun = pin!(hub.password_changes.begun().notified());
            begun.as_mut().enable();
            let now = hub.clock.now();
            if now >= self.call.now.plus(limits::PASSWORD_CHANGE_STREAM_LIFETIME) {
                return Err(Status::unavailable(
                    "the stream has reached its lifetime: subscribe again",
                ));
            }
            for change in self.take(now).await.map_err(refused)? {
                let offset = change.offset;
                let message = render(&hub, &change).map_err(refused)?;
                if sender.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
                self.sent = offset;
                self.unacknowledged.push_back(offset);
            }
            tokio::select! {
                message = inbound.message(), if is_inbound_open => match message {
                    Ok(Some(message)) => self.acknowledge(&message).map_err(refused)?,
                    // A client that only listens gets what there is room for.
                    Ok(None) => is_inbound_open = false,
                    Err(_) => return Ok(()),
                },
                () = begun => {}
                () = tokio::time::sleep(limits::PASSWORD_CHANGE_PAUSE) => {}
            }
        }
    }

    fn acknowledge(&mut self, message: &idp::GetPasswordChangesRequest) -> Result<(), Error> {
        check(message)?;
        let first = &self.subscription;
        for (field, is_same) in [
            ("userpool_id", message.userpool_id == first.userpool_id),
            ("agent_id", message.agent_id == first.agent_id),
        ] {
            if !is_same {
                let why = "must be that of the first message: subscribe with another stream";
                return Err(Refusal::invalid(field, why).into());
            }
        }
        if message.offset > self.sent {
            let why = format!("is ahead of what was sent ({})", self.sent);
            return Err(Refusal::out_of_range("offset", why).into());
        }
        while self
            .unacknowledged
            .front()
            .is_some_and(|offset| *offset <= message.offset)
        {
            self.unacknowledged.pop_front();
        }
        Ok(())
    }

    /// How many more changes may be sent before one is acknowledged.
    fn room(&self) -> u32 {
        let unacknowledged = u32::try_from(self.unacknowledged.len()).unwrap_or(u32::MAX);
        limits::PASSWORD_CHANGES_IN_FLIGHT_MAX.saturating_sub(unacknowledged)
    }

    /// The changes to send now; none while another stream is active.
    async fn take(&self, now: Timestamp) -> Result<Vec<PasswordWriteback>, Error> {
        match self.look(now).await? {
            Look::Rest => Ok(Vec::new()),
            Look::Act => self.act(now).await,
        }
    }

    /// Whether there is anything to write: a change to be sent, or a lease to be renewed.
    async fn look(&self, now: Timestamp) -> Result<Look, Error> {
        let (pool, after, room) = (self.pool.clone(), self.sent, self.room());
        let (stream, has_more) = self
            .hub
            .store
            .read(async move |tx: &Tx| {
                let stream = tx.get_password_change_stream(&pool).await?;
                let next = tx
                    .list_password_changes(&pool, after, now, room.min(1))
                    .await?;
                Ok::<_, Error>((stream, !next.is_empty()))
            })
            .await?;
        Ok(match self.judge(&stream, now)? {
            Standing::Active(None) if !has_more => Look::Rest,
            Standing::Active(_) => Look::Act,
            Standing::StandBy | Standing::Superseded => Look::Rest,
        })
    }

    async fn act(&self, now: Timestamp) -> Result<Vec<PasswordWriteback>, Error> {
        let (hub, call) = (Arc::clone(&self.hub), Arc::clone(&self.call));
        let (pool, after, room) = (self.pool.clone(), self.sent, self.room());
        let (agent_id, id) = (self.subscription.agent_id.clone(), self.id.clone());
        self.hub
            .store
            .write(async move |tx: &Tx| {
                let cx = Context::new(Arc::clone(&hub), Arc::clone(&call), Effect::Read);
                require_token(&cx, tx, now).await?;
                let scope = Scope::Userpool(&pool);
                cx.authorize(tx, Permission::PasswordChangesUse, scope)
                    .await?;
                let stream = tx.get_password_change_stream(&pool).await?;
                let Standing::Active(renewed) = stream.judge(&agent_id, &id, now) else {
                    return Ok(Vec::new());
                };
                if let Some(holder) = renewed {
                    tx.save_password_change_holder(&pool, &holder).await?;
                }
                let changes = tx.list_password_changes(&pool, after, now, room).await?;
                for change in &changes {
                    tx.note_password_change_delivered(&change.operation_id, now)
                        .await?;
                }
                Ok::<_, Error>(changes)
            })
            .await
    }

    fn judge(&self, stream: &PasswordChangeStream, now: Timestamp) -> Result<Standing, Refusal> {
        match stream.judge(&self.subscription.agent_id, &self.id, now) {
            Standing::Superseded => Err(Refusal::aborted(format!(
                "a later stream of agent {} took the place of this one",
                self.subscription.agent_id
            ))),
            standing => Ok(standing),
        }
    }
}

/// Requires that the token which opened the stream has not been ended since.
async fn require_token(cx: &Context, tx: &Tx, now: Timestamp) -> Result<(), Error> {
    let is_valid = match &cx.call.token {
        Some(token) => tx.has_iam_token(&token.id, now).await?,
        None => false,
    };
    if is_valid {
        return Ok(());
    }
    Err(Error::Unauthenticated(
        "the token that opened the stream has ended: subscribe with a new one".into(),
    ))
}

fn render(hub: &Hub, change: &PasswordWriteback) -> Result<idp::GetPasswordChangesResponse, Error> {
    let opened = open(hub, change)?;
    let old = opened.old.as_ref();
    Ok(idp::GetPasswordChangesResponse {
        external_user_id: change.external_user_id.clone(),
        password: opened.new.expose().to_owned(),
        modifying_operation_id: change.operation_id.to_string(),
        need_change: change.kind == PasswordKind::Temporary,
        offset: change.offset,
        expires_at: change.expires_at().map(render_timestamp),
        operation_expires_at: Some(render_timestamp(change.deadline)),
        generated: change.is_generated,
        old_password: old.map_or_else(String::new, |old| old.expose().to_owned()),
    })
}
