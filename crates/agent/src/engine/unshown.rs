//! Values that are not shown any more though nobody reported that they went.
//!
//! Invariant: an account that lost the right to read an attribute empties nothing in the hub. What
//! changes is reported by the right to replicate, what is read again by a search is what the account
//! may see: where the index has a value, the search shows none and the report does not name the
//! attribute, it is hidden and not empty. Deliberately absent: members, which have rules of their
//! own, and objects that were not there before.

use super::index::{Body, Index, Presence, Record};
use super::mapping::{FULL_NAME_FALLBACKS, Mapping};
use super::object::{DirectoryObject, ObjectClass};
use super::values::{GroupTarget, GroupValues, UserTarget, UserValues};

/// An attribute, in lower case, of which the index has a value that `object` does not show and that
/// is not among those that were reported to have changed.
#[must_use]
pub fn unshown<'a>(
    index: &Index,
    object: &DirectoryObject,
    mapping: &'a Mapping,
    is_reported: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let record = index
        .get(object.guid)
        .filter(|record| record.presence == Presence::Seen)?;
    let lost = match (record.body(), object.class) {
        (Body::User { values, .. }, ObjectClass::User) => {
            of_user(record, values.ok().as_ref(), object, mapping, &is_reported)
        }
        (Body::Group { values, .. }, ObjectClass::Group) => {
            of_group(record, values.ok().as_ref(), object, mapping)
        }
        _ => Vec::new(),
    };
    lost.into_iter().find(|name| !is_reported(name))
}

fn of_user<'a>(
    record: &Record,
    values: Option<&UserValues>,
    object: &DirectoryObject,
    mapping: &'a Mapping,
    is_reported: &dyn Fn(&str) -> bool,
) -> Vec<&'a str> {
    let mut lost = Vec::new();
    if record.rid().is_some() && object.primary_group_rid.is_none() {
        lost.push("primarygroupid");
    }
    let Some(values) = values else { return lost };
    if record.critical && !object.critical {
        lost.push("iscriticalsystemobject");
    }
    if values.expires_at.is_some() && object.account_expires == 0 {
        lost.push("accountexpires");
    }
    for target in mapping.user_targets() {
        let Some(source) = mapping.user_source(target) else {
            continue;
        };
        let before = values.get(target);
        if before.is_empty() || object.attribute(source).is_some() {
            continue;
        }
        // It may be a stand-in that the index has: then it is still the same one, or it changed.
        let mut stand_ins = FULL_NAME_FALLBACKS.iter();
        let is_stand_in =
            stand_ins.any(|name| object.attribute(name) == Some(before) || is_reported(name));
        if target != UserTarget::FullName || !is_stand_in {
            lost.push(source);
        }
    }
    lost
}

fn of_group<'a>(
    record: &Record,
    values: Option<&GroupValues>,
    object: &DirectoryObject,
    mapping: &'a Mapping,
) -> Vec<&'a str> {
    let mut lost = Vec::new();
    if record.critical && !object.critical {
        lost.push("iscriticalsystemobject");
    }
    if record.rid().is_some() && object.rid.is_none() {
        lost.push("objectsid");
    }
    let Some(values) = values else { return lost };
    for target in GroupTarget::ALL {
        let before = match target {
            GroupTarget::Name => values.name.as_str(),
            GroupTarget::Description => values.description.as_deref().unwrap_or_default(),
        };
        let source = mapping.group_source(target);
        lost.extend(source.filter(|name| !before.is_empty() && object.attribute(name).is_none()));
    }
    lost
}
