//! What the hub should hold, worked out naively from the directory and the settings, and the
//! promises that every run is held to.
//!
//! Invariant: nothing of the engine is used here, so that one mistake cannot hide the other.
//! Deliberately absent: P3 (passwords), which is [`crate::password_oracle`]'s, P7 (secrets) and P8
//! (memory), which the simulated parts do not touch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::plan::{NestedGroups, RemoveUserBehavior};
use rollcall_domain::group::Group;
use rollcall_domain::user::{Profile, SuspensionCause, User};
use rollcall_kit::timestamp::Timestamp;

use crate::directory::{Class, Directory, Object};
use crate::hub::{self, Effect, Hub};

const NAME_CHARACTERS_MAX: usize = 256;
const LOCAL_PART_CHARACTERS_MAX: usize = 64;
const GROUP_NAME_CHARACTERS_MAX: usize = 63;
const EMAIL_CHARACTERS_MIN: usize = 3;
const EMAIL_CHARACTERS_MAX: usize = 254;

/// A promise of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// When faults stop, the hub equals f(directory, settings) within two runs.
    Convergence,
    /// Each removal traces to a tombstone, a change of scope or of the account's state.
    NoUnrequestedRemoval,
    /// Counters equal what was done, across retries, and never shrink.
    ExactCounters,
    /// Only the agent whose session is open writes.
    OneWriter,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{promise}: {what}")]
pub struct Violation {
    /// Which one.
    pub promise: Promise,
    /// How it was broken.
    pub what: String,
}

/// What an administrator has set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Units of the filter.
    pub units: BTreeSet<Guid>,
    /// Groups of the filter.
    pub groups: BTreeSet<Guid>,
    /// Users gone or out of scope.
    pub remove_user_behavior: RemoveUserBehavior,
    /// Groups in groups.
    pub nested_groups: NestedGroups,
    /// Domain in place of that of the directory.
    pub replacement_domain: Option<&'static str>,
}

/// A user in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedUser {
    /// Login, texts and account end; `None` when the hub cannot take them.
    pub values: Option<(String, Profile, Option<Timestamp>)>,
    /// Whether the account is disabled.
    pub disabled: bool,
}

/// A group in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// Name and description; `None` when the hub cannot take them.
    pub values: Option<(String, String)>,
    /// Users that belong into it, whether or not the hub can take them.
    pub members: BTreeSet<Guid>,
}

/// What the hub should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    users: BTreeMap<Guid, WantedUser>,
    groups: BTreeMap<Guid, WantedGroup>,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Convergence => "P1 convergence",
            Self::NoUnrequestedRemoval => "P2 no unrequested removal",
            Self::ExactCounters => "P4 exact counters",
            Self::OneWriter => "P5 one writer",
        })
    }
}

impl Truth {
    /// f(directory, settings).
    #[must_use]
    pub fn of(directory: &Directory, settings: &Settings) -> Self {
        let chosen = reached(directory, &settings.groups);
        let mut users = BTreeMap::new();
        for (guid, object) in directory.iter() {
            let in_groups = settings.groups.is_empty() || chosen.contains(&guid);
            if object.class == Class::User && in_groups && lies_in_units(directory, guid, settings)
            {
                let values = user_values(object, settings);
                users.insert(
                    guid,
                    WantedUser {
                        values,
                        disabled: object.disabled,
                    },
                );
            }
        }
        let mut groups = BTreeMap::new();
        for (guid, object) in directory.iter() {
            if object.class == Class::Group && lies_in_units(directory, guid, settings) {
                let mut members = match settings.nested_groups {
                    NestedGroups::Direct => object.members.clone(),
                    NestedGroups::Flatten => reached(directory, &BTreeSet::from([guid])),
                };
                // Whose primary group is an inner group is a member of the outer one, too.
                let rids = group_rids(directory, members.iter().chain([&guid]), settings);
                for (user, account) in directory.iter() {
                    if rids.contains(&account.primary_group_rid) {
                        members.insert(user);
                    }
                }
                members.retain(|member| users.contains_key(member));
                groups.insert(
                    guid,
                    WantedGroup {
                        values: group_values(object),
                        members,
                    },
                );
            }
        }
        Self { users, groups }
    }

    /// Whether this state of the directory asks for what was written.
    #[must_use]
    pub fn asks_for(&self, effect: Effect) -> bool {
        match effect {
            Effect::UserDeleted(guid) => !self.users.contains_key(&guid),
            Effect::UserSuspended(guid) => self.users.get(&guid).is_none_or(|user| user.disabled),
            Effect::UserReactivated(guid) => {
                self.users.get(&guid).is_some_and(|user| !user.disabled)
            }
            Effect::UserCreated(guid) | Effect::UserUpdated(guid) => self.users.contains_key(&guid),
            Effect::GroupCreated(guid) | Effect::GroupUpdated(guid) => {
                self.groups.contains_key(&guid)
            }
            Effect::GroupDeleted(guid) => !self.groups.contains_key(&guid),
            Effect::MemberAdded { group, user } => self.has_member(group, user),
            Effect::MemberRemoved { group, user } => !self.has_member(group, user),
        }
    }

    fn has_member(&self, group: Guid, user: Guid) -> bool {
        self.groups
            .get(&group)
            .is_some_and(|group| group.members.contains(&user))
    }

    /// Compares the hub with this truth.
    ///
    /// A user or group whose name another one holds is excused: the hub refuses it rightly.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(
        &self,
        hub: &Hub,
        behavior: RemoveUserBehavior,
        now: Timestamp,
    ) -> Result<(), String> {
        for user in hub.users() {
            let Some(guid) = hub::guid_of_user(user) else {
                continue;
            };
            match self.users.get(&guid) {
                Some(wanted) => check_user(hub, guid, user, wanted, now)?,
                None if behavior == RemoveUserBehavior::Remove => {
                    return Err(format!("user {guid} should be gone"));
                }
                None if is_held(user) => {}
                None => return Err(format!("user {guid} should be blocked")),
            }
        }
        for (guid, wanted) in &self.users {
            if let Some((username, ..)) = &wanted.values
                && hub.resolve_user(*guid).is_none()
                && !username_is_taken(hub, *guid, username)
            {
                return Err(format!("user {guid} ({username}) is not in the hub"));
            }
        }
        for group in hub.groups() {
            let Some(guid) = hub::guid_of_group(group) else {
                continue;
            };
            match self.groups.get(&guid) {
                Some(wanted) => check_group(hub, guid, group, wanted)?,
                None => return Err(format!("group {guid} should be gone")),
            }
        }
        for (guid, wanted) in &self.groups {
            if let Some((name, _)) = &wanted.values
                && hub.resolve_group(*guid).is_none()
                && !group_name_is_taken(hub, *guid, name)
            {
                return Err(format!("group {guid} ({name}) is not in the hub"));
            }
        }
        Ok(())
    }
}

fn check_user(
    hub: &Hub,
    guid: Guid,
    user: &User,
    wanted: &WantedUser,
    now: Timestamp,
) -> Result<(), String> {
    if let Some((username, profile, expires_at)) = &wanted.values {
        let equal = user.username.as_str() == username
            && user.profile == *profile
            && user.expires_at == *expires_at;
        if !equal && !username_is_taken(hub, guid, username) {
            return Err(format!("user {guid} is {user:?}, should be {wanted:?}"));
        }
    }
    let ended = user.expires_at.is_some_and(|at| at <= now);
    // An administrator's suspension may stand in for the agent's, and may add to an account that
    // is enabled.
    let suspended = if wanted.disabled {
        is_held(user)
    } else {
        user.suspension.has(SuspensionCause::Agent)
    };
    if suspended != wanted.disabled && !(suspended && ended) {
        let state = if suspended { "suspended" } else { "active" };
        return Err(format!(
            "user {guid} is left {state}, the directory says otherwise"
        ));
    }
    Ok(())
}

/// Whether the agent, or an administrator in its place, keeps a user out.
fn is_held(user: &User) -> bool {
    [SuspensionCause::Agent, SuspensionCause::Admin]
        .into_iter()
        .any(|cause| user.suspension.has(cause))
}

fn check_group(hub: &Hub, guid: Guid, group: &Group, wanted: &WantedGroup) -> Result<(), String> {
    if let Some((name, description)) = &wanted.values {
        let equal = group.name == *name && group.description == *description;
        if !equal && !group_name_is_taken(hub, guid, name) {
            return Err(format!("group {guid} is {group:?}, should be {wanted:?}"));
        }
    }
    let known: BTreeMap<_, _> = hub
        .users()
        .filter_map(|user| Some((&user.id, hub::guid_of_user(user)?)))
        .collect();
    let present: BTreeSet<Guid> = hub
        .members(&group.id)
        .filter_map(|id| known.get(id).copied())
        .collect();
    let existing: BTreeSet<Guid> = known.into_values().collect();
    let expected: BTreeSet<Guid> = wanted.members.intersection(&existing).copied().collect();
    if present != expected {
        return Err(format!(
            "group {guid} has members {present:?}, should have {expected:?}"
        ));
    }
    Ok(())
}

fn username_is_taken(hub: &Hub, guid: Guid, username: &str) -> bool {
    hub.users().any(|other| {
        other.username.folded() == username.to_lowercase() && hub::guid_of_user(other) != Some(guid)
    })
}

fn group_name_is_taken(hub: &Hub, guid: Guid, name: &str) -> bool {
    hub.groups()
        .any(|other| other.name == name && hub::guid_of_group(other) != Some(guid))
}

/// Whether a live object lies where the settings say, and may be synchronized at all.
fn lies_in_units(directory: &Directory, guid: Guid, settings: &Settings) -> bool {
    let Some(object) = directory
        .get(guid)
        .filter(|object| object.is_live() && !object.critical)
    else {
        return false;
    };
    if settings.units.is_empty() {
        return true;
    }
    let mut parent = object.parent;
    while let Some(unit) = parent {
        if settings.units.contains(&unit) {
            return true;
        }
        parent = directory.get(unit).and_then(|unit| unit.parent);
    }
    false
}

/// The rids of the groups whose primary members count: all of those here if nested groups do, else
/// the last one only.
fn group_rids<'a>(
    directory: &Directory,
    guids: impl Iterator<Item = &'a Guid>,
    settings: &Settings,
) -> BTreeSet<u32> {
    let groups = guids.filter_map(|guid| directory.get(*guid));
    let rids = groups
        .filter(|object| object.is_live() && object.class == Class::Group)
        .map(|object| object.rid);
    match settings.nested_groups {
        NestedGroups::Direct => rids.last().into_iter().collect(),
        NestedGroups::Flatten => rids.collect(),
    }
}

/// All members of live `groups`, and of live groups among those, until nothing is added.
fn reached(directory: &Directory, groups: &BTreeSet<Guid>) -> BTreeSet<Guid> {
    let mut all = BTreeSet::new();
    loop {
        let mut next = all.clone();
        for group in groups.iter().chain(&all) {
            if let Some(object) = directory.get(*group).filter(|object| object.is_live()) {
                next.extend(object.members.iter().copied());
            }
        }
        if next == all {
            return all;
        }
        all = next;
    }
}

fn user_values(
    object: &Object,
    settings: &Settings,
) -> Option<(String, Profile, Option<Timestamp>)> {
    let parts: Vec<&str> = object.attribute("userprincipalname").split('@').collect();
    let (local, domain) = match (parts.as_slice(), settings.replacement_domain) {
        ([local, _], Some(domain)) if !parts.contains(&"") => (*local, domain.to_owned()),
        ([local], Some(domain)) => (*local, domain.to_owned()),
        ([local, domain], None) => (*local, domain.to_lowercase()),
        _ => return None,
    };
    let full_name = [object.attribute("displayname"), object.attribute("cn")]
        .into_iter()
        .find(|name| !name.is_empty())?;
    let email = object.attribute("mail");
    let email_length = email.chars().count();
    let fits = domain == hub::DOMAIN
        && is_word(local, LOCAL_PART_CHARACTERS_MAX)
        && full_name.chars().count() <= NAME_CHARACTERS_MAX
        && object.attribute("title").chars().count() <= NAME_CHARACTERS_MAX
        && (email_length == 0 || email_length >= EMAIL_CHARACTERS_MIN)
        && email_length <= EMAIL_CHARACTERS_MAX;
    let profile = Profile {
        full_name: full_name.to_owned(),
        email: email.to_owned(),
        job_title: object.attribute("title").to_owned(),
        ..Profile::default()
    };
    fits.then(|| (format!("{local}@{domain}"), profile, object.account_expires))
}

fn group_values(object: &Object) -> Option<(String, String)> {
    let name = object.attribute("name");
    let ends = |c: Option<char>, digits: bool| {
        c.is_some_and(|c| c.is_ascii_alphabetic() || digits && c.is_ascii_digit())
    };
    let fits = is_word(name, GROUP_NAME_CHARACTERS_MAX)
        && ends(name.chars().next(), false)
        && ends(name.chars().next_back(), true);
    fits.then(|| (name.to_owned(), object.attribute("description").to_owned()))
}

fn is_word(text: &str, characters_max: usize) -> bool {
    !text.is_empty()
        && text.chars().count() <= characters_max
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
