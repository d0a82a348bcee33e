//! The service: one session after the other, each for its whole interval (decision U131).
//!
//! Invariant: it ends only when it is told to, or when only a person can help.

use std::time::Duration;

use rollcall_kit::backoff::Backoff;
use rollcall_kit::timestamp::Timestamp;

use crate::agent::{Agent, STREAM};
use crate::failure::Failure;
use crate::run::Pace;
use crate::session::{Opening, Urgency};

/// Longest sleep between two attempts to open a session.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Sleep after refused credentials: asking more often would lock the account.
const REFUSED_SLEEP: Duration = Duration::from_secs(5 * 60);
/// Random addition to a sleep, so that several agents do not ask at the same moment.
const JITTER_MILLIS: u64 = 500;

/// Follows the directory until the agent is stopped. `first` is for the first session only: the
/// brake of the hub is against loops, not against the person who starts the service.
///
/// # Errors
/// [`Failure`] that waiting cannot mend: configuration and permissions. Refused credentials are
/// tried again, rarely: the account may be unlocked, or the clocks set.
pub async fn follow(agent: &Agent, first: Urgency) -> Result<(), Failure> {
    let mut urgency = first;
    let mut held = None;
    let mut backoff = Backoff::new();
    loop {
        let wait = match agent.open(urgency).await {
            Ok(Opening::Opened(opened)) => {
                urgency = Urgency::WhenDue;
                tracing::info!(session = opened.session.id(), mode = ?opened.mode, "session opened");
                let (summary, result) = agent.work(*opened, Pace::Follow, &mut held).await;
                match result {
                    Ok(()) => {
                        backoff.reset();
                        tracing::info!(session = summary.session_id, "session completed");
                        Duration::ZERO
                    }
                    Err(failure) => after(agent, failure, &mut backoff)?,
                }
            }
            Ok(Opening::Exists { agent_id, until }) => {
                tracing::info!(agent_id, until = %until, "another agent works; waiting");
                let why = format!("agent {agent_id} works, at least until {until}");
                agent.board.waits(STREAM, &why, agent.clock.now());
                until_moment(agent, until)
            }
            Ok(Opening::TooEarly { at }) => {
                tracing::info!(next = %at, "the next session is not due yet");
                let why = format!("the next session is due at {at}");
                agent.board.waits(STREAM, &why, agent.clock.now());
                until_moment(agent, at)
            }
            Err(failure) => {
                if !matches!(failure, Failure::Stopped) {
                    agent.board.failed(STREAM, &failure, agent.clock.now());
                }
                after(agent, failure, &mut backoff)?
            }
        };
        tokio::select! {
            () = agent.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long to wait after a failure, if waiting can help.
fn after(agent: &Agent, failure: Failure, backoff: &mut Backoff) -> Result<Duration, Failure> {
    match failure {
        Failure::Stopped => Ok(Duration::ZERO),
        Failure::Config(_) | Failure::Permission(_) => Err(failure),
        Failure::Authentication(_) => {
            tracing::error!(reason = %failure, "the credentials were refused; they are tried again later");
            Ok(REFUSED_SLEEP)
        }
        Failure::Run(_) | Failure::LeaseLost(_) => {
            tracing::error!(reason = %failure, "the run failed; it is tried again");
            Ok(backoff.next_wait(&*agent.entropy))
        }
    }
}

fn until_moment(agent: &Agent, moment: Timestamp) -> Duration {
    let jitter = Duration::from_millis(agent.entropy.next_u64() % JITTER_MILLIS);
    let left = moment.since(agent.clock.now()).to_duration();
    left.min(SLEEP_MAX) + jitter
}
