//! The calls about sessions and replication tokens.
//!
//! Invariant: each finds the facts, asks the domain and saves what it decided, as the hub does.

use rollcall_domain::id::SessionId;
use rollcall_domain::progress::ProgressEntry;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::{
    self, Brake, CloseRight, HubWork, Lease, OpenFacts, OpenOutcome, OpenRequest, SessionStatus,
    SessionType, SyncSession, Verdict,
};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;

use super::{Hub, INTERVAL, agent_subject};

impl Hub {
    /// SynchronizationSessionService.OpenSession
    ///
    /// # Errors
    /// As the domain's `open`.
    pub fn open(&mut self, agent_id: &str, now: Timestamp) -> Result<OpenOutcome, Refusal> {
        let newest = |wanted: &[SessionStatus]| {
            self.sessions
                .iter()
                .rev()
                .find(|session| wanted.contains(&session.status))
                .cloned()
        };
        let facts = OpenFacts {
            opened: newest(&[SessionStatus::Opened]).map(|session| self.counted(&session)),
            last_successful: newest(&[SessionStatus::Completed, SessionStatus::Pending]),
            last_failed: newest(&[SessionStatus::Failed, SessionStatus::Expired]),
            has_token: self.token.token.is_some(),
            full_run_demanded_at: self.token.full_run_demanded_at,
            interval: INTERVAL,
            settings_revision: None,
        };
        let request = OpenRequest {
            id: SessionId::new(format!("sys{}", self.sessions.len() + 1)),
            subject_container_id: self.pool.clone(),
            session_type: SessionType::AdSync,
            agent_id: agent_id.to_owned(),
            caller: agent_subject(),
            brake: Brake::On,
        };
        let outcome = sync_session::open(request, facts, Lease::default(), now)?;
        if let OpenOutcome::Success { ended, .. } | OpenOutcome::TooEarly { ended, .. } = &outcome
            && let Some(ended) = ended
        {
            self.save(ended.clone());
        }
        if let OpenOutcome::Success { session, .. } = &outcome {
            self.sessions.push(session.clone());
        }
        Ok(outcome)
    }

    /// SynchronizationSessionService.Heartbeat
    ///
    /// # Errors
    /// As the domain's rule.
    pub fn heartbeat(&mut self, id: &SessionId, now: Timestamp) -> Result<SyncSession, Refusal> {
        let session = self
            .session(id)?
            .heartbeat(&agent_subject(), Lease::default(), now)?;
        self.save(session.clone());
        Ok(session)
    }

    /// SynchronizationSessionService.ReportSessionProgress
    ///
    /// # Errors
    /// As the domain's rule.
    pub fn report(
        &mut self,
        id: &SessionId,
        entries: &[ProgressEntry],
        now: Timestamp,
    ) -> Result<SyncSession, Refusal> {
        let session = self.session(id)?;
        let session = session.report_progress(&agent_subject(), entries, Lease::default(), now)?;
        self.save(session.clone());
        Ok(session)
    }

    /// SynchronizationSessionService.CloseSession
    ///
    /// # Errors
    /// As the domain's rule.
    pub fn close(
        &mut self,
        id: &SessionId,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<SyncSession, Refusal> {
        let session = self.counted(self.session(id)?);
        let closed = session
            .close(
                &agent_subject(),
                CloseRight::Own,
                verdict,
                HubWork::Done,
                now,
            )?
            .session;
        if let Some(token) = self.token.after_session(&closed, now) {
            self.token = token;
        }
        self.save(closed.clone());
        Ok(closed)
    }

    /// SynchronizationService.GetReplicationToken
    #[must_use]
    pub fn token(&self) -> Option<String> {
        self.token
            .token
            .as_ref()
            .map(|token| token.expose().to_owned())
    }

    /// SynchronizationService.SetReplicationToken
    ///
    /// # Errors
    /// As the domain's rule, and as the fence.
    pub fn set_token(
        &mut self,
        token: &str,
        fence: &SessionId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.check_fence(fence, now)?;
        let opened = self
            .sessions
            .iter()
            .find(|s| s.status == SessionStatus::Opened);
        let token = SecretString::new(token.to_owned());
        self.token = self.token.set(token, opened, &agent_subject(), now)?;
        Ok(())
    }
}
