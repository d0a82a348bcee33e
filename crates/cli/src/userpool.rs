//! `rollcall userpool`. Domains are `domain`, the flags of rules `pool_policy`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::idp::{
    CreateUserpoolRequest, DeleteUserpoolRequest, GetUserpoolRequest,
    ListUserpoolOperationsRequest, ListUserpoolsRequest, UpdateUserpoolRequest, Userpool, userpool,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::label::LabelChange;
use crate::output::{Column, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::pool_policy::PolicyArguments;
use crate::value::{self, Changes};
use crate::{domain, operation, organization};

/// Enough to see that there is more than one.
const LOOK: i64 = 2;
/// Pools that are looked through with one call.
const PAGE_SIZE: i64 = 1_000;
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
    Create(Box<CreateArguments>),
    /// Changes what is given, also single rules, and nothing else; an empty value clears.
    #[command(
        after_help = "Examples:\n  rollcall userpool update staff --password-max-days 90\n  \
                            rollcall userpool update staff --password-fixed-min-length 12 \
                            --password-fixed-digits-required\n  rollcall userpool update staff \
                            --bruteforce-attempts 5 --bruteforce-window 10m --bruteforce-block 1h"
    )]
    Update(Box<UpdateArguments>),
    /// Deletes an empty pool with its domains.
    Delete {
        /// Name or identifier of the pool.
        pool: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Domains that people sign in with.
    #[command(subcommand, visible_alias = "domain")]
    Domains(domain::Command),
    /// Lists the operations that changed a pool, newest first.
    Operations {
        /// Name or identifier of the pool.
        pool: String,
        #[command(flatten)]
        list: ListArguments,
    },
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
    #[command(flatten)]
    policies: PolicyArguments,
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Name or identifier of the pool.
    pool: String,
    /// Name.
    #[arg(long)]
    name: Option<String>,
    /// Free text.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    labels: LabelChange,
    #[command(flatten)]
    policies: PolicyArguments,
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
        Command::Create(arguments) => create(session, *arguments).await,
        Command::Update(arguments) => update(session, *arguments).await,
        Command::Delete { pool, confirmation } => delete(session, &pool, &confirmation).await,
        Command::Domains(command) => domain::run(command, session).await,
        Command::Operations { pool, list } => operations(session, &pool, &list).await,
    }
}

async fn create(session: &Session, arguments: CreateArguments) -> Result<(), Failure> {
    let policies = arguments.policies.policies(&mut Changes::default())?;
    let request = CreateUserpoolRequest {
        organization_id: organization::meant(session).await?,
        name: arguments.name,
        description: arguments.description,
        labels: value::labels(arguments.labels),
        default_subdomain: arguments.default_subdomain,
        user_settings: policies.user_settings,
        password_quality_policy: policies.quality,
        password_lifetime_policy: policies.lifetime,
        bruteforce_protection_policy: policies.bruteforce,
        password_blacklist_policy: policies.blacklist,
    };
    let pool: Userpool = session
        .change(request, |hub, request| async move {
            hub.userpools().create(request).await
        })
        .await?;
    session.output.one(&pool)
}

async fn update(session: &Session, arguments: UpdateArguments) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let mut request = UpdateUserpoolRequest {
        name: changes.take("name", arguments.name),
        description: changes.take("description", arguments.description),
        labels: arguments.labels.take(&mut changes),
        ..Default::default()
    };
    let policies = arguments.policies.policies(&mut changes)?;
    request.user_settings = policies.user_settings;
    request.password_quality_policy = policies.quality;
    request.password_lifetime_policy = policies.lifetime;
    request.bruteforce_protection_policy = policies.bruteforce;
    request.password_blacklist_policy = policies.blacklist;
    request.update_mask = Some(changes.mask()?);
    request.userpool_id = find(session, &arguments.pool).await?;
    let pool: Userpool = session
        .change(request, |hub, request| async move {
            hub.userpools().update(request).await
        })
        .await?;
    session.output.one(&pool)
}

async fn delete(session: &Session, pool: &str, confirmation: &Confirmation) -> Result<(), Failure> {
    let request = DeleteUserpoolRequest {
        userpool_id: find(session, pool).await?,
    };
    session.confirm(
        confirmation,
        &format!("Delete pool {pool} with its domains"),
    )?;
    let () = session
        .change(request, |hub, request| async move {
            hub.userpools().delete(request).await
        })
        .await?;
    session.output.done(&format!("pool {pool} is deleted"))
}

async fn operations(session: &Session, pool: &str, list: &ListArguments) -> Result<(), Failure> {
    let pool = find(session, pool).await?;
    let operations = list
        .collect(|page_size, page_token| {
            let request = ListUserpoolOperationsRequest {
                userpool_id: pool.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.userpools().list_operations(request).await
                    })
                    .await?;
                Ok((page.operations, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&operations, &operation::COLUMNS)
}

/// The identifier of the pool that has `domain`.
///
/// # Errors
/// `Usage` when none has it.
pub async fn find_by_domain(session: &Session, domain: &str) -> Result<String, Failure> {
    let organization = organization::meant(session).await?;
    let mut token = String::new();
    loop {
        let page = fetch(
            session,
            organization.clone(),
            PAGE_SIZE,
            token,
            String::new(),
        );
        let (pools, next) = page.await?;
        let has_it = |pool: &&Userpool| {
            let mut names = pool.domains.iter();
            names.any(|name| name.eq_ignore_ascii_case(domain))
        };
        if let Some(pool) = pools.iter().find(has_it) {
            return Ok(pool.id.clone());
        }
        if next.is_empty() {
            return Err(Failure::usage(format!(
                "no pool has the domain {domain:?}; see `rollcall userpool list`"
            )));
        }
        token = next;
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
