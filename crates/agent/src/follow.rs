//! The service: in each stream one session after the other, each for its whole interval
//! (decision U131).
//!
//! Invariant: it ends only when it is told to: a mistake in the settings of the hub would end every
//! agent of the pool for good, and nobody would follow once it is mended. The streams know
//! nothing of each other: each has its own thread, so that a plan over a million objects does not
//! hold up the account that has just been disabled.

use std::sync::Arc;
use std::time::Duration;

use rollcall_kit::backoff::Backoff;
use rollcall_kit::timestamp::Timestamp;
use tokio::runtime::Handle;

use crate::agent::Agent;
use crate::failure::Failure;
use crate::handover;
use crate::password_writeback;
use crate::run::Pace;
use crate::session::{NOT_READY, Opening, Urgency};
use crate::stream::Stream;

/// Longest sleep between two attempts to open a session.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Sleep after refused credentials: asking more often would lock the account.
const REFUSED_SLEEP: Duration = Duration::from_secs(5 * 60);
/// Sleep after settings that cannot be used: a person has to mend them, in the hub or in a file.
const UNUSABLE_SLEEP: Duration = Duration::from_secs(60);
/// Sleep of a stream that waits for the first run of the objects.
const NOT_READY_SLEEP: Duration = Duration::from_secs(2);
/// Random addition to a sleep, so that several agents do not ask at the same moment.
const JITTER_MILLIS: u64 = 500;

/// Follows the directory in all streams of the configuration, and writes passwords back where that
/// is switched on, until the agent is stopped. `first`
/// is for the first session of the objects only: the brake of the hub is against loops, not
/// against the person who starts the service.
///
/// # Errors
/// [`Failure`] when a stream broke down; it ends all of them. What a session cannot be worked with is
/// no such thing, its settings included: they are the hub's and can be mended there at any time.
pub async fn follow(agent: &Arc<Agent>, first: Urgency) -> Result<(), Failure> {
    let names = agent.config.streams();
    let streams = names.iter().map(|stream| {
        let (agent, stream, runtime) = (Arc::clone(agent), *stream, Handle::current());
        tokio::task::spawn_blocking(move || {
            runtime.block_on(follow_stream(&agent, stream, first));
        })
    });
    let mut works: Vec<_> = names
        .iter()
        .map(|stream| stream.name())
        .zip(streams)
        .collect();
    if agent.config.enable_password_writeback {
        let (agent, runtime) = (Arc::clone(agent), Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            runtime.block_on(password_writeback::follow(&agent));
        });
        works.push(("password_writeback", work));
    }
    let mut all = Ok(());
    for (name, ended) in works {
        let result = ended.await.map_err(|error| {
            agent.stop.cancel();
            Failure::run(name, &error)
        });
        all = all.and(result);
    }
    all
}

async fn follow_stream(agent: &Agent, stream: Stream, first: Urgency) {
    let name = stream.name();
    let mut urgency = match stream {
        Stream::Objects => handover::first_urgency(agent, first),
        // The hub never makes these wait.
        Stream::AccountState | Stream::PasswordHashes => Urgency::WhenDue,
    };
    let mut held = None;
    let mut backoff = Backoff::new();
    let mut waits_for_objects = false;
    loop {
        let wait = match agent.open(stream, urgency).await {
            Ok(Opening::Opened(opened)) => {
                urgency = Urgency::WhenDue;
                tracing::info!(stream = name, session = opened.session.id(), mode = ?opened.mode, "session opened");
                let (summary, result) = agent.work(*opened, Pace::Follow, &mut held).await;
                match result {
                    Ok(()) => {
                        backoff.reset();
                        tracing::info!(
                            stream = name,
                            session = summary.session_id,
                            "session completed"
                        );
                        if agent.stop.is_cancelled() && stream == Stream::Objects {
                            handover::stopped(agent);
                        }
                        Duration::ZERO
                    }
                    Err(failure) => after(agent, stream, &failure, &mut backoff),
                }
            }
            Ok(Opening::NotReady) => {
                if !std::mem::replace(&mut waits_for_objects, true) {
                    tracing::info!(stream = name, "{NOT_READY}; waiting");
                }
                agent.board.waits(name, NOT_READY, agent.clock.now());
                NOT_READY_SLEEP + jitter(agent)
            }
            Ok(Opening::Exists {
                agent_id,
                session_id,
                until,
            }) => {
                tracing::info!(stream = name, agent_id, until = %until, "another agent works; waiting");
                let why = format!("agent {agent_id} works, at least until {until}");
                agent.board.stands_by(name, &why, agent.clock.now());
                tokio::select! {
                    () = agent.stop.cancelled() => return,
                    () = handover::until_over(agent, &session_id, until) => {}
                }
                if stream == Stream::Objects {
                    urgency = Urgency::Now;
                }
                Duration::ZERO
            }
            Ok(Opening::TooEarly { at }) => {
                tracing::info!(stream = name, next = %at, "the next session is not due yet");
                let why = format!("the next session is due at {at}");
                agent.board.waits(name, &why, agent.clock.now());
                until_moment(agent, at)
            }
            Err(failure) => {
                if !matches!(failure, Failure::Stopped) {
                    agent.board.failed(name, &failure, agent.clock.now());
                }
                after(agent, stream, &failure, &mut backoff)
            }
        };
        tokio::select! {
            () = agent.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long to wait after a failure. Refused credentials are tried again, rarely: the account may be
/// unlocked, or the clocks set. So is what cannot be worked with: the settings of the hub, or a file
/// that is just being written.
fn after(agent: &Agent, stream: Stream, failure: &Failure, backoff: &mut Backoff) -> Duration {
    let stream = stream.name();
    match failure {
        Failure::Stopped => Duration::ZERO,
        Failure::Authentication(_) => {
            tracing::error!(stream, reason = %failure, "the credentials were refused; they are tried again later");
            REFUSED_SLEEP
        }
        Failure::Config(_) | Failure::Permission(_) => {
            tracing::error!(stream, reason = %failure, "the settings cannot be used; they are tried again later");
            UNUSABLE_SLEEP + jitter(agent)
        }
        Failure::Run(_) | Failure::LeaseLost(_) => {
            tracing::error!(stream, reason = %failure, "the run failed; it is tried again");
            backoff.next_wait(&*agent.entropy)
        }
    }
}

fn until_moment(agent: &Agent, moment: Timestamp) -> Duration {
    let left = moment.since(agent.clock.now()).to_duration();
    handover::until_due(left, SLEEP_MAX) + jitter(agent)
}

fn jitter(agent: &Agent) -> Duration {
    Duration::from_millis(agent.entropy.next_u64() % JITTER_MILLIS)
}
