//! `rollcall token`.

use clap::Subcommand;

use crate::arguments::Session;
use crate::failure::Failure;

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints a token made with the key, for programs that call the hub themselves.
    #[command(
        after_help = "Example:\n  curl --cacert ca.pem -H \"Authorization: Bearer \
                            $(rollcall token create)\" \\\n    \
                            https://hub.corp.example:443/organization-manager/v1/organizations"
    )]
    Create,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the exchange ends with.
pub async fn run(command: &Command, session: &Session) -> Result<(), Failure> {
    let Command::Create = command;
    let token = session.client.token().await?;
    match token {
        Some(token) => session.output.text(token.expose()),
        None => Err(Failure::usage("no credentials: give --key FILE")),
    }
}
