//! Synchronization sessions: who may work on a stream of a container, and until when.
//!
//! Invariant: at most one session per container and type is open (decision U1); COMPLETED, FAILED
//! and EXPIRED are never left (U8); every decision looks at the lease, so that it is right even
//! when the sweeper is late (U9). A session has no greatest length
//! unless the hub's configuration gives one (U6).

mod opening;

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::access::Permission;
use crate::id::{SessionId, SubjectId, UserpoolId};
use crate::named::named_enum;
use crate::progress::{Progress, ProgressEntry};
use crate::refusal::Refusal;
use crate::tally::Tally;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

pub use opening::{Brake, OpenFacts, OpenOutcome, OpenRequest, open};

const LEASE_SECONDS_MIN: i64 = 10;
const LEASE_SECONDS_MAX: i64 = 600;
const LEASE_SECONDS_DEFAULT: i64 = 60;
/// Ended sessions are kept that long (decision U36).
pub const RETENTION: Span = Span::days(90);
/// This many of the newest sessions per type are kept however old they are (decision U36).
pub const RETAINED_PER_TYPE_MIN: u64 = 100;

const SUPERSEDED: &str = "superseded";
/// `fail_reason` of a session that reached the greatest length.
const TOO_LONG: &str = "the session has lasted as long as the hub allows";
const LEASE_ENDED: &str = "the lease ended without a sign of life from the agent";

/// Reason code of a refusal because the session is not open (any more).
pub const REASON_NOT_OPEN: &str = "SYNC_SESSION_NOT_OPEN";
/// Reason code of a refusal because the session ended otherwise.
pub const REASON_ENDED_OTHERWISE: &str = "SYNC_SESSION_ENDED_OTHERWISE";

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSession {
    /// Identifier.
    pub id: SessionId,
    /// The pool that is synchronized.
    pub subject_container_id: UserpoolId,
    /// Which stream.
    pub session_type: SessionType,
    /// The agent, by the name it chose for itself.
    pub agent_id: String,
    /// The subject that opened it.
    pub opened_by: SubjectId,
    /// Creation time.
    pub created_at: Timestamp,
    /// End of the lease.
    pub expires_at: Timestamp,
    /// When the agent closed it or it ended otherwise.
    pub closed_at: Option<Timestamp>,
    /// How the agent reads.
    pub sync_mode: SyncMode,
    /// State.
    pub status: SessionStatus,
    /// Counters.
    pub progress: Progress,
    /// Why it failed or expired.
    pub fail_reason: String,
    /// Revision of the settings that the session works with (decision U17); `None` = no settings.
    pub settings_revision: Option<i64>,
}

named_enum! {
    /// The streams.
    pub enum SessionType {
        /// Users, groups and members of an Active Directory.
        AdSync = "AD_SYNC",
        /// Password hashes of an Active Directory.
        AdPasswordHash = "AD_PASSWORD_HASH",
        /// Account state of an Active Directory.
        AdUserControl = "AD_USER_CONTROL",
        /// Users, groups and members of another LDAP directory.
        LdapSync = "LDAP_SYNC",
    }
}

named_enum! {
    /// How an agent reads.
    pub enum SyncMode {
        /// Everything.
        FullSync = "FULL_SYNC",
        /// Only what changed since the stored token.
        Delta = "DELTA",
    }
}

named_enum! {
    /// State of a session.
    pub enum SessionStatus {
        /// An agent works in it.
        Opened = "OPENED",
        /// The agent is done, work of the hub is left (decision U7).
        Pending = "PENDING",
        /// Done.
        Completed = "COMPLETED",
        /// Given up.
        Failed = "FAILED",
        /// The lease ended.
        Expired = "EXPIRED",
    }
}

/// How long a session lives without a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    span: Span,
    session_max: Option<Span>,
}

/// How an agent closes its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The run was finished, possibly with failed items (decision U34).
    Successful,
    /// The run could not be finished.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Whether the hub still works on what the session brought (decision U7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubWork {
    /// Nothing is left.
    Done,
    /// Imported hashes wait to be strengthened.
    Left,
}

/// Whose sessions a caller may close (decision U16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseRight {
    /// The own ones.
    Own,
    /// Any of the pool.
    Any,
}

/// A session after closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClosed {
    /// The session.
    pub session: SyncSession,
    /// Whether anything changed; a repeated call changes nothing (decision U32).
    pub change: Change,
}

/// Whether a decision changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Save it.
    Made,
    /// It was like that before.
    None,
}

impl SessionType {
    /// Whether the interval between runs counts for this stream: the main ones (decision U13).
    #[must_use]
    pub fn is_main(self) -> bool {
        matches!(self, Self::AdSync | Self::LdapSync)
    }

    /// What it takes to work in this stream, besides the right to sessions or tokens as such.
    #[must_use]
    pub fn permission(self) -> Permission {
        match self {
            Self::AdSync | Self::LdapSync => Permission::SyncObjectsUse,
            Self::AdUserControl => Permission::SyncAccountStateUse,
            Self::AdPasswordHash => Permission::SyncPasswordHashesUse,
        }
    }
}

impl SessionStatus {
    /// Whether a session in this state never changes again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired)
    }
}

impl Lease {
    /// A lease of the configuration.
    ///
    /// # Errors
    /// `Invalid` outside 10 to 600 seconds (decision U2).
    pub fn from_seconds(seconds: i64) -> Result<Self, Refusal> {
        if (LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX).contains(&seconds) {
            return Ok(Self {
                span: Span::seconds(seconds),
                session_max: None,
            });
        }
        Err(Refusal::invalid(
            "lease_seconds",
            format!("is {seconds}, must be between {LEASE_SECONDS_MIN} and {LEASE_SECONDS_MAX}"),
        ))
    }

    /// Its length.
    #[must_use]
    pub fn span(self) -> Span {
        self.span
    }

    /// This lease, in sessions that end `session_max` after their beginning whatever happens.
    #[must_use]
    pub fn with_session_max(self, session_max: Option<Span>) -> Self {
        Self {
            session_max,
            ..self
        }
    }

    /// The end of a lease given at `now` to a session of `created_at`, and whether it is the end
    /// of the session too.
    fn end(self, created_at: Timestamp, now: Timestamp) -> (Timestamp, bool) {
        let end = now.plus(self.span);
        match self.session_max.map(|max| created_at.plus(max)) {
            Some(last) if last < end => (last, true),
            _ => (end, false),
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            span: Span::seconds(LEASE_SECONDS_DEFAULT),
            session_max: None,
        }
    }
}

impl SyncSession {
    /// The session as it is at `now`: an open one whose lease has ended is expired (decision U9).
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        self.expire(now).unwrap_or_else(|| self.clone())
    }

    /// The session expired, if it is open and its lease has ended.
    #[must_use]
    pub fn expire(&self, now: Timestamp) -> Option<Self> {
        let ended = self.status == SessionStatus::Opened && self.expires_at <= now;
        ended.then(|| Self {
            status: SessionStatus::Expired,
            closed_at: Some(self.expires_at),
            // The reason of a greatest length was told with the last lease.
            fail_reason: if self.fail_reason.is_empty() {
                LEASE_ENDED.into()
            } else {
                self.fail_reason.clone()
            },
            ..self.clone()
        })
    }

    /// The session with at least what the hub saw being done in it, whether or not the agent lived
    /// to report it.
    #[must_use]
    pub fn counted(&self, seen: &Tally) -> Self {
        Self {
            progress: self.progress.raised(seen),
            ..self.clone()
        }
    }

    /// Extends the lease (decision U4).
    ///
    /// # Errors
    /// `Denied` for a stranger; `Precondition` unless the session is open or pending.
    pub fn heartbeat(
        &self,
        caller: &SubjectId,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        self.require_opener(caller)?;
        let session = self.at(now);
        if session.status == SessionStatus::Pending {
            return Ok(session.renewed(lease, now));
        }
        session.require_opened()?;
        Ok(session.renewed(lease, now))
    }

    /// Merges a report into the counters and extends the lease (decisions U5, U27).
    ///
    /// # Errors
    /// `Denied` for a stranger; `Precondition` unless the session is open; `Invalid` for a bad
    /// report.
    pub fn report_progress(
        &self,
        caller: &SubjectId,
        entries: &[ProgressEntry],
        lease: Lease,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        self.require_opener(caller)?;
        let session = self.at(now);
        session.require_opened()?;
        let progress = session.progress.merged(entries)?;
        Ok(Self {
            progress,
            ..session
        }
        .renewed(lease, now))
    }

    /// Ends the agent's part of the session and releases the lease.
    ///
    /// # Errors
    /// `Denied` for a stranger without the right; `Invalid` for a reason that is too long;
    /// `Precondition` when the session ended otherwise (decision U32).
    pub fn close(
        &self,
        caller: &SubjectId,
        right: CloseRight,
        verdict: &Verdict,
        hub_work: HubWork,
        now: Timestamp,
    ) -> Result<SessionClosed, Refusal> {
        if right == CloseRight::Own {
            self.require_opener(caller)?;
        }
        if let Verdict::Failed { reason } = verdict {
            text_size::check("fail_reason", reason, TEXT_CHARACTERS_MAX)?;
        }
        let session = self.at(now);
        let repeated = match verdict {
            Verdict::Successful => {
                matches!(
                    session.status,
                    SessionStatus::Completed | SessionStatus::Pending
                )
            }
            Verdict::Failed { .. } => session.status == SessionStatus::Failed,
        };
        if repeated {
            return Ok(SessionClosed {
                session,
                change: Change::None,
            });
        }
        if session.status != SessionStatus::Opened {
            return Err(Refusal::precondition(
                REASON_ENDED_OTHERWISE,
                format!("session {} is {} already", session.id, session.status),
            ));
        }
        let (status, fail_reason) = match (verdict, hub_work) {
            (Verdict::Failed { reason }, _) => (SessionStatus::Failed, reason.clone()),
            (Verdict::Successful, HubWork::Done) => (SessionStatus::Completed, String::new()),
            (Verdict::Successful, HubWork::Left) => (SessionStatus::Pending, String::new()),
        };
        let session = Self {
            status,
            fail_reason,
            closed_at: Some(now),
            ..session
        };
        Ok(SessionClosed {
            session,
            change: Change::Made,
        })
    }

    /// The hub finished its part: a pending session is completed; `None` for any other.
    #[must_use]
    pub fn complete_pending(&self) -> Option<Self> {
        (self.status == SessionStatus::Pending).then(|| Self {
            status: SessionStatus::Completed,
            ..self.clone()
        })
    }

    /// The hub could not finish its part: a pending session failed; `None` for any other.
    #[must_use]
    pub fn fail_pending(&self, reason: &str) -> Option<Self> {
        (self.status == SessionStatus::Pending).then(|| Self {
            status: SessionStatus::Failed,
            fail_reason: reason.chars().take(TEXT_CHARACTERS_MAX).collect(),
            ..self.clone()
        })
    }

    /// Whether the end of this session fulfils a full run demanded at `demanded_at` (decision
    /// U18). A demand made while the session ran is not fulfilled by it.
    #[must_use]
    pub fn fulfils_full_run(&self, demanded_at: Timestamp) -> bool {
        self.sync_mode == SyncMode::FullSync
            && matches!(
                self.status,
                SessionStatus::Completed | SessionStatus::Pending
            )
            && demanded_at <= self.created_at
    }

    /// Refuses anybody but the subject that opened the session (decision U16).
    ///
    /// # Errors
    /// `Denied`.
    pub fn require_opener(&self, caller: &SubjectId) -> Result<(), Refusal> {
        if self.opened_by == *caller {
            return Ok(());
        }
        Err(Refusal::denied(format!(
            "session {} was opened by another subject; only that one may act on it",
            self.id
        )))
    }

    fn require_opened(&self) -> Result<(), Refusal> {
        if self.status == SessionStatus::Opened {
            return Ok(());
        }
        Err(Refusal::precondition(
            REASON_NOT_OPEN,
            format!(
                "session {} is {}: stop writing and open a new session",
                self.id, self.status
            ),
        ))
    }

    fn renewed(self, lease: Lease, now: Timestamp) -> Self {
        let (end, last) = lease.end(self.created_at, now);
        let fail_reason = if last && self.status == SessionStatus::Opened {
            TOO_LONG.into()
        } else {
            self.fail_reason
        };
        Self {
            expires_at: self.expires_at.max(end),
            fail_reason,
            ..self
        }
    }

    fn superseded(self, now: Timestamp) -> Self {
        Self {
            status: SessionStatus::Failed,
            fail_reason: SUPERSEDED.into(),
            closed_at: Some(now),
            ..self
        }
    }
}

/// Checks the fence of a data call: the session named by the caller must be its own, and open for
/// the same pool (decision U121); knowing the id of a session makes nobody its agent (decision
/// U16). `session` is what was found under the named id.
///
/// # Errors
/// `Precondition`.
pub fn check_fence(
    named: &SessionId,
    session: Option<&SyncSession>,
    userpool_id: &UserpoolId,
    caller: &SubjectId,
    now: Timestamp,
) -> Result<(), Refusal> {
    match session {
        Some(session)
            if session.subject_container_id == *userpool_id && session.opened_by == *caller =>
        {
            session.at(now).require_opened()
        }
        _ => Err(Refusal::precondition(
            REASON_NOT_OPEN,
            format!(
                "session {named} is not a session of pool {userpool_id} that the caller opened: \
                 stop writing"
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
