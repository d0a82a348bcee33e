//! `rollcall organization`.

use clap::Subcommand;
use rollcall_proto::organizationmanager::{
    GetOrganizationRequest, ListOrganizationsRequest, Organization,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::{Column, moment};
use crate::page::{FilterArguments, ListArguments};

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
    }
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
