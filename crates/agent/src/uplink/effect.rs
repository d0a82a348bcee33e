//! What the calls for one object led to.

use rollcall_client::{ClientError, ErrorKind};

use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::values::Digest;
use crate::failure::Failure;
use crate::hub;
use crate::item_error::{Problem, remedy};
use crate::progress::{Change, ObjectType};
use crate::session;

/// One thing the hub acknowledged, or that was learnt from its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The object was made, with these values.
    Created(ObjectType, String, Digest),
    /// The object turned out to be there already, with unknown values.
    Found(String),
    /// It has these values now.
    Updated(ObjectType, String, Digest),
    /// The user is on or off now; the flag tells whether the change counts by itself.
    Enabled(bool, Counted),
    /// Members came and went.
    Members {
        /// Users added.
        added: Vec<Guid>,
        /// Users taken out.
        removed: Vec<Guid>,
    },
    /// The object is gone.
    Removed(ObjectType),
    /// The object was gone before.
    Lost,
    /// This member of the group is no user of the hub any more.
    LostMember(Guid),
}

/// Whether an effect is a change of its own or part of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A change of its own.
    Alone,
    /// Part of the creation of the user.
    WithCreation,
    /// None: the user was so before, or stays suspended for another reason.
    NoChange,
}

/// Everything the calls for one object led to.
#[derive(Debug)]
pub struct Outcome {
    /// The object.
    pub guid: Guid,
    /// In the order they happened.
    pub effects: Vec<Effect>,
    /// Failed changes with the reason.
    pub failures: Vec<(ObjectType, Change, Problem)>,
    /// The run cannot go on.
    pub fatal: Option<Failure>,
}

impl Effect {
    /// Notes the effect in the index.
    pub fn apply(&self, guid: Guid, index: &mut Index) {
        match self {
            Self::Created(_, id, digest) | Self::Updated(_, id, digest) => {
                index.written(guid, id, *digest);
            }
            Self::Found(id) => index.written(guid, id, Digest::default()),
            Self::Enabled(enabled, _) => index.activated(guid, *enabled),
            Self::Members { added, removed } => index.members_changed(guid, added, removed),
            Self::Removed(_) | Self::Lost => index.removed(guid),
            Self::LostMember(user) => index.removed(*user),
        }
    }

    /// What it adds to the counters.
    #[must_use]
    pub fn counts(&self) -> Option<(ObjectType, Change, u64)> {
        match self {
            Self::Created(object, ..) => Some((*object, Change::Create, 1)),
            Self::Updated(object, ..) => Some((*object, Change::Update, 1)),
            Self::Enabled(true, Counted::Alone) => Some((ObjectType::User, Change::Activate, 1)),
            Self::Enabled(false, Counted::Alone) => Some((ObjectType::User, Change::Deactivate, 1)),
            Self::Members { added, removed } if removed.is_empty() => {
                Some((ObjectType::Membership, Change::Create, added.len() as u64))
            }
            Self::Members { removed, .. } => {
                Some((ObjectType::Membership, Change::Delete, removed.len() as u64))
            }
            Self::Removed(object) => Some((*object, Change::Delete, 1)),
            Self::Found(_)
            | Self::Lost
            | Self::LostMember(_)
            | Self::Enabled(_, Counted::WithCreation | Counted::NoChange) => None,
        }
    }
}

impl Outcome {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(guid: Guid) -> Self {
        Self {
            guid,
            effects: Vec::new(),
            failures: Vec::new(),
            fatal: None,
        }
    }

    /// Notes what the hub acknowledged.
    pub fn did(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Notes a refusal: a failed item, or the end of the run.
    pub fn refused(&mut self, object: ObjectType, change: Change, error: &ClientError) {
        if session::means_lost(error) {
            self.fatal = Some(Failure::LeaseLost(error.to_string()));
            return;
        }
        match error.kind {
            ErrorKind::Unreachable
            | ErrorKind::Certificate
            | ErrorKind::Unauthenticated
            | ErrorKind::Unavailable
            | ErrorKind::Configuration => self.fatal = Some(hub::failure(error)),
            // Rights on single groups may differ; rights on the pool concern every user.
            ErrorKind::Denied if object == ObjectType::User => {
                self.fatal = Some(hub::failure(error));
            }
            _ => {
                let remedy = remedy::of_refusal(object, change, error);
                let problem = Problem::new(error.to_string(), remedy);
                self.failures.push((object, change, problem));
            }
        }
    }
}
