//! Replication tokens: how far a stream has read, and whether it must read everything again.
//!
//! Invariant: the hub never looks into a token (decision U19); it is secret to everybody but
//! agents and pool administrators (U26). A demand for a full run carries its time, so that a run
//! which began before it does not fulfil it.

use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;

use crate::id::{SubjectId, UserpoolId};
use crate::refusal::Refusal;
use crate::sync_session::{SessionStatus, SessionType, SyncSession};
use crate::text_size;

/// Longest token in characters.
pub const TOKEN_CHARACTERS_MAX: usize = 1_000;

/// The reading position of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationToken {
    /// The pool.
    pub subject_container_id: UserpoolId,
    /// The stream.
    pub session_type: SessionType,
    /// The token; `None` = nothing stored.
    pub token: Option<SecretString>,
    /// Since when a full run is demanded; `None` = it is not.
    pub full_run_demanded_at: Option<Timestamp>,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl ReplicationToken {
    /// A stream without a token.
    #[must_use]
    pub fn empty(
        subject_container_id: UserpoolId,
        session_type: SessionType,
        now: Timestamp,
    ) -> Self {
        Self {
            subject_container_id,
            session_type,
            token: None,
            full_run_demanded_at: None,
            updated_at: now,
        }
    }

    /// Stores a token. `opened` is the session stored as open for the stream (decision U21).
    ///
    /// # Errors
    /// `Invalid` for an empty or long token; `Precondition` when somebody else's session is open.
    pub fn set(
        &self,
        token: SecretString,
        opened: Option<&SyncSession>,
        caller: &SubjectId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        text_size::check_required("replication_token", token.expose(), TOKEN_CHARACTERS_MAX)?;
        if let Some(session) = opened.map(|session| session.at(now))
            && session.status == SessionStatus::Opened
            && session.opened_by != *caller
        {
            return Err(Refusal::precondition(
                "SYNC_SESSION_OF_ANOTHER",
                format!(
                    "session {} of this stream is open for another subject",
                    session.id
                ),
            ));
        }
        Ok(Self {
            token: Some(token),
            updated_at: now,
            ..self.clone()
        })
    }

    /// Forgets the token and demands a full run (decision U22).
    #[must_use]
    pub fn reset(&self, now: Timestamp) -> Self {
        Self {
            token: None,
            full_run_demanded_at: Some(now),
            updated_at: now,
            ..self.clone()
        }
    }

    /// Demands a full run and keeps the token (decision U24).
    #[must_use]
    pub fn demand_full_run(&self, now: Timestamp) -> Self {
        Self {
            full_run_demanded_at: Some(now),
            updated_at: now,
            ..self.clone()
        }
    }

    /// Lifts the demand that a successfully closed session fulfils; `None` when nothing changes.
    #[must_use]
    pub fn after_session(&self, closed: &SyncSession, now: Timestamp) -> Option<Self> {
        self.full_run_demanded_at
            .filter(|demanded_at| closed.fulfils_full_run(*demanded_at))
            .map(|_| Self {
                full_run_demanded_at: None,
                updated_at: now,
                ..self.clone()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_session::{self, Brake, Lease, OpenFacts, OpenOutcome, OpenRequest};
    use rollcall_kit::timestamp::Span;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn opened_by(caller: &str) -> SyncSession {
        let request = OpenRequest {
            id: "sys1".into(),
            subject_container_id: "ek01".into(),
            session_type: SessionType::AdSync,
            agent_id: "a".into(),
            caller: caller.into(),
            brake: Brake::On,
        };
        match sync_session::open(request, OpenFacts::default(), Lease::default(), NOW) {
            Ok(OpenOutcome::Success { session, .. }) => session,
            other => panic!("a session is expected, got {other:?}"),
        }
    }

    fn set(
        text: &str,
        opened: Option<&SyncSession>,
        now: Timestamp,
    ) -> Result<ReplicationToken, Refusal> {
        let empty = ReplicationToken::empty("ek01".into(), SessionType::AdSync, NOW);
        empty.set(SecretString::new(text.into()), opened, &"aje1".into(), now)
    }

    #[test]
    fn only_the_opener_sets_the_token_while_a_session_lives() {
        assert!(set("t", None, NOW).is_ok());
        assert!(set("t", Some(&opened_by("aje1")), NOW).is_ok());
        assert!(matches!(
            set("t", Some(&opened_by("aje2")), NOW),
            Err(Refusal::Precondition {
                reason: "SYNC_SESSION_OF_ANOTHER",
                ..
            })
        ));
        assert!(set("t", Some(&opened_by("aje2")), NOW.plus(Span::minutes(2))).is_ok());
        assert!(set("", None, NOW).is_err());
        assert!(set(&"x".repeat(1_001), None, NOW).is_err());
    }

    #[test]
    fn a_reset_demands_a_full_run_until_one_that_began_later_ended_well() {
        let reset = set("t", None, NOW)
            .unwrap()
            .reset(NOW.plus(Span::seconds(5)));
        assert_eq!(reset.token, None);
        let early = opened_by("aje1");
        let close = |session: &SyncSession| {
            let verdict = sync_session::Verdict::Successful;
            let (me, work) = ("aje1".into(), sync_session::HubWork::Done);
            session.close(
                &me,
                sync_session::CloseRight::Own,
                &verdict,
                work,
                session.created_at,
            )
        };
        let ended = close(&early).unwrap().session;
        assert_eq!(
            reset.after_session(&ended, NOW),
            None,
            "it began before the reset"
        );
        let late = SyncSession {
            created_at: NOW.plus(Span::seconds(5)),
            ..early
        };
        let ended = close(&late).unwrap().session;
        let lifted = reset.after_session(&ended, NOW).unwrap();
        assert_eq!(lifted.full_run_demanded_at, None);
        assert_eq!(
            lifted.after_session(&ended, NOW),
            None,
            "nothing is left to lift"
        );
    }
}
