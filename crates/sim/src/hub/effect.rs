//! What calls really changed, in the terms of the directory, for the judgement.

use rollcall_agent::engine::Guid;
use rollcall_domain::id::SessionId;
use rollcall_kit::timestamp::Timestamp;

/// What a call really changed, by external id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A user was made.
    UserCreated(Guid),
    /// A user's values were written.
    UserUpdated(Guid),
    /// A user was suspended.
    UserSuspended(Guid),
    /// A user was reactivated.
    UserReactivated(Guid),
    /// A user was deleted.
    UserDeleted(Guid),
    /// A group was made.
    GroupCreated(Guid),
    /// A group's values were written.
    GroupUpdated(Guid),
    /// A group was deleted.
    GroupDeleted(Guid),
    /// A user was put into a group.
    MemberAdded {
        /// The group.
        group: Guid,
        /// The user.
        user: Guid,
    },
    /// A user was taken out of a group.
    MemberRemoved {
        /// The group.
        group: Guid,
        /// The user.
        user: Guid,
    },
}

/// An effect of an agent's call, in the order of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The session that the call named.
    pub session: Option<SessionId>,
    /// When it was committed.
    pub at: Timestamp,
    /// What changed.
    pub effect: Effect,
    /// Whether anything is different now.
    pub changed: bool,
    /// The idempotency key of the call.
    pub key: String,
}
