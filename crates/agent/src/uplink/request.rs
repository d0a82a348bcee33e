//! From a plan to calls.
//!
//! Invariant: a request holds everything its calls need, so that the index is free meanwhile.

use rollcall_client::{ClientError, ErrorKind};
use rollcall_proto::organizationmanager::member_delta::MemberAction;

use super::Work;
use super::effect::{Counted, Effect, Outcome};
use super::write::Write;
use crate::engine::Guid;
use crate::engine::account_state::SignIn;
use crate::engine::index::{Body, Index};
use crate::engine::plan::Activation;
use crate::engine::values::{GroupValues, UserTarget, UserValues};
use crate::progress::{Change, ObjectType};

/// One write with all its data.
#[derive(Debug)]
pub enum Request {
    /// Make a group.
    CreateGroup(Guid, GroupValues),
    /// Set a group's values.
    UpdateGroup(Guid, String, GroupValues),
    /// Make a user.
    CreateUser(Guid, UserValues, SignIn),
    /// Set a user's values if given, switch it on or off if given.
    UpdateUser(Guid, String, Option<UserValues>, Option<Activation>),
    /// Change members of the group with this id.
    Members(Guid, String, MemberAction, Vec<(Guid, String)>),
    /// Delete a user.
    DeleteUser(Guid, String),
    /// Suspend a user.
    BlockUser(Guid, String),
    /// Delete a group.
    DeleteGroup(Guid, String),
}

impl Request {
    /// Fills a write with data; `None` when an earlier step failed that it depends on.
    pub fn prepare(write: &Write, index: &Index) -> Option<Self> {
        let id = |guid: Guid| index.hub_id(guid).map(str::to_owned);
        Some(match write {
            Write::CreateGroup(guid) => Self::CreateGroup(*guid, group_values(index, *guid)?),
            Write::UpdateGroup(guid) => {
                Self::UpdateGroup(*guid, id(*guid)?, group_values(index, *guid)?)
            }
            Write::CreateUser(guid) => {
                let (values, enabled) = user_values(index, *guid)?;
                let sign_in = SignIn {
                    enabled,
                    must_change_password: index.get(*guid)?.must_change_password,
                };
                Self::CreateUser(*guid, values, sign_in)
            }
            Write::UpdateUser {
                guid,
                values,
                activation,
            } => {
                let wanted = if *values {
                    Some(user_values(index, *guid)?.0)
                } else {
                    None
                };
                Self::UpdateUser(*guid, id(*guid)?, wanted, *activation)
            }
            Write::Members {
                group,
                action,
                users,
            } => {
                let users: Vec<(Guid, String)> = users
                    .iter()
                    .filter_map(|user| Some((*user, id(*user)?)))
                    .collect();
                if users.is_empty() {
                    return None;
                }
                Self::Members(*group, id(*group)?, *action, users)
            }
            Write::DeleteUser(guid) => Self::DeleteUser(*guid, id(*guid)?),
            Write::BlockUser(guid) => Self::BlockUser(*guid, id(*guid)?),
            Write::DeleteGroup(guid) => Self::DeleteGroup(*guid, id(*guid)?),
        })
    }

    /// The object.
    pub fn guid(&self) -> Guid {
        match self {
            Self::CreateGroup(guid, ..)
            | Self::UpdateGroup(guid, ..)
            | Self::CreateUser(guid, ..)
            | Self::UpdateUser(guid, ..)
            | Self::Members(guid, ..)
            | Self::DeleteUser(guid, ..)
            | Self::BlockUser(guid, ..)
            | Self::DeleteGroup(guid, ..) => *guid,
        }
    }

    /// Makes the calls.
    pub async fn send(self, work: &Work<'_>, outcome: &mut Outcome) {
        match self {
            Self::CreateGroup(guid, values) => work.create_group(guid, &values, outcome).await,
            Self::UpdateGroup(_, id, values) => work.update_group(&id, &values, outcome).await,
            Self::CreateUser(guid, values, sign_in) => {
                work.create_user(guid, &values, sign_in, outcome).await;
            }
            Self::UpdateUser(_, id, values, activation) => {
                if let Some(values) = values {
                    work.update_user(&id, &values, outcome).await;
                }
                if let Some(activation) = activation
                    && outcome.failures.is_empty()
                    && outcome.fatal.is_none()
                {
                    work.switch_user(&id, activation, outcome).await;
                }
            }
            Self::Members(guid, id, action, users) => {
                work.change_members(guid, &id, action, users, outcome).await;
            }
            Self::DeleteUser(_, id) => {
                let answer = work.session.hub().delete_user(&id).await;
                deleted(ObjectType::User, answer, outcome);
            }
            Self::BlockUser(_, id) => {
                work.switch_user(&id, Activation::Suspend, outcome).await;
            }
            Self::DeleteGroup(_, id) => {
                let answer = work.session.hub().delete_group(&id).await;
                deleted(ObjectType::Group, answer, outcome);
            }
        }
    }
}

impl Work<'_> {
    async fn create_group(&self, guid: Guid, values: &GroupValues, outcome: &mut Outcome) {
        let hub = self.session.hub();
        let error = match hub.create_group(guid, values).await {
            Ok(id) => {
                return outcome.did(Effect::Created(ObjectType::Group, id, values.digest()));
            }
            Err(error) => error,
        };
        if error.kind != ErrorKind::AlreadyExists {
            return outcome.refused(ObjectType::Group, Change::Create, &error);
        }
        match hub.find_group(guid).await {
            Ok(group) => {
                outcome.did(Effect::Found(group.id.clone()));
                self.update_group(&group.id, values, outcome).await;
            }
            Err(missing) if missing.kind == ErrorKind::NotFound => {
                self.capture_group(guid, values, &error, outcome).await;
            }
            Err(other) => outcome.refused(ObjectType::Group, Change::Create, &other),
        }
    }

    async fn capture_group(
        &self,
        guid: Guid,
        values: &GroupValues,
        conflict: &ClientError,
        outcome: &mut Outcome,
    ) {
        if !self.settings.capture_groups {
            return outcome.refused(ObjectType::Group, Change::Create, conflict);
        }
        let hub = self.session.hub();
        match hub.find_local_group(&values.name).await {
            Ok(Some(id)) => match hub.capture_group(&id, guid).await {
                Ok(()) => {
                    outcome.did(Effect::Found(id.clone()));
                    self.update_group(&id, values, outcome).await;
                }
                Err(error) => outcome.refused(ObjectType::Group, Change::Create, &error),
            },
            Ok(None) => outcome.refused(ObjectType::Group, Change::Create, conflict),
            Err(error) => outcome.refused(ObjectType::Group, Change::Create, &error),
        }
    }

    async fn update_group(&self, id: &str, values: &GroupValues, outcome: &mut Outcome) {
        match self.session.hub().update_group(id, values).await {
            Ok(()) => outcome.did(Effect::Updated(
                ObjectType::Group,
                id.to_owned(),
                values.digest(),
            )),
            Err(error) => changed_badly(ObjectType::Group, Change::Update, &error, outcome),
        }
    }

    async fn create_user(
        &self,
        guid: Guid,
        values: &UserValues,
        sign_in: SignIn,
        outcome: &mut Outcome,
    ) {
        let hub = self.session.hub();
        let enabled = sign_in.enabled;
        let made = hub.create_user(guid, values, sign_in, &**self.entropy);
        let error = match made.await {
            Ok(id) => {
                outcome.did(Effect::Created(ObjectType::User, id, values.digest()));
                return outcome.did(Effect::Enabled(enabled, Counted::WithCreation));
            }
            Err(error) => error,
        };
        if error.kind != ErrorKind::AlreadyExists {
            return outcome.refused(ObjectType::User, Change::Create, &error);
        }
        match hub.find_user(guid).await {
            Ok(Some(id)) => self.take_over(id, values, enabled, outcome).await,
            Ok(None) => {
                self.capture_user(guid, values, enabled, &error, outcome)
                    .await;
            }
            Err(other) => outcome.refused(ObjectType::User, Change::Create, &other),
        }
    }

    async fn capture_user(
        &self,
        guid: Guid,
        values: &UserValues,
        enabled: bool,
        conflict: &ClientError,
        outcome: &mut Outcome,
    ) {
        if !self.settings.capture_users {
            return outcome.refused(ObjectType::User, Change::Create, conflict);
        }
        let hub = self.session.hub();
        match hub.find_local_user(values.get(UserTarget::Username)).await {
            Ok(Some(id)) => match hub.capture_user(&id, guid).await {
                Ok(()) => self.take_over(id, values, enabled, outcome).await,
                Err(error) => outcome.refused(ObjectType::User, Change::Create, &error),
            },
            Ok(None) => outcome.refused(ObjectType::User, Change::Create, conflict),
            Err(error) => outcome.refused(ObjectType::User, Change::Create, &error),
        }
    }

    /// The hub has the user, in an unknown state.
    async fn take_over(
        &self,
        id: String,
        values: &UserValues,
        enabled: bool,
        outcome: &mut Outcome,
    ) {
        outcome.did(Effect::Found(id.clone()));
        self.update_user(&id, values, outcome).await;
        let ended = values.expires_at.is_some_and(|at| at <= self.clock.now());
        if outcome.failures.is_empty() && outcome.fatal.is_none() && !(enabled && ended) {
            let activation = if enabled {
                Activation::Reactivate
            } else {
                Activation::Suspend
            };
            self.switch_user(&id, activation, outcome).await;
        }
    }

    async fn update_user(&self, id: &str, values: &UserValues, outcome: &mut Outcome) {
        let mapping = &self.settings.mapping;
        match self.session.hub().update_user(id, values, mapping).await {
            Ok(()) => outcome.did(Effect::Updated(
                ObjectType::User,
                id.to_owned(),
                values.digest(),
            )),
            Err(error) => changed_badly(ObjectType::User, Change::Update, &error, outcome),
        }
    }

    async fn switch_user(&self, id: &str, activation: Activation, outcome: &mut Outcome) {
        let change = match activation {
            Activation::Suspend => Change::Deactivate,
            Activation::Reactivate => Change::Activate,
        };
        match self.switched(id, activation).await {
            Ok(counted) => {
                let enabled = activation == Activation::Reactivate;
                outcome.did(Effect::Enabled(enabled, counted));
            }
            Err(error) => changed_badly(ObjectType::User, change, &error, outcome),
        }
    }

    /// Switches a user and tells whether that could be seen. An administrator's block hides what
    /// the agent adds or takes back (decision U52).
    async fn switched(&self, id: &str, activation: Activation) -> Result<Counted, ClientError> {
        let hub = self.session.hub();
        let is_active = async || {
            let account = hub.find_account(id.to_owned()).await;
            account.map(|found| found.is_some_and(|account| account.present.active))
        };
        let before = is_active().await?;
        let changed = match activation {
            Activation::Suspend => {
                hub.suspend_user(id).await?;
                before
            }
            Activation::Reactivate => {
                hub.reactivate_user(id).await?;
                !before && is_active().await?
            }
        };
        Ok(if changed {
            Counted::Alone
        } else {
            Counted::NoChange
        })
    }

    /// Changes members; a refused batch is halved until the members it is about are found. A
    /// group or user that the hub does not have any more is made anew by the next pass.
    async fn change_members(
        &self,
        group: Guid,
        group_id: &str,
        action: MemberAction,
        users: Vec<(Guid, String)>,
        outcome: &mut Outcome,
    ) {
        let change = match action {
            MemberAction::Remove => Change::Delete,
            MemberAction::Add | MemberAction::Unspecified => Change::Create,
        };
        let mut batches = vec![users];
        let mut group_was_seen = false;
        while let Some(mut batch) = batches.pop() {
            let deltas: Vec<(MemberAction, String)> = batch
                .iter()
                .map(|(_, subject)| (action, subject.clone()))
                .collect();
            let answer = self.session.hub().update_members(group_id, &deltas).await;
            if let Err(error) = &answer
                && error.kind == ErrorKind::NotFound
                && !group_was_seen
            {
                match self.has_group(group, group_id).await {
                    Ok(true) => group_was_seen = true,
                    Ok(false) => {
                        outcome.did(Effect::Lost);
                        return outcome.refused(ObjectType::Membership, change, error);
                    }
                    Err(other) => {
                        return outcome.refused(ObjectType::Membership, change, &other);
                    }
                }
            }
            match answer {
                Ok(()) => {
                    let guids: Vec<Guid> = batch.into_iter().map(|(guid, _)| guid).collect();
                    let (added, removed) = match change {
                        Change::Delete => (Vec::new(), guids),
                        _ => (guids, Vec::new()),
                    };
                    outcome.did(Effect::Members { added, removed });
                }
                Err(error) if batch.len() > 1 && concerns_a_member(&error) => {
                    let half = batch.split_off(batch.len() / 2);
                    batches.extend([batch, half]);
                }
                Err(error) => {
                    if let [(user, _)] = batch.as_slice()
                        && error.kind == ErrorKind::NotFound
                    {
                        outcome.did(Effect::LostMember(*user));
                    }
                    outcome.refused(ObjectType::Membership, change, &error);
                    if outcome.fatal.is_some() || !concerns_a_member(&error) {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the hub still has the group under the id we know.
    async fn has_group(&self, group: Guid, group_id: &str) -> Result<bool, ClientError> {
        match self.session.hub().find_group(group).await {
            Ok(found) => Ok(found.id == group_id),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn concerns_a_member(error: &ClientError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotFound | ErrorKind::InvalidArgument { .. }
    )
}

/// A change of an object the hub does not have any more lets the next pass make it anew.
fn changed_badly(object: ObjectType, change: Change, error: &ClientError, outcome: &mut Outcome) {
    if error.kind == ErrorKind::NotFound {
        outcome.did(Effect::Lost);
    }
    outcome.refused(object, change, error);
}

fn deleted(object: ObjectType, answer: Result<(), ClientError>, outcome: &mut Outcome) {
    match answer {
        Ok(()) => outcome.did(Effect::Removed(object)),
        Err(error) if error.kind == ErrorKind::NotFound => outcome.did(Effect::Lost),
        Err(error) => outcome.refused(object, Change::Delete, &error),
    }
}

pub(super) fn group_values(index: &Index, guid: Guid) -> Option<GroupValues> {
    match index.get(guid)?.body() {
        Body::Group { values, .. } => values.ok(),
        _ => None,
    }
}

pub(super) fn user_values(index: &Index, guid: Guid) -> Option<(UserValues, bool)> {
    match index.get(guid)?.body() {
        Body::User {
            values, enabled, ..
        } => Some((values.ok()?, enabled)),
        _ => None,
    }
}
