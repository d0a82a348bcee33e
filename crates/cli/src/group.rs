//! `rollcall group`. Members are `group_member`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::organizationmanager::{
    ConvertAllToBasicGroupsRequest, ConvertToExternalGroupRequest, CreateExternalGroupRequest,
    CreateGroupRequest, DeleteGroupRequest, GetGroupRequest, Group, ListExternalGroupsRequest,
    ListGroupOperationsRequest, ListGroupsRequest, ResolveExternalGroupRequest, UpdateGroupRequest,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::group_member::{self, MemberChanges};
use crate::label::LabelChange;
use crate::output::Column;
use crate::page::{FilterArguments, ListArguments};
use crate::value::{self, Changes};
use crate::{operation, organization, subject, userpool};

const COLUMNS: [Column<Group>; 4] = [
    ("ID", |group| group.id.clone()),
    ("NAME", |group| group.name.clone()),
    ("EXTERNAL ID", |group| group.external_id.clone()),
    ("DESCRIPTION", |group| group.description.clone()),
];

/// Commands about groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows one group.
    Get {
        /// Name or identifier of the group.
        group: String,
    },
    /// Lists the groups of the organization.
    List {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Lists the groups that a pool got from its directory.
    ListExternal {
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Creates a group without members.
    #[command(after_help = "Example:\n  rollcall group create Staff --description 'Everybody'")]
    Create {
        /// Name of the group.
        name: String,
        #[command(flatten)]
        content: Content,
    },
    /// Creates the group of a directory object.
    CreateExternal(CreateExternalArguments),
    /// Ties a group to an object of the directory.
    ConvertToExternal {
        /// Name or identifier of the group.
        group: String,
        /// Identifier of the object in the directory.
        #[arg(long, value_name = "ID")]
        external_id: String,
        /// Give yourself the role to manage the group from outside.
        #[arg(long)]
        make_editor: bool,
    },
    /// Makes ordinary groups of all groups that a pool got from its directory; members stay.
    ConvertAllToBasic {
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Finds the group that stands for a directory object.
    ResolveExternal {
        /// Identifier of the object in the directory.
        external_id: String,
    },
    /// Changes what is given, and nothing else; an empty value clears.
    Update(UpdateArguments),
    /// Deletes a group; its members stay.
    Delete {
        /// Name or identifier of the group.
        group: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Lists the members of a group.
    #[command(visible_alias = "members")]
    ListMembers {
        /// Name or identifier of the group.
        group: String,
        #[command(flatten)]
        list: ListArguments,
    },
    /// Adds and removes members.
    #[command(after_help = "Example:\n  rollcall group update-members staff --add \
                            anna@corp.example --remove ben@corp.example")]
    UpdateMembers(MemberChanges),
    /// Lists the groups that somebody is in.
    #[command(after_help = "Example:
  rollcall group effective anna@corp.example")]
    Effective {
        #[arg(value_name = "SUBJECT", help = subject::HELP)]
        subject: String,
        #[command(flatten)]
        list: ListArguments,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Lists the operations on a group, newest first.
    Operations {
        /// Name or identifier of the group.
        group: String,
        #[command(flatten)]
        list: ListArguments,
    },
}

/// What is told about a group besides its name.
#[derive(Debug, Args)]
pub struct Content {
    /// Free text.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// A label; can be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
}

/// What a new group is like.
#[derive(Debug, Args)]
pub struct CreateExternalArguments {
    /// Name of the group.
    name: String,
    /// Identifier of the object in the directory.
    #[arg(long, value_name = "ID")]
    external_id: String,
    #[command(flatten)]
    content: Content,
    /// Give yourself the role to manage the group from outside.
    #[arg(long)]
    make_editor: bool,
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Name or identifier of the group.
    group: String,
    /// Name.
    #[arg(long)]
    name: Option<String>,
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
        Command::Get { group } => {
            let id = find(session, &group).await?;
            session.output.one(&get(session, id).await?)
        }
        Command::List { list, filter } => {
            let organization = organization::meant(session).await?;
            let groups = list
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
            session.output.list(&groups, &COLUMNS)
        }
        Command::ListExternal { list, filter } => {
            list_external(session, &list, &filter.filter).await
        }
        Command::Create { name, content } => create(session, name, content).await,
        Command::CreateExternal(arguments) => create_external(session, arguments).await,
        Command::ConvertToExternal {
            group,
            external_id,
            make_editor,
        } => convert(session, &group, external_id, make_editor).await,
        Command::ConvertAllToBasic { confirmation } => convert_all(session, &confirmation).await,
        Command::ResolveExternal { external_id } => {
            let request = ResolveExternalGroupRequest {
                subject_container_id: userpool::meant(session).await?,
                external_id,
            };
            let group = session
                .ask(request, |hub, request| async move {
                    hub.groups().resolve_external(request).await
                })
                .await?;
            session.output.one(&group)
        }
        Command::Update(arguments) => update(session, arguments).await,
        Command::Delete {
            group,
            confirmation,
        } => delete(session, &group, &confirmation).await,
        Command::ListMembers { group, list } => group_member::list(session, &group, &list).await,
        Command::UpdateMembers(changes) => group_member::update(session, &changes).await,
        Command::Effective {
            subject,
            list,
            filter,
        } => group_member::list_effective(session, &subject, &list, &filter).await,
        Command::Operations { group, list } => operations(session, &group, &list).await,
    }
}

/// The identifier of the group with this name or identifier.
///
/// # Errors
/// `Usage` when no group has that name.
pub async fn find(session: &Session, group: &str) -> Result<String, Failure> {
    if value::is_subject_id(group) {
        return Ok(group.to_owned());
    }
    let organization = organization::meant(session).await?;
    let filter = format!("name = {}", value::quoted(group)?);
    let (found, _) = fetch(session, organization, 1, String::new(), filter).await?;
    found
        .into_iter()
        .next()
        .map(|group| group.id)
        .ok_or_else(|| {
            Failure::usage(format!(
                "there is no group named {group:?}; see `rollcall group list`"
            ))
        })
}

/// The group with this identifier.
///
/// # Errors
/// What the call ends with.
pub async fn get(session: &Session, id: String) -> Result<Group, ClientError> {
    let request = GetGroupRequest { group_id: id };
    session
        .ask(request, |hub, request| async move {
            hub.groups().get(request).await
        })
        .await
}

async fn list_external(
    session: &Session,
    list: &ListArguments,
    filter: &str,
) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    let groups = list
        .collect(|page_size, page_token| {
            let request = ListExternalGroupsRequest {
                subject_container_id: pool.clone(),
                page_size,
                page_token,
                filter: filter.to_owned(),
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.groups().list_external(request).await
                    })
                    .await?;
                Ok((page.groups, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&groups, &COLUMNS)
}

async fn create(session: &Session, name: String, content: Content) -> Result<(), Failure> {
    let request = CreateGroupRequest {
        organization_id: organization::meant(session).await?,
        name,
        description: content.description,
        labels: value::labels(content.labels),
    };
    let group: Group = session
        .change(request, |hub, request| async move {
            hub.groups().create(request).await
        })
        .await?;
    session.output.one(&group)
}

async fn convert(
    session: &Session,
    group: &str,
    external_id: String,
    make_editor: bool,
) -> Result<(), Failure> {
    let request = ConvertToExternalGroupRequest {
        group_id: find(session, group).await?,
        subject_container_id: userpool::meant(session).await?,
        external_id,
        make_editor,
    };
    let group: Group = session
        .change(request, |hub, request| async move {
            hub.groups().convert_to_external(request).await
        })
        .await?;
    session.output.one(&group)
}

async fn convert_all(session: &Session, confirmation: &Confirmation) -> Result<(), Failure> {
    let pool = userpool::meant(session).await?;
    let what = format!("Make ordinary groups of all external groups of pool {pool}");
    session.confirm(confirmation, &what)?;
    let request = ConvertAllToBasicGroupsRequest {
        subject_container_id: pool.clone(),
    };
    let () = session
        .change(request, |hub, request| async move {
            hub.groups().convert_all_to_basic(request).await
        })
        .await?;
    let done = format!("pool {pool} has no external groups");
    session.output.done(&done)
}

async fn create_external(
    session: &Session,
    arguments: CreateExternalArguments,
) -> Result<(), Failure> {
    let request = CreateExternalGroupRequest {
        organization_id: organization::meant(session).await?,
        name: arguments.name,
        description: arguments.content.description,
        subject_container_id: userpool::meant(session).await?,
        external_id: arguments.external_id,
        make_editor: arguments.make_editor,
        labels: value::labels(arguments.content.labels),
    };
    let group: Group = session
        .change(request, |hub, request| async move {
            hub.groups().create_external(request).await
        })
        .await?;
    session.output.one(&group)
}

async fn update(session: &Session, arguments: UpdateArguments) -> Result<(), Failure> {
    let mut changes = Changes::default();
    let mut request = UpdateGroupRequest {
        name: changes.take("name", arguments.name),
        description: changes.take("description", arguments.description),
        labels: arguments.labels.take(&mut changes),
        ..Default::default()
    };
    request.update_mask = Some(changes.mask()?);
    request.group_id = find(session, &arguments.group).await?;
    let group: Group = session
        .change(request, |hub, request| async move {
            hub.groups().update(request).await
        })
        .await?;
    session.output.one(&group)
}

async fn delete(
    session: &Session,
    group: &str,
    confirmation: &Confirmation,
) -> Result<(), Failure> {
    let request = DeleteGroupRequest {
        group_id: find(session, group).await?,
    };
    session.confirm(confirmation, &format!("Delete group {group}"))?;
    let () = session
        .change(request, |hub, request| async move {
            hub.groups().delete(request).await
        })
        .await?;
    session.output.done(&format!("group {group} is deleted"))
}

async fn operations(session: &Session, group: &str, list: &ListArguments) -> Result<(), Failure> {
    let group = find(session, group).await?;
    let operations = list
        .collect(|page_size, page_token| {
            let request = ListGroupOperationsRequest {
                group_id: group.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.groups().list_operations(request).await
                    })
                    .await?;
                Ok((page.operations, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&operations, &operation::COLUMNS)
}

async fn fetch(
    session: &Session,
    organization_id: String,
    page_size: i64,
    page_token: String,
    filter: String,
) -> Result<(Vec<Group>, String), ClientError> {
    let request = ListGroupsRequest {
        organization_id,
        page_size,
        page_token,
        filter,
    };
    let page = session
        .ask(request, |hub, request| async move {
            hub.groups().list(request).await
        })
        .await?;
    Ok((page.groups, page.next_page_token))
}
