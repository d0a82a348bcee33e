//! One run of every stream and its result (decisions U132, U133).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::agent::Agent;
use crate::failure::Failure;
use crate::run::Pace;
use crate::session::{NOT_READY, Opening, Urgency};
use crate::stream::Stream;
use crate::summary::{Outcome, RunSummary};

/// What came of each stream. The fields of the objects are those of the whole, the others stand
/// under `streams`.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    #[serde(flatten)]
    objects: Option<RunSummary>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    streams: BTreeMap<Stream, RunSummary>,
}

impl Results {
    fn add(&mut self, stream: Stream, summary: RunSummary) {
        match stream {
            Stream::Objects => self.objects = Some(summary),
            Stream::AccountState | Stream::PasswordHashes => {
                self.streams.insert(stream, summary);
            }
        }
    }

    /// A few lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let objects = self.objects.iter().map(|run| (Stream::Objects, run));
        let others = self.streams.iter().map(|(stream, run)| (*stream, run));
        let lines = objects
            .chain(others)
            .map(|(stream, run)| format!("{}: {}", stream.name(), run.text(stream)));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Runs every stream of the configuration once, in the order of [`Stream::ALL`]. One that fails
/// does not keep the others from their run; its failure is the result.
pub async fn once(agent: &Agent, urgency: Urgency) -> (Results, Result<(), Failure>) {
    let mut results = Results::default();
    let mut all = Ok(());
    let enabled = agent.config.streams();
    for stream in Stream::ALL {
        if !enabled.contains(&stream) {
            continue;
        }
        let (summary, result) = once_in(agent, stream, urgency).await;
        results.add(stream, summary);
        let stopped = matches!(result, Err(Failure::Stopped));
        all = all.and(result);
        if stopped {
            break;
        }
    }
    (results, all)
}

/// Runs one stream once.
pub async fn once_in(
    agent: &Agent,
    stream: Stream,
    urgency: Urgency,
) -> (RunSummary, Result<(), Failure>) {
    match agent.open(stream, urgency).await {
        Ok(Opening::Opened(opened)) => agent.work(*opened, Pace::Once, &mut None).await,
        Ok(Opening::NotReady) => {
            let mut summary = RunSummary::new(Outcome::TooEarly);
            summary.reason = Some(NOT_READY.into());
            (summary, Ok(()))
        }
        Ok(Opening::TooEarly { at }) => {
            let mut summary = RunSummary::new(Outcome::TooEarly);
            summary.reason = Some(format!(
                "the next run is due at {at}; use --once --now to run at once"
            ));
            (summary, Ok(()))
        }
        Ok(Opening::Exists {
            agent_id, until, ..
        }) => {
            let reason = format!("agent {agent_id} has a session open, at least until {until}");
            let mut summary = RunSummary::new(Outcome::AnotherAgent);
            summary.reason = Some(reason.clone());
            (summary, Err(Failure::Run(reason)))
        }
        Err(failure) => {
            if !matches!(failure, Failure::Stopped) {
                let now = agent.clock.now();
                agent.board.failed(stream.name(), &failure, now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_are_the_whole_and_the_others_are_beside_them() {
        let mut results = Results::default();
        results.add(Stream::AccountState, RunSummary::new(Outcome::TooEarly));
        let alone = serde_json::to_value(&results).unwrap();
        assert_eq!(alone["outcome"], serde_json::Value::Null);
        results.add(Stream::Objects, RunSummary::new(Outcome::Completed));
        let json = serde_json::to_value(&results).unwrap();
        assert_eq!(json["outcome"], "completed");
        assert_eq!(json["streams"]["account_state"]["outcome"], "too_early");
    }
}
