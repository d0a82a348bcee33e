//! `rollcall group`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use rollcall_proto::organizationmanager::{
    CreateExternalGroupRequest, DeleteGroupRequest, GetGroupRequest, Group, GroupMember,
    ListExternalGroupsRequest, ListGroupMembersRequest, ListGroupsRequest, MemberDelta,
    ResolveExternalGroupRequest, UpdateGroupMembersRequest, UpdateGroupRequest,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::output::Column;
use crate::page::{FilterArguments, ListArguments};
use crate::value::{self, Changes};
use crate::{organization, user, userpool};

/// The most changes of members that one call takes.
const MEMBER_DELTAS_MAX: usize = 1_000;
/// Identifiers of groups have this form.
const ID_PREFIX: &str = "aje";
const ID_LENGTH: usize = 20;

const COLUMNS: [Column<Group>; 4] = [
    ("ID", |group| group.id.clone()),
    ("NAME", |group| group.name.clone()),
    ("EXTERNAL ID", |group| group.external_id.clone()),
    ("DESCRIPTION", |group| group.description.clone()),
];

const MEMBER_COLUMNS: [Column<GroupMember>; 2] = [
    ("SUBJECT ID", |member| member.subject_id.clone()),
    ("TYPE", |member| member.subject_type.clone()),
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
    /// Creates the group of a directory object.
    CreateExternal(CreateExternalArguments),
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
    UpdateMembers {
        /// Name or identifier of the group.
        group: String,
        /// Login or identifier of somebody to add; can be repeated.
        #[arg(
            long,
            value_name = "USER",
            value_delimiter = ',',
            required_unless_present = "remove"
        )]
        add: Vec<String>,
        /// Login or identifier of somebody to remove; can be repeated.
        #[arg(long, value_name = "USER", value_delimiter = ',')]
        remove: Vec<String>,
    },
}

/// What a new group is like.
#[derive(Debug, Args)]
pub struct CreateExternalArguments {
    /// Name of the group.
    name: String,
    /// Identifier of the object in the directory.
    #[arg(long, value_name = "ID")]
    external_id: String,
    /// Free text.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// A label; can be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
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
    /// A label; can be repeated; all labels are replaced.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    labels: Option<Vec<(String, String)>>,
    /// Remove all labels.
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Get { group } => get(session, &group).await,
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
        Command::CreateExternal(arguments) => create_external(session, arguments).await,
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
        Command::ListMembers { group, list } => list_members(session, &group, &list).await,
        Command::UpdateMembers { group, add, remove } => {
            update_members(session, &group, &add, &remove).await
        }
    }
}

async fn find(session: &Session, group: &str) -> Result<String, Failure> {
    if group.len() == ID_LENGTH && group.starts_with(ID_PREFIX) {
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

async fn get(session: &Session, group: &str) -> Result<(), Failure> {
    let request = GetGroupRequest {
        group_id: find(session, group).await?,
    };
    let group = session
        .ask(request, |hub, request| async move {
            hub.groups().get(request).await
        })
        .await?;
    session.output.one(&group)
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

async fn create_external(
    session: &Session,
    arguments: CreateExternalArguments,
) -> Result<(), Failure> {
    let request = CreateExternalGroupRequest {
        organization_id: organization::meant(session).await?,
        name: arguments.name,
        description: arguments.description,
        subject_container_id: userpool::meant(session).await?,
        external_id: arguments.external_id,
        make_editor: arguments.make_editor,
        labels: value::labels(arguments.labels),
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
    let labels = if arguments.no_labels {
        Some(Vec::new())
    } else {
        arguments.labels
    };
    let mut request = UpdateGroupRequest {
        name: changes.take("name", arguments.name),
        description: changes.take("description", arguments.description),
        labels: value::labels(changes.take("labels", labels)),
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

async fn list_members(session: &Session, group: &str, list: &ListArguments) -> Result<(), Failure> {
    let group = find(session, group).await?;
    let members = list
        .collect(|page_size, page_token| {
            let request = ListGroupMembersRequest {
                group_id: group.clone(),
                page_size,
                page_token,
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.groups().list_members(request).await
                    })
                    .await?;
                Ok((page.members, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&members, &MEMBER_COLUMNS)
}

async fn update_members(
    session: &Session,
    group: &str,
    add: &[String],
    remove: &[String],
) -> Result<(), Failure> {
    let group_id = find(session, group).await?;
    let mut deltas = Vec::new();
    for (people, action) in [(add, MemberAction::Add), (remove, MemberAction::Remove)] {
        for person in people {
            deltas.push(MemberDelta {
                action: action.into(),
                subject_id: user::find(session, person).await?,
            });
        }
    }
    for batch in deltas.chunks(MEMBER_DELTAS_MAX) {
        let request = UpdateGroupMembersRequest {
            group_id: group_id.clone(),
            member_deltas: batch.to_vec(),
        };
        let () = session
            .change(request, |hub, request| async move {
                hub.groups().update_members(request).await
            })
            .await?;
    }
    session.output.done(&format!(
        "group {group}: {} to add, {} to remove, done",
        add.len(),
        remove.len()
    ))
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
