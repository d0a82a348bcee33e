//! `rollcall operation`: changes, their outcomes, and waiting for them.
//!
//! Invariant: whoever stops waiting does not stop the operation, and is told so.

use std::pin::pin;
use std::time::Duration;

use clap::Subcommand;
use rollcall_proto::operation::operation::Result as Outcome;
use rollcall_proto::operation::{CancelOperationRequest, GetOperationRequest, Operation};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::{Column, moment};
use crate::progress::Progress;
use crate::value;

const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// The columns of lists of operations.
pub const COLUMNS: [Column<Operation>; 5] = [
    ("ID", |operation| operation.id.clone()),
    ("CREATED", |operation| moment(operation.created_at.as_ref())),
    ("STATE", state),
    ("DESCRIPTION", |operation| operation.description.clone()),
    ("BY", |operation| operation.created_by.clone()),
];

/// Commands about operations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one operation with its outcome.
    Get {
        /// Identifier of the operation.
        id: String,
    },
    /// Asks to stop an operation that waits for somebody else, such as the proof of a domain.
    #[command(after_help = "Example:\n  rollcall operation cancel ops06h0jisj792j7dod5")]
    Cancel {
        /// Identifier of the operation.
        id: String,
    },
    /// Waits until an operation has ended and shows it; fails when it failed.
    #[command(
        after_help = "Example:\n  rollcall operation wait ops06h0jisj792j7dod5 --timeout 10m"
    )]
    Wait {
        /// Identifier of the operation.
        id: String,
        /// Wait no longer than this; without it until the end.
        #[arg(long, value_name = "TIME", value_parser = value::duration)]
        timeout: Option<prost_types::Duration>,
    },
}

/// How long somebody waits for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until it has ended.
    Endless,
    /// At most so long.
    AtMost(Duration),
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the call ends with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { id } => session.output.one(&get(session, id).await?),
        Command::Cancel { id } => {
            let request = CancelOperationRequest { operation_id: id };
            let operation = session
                .ask(request, |hub, request| async move {
                    hub.operations().cancel(request).await
                })
                .await?;
            session.output.one(&operation)
        }
        Command::Wait { id, timeout } => {
            let patience = timeout.map_or(Patience::Endless, |timeout| {
                let seconds = u64::try_from(timeout.seconds).unwrap_or_default();
                Patience::AtMost(Duration::from_secs(seconds))
            });
            let operation = get(session, id).await?;
            let operation = finish(session, operation, patience).await?;
            session.output.one(&operation)?;
            match &operation.result {
                Some(Outcome::Error(error)) => Err(Failure::Other(format!(
                    "operation {} failed: {}",
                    operation.id, error.message
                ))),
                _ => Ok(()),
            }
        }
    }
}

/// Looks at `operation` again and again until it has ended, and shows the waiting.
///
/// # Errors
/// `Interrupted` after Ctrl-C, `Other` at the end of the patience, and what calls can end with.
pub async fn finish(
    session: &Session,
    mut operation: Operation,
    patience: Patience,
) -> Result<Operation, Failure> {
    let mut progress = Progress::begin(format!("operation {}", operation.id));
    let mut wait = FIRST_LOOK;
    // One for all rounds: an interrupt that comes during a call must not be lost.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    while !operation.done {
        if let Patience::AtMost(longest) = patience
            && progress.elapsed() >= longest
        {
            return Err(Failure::Other(format!(
                "operation {0} still runs; wait for it with `rollcall operation wait {0}`",
                operation.id
            )));
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = &mut interrupt => {
                return Err(Failure::Interrupted(format!(
                    "operation {0} goes on; wait for it with `rollcall operation wait {0}`",
                    operation.id
                )));
            }
        }
        wait = (wait * 2).min(LONGEST_LOOK);
        progress.tick(&operation.description);
        operation = get(session, operation.id).await?;
    }
    Ok(operation)
}

async fn get(session: &Session, id: String) -> Result<Operation, Failure> {
    let request = GetOperationRequest { operation_id: id };
    let operation = session
        .ask(request, |hub, request| async move {
            hub.operations().get(request).await
        })
        .await?;
    Ok(operation)
}

fn state(operation: &Operation) -> String {
    let state = match (&operation.result, operation.done) {
        (Some(Outcome::Error(error)), _) => return format!("failed: {}", error.message),
        (_, true) => "done",
        (_, false) => "running",
    };
    state.to_owned()
}

#[cfg(test)]
mod tests {
    use rollcall_proto::rpc::Status;

    use super::*;

    #[test]
    fn a_failure_says_why() {
        let mut operation = Operation::default();
        assert_eq!(state(&operation), "running");
        operation.done = true;
        assert_eq!(state(&operation), "done");
        operation.result = Some(Outcome::Error(Status {
            code: 9,
            message: "the pool has users".into(),
            ..Default::default()
        }));
        assert_eq!(state(&operation), "failed: the pool has users");
    }
}
