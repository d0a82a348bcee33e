//! Who is meant by what stands on the command line: users, service accounts, groups, and the
//! predefined sets of them.
//!
//! Invariant: nothing is guessed. A login, a name and an identifier are each looked up; what is
//! found nowhere is refused.

use rollcall_client::{ClientError, ErrorKind};
use rollcall_proto::access::Subject;
use rollcall_proto::idp::GetUserRequest;

use crate::arguments::Session;
use crate::failure::Failure;
use crate::value;
use crate::{group, service_account, user};

const USER: &str = "userAccount";
const SERVICE_ACCOUNT: &str = "serviceAccount";
const FEDERATED_USER: &str = "federatedUser";
const GROUP: &str = "group";
const SYSTEM: &str = "system";
/// Predefined sets of subjects.
const SETS: [&str; 2] = ["allAuthenticatedUsers", "allUsers"];

/// What the help says about subjects.
pub const HELP: &str = "Who: the login of a user, the name of a service account, group:NAME, an \
                        identifier, or allAuthenticatedUsers";

/// The subject meant by `text`.
///
/// # Errors
/// `Usage` when nobody fits, and what the calls end with.
pub async fn find(session: &Session, text: &str) -> Result<Subject, Failure> {
    let (id, kind) = match parse(text) {
        Form::Known { kind, id } => (id.to_owned(), kind),
        Form::Group(name) => (group::find(session, name).await?, GROUP),
        Form::Login(login) => (user::find_in_any_pool(session, login).await?, USER),
        Form::Id(id) => (id.to_owned(), kind_of(session, id).await?),
        Form::Name(name) => {
            let id = service_account::find_by_name(session, name).await?;
            (id.ok_or_else(|| nobody(text))?, SERVICE_ACCOUNT)
        }
    };
    Ok(Subject {
        id,
        r#type: kind.to_owned(),
    })
}

/// The identifier of the subject meant by `text`, which may be one that is gone by now.
///
/// # Errors
/// `Usage` when nobody fits, and what the calls end with.
pub async fn find_id(session: &Session, text: &str) -> Result<String, Failure> {
    match parse(text) {
        Form::Id(id) => Ok(id.to_owned()),
        _ => Ok(find(session, text).await?.id),
    }
}

/// How a subject is written.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    Known { kind: &'static str, id: &'a str },
    Group(&'a str),
    Login(&'a str),
    Id(&'a str),
    Name(&'a str),
}

fn parse(text: &str) -> Form<'_> {
    if SETS.contains(&text) {
        return Form::Known {
            kind: SYSTEM,
            id: text,
        };
    }
    if let Some((prefix, rest)) = text.split_once(':') {
        // group:organization:<id>:users is the name of a set.
        if prefix == GROUP && !rest.contains(':') {
            return Form::Group(rest);
        }
        if prefix == GROUP {
            return Form::Known {
                kind: SYSTEM,
                id: text,
            };
        }
        let kinds = [USER, SERVICE_ACCOUNT, FEDERATED_USER, SYSTEM];
        if let Some(kind) = kinds.into_iter().find(|kind| *kind == prefix) {
            return Form::Known { kind, id: rest };
        }
    }
    if text.contains('@') {
        Form::Login(text)
    } else if value::is_subject_id(text) {
        Form::Id(text)
    } else {
        Form::Name(text)
    }
}

/// The kind of the subject `id`: an identifier does not tell.
async fn kind_of(session: &Session, id: &str) -> Result<&'static str, Failure> {
    let account = service_account::get(session, id.to_owned()).await;
    if is_there(account)? {
        return Ok(SERVICE_ACCOUNT);
    }
    let request = GetUserRequest {
        user_id: id.to_owned(),
    };
    let user = session
        .ask(request, |hub, request| async move {
            hub.users().get(request).await
        })
        .await;
    if is_there(user)? {
        return Ok(USER);
    }
    if is_there(group::get(session, id.to_owned()).await)? {
        return Ok(GROUP);
    }
    Err(nobody(id))
}

/// Whether something was found. Who may not look does not see it either.
fn is_there<T>(answer: Result<T, ClientError>) -> Result<bool, ClientError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied) => Ok(false),
        Err(error) => Err(error),
    }
}

fn nobody(text: &str) -> Failure {
    Failure::usage(format!(
        "there is no user, service account or group {text:?} that you may see: give a login, the \
         name of a service account, group:NAME, or an identifier; with serviceAccount:ID, \
         userAccount:ID or system:ID it is taken as it is"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_subjects() {
        let known = |kind, id| Form::Known { kind, id };
        let id = "aje06h0jisj792j7dod5";
        for (text, form) in [
            ("anna@corp.example", Form::Login("anna@corp.example")),
            ("sync-agent", Form::Name("sync-agent")),
            (id, Form::Id(id)),
            ("group:Staff", Form::Group("Staff")),
            ("serviceAccount:aje1", known(SERVICE_ACCOUNT, "aje1")),
            ("userAccount:aje1", known(USER, "aje1")),
            ("system:allUsers", known(SYSTEM, "allUsers")),
            (
                "allAuthenticatedUsers",
                known(SYSTEM, "allAuthenticatedUsers"),
            ),
            (
                "group:organization:bpf1:users",
                known(SYSTEM, "group:organization:bpf1:users"),
            ),
        ] {
            assert_eq!(parse(text), form, "{text}");
        }
    }
}
