//! The writes of a plan, in its steps.
//!
//! Invariant: writes of one step do not depend on each other; they are made as they are needed, so that
//! a large plan is not there twice.

use rollcall_proto::organizationmanager::member_delta::MemberAction;

use crate::engine::Guid;
use crate::engine::plan::{Activation, Plan, RemoveUserBehavior};

/// Members in one call (UpdateMembers).
const MEMBERS_PER_CALL: usize = 1_000;
/// Writes that are prepared at a time; bounds memory and how long acknowledgements wait.
const WRITES_AT_ONCE: usize = 2_048;
/// The same of those that hold up to [`MEMBERS_PER_CALL`] members each.
const MEMBER_WRITES_AT_ONCE: usize = 128;

/// One thing to write, by identity.
#[derive(Debug, Clone)]
pub enum Write {
    /// Make a group.
    CreateGroup(Guid),
    /// Set a group's values.
    UpdateGroup(Guid),
    /// Make a user.
    CreateUser(Guid),
    /// Set a user's values, switch it on or off.
    UpdateUser {
        /// The user.
        guid: Guid,
        /// Whether values differ.
        values: bool,
        /// Whether to switch.
        activation: Option<Activation>,
    },
    /// Add to or take from a group.
    Members {
        /// The group.
        group: Guid,
        /// Which.
        action: MemberAction,
        /// Users.
        users: Vec<Guid>,
    },
    /// Delete a user.
    DeleteUser(Guid),
    /// Suspend a user that is gone.
    BlockUser(Guid),
    /// Delete a group.
    DeleteGroup(Guid),
}

/// One step of a plan: its writes do not depend on each other.
pub struct Step<'a> {
    /// In the order of the plan.
    pub writes: Box<dyn Iterator<Item = Write> + Send + 'a>,
    /// Writes that are prepared at a time.
    pub at_once: usize,
}

/// The steps of a plan in their order.
pub fn steps(plan: &Plan, behavior: RemoveUserBehavior) -> [Step<'_>; 6] {
    let creates = plan.group_creates.iter().map(|g| Write::CreateGroup(*g));
    let updates = plan.group_updates.iter().map(|g| Write::UpdateGroup(*g));
    let changed = plan.user_updates.iter().map(|update| Write::UpdateUser {
        guid: update.guid,
        values: update.values,
        activation: update.activation,
    });
    let created = plan.user_creates.iter().map(|g| Write::CreateUser(*g));
    let gone_users = plan
        .user_removals
        .iter()
        .map(move |removal| match behavior {
            RemoveUserBehavior::Remove => Write::DeleteUser(removal.guid),
            RemoveUserBehavior::Block => Write::BlockUser(removal.guid),
        });
    let gone_groups = plan.group_removals.iter();
    [
        Step::of(creates.chain(updates)),
        Step::of(changed.chain(created)),
        // Room is made before it is needed: a group may have a limit of members.
        Step::of_members(plan, MemberAction::Remove),
        Step::of_members(plan, MemberAction::Add),
        Step::of(gone_users),
        Step::of(gone_groups.map(|r| Write::DeleteGroup(r.guid))),
    ]
}

impl<'a> Step<'a> {
    fn of(writes: impl Iterator<Item = Write> + Send + 'a) -> Self {
        Self {
            writes: Box::new(writes),
            at_once: WRITES_AT_ONCE,
        }
    }

    fn of_members(plan: &'a Plan, action: MemberAction) -> Self {
        let writes = plan.memberships.iter().flat_map(move |change| {
            let users = match action {
                MemberAction::Remove => &change.remove,
                MemberAction::Add | MemberAction::Unspecified => &change.add,
            };
            users
                .chunks(MEMBERS_PER_CALL)
                .map(move |batch| Write::Members {
                    group: change.group,
                    action,
                    users: batch.to_vec(),
                })
        });
        Self {
            writes: Box::new(writes),
            at_once: MEMBER_WRITES_AT_ONCE,
        }
    }
}
