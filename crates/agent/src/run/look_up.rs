//! Objects that are read whole: those that changed, and those that others name.
//!
//! Invariant: what is taken in was seen in the directory; absence alone changes nothing.

use std::collections::BTreeMap;

use rollcall_directory::Error;

use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::object::{Change, ObjectClass};
use crate::engine::plan::NestedGroups;
use crate::engine::scope::Scope;
use crate::engine::snapshot::Snapshot;
use crate::engine::unshown::unshown;
use crate::failure::Failure;
use crate::reader::{self, Reader, Told};
use crate::settings::Settings;

/// Rounds in which parents and members of objects are looked up; one round climbs one level.
const ROUNDS_MAX: usize = 64;
/// Objects that are read before they are taken in; bounds memory.
const OBJECTS_AT_ONCE: usize = 2_000;

/// Reads objects whole and takes them in. Objects of no interest that are not known stay unknown.
pub(crate) async fn apply(
    reader: &mut Reader,
    settings: &Settings,
    index: &mut Index,
    guids: &[Guid],
    told: &Told,
) -> Result<(), Failure> {
    for chunk in guids.chunks(OBJECTS_AT_ONCE) {
        for change in read(reader, settings, index, chunk, told).await? {
            index.apply(change, &settings.mapping);
        }
    }
    Ok(())
}

/// As [`apply`], while everything is being read.
pub(super) async fn read_again(
    reader: &mut Reader,
    settings: &Settings,
    snapshot: &mut Snapshot,
    guids: &[Guid],
    told: &Told,
) -> Result<(), Failure> {
    for chunk in guids.chunks(OBJECTS_AT_ONCE) {
        for change in read(reader, settings, &snapshot.index, chunk, told).await? {
            snapshot.take(change, &settings.mapping);
        }
    }
    Ok(())
}

/// Reads objects whole; those of no interest that are not known are left out.
pub(super) async fn read(
    reader: &mut Reader,
    settings: &Settings,
    index: &Index,
    guids: &[Guid],
    told: &Told,
) -> Result<Vec<Change>, Failure> {
    let mut changes = reader
        .objects(&settings.mapping, guids, &told.sources)
        .await
        .map_err(|error| reader::failure(&error))?;
    for change in &changes {
        if let Change::Seen(object) = change {
            let is_reported = |name: &str| told.is_reported(object.guid, name);
            if let Some(hidden) = unshown(index, object, &settings.mapping, is_reported) {
                return Err(not_shown(hidden, &object.dn));
            }
        }
    }
    changes.retain_mut(|change| {
        let Change::Seen(object) = change else {
            return true;
        };
        if told.leaves_members(object.guid) && index.keep_unreported_members(object) {
            tracing::warn!(
                group = object.dn,
                "no members are shown, though none was reported to have left; they are kept"
            );
        }
        object.class != ObjectClass::Other || index.get(object.guid).is_some()
    });
    Ok(changes)
}

/// The account lost a right.
fn not_shown(attribute: &str, dn: &str) -> Failure {
    reader::failure(&Error::RightsMissing {
        what: "read the attributes of every object",
        right: "the right to read all properties of users and groups",
        text: format!(
            "{attribute} of {dn} is not shown any more, though no report says that it went; nothing was changed"
        ),
    })
}

/// Looks up what objects name but the index does not have: parents, so that every object's place
/// is known, and members where groups inside groups count.
pub(crate) async fn complete(
    reader: &mut Reader,
    settings: &Settings,
    scope: &Scope,
    index: &mut Index,
) -> Result<(), Failure> {
    let follows_groups =
        !scope.groups.is_empty() || settings.nested_groups == NestedGroups::Flatten;
    for _ in 0..ROUNDS_MAX {
        let mut unknown = index.missing_parents();
        if follows_groups {
            unknown.extend(index.missing_members());
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let before = index.len();
        for chunk in unknown.chunks(OBJECTS_AT_ONCE) {
            let changes = reader
                .objects(&settings.mapping, chunk, &BTreeMap::new())
                .await
                .map_err(|error| reader::failure(&error))?;
            for change in changes {
                if matches!(change, Change::Seen(_) | Change::Elsewhere(..)) {
                    index.apply(change, &settings.mapping);
                }
            }
        }
        if index.len() == before {
            return Ok(());
        }
    }
    Ok(())
}
