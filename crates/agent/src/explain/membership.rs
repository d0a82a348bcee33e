//! The memberships of one object on both sides.
//!
//! Invariant: only what the agent would touch counts: groups in scope and external groups of the
//! pool, members that are users of the hub.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::engine::Guid;
use crate::engine::place::Place;
use crate::engine::plan::NestedGroups;
use crate::engine::scope::Verdict;
use crate::failure::Failure;
use crate::hub;
use crate::reader::{self, Surroundings};
use crate::sight::Sight;

/// Groups of a user that are listed.
const GROUPS_MAX: usize = 1_000;
/// Members on one side only that are named.
const NAMED_MAX: usize = 20;

/// Memberships on both sides.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memberships {
    /// The groups of a user.
    Groups(Vec<GroupOfUser>),
    /// The members of a group.
    Members(MembersOfGroup),
}

/// One group of a user.
#[derive(Debug, Serialize)]
pub struct GroupOfUser {
    /// Its name in the directory, or in the hub when only that has it.
    pub group: String,
    /// objectGUID as text.
    pub external_id: String,
    /// Whether the user should be in it in the hub.
    pub directory: bool,
    /// Whether it is.
    pub hub: bool,
}

/// The members of a group.
#[derive(Debug, Default, Serialize)]
pub struct MembersOfGroup {
    /// Direct members of any kind in the directory; absent when it was deleted.
    pub directory_count: Option<usize>,
    /// Those of them that are users of the hub.
    pub directory_users_count: usize,
    /// Active members in the hub.
    pub hub_count: usize,
    /// How many direct members, users of the hub, the hub does not list in the group. It does not
    /// list suspended ones.
    pub only_in_directory_count: usize,
    /// Their identifiers, at most 20.
    pub only_in_directory: Vec<String>,
    /// How many the hub lists that are no direct members.
    pub only_in_hub_count: usize,
    /// Their ids in the hub, at most 20.
    pub only_in_hub: Vec<String>,
}

/// The groups of a user.
pub(super) async fn of_user(
    sight: &Sight,
    around: &Surroundings,
    user: Guid,
    hub_id: Option<&str>,
    in_scope: bool,
) -> Result<Memberships, Failure> {
    let failed = |error| hub::failure(&error);
    let present: BTreeMap<String, String> = match hub_id {
        Some(id) => {
            let groups = sight.hub.groups_of_user(id).await.map_err(failed)?;
            let pairs = groups
                .into_iter()
                .map(|info| (info.group_id, info.group_name));
            pairs.collect()
        }
        None => BTreeMap::new(),
    };
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    if in_scope {
        for group in wanted(sight, around, user)?.into_iter().take(GROUPS_MAX) {
            let there = sight.hub.group_of(group).await.map_err(failed)?;
            let id = there.map(|found| found.id);
            let object = around.objects.get(&group);
            groups.push(GroupOfUser {
                group: object.map_or_else(|| group.to_string(), |found| found.dn.clone()),
                external_id: group.to_string(),
                directory: true,
                hub: id.as_ref().is_some_and(|id| present.contains_key(id)),
            });
            seen.extend(id);
        }
    }
    for (id, name) in present.into_iter().take(GROUPS_MAX) {
        if seen.contains(&id) {
            continue;
        }
        let group = sight.hub.group(&id).await.map_err(failed)?;
        let external_id = group.map(|group| group.external_id).unwrap_or_default();
        // Groups of the hub's own are none of the agent's business.
        if Guid::parse(&external_id).is_some() {
            groups.push(GroupOfUser {
                group: name,
                external_id,
                directory: false,
                hub: true,
            });
        }
    }
    Ok(Memberships::Groups(groups))
}

/// The groups in scope that the user should be in.
fn wanted(sight: &Sight, around: &Surroundings, user: Guid) -> Result<Vec<Guid>, Failure> {
    let mapping = &sight.settings.mapping;
    let place = Place::new(&around.objects, &around.members, &sight.scope, mapping)
        .map_err(|gone| Failure::Run(gone.to_string()))?;
    let direct = |group: &Guid| {
        let members = around.members.get(group);
        around.primary_group == Some(*group) || members.is_some_and(|them| them.contains(&user))
    };
    let all = around.members.keys().chain(&around.primary_group);
    let groups: BTreeSet<Guid> = all.copied().collect();
    let flatten = sight.settings.nested_groups == NestedGroups::Flatten;
    Ok(groups
        .into_iter()
        .filter(|group| flatten || direct(group))
        .filter(|group| place.verdict(*group) == Verdict::In)
        .collect())
}

/// The members of a group.
pub(super) async fn of_group(
    sight: &mut Sight,
    group: Guid,
    hub_id: Option<&str>,
    deleted: bool,
) -> Result<Memberships, Failure> {
    let failed = |error| hub::failure(&error);
    let direct = if deleted {
        None
    } else {
        let members = sight.reader.direct_members(group).await;
        members.map_err(|error| reader::failure(&error))?
    };
    let mut members = MembersOfGroup {
        directory_count: direct.as_ref().map(Vec::len),
        ..MembersOfGroup::default()
    };
    let users = sight.hub.resolve_users(&direct.unwrap_or_default()).await;
    let users = users.map_err(failed)?;
    members.directory_users_count = users.len();
    let there: BTreeSet<String> = match hub_id {
        Some(id) => {
            let listed = sight.hub.members(id).await.map_err(failed)?;
            listed.iter().map(|id| id.as_str().to_owned()).collect()
        }
        None => BTreeSet::new(),
    };
    members.hub_count = there.len();
    let here: BTreeSet<&String> = users.iter().map(|(_, id)| id).collect();
    for (guid, id) in &users {
        if !there.contains(id) {
            members.only_in_directory_count += 1;
            if members.only_in_directory.len() < NAMED_MAX {
                members.only_in_directory.push(guid.to_string());
            }
        }
    }
    for id in &there {
        if !here.contains(id) {
            members.only_in_hub_count += 1;
            if members.only_in_hub.len() < NAMED_MAX {
                members.only_in_hub.push(id.clone());
            }
        }
    }
    Ok(Memberships::Members(members))
}
