//! Groups that show no member: whether their members left or are hidden.
//!
//! Invariant: nobody loses all members of a group, or the scope, for a list that the account may
//! not read. The groups of a member stand at the member too (memberOf, MS-ADTS 3.1.1.1.6), under
//! rights of their own. Deliberately absent: groups that show some of their members; a list is
//! readable or it is not.

use std::collections::BTreeSet;

use rollcall_directory::Error;

use crate::engine::Guid;
use crate::engine::index::{Index, Kind, Presence, Record};
use crate::engine::plan;
use crate::engine::scope::{Scope, Verdict};
use crate::failure::Failure;
use crate::reader::{self, Reader};

/// Groups about which members are asked; hidden ones are seldom hidden alone.
const GROUPS_ASKED_MAX: usize = 200;
/// Members that are asked about one group: some of them may have left it.
const MEMBERS_ASKED_MAX: usize = 3;
/// Users that are asked whether they really left the groups of the filter; the brake on removals
/// stops more of them than this anyway.
const USERS_ASKED_MAX: usize = 20;

/// Asks members whether the groups that show none still have them.
///
/// # Errors
/// [`Failure`] naming a group whose members are hidden.
pub(super) async fn check(
    reader: &mut Reader,
    scope: &Scope,
    index: &Index,
) -> Result<(), Failure> {
    let empty: BTreeSet<Guid> = index
        .iter()
        .filter(|(_, record)| shows_nobody(record))
        .map(|(guid, _)| guid)
        .collect();
    for user in to_ask(scope, index, &empty) {
        let groups = reader.groups_around(user).await;
        let groups = groups.map_err(|error| reader::failure(&error))?;
        if let Some(group) = groups.intersection(&empty).next() {
            return Err(reader::failure(&Error::RightsMissing {
                what: "read the members of every group",
                right: "the right to read all properties of groups",
                text: format!(
                    "{} shows no member, but {} is one; nothing was changed",
                    plan::name(index, *group),
                    plan::name(index, user)
                ),
            }));
        }
    }
    Ok(())
}

fn shows_nobody(record: &Record) -> bool {
    record.kind() == Kind::Group && record.presence == Presence::Seen && record.members().is_empty()
}

fn to_ask(scope: &Scope, index: &Index, empty: &BTreeSet<Guid>) -> BTreeSet<Guid> {
    let is_seen = |user: &Guid| {
        let record = index.get(*user);
        record.is_some_and(|record| record.presence == Presence::Seen)
    };
    let mut asked = BTreeSet::new();
    let losing = empty
        .iter()
        .filter(|group| index.hub_members(**group).any(|user| is_seen(&user)));
    for group in losing.take(GROUPS_ASKED_MAX) {
        // Members by their primary group are shown neither here nor there.
        let rid = index.get(*group).and_then(Record::rid);
        let named = |user: &Guid| rid.is_none() || index.get(*user).and_then(Record::rid) != rid;
        let members = index.hub_members(*group);
        let members = members.filter(is_seen).filter(named);
        asked.extend(members.take(MEMBERS_ASKED_MAX));
    }
    if scope.groups.is_empty() || empty.is_empty() {
        return asked;
    }
    // A group of the filter that is gone stops the plan.
    let Ok(view) = scope.view(index) else {
        return asked;
    };
    let leaving = index.iter().filter(|(guid, record)| {
        record.kind() == Kind::User
            && record.presence == Presence::Seen
            && record.hub.is_some()
            && view.verdict(index, *guid) == Verdict::Out
    });
    asked.extend(leaving.map(|(guid, _)| guid).take(USERS_ASKED_MAX));
    asked
}
