//! Changing calls of the public interface, and their answers.
//!
//! Deliberately absent: the wire.

use rollcall_domain::group::{GroupField, GroupInput};
use rollcall_domain::id::{GroupId, SessionId, UserId};
use rollcall_domain::mask::Mask;
use rollcall_domain::membership::MemberDelta;
use rollcall_domain::tally::Tally;
use rollcall_domain::user::{NewUser, UserField, UserInput};

/// A changing call of the public interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// UserService.Create
    CreateUser(Box<NewUser>),
    /// UserService.Update
    UpdateUser {
        /// The user.
        id: UserId,
        /// New values.
        input: Box<UserInput>,
        /// The fields to change.
        mask: Mask<UserField>,
    },
    /// UserService.Suspend
    SuspendUser(UserId),
    /// UserService.Reactivate
    ReactivateUser(UserId),
    /// UserService.Delete
    DeleteUser(UserId),
    /// GroupService.CreateExternal
    CreateGroup {
        /// The object it mirrors.
        external_id: String,
        /// Values.
        input: GroupInput,
    },
    /// GroupService.Update
    UpdateGroup {
        /// The group.
        id: GroupId,
        /// New values.
        input: GroupInput,
        /// The fields to change.
        mask: Mask<GroupField>,
    },
    /// GroupService.UpdateMembers
    UpdateMembers {
        /// The group.
        id: GroupId,
        /// What to change.
        deltas: Vec<MemberDelta>,
    },
    /// GroupService.Delete
    DeleteGroup(GroupId),
}

/// The response of a successful call, with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The id of what was made or changed.
    pub id: String,
    /// The metadata `x-sync-session-changes`.
    pub tally: Tally,
}

/// An agent's call with its metadata.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The call.
    pub call: Call,
    /// The metadata `idempotency-key`.
    pub key: String,
    /// The metadata `x-sync-session-id`.
    pub fence: Option<SessionId>,
}
