//! From one agent, or one process, to the next (decisions U105, U118).
//!
//! Invariant: who takes over does not wait for the next session to be due: the brake of the hub is
//! against loops, and between an agent that was stopped and the one that goes on there is none.
//! An index counts only while no other agent has had a session since it was stored.
//! Deliberately absent: what happens to a session that was not closed; its lease ends.

use std::path::PathBuf;
use std::time::Duration;

use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::SessionStatus;

use crate::agent::Agent;
use crate::failure::Failure;
use crate::hub;
use crate::run::Held;
use crate::session::{self, Session, Urgency};

/// How often a waiting agent looks whether the other one was stopped. A look changes nothing and
/// leaves nothing in the hub.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// The least that is waited for a moment of the hub's clock: the own one may be ahead of it, and what
/// seems to be over here may not be there.
const WAIT_MIN: Duration = Duration::from_secs(3);
/// Random addition to a wait, so that several agents do not ask at the same moment.
const JITTER_MILLIS: u64 = 500;
/// Left behind by a service that was stopped in good order.
const STOPPED_FILE: &str = "stopped";

/// Waits until the session of another agent is over, or may be: its lease ended at `until`, unless
/// it was renewed.
pub async fn until_over(agent: &Agent, session_id: &str, mut until: Timestamp) {
    loop {
        let left = until.since(agent.clock.now()).to_duration();
        tokio::time::sleep(until_due(left, LOOK_PERIOD) + jitter(agent)).await;
        if left.is_zero() {
            return;
        }
        match agent.hub.session(session_id).await {
            Ok(session) if session.status() == SessionStatus::Opened => {
                until = session::moment(session.expires_at);
            }
            Ok(_) => return,
            // It may not be looked at: then only the end of its lease tells.
            Err(error) => {
                tracing::debug!(%error, "the session of the other agent cannot be looked at");
                return tokio::time::sleep(left.saturating_sub(LOOK_PERIOD)).await;
            }
        }
    }
}

/// How long to wait for a moment that is `left` away by the own clock, but no longer than `max`.
pub fn until_due(left: Duration, max: Duration) -> Duration {
    left.min(max).max(WAIT_MIN)
}

/// Asks whose the session of the objects before this one was. After one of another agent the index
/// is not what the hub was left with, whatever the tokens say: they are stored after a batch, and
/// that agent may have died in the middle of one.
///
/// # Errors
/// [`Failure`] when the hub does not tell, or the file cannot be written.
pub async fn begin_session(
    agent: &Agent,
    session: &Session,
    held: &mut Option<Held>,
) -> Result<(), Failure> {
    let previous = session.hub().newest_objects_session(Some(session.id()));
    let previous = previous.await.map_err(|error| hub::failure(&error))?;
    if !agent
        .file
        .begin_session(session.id(), previous.as_deref())?
    {
        *held = None;
    }
    Ok(())
}

/// Notes that the service was stopped with nothing left to do.
pub fn stopped(agent: &Agent) {
    if let Err(error) = std::fs::write(stopped_file(agent), "") {
        tracing::warn!(%error, "the next start may wait until a session is due");
    }
}

/// The urgency of the first session: at once after an orderly stop, such as for an update.
#[must_use]
pub fn first_urgency(agent: &Agent, asked: Urgency) -> Urgency {
    match std::fs::remove_file(stopped_file(agent)) {
        Ok(()) => Urgency::Now,
        Err(_) => asked,
    }
}

fn stopped_file(agent: &Agent) -> PathBuf {
    agent.directory.join(STOPPED_FILE)
}

fn jitter(agent: &Agent) -> Duration {
    Duration::from_millis(agent.entropy.next_u64() % JITTER_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_does_not_ask_without_a_pause() {
        let seconds = Duration::from_secs;
        for (left, waits) in [(0, WAIT_MIN), (4, seconds(4)), (60, LOOK_PERIOD)] {
            assert_eq!(until_due(seconds(left), LOOK_PERIOD), waits, "{left}");
        }
    }
}
