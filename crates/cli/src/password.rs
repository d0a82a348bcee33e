//! Passwords: the commands of `rollcall user` that set, make up and look at them. Imported hashes are
//! `password_hash`.
//!
//! Invariant: a password never stands in a process list: it is asked for, or read from standard input
//! or a file, and no flag takes the password itself. A generated one is shown once.

use std::path::{Path, PathBuf};

use clap::Args;
use rollcall_kit::secret::SecretString;
use rollcall_proto::idp::{
    GeneratePasswordRequest, PasswordSpec, SetOthersPasswordRequest, SetOthersPasswordResponse,
    SetOwnPasswordRequest, SetOwnPasswordResponse,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::Format;
use crate::password_hash::STANDARD_INPUT;
use crate::{prompt, user};

/// Whose password is set, and where it comes from.
#[derive(Debug, Args)]
pub struct SetArguments {
    /// Login or identifier of the user.
    user: String,
    /// File with the password in its first line; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Where the passwords come from.
#[derive(Debug, Args)]
pub struct SetOwnArguments {
    /// The present password is a one-time password, and need not be given.
    #[arg(long, conflicts_with = "old_password_file")]
    one_time: bool,
    /// File with the present password in its first line; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    old_password_file: Option<PathBuf>,
    /// File with the new password in its first line; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Sets the password of a user.
///
/// # Errors
/// Whatever the calls end with.
pub async fn set(session: &Session, arguments: SetArguments) -> Result<(), Failure> {
    let user_id = user::find(session, &arguments.user).await?;
    let password = new_password(arguments.password_file.as_deref())?;
    set_others(session, user_id, spec(&password)).await?;
    let what = format!("the password of user {} is set", arguments.user);
    session.output.done(&what)
}

/// Sets the password of whoever signed in.
///
/// # Errors
/// Whatever the call ends with.
pub async fn set_own(session: &Session, arguments: SetOwnArguments) -> Result<(), Failure> {
    let old_password = match arguments.old_password_file {
        _ if arguments.one_time => String::new(),
        Some(file) => of_file(&file)?.expose().to_owned(),
        None => prompt::password()?.expose().to_owned(),
    };
    let password = new_password(arguments.password_file.as_deref())?;
    let request = SetOwnPasswordRequest {
        password_spec: Some(spec(&password)),
        old_password,
    };
    let _: SetOwnPasswordResponse = session
        .change(request, |hub, request| async move {
            hub.users().set_own_password(request).await
        })
        .await?;
    session.output.done("your password is set")
}

/// Shows a password that the hub makes up, with the proof that it did.
///
/// # Errors
/// Whatever the call ends with.
pub async fn generate(session: &Session) -> Result<(), Failure> {
    session.output.one(&made_up(session).await?)
}

/// Gives a user a password that the hub makes up, and shows it.
///
/// # Errors
/// Whatever the calls end with.
pub async fn reset(session: &Session, user: &str) -> Result<(), Failure> {
    let user_id = user::find(session, user).await?;
    let made = made_up(session).await?;
    set_others(session, user_id, made.clone()).await?;
    match session.output.format() {
        Format::Table => session.output.text(&made.password),
        _ => session.output.one(&PasswordSpec {
            generation_proof: String::new(),
            ..made
        }),
    }
}

/// Shows what is known about the password of whoever signed in.
///
/// # Errors
/// Whatever the call ends with.
pub async fn get_metadata(session: &Session) -> Result<(), Failure> {
    let metadata = session
        .ask((), |hub, request| async move {
            hub.users().get_self_password_metadata(request).await
        })
        .await?;
    session.output.one(&metadata)
}

async fn made_up(session: &Session) -> Result<PasswordSpec, Failure> {
    let answer = session
        .ask(GeneratePasswordRequest {}, |hub, request| async move {
            hub.users().generate_password(request).await
        })
        .await?;
    Ok(answer.password_spec.unwrap_or_default())
}

async fn set_others(
    session: &Session,
    user_id: String,
    password_spec: PasswordSpec,
) -> Result<(), Failure> {
    let request = SetOthersPasswordRequest {
        user_id,
        password_spec: Some(password_spec),
    };
    let _: SetOthersPasswordResponse = session
        .change(request, |hub, request| async move {
            hub.users().set_others_password(request).await
        })
        .await?;
    Ok(())
}

fn spec(password: &SecretString) -> PasswordSpec {
    PasswordSpec {
        password: password.expose().to_owned(),
        generation_proof: String::new(),
    }
}

fn new_password(file: Option<&Path>) -> Result<SecretString, Failure> {
    file.map_or_else(prompt::new_password, of_file)
}

fn of_file(file: &Path) -> Result<SecretString, Failure> {
    if file == Path::new(STANDARD_INPUT) {
        prompt::secret_line()
    } else {
        prompt::secret_of_file(file)
    }
}
