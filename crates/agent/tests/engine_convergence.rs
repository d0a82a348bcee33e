//! Whatever happens in the directory, the hub follows, and every removal has a cause.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use std::collections::{BTreeMap, BTreeSet};

use directory::*;
use proptest::prelude::*;
use rollcall_agent::engine::Guid;
use rollcall_agent::engine::index::Kind;
use rollcall_agent::engine::object::{Change, DirectoryObject, ObjectClass};
use rollcall_agent::engine::plan::{Cause, RemoveUserBehavior, plan};

#[derive(Debug, Clone)]
enum Step {
    PutUser {
        number: u128,
        parent: u128,
        disabled: bool,
        name: u8,
    },
    PutGroup {
        number: u128,
        parent: u128,
        members: Vec<u128>,
    },
    MoveUnit {
        number: u128,
        parent: u128,
    },
    Delete {
        number: u128,
    },
    Sync,
}

/// Units 4 to 6 move below Staff or Outside; users 10 to 17; groups 20 to 23.
fn step() -> impl Strategy<Value = Step> {
    let place = prop_oneof![Just(STAFF), Just(OUTSIDE), 4..7_u128];
    prop_oneof![
        4 => (10..18_u128, place.clone(), any::<bool>(), 0..3_u8).prop_map(
            |(number, parent, disabled, name)| Step::PutUser { number, parent, disabled, name }
        ),
        3 => (20..24_u128, place, prop::collection::vec(10..24_u128, 0..6)).prop_map(
            |(number, parent, members)| Step::PutGroup { number, parent, members }
        ),
        1 => (4..7_u128, prop_oneof![Just(STAFF), Just(OUTSIDE)])
            .prop_map(|(number, parent)| Step::MoveUnit { number, parent }),
        2 => (10..24_u128).prop_map(|number| Step::Delete { number }),
        2 => Just(Step::Sync),
    ]
}

/// What the hub must have, worked out from the directory alone.
fn expected(
    directory: &BTreeMap<u128, DirectoryObject>,
) -> (BTreeSet<u128>, BTreeMap<u128, BTreeSet<u128>>) {
    let below_staff = |mut at: u128| loop {
        if at == STAFF {
            return true;
        }
        match directory.get(&at).and_then(|object| object.parent) {
            Some(parent) => at = (1..100).find(|n| guid(*n) == parent).unwrap(),
            None => return false,
        }
    };
    let inside = |class| {
        directory
            .iter()
            .filter(move |(number, object)| object.class == class && below_staff(**number))
            .map(|(number, _)| *number)
    };
    let users: BTreeSet<u128> = inside(ObjectClass::User).collect();
    let groups = inside(ObjectClass::Group)
        .map(|number| {
            let members = directory[&number].members.iter();
            let members = members
                .filter_map(|member| users.iter().find(|user| guid(**user) == *member))
                .copied();
            (number, members.collect())
        })
        .collect();
    (users, groups)
}

proptest! {
    /// After every synchronization the hub equals the directory, whatever happened before, every
    /// removal has a cause, and nothing is left to do.
    #[test]
    fn the_hub_follows_the_directory(steps in prop::collection::vec(step(), 1..60)) {
        let mut directory: BTreeMap<u128, DirectoryObject> = BTreeMap::new();
        for object in tree() {
            directory.insert((1..4).find(|n| guid(*n) == object.guid).unwrap(), object);
        }
        for number in 4..7 {
            directory.insert(number, object(number, Some(OUTSIDE), ObjectClass::Container));
        }
        // Somebody outside, so that the directory is never empty.
        directory.insert(50, user(50, OUTSIDE));
        let mut index = index_of(directory.values().cloned());
        let mut deleted: BTreeSet<Guid> = BTreeSet::new();
        for step in steps.into_iter().chain([Step::Sync]) {
            match step {
                Step::PutUser { number, parent, disabled, name } => {
                    let mut put = user(number, parent);
                    put.user_account_control = if disabled { 514 } else { 512 };
                    put.attributes.insert("title".into(), format!("t{name}"));
                    see(&mut index, put.clone());
                    deleted.remove(&put.guid);
                    directory.insert(number, put);
                }
                Step::PutGroup { number, parent, members } => {
                    let put = group(number, parent, &members);
                    see(&mut index, put.clone());
                    deleted.remove(&put.guid);
                    directory.insert(number, put);
                }
                Step::MoveUnit { number, parent } => {
                    let put = object(number, Some(parent), ObjectClass::Container);
                    see(&mut index, put.clone());
                    directory.insert(number, put);
                }
                Step::Delete { number } => {
                    if directory.remove(&number).is_some() {
                        deleted.insert(guid(number));
                        index.apply(Change::Deleted(guid(number)), &mapping());
                    }
                }
                Step::Sync => {
                    let found = plan(&index, &staff_only(), &rules()).unwrap();
                    let (users, groups) = expected(&directory);
                    for removal in found.user_removals.iter().chain(&found.group_removals) {
                        let number = (1..100).find(|n| guid(*n) == removal.guid).unwrap();
                        match removal.cause {
                            Cause::Deleted => prop_assert!(deleted.contains(&removal.guid)),
                            Cause::OutOfScope => prop_assert!(
                                directory.contains_key(&number)
                                    && !users.contains(&number)
                                    && !groups.contains_key(&number)
                            ),
                        }
                    }
                    carry_out(&mut index, &found, RemoveUserBehavior::Remove);
                    prop_assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
                    let (mut there, mut members) = (BTreeSet::new(), BTreeMap::new());
                    for (guid_there, record) in index.iter() {
                        if record.hub.is_none() {
                            continue;
                        }
                        let number = (1..100).find(|n| guid(*n) == guid_there).unwrap();
                        if record.kind() == Kind::User {
                            there.insert(number);
                        } else {
                            let numbers = index.hub_members(guid_there).map(|member| {
                                (1..100).find(|n| guid(*n) == member).unwrap()
                            });
                            members.insert(number, numbers.collect::<BTreeSet<u128>>());
                        }
                    }
                    prop_assert_eq!(there, users);
                    prop_assert_eq!(members, groups);
                }
            }
        }
    }
}
