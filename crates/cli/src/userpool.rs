//! `rollcall userpool`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::idp::{
    CreateUserpoolRequest, GetUserpoolRequest, ListUserpoolsRequest, Userpool, userpool,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::organization;
use crate::output::{Column, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::value;

/// Enough to see that there is more than one.
const LOOK: i64 = 2;
/// Identifiers of pools have this form; names cannot be that long with these letters by chance.
const ID_PREFIX: &str = "ek0";
const ID_LENGTH: usize = 20;

const COLUMNS: [Column<Userpool>; 5] = [
    ("ID", |pool| pool.id.clone()),
    ("NAME", |pool| pool.name.clone()),
    ("STATUS", |pool| choice(status(pool).as_str_name())),
    ("DOMAINS", |pool| pool.domains.join(", ")),
    ("CREATED", |pool| moment(pool.created_at.as_ref())),
];

/// Commands about pools.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one pool.
    Get {
        /// Name or identifier of the pool.
        pool: String,
    },
    /// Lists the pools of the organization.
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Creates a pool.
    #[command(after_help = "Example:\n  rollcall userpool create staff --default-subdomain corp")]
    Create(CreateArguments),
}

/// What a new pool is like.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Name: lower-case letters, digits and hyphens.
    name: String,
    /// Start of the name of the built-in domain.
    #[arg(long, value_name = "LABEL")]
    default_subdomain: String,
    /// Free text.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// A label; can be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { pool } => {
            let request = GetUserpoolRequest {
                userpool_id: find(session, &pool).await?,
            };
            let pool = session
                .ask(request, |hub, request| async move {
                    hub.userpools().get(request).await
                })
                .await?;
            session.output.one(&pool)
        }
        Command::List { list, filter } => {
            let organization = organization::meant(session).await?;
            let pools = list
                .collect(|page_size, page_token| {
                    fetch(
                        session,
                        organization.clone(),
                        page_size,
                        page_token,
                        filter.filter.clone(),
                    )
                })
                .await?;
            session.output.list(&pools, &COLUMNS)
        }
        Command::Create(arguments) => {
            let request = CreateUserpoolRequest {
                organization_id: organization::meant(session).await?,
                name: arguments.name,
                description: arguments.description,
                labels: value::labels(arguments.labels),
                default_subdomain: arguments.default_subdomain,
                ..Default::default()
            };
            let pool: Userpool = session
                .change(request, |hub, request| async move {
                    hub.userpools().create(request).await
                })
                .await?;
            session.output.one(&pool)
        }
    }
}

/// The identifier of the pool that is meant: the one named, else the only one.
///
/// # Errors
/// `Usage` when there are several and none is named, or the name is unknown.
pub async fn meant(session: &Session) -> Result<String, Failure> {
    if let Some(pool) = &session.target.userpool {
        return find(session, pool).await;
    }
    let organization = organization::meant(session).await?;
    let (found, _) = fetch(session, organization, LOOK, String::new(), String::new()).await?;
    match found.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Failure::usage(
            "the organization has no pool: make one with `rollcall userpool create`",
        )),
        _ => Err(Failure::usage(
            "there are several pools: name one with --userpool; see `rollcall userpool list`",
        )),
    }
}

/// The identifier of the pool with this name or identifier.
///
/// # Errors
/// `Usage` when no pool has that name.
pub async fn find(session: &Session, pool: &str) -> Result<String, Failure> {
    if pool.len() == ID_LENGTH && pool.starts_with(ID_PREFIX) {
        return Ok(pool.to_owned());
    }
    let organization = organization::meant(session).await?;
    let filter = format!("name = {}", value::quoted(pool)?);
    let (found, _) = fetch(session, organization, LOOK, String::new(), filter).await?;
    found.into_iter().next().map(|pool| pool.id).ok_or_else(|| {
        Failure::usage(format!(
            "there is no pool named {pool:?}; see `rollcall userpool list`"
        ))
    })
}

fn status(pool: &Userpool) -> userpool::Status {
    userpool::Status::try_from(pool.status).unwrap_or_default()
}

async fn fetch(
    session: &Session,
    organization_id: String,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<Userpool>, String), ClientError> {
    let request = ListUserpoolsRequest {
        organization_id,
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.userpools().list(request).await
        })
        .await?;
    Ok((page.userpools, page.next_page_token))
}
