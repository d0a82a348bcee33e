//! Goes over the objects of the directory and notes what must be done to each.
//!
//! Invariant: a removal needs a cause that was seen; whatever else is gone is collected as vanished.
//! Deliberately absent: what vanished objects mean for the plan, and the order of the work.

use std::collections::BTreeSet;

use super::{
    Activation, Cause, MembershipChange, NestedGroups, Plan, Removal, RemoveUserBehavior, Rules,
    Stop, Unfit, UserUpdate, members_of, primary_members,
};
use crate::engine::Guid;
use crate::engine::index::{Body, HubSide, Index, Kind, Presence, Record};
use crate::engine::scope::{ScopeView, Verdict};

/// What has been found so far.
pub(super) struct Planner<'a> {
    index: &'a Index,
    rules: &'a Rules,
    view: ScopeView,
    /// What must be done.
    pub(super) plan: Plan,
    /// Objects of the hub that did not appear.
    pub(super) vanished: Vec<Guid>,
}

impl<'a> Planner<'a> {
    /// Before the first object.
    pub(super) fn new(index: &'a Index, rules: &'a Rules, view: ScopeView) -> Self {
        Self {
            index,
            rules,
            view,
            plan: Plan::default(),
            vanished: Vec::new(),
        }
    }

    /// One user.
    pub(super) fn user(&mut self, guid: Guid, record: &Record) {
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

    /// One group, without its members.
    pub(super) fn group(&mut self, guid: Guid, record: &Record) {
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
    pub(super) fn neither(&mut self, guid: Guid, record: &Record) {
        if record.hub.is_some() {
            self.vanished.push(guid);
        }
    }

    /// The members of all groups, as long as `go_on` says so.
    pub(super) fn memberships(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), Stop> {
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

/// Why an object leaves the hub, if that was seen.
pub(in crate::engine) fn cause(record: &Record, verdict: Verdict) -> Option<Cause> {
    match (record.presence, verdict) {
        (Presence::Deleted, _) => Some(Cause::Deleted),
        (Presence::Seen, Verdict::Out) => Some(Cause::OutOfScope),
        _ => None,
    }
}

/// What must be done so that a user may sign in just when the directory says so.
pub(in crate::engine) fn activation(
    enabled: bool,
    hub: &HubSide,
    ended: bool,
) -> Option<Activation> {
    match (enabled, hub.enabled) {
        (true, Some(true)) | (false, Some(false)) => None,
        // The hub suspends an ended account by itself and refuses to reactivate it.
        (true, _) if ended => None,
        (true, _) => Some(Activation::Reactivate),
        (false, _) => Some(Activation::Suspend),
    }
}
