//! Changes of groups, of their members and of primary groups.

use std::collections::BTreeSet;

use super::{DOMAIN_USERS, Domain, GROUPS_MAX, Group, Member, changed, deleted, renamed};
use crate::change::*;
use crate::dice::Dice;
use crate::step::Step;

impl Domain {
    /// Mostly one of a kind; some do not fit, and some are the name of another group elsewhere.
    fn group_name(&mut self, dice: &mut Dice, parent: usize) -> String {
        let number = self.next();
        let name = match dice.below(8) {
            0 => format!("Team {number}"),
            1 | 2 => format!("shared-{}", dice.below(4)),
            _ => format!("group-{number}"),
        };
        let taken = self
            .groups
            .iter()
            .any(|group| group.live && group.parent == parent && group.name == name);
        if taken {
            format!("group-{number}")
        } else {
            name
        }
    }

    pub(super) fn create_group(&mut self, dice: &mut Dice) -> Option<Step> {
        if self.live_groups().len() >= GROUPS_MAX {
            return None;
        }
        let parent = *dice.pick(&self.live_units())?;
        let group = Group {
            account: format!("ga{}", self.next()),
            name: self.group_name(dice, parent),
            parent,
            live: true,
            members: BTreeSet::new(),
        };
        let account = group.account.clone();
        self.groups.push(group);
        let dn = line("dn", &self.group_dn(self.groups.len() - 1));
        Some(Step::Change(format!(
            "{dn}changetype: add\nobjectClass: group\nsAMAccountName: {account}\n\
             description: About {account}\n\n"
        )))
    }

    pub(super) fn rename_group(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_groups())?;
        let name = self.group_name(dice, self.groups[at].parent);
        let step = renamed(&self.group_dn(at), &format!("CN={}", escaped(&name)), None);
        self.groups[at].name = name;
        Some(step)
    }

    pub(super) fn move_group(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_groups())?;
        let to = *dice.pick(&self.live_units())?;
        if self.groups[at].parent == to {
            return None;
        }
        let name = self.group_name(dice, to);
        let new = format!("CN={}", escaped(&name));
        let step = renamed(&self.group_dn(at), &new, Some(&self.unit_dn(to)));
        self.groups[at].parent = to;
        self.groups[at].name = name;
        Some(step)
    }

    pub(super) fn delete_or_restore_group(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = dice.below(self.groups.len().max(1));
        let is_live = self.groups.get(at)?.live;
        let is_primary = self.users.iter().any(|user| user.primary == Some(at));
        if is_live {
            if is_primary || self.kept == Some(at) {
                return None;
            }
            let step = deleted(&self.group_dn(at));
            self.groups[at].live = false;
            self.groups[at].members.clear();
            for group in &mut self.groups {
                group.members.remove(&Member::Group(at));
            }
            return Some(step);
        }
        let parent = *dice.pick(&self.live_units())?;
        self.groups[at].name = self.group_name(dice, parent);
        self.groups[at].parent = parent;
        self.groups[at].live = true;
        let dn = self.group_dn(at);
        Some(Step::Restore {
            account: self.groups[at].account.clone(),
            then: changed(&dn, "replace: description\ndescription: restored"),
            dn,
        })
    }

    pub(super) fn add_member(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_groups())?;
        let member = if dice.once_in(4) {
            Member::Group(*dice.pick(&self.live_groups())?)
        } else {
            Member::User(*dice.pick(&self.live_users())?)
        };
        if let Member::User(user) = member
            && self.users[user].primary == Some(at)
        {
            return None;
        }
        if member == Member::Group(at) || !self.groups[at].members.insert(member) {
            return None;
        }
        let value = line("member", &self.dn(member));
        let change = format!("add: member\n{}", value.trim_end());
        Some(Step::Change(changed(&self.group_dn(at), &change)))
    }

    pub(super) fn remove_member(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_groups())?;
        let members: Vec<Member> = self.groups[at].members.iter().copied().collect();
        let member = *dice.pick(&members)?;
        self.groups[at].members.remove(&member);
        let value = line("member", &self.dn(member));
        let change = format!("delete: member\n{}", value.trim_end());
        Some(Step::Change(changed(&self.group_dn(at), &change)))
    }

    /// To a group the user is in, or back to Domain Users. The directory takes the user out of the
    /// members of the new one and puts it among those of the old one.
    pub(super) fn set_primary_group(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let mut former = None;
        std::mem::swap(&mut former, &mut self.users[at].primary);
        if let Some(group) = former {
            self.groups[group].members.insert(Member::User(at));
            let rid = DOMAIN_USERS.to_string();
            return Some(Step::Change(self.set(at, "primaryGroupID", Some(&rid))));
        }
        let its = |group: &usize| self.groups[*group].members.contains(&Member::User(at));
        let its: Vec<usize> = self.live_groups().into_iter().filter(its).collect();
        let group = *dice.pick(&its)?;
        self.groups[group].members.remove(&Member::User(at));
        self.users[at].primary = Some(group);
        Some(Step::PrimaryGroup {
            user: self.user_dn(at),
            group: self.groups[group].account.clone(),
        })
    }
}
