//! `rollcall group` about members: who is in a group, and in which groups somebody is.

use clap::Args;
use rollcall_proto::organizationmanager::member_delta::MemberAction;
use rollcall_proto::organizationmanager::{
    GroupMember, GroupMembershipInfo, ListEffectiveRequest, ListGroupMembersRequest, MemberDelta,
    UpdateGroupMembersRequest,
};

use crate::arguments::Session;
use crate::failure::Failure;
use crate::output::Column;
use crate::page::{FilterArguments, ListArguments};
use crate::{group, organization, subject};

/// The most changes of members that one call takes.
const MEMBER_DELTAS_MAX: usize = 1_000;

const COLUMNS: [Column<GroupMember>; 2] = [
    ("SUBJECT ID", |member| member.subject_id.clone()),
    ("TYPE", |member| member.subject_type.clone()),
];

const EFFECTIVE_COLUMNS: [Column<GroupMembershipInfo>; 2] = [
    ("GROUP ID", |info| info.group_id.clone()),
    ("NAME", |info| info.group_name.clone()),
];

/// Who comes and who goes.
#[derive(Debug, Args)]
pub struct MemberChanges {
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
}

/// Lists the members of `group`.
///
/// # Errors
/// Whatever the calls end with.
pub async fn list(session: &Session, group: &str, list: &ListArguments) -> Result<(), Failure> {
    let group = group::find(session, group).await?;
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
    session.output.list(&members, &COLUMNS)
}

/// Lists the groups that `who` is in.
///
/// # Errors
/// Whatever the calls end with.
pub async fn list_effective(
    session: &Session,
    who: &str,
    list: &ListArguments,
    filter: &FilterArguments,
) -> Result<(), Failure> {
    let subject = subject::find_id(session, who).await?;
    let organization = organization::meant(session).await?;
    let groups = list
        .collect(|page_size, page_token| {
            let request = ListEffectiveRequest {
                subject_id: subject.clone(),
                organization_id: organization.clone(),
                page_size,
                page_token,
                filter: filter.filter.clone(),
            };
            async move {
                let page = session
                    .ask(request, |hub, request| async move {
                        hub.groups().list_effective(request).await
                    })
                    .await?;
                Ok((page.group_membership_info, page.next_page_token))
            }
        })
        .await?;
    session.output.list(&groups, &EFFECTIVE_COLUMNS)
}

/// Adds and removes members.
///
/// # Errors
/// Whatever the calls end with.
pub async fn update(session: &Session, changes: &MemberChanges) -> Result<(), Failure> {
    let group_id = group::find(session, &changes.group).await?;
    let mut deltas = Vec::new();
    for (people, action) in [
        (&changes.add, MemberAction::Add),
        (&changes.remove, MemberAction::Remove),
    ] {
        for person in people {
            deltas.push(MemberDelta {
                action: action.into(),
                subject_id: subject::find_id(session, person).await?,
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
        "group {}: {} to add, {} to remove, done",
        changes.group,
        changes.add.len(),
        changes.remove.len()
    ))
}
