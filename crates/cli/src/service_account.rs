//! `rollcall service-account`: who programs are. Their keys are `key`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::admin::{
    CreateServiceAccountRequest, DeleteServiceAccountRequest, DisableServiceAccountRequest,
    EnableServiceAccountRequest, GetServiceAccountRequest, ListServiceAccountOperationsRequest,
    ListServiceAccountsRequest, ServiceAccount, UpdateServiceAccountRequest, service_account,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::output::{Column, choice, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::value::{self, Changes};
use crate::{operation, organization};

const COLUMNS: [Column<ServiceAccount>; 5] = [
    ("ID", |account| account.id.clone()),
    ("NAME", |account| account.name.clone()),
    ("STATUS", |account| choice(status(account).as_str_name())),
    ("CREATED", |account| moment(account.created_at.as_ref())),
    ("DESCRIPTION", |account| account.description.clone()),
];

/// Commands about service accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one service account.
    Get {
        /// Name or identifier of the service account.
        account: String,
    },
    /// Lists the service accounts of the organization.
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Creates a service account without keys and rights.
    #[command(
        after_help = "Example:\n  rollcall service-account create sync-agent\n  rollcall \
                            key create sync-agent --file agent-key.json\n  rollcall access add \
                            userpools.syncAgent sync-agent --pool staff"
    )]
    Create {
        /// Name: lower-case letters, digits and hyphens.
        name: String,
        /// Free text.
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// Changes what is given, and nothing else; an empty value clears.
    Update(UpdateArguments),
    /// Refuses its keys and tokens from now on.
    Disable {
        /// Name or identifier of the service account.
        account: String,
    },
    /// Lets a disabled service account sign in again.
    Enable {
        /// Name or identifier of the service account.
        account: String,
    },
    /// Deletes a service account with its keys, tokens and access bindings.
    Delete {
        /// Name or identifier of the service account.
        account: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Lists the operations on a service account, newest first.
    Operations {
        /// Name or identifier of the service account.
        account: String,
        #[command(flatten)]
        list: ListArguments,
    },
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Name or identifier of the service account.
    account: String,
    /// Name.
    #[arg(long)]
    name: Option<String>,
    /// Free text.
    #[arg(long)]
    description: Option<String>,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { account } => {
            let id = find(session, &account).await?;
            session.output.one(&get(session, id).await?)
        }
        Command::List { list, filter } => {
            let organization = organization::meant(session).await?;
            let accounts = list
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
            session.output.list(&accounts, &COLUMNS)
        }
        Command::Create { name, description } => create(session, name, description).await,
        Command::Update(arguments) => update(session, arguments).await,
        Command::Disable { account } => disable(session, &account).await,
        Command::Enable { account } => enable(session, &account).await,
        Command::Delete {
            account,
            confirmation,
        } => delete(session, &account, &confirmation).await,
        Command::Operations { account, list } => operations(session, &account, &list).await,
    }
}

/// The identifier of the service account with this name or identifier.
///
/// # Errors
/// `Usage` when none has that name.
pub async fn find(session: &Session, account: &str) -> Result<String, Failure> {
    if value::is_subject_id(account) {
        return Ok(account.to_owned());
    }
    find_by_name(session, account).await?.ok_or_else(|| {
        Failure::usage(format!(
            "there is no service account named {account:?}; see `rollcall service-account list`"
        ))
    })
}

/// The identifier of the service account with this name.
///
/// # Errors
/// What the calls end with.
pub async fn find_by_name(session: &Session, name: &str) -> Result<Option<String>, Failure> {
    let organization = organization::meant(session).await?;
    let filter = format!("name = {}", value::quoted(name)?);
    let (found, _) = fetch(session, organization, 1, String::new(), filter).await?;
    Ok(found.into_iter().next().map(|account| account.id))
}

/// The service account with this identifier.
///
/// # Errors
/// What the call ends with.
pub async fn get(session: &Session, id: String) -> Result<ServiceAccount, ClientError> {
    let request = GetServiceAccountRequest {
        service_account_id: id,
    };
    session
        .ask(request, |hub, request| async move {
            hub.service_accounts().get(request).await
        })
        .await
}

async fn create(session: &Session, name: String, description: String) -> Result<(), Failure> {
    let request = CreateServiceAccountRequest {
        organization_id: organization::meant(session).await?,
        name,
        description,
    };
    let account: ServiceAccount = session
        .change(request, |hub, request| async move {
            hub.service_accounts().create(request).await
        })
        .await?;
    session.output.one(&account)
}

async fn update(session: &Session, arguments: UpdateArguments) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let mut request = UpdateServiceAccountRequest {
        name: changes.take("name", arguments.name),
        description: changes.take("description", arguments.description),
        ..Default::default()
    };
    request.update_mask = Some(changes.mask()?);
    request.service_account_id = find(session, &arguments.account).await?;
    let account: ServiceAccount = session
        .change(request, |hub, request| async move {
            hub.service_accounts().update(request).await
        })
        .await?;
    session.output.one(&account)
}

async fn disable(session: &Session, account: &str) -> Result<(), Failure> {
    let request = DisableServiceAccountRequest {
        service_account_id: find(session, account).await?,
    };
    let account: ServiceAccount = session
        .change(request, |hub, request| async move {
            hub.service_accounts().disable(request).await
        })
        .await?;
    session.output.one(&account)
}

async fn enable(session: &Session, account: &str) -> Result<(), Failure> {
    let request = EnableServiceAccountRequest {
        service_account_id: find(session, account).await?,
    };
    let account: ServiceAccount = session
        .change(request, |hub, request| async move {
            hub.service_accounts().enable(request).await
        })
        .await?;
    session.output.one(&account)
}

async fn delete(
    session: &Session,
    account: &str,
    confirmation: &Confirmation,
) -> Result<(), Failure> {
    let request = DeleteServiceAccountRequest {
        service_account_id: find(session, account).await?,
    };
    let what = format!("Delete service account {account} with its keys and rights");
    session.confirm(confirmation, &what)?;
    let () = session
        .change(request, |hub, request| async move {
            hub.service_accounts().delete(request).await
        })
        .await?;
    session
        .output
        .done(&format!("service account {account} is deleted"))
}

async fn operations(session: &Session, account: &str, list: &ListArguments) -> Result<(), Failure> {
    let id = find(session, account).await?;
    let operations = list
        .collect(|page_size, page_token| {
            let request = ListServiceAccountOperationsRequest {
                service_account_id: id.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.service_accounts().list_operations(request).await
                    })
                    .await?;
                Ok((page.operations, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&operations, &operation::COLUMNS)
}

fn status(account: &ServiceAccount) -> service_account::Status {
    service_account::Status::try_from(account.status).unwrap_or_default()
}

async fn fetch(
    session: &Session,
    organization_id: String,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<ServiceAccount>, String), ClientError> {
    let request = ListServiceAccountsRequest {
        organization_id,
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.service_accounts().list(request).await
        })
        .await?;
    Ok((page.service_accounts, page.next_page_token))
}
