//! `rollcall sign-in` and `rollcall sign-in-session`: signing in with a password, and the sessions
//! that follow from it.
//!
//! Invariant: passwords and tokens are typed without echo or come on standard input, never as
//! arguments. Nothing is kept: what the hub gave is printed once.

use clap::{Args, Subcommand};
use rollcall_client::{AuthorizedChannel, CallContext, ErrorKind};
use rollcall_proto::signin::password_change_required::Reason;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::signin::{
    ChangePasswordRequest, EndAllSignInSessionsRequest, EndSignInSessionRequest,
    ListSignInSessionsRequest, PasswordChangeRequired, RefreshRequest, SessionTokens,
    SignInRequest, SignInSession, SignOutRequest,
};
use tonic::{Request, Response, Status};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::{Column, Format, moment};
use crate::page::ListArguments;
use crate::{prompt, user};

const COLUMNS: [Column<SignInSession>; 7] = [
    ("ID", |session| session.id.clone()),
    ("CREATED", |session| moment(session.created_at.as_ref())),
    ("RENEWED", |session| moment(session.renewed_at.as_ref())),
    ("EXPIRES", |session| moment(session.expires_at.as_ref())),
    ("ADDRESS", |session| session.remote_address.clone()),
    ("PROGRAM", |session| session.user_agent.clone()),
    ("CURRENT", |session| {
        if session.current { "yes" } else { "" }.to_owned()
    }),
];

/// Who signs in.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
                        export ROLLCALL_TOKEN=\"$(rollcall sign-in ann@corp.example)\"\n\n\
                        The password is asked for, or read from the first line of standard input. \
                        One that has to be changed is asked for anew, or read from the second line. \
                        -o json shows the refresh token, too.")]
pub struct SignInArguments {
    /// Login with its domain.
    login: String,
}

/// Commands about sessions of people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the sessions of a user.
    #[command(after_help = "Example:\n  rollcall sign-in-session list ann@corp.example")]
    List {
        /// Login or identifier of the user.
        user: String,
        #[command(flatten)]
        list: ListArguments,
    },
    /// Renews a session with its newest refresh token, which is asked for or read from standard
    /// input.
    Refresh,
    /// Ends one session.
    End {
        /// Identifier of the session.
        id: String,
    },
    /// Ends all sessions of a user.
    EndAll {
        /// Login or identifier of the user.
        user: String,
    },
    /// Ends the session of the token in use (`ROLLCALL_TOKEN`).
    SignOut,
}

impl Command {
    /// Whether it needs nobody who calls.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self, Self::Refresh)
    }
}

/// Signs in and prints the token.
///
/// # Errors
/// Whatever the calls end with.
pub async fn sign_in(session: &Session, arguments: SignInArguments) -> Result<(), Failure> {
    let request = SignInRequest {
        username: arguments.login,
        password: prompt::password()?.expose().to_owned(),
    };
    let answer = once(session, request, |hub, request| async move {
        hub.sign_ins().sign_in(request).await
    })
    .await?;
    let tokens = match answer.result {
        Some(Answer::Tokens(tokens)) => Some(tokens),
        Some(Answer::PasswordChangeRequired(required)) => change(session, required).await?,
        None => None,
    };
    show(session, tokens)
}

async fn change(
    session: &Session,
    required: PasswordChangeRequired,
) -> Result<Option<SessionTokens>, Failure> {
    let why = match required.reason() {
        Reason::Expired => "is too old",
        Reason::Temporary | Reason::Unspecified => "is temporary",
    };
    eprintln!("The password {why}: choose another one.");
    let request = ChangePasswordRequest {
        change_token: required.change_token,
        new_password: prompt::new_password()?.expose().to_owned(),
    };
    let answer = once(session, request, |hub, request| async move {
        hub.sign_ins().change_password(request).await
    })
    .await?;
    Ok(answer.tokens)
}

fn show(session: &Session, tokens: Option<SessionTokens>) -> Result<(), Failure> {
    let tokens =
        tokens.ok_or_else(|| Failure::Other("the hub answered without tokens".to_owned()))?;
    match session.output.format() {
        Format::Table => session.output.text(&tokens.iam_token),
        Format::Json | Format::Jsonl | Format::Yaml => session.output.one(&tokens),
    }
}

/// Makes a call that must not be repeated: the hub counts failed sign-ins, and a refresh token is
/// good once. What was refused is a password or such a token, and neither the key nor the clock.
async fn once<Q, A, F, Fut>(session: &Session, request: Q, call: F) -> Result<A, Failure>
where
    Q: Clone,
    F: FnMut(AuthorizedChannel, Request<Q>) -> Fut,
    Fut: Future<Output = Result<Response<A>, Status>>,
{
    let context = CallContext::read().with_attempts_max(1);
    session
        .client
        .call_with_retry(&context, request, call)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::Unauthenticated => Failure::Refused(error.said.into()),
            _ => error.into(),
        })
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::List { user, list } => list_sessions(session, &user, &list).await,
        Command::Refresh => {
            let request = RefreshRequest {
                refresh_token: prompt::token()?.expose().to_owned(),
            };
            let answer = once(session, request, |hub, request| async move {
                hub.sign_ins().refresh(request).await
            })
            .await?;
            show(session, answer.tokens)
        }
        Command::End { id } => {
            let request = EndSignInSessionRequest {
                sign_in_session_id: id.clone(),
            };
            let answer = session
                .ask(request, |hub, request| async move {
                    hub.sign_ins().end_session(request).await
                })
                .await?;
            let what = format!("session {id} of user {} is ended", answer.user_id);
            session.output.done(&what)
        }
        Command::EndAll { user } => {
            let request = EndAllSignInSessionsRequest {
                user_id: user::find(session, &user).await?,
            };
            let answer = session
                .ask(request, |hub, request| async move {
                    hub.sign_ins().end_all_sessions(request).await
                })
                .await?;
            let what = format!("{} sessions of user {user} are ended", answer.ended);
            session.output.done(&what)
        }
        Command::SignOut => {
            let answer = session
                .ask(SignOutRequest {}, |hub, request| async move {
                    hub.sign_ins().sign_out(request).await
                })
                .await?;
            let what = format!("session {} is ended", answer.sign_in_session_id);
            session.output.done(&what)
        }
    }
}

async fn list_sessions(session: &Session, user: &str, list: &ListArguments) -> Result<(), Failure> {
    let user_id = user::find(session, user).await?;
    let sessions = list
        .collect(|page_size, page_token| {
            let request = ListSignInSessionsRequest {
                user_id: user_id.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.sign_ins().list_sessions(request).await
                    })
                    .await?;
                Ok((page.sessions, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&sessions, &COLUMNS)
}
