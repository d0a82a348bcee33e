//! One object on both sides, and why it is or is not synchronized.
//!
//! Invariant: read-only; what could not be found out is left out rather than guessed. The verdict,
//! the values and the wish for a state come from the same functions as those of a run.

use std::collections::BTreeSet;

use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp::User;
use rollcall_proto::idp::user::Status;
use rollcall_proto::organizationmanager::Group;
use serde::Serialize;

use crate::engine::Guid;
use crate::engine::mapping::expires_at;
use crate::engine::object::{ACCOUNT_DISABLED, DirectoryObject, ObjectClass};
use crate::engine::place::Place;
use crate::engine::scope::Verdict;
use crate::engine::values::{GroupTarget, UserTarget};
use crate::failure::Failure;
use crate::hub::{self, user_field};
use crate::item_error::{ItemError, remedy};
use crate::reader::{self, History};
use crate::sight::Sight;

mod membership;
mod text;

pub use membership::Memberships;

/// Everything about one object.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Its name in the directory.
    pub object: String,
    /// objectGUID as text.
    pub external_id: String,
    /// `user`, `group` or `other`.
    pub kind: &'static str,
    /// Whether the directory deleted it.
    pub deleted: bool,
    /// `in`, `out` or `unknown`.
    pub scope: &'static str,
    /// Why.
    pub reasons: Vec<String>,
    /// Its id in the hub, if the hub has it.
    pub hub_id: Option<String>,
    /// The mapped fields.
    pub fields: Vec<Field>,
    /// Why it cannot be synchronized as it is, and what helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfit: Option<Unfit>,
    /// Whether it may sign in; users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Groups of a user, or members of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memberships: Option<Memberships>,
    /// When it was last changed, and where.
    pub last_change: LastChange,
    /// What failed when it was last synchronized here.
    pub failed_items: Vec<ItemError>,
}

/// One mapped field.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name in the hub.
    pub field: &'static str,
    /// The attribute it is taken from first.
    pub attribute: String,
    /// What the hub should have; absent when the object is unfit or gone.
    pub directory: Option<String>,
    /// What the hub has; absent when it does not have the object.
    pub hub: Option<String>,
    /// Whether both are there and differ.
    pub differs: bool,
}

/// Why an object does not fit the hub.
#[derive(Debug, Serialize)]
pub struct Unfit {
    /// Why.
    pub reason: String,
    /// What helps.
    pub remedy: &'static str,
}

/// Whether a user may sign in.
#[derive(Debug, Serialize)]
pub struct State {
    /// ACCOUNTDISABLE is set.
    pub disabled: bool,
    /// End of the account, RFC 3339.
    pub expires_at: Option<String>,
    /// The end has passed.
    pub ended: bool,
    /// The password has to be changed at the next sign-in.
    pub must_change_password: bool,
    /// Status in the hub: `active`, `suspended` and so on.
    pub hub: Option<&'static str>,
    /// End of the account in the hub, RFC 3339.
    pub hub_expires_at: Option<String>,
    /// Whether the hub lets in whom the directory does not, or the other way round.
    pub differs: bool,
}

/// When an object was last changed, and where.
#[derive(Debug, Serialize)]
pub struct LastChange {
    /// RFC 3339.
    pub when_created: Option<String>,
    /// RFC 3339, by the clock of the controller that was asked.
    pub when_changed: Option<String>,
    /// Update sequence number on the controller that was asked.
    pub usn_changed: Option<i64>,
    /// The controller that was asked.
    pub read_from: String,
    /// Its database.
    pub read_from_invocation_id: Option<String>,
    /// The newest write of an attribute, memberships aside; absent without the right to see it.
    pub origin: Option<OriginOfChange>,
}

/// Where an attribute was last written.
#[derive(Debug, Serialize)]
pub struct OriginOfChange {
    /// The attribute, or its number.
    pub attribute: String,
    /// RFC 3339.
    pub at: String,
    /// The controller, if its description can be found.
    pub controller: Option<String>,
    /// Its database.
    pub invocation_id: String,
    /// Update sequence number there.
    pub usn: i64,
    /// How often the attribute was written.
    pub version: u32,
}

/// What the hub has.
enum There {
    User(Box<User>),
    Group(Box<Group>),
    Nothing,
}

/// Looks at the object that `name` means. `failed` are the stored failed items.
///
/// # Errors
/// [`Failure`] when either side cannot be read or the name does not mean one object.
pub async fn explain(
    sight: &mut Sight,
    name: &str,
    failed: Vec<ItemError>,
    now: Timestamp,
) -> Result<Explanation, Failure> {
    let guid = sight.reader.find_one(name).await?;
    let directory = |error| reader::failure(&error);
    let history = sight.reader.history(guid).await.map_err(directory)?;
    let Some(history) = history else {
        return Err(Failure::Run(format!(
            "{name} is gone from the directory; try again"
        )));
    };
    let filter: BTreeSet<Guid> = sight
        .scope
        .units
        .union(&sight.scope.groups)
        .copied()
        .collect();
    let mapping = &sight.settings.mapping;
    let around = sight.reader.surroundings(&history, &filter, mapping);
    let around = around.await.map_err(directory)?;
    let there = there(sight, guid).await?;
    let place = Place::new(&around.objects, &around.members, &sight.scope, mapping)
        .map_err(|gone| Failure::Run(gone.to_string()))?;
    let object = around.objects.get(&guid);
    let scope = match (history.deleted, place.verdict(guid)) {
        (true, _) | (_, Verdict::Out) => "out",
        (_, Verdict::In) => "in",
        (_, Verdict::Unknown) => "unknown",
    };
    let reasons = if history.deleted {
        let from = history.last_parent.as_deref().unwrap_or("an unknown place");
        vec![format!("the directory deleted it; it lay in {from}")]
    } else {
        place.reasons(guid)
    };
    let is_here = |item: &ItemError| item.external_id == guid.to_string();
    let mut explanation = Explanation {
        object: history.dn.clone(),
        external_id: guid.to_string(),
        kind: kind(object, &there),
        deleted: history.deleted,
        scope,
        reasons,
        hub_id: match &there {
            There::User(user) => Some(user.id.clone()),
            There::Group(group) => Some(group.id.clone()),
            There::Nothing => None,
        },
        fields: Vec::new(),
        unfit: None,
        state: None,
        memberships: None,
        last_change: last_change(sight, &history).await?,
        failed_items: failed.into_iter().filter(is_here).collect(),
    };
    explanation.compare(sight, object, &there, &history, now);
    let id = explanation.hub_id.as_deref();
    explanation.memberships = match explanation.kind {
        "user" => Some(membership::of_user(sight, &around, guid, id, scope == "in").await?),
        "group" => Some(membership::of_group(sight, guid, id, history.deleted).await?),
        _ => None,
    };
    Ok(explanation)
}

async fn there(sight: &Sight, guid: Guid) -> Result<There, Failure> {
    let failed = |error| hub::failure(&error);
    if let Some(user) = sight.hub.user_of(guid).await.map_err(failed)? {
        return Ok(There::User(Box::new(user)));
    }
    let group = sight.hub.group_of(guid).await.map_err(failed)?;
    Ok(group.map_or(There::Nothing, |group| There::Group(Box::new(group))))
}

fn kind(object: Option<&DirectoryObject>, there: &There) -> &'static str {
    match (object.map(|found| found.class), there) {
        (Some(ObjectClass::User), _) | (None, There::User(_)) => "user",
        (Some(ObjectClass::Group), _) | (None, There::Group(_)) => "group",
        _ => "other",
    }
}

impl Explanation {
    fn compare(
        &mut self,
        sight: &Sight,
        object: Option<&DirectoryObject>,
        there: &There,
        history: &History,
        now: Timestamp,
    ) {
        match self.kind {
            "user" => {
                let user = match there {
                    There::User(user) => Some(&**user),
                    _ => None,
                };
                self.user_fields(sight, object, user);
                self.state = Some(state(object, user, history, now));
            }
            "group" => {
                let group = match there {
                    There::Group(group) => Some(&**group),
                    _ => None,
                };
                self.group_fields(sight, object, group);
            }
            _ => {}
        }
    }

    fn user_fields(
        &mut self,
        sight: &Sight,
        object: Option<&DirectoryObject>,
        user: Option<&User>,
    ) {
        let mapping = &sight.settings.mapping;
        let values = object.map(|object| mapping.user(object));
        for target in UserTarget::ALL {
            let Some(source) = mapping.user_source(target) else {
                continue;
            };
            let here = values.as_ref().and_then(|values| values.as_ref().ok());
            self.fields.push(Field::new(
                target.field(),
                source,
                here.map(|values| values.get(target)),
                user.map(|user| user_field(user, target)),
            ));
        }
        self.unfit = values.and_then(Result::err).map(Unfit::new);
    }

    fn group_fields(
        &mut self,
        sight: &Sight,
        object: Option<&DirectoryObject>,
        group: Option<&Group>,
    ) {
        let mapping = &sight.settings.mapping;
        let values = object.map(|object| mapping.group(object));
        for target in GroupTarget::ALL {
            let Some(source) = mapping.group_source(target) else {
                continue;
            };
            let here = values.as_ref().and_then(|values| values.as_ref().ok());
            let (name, here, hub) = match target {
                GroupTarget::Name => (
                    "name",
                    here.map(|values| values.name.as_str()),
                    group.map(|group| group.name.as_str()),
                ),
                GroupTarget::Description => (
                    "description",
                    here.map(|values| values.description.as_deref().unwrap_or_default()),
                    group.map(|group| group.description.as_str()),
                ),
            };
            self.fields.push(Field::new(name, source, here, hub));
        }
        self.unfit = values.and_then(Result::err).map(Unfit::new);
    }
}

impl Field {
    fn new(field: &'static str, source: &str, here: Option<&str>, hub: Option<&str>) -> Self {
        Self {
            field,
            attribute: source.to_owned(),
            directory: here.map(str::to_owned),
            hub: hub.map(str::to_owned),
            differs: here.is_some() && hub.is_some() && here != hub,
        }
    }
}

impl Unfit {
    fn new(reason: String) -> Self {
        Self {
            remedy: remedy::of_values(&reason),
            reason,
        }
    }
}

fn state(
    object: Option<&DirectoryObject>,
    user: Option<&User>,
    history: &History,
    now: Timestamp,
) -> State {
    let disabled = object.is_none_or(|object| object.user_account_control & ACCOUNT_DISABLED != 0);
    let end = object.and_then(|object| expires_at(object.account_expires));
    let ended = end.is_some_and(|at| at <= now);
    let hub_end = user.and_then(|user| user.expires_at);
    let hub_end = hub_end.map(|at| Timestamp::from_seconds_and_nanos(at.seconds, at.nanos));
    let may_sign_in = !disabled && !ended;
    State {
        disabled,
        expires_at: end.map(|at| at.to_string()),
        ended,
        must_change_password: history.must_change,
        hub: user.map(|user| match user.status() {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Deleting => "deleting",
            Status::Creating => "creating",
            Status::Unspecified => "unknown",
        }),
        hub_expires_at: hub_end.map(|at| at.to_string()),
        differs: user.is_some_and(|user| may_sign_in != (user.status() == Status::Active)),
    }
}

async fn last_change(sight: &mut Sight, history: &History) -> Result<LastChange, Failure> {
    let failed = |error| reader::failure(&error);
    let server = sight.reader.server().await.map_err(failed)?;
    let origin = match &history.origin {
        None => None,
        Some(origin) => {
            let controller = sight.reader.controller_name(&origin.invocation_id).await;
            let number = || format!("attribute {:#x}", origin.attribute_id);
            Some(OriginOfChange {
                attribute: origin.attribute().map_or_else(number, str::to_owned),
                at: origin.at.to_string(),
                controller: controller.map_err(failed)?,
                invocation_id: origin.invocation_id.to_string(),
                usn: origin.usn,
                version: origin.version,
            })
        }
    };
    Ok(LastChange {
        when_created: history.when_created.clone(),
        when_changed: history.when_changed.clone(),
        usn_changed: history.usn_changed,
        read_from: server.host,
        read_from_invocation_id: server.invocation_id,
        origin,
    })
}
