//! `rollcall user`. Passwords are `password`, imported hashes `password_hash`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use rollcall_client::ClientError;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::idp::{
    ConvertToExternalUserRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest,
    ListUsersRequest, PasswordSpec, ReactivateUserRequest, ResolveExternalIdsRequest, ResolvedUser,
    SuspendUserRequest, UpdateUserRequest, User, user,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::output::{Column, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::password_hash::{self, HashType, SetHashArguments};
use crate::value::{self, Changes};
use crate::{password, prompt, userpool};

/// The most identifiers one call resolves.
const RESOLVE_MAX: usize = 1_000;

const COLUMNS: [Column<User>; 5] = [
    ("ID", |user| user.id.clone()),
    ("USERNAME", |user| user.username.clone()),
    ("NAME", |user| user.full_name.clone()),
    ("STATUS", |user| choice(status(user).as_str_name())),
    ("EXTERNAL ID", |user| user.external_id.clone()),
];

const RESOLVED_COLUMNS: [Column<ResolvedUser>; 3] = [
    ("EXTERNAL ID", |user| user.external_id.clone()),
    ("USER ID", |user| user.user_id.clone()),
    ("PASSWORD SET", |user| {
        moment(user.password_created_at.as_ref())
    }),
];

/// Commands about users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one user.
    Get {
        /// Login or identifier of the user.
        user: String,
    },
    /// Lists the users of a pool.
    #[command(
        after_help = "Examples:\n  rollcall user list --userpool staff --filter \
                            'full_name contains \"Anna\"'\n  rollcall user list --userpool staff \
                            --limit 0 -o json"
    )]
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Creates a user; the password is asked for, or read from standard input.
    #[command(
        after_help = "Examples:\n  rollcall user create anna@corp.example --full-name \
                            'Anna Smith'\n  echo \"$HASH\" | rollcall user create \
                            anna@corp.example --full-name Anna --password-hash-file -"
    )]
    Create(CreateArguments),
    /// Changes what is given, and nothing else; an empty value clears.
    Update(UpdateArguments),
    /// Deletes a user with all memberships.
    Delete {
        /// Login or identifier of the user.
        user: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Denies a user access until reactivated.
    Suspend {
        /// Login or identifier of the user.
        user: String,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Also set when the account ends.
        #[arg(long, value_name = "TIME", value_parser = value::moment)]
        expires_at: Option<Timestamp>,
    },
    /// Lets a suspended user in again.
    Reactivate {
        /// Login or identifier of the user.
        user: String,
    },
    /// Finds users by the identifiers they have in the directory.
    #[command(visible_alias = "resolve")]
    ResolveExternalIds {
        /// The identifiers.
        #[arg(required = true, value_name = "EXTERNAL_ID")]
        ids: Vec<String>,
    },
    /// Ties a user to an object of the directory.
    ConvertToExternal {
        /// Login or identifier of the user.
        user: String,
        /// Identifier of the object in the directory.
        #[arg(long)]
        external_id: String,
    },
    /// Imports the hash of a password.
    #[command(
        after_help = "Example:\n  echo \"$HASH\" | rollcall user set-password-hash \
                            anna@corp.example"
    )]
    SetPasswordHash(SetHashArguments),
    /// Sets the password of a user; it is asked for, or read from standard input.
    #[command(after_help = "Example:\n  rollcall user set-password anna@corp.example")]
    SetPassword(password::SetArguments),
    /// Gives a user a one-time password that the hub makes up, and shows it, once.
    #[command(after_help = "Example:\n  rollcall user reset-password anna@corp.example")]
    ResetPassword {
        /// Login or identifier of the user.
        user: String,
    },
    /// Shows a password that the hub makes up, with the proof of it; nothing is set.
    GeneratePassword,
    /// Changes your own password, as a user; both are asked for, or read from standard input, the
    /// present one first.
    #[command(
        after_help = "Example:\n  printf '%s\\n' \"$OLD\" \"$NEW\" | rollcall user set-own-password"
    )]
    SetOwnPassword(password::SetOwnArguments),
    /// Shows the age and kind of your own password, as a user.
    GetPasswordMetadata,
}

/// What is known about a person.
#[derive(Debug, Args)]
pub struct Attributes {
    /// First name.
    #[arg(long, value_name = "NAME")]
    given_name: Option<String>,
    /// Last name.
    #[arg(long, value_name = "NAME")]
    family_name: Option<String>,
    /// E-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Phone number.
    #[arg(long, value_name = "NUMBER")]
    phone_number: Option<String>,
    /// Company.
    #[arg(long, value_name = "NAME")]
    company_name: Option<String>,
    /// Department.
    #[arg(long, value_name = "NAME")]
    department: Option<String>,
    /// Position.
    #[arg(long, value_name = "TITLE")]
    job_title: Option<String>,
    /// Personnel number.
    #[arg(long, value_name = "NUMBER")]
    employee_id: Option<String>,
    /// When the account ends, as in 2027-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    expires_at: Option<Timestamp>,
}

/// What a new user is like.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Login, as in anna@corp.example.
    username: String,
    /// Name as shown to others.
    #[arg(long, value_name = "NAME")]
    full_name: String,
    #[command(flatten)]
    attributes: Attributes,
    /// Identifier of the object in the directory.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    external_id: String,
    /// Create the user suspended.
    #[arg(long)]
    suspended: bool,
    /// Import the hash in this file in place of a password; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    password_hash_file: Option<PathBuf>,
    /// Form of the hash.
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = HashType::AdMd4)]
    password_hash_type: HashType,
    /// The password must be changed at the next sign-in; only with --password-hash-file.
    #[arg(long, requires = "password_hash_file")]
    password_change_required: bool,
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Login or identifier of the user.
    user: String,
    /// Login.
    #[arg(long)]
    username: Option<String>,
    /// Name as shown to others.
    #[arg(long, value_name = "NAME")]
    full_name: Option<String>,
    #[command(flatten)]
    attributes: Attributes,
    /// The account does not end any more.
    #[arg(long, conflicts_with = "expires_at")]
    no_expiry: bool,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { user } => get(session, &user).await,
        Command::List { list, filter } => {
            let pool = userpool::meant(session).await?;
            let users = list
                .collect(|page_size, page_token| {
                    fetch(
                        session,
                        pool.clone(),
                        page_size,
                        page_token,
                        filter.filter.clone(),
                    )
                })
                .await?;
            session.output.list(&users, &COLUMNS)
        }
        Command::Create(arguments) => create(session, arguments).await,
        Command::Update(arguments) => update(session, arguments).await,
        Command::Delete { user, confirmation } => delete(session, &user, &confirmation).await,
        Command::Suspend {
            user,
            reason,
            expires_at,
        } => suspend(session, &user, reason, expires_at).await,
        Command::Reactivate { user } => {
            let request = ReactivateUserRequest {
                user_id: find(session, &user).await?,
            };
            let () = session
                .change(request, |hub, request| async move {
                    hub.users().reactivate(request).await
                })
                .await?;
            session.output.done(&format!("user {user} is active"))
        }
        Command::SetPasswordHash(arguments) => password_hash::set(session, arguments).await,
        Command::SetPassword(arguments) => password::set(session, arguments).await,
        Command::ResetPassword { user } => password::reset(session, &user).await,
        Command::GeneratePassword => password::generate(session).await,
        Command::SetOwnPassword(arguments) => password::set_own(session, arguments).await,
        Command::GetPasswordMetadata => password::get_metadata(session).await,
        Command::ResolveExternalIds { ids } => resolve(session, &ids).await,
        Command::ConvertToExternal { user, external_id } => {
            let request = ConvertToExternalUserRequest {
                user_id: find(session, &user).await?,
                external_id,
            };
            let user: User = session
                .change(request, |hub, request| async move {
                    hub.users().convert_to_external(request).await
                })
                .await?;
            session.output.one(&user)
        }
    }
}

/// The identifier of the user with this login or identifier.
///
/// # Errors
/// `Usage` when nobody in the pool has that login.
pub async fn find(session: &Session, user: &str) -> Result<String, Failure> {
    if !user.contains('@') {
        return Ok(user.to_owned());
    }
    let pool = userpool::meant(session).await?;
    find_in_pool(session, pool, user).await
}

/// The identifier of the user with this login: in the pool that has its domain, unless one is
/// named.
///
/// # Errors
/// `Usage` when nobody has that login.
pub async fn find_in_any_pool(session: &Session, login: &str) -> Result<String, Failure> {
    let domain = login.rsplit('@').next().unwrap_or_default();
    let pool = match &session.target.userpool {
        Some(pool) => userpool::find(session, pool).await?,
        None => userpool::find_by_domain(session, domain).await?,
    };
    find_in_pool(session, pool, login).await
}

async fn find_in_pool(session: &Session, pool: String, user: &str) -> Result<String, Failure> {
    let filter = format!("username = {}", value::quoted(user)?);
    let (found, _) = fetch(session, pool, 1, String::new(), filter).await?;
    found
        .into_iter()
        .next()
        .map(|user| user.id)
        .ok_or_else(|| Failure::usage(format!("nobody in the pool has the login {user:?}")))
}

async fn get(session: &Session, user: &str) -> Result<(), Failure> {
    let request = GetUserRequest {
        user_id: find(session, user).await?,
    };
    let user = session
        .ask(request, |hub, request| async move {
            hub.users().get(request).await
        })
        .await?;
    session.output.one(&user)
}

async fn create(session: &Session, arguments: CreateArguments) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    let credentials = credentials(&arguments)?;
    let attributes = arguments.attributes;
    let request = CreateUserRequest {
        userpool_id: pool,
        username: arguments.username,
        full_name: arguments.full_name,
        given_name: attributes.given_name.unwrap_or_default(),
        family_name: attributes.family_name.unwrap_or_default(),
        email: attributes.email.unwrap_or_default(),
        phone_number: attributes.phone_number.unwrap_or_default(),
        is_active: arguments.suspended.then_some(false),
        external_id: arguments.external_id,
        company_name: attributes.company_name.unwrap_or_default(),
        department: attributes.department.unwrap_or_default(),
        job_title: attributes.job_title.unwrap_or_default(),
        employee_id: attributes.employee_id.unwrap_or_default(),
        expires_at: attributes.expires_at,
        password_change_required: arguments.password_change_required,
        credentials: Some(credentials),
    };
    let user: User = session
        .change(request, |hub, request| async move {
            hub.users().create(request).await
        })
        .await?;
    session.output.one(&user)
}

fn credentials(arguments: &CreateArguments) -> Result<Credentials, Failure> {
    let Some(file) = &arguments.password_hash_file else {
        let password = prompt::new_password()?;
        return Ok(Credentials::PasswordSpec(PasswordSpec {
            password: password.expose().to_owned(),
            generation_proof: String::new(),
        }));
    };
    let hash = password_hash::wire(file, arguments.password_hash_type, None)?;
    Ok(Credentials::PasswordHash(hash))
}

async fn update(session: &Session, arguments: UpdateArguments) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let attributes = arguments.attributes;
    let mut request = UpdateUserRequest {
        username: changes.take("username", arguments.username),
        full_name: changes.take("full_name", arguments.full_name),
        given_name: changes.take("given_name", attributes.given_name),
        family_name: changes.take("family_name", attributes.family_name),
        email: changes.take("email", attributes.email),
        phone_number: changes.take("phone_number", attributes.phone_number),
        company_name: changes.take("company_name", attributes.company_name),
        department: changes.take("department", attributes.department),
        job_title: changes.take("job_title", attributes.job_title),
        employee_id: changes.take("employee_id", attributes.employee_id),
        ..Default::default()
    };
    if attributes.expires_at.is_some() || arguments.no_expiry {
        changes.note("expires_at");
        request.expires_at = attributes.expires_at;
    }
    request.update_mask = Some(changes.mask()?);
    request.user_id = find(session, &arguments.user).await?;
    let user: User = session
        .change(request, |hub, request| async move {
            hub.users().update(request).await
        })
        .await?;
    session.output.one(&user)
}

async fn delete(session: &Session, user: &str, confirmation: &Confirmation) -> Result<(), Failure> {
    let request = DeleteUserRequest {
        user_id: find(session, user).await?,
    };
    session.confirm(confirmation, &format!("Delete user {user}"))?;
    let () = session
        .change(request, |hub, request| async move {
            hub.users().delete(request).await
        })
        .await?;
    session.output.done(&format!("user {user} is deleted"))
}

async fn suspend(
    session: &Session,
    user: &str,
    reason: String,
    expires_at: Option<Timestamp>,
) -> Result<(), Failure> {
    let request = SuspendUserRequest {
        user_id: find(session, user).await?,
        reason,
        expires_at,
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.users().suspend(request).await
        })
        .await?;
    session.output.done(&format!("user {user} is suspended"))
}

async fn resolve(session: &Session, ids: &[String]) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    let mut resolved = Vec::new();
    for batch in ids.chunks(RESOLVE_MAX) {
        let request = ResolveExternalIdsRequest {
            userpool_id: pool.clone(),
            external_ids: batch.to_vec(),
        };
        let answer = session
            .ask(request, |hub, request| async move {
                hub.users().resolve_external_ids(request).await
            })
            .await?;
        resolved.extend(answer.resolved_users);
    }
    session.output.list(&resolved, &RESOLVED_COLUMNS)
}

fn status(user: &User) -> user::Status {
    user::Status::try_from(user.status).unwrap_or_default()
}

async fn fetch(
    session: &Session,
    userpool_id: String,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<User>, String), ClientError> {
    let request = ListUsersRequest {
        userpool_id,
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.users().list(request).await
        })
        .await?;
    Ok((page.users, page.next_page_token))
}
