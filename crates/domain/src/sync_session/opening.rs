//! Opening a session: who gets it, when, and how much it reads.

use rollcall_kit::timestamp::{Span, Timestamp};

use super::{Lease, SessionStatus, SessionType, SyncMode, SyncSession};
use crate::id::{SessionId, SubjectId, UserpoolId};
use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::text_size;

const AGENT_ID_CHARACTERS_MAX: usize = 50;
/// Brake after a run that failed or expired, for the same agent (decision U13).
const FAILURE_BRAKE: Span = Span::seconds(60);

/// A request to open a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// Identifier for the session if one is made.
    pub id: SessionId,
    /// The pool.
    pub subject_container_id: UserpoolId,
    /// Which stream.
    pub session_type: SessionType,
    /// The agent.
    pub agent_id: String,
    /// The calling subject.
    pub caller: SubjectId,
    /// Whether the minimum distance between runs counts.
    pub brake: Brake,
}

/// Whether the minimum distance between runs counts (decision U132).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brake {
    /// It counts.
    On,
    /// A person with the right to do so asked for a run now.
    Off,
}

/// What must be known to open a session. Of each kind the newest session of the container and
/// type.
#[derive(Debug, Clone, Default)]
pub struct OpenFacts {
    /// The session stored as open, whether or not its lease has ended.
    pub opened: Option<SyncSession>,
    /// The newest session that an agent closed as successful (COMPLETED or PENDING).
    pub last_successful: Option<SyncSession>,
    /// The newest session that failed or expired.
    pub last_failed: Option<SyncSession>,
    /// Whether a replication token is stored for the stream.
    pub has_token: bool,
    /// Since when a full run is demanded (decision U18).
    pub full_run_demanded_at: Option<Timestamp>,
    /// Interval of the settings, or their default without settings (decision U41).
    pub interval: Span,
    /// Revision of the settings, if there are any.
    pub settings_revision: Option<i64>,
}

/// Result of an attempt to open a session; none of the three is an error (decision U12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// A session was opened.
    Success {
        /// The new session, to be inserted.
        session: SyncSession,
        /// The session that was in the way, to be saved first: taken over (U10) or expired (U9).
        ended: Option<SyncSession>,
    },
    /// Another agent works.
    OpenedSessionExists {
        /// Its session.
        session: SyncSession,
    },
    /// The next run is not due yet.
    TooEarly {
        /// When it is due.
        next_session_at: Timestamp,
        /// A session whose lease has ended, to be saved.
        ended: Option<SyncSession>,
    },
}

/// Decides about a request to open a session (decisions U1, U10 to U13, U18).
///
/// # Errors
/// `Invalid` for an empty or long agent id.
pub fn open(
    request: OpenRequest,
    facts: OpenFacts,
    lease: Lease,
    now: Timestamp,
) -> Result<OpenOutcome, Refusal> {
    text_size::check_required("agent_id", &request.agent_id, AGENT_ID_CHARACTERS_MAX)?;
    let present = facts.opened.as_ref().map(|session| session.at(now));
    let (ended, taken_over) = match present {
        Some(session) if session.status == SessionStatus::Opened => {
            let same_agent =
                session.agent_id == request.agent_id && session.opened_by == request.caller;
            if !same_agent {
                return Ok(OpenOutcome::OpenedSessionExists { session });
            }
            (Some(session.superseded(now)), true)
        }
        other => (other, false),
    };
    if request.brake == Brake::On
        && !taken_over
        && let Some(next_session_at) = next_due(&request, &facts, ended.as_ref())
        && now < next_session_at
    {
        return Ok(OpenOutcome::TooEarly {
            next_session_at,
            ended,
        });
    }
    let full = !facts.has_token || facts.full_run_demanded_at.is_some();
    let session = SyncSession {
        id: request.id,
        subject_container_id: request.subject_container_id,
        session_type: request.session_type,
        agent_id: request.agent_id,
        opened_by: request.caller,
        created_at: now,
        expires_at: lease.end(now, now).0,
        closed_at: None,
        sync_mode: if full {
            SyncMode::FullSync
        } else {
            SyncMode::Delta
        },
        status: SessionStatus::Opened,
        progress: Progress::default(),
        fail_reason: String::new(),
        settings_revision: facts.settings_revision,
    };
    Ok(OpenOutcome::Success { session, ended })
}

/// When the next run is due; `None` = at once (decision U13).
fn next_due(
    request: &OpenRequest,
    facts: &OpenFacts,
    just_expired: Option<&SyncSession>,
) -> Option<Timestamp> {
    if !request.session_type.is_main() || facts.full_run_demanded_at.is_some() {
        return None;
    }
    let last_successful = facts.last_successful.as_ref();
    let failed_since = just_expired
        .or(facts.last_failed.as_ref())
        .filter(|failed| last_successful.is_none_or(|last| last.created_at < failed.created_at));
    // Since a failure nobody follows the directory: the interval of the last success says
    // nothing about that.
    if let Some(failed) = failed_since {
        return Some(failed)
            .filter(|failed| failed.agent_id == request.agent_id)
            .and_then(|failed| failed.closed_at)
            .map(|closed_at| closed_at.plus(FAILURE_BRAKE.min(facts.interval)));
    }
    last_successful.map(|last| last.created_at.plus(facts.interval))
}
