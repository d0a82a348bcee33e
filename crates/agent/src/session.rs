//! A synchronization session: opened, kept alive, reported on, closed.
//!
//! Invariant: heartbeats and progress have their own task, never tied to the work (decision U3).
//! A session that is dropped without being closed simply expires at the hub.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_client::{CallContext, ClientError, ErrorKind};
use rollcall_kit::entropy::Entropy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::idp::{
    CloseSessionRequest, HeartbeatRequest, OpenSessionRequest, OpenSessionResponse,
    OpenSessionResult, ReportSessionProgressRequest, SetReplicationTokenRequest, SyncMode,
    SynchronizationSession, SynchronizationSettings,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;
use crate::fence::Fence;
use crate::hub::{self, Hub};
use crate::progress::Progress;
use crate::stream::Stream;

const FAIL_REASON_CHARACTERS_MAX: usize = 256;
/// Lease that is assumed when the hub's answer does not tell.
const LEASE_DEFAULT: Duration = Duration::from_secs(60);
const LEASE_MIN: Duration = Duration::from_secs(1);
const REPORT_PERIOD: Duration = Duration::from_secs(1);
/// Heartbeats per lease, and how much each may be off.
const HEARTBEATS_PER_LEASE: u32 = 3;
const JITTER_PERCENT: u64 = 10;
/// Part of the lease that one heartbeat may take: a second one has its time before the lease ends.
const HEARTBEAT_TIMEOUTS_PER_LEASE: u32 = 6;
/// Part of the lease between a heartbeat that failed and the next.
const HEARTBEAT_RETRIES_PER_LEASE: u32 = 30;
/// A close must not outlast a stop signal.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// What [`Opening::NotReady`] means, for people.
pub const NOT_READY: &str = "no run of the objects has been completed yet";

/// Whether a session may be opened before its time (decision U132).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// When it is due.
    WhenDue,
    /// A person asked for it.
    Now,
}

/// What the hub answered to the wish to open a session.
#[derive(Debug)]
pub enum Opening {
    /// It is open.
    Opened(Box<Opened>),
    /// Another agent works until this moment at least.
    Exists {
        /// Who.
        agent_id: String,
        /// Its session.
        session_id: String,
        /// End of its lease.
        until: Timestamp,
    },
    /// It is not time yet.
    TooEarly {
        /// When it is.
        at: Timestamp,
    },
    /// The objects have to be synchronized once before this stream can begin (decision U112).
    NotReady,
}

/// A session and what it begins with.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Whether the hub wants everything compared.
    pub mode: Mode,
    /// The cursor the hub has; empty when it has none.
    pub token: String,
    /// The hub's settings, if it has any.
    pub settings: Option<SynchronizationSettings>,
}

/// Mode of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compare everything.
    Full,
    /// Follow the changes since the token.
    Delta,
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    stream: Stream,
    hub: Hub,
    id: String,
    fence: Fence,
    progress: Arc<Mutex<Progress>>,
    heartbeat: AbortOnDropHandle<()>,
    reporter: AbortOnDropHandle<()>,
}

/// Opens a session of `stream`.
///
/// # Errors
/// [`Failure`] when the hub refuses or cannot be reached.
pub async fn open(
    hub: &Hub,
    stream: Stream,
    agent_id: &str,
    urgency: Urgency,
    entropy: &Arc<dyn Entropy>,
) -> Result<Opening, Failure> {
    if stream != Stream::Objects
        && !hub
            .has_objects()
            .await
            .map_err(|error| hub::failure(&error))?
    {
        return Ok(Opening::NotReady);
    }
    let request = OpenSessionRequest {
        subject_container_id: hub.userpool_id(),
        agent_id: agent_id.to_owned(),
        session_type: stream.session_type() as i32,
    };
    let mut context = CallContext::mutation();
    if urgency == Urgency::Now {
        context = context.forced();
    }
    let asked_at = Instant::now();
    let answer: OpenSessionResponse = hub
        .mutate_as(context, request, |hub, request| async move {
            hub.synchronization_sessions().open_session(request).await
        })
        .await
        .map_err(|error| hub::failure(&error))?;
    let result = answer.result();
    match (result, answer.session_info) {
        (OpenSessionResult::Success, Some(SessionInfo::OpenedSession(session))) => {
            let mode = match session.sync_mode() {
                SyncMode::Delta if !answer.replication_token.is_empty() => Mode::Delta,
                _ => Mode::Full,
            };
            Ok(Opening::Opened(Box::new(Opened {
                session: Session::start(hub, stream, &session, asked_at, entropy),
                mode,
                token: answer.replication_token,
                settings: answer.synchronization_settings,
            })))
        }
        (OpenSessionResult::OpenedSessionExists, Some(SessionInfo::OpenedSession(session))) => {
            Ok(Opening::Exists {
                until: moment(session.expires_at),
                session_id: session.session_id,
                agent_id: session.agent_id,
            })
        }
        (OpenSessionResult::TooEarly, Some(SessionInfo::NextSessionAt(at))) => {
            Ok(Opening::TooEarly {
                at: moment(Some(at)),
            })
        }
        _ => Err(Failure::Run(
            "the hub answered OpenSession in a way this version does not know; update the agent"
                .into(),
        )),
    }
}

impl Session {
    fn start(
        hub: &Hub,
        stream: Stream,
        opened: &SynchronizationSession,
        asked_at: Instant,
        entropy: &Arc<dyn Entropy>,
    ) -> Self {
        let span = moment(opened.expires_at).since(moment(opened.created_at));
        let lease = match span.to_duration() {
            Duration::ZERO => LEASE_DEFAULT,
            lease => lease.max(LEASE_MIN),
        };
        let progress = Arc::new(Mutex::new(Progress::default()));
        let hub = hub.in_session(&opened.session_id, &progress);
        let fence = Fence::new(lease, asked_at);
        let beat = heartbeats(
            hub.clone(),
            opened.session_id.clone(),
            fence.clone(),
            lease,
            Arc::clone(entropy),
        );
        let report = reports(
            hub.clone(),
            opened.session_id.clone(),
            fence.clone(),
            Arc::clone(&progress),
        );
        Self {
            stream,
            hub,
            id: opened.session_id.clone(),
            fence,
            progress,
            heartbeat: AbortOnDropHandle::new(tokio::spawn(beat)),
            reporter: AbortOnDropHandle::new(tokio::spawn(report)),
        }
    }

    /// Which stream it is of.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The hub, with this session's id on every write.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The right to write.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The counters; held only for moments.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the counters now.
    ///
    /// # Errors
    /// [`Failure`] when the session is over or the hub cannot be reached.
    pub async fn report(&self) -> Result<(), Failure> {
        let entries = self.progress().entries();
        if entries.is_empty() {
            return Ok(());
        }
        send_report(&self.hub, &self.id, &self.fence, entries)
            .await
            .map_err(|error| hub::failure(&error))
    }

    /// Stores the cursor that covers everything acknowledged so far.
    ///
    /// # Errors
    /// [`Failure`] when the session is over or the hub cannot be reached.
    pub async fn set_token(&self, token: &str) -> Result<(), Failure> {
        self.fence.check(Instant::now())?;
        let request = SetReplicationTokenRequest {
            subject_container_id: self.hub.userpool_id(),
            replication_token: token.to_owned(),
            session_type: self.stream.session_type() as i32,
        };
        self.hub
            .mutate(request, |hub, request| async move {
                hub.synchronization().set_replication_token(request).await
            })
            .await
            .map_err(|error| hub::failure(&error))
    }

    /// Closes the session; `fail_reason` when the run could not be finished.
    ///
    /// # Errors
    /// [`Failure`] when the hub does not take it; the session then expires by itself.
    pub async fn close(self, fail_reason: Option<&str>) -> Result<(), Failure> {
        self.heartbeat.abort();
        self.reporter.abort();
        let reason = fail_reason.unwrap_or_default();
        let request = CloseSessionRequest {
            session_id: self.id.clone(),
            failed: fail_reason.is_some(),
            fail_reason: reason.chars().take(FAIL_REASON_CHARACTERS_MAX).collect(),
        };
        let call = self
            .hub
            .mutate::<_, SynchronizationSession, _, _>(request, |hub, request| async move {
                hub.synchronization_sessions().close_session(request).await
            });
        match tokio::time::timeout(CLOSE_TIMEOUT, call).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(hub::failure(&error)),
            Err(_) => Err(Failure::Run(
                "the hub did not answer in time when the session was closed".into(),
            )),
        }
    }
}

/// Whether a refused call means that the session is over.
#[must_use]
pub fn means_lost(error: &ClientError) -> bool {
    matches!(&error.kind, ErrorKind::FailedPrecondition { reason } if reason.starts_with("SYNC_SESSION"))
}

/// What ends a run, and not only the work on one item.
#[must_use]
pub fn ends_run(error: &ClientError) -> Option<Failure> {
    if means_lost(error) {
        return Some(Failure::LeaseLost(error.to_string()));
    }
    let ends = matches!(
        error.kind,
        ErrorKind::Unreachable
            | ErrorKind::Certificate
            | ErrorKind::Unauthenticated
            | ErrorKind::Unavailable
            | ErrorKind::Configuration
            | ErrorKind::Denied
    );
    ends.then(|| hub::failure(error))
}

async fn heartbeats(
    hub: Hub,
    session_id: String,
    fence: Fence,
    lease: Duration,
    entropy: Arc<dyn Entropy>,
) {
    let lost: CancellationToken = fence.lost().clone();
    let mut last = Beat::Answered;
    loop {
        let next = Instant::now() + last.pause(lease, &*entropy);
        tokio::select! {
            () = lost.cancelled() => return,
            () = tokio::time::sleep_until(next.min(fence.safe_until())) => {}
        }
        let sent_at = Instant::now();
        if fence.check(sent_at).is_err() {
            return;
        }
        let request = HeartbeatRequest {
            session_id: session_id.clone(),
        };
        let limit = lease / HEARTBEAT_TIMEOUTS_PER_LEASE;
        let call = hub.mutate_once::<_, (), _, _>(limit, request, |hub, request| async move {
            hub.synchronization_sessions().heartbeat(request).await
        });
        let answer = tokio::select! {
            () = lost.cancelled() => return,
            () = tokio::time::sleep_until(fence.safe_until()) => {
                let _ = fence.check(Instant::now());
                return;
            }
            answer = call => answer,
        };
        match answer {
            Ok(()) => {
                fence.renewed(sent_at);
                last = Beat::Answered;
            }
            Err(error) if ends_session(&error) => {
                fence.lose(&error.to_string());
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "a heartbeat failed");
                last = Beat::Failed;
            }
        }
    }
}

/// How the last heartbeat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    Answered,
    Failed,
}

impl Beat {
    /// How long to wait until the next one.
    fn pause(self, lease: Duration, entropy: &dyn Entropy) -> Duration {
        let period = match self {
            Self::Answered => lease / HEARTBEATS_PER_LEASE,
            Self::Failed => lease / HEARTBEAT_RETRIES_PER_LEASE,
        };
        jittered(period, entropy)
    }
}

fn ends_session(error: &ClientError) -> bool {
    matches!(
        error.kind,
        ErrorKind::FailedPrecondition { .. } | ErrorKind::NotFound
    )
}

async fn reports(hub: Hub, session_id: String, fence: Fence, progress: Arc<Mutex<Progress>>) {
    let mut sent = Vec::new();
    loop {
        tokio::select! {
            () = fence.lost().cancelled() => return,
            () = tokio::time::sleep(REPORT_PERIOD) => {}
        }
        let entries = progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries();
        if entries.is_empty() || entries == sent {
            continue;
        }
        match send_report(&hub, &session_id, &fence, entries.clone()).await {
            Ok(()) => sent = entries,
            Err(error) if ends_session(&error) => return fence.lose(&error.to_string()),
            Err(error) => tracing::warn!(%error, "a progress report failed"),
        }
    }
}

async fn send_report(
    hub: &Hub,
    session_id: &str,
    fence: &Fence,
    progress_entries: Vec<rollcall_proto::idp::ProgressEntry>,
) -> Result<(), ClientError> {
    let sent_at = Instant::now();
    let request = ReportSessionProgressRequest {
        session_id: session_id.to_owned(),
        progress_entries,
    };
    let _: SynchronizationSession = hub
        .mutate(request, |hub, request| async move {
            hub.synchronization_sessions()
                .report_session_progress(request)
                .await
        })
        .await?;
    fence.renewed(sent_at);
    Ok(())
}

fn jittered(period: Duration, entropy: &dyn Entropy) -> Duration {
    let percent = 100 - JITTER_PERCENT + entropy.next_u64() % (2 * JITTER_PERCENT + 1);
    let percent = u32::try_from(percent).unwrap_or(100);
    period * percent / 100
}

/// A moment of the interface.
#[must_use]
pub fn moment(at: Option<prost_types::Timestamp>) -> Timestamp {
    at.map_or(Timestamp::EPOCH, |at| {
        Timestamp::from_seconds_and_nanos(at.seconds, at.nanos)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_kit::entropy::SeededEntropy;

    #[test]
    fn two_hung_heartbeats_leave_time_for_a_third() {
        let entropy = SeededEntropy::new(6);
        let lease = Duration::from_secs(60);
        let fence = Fence::new(lease, Instant::now());
        let mut at = Instant::now() + Beat::Answered.pause(lease, &entropy);
        for _ in 0..2 {
            at += lease / HEARTBEAT_TIMEOUTS_PER_LEASE + Beat::Failed.pause(lease, &entropy);
        }
        assert!(at < fence.safe_until());
    }

    #[test]
    fn heartbeats_are_within_a_tenth_of_their_period() {
        let entropy = SeededEntropy::new(5);
        let period = Duration::from_secs(20);
        for _ in 0..1_000 {
            let wait = jittered(period, &entropy);
            assert!(wait >= Duration::from_secs(18) && wait <= Duration::from_secs(22));
        }
    }
}
