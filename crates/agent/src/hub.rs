//! The hub as the agent uses it: one connection, one pool, calls that are repeated until they
//! succeed or cannot.
//!
//! Invariant: every mutating call inside a session carries the session's id, so that the hub
//! refuses it once the session is over (decision U121), and what the hub says it changed is counted
//! with the answer. Deliberately absent: what to call when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::{Message, Name};
use rollcall_client::{
    AuthorizedChannel, CallContext, Client, ClientError, ClientOptions, Credentials, ErrorKind,
    ServiceAccountKey,
};
use rollcall_kit::backoff::Backoff;
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::{
    GetSessionRequest, GetUserpoolRequest, ListSessionsRequest, SynchronizationSession, Userpool,
};
use rollcall_proto::operation::Operation;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::failure::Failure;
use crate::fault_count::Side;
use crate::progress::Progress;
use crate::tally;

mod account;
mod before;
mod external_id;
mod listing;
mod name;
mod one;
pub(crate) mod password_hash;
mod password_writeback;
mod preview;
mod write;

pub use account::Account;
pub use listing::Foreign;
pub(crate) use one::user_field;
pub use password_hash::Holder;
pub use password_writeback::PasswordChanges;

/// Attempts of one call: with waits of up to 30 s they outlast any lease, which ends them.
const ATTEMPTS_MAX: u32 = 20;
/// Pages of one listing; a thousand of a thousand make a million objects.
const PAGES_MAX: u32 = 100_000;
/// One attempt; a page of 1,000 users is the largest answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const OBJECTS_SESSIONS: &str = "session_type = 'AD_SYNC'";

/// What to do about a hub that is away when the program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Fail: a person, or a timer, tries again.
    GiveUp,
    /// Try again until it is there: after a power failure everything starts at once.
    Wait,
}

/// The connection to the hub for one pool.
#[derive(Debug, Clone)]
pub struct Hub {
    client: Client,
    userpool_id: Arc<str>,
    organization_id: Arc<str>,
    session: Option<InSession>,
}

/// The session that calls are made in.
#[derive(Debug, Clone)]
struct InSession {
    id: Arc<str>,
    /// Its counters.
    progress: Arc<Mutex<Progress>>,
}

/// The options to reach the hub of the configuration.
///
/// # Errors
/// [`Failure::Config`] when the key file or the CA cannot be used.
pub fn client_options(config: &Config) -> Result<ClientOptions, Failure> {
    let mut options = ClientOptions::new(config.hub.address.clone());
    if let Some(ca) = &config.hub.ca_path {
        options = options.with_ca(config.resolve(ca));
    }
    let Some(key) = &config.cloud_credentials_file_path else {
        return Ok(options);
    };
    let key = ServiceAccountKey::read(&config.resolve(key))
        .map_err(|error| Failure::Config(format!("cloud_credentials_file_path: {error}")))?;
    Ok(options.with_credentials(Credentials::Key(key)))
}

impl Hub {
    /// Connects and looks the pool up; `away` hears of each attempt that failed and is repeated.
    ///
    /// # Errors
    /// [`Failure`] with what to do; with [`Patience::Wait`] only what waiting does not mend.
    pub async fn connect(
        config: &Config,
        entropy: Arc<dyn Entropy>,
        patience: Patience,
        away: impl Fn(&ClientError),
    ) -> Result<Self, Failure> {
        let mut backoff = Backoff::new();
        loop {
            let mut options = client_options(config)?;
            options.entropy = Arc::clone(&entropy);
            let error = match Self::try_connect(config, options).await {
                Ok(hub) => return Ok(hub),
                Err(error) => error,
            };
            let is_away = matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Unavailable)
                || error.retry_after().is_some();
            if patience == Patience::GiveUp || !is_away {
                return Err(failure(&error));
            }
            Side::Hub.failed();
            tracing::warn!(reason = %error, "the hub is away; it is tried again");
            away(&error);
            tokio::time::sleep(backoff.next_wait(&*entropy)).await;
        }
    }

    async fn try_connect(config: &Config, options: ClientOptions) -> Result<Self, ClientError> {
        let client = Client::connect(options).await?;
        let mut hub = Self {
            client,
            userpool_id: config.userpool_id.as_str().into(),
            organization_id: "".into(),
            session: None,
        };
        let pool = hub.pool().await?;
        hub.organization_id = pool.organization_id.into();
        Ok(hub)
    }

    /// This connection, working inside a session with these counters.
    #[must_use]
    pub fn in_session(&self, session_id: &str, progress: &Arc<Mutex<Progress>>) -> Self {
        Self {
            session: Some(InSession {
                id: session_id.into(),
                progress: Arc::clone(progress),
            }),
            ..self.clone()
        }
    }

    /// The pool's id.
    #[must_use]
    pub fn userpool_id(&self) -> String {
        self.userpool_id.to_string()
    }

    /// The organization of the pool.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.organization_id.to_string()
    }

    /// The pool.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pool(&self) -> Result<Userpool, ClientError> {
        let request = GetUserpoolRequest {
            userpool_id: self.userpool_id(),
        };
        self.read(request, |hub, request| async move {
            hub.userpools().get(request).await
        })
        .await
    }

    /// When the certificate of the hub expires.
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.client.certificate_expires()
    }

    /// A synchronization session as it is now.
    ///
    /// # Errors
    /// [`ClientError`]; also when it may not be seen.
    pub async fn session(&self, session_id: &str) -> Result<SynchronizationSession, ClientError> {
        let request = GetSessionRequest {
            session_id: session_id.to_owned(),
        };
        let answer = self
            .read(request, |hub, request| async move {
                hub.synchronization_sessions().get_session(request).await
            })
            .await?;
        Ok(answer.session.unwrap_or_default())
    }

    /// The newest session of the objects that has another id than `except`, whoever had it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn newest_objects_session(
        &self,
        except: Option<&str>,
    ) -> Result<Option<String>, ClientError> {
        let request = ListSessionsRequest {
            subject_container_id: self.userpool_id(),
            // Newest first (decision U36).
            page_size: 2,
            filter: OBJECTS_SESSIONS.to_owned(),
            ..ListSessionsRequest::default()
        };
        let found = self
            .read(request, |hub, request| async move {
                hub.synchronization_sessions().list_sessions(request).await
            })
            .await?;
        let mut ids = found.sessions.into_iter().map(|session| session.session_id);
        Ok(ids.find(|id| Some(id.as_str()) != except))
    }

    /// A call that changes nothing.
    pub(crate) async fn read<Q, A, F, Fut>(&self, message: Q, call: F) -> Result<A, ClientError>
    where
        Q: Clone,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let context = CallContext::read()
            .with_attempts_max(ATTEMPTS_MAX)
            .with_attempt_timeout(ATTEMPT_TIMEOUT);
        self.client.call_with_retry(&context, message, call).await
    }

    /// A call that changes something, inside the session if there is one; waits for its operation.
    pub(crate) async fn mutate<Q, R, F, Fut>(&self, message: Q, call: F) -> Result<R, ClientError>
    where
        Q: Clone,
        R: Message + Name + Default,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        self.mutate_as(self.context(), message, call).await
    }

    /// As [`Self::mutate`], but tried only once and for no longer than `limit`, for a call that is
    /// made again and again anyway.
    pub(crate) async fn mutate_once<Q, R, F, Fut>(
        &self,
        limit: Duration,
        message: Q,
        call: F,
    ) -> Result<R, ClientError>
    where
        Q: Clone,
        R: Message + Name + Default,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        let context = self
            .context()
            .with_attempts_max(1)
            .with_attempt_timeout(limit);
        let work = self.counted(&context, message, call);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let late = Status::deadline_exceeded(format!("no answer in {limit:?}"));
            Err(self.client.error(&late))
        })
    }

    /// As [`Self::mutate`], with a context of the caller's.
    pub(crate) async fn mutate_as<Q, R, F, Fut>(
        &self,
        context: CallContext,
        message: Q,
        call: F,
    ) -> Result<R, ClientError>
    where
        Q: Clone,
        R: Message + Name + Default,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        let context = context
            .with_attempts_max(ATTEMPTS_MAX)
            .with_attempt_timeout(ATTEMPT_TIMEOUT);
        self.counted(&context, message, call).await
    }

    fn context(&self) -> CallContext {
        let context = CallContext::mutation();
        match &self.session {
            Some(session) => context.in_session(&session.id),
            None => context,
        }
    }

    /// Makes a call and counts what its answer says was changed.
    async fn counted<Q, R, F, Fut>(
        &self,
        context: &CallContext,
        message: Q,
        mut call: F,
    ) -> Result<R, ClientError>
    where
        Q: Clone,
        R: Message + Name + Default,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        let call = |hub, request| {
            let answer = call(hub, request);
            async move {
                let response = answer.await?;
                if let Some(session) = &self.session
                    && let Some(cells) = tally::parse(response.metadata())
                {
                    let progress = session.progress.lock();
                    progress
                        .unwrap_or_else(PoisonError::into_inner)
                        .told(&cells);
                }
                Ok(response)
            }
        };
        let operation = self.client.call_with_retry(context, message, call).await?;
        self.client.wait(operation).await
    }
}

impl Hub {
    /// A listing that has more pages than [`PAGES_MAX`].
    pub(crate) fn endless(&self) -> ClientError {
        let text = format!("a listing has more than {PAGES_MAX} pages");
        self.client.error(&Status::internal(text))
    }
}

/// What a failed call means for the whole run.
#[must_use]
pub fn failure(error: &ClientError) -> Failure {
    Side::Hub.failed();
    match &error.kind {
        ErrorKind::Unauthenticated => Failure::Authentication(error.to_string()),
        ErrorKind::Configuration => Failure::Config(error.to_string()),
        _ => Failure::Run(error.to_string()),
    }
}
