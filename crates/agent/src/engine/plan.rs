//! What must be written so that the hub equals the directory.
//!
//! Invariant: every removal has a cause that was seen: a tombstone, or the object itself outside
//! the scope. An object that merely did not appear stops the whole plan (decision U123). The
//! lists are in the order they are worked off (decision U111): groups, users, memberships, user
//! removals, group removals. Deliberately absent: how anything is written.

use rollcall_kit::timestamp::Timestamp;
use serde::Serialize;

use super::Guid;
use super::index::{Index, Kind, Presence};
use super::scope::{FilterGone, Scope};

mod hash;
mod member;
mod planner;
mod step;

pub use hash::{NoHash, PlanHash, PlanHasher};
pub(super) use member::{members_of, primary_members};
use planner::Planner;
pub(super) use planner::{activation, cause};
pub use step::{Before, Named, Step, Steps, UserBefore};

/// Passes over the plan in one run: names that move on in a row need one each.
pub const PASSES_MAX: u32 = 8;
/// How many vanished objects are named in a message.
const EXAMPLES_MAX: usize = 3;

/// What happens to users that are gone or out of scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemoveUserBehavior {
    /// They are deleted.
    #[default]
    Remove,
    /// They are suspended.
    Block,
}

/// What becomes of groups inside groups (decision U50).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NestedGroups {
    /// Only direct members count.
    #[default]
    Direct,
    /// Members of inner groups count as members.
    Flatten,
}

/// The rules of a plan beside the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Users gone or out of scope.
    pub remove_user_behavior: RemoveUserBehavior,
    /// Nested groups.
    pub nested_groups: NestedGroups,
    /// The present: an account that has ended is not reactivated.
    pub now: Timestamp,
}

/// Why an object leaves the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The directory reported its tombstone.
    Deleted,
    /// It was seen outside the scope.
    OutOfScope,
}

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Enabled in the directory.
    Reactivate,
    /// Disabled in the directory.
    Suspend,
}

/// A user that the hub has and that must change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserUpdate {
    /// The user.
    pub guid: Guid,
    /// Whether its values differ.
    pub values: bool,
    /// Whether it must be switched on or off.
    pub activation: Option<Activation>,
}

/// New and former members of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    /// The group.
    pub group: Guid,
    /// Users to add.
    pub add: Vec<Guid>,
    /// Users to take out.
    pub remove: Vec<Guid>,
}

/// A user or group that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// The user or group.
    pub guid: Guid,
    /// Why.
    pub cause: Cause,
}

/// An object that cannot be synchronized as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The object.
    pub guid: Guid,
    /// Why, for a person.
    pub reason: String,
}

/// Everything there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Groups the hub does not have.
    pub group_creates: Vec<Guid>,
    /// Groups whose values differ.
    pub group_updates: Vec<Guid>,
    /// Users the hub does not have.
    pub user_creates: Vec<Guid>,
    /// Users whose values or activation differ.
    pub user_updates: Vec<UserUpdate>,
    /// Groups whose members differ.
    pub memberships: Vec<MembershipChange>,
    /// Users to delete or, under [`RemoveUserBehavior::Block`], to suspend.
    pub user_removals: Vec<Removal>,
    /// Groups to delete.
    pub group_removals: Vec<Removal>,
    /// Groups that do not fit the hub.
    pub unfit_groups: Vec<Unfit>,
    /// Users that do not fit the hub.
    pub unfit_users: Vec<Unfit>,
    /// Users in scope.
    pub users_in_scope: usize,
    /// Groups in scope.
    pub groups_in_scope: usize,
    /// Memberships of users in scope in groups in scope, as the directory has them.
    pub memberships_in_scope: usize,
    /// Links from groups to members that were followed for that, each once per group in scope.
    pub links_followed: usize,
    /// Groups inside groups that were not followed.
    pub inner_groups_ignored: usize,
    /// Users the hub has from this directory.
    pub users_known: usize,
    /// Groups the hub has from this directory.
    pub groups_known: usize,
}

impl Plan {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.group_creates.is_empty()
            && self.group_updates.is_empty()
            && self.user_creates.is_empty()
            && self.user_updates.is_empty()
            && self.memberships.is_empty()
            && self.user_removals.is_empty()
            && self.group_removals.is_empty()
    }

    /// How many writes of any kind there are, a membership counting as one.
    #[must_use]
    pub fn writes(&self) -> usize {
        let memberships: usize = self
            .memberships
            .iter()
            .map(|change| change.add.len() + change.remove.len())
            .sum();
        self.group_creates.len()
            + self.group_updates.len()
            + self.user_creates.len()
            + self.user_updates.len()
            + memberships
            + self.user_removals.len()
            + self.group_removals.len()
    }
}

/// Objects between two questions whether to go on.
const LOOK_EVERY: usize = 4_096;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// A part of the filter is gone.
    #[error(transparent)]
    FilterGone(#[from] FilterGone),
    /// The directory showed nothing at all.
    #[error(
        "the directory answered with no users and no groups at all; nothing was changed. Check that the account may read the domain"
    )]
    Empty,
    /// Objects disappeared without having been reported as deleted.
    #[error(
        "{count} objects of the hub are no longer visible in the directory but were not reported as deleted, or it cannot be told whether they are in scope ({examples}); nothing was changed. Check the account's read rights, also on Deleted Objects"
    )]
    Vanished {
        /// How many.
        count: usize,
        /// A few of them.
        examples: String,
    },
    /// The caller does not want it any more.
    #[error("stopped")]
    Asked,
}

/// Compares the directory with the hub.
///
/// # Errors
/// [`Stop`] when the picture of the directory is not complete enough to act on.
pub fn plan(index: &Index, scope: &Scope, rules: &Rules) -> Result<Plan, Stop> {
    plan_while(index, scope, rules, &|| true)
}

/// As [`plan`], as long as `go_on` says so: a million objects take seconds.
///
/// # Errors
/// As [`plan`]; [`Stop::Asked`].
pub fn plan_while(
    index: &Index,
    scope: &Scope,
    rules: &Rules,
    go_on: &dyn Fn() -> bool,
) -> Result<Plan, Stop> {
    let nobody = !index.iter().any(|(_, record)| {
        record.presence != Presence::Missing && record.kind() != Kind::Container
    });
    if nobody {
        return Err(Stop::Empty);
    }
    let view = scope.view(index)?;
    let mut planner = Planner::new(index, rules, view);
    for (number, (guid, record)) in index.iter().enumerate() {
        if number.is_multiple_of(LOOK_EVERY) && !go_on() {
            return Err(Stop::Asked);
        }
        match record.kind() {
            Kind::User => planner.user(guid, record),
            Kind::Group => planner.group(guid, record),
            Kind::Container => planner.neither(guid, record),
        }
    }
    if !planner.vanished.is_empty() {
        return Err(vanished(index, &planner.vanished));
    }
    planner.memberships(go_on)?;
    Ok(planner.plan)
}

fn vanished(index: &Index, guids: &[Guid]) -> Stop {
    let examples: Vec<String> = guids
        .iter()
        .take(EXAMPLES_MAX)
        .map(|guid| name(index, *guid))
        .collect();
    Stop::Vanished {
        count: guids.len(),
        examples: examples.join("; "),
    }
}

/// The best name for an object in a message.
#[must_use]
pub fn name(index: &Index, guid: Guid) -> String {
    let name = index.dn(guid);
    if name.is_empty() {
        guid.to_string()
    } else {
        name
    }
}
