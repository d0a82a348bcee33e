//! What must be written so that the hub equals the directory.
//!
//! Invariant: every removal has a cause that was seen: a tombstone, or the object itself outside
//! the scope. An object that merely did not appear stops the whole plan (decision U123). The
//! lists are in the order they are worked off (decision U111): groups, users, memberships, user
//! removals, group removals. Deliberately absent: how anything is written.

use std::collections::BTreeSet;

use rollcall_kit::timestamp::Timestamp;
use serde::Serialize;

use super::Guid;
use super::index::{Body, HubSide, Index, Kind, Presence, Record};
use super::scope::{FilterGone, Scope, ScopeView, Verdict};

mod hash;
mod member;
mod step;

pub use hash::{NoHash, PlanHash, PlanHasher};
pub(super) use member::{members_of, primary_members};
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
    let mut planner = Planner {
        index,
        rules,
        view,
        plan: Plan::default(),
        vanished: Vec::new(),
    };
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

struct Planner<'a> {
    index: &'a Index,
    rules: &'a Rules,
    view: ScopeView,
    plan: Plan,
    vanished: Vec<Guid>,
}

impl Planner<'_> {
    fn user(&mut self, guid: Guid, record: &Record) {
        self.plan.users_known += usize::from(record.hub.is_some());
        let verdict = self.view.verdict(self.index, guid);
        if record.presence != Presence::Seen || verdict != Verdict::In {
            self.user_leaves(guid, record, verdict);
            return;
        }
        self.plan.users_in_scope += 1;
        let Body::User {
            values, enabled, ..
        } = record.body()
        else {
            return;
        };
        match (values, &record.hub) {
            (Err(reason), hub) => {
                self.plan.unfit_users.push(Unfit {
                    guid,
                    reason: reason.to_owned(),
                });
                let Some(hub) = hub else { return };
                // A value that does not fit must not keep a disabled account signed in. Whether
                // it ended is then not known here; the hub refuses to reactivate one that did.
                if let Some(activation) = self.activation(guid, enabled, hub, false) {
                    self.plan.user_updates.push(UserUpdate {
                        guid,
                        values: false,
                        activation: Some(activation),
                    });
                }
            }
            (Ok(_), None) => self.plan.user_creates.push(guid),
            (Ok(values), Some(hub)) => {
                let differs = values.digest() != hub.digest;
                let ended = values.expires_at.is_some_and(|at| at <= self.rules.now);
                let activation = self.activation(guid, enabled, hub, ended);
                if differs || activation.is_some() {
                    self.plan.user_updates.push(UserUpdate {
                        guid,
                        values: differs,
                        activation,
                    });
                }
            }
        }
    }

    /// As [`activation`]; a disabled user of whom it is not known that the agent suspended it, is
    /// suspended once more, which is no change if the agent did.
    fn activation(
        &self,
        guid: Guid,
        enabled: bool,
        hub: &HubSide,
        ended: bool,
    ) -> Option<Activation> {
        if !enabled && self.index.is_doubtful(guid) {
            return Some(Activation::Suspend);
        }
        activation(enabled, hub, ended)
    }

    /// Whether it may be a member: a user in scope that the hub has or can get.
    fn is_wanted(&self, user: Guid) -> bool {
        self.index.get(user).is_some_and(|record| {
            self.stays(user, record) && (record.hub.is_some() || record.reason().is_none())
        })
    }

    /// Whether it stays in its groups: a user that leaves takes its memberships along, and of one
    /// that is blocked and cannot be read nothing is known. Absence alone takes nobody out of a
    /// group either.
    fn is_untouched(&self, user: Guid) -> bool {
        let Some(record) = self.index.get(user).filter(|r| r.kind() == Kind::User) else {
            return false;
        };
        let Some(hub) = record.hub.as_ref().filter(|_| !self.stays(user, record)) else {
            return false;
        };
        match self.rules.remove_user_behavior {
            RemoveUserBehavior::Remove => true,
            RemoveUserBehavior::Block => {
                let verdict = self.view.verdict(self.index, user);
                hub.enabled == Some(false) && cause(record, verdict).is_none()
            }
        }
    }

    fn stays(&self, user: Guid, record: &Record) -> bool {
        record.kind() == Kind::User
            && record.presence == Presence::Seen
            && self.view.verdict(self.index, user) == Verdict::In
    }

    fn user_leaves(&mut self, guid: Guid, record: &Record, verdict: Verdict) {
        let Some(hub) = &record.hub else { return };
        let block = self.rules.remove_user_behavior == RemoveUserBehavior::Block;
        let cause = cause(record, verdict);
        if block && hub.enabled == Some(false) {
            return;
        }
        match cause {
            Some(cause) => self.plan.user_removals.push(Removal { guid, cause }),
            None => self.vanished.push(guid),
        }
    }

    fn group(&mut self, guid: Guid, record: &Record) {
        self.plan.groups_known += usize::from(record.hub.is_some());
        let verdict = self.view.verdict(self.index, guid);
        if record.presence != Presence::Seen || verdict != Verdict::In {
            if record.hub.is_some() {
                match cause(record, verdict) {
                    Some(cause) => self.plan.group_removals.push(Removal { guid, cause }),
                    None => self.vanished.push(guid),
                }
            }
            return;
        }
        self.plan.groups_in_scope += 1;
        let Body::Group { values, .. } = record.body() else {
            return;
        };
        match (values, &record.hub) {
            (Err(reason), _) => self.plan.unfit_groups.push(Unfit {
                guid,
                reason: reason.to_owned(),
            }),
            (Ok(_), None) => self.plan.group_creates.push(guid),
            (Ok(values), Some(hub)) if values.digest() != hub.digest => {
                self.plan.group_updates.push(guid);
            }
            (Ok(_), Some(_)) => {}
        }
    }

    /// An object that is neither user nor group, but is in the hub.
    fn neither(&mut self, guid: Guid, record: &Record) {
        if record.hub.is_some() {
            self.vanished.push(guid);
        }
    }

    fn memberships(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), Stop> {
        let primary = primary_members(self.index, self.rules.nested_groups);
        for (guid, record) in self.index.iter() {
            let synchronized = record.hub.is_some() || record.reason().is_none();
            if record.kind() != Kind::Group
                || record.presence != Presence::Seen
                || !synchronized
                || self.view.verdict(self.index, guid) != Verdict::In
            {
                continue;
            }
            if !go_on() {
                return Err(Stop::Asked);
            }
            let nested_groups = self.rules.nested_groups;
            let members = members_of(self.index, guid, record, nested_groups, &primary);
            let mut wanted = members.reached;
            self.plan.links_followed += members.links;
            self.plan.inner_groups_ignored += self.ignored(&wanted);
            wanted.retain(|member| self.is_wanted(*member));
            self.plan.memberships_in_scope += wanted.len();
            let present: Vec<Guid> = self.index.hub_members(guid).collect();
            let add: Vec<Guid> = wanted
                .iter()
                .filter(|member| present.binary_search(member).is_err())
                .copied()
                .collect();
            let remove: Vec<Guid> = present
                .into_iter()
                .filter(|member| !wanted.contains(member))
                .filter(|member| !self.is_untouched(*member))
                .filter(|member| !members.has_gaps || !self.is_wanted(*member))
                .collect();
            if !add.is_empty() || !remove.is_empty() {
                self.plan.memberships.push(MembershipChange {
                    group: guid,
                    add,
                    remove,
                });
            }
        }
        Ok(())
    }

    /// Groups among the members, which are not followed (decision U50).
    fn ignored(&self, members: &BTreeSet<Guid>) -> usize {
        if self.rules.nested_groups == NestedGroups::Flatten {
            return 0;
        }
        let is_group = |guid: &&Guid| {
            let found = self.index.get(**guid).map(Record::kind);
            found == Some(Kind::Group)
        };
        members.iter().filter(is_group).count()
    }
}

pub(super) fn cause(record: &Record, verdict: Verdict) -> Option<Cause> {
    match (record.presence, verdict) {
        (Presence::Deleted, _) => Some(Cause::Deleted),
        (Presence::Seen, Verdict::Out) => Some(Cause::OutOfScope),
        _ => None,
    }
}

pub(super) fn activation(enabled: bool, hub: &HubSide, ended: bool) -> Option<Activation> {
    match (enabled, hub.enabled) {
        (true, Some(true)) | (false, Some(false)) => None,
        // The hub suspends an ended account by itself and refuses to reactivate it.
        (true, _) if ended => None,
        (true, _) => Some(Activation::Reactivate),
        (false, _) => Some(Activation::Suspend),
    }
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
