//! `rollcall operation`.

use clap::Subcommand;
use rollcall_proto::operation::GetOperationRequest;

use crate::arguments::Session;
use crate::failure::Failure;

/// Commands about operations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one operation with its outcome.
    Get {
        /// Identifier of the operation.
        id: String,
    },
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the call ends with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    let Command::Get { id } = command;
    let request = GetOperationRequest { operation_id: id };
    let operation = session
        .ask(request, |hub, request| async move {
            hub.operations().get(request).await
        })
        .await?;
    session.output.one(&operation)
}
