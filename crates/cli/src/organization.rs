//! `rollcall organization`.

use clap::{Args, Subcommand};
use rollcall_proto::organizationmanager::{
    GetOrganizationRequest, ListOrganizationOperationsRequest, ListOrganizationsRequest,
    Organization, UpdateOrganizationRequest,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::label::LabelChange;
use crate::operation;
use crate::output::{Column, moment};
use crate::page::{FilterArguments, ListArguments};
use crate::value::Changes;

/// Enough to see that there is more than one.
const LOOK: i64 = 2;

const COLUMNS: [Column<Organization>; 4] = [
    ("ID", |organization| organization.id.clone()),
    ("NAME", |organization| organization.name.clone()),
    ("TITLE", |organization| organization.title.clone()),
    ("CREATED", |organization| {
        moment(organization.created_at.as_ref())
    }),
];

/// Commands about organizations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one organization.
    Get {
        /// Identifier of the organization.
        id: String,
    },
    /// Lists the organizations you may see.
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Changes what is given of the organization, and nothing else; an empty value clears.
    #[command(after_help = "Example:\n  rollcall organization update --title 'Corp, Inc.'")]
    Update(UpdateArguments),
    /// Lists the operations that changed the organization, newest first.
    Operations {
        #[command(flatten)]
        list: ListArguments,
    },
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Name.
    #[arg(long)]
    name: Option<String>,
    /// Name as shown to others.
    #[arg(long)]
    title: Option<String>,
    /// Free text.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    labels: LabelChange,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { id } => {
            let request = GetOrganizationRequest {
                organization_id: id,
            };
            let organization = session
                .ask(request, |hub, request| async move {
                    hub.organizations().get(request).await
                })
                .await?;
            session.output.one(&organization)
        }
        Command::List { list, filter } => {
            let organizations = list
                .collect(|page_size, page_token| {
                    fetch(session, page_size, page_token, filter.filter.clone())
                })
                .await?;
            session.output.list(&organizations, &COLUMNS)
        }
        Command::Update(arguments) => update(session, arguments).await,
        Command::Operations { list } => operations(session, &list).await,
    }
}

async fn update(session: &Session, arguments: UpdateArguments) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let mut request = UpdateOrganizationRequest {
        name: changes.take("name", arguments.name),
        title: changes.take("title", arguments.title),
        description: changes.take("description", arguments.description),
        labels: arguments.labels.take(&mut changes),
        ..Default::default()
    };
    request.update_mask = Some(changes.mask()?);
    request.organization_id = meant(session).await?;
    let organization: Organization = session
        .change(request, |hub, request| async move {
            hub.organizations().update(request).await
        })
        .await?;
    session.output.one(&organization)
}

async fn operations(session: &Session, list: &ListArguments) -> Result<(), Failure> {
    let organization = meant(session).await?;
    let operations = list
        .collect(|page_size, page_token| {
            let request = ListOrganizationOperationsRequest {
                organization_id: organization.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.organizations().list_operations(request).await
                    })
                    .await?;
                Ok((page.operations, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&operations, &operation::COLUMNS)
}

/// The identifier of the organization that is meant: the one named, else the only one.
///
/// # Errors
/// `Usage` when there are several and none is named.
pub async fn meant(session: &Session) -> Result<String, Failure> {
    if let Some(id) = &session.target.organization {
        return Ok(id.clone());
    }
    let (found, _) = fetch(session, LOOK, String::new(), String::new()).await?;
    match found.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Failure::usage(
            "you may see no organization: ask for a role on one",
        )),
        _ => Err(Failure::usage(
            "there are several organizations: name one with --organization; see `rollcall \
             organization list`",
        )),
    }
}

async fn fetch(
    session: &Session,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<Organization>, String), rollcall_client::ClientError> {
    let request = ListOrganizationsRequest {
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.organizations().list(request).await
        })
        .await?;
    Ok((page.organizations, page.next_page_token))
}
