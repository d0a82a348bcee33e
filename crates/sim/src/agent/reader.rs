//! How a run gets its picture of both sides.
//!
//! Invariant: the cookie is taken before anything is read, so that what changes meanwhile is read
//! again; reported objects are read whole by their guid; objects the hub has and the directory
//! does not show are asked for one by one before anything is concluded.

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::hub_id::HubId;
use rollcall_agent::engine::index::{HubGroup, HubUser, Index, Kind};
use rollcall_agent::engine::object::Change;
use rollcall_agent::engine::values::{GroupValues, UserTarget, UserValues};
use rollcall_domain::group::Group;
use rollcall_domain::user::{User, UserStatus};
use rollcall_kit::timestamp::Timestamp;

use super::{Interrupt, Run};
use crate::hub;
use crate::world::{Flaw, Weather};

const PAGE: usize = 10;
/// Parents of parents, and members of members, that are asked for.
const DEPTH_MAX: usize = 64;

impl Run<'_> {
    /// A full run: the whole directory against the hub's listing.
    pub(super) fn read_everything(&mut self) -> Result<(), Interrupt> {
        self.cookie = self.world.directory.cookie();
        self.index = Index::default();
        let visible = self.world.directory.visible();
        self.read_objects(&visible)?;
        self.world.step()?;
        let (users, groups) = self.listing();
        self.index.set_hub(users, groups);
        if let Some(stored) = &self.agent.stored
            && (self.is_current(stored) || self.world.flaw == Flaw::TrustsStaleActivation)
        {
            let before = stored.index.clone();
            self.index.remember(&before);
            if self.world.flaw == Flaw::TrustsStaleActivation {
                self.believe_activation(&before);
            }
        }
        let missing = self.index.missing();
        self.read_objects(&missing)?;
        self.world.coverage.full_reads += 1;
        Ok(())
    }

    fn believe_activation(&mut self, before: &Index) {
        for user in self.index.inactive_users() {
            if before.is_active(user) {
                self.index.activated(user, true);
            }
        }
    }

    /// An increment since the cookie; a full run when the cookie is refused.
    pub(super) fn read_increment(&mut self) -> Result<(), Interrupt> {
        self.beat()?;
        let Ok((mut changed, cookie)) = self.world.directory.changes_since(self.cookie) else {
            self.world.coverage.cookies_refused += 1;
            return self.read_everything();
        };
        changed.extend(self.replayed());
        self.read_objects(&changed)?;
        if self.world.flaw == Flaw::ForgetsChildrenOfMovedUnits {
            self.forget_children(&changed);
        }
        self.cookie = cookie;
        self.world.coverage.delta_reads += 1;
        Ok(())
    }

    /// Increments may repeat what was reported before.
    fn replayed(&self) -> Vec<Guid> {
        let world = &self.world;
        if world.weather == Weather::Calm || !world.dice.chance(100) {
            return Vec::new();
        }
        let reported = world
            .directory
            .visible()
            .into_iter()
            .chain(world.directory.tombstones());
        reported.filter(|_| world.dice.chance(300)).collect()
    }

    fn read_objects(&mut self, guids: &[Guid]) -> Result<(), Interrupt> {
        for page in guids.chunks(PAGE) {
            self.world.step()?;
            self.beat()?;
            if self.world.weather == Weather::Storm && self.world.dice.chance(10) {
                return Err(Interrupt::ReadFailed);
            }
            for guid in page {
                self.read_object(*guid);
            }
        }
        for _ in 0..DEPTH_MAX {
            let mut unknown = self.index.missing_parents();
            unknown.extend(self.index.missing_members());
            let known = self.index.len();
            for guid in unknown {
                self.read_object(guid);
            }
            if self.index.len() == known {
                break;
            }
        }
        Ok(())
    }

    fn read_object(&mut self, guid: Guid) {
        let change = match self.world.directory.read(guid) {
            Change::Missing(guid) if self.world.flaw == Flaw::RemovesOnAbsence => {
                Change::Deleted(guid)
            }
            change => change,
        };
        self.index.apply(change, &self.mapping);
    }

    fn forget_children(&mut self, changed: &[Guid]) {
        let children: Vec<Guid> = self
            .index
            .iter()
            .filter(|(_, record)| record.kind() != Kind::Container)
            .filter(|(_, record)| record.parent.is_some_and(|unit| changed.contains(&unit)))
            .map(|(guid, _)| guid)
            .filter(|guid| !changed.contains(guid))
            .collect();
        for guid in children {
            self.index.apply(Change::Deleted(guid), &self.mapping);
        }
    }

    /// Reactivated users are listed as members again, wherever they were left.
    pub(super) fn list_members_again(&mut self) -> Result<(), Interrupt> {
        self.world.step()?;
        let (_, groups) = self.listing();
        let members = groups
            .into_iter()
            .map(|group| (group.guid, group.member_ids));
        self.index.set_members(&members.collect());
        Ok(())
    }

    fn listing(&self) -> (Vec<HubUser>, Vec<HubGroup>) {
        let hub = &self.world.hub;
        let now = self.world.now();
        let users = hub.users().filter_map(|user| hub_user(user, now)).collect();
        let groups = hub.groups().filter_map(|group| {
            let members = hub.members(&group.id);
            let member_ids = members.map(|id| HubId::from(id.to_string())).collect();
            Some(HubGroup {
                guid: hub::guid_of_group(group)?,
                id: group.id.to_string().into(),
                values: group_values(group),
                member_ids,
            })
        });
        (users, groups.collect())
    }
}

fn hub_user(user: &User, now: Timestamp) -> Option<HubUser> {
    Some(HubUser {
        guid: hub::guid_of_user(user)?,
        id: user.id.to_string().into(),
        values: user_values(user),
        // As a hub's listing says it: whose suspension it is does not show, and an account that
        // ended is suspended in any case.
        enabled: match user.status(now) {
            UserStatus::Active => Some(true),
            _ if user.expires_at.is_some_and(|at| at <= now) => None,
            _ => Some(false),
        },
    })
}

fn user_values(user: &User) -> UserValues {
    let profile = &user.profile;
    let fields = [
        (UserTarget::Username, user.username.as_str()),
        (UserTarget::FullName, &profile.full_name),
        (UserTarget::GivenName, &profile.given_name),
        (UserTarget::FamilyName, &profile.family_name),
        (UserTarget::Email, &profile.email),
        (UserTarget::PhoneNumber, &profile.phone_number),
        (UserTarget::CompanyName, &profile.company_name),
        (UserTarget::Department, &profile.department),
        (UserTarget::JobTitle, &profile.job_title),
        (UserTarget::EmployeeId, &profile.employee_id),
    ];
    UserValues::new(fields, user.expires_at)
}

fn group_values(group: &Group) -> GroupValues {
    GroupValues {
        name: group.name.clone(),
        description: Some(group.description.clone()),
    }
}
