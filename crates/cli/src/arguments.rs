//! The command line as a whole, and what all commands share.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rollcall_client::{AuthorizedChannel, CallContext, Client, ClientError, operation_response};
use rollcall_proto::operation::Operation;
use tonic::{Request, Response, Status};

use crate::connection::{ConnectionArguments, Environment, Target};
use crate::failure::Failure;
use crate::operation::Patience;
use crate::output::{Format, Output};
use crate::{
    access, audit, connection, endpoint, group, key, operation, organization, profile, prompt,
    service_account, session, settings, sign_in, token, user, userpool,
};

/// How long a change is waited for.
const CHANGE_PATIENCE: Patience = Patience::AtMost(Duration::from_secs(240));

const AFTER_HELP: &str = "\
Connection: each value comes from its flag, else from the environment (ROLLCALL_ADDRESS, \
ROLLCALL_CA, ROLLCALL_KEY, ROLLCALL_TOKEN, ROLLCALL_ORGANIZATION, ROLLCALL_USERPOOL), else from \
the profile (--profile, ROLLCALL_PROFILE, or the one chosen with `rollcall profile use`).

Exit codes: 0 done, 1 error, 2 usage or configuration, 4 authentication, 130 Ctrl-C while waiting.

Examples:
  rollcall profile set main --address hub.corp.example:443 --ca ca.pem --key admin-key.json
  rollcall userpool list
  rollcall user list --userpool staff --filter 'status = \"SUSPENDED\"'
  rollcall session list --userpool staff -o json";

/// Looks after pools, people, groups and their synchronization on a Rollcall hub.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    connection: ConnectionArguments,

    /// How results are shown.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = Format::Table,
        help_heading = connection::HEADING
    )]
    output: Format,

    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Pools of local people.
    #[command(subcommand, visible_alias = "userpools", alias = "pool")]
    Userpool(userpool::Command),
    /// People who sign in.
    #[command(subcommand, visible_alias = "users")]
    User(user::Command),
    /// Groups and their members.
    #[command(subcommand, visible_alias = "groups")]
    Group(group::Command),
    /// Sessions of synchronization agents.
    #[command(
        subcommand,
        visible_aliases = ["sessions", "synchronization-session"],
        alias = "sync-session"
    )]
    Session(session::Command),
    /// What is synchronized, and how.
    #[command(subcommand, visible_alias = "synchronization-settings")]
    Settings(settings::Command),
    /// Changes and their outcomes.
    #[command(subcommand, visible_alias = "operations")]
    Operation(operation::Command),
    /// Organizations.
    #[command(subcommand, visible_alias = "organizations")]
    Organization(organization::Command),
    /// Who has which role on what.
    #[command(subcommand)]
    Access(access::Command),
    /// Accounts of programs.
    #[command(subcommand, visible_aliases = ["service-accounts", "sa"])]
    ServiceAccount(service_account::Command),
    /// Keys with which programs sign in.
    #[command(subcommand, visible_alias = "keys")]
    Key(key::Command),
    /// What was done and tried, by whom.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Addresses of the services of the hub.
    #[command(subcommand, visible_alias = "endpoints")]
    Endpoint(endpoint::Command),
    /// Signs a person in and prints the token.
    SignIn(sign_in::SignInArguments),
    /// Sessions of people who signed in.
    #[command(subcommand, visible_alias = "sign-in-sessions")]
    SignInSession(sign_in::Command),
    /// Tokens for other programs.
    #[command(subcommand)]
    Token(token::Command),
    /// Named connections kept in a file.
    #[command(subcommand, visible_alias = "profiles")]
    Profile(profile::Command),
}

/// `--yes` of commands that destroy something.
#[derive(Debug, Args)]
pub struct Confirmation {
    /// Do it without asking.
    #[arg(short, long)]
    pub yes: bool,
}

/// What every command that talks to a hub gets.
pub struct Session {
    /// The hub.
    pub client: Client,
    /// Where results go.
    pub output: Output,
    /// The organization and pool meant when none is named.
    pub target: Target,
}

/// Does what the command line asks for.
///
/// # Errors
/// Whatever the command ends with.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let output = Output::new(arguments.output);
    if let Noun::Profile(command) = &arguments.noun {
        return profile::run(command, &arguments.connection, &environment, &output);
    }
    let is_stranger = match &arguments.noun {
        Noun::SignIn(_) => true,
        Noun::SignInSession(command) => command.is_for_strangers(),
        _ => false,
    };
    let target = if is_stranger {
        arguments.connection.resolve_for_stranger(&environment)?
    } else {
        arguments.connection.resolve(&environment)?
    };
    let client = Client::connect(target.options()?).await?;
    let session = Session {
        client,
        output,
        target,
    };
    match arguments.noun {
        Noun::Userpool(command) => userpool::run(command, &session).await,
        Noun::User(command) => user::run(command, &session).await,
        Noun::Group(command) => group::run(command, &session).await,
        Noun::Session(command) => self::session::run(command, &session).await,
        Noun::Settings(command) => settings::run(command, &session).await,
        Noun::Operation(command) => operation::run(command, &session).await,
        Noun::Organization(command) => organization::run(command, &session).await,
        Noun::Access(command) => access::run(command, &session).await,
        Noun::ServiceAccount(command) => service_account::run(command, &session).await,
        Noun::Key(command) => key::run(command, &session).await,
        Noun::Audit(command) => audit::run(command, &session).await,
        Noun::Endpoint(command) => endpoint::run(command, &session).await,
        Noun::SignIn(arguments) => sign_in::sign_in(&session, arguments).await,
        Noun::SignInSession(command) => sign_in::run(command, &session).await,
        Noun::Token(command) => token::run(command, &session).await,
        Noun::Profile(_) => Ok(()),
    }
}

impl Session {
    /// Asks the hub for something.
    ///
    /// # Errors
    /// What the call ends with after its retries.
    pub async fn ask<Q, A, F, Fut>(&self, request: Q, call: F) -> Result<A, ClientError>
    where
        Q: Clone,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        self.client
            .call_with_retry(&CallContext::read(), request, call)
            .await
    }

    /// Changes something and waits until that is done, at most four minutes.
    ///
    /// # Errors
    /// What the call or its operation ends with.
    pub async fn change<Q, T, F, Fut>(&self, request: Q, call: F) -> Result<T, Failure>
    where
        Q: Clone,
        T: prost::Message + prost::Name + Default,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        let operation = self.begin(request, call).await?;
        let operation = operation::finish(self, operation, CHANGE_PATIENCE).await?;
        operation_response(operation).map_err(|status| self.client.error(&status).into())
    }

    /// Begins a change: its operation may still run.
    ///
    /// # Errors
    /// What the call ends with.
    pub async fn begin<Q, F, Fut>(&self, request: Q, call: F) -> Result<Operation, ClientError>
    where
        Q: Clone,
        F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<Operation>, Status>>,
    {
        self.client
            .call_with_retry(&CallContext::mutation(), request, call)
            .await
    }

    /// Asks before something is destroyed; without a terminal `--yes` is needed.
    ///
    /// # Errors
    /// `Usage` when the answer is no or nobody can be asked.
    pub fn confirm(&self, confirmation: &Confirmation, what: &str) -> Result<(), Failure> {
        if confirmation.yes || prompt::confirm(what)? {
            Ok(())
        } else {
            Err(Failure::Other("nothing was changed".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The help of every command, in one text, so that a change of the command line is seen.
    #[test]
    fn help_of_all_commands() {
        let mut text = String::new();
        let mut root = Arguments::command().term_width(100);
        root.build();
        collect_help(&mut root, &mut text);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_command_and_every_flag_is_explained() {
        let mut root = Arguments::command();
        root.build();
        let mut silent = Vec::new();
        collect_silent(&root, "rollcall", &mut silent);
        assert!(silent.is_empty(), "without an explanation: {silent:?}");
    }

    fn collect_silent(command: &clap::Command, path: &str, silent: &mut Vec<String>) {
        if command
            .get_about()
            .is_none_or(|about| about.to_string().is_empty())
        {
            silent.push(path.to_owned());
        }
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string);
            if help.is_none_or(|help| help.is_empty()) {
                silent.push(format!("{path} {}", argument.get_id()));
            }
        }
        for inner in command.get_subcommands() {
            collect_silent(inner, &format!("{path} {}", inner.get_name()), silent);
        }
    }

    fn collect_help(command: &mut clap::Command, text: &mut String) {
        text.push_str(&format!("==== {}\n", command.render_help()));
        for inner in command.get_subcommands_mut() {
            if inner.get_name() != "help" {
                collect_help(inner, text);
            }
        }
    }
}
