//! `rollcall token`.

use clap::Subcommand;
use rollcall_proto::iam::{CreateIamTokenForServiceAccountRequest, RevokeIamTokenRequest};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::{prompt, service_account};

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints a token made with the key, for programs that call the hub themselves.
    #[command(
        after_help = "Example, which keeps the token out of the list of processes:\n  \
                            umask 077; printf 'Authorization: Bearer %s\\n' \
                            \"$(rollcall token create)\" > header\n  \
                            curl --cacert ca.pem -H @header \
                            https://hub.corp.example:443/organization-manager/v1/organizations"
    )]
    Create {
        /// Make a token of this service account instead, by name or identifier; you need the right
        /// to act as it.
        #[arg(long, value_name = "ACCOUNT")]
        service_account: Option<String>,
    },
    /// Ends a token before its time; it is asked for, or read from standard input.
    #[command(after_help = "Example:\n  echo \"$TOKEN\" | rollcall token revoke")]
    Revoke,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the exchange ends with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Create {
            service_account: None,
        } => match session.client.token().await? {
            Some(token) => session.output.text(token.expose()),
            None => Err(Failure::usage("no credentials: give --key FILE")),
        },
        Command::Create {
            service_account: Some(account),
        } => {
            let request = CreateIamTokenForServiceAccountRequest {
                service_account_id: service_account::find(session, &account).await?,
            };
            let answer = session
                .ask(request, |hub, request| async move {
                    hub.iam_tokens().create_for_service_account(request).await
                })
                .await?;
            session.output.text(&answer.iam_token)
        }
        Command::Revoke => {
            let request = RevokeIamTokenRequest {
                iam_token: prompt::token()?.expose().to_owned(),
            };
            let answer = session
                .ask(request, |hub, request| async move {
                    hub.iam_tokens().revoke(request).await
                })
                .await?;
            let what = format!("a token of {} is ended", answer.subject_id);
            session.output.done(&what)
        }
    }
}
