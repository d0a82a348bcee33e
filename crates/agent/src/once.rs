//! One run and its result (decisions U132, U133).

use crate::agent::{Agent, STREAM};
use crate::failure::Failure;
use crate::run::Pace;
use crate::session::{Opening, Urgency};
use crate::summary::{Outcome, RunSummary};

/// Runs once.
pub async fn once(agent: &Agent, urgency: Urgency) -> (RunSummary, Result<(), Failure>) {
    match agent.open(urgency).await {
        Ok(Opening::Opened(opened)) => agent.work(*opened, Pace::Once, &mut None).await,
        Ok(Opening::TooEarly { at }) => {
            let mut summary = RunSummary::new(Outcome::TooEarly);
            summary.reason = Some(format!(
                "the next run is due at {at}; use --once --now to run at once"
            ));
            (summary, Ok(()))
        }
        Ok(Opening::Exists { agent_id, until }) => {
            let reason = format!("agent {agent_id} has a session open, at least until {until}");
            let mut summary = RunSummary::new(Outcome::AnotherAgent);
            summary.reason = Some(reason.clone());
            (summary, Err(Failure::Run(reason)))
        }
        Err(failure) => {
            if !matches!(failure, Failure::Stopped) {
                agent.board.failed(STREAM, &failure, agent.clock.now());
            }
            let mut summary = RunSummary::new(match failure {
                Failure::Stopped => Outcome::Stopped,
                _ => Outcome::Failed,
            });
            summary.reason = Some(failure.to_string());
            (summary, Err(failure))
        }
    }
}
