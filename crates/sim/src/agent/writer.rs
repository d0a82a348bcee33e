//! How a run carries out a plan.
//!
//! Invariant: in the order of decision U111; every call names its session and keeps its key when
//! it is repeated; a refused item is counted and does not stop the others; the index changes only
//! after the hub's answer.

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::Body;
use rollcall_agent::engine::plan::{
    Activation, MembershipChange, Plan, Removal, RemoveUserBehavior, UserUpdate,
};
use rollcall_agent::engine::values::{Digest, GroupValues, UserTarget, UserValues};
use rollcall_domain::group::GroupInput;
use rollcall_domain::mask::Mask;
use rollcall_domain::membership::{MemberAction, MemberDelta};
use rollcall_domain::progress::{ChangeType, Counts, ObjectType};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::user::{InitialState, NewUser, Profile, UserInput};

use super::{Interrupt, Run, is_lease_lost};
use crate::hub::{Call, Envelope};
use crate::world::Flaw;

/// Small, so that a group needs several calls.
const DELTAS_PER_CALL: usize = 3;
const CALLS_BETWEEN_REPORTS: u64 = 7;

impl Run<'_> {
    /// Everything the plan says; how many calls were refused or could not be made.
    pub(super) fn write(&mut self, plan: &Plan) -> Result<usize, Interrupt> {
        let failed_before = self.failures;
        for unfit in &plan.unfit_groups {
            self.count_failure(unfit.guid, ObjectType::Group, ChangeType::Create);
        }
        for unfit in &plan.unfit_users {
            self.count_failure(unfit.guid, ObjectType::User, ChangeType::Create);
        }
        for guid in &plan.group_creates {
            self.create_group(*guid)?;
        }
        for guid in &plan.group_updates {
            self.update_group(*guid)?;
        }
        for guid in &plan.user_creates {
            self.create_user(*guid)?;
        }
        for update in &plan.user_updates {
            self.update_user(*update)?;
        }
        for change in &plan.memberships {
            self.change_members(change)?;
        }
        for removal in &plan.user_removals {
            self.remove_user(*removal)?;
        }
        for removal in &plan.group_removals {
            self.remove_group(*removal)?;
        }
        Ok(self.failures - failed_before)
    }

    fn create_group(&mut self, guid: Guid) -> Result<(), Interrupt> {
        let Some(values) = self.group_values(guid) else {
            return Ok(());
        };
        let call = Call::CreateGroup {
            external_id: guid.to_string(),
            input: input(&values),
        };
        match self.item(guid, ObjectType::Group, ChangeType::Create, &call)? {
            Ok(id) => self.index.written(guid, &id, values.digest()),
            Err(Refusal::AlreadyExists { .. }) => {
                let id = self
                    .world
                    .hub
                    .resolve_group(guid)
                    .map(|group| group.id.to_string());
                self.adopt(guid, id);
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn update_group(&mut self, guid: Guid) -> Result<(), Interrupt> {
        let Some(values) = self.group_values(guid) else {
            return Ok(());
        };
        let Some(id) = self.id(guid) else {
            return Ok(());
        };
        let call = Call::UpdateGroup {
            id: id.clone().into(),
            input: input(&values),
            mask: Mask::All,
        };
        if self
            .item(guid, ObjectType::Group, ChangeType::Update, &call)?
            .is_ok()
        {
            self.index.written(guid, &id, values.digest());
        }
        Ok(())
    }

    fn create_user(&mut self, guid: Guid) -> Result<(), Interrupt> {
        let Some((values, enabled)) = self.user_values(guid) else {
            return Ok(());
        };
        let new = NewUser {
            username: values.get(UserTarget::Username).to_owned(),
            profile: profile(&values),
            external_id: guid.to_string(),
            state: if enabled {
                InitialState::Active
            } else {
                InitialState::Suspended
            },
            expires_at: values.expires_at,
        };
        let call = Call::CreateUser(Box::new(new));
        match self.item(guid, ObjectType::User, ChangeType::Create, &call)? {
            Ok(id) => {
                self.index.written(guid, &id, values.digest());
                self.index.activated(guid, enabled);
            }
            Err(Refusal::AlreadyExists { .. }) => {
                let id = self
                    .world
                    .hub
                    .resolve_user(guid)
                    .map(|user| user.id.to_string());
                self.adopt(guid, id);
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// The hub has the object already, made by a call whose answer nobody got. What it has is not
    /// known, so the next plan writes it again.
    fn adopt(&mut self, guid: Guid, id: Option<String>) {
        if let Some(id) = id {
            self.index.written(guid, &id, Digest::default());
        }
    }

    fn update_user(&mut self, update: UserUpdate) -> Result<(), Interrupt> {
        let guid = update.guid;
        let Some(id) = self.id(guid) else {
            return Ok(());
        };
        if update.values
            && let Some((values, _)) = self.user_values(guid)
        {
            let input = UserInput {
                username: values.get(UserTarget::Username).to_owned(),
                profile: profile(&values),
                expires_at: values.expires_at,
            };
            let call = Call::UpdateUser {
                id: id.clone().into(),
                input: Box::new(input),
                mask: Mask::All,
            };
            if self
                .item(guid, ObjectType::User, ChangeType::Update, &call)?
                .is_ok()
            {
                self.index.written(guid, &id, values.digest());
            }
        }
        match update.activation {
            Some(Activation::Reactivate) => {
                let call = Call::ReactivateUser(id.into());
                if self
                    .item(guid, ObjectType::User, ChangeType::Activate, &call)?
                    .is_ok()
                {
                    self.index.activated(guid, true);
                }
            }
            Some(Activation::Suspend) => self.suspend(guid, &id)?,
            None => {}
        }
        Ok(())
    }

    fn suspend(&mut self, guid: Guid, id: &str) -> Result<(), Interrupt> {
        let call = Call::SuspendUser(id.into());
        if self
            .item(guid, ObjectType::User, ChangeType::Deactivate, &call)?
            .is_ok()
        {
            self.index.activated(guid, false);
        }
        Ok(())
    }

    fn change_members(&mut self, change: &MembershipChange) -> Result<(), Interrupt> {
        for (action, users) in [
            (MemberAction::Add, &change.add),
            (MemberAction::Remove, &change.remove),
        ] {
            let known: Vec<Guid> = users
                .iter()
                .copied()
                .filter(|user| self.id(*user).is_some())
                .collect();
            for users in known.chunks(DELTAS_PER_CALL) {
                if self.member_call(change.group, action, users)? {
                    continue;
                }
                // A user that is gone from the hub spoils the call: try one by one.
                for user in users {
                    self.member_call(change.group, action, &[*user])?;
                }
            }
        }
        Ok(())
    }

    fn member_call(
        &mut self,
        group: Guid,
        action: MemberAction,
        users: &[Guid],
    ) -> Result<bool, Interrupt> {
        let Some(id) = self.id(group) else {
            return Ok(true);
        };
        let delta = |user: &Guid| {
            Some(MemberDelta {
                action,
                user_id: self.id(*user)?.into(),
            })
        };
        let call = Call::UpdateMembers {
            id: id.into(),
            deltas: users.iter().filter_map(delta).collect(),
        };
        let kind = match action {
            MemberAction::Add => ChangeType::Create,
            MemberAction::Remove => ChangeType::Delete,
        };
        if self
            .item(group, ObjectType::Membership, kind, &call)?
            .is_err()
        {
            return Ok(users.len() <= 1);
        }
        match action {
            MemberAction::Add => self.index.members_changed(group, users, &[]),
            MemberAction::Remove => self.index.members_changed(group, &[], users),
        }
        Ok(true)
    }

    fn remove_user(&mut self, removal: Removal) -> Result<(), Interrupt> {
        let guid = removal.guid;
        let Some(id) = self.id(guid) else {
            return Ok(());
        };
        if self.settings.remove_user_behavior == RemoveUserBehavior::Block {
            return self.suspend(guid, &id);
        }
        let call = Call::DeleteUser(id.into());
        match self.item(guid, ObjectType::User, ChangeType::Delete, &call)? {
            Ok(_) | Err(Refusal::NotFound { .. }) => self.index.removed(guid),
            Err(_) => {}
        }
        Ok(())
    }

    fn remove_group(&mut self, removal: Removal) -> Result<(), Interrupt> {
        let guid = removal.guid;
        let Some(id) = self.id(guid) else {
            return Ok(());
        };
        let call = Call::DeleteGroup(id.into());
        match self.item(guid, ObjectType::Group, ChangeType::Delete, &call)? {
            Ok(_) | Err(Refusal::NotFound { .. }) => self.index.removed(guid),
            Err(_) => {}
        }
        Ok(())
    }

    /// One changing call, counted as the hub says.
    fn item(
        &mut self,
        guid: Guid,
        object: ObjectType,
        change: ChangeType,
        call: &Call,
    ) -> Result<Result<String, Refusal>, Interrupt> {
        self.beat()?;
        self.calls += 1;
        let key = self.world.new_key();
        let flaw = self.world.flaw;
        let fence = (flaw != Flaw::WritesWithoutFence).then(|| self.session.clone());
        let answer = self.world.send(|attempt| Envelope {
            call: call.clone(),
            key: match flaw {
                Flaw::NewKeyPerAttempt => format!("{key} {attempt}"),
                _ => key.clone(),
            },
            fence: fence.clone(),
        })?;
        match &answer {
            Ok(answer) => {
                self.totals.add_times(&answer.tally, 1);
                self.progress = self.progress.raised(&self.totals);
            }
            Err(refusal) if is_lease_lost(refusal) => return Err(Interrupt::LeaseLost),
            Err(refusal) if flaw == Flaw::StopsAtRefusedItem => {
                return Err(Interrupt::Refused(refusal.clone()));
            }
            Err(_) => self.count_failure(guid, object, change),
        }
        if self.calls.is_multiple_of(CALLS_BETWEEN_REPORTS) {
            self.report()?;
        }
        Ok(answer.map(|answer| answer.id))
    }

    /// A failed item counts once per session, however often it is tried again.
    fn count_failure(&mut self, guid: Guid, object: ObjectType, change: ChangeType) {
        self.failures += 1;
        self.failed.insert((guid, object, change));
        let failed = self
            .failed
            .iter()
            .filter(|(_, o, c)| (*o, *c) == (object, change))
            .count();
        let counts = Counts {
            successful: 0,
            failed: i64::try_from(failed).unwrap_or(i64::MAX),
        };
        self.progress.raise(object, change, counts);
    }

    fn id(&self, guid: Guid) -> Option<String> {
        self.index.hub_id(guid).map(str::to_owned)
    }

    fn user_values(&self, guid: Guid) -> Option<(UserValues, bool)> {
        match self.index.get(guid)?.body() {
            Body::User {
                values, enabled, ..
            } => Some((values.ok()?, enabled)),
            _ => None,
        }
    }

    fn group_values(&self, guid: Guid) -> Option<GroupValues> {
        match self.index.get(guid)?.body() {
            Body::Group { values, .. } => values.ok(),
            _ => None,
        }
    }
}

fn input(values: &GroupValues) -> GroupInput {
    GroupInput {
        name: values.name.clone(),
        description: values.description.clone().unwrap_or_default(),
        ..GroupInput::default()
    }
}

fn profile(values: &UserValues) -> Profile {
    let text = |target| values.get(target).to_owned();
    Profile {
        full_name: text(UserTarget::FullName),
        given_name: text(UserTarget::GivenName),
        family_name: text(UserTarget::FamilyName),
        email: text(UserTarget::Email),
        phone_number: text(UserTarget::PhoneNumber),
        company_name: text(UserTarget::CompanyName),
        department: text(UserTarget::Department),
        job_title: text(UserTarget::JobTitle),
        employee_id: text(UserTarget::EmployeeId),
    }
}
