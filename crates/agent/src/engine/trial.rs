//! A plan tried out without a hub: what would succeed, what would fail and why.
//!
//! Invariant: it follows the rules the hub has for logins and group names and the order and the
//! passes of a real run, so that its counters are those of the run. Deliberately absent: what
//! cannot be foreseen, such as rights, quotas and changes that others make meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rollcall_kit::timestamp::Timestamp;

use super::Guid;
use super::circle::{WAITING_MAX, one_of_each_circle};
use super::index::{Body, Index, Record};
use super::plan::{Activation, PASSES_MAX, Plan, RemoveUserBehavior, UserUpdate};
use super::values::UserTarget;
use crate::item_error::Key;
use crate::progress::{Change, Count, ObjectType};

/// Who has a name in the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// This object of the directory.
    Ours(Guid),
    /// Nobody outside the hub: it can be captured.
    Local,
    /// An object of another source.
    Foreign,
}

/// The names that are taken in the hub.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Logins of the pool's users, folded (decision U85).
    pub logins: HashMap<String, Holder>,
    /// Those of these logins whose users may not sign in.
    pub suspended: BTreeSet<String>,
    /// Names of the organization's groups.
    pub groups: HashMap<String, Holder>,
    /// Domains that logins of the pool may have.
    pub domains: BTreeSet<String>,
}

/// The rules of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialRules {
    /// What becomes of users that leave.
    pub behavior: RemoveUserBehavior,
    /// Users of the hub with the same login are taken over.
    pub capture_users: bool,
    /// Groups of the hub with the same name are taken over.
    pub capture_groups: bool,
    /// The present.
    pub now: Timestamp,
}

/// What a run would count and report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    /// By object and kind of change.
    pub counts: BTreeMap<(ObjectType, Change), Count>,
    /// What would fail, and why.
    pub failures: BTreeMap<Key, String>,
}

/// Tries a plan.
#[must_use]
pub fn try_out(plan: &Plan, index: &Index, names: Names, rules: &TrialRules) -> Trial {
    let mut run = Run {
        index,
        rules,
        suspended: suspended(&names),
        held: held(&names.logins),
        group_held: held(&names.groups),
        names,
        trial: Trial::default(),
        there: BTreeSet::new(),
    };
    let mut left = plan.clone();
    let mut circles_may_be = true;
    for _ in 0..PASSES_MAX {
        run.trial.failures.clear();
        let before = left.writes();
        run.unfit(plan);
        run.groups(&mut left);
        run.users(&mut left);
        run.user_removals(&mut left);
        run.group_removals(&mut left);
        if run.trial.failures.is_empty() {
            break;
        }
        if left.writes() == before {
            // As in a run: nothing moved, a circle of names is opened once.
            if !circles_may_be || run.open_circles() == 0 {
                break;
            }
            circles_may_be = false;
        }
    }
    run.memberships(&left);
    let mut trial = run.trial;
    for key in trial.failures.keys() {
        trial.counts.entry((key.1, key.2)).or_default().failed += 1;
    }
    trial
}

fn held(names: &HashMap<String, Holder>) -> HashMap<Guid, String> {
    let ours = names.iter().filter_map(|(name, holder)| match holder {
        Holder::Ours(guid) => Some((*guid, name.clone())),
        Holder::Local | Holder::Foreign => None,
    });
    ours.collect()
}

fn suspended(names: &Names) -> BTreeSet<Guid> {
    let holders = names.suspended.iter().map(|login| names.logins.get(login));
    let ours = holders.filter_map(|holder| match holder? {
        Holder::Ours(guid) => Some(*guid),
        Holder::Local | Holder::Foreign => None,
    });
    ours.collect()
}

struct Run<'a> {
    index: &'a Index,
    rules: &'a TrialRules,
    names: Names,
    /// Users that may not sign in, as far as they are objects of the directory.
    suspended: BTreeSet<Guid>,
    /// The login of each object of the directory.
    held: HashMap<Guid, String>,
    group_held: HashMap<Guid, String>,
    trial: Trial,
    /// Objects that were made or found.
    there: BTreeSet<Guid>,
}

/// How an object gets its name.
enum Claim {
    /// It was free, or the object's own.
    Granted,
    /// From an object of the hub, which is taken over.
    Captured,
    /// Not at all.
    Refused(String),
}

impl Run<'_> {
    fn did(&mut self, object: ObjectType, change: Change) {
        let count = self.trial.counts.entry((object, change)).or_default();
        count.successful += 1;
    }

    /// An object of the hub that is taken over is tied first, which the hub counts for itself
    /// (decision 20).
    fn tied(&mut self, object: ObjectType) {
        self.did(object, Change::Update);
    }

    fn failed(&mut self, key: Key, reason: String) {
        self.trial.failures.insert(key, reason);
    }

    fn unfit(&mut self, plan: &Plan) {
        let groups = plan.unfit_groups.iter().map(|u| (ObjectType::Group, u));
        let users = plan.unfit_users.iter().map(|u| (ObjectType::User, u));
        for (object, unfit) in groups.chain(users) {
            let change = match self.index.hub_id(unfit.guid) {
                Some(_) => Change::Update,
                None => Change::Create,
            };
            self.failed((unfit.guid, object, change), unfit.reason.clone());
        }
    }

    fn groups(&mut self, left: &mut Plan) {
        for (object, list) in [
            (Change::Create, &mut left.group_creates),
            (Change::Update, &mut left.group_updates),
        ] {
            list.retain(|guid| !self.group(*guid, object));
        }
    }

    /// Whether it succeeded.
    fn group(&mut self, guid: Guid, change: Change) -> bool {
        let Some(Body::Group {
            values: Ok(values), ..
        }) = self.index.get(guid).map(Record::body)
        else {
            return true;
        };
        let name = values.name;
        let known = self.group_held.contains_key(&guid);
        let claim = claim(
            &mut self.names.groups,
            &mut self.group_held,
            guid,
            &name,
            self.rules.capture_groups && change == Change::Create,
        );
        match claim {
            Claim::Refused(holder) => {
                let reason = format!("the hub has {holder} group with the name {name:?}");
                self.failed((guid, ObjectType::Group, change), reason);
                false
            }
            Claim::Granted if change == Change::Create && !known => {
                self.there.insert(guid);
                self.did(ObjectType::Group, Change::Create);
                true
            }
            Claim::Granted | Claim::Captured => {
                if matches!(claim, Claim::Captured) {
                    self.tied(ObjectType::Group);
                }
                self.there.insert(guid);
                self.did(ObjectType::Group, Change::Update);
                true
            }
        }
    }

    fn users(&mut self, left: &mut Plan) {
        left.user_updates
            .retain(|update| !self.user_update(*update));
        left.user_creates.retain(|guid| !self.user_create(*guid));
    }

    fn user_update(&mut self, update: UserUpdate) -> bool {
        let guid = update.guid;
        if update.values {
            let Some((login, _, _)) = self.user(guid) else {
                return true;
            };
            if let Claim::Refused(reason) = self.login(guid, &login, Change::Update) {
                self.failed((guid, ObjectType::User, Change::Update), reason);
                return false;
            }
            self.did(ObjectType::User, Change::Update);
        }
        match update.activation {
            Some(Activation::Reactivate) => {
                self.did(ObjectType::User, Change::Activate);
            }
            Some(Activation::Suspend) if !self.suspended.contains(&guid) => {
                self.did(ObjectType::User, Change::Deactivate);
            }
            // One more cause of a suspension is no change.
            Some(Activation::Suspend) | None => {}
        }
        true
    }

    fn user_create(&mut self, guid: Guid) -> bool {
        let Some((login, enabled, ended)) = self.user(guid) else {
            return true;
        };
        let known = self.held.contains_key(&guid);
        let active =
            !self.suspended.contains(&guid) && (known || !self.names.suspended.contains(&login));
        match self.login(guid, &login, Change::Create) {
            Claim::Refused(reason) => {
                self.failed((guid, ObjectType::User, Change::Create), reason);
                return false;
            }
            Claim::Granted if !known => self.did(ObjectType::User, Change::Create),
            // It is there already, or is taken over: its values are set, then it is switched.
            claim @ (Claim::Granted | Claim::Captured) => {
                if matches!(claim, Claim::Captured) {
                    self.tied(ObjectType::User);
                }
                self.did(ObjectType::User, Change::Update);
                match (enabled, active) {
                    (true, false) if !ended => self.did(ObjectType::User, Change::Activate),
                    (false, true) => self.did(ObjectType::User, Change::Deactivate),
                    _ => {}
                }
            }
        }
        self.there.insert(guid);
        true
    }

    fn login(&mut self, guid: Guid, login: &str, change: Change) -> Claim {
        let domain = login.rsplit_once('@').map_or("", |(_, domain)| domain);
        if !self.names.domains.contains(domain) {
            return Claim::Refused(format!(
                "{domain:?} of the login {login} is no proven domain of the pool; add and validate it, or set sync_settings.replacement_domain"
            ));
        }
        let capture = self.rules.capture_users && change == Change::Create;
        let claim = claim(&mut self.names.logins, &mut self.held, guid, login, capture);
        match claim {
            Claim::Refused(holder) => {
                Claim::Refused(format!("the hub has {holder} user with the login {login}"))
            }
            other => other,
        }
    }

    /// Folded login, whether it is enabled, whether the account has ended.
    fn user(&self, guid: Guid) -> Option<(String, bool, bool)> {
        let Body::User {
            values, enabled, ..
        } = self.index.get(guid)?.body()
        else {
            return None;
        };
        let values = values.ok()?;
        let ended = values.expires_at.is_some_and(|at| at <= self.rules.now);
        let login = values.get(UserTarget::Username).to_lowercase();
        Some((login, enabled, ended))
    }

    fn user_removals(&mut self, left: &mut Plan) {
        for removal in std::mem::take(&mut left.user_removals) {
            match self.rules.behavior {
                RemoveUserBehavior::Block => {
                    if !self.suspended.contains(&removal.guid) {
                        self.did(ObjectType::User, Change::Deactivate);
                    }
                }
                RemoveUserBehavior::Remove => {
                    if let Some(login) = self.held.remove(&removal.guid) {
                        self.names.logins.remove(&login);
                    }
                    self.did(ObjectType::User, Change::Delete);
                }
            }
        }
    }

    fn group_removals(&mut self, left: &mut Plan) {
        for removal in std::mem::take(&mut left.group_removals) {
            if let Some(name) = self.group_held.remove(&removal.guid) {
                self.names.groups.remove(&name);
            }
            self.did(ObjectType::Group, Change::Delete);
        }
    }

    /// Lets one object of each circle of names step aside; tells how many did.
    fn open_circles(&mut self) -> usize {
        let mut opened = 0;
        for object_type in [ObjectType::User, ObjectType::Group] {
            let waiting: BTreeSet<Guid> = self
                .trial
                .failures
                .keys()
                .filter(|(_, of, change)| *of == object_type && *change == Change::Update)
                .map(|(guid, ..)| *guid)
                .take(WAITING_MAX)
                .collect();
            let holders = waiting.iter().filter_map(|guid| {
                let holder = self.holder(object_type, *guid)?;
                (holder != *guid && waiting.contains(&holder)).then_some((*guid, holder))
            });
            for guid in one_of_each_circle(&holders.collect()) {
                let (held, names) = match object_type {
                    ObjectType::Group => (&mut self.group_held, &mut self.names.groups),
                    _ => (&mut self.held, &mut self.names.logins),
                };
                if let Some(name) = held.remove(&guid) {
                    names.remove(&name);
                }
                // Its name on the way is an update of its own (decision 20).
                self.did(object_type, Change::Update);
                opened += 1;
            }
        }
        opened
    }

    /// Which object of the directory has the name that this one is to have.
    fn holder(&self, object_type: ObjectType, guid: Guid) -> Option<Guid> {
        let holder = match (object_type, self.index.get(guid)?.body()) {
            (ObjectType::Group, Body::Group { values, .. }) => {
                self.names.groups.get(&values.ok()?.name)
            }
            (ObjectType::User, Body::User { .. }) => self.names.logins.get(&self.user(guid)?.0),
            _ => None,
        };
        match holder? {
            Holder::Ours(holder) => Some(*holder),
            Holder::Local | Holder::Foreign => None,
        }
    }

    fn memberships(&mut self, plan: &Plan) {
        let (mut added, mut removed) = (0, 0);
        for change in &plan.memberships {
            if !self.is_there(change.group) {
                continue;
            }
            let there = change.add.iter().filter(|user| self.is_there(**user));
            added += there.count() as u64;
            removed += change.remove.len() as u64;
        }
        for (change, number) in [(Change::Create, added), (Change::Delete, removed)] {
            let key = (ObjectType::Membership, change);
            self.trial.counts.entry(key).or_default().successful += number;
        }
    }

    fn is_there(&self, guid: Guid) -> bool {
        self.index.hub_id(guid).is_some() || self.there.contains(&guid)
    }
}

/// Gives `guid` the name if it can have it; a refusal says whose it is.
fn claim(
    names: &mut HashMap<String, Holder>,
    held: &mut HashMap<Guid, String>,
    guid: Guid,
    name: &str,
    capture: bool,
) -> Claim {
    let claim = match names.get(name) {
        None => Claim::Granted,
        Some(Holder::Ours(holder)) if *holder == guid => Claim::Granted,
        Some(Holder::Local) if capture => Claim::Captured,
        Some(Holder::Local) => Claim::Refused("a local".to_owned()),
        Some(Holder::Foreign) => Claim::Refused("another source's".to_owned()),
        Some(Holder::Ours(_)) => Claim::Refused("another".to_owned()),
    };
    if !matches!(claim, Claim::Refused(_)) {
        if let Some(old) = held.insert(guid, name.to_owned()) {
            names.remove(&old);
        }
        names.insert(name.to_owned(), Holder::Ours(guid));
    }
    claim
}
