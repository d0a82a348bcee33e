//! The engine: scope, causes of removals, activation.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use std::collections::BTreeSet;

use directory::*;
use rollcall_agent::engine::guard::Removals;
use rollcall_agent::engine::index::{HubUser, Index, Presence};
use rollcall_agent::engine::object::{Change, DirectoryObject, ObjectClass};
use rollcall_agent::engine::plan::{Activation, Cause, RemoveUserBehavior, Rules, Stop, plan};
use rollcall_agent::engine::scope::Scope;
use rollcall_agent::engine::snapshot::Snapshot;
use rollcall_agent::engine::unshown::unshown;

#[test]
fn a_first_run_creates_what_is_in_scope_and_a_second_does_nothing() {
    let mut objects = tree();
    objects.extend([
        user(10, STAFF),
        user(11, OUTSIDE),
        group(20, STAFF, &[10, 11]),
        group(21, OUTSIDE, &[10]),
    ]);
    let mut index = index_of(objects);
    let first = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(first.user_creates, [guid(10)]);
    assert_eq!(first.group_creates, [guid(20)]);
    assert_eq!(first.memberships.len(), 1);
    assert_eq!(first.memberships[0].add, [guid(10)]);
    assert_eq!(first.memberships_in_scope, 1);
    carry_out(&mut index, &first, RemoveUserBehavior::Remove);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
}

#[test]
fn a_tombstone_removes_and_blocks() {
    for behavior in [RemoveUserBehavior::Remove, RemoveUserBehavior::Block] {
        let mut objects = tree();
        objects.extend([user(10, STAFF), user(11, STAFF)]);
        let mut index = synchronized(objects, &staff_only());
        index.apply(Change::Deleted(guid(10)), &mapping());
        let rules = Rules {
            remove_user_behavior: behavior,
            ..rules()
        };
        let second = plan(&index, &staff_only(), &rules).unwrap();
        assert_eq!(second.user_removals.len(), 1);
        assert_eq!(second.user_removals[0].cause, Cause::Deleted);
        carry_out(&mut index, &second, behavior);
        assert!(plan(&index, &staff_only(), &rules).unwrap().is_empty());
        assert_eq!(
            index.hub_id(guid(10)).is_some(),
            behavior == RemoveUserBehavior::Block
        );
    }
}

#[test]
fn a_vanished_object_stops_everything() {
    let mut objects = tree();
    objects.extend([user(10, STAFF), user(11, STAFF)]);
    let mut index = synchronized(objects, &staff_only());
    index.apply(Change::Missing(guid(10)), &mapping());
    see(&mut index, user(12, STAFF));
    let stop = plan(&index, &staff_only(), &rules()).unwrap_err();
    assert!(matches!(stop, Stop::Vanished { count: 1, .. }), "{stop}");
    assert!(stop.to_string().contains("CN=o10"), "{stop}");
}

#[test]
fn a_blocked_user_that_vanished_stays_in_its_groups() {
    let mut objects = tree();
    let disabled = DirectoryObject {
        user_account_control: 514,
        ..user(10, STAFF)
    };
    objects.extend([disabled, user(11, STAFF), group(20, STAFF, &[10, 11])]);
    let mut index = synchronized(objects, &staff_only());
    let block = Rules {
        remove_user_behavior: RemoveUserBehavior::Block,
        ..rules()
    };
    index.apply(Change::Missing(guid(10)), &mapping());
    assert!(plan(&index, &staff_only(), &block).unwrap().is_empty());
    see(&mut index, user(10, OUTSIDE));
    let seen = plan(&index, &staff_only(), &block).unwrap();
    assert_eq!(seen.memberships[0].remove, [guid(10)]);
}

#[test]
fn an_empty_directory_stops_everything() {
    let index = index_of(tree());
    assert_eq!(plan(&index, &Scope::default(), &rules()), Err(Stop::Empty));
    let mut index = index_of(tree());
    index.set_hub(
        vec![HubUser {
            guid: guid(10),
            id: "aje10".into(),
            values: mapping().user(&user(10, STAFF)).unwrap(),
            enabled: Some(true),
        }],
        Vec::new(),
    );
    assert_eq!(plan(&index, &Scope::default(), &rules()), Err(Stop::Empty));
}

#[test]
fn objects_in_the_hub_only_stop_everything_until_their_tombstone_is_found() {
    let mut index = index_of(tree().into_iter().chain([user(10, STAFF)]));
    let values = |number| mapping().user(&user(number, STAFF)).unwrap();
    let listed = |number: u128| HubUser {
        guid: guid(number),
        id: format!("aje{number}").into(),
        values: values(number),
        enabled: Some(true),
    };
    index.set_hub(vec![listed(10), listed(99)], Vec::new());
    assert_eq!(index.missing(), [guid(99)]);
    let stop = plan(&index, &staff_only(), &rules()).unwrap_err();
    assert!(stop.to_string().contains("u99@corp.example"), "{stop}");
    index.apply(Change::Deleted(guid(99)), &mapping());
    let after = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(after.user_removals.len(), 1);
    assert!(after.user_updates.is_empty());
}

#[test]
fn renaming_and_moving_the_unit_of_the_filter_is_a_non_event() {
    let mut objects = tree();
    objects.extend([user(10, STAFF), group(20, STAFF, &[10])]);
    let mut index = synchronized(objects, &staff_only());
    let mut moved = object(STAFF, Some(OUTSIDE), ObjectClass::Container);
    moved.dn = "OU=People,OU=Outside".into();
    see(&mut index, moved);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
}

#[test]
fn moving_a_unit_out_and_in_takes_its_children_along() {
    const TEAM: u128 = 4;
    let mut objects = tree();
    objects.push(object(TEAM, Some(STAFF), ObjectClass::Container));
    objects.extend([user(10, TEAM), group(20, TEAM, &[10])]);
    let mut index = synchronized(objects, &staff_only());
    see(
        &mut index,
        object(TEAM, Some(OUTSIDE), ObjectClass::Container),
    );
    let out = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(out.user_removals[0].cause, Cause::OutOfScope);
    assert_eq!(out.group_removals[0].cause, Cause::OutOfScope);
    carry_out(&mut index, &out, RemoveUserBehavior::Remove);
    see(
        &mut index,
        object(TEAM, Some(STAFF), ObjectClass::Container),
    );
    let back = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!((back.user_creates.len(), back.group_creates.len()), (1, 1));
    assert_eq!(back.memberships[0].add, [guid(10)]);
}

#[test]
fn a_deleted_unit_of_the_filter_stops_everything() {
    let mut objects = tree();
    objects.push(user(10, STAFF));
    let mut index = synchronized(objects, &staff_only());
    index.apply(Change::Deleted(guid(STAFF)), &mapping());
    let stop = plan(&index, &staff_only(), &rules()).unwrap_err();
    assert!(matches!(stop, Stop::FilterGone(_)), "{stop}");
}

#[test]
fn an_object_whose_parents_are_invisible_is_never_removed() {
    let mut objects = tree();
    objects.push(user(10, STAFF));
    let mut index = synchronized(objects, &staff_only());
    see(&mut index, user(10, 77));
    assert_eq!(index.missing_parents(), [guid(77)]);
    assert!(matches!(
        plan(&index, &staff_only(), &rules()),
        Err(Stop::Vanished { .. })
    ));
}

#[test]
fn critical_objects_and_machines_are_never_synchronized() {
    let mut administrator = user(10, STAFF);
    administrator.critical = true;
    let mut workstation = user(11, STAFF);
    workstation.user_account_control = 0x1000;
    let mut domain_users = group(20, STAFF, &[10]);
    domain_users.critical = true;
    let objects = [administrator, workstation, domain_users];
    let index = index_of(tree().into_iter().chain(objects));
    for scope in [staff_only(), Scope::default()] {
        assert!(plan(&index, &scope, &rules()).unwrap().is_empty());
    }
}

#[test]
fn disabling_and_ended_accounts() {
    let mut index = synchronized(
        tree().into_iter().chain([user(10, STAFF)]).collect(),
        &staff_only(),
    );
    let mut disabled = user(10, STAFF);
    disabled.user_account_control = 514;
    see(&mut index, disabled.clone());
    let off = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(off.user_updates[0].activation, Some(Activation::Suspend));
    assert!(!off.user_updates[0].values);
    carry_out(&mut index, &off, RemoveUserBehavior::Remove);

    // Enabled again, but the account ended in 2001: the hub suspends it by itself.
    let mut ended = user(10, STAFF);
    ended.account_expires = 126_227_808_000_000_000;
    see(&mut index, ended);
    let update = plan(&index, &staff_only(), &rules()).unwrap().user_updates[0];
    assert!(update.values);
    assert_eq!(update.activation, None);
}

#[test]
fn what_an_index_says_of_activation_does_not_overrule_the_hub() {
    let before = synchronized(
        tree().into_iter().chain([user(10, STAFF)]).collect(),
        &staff_only(),
    );
    let mut index = index_of(tree().into_iter().chain([user(10, STAFF)]));
    let listed = HubUser {
        guid: guid(10),
        id: format!("hub-{}", guid(10)).into(),
        values: mapping().user(&user(10, STAFF)).unwrap(),
        enabled: Some(false),
    };
    index.set_hub(vec![listed.clone()], Vec::new());
    // The index says that the agent left the user active; another one may have suspended it since.
    index.remember(&before);
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(
        made.user_updates[0].activation,
        Some(Activation::Reactivate)
    );

    // The listing of an ended account does not tell whether the agent suspended it too.
    let mut disabled = user(10, STAFF);
    disabled.user_account_control = 514;
    let objects = || tree().into_iter().chain([disabled.clone()]);
    let before = synchronized(objects().collect(), &staff_only());
    let mut index = index_of(objects());
    let ended = HubUser {
        enabled: None,
        ..listed
    };
    index.set_hub(vec![ended], Vec::new());
    assert_eq!(
        plan(&index, &staff_only(), &rules()).unwrap().user_updates[0].activation,
        Some(Activation::Suspend)
    );
    index.remember(&before);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
}

#[test]
fn a_disabled_user_that_somebody_suspended_gets_a_block_of_the_agents_own() {
    let mut disabled = user(10, STAFF);
    disabled.user_account_control = 514;
    let objects = || tree().into_iter().chain([disabled.clone()]);
    let listed = HubUser {
        guid: guid(10),
        id: format!("hub-{}", guid(10)).into(),
        values: mapping().user(&disabled).unwrap(),
        enabled: Some(false),
    };
    let mut index = index_of(objects());
    index.set_hub(vec![listed.clone()], Vec::new());
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(made.user_updates.len(), 1);
    assert_eq!(made.user_updates[0].activation, Some(Activation::Suspend));
    assert!(!made.user_updates[0].values);
    // Nobody loses anything by it.
    assert!(Removals::of(&made, &index).is_empty());
    carry_out(&mut index, &made, RemoveUserBehavior::Remove);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());

    // The next comparison remembers it.
    let before = index;
    let mut index = index_of(objects());
    index.set_hub(vec![listed], Vec::new());
    index.remember(&before);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
}

#[test]
fn a_user_that_becomes_the_account_of_a_machine_leaves_as_users_do() {
    let mut machine = user(10, STAFF);
    machine.user_account_control = 0x1000;
    let objects = || tree().into_iter().chain([user(10, STAFF), user(11, STAFF)]);
    let removed = |index: &Index| {
        let made = plan(index, &staff_only(), &rules()).unwrap();
        let removals = made.user_removals.iter();
        removals
            .map(|gone| (gone.guid, gone.cause))
            .collect::<Vec<_>>()
    };
    let expected = [(guid(10), Cause::OutOfScope)];
    let mut index = synchronized(objects().collect(), &staff_only());
    see(&mut index, machine.clone());
    assert_eq!(removed(&index), expected);
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    carry_out(&mut index, &made, RemoveUserBehavior::Remove);
    assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());

    // The same in a comparison, where the hub is listed after the directory.
    let listed = |number: u128| HubUser {
        guid: guid(number),
        id: format!("hub-{number}").into(),
        values: mapping().user(&user(number, STAFF)).unwrap(),
        enabled: Some(true),
    };
    let mut index = index_of(tree().into_iter().chain([machine, user(11, STAFF)]));
    index.set_hub(vec![listed(10), listed(11)], Vec::new());
    assert_eq!(removed(&index), expected);
}

#[test]
fn what_is_not_shown_and_was_not_reported_is_hidden() {
    let mut full = user(10, STAFF);
    full.attributes.insert("title".into(), "Lead".into());
    full.account_expires = 126_227_808_000_000_000;
    full.primary_group_rid = Some(513);
    let mut crew = group(20, STAFF, &[]);
    crew.attributes.insert("description".into(), "x".into());
    let index = index_of(tree().into_iter().chain([full.clone(), crew.clone()]));
    let hidden = |object: &DirectoryObject, reported: &str| {
        let mapping = mapping();
        let name = unshown(&index, object, &mapping, |name| name == reported);
        name.map(str::to_owned)
    };
    assert_eq!(hidden(&full, ""), None);
    for name in ["title", "displayname", "userprincipalname"] {
        let mut part = full.clone();
        part.attributes.remove(name);
        assert_eq!(hidden(&part, ""), Some(name.to_owned()));
        assert_eq!(hidden(&part, name), None);
    }
    let never = DirectoryObject {
        account_expires: 0,
        ..full.clone()
    };
    assert_eq!(hidden(&never, "").unwrap(), "accountexpires");
    let nowhere = DirectoryObject {
        primary_group_rid: None,
        ..full
    };
    assert_eq!(hidden(&nowhere, "").unwrap(), "primarygroupid");
    // Of one without a displayName the name stands in; when it changes, that is reported.
    let mut nameless = user(12, STAFF);
    nameless.attributes.remove("displayname");
    nameless.attributes.insert("name".into(), "before".into());
    let index_of_nameless = index_of(tree().into_iter().chain([nameless.clone()]));
    nameless.attributes.insert("name".into(), "after".into());
    let mapping_of_names = mapping();
    let renamed = unshown(&index_of_nameless, &nameless, &mapping_of_names, |name| {
        name == "name"
    });
    assert_eq!(renamed, None);
    crew.attributes.remove("description");
    assert_eq!(hidden(&crew, "").unwrap(), "description");
    assert_eq!(hidden(&user(11, STAFF), ""), None);
}

#[test]
fn an_object_seen_after_its_tombstone_is_alive() {
    let mut snapshot = Snapshot::default();
    for change in [
        Change::Deleted(guid(10)),
        Change::Seen(Box::new(user(10, STAFF))),
        Change::Seen(Box::new(user(11, STAFF))),
        Change::Deleted(guid(11)),
        Change::Deleted(guid(12)),
    ] {
        snapshot.take(change, &mapping());
    }
    let (index, deleted) = snapshot.into_parts();
    assert_eq!(deleted, BTreeSet::from([guid(11), guid(12)]));
    assert_eq!(index.get(guid(10)).unwrap().presence, Presence::Seen);
}

#[test]
fn unfit_objects_are_reported_and_keep_what_the_hub_has() {
    let mut index = synchronized(
        tree()
            .into_iter()
            .chain([user(10, STAFF), group(20, STAFF, &[10])])
            .collect(),
        &staff_only(),
    );
    let mut nameless = user(10, STAFF);
    nameless.attributes.remove("userprincipalname");
    see(&mut index, nameless);
    let second = plan(&index, &staff_only(), &rules()).unwrap();
    assert!(second.is_empty(), "{second:?}");
    assert_eq!(second.unfit_users.len(), 1);
    assert!(second.unfit_users[0].reason.contains("userprincipalname"));
}

#[test]
fn an_unfit_user_is_still_switched_off_and_on() {
    let objects = tree().into_iter().chain([user(10, STAFF)]).collect();
    let mut index = synchronized(objects, &staff_only());
    let mut unfit = user(10, STAFF);
    unfit.attributes.insert("mail".into(), "m".repeat(300));
    for (control, expected) in [(514, Activation::Suspend), (512, Activation::Reactivate)] {
        unfit.user_account_control = control;
        see(&mut index, unfit.clone());
        let made = plan(&index, &staff_only(), &rules()).unwrap();
        assert_eq!(made.user_updates.len(), 1, "{made:?}");
        assert_eq!(made.user_updates[0].activation, Some(expected));
        assert!(!made.user_updates[0].values);
        carry_out(&mut index, &made, RemoveUserBehavior::Remove);
        assert!(plan(&index, &staff_only(), &rules()).unwrap().is_empty());
    }
}
