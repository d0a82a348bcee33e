//! Members of groups: the calls of `GroupService` about them.
//!
//! Invariant: members are users; a service account is in no group. Deliberately absent: the groups
//! themselves.

use rollcall_domain::access::Permission;
use rollcall_domain::filter::{EFFECTIVE_GROUP_FIELDS, Filter};
use rollcall_domain::id::{GroupId, OrganizationId, ServiceAccountId, UserId};
use rollcall_domain::membership::{self, MemberDelta};
use rollcall_domain::page::Page;
use rollcall_domain::quota::{Quota, QuotaScope};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::tally::Tally;
use rollcall_proto::organizationmanager as om;
use rollcall_store::{MemberScope, Tx};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{group, user};
use crate::wire::WireEnum;

/// What a member of a group is, as the interface calls it.
const MEMBER_TYPE: &str = "userAccount";

/// `GroupService.ListMembers`: those who may sign in.
pub async fn list_members(
    cx: &Context,
    tx: &Tx,
    request: &om::ListGroupMembersRequest,
) -> Result<om::ListGroupMembersResponse, Error> {
    let group = group::find(cx, tx, &request.group_id, Permission::GroupsListMembers).await?;
    let list = cx.list(group.id.as_str(), "");
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx
        .list_members(&group.id, MemberScope::Active(cx.call.now), &page)
        .await?;
    Ok(om::ListGroupMembersResponse {
        members: page
            .items
            .into_iter()
            .map(|member| om::GroupMember {
                subject_id: member.user_id.into_string(),
                subject_type: MEMBER_TYPE.to_owned(),
            })
            .collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// `GroupService.UpdateMembers`.
pub async fn update_members(
    cx: &Context,
    tx: &Tx,
    request: &om::UpdateGroupMembersRequest,
) -> Result<Done, Error> {
    let group = group::find(cx, tx, &request.group_id, Permission::GroupsGet).await?;
    let permission = group::managing(&group, Permission::GroupsUpdateMembers);
    cx.authorize(tx, permission, Scope::Group(&group)).await?;
    let deltas = parse_deltas(&request.member_deltas)?;
    membership::check_deltas(&deltas)?;
    let facts = tx.find_membership_facts(&group, &deltas).await?;
    let change = membership::update_members(&deltas, &facts)?;
    tx.remove_members(&group.id, &change.removed).await?;
    require_room(cx, tx, &group.id, &change.added).await?;
    tx.add_members(&group.id, &change.added, cx.call.now)
        .await?;
    let metadata = om::UpdateGroupMembersMetadata {
        group_id: group.id.to_string(),
    };
    let tally = Tally::of_members(&change);
    Ok(Done::new(&metadata, &(), group::resource(&group)).counting(tally))
}

/// Requires room for these new members: in the group, and in the number of groups of each.
async fn require_room(
    cx: &Context,
    tx: &Tx,
    group_id: &GroupId,
    added: &[UserId],
) -> Result<(), Error> {
    let count = added.len() as u64;
    cx.require_quota(tx, QuotaScope::MembersOf(group_id), count)
        .await?;
    let quotas = &cx.hub.quotas;
    if quotas.limit(Quota::GroupsPerUser).is_some() {
        for (user_id, present) in tx.count_groups_of_users(added).await? {
            quotas.require(QuotaScope::GroupsOfUser(&user_id), present, 1)?;
        }
    }
    Ok(())
}

/// `GroupService.ListEffective`: the groups of a subject, whether or not it may sign in.
pub async fn list_effective(
    cx: &Context,
    tx: &Tx,
    request: &om::ListEffectiveRequest,
) -> Result<om::ListEffectiveResponse, Error> {
    let subject = find_subject(cx, tx, &request.subject_id).await?;
    let asked = OrganizationId::from(request.organization_id.as_str());
    // A subject is of one organization, so it need not be named; a wrong one is told.
    if !asked.as_str().is_empty() && asked != subject.organization_id {
        let what = format!("{} of organization", request.subject_id);
        return Err(Refusal::not_found(&what, asked).into());
    }
    let filter = Filter::parse(&request.filter, EFFECTIVE_GROUP_FIELDS)?;
    let list = cx.list(&request.subject_id, &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = match &subject.user_id {
        Some(user_id) => tx.list_groups_of_user(user_id, &filter, &page).await?,
        None => Page {
            items: Vec::new(),
            next: None,
        },
    };
    Ok(om::ListEffectiveResponse {
        group_membership_info: page
            .items
            .into_iter()
            .map(|group| om::GroupMembershipInfo {
                group_id: group.group_id.into_string(),
                group_name: group.group_name,
            })
            .collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// Somebody whose groups are asked for.
struct Member {
    /// `None` for a service account, which is in no group.
    user_id: Option<UserId>,
    organization_id: OrganizationId,
}

/// Finds a subject whose groups the caller may see. A service account where the caller may not is
/// answered as an id that nobody has.
async fn find_subject(cx: &Context, tx: &Tx, id: &str) -> Result<Member, Error> {
    let permission = Permission::UsersListGroups;
    if let Some(account) = tx.find_service_account(&ServiceAccountId::from(id)).await? {
        let scope = Scope::Organization(&account.organization_id);
        match cx.authorize(tx, permission, scope).await {
            Ok(_) => {
                return Ok(Member {
                    user_id: None,
                    organization_id: account.organization_id,
                });
            }
            Err(Error::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let user = user::find(cx, tx, id, permission).await?;
    match tx.find_userpool(&user.userpool_id).await? {
        Some(pool) => Ok(Member {
            user_id: Some(user.id),
            organization_id: pool.organization_id,
        }),
        None => Err(Error::Internal(format!("user {} has no pool", user.id))),
    }
}

fn parse_deltas(deltas: &[om::MemberDelta]) -> Result<Vec<MemberDelta>, Refusal> {
    deltas
        .iter()
        .enumerate()
        .map(|(index, delta)| {
            let field = format!("member_deltas[{index}].action");
            Ok(MemberDelta {
                action: WireEnum::parse_wire(&field, delta.action)?,
                user_id: delta.subject_id.as_str().into(),
            })
        })
        .collect()
}
