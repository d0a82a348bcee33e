//! A plan as data: what its steps say, that its hash depends on nothing else, and how it is tried.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/directory.rs"]
mod directory;

use directory::*;
use rollcall_agent::engine::guard::{Limit, Removals, Removed, check};
use rollcall_agent::engine::index::{HubUser, Index};
use rollcall_agent::engine::object::{Change, ObjectClass};
use rollcall_agent::engine::plan::{
    Before, Plan, PlanHash, RemoveUserBehavior, Steps, Stop, UserBefore, name, plan, plan_while,
};
use rollcall_agent::engine::trial::{Holder, Names, Trial, TrialRules, try_out};
use rollcall_agent::progress::{Change as Kind, ObjectType};
use rollcall_agent::refused_plan::write_plan;
use serde_json::{Value as Json, json};

fn written(plan: &Plan, index: &Index, before: &Before) -> (String, PlanHash) {
    let steps = Steps {
        plan,
        index,
        behavior: RemoveUserBehavior::Remove,
        before,
    };
    let mut text = Vec::new();
    let hash = write_plan(steps.iter(), &mut text).unwrap();
    (String::from_utf8(text).unwrap(), hash)
}

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A domain with something of every kind to do, in the order given by `shuffle`.
fn everything_to_do(reverse: bool) -> (Index, Before) {
    let mut first = tree();
    let members: Vec<u128> = (10..15).collect();
    first.extend((10..15).map(|number| user(number, STAFF)));
    first.extend([group(20, STAFF, &members), group(21, STAFF, &[])]);
    let mut index = synchronized(first, &staff_only());
    let mut before = Before::default();
    for number in 10..15 {
        let values = mapping().user(&user(number, STAFF)).unwrap();
        let active = true;
        before
            .users
            .insert(guid(number), UserBefore { values, active });
    }
    for number in [20, 21] {
        let values = mapping().group(&group(number, STAFF, &[])).unwrap();
        before.groups.insert(guid(number), values);
    }
    let mut renamed = user(10, STAFF);
    renamed
        .attributes
        .insert("displayname".into(), "Renamed".into());
    let mut disabled = user(11, STAFF);
    disabled.user_account_control = 514;
    let mut retitled = group(20, STAFF, &[11, 13, 30]);
    retitled
        .attributes
        .insert("description".into(), "new".into());
    let mut news = vec![
        Change::Seen(Box::new(renamed)),
        Change::Seen(Box::new(disabled)),
        Change::Seen(Box::new(retitled)),
        Change::Deleted(guid(12)),
        Change::Deleted(guid(21)),
        Change::Seen(Box::new(user(13, OUTSIDE))),
        Change::Seen(Box::new(user(30, STAFF))),
        Change::Seen(Box::new(group(22, STAFF, &[14]))),
    ];
    if reverse {
        news.reverse();
    }
    for change in news {
        index.apply(change, &mapping());
    }
    (index, before)
}

#[test]
fn the_steps_say_everything() {
    let (index, before) = everything_to_do(false);
    let plan = plan(&index, &staff_only(), &rules()).unwrap();
    let (text, _) = written(&plan, &index, &before);
    let lines = lines(&text);
    let kinds: Vec<String> = lines
        .iter()
        .map(|line| {
            let word = |name: &str| line[name].as_str().unwrap().to_owned();
            format!("{} {} {}", word("object"), word("change"), word("name"))
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "group create g22",
            "group update g20",
            "user update u10@corp.example",
            "user deactivate u11@corp.example",
            "user create u30@corp.example",
            "membership delete g20",
            "membership delete g20",
            "membership create g20",
            "membership create g22",
            "user delete u12@corp.example",
            "user delete u13@corp.example",
            "group delete g21",
        ]
    );
    assert_eq!(
        lines[2],
        json!({
            "object": "user", "change": "update", "guid": guid(10).to_string(),
            "id": format!("hub-{}", guid(10)), "name": "u10@corp.example",
            "dn": "CN=o10,CN=o2,CN=o1",
            "before": {"full_name": "User 10"}, "after": {"full_name": "Renamed"},
        })
    );
    assert_eq!(lines[1]["before"], json!({"description": ""}));
    assert_eq!(lines[1]["after"], json!({"description": "new"}));
    assert_eq!(lines[3]["before"], json!({"active": true}));
    assert_eq!(lines[3]["after"], json!({"active": false}));
    assert_eq!(lines[4]["after"]["username"], "u30@corp.example");
    assert_eq!(lines[4]["after"]["active"], true);
    assert_eq!(lines[7]["member"]["name"], "u30@corp.example");
    assert_eq!(lines[9]["cause"], "deleted");
    assert_eq!(lines[9]["before"]["full_name"], "User 12");
    assert!(lines[9].get("dn").is_none(), "nobody can look it up");
    assert_eq!(lines[10]["cause"], "out_of_scope");
    assert_eq!(lines[10]["dn"], "CN=o13,CN=o3,CN=o1");
}

#[test]
fn the_hash_depends_on_the_state_only() {
    let (index, before) = everything_to_do(false);
    let there = plan(&index, &staff_only(), &rules()).unwrap();
    let (text, hash) = written(&there, &index, &before);
    let (index, before) = everything_to_do(true);
    let mut again = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(written(&again, &index, &before), (text.clone(), hash));
    again.user_removals.reverse();
    again.memberships.reverse();
    for change in &mut again.memberships {
        change.remove.reverse();
    }
    assert_eq!(written(&again, &index, &before), (text, hash));

    let less = Plan {
        user_removals: again.user_removals[1..].to_vec(),
        ..again.clone()
    };
    assert_ne!(written(&less, &index, &before).1, hash);
    let mut otherwise = before.clone();
    otherwise.users.get_mut(&guid(10)).unwrap().values = Default::default();
    assert_ne!(written(&again, &index, &otherwise).1, hash);
}

#[test]
fn a_renamed_parent_shows_in_the_names_of_those_below() {
    let mut objects = tree();
    objects.extend([user(10, STAFF), user(11, STAFF)]);
    let mut index = synchronized(objects.clone(), &staff_only());
    let mut unit = object(STAFF, Some(ROOT), ObjectClass::Container);
    unit.dn = r"OU=Staff\, all,DC=corp".into();
    see(&mut index, unit);
    let mut changed = user(10, STAFF);
    changed.attributes.insert("title".into(), "Lead".into());
    see(&mut index, changed);
    let plan = plan(&index, &staff_only(), &rules()).unwrap();
    let (text, _) = written(&plan, &index, &Before::default());
    assert_eq!(lines(&text)[0]["dn"], r"CN=o10,OU=Staff\, all,CN=o1");
}

#[test]
fn disabling_counts_active_users_only() {
    let mut objects = tree();
    objects.extend((100..200).map(|number| user(number, STAFF)));
    let mut index = synchronized(objects, &staff_only());
    let disable = |index: &mut Index, numbers: std::ops::Range<u128>| {
        for number in numbers {
            let mut disabled = user(number, STAFF);
            disabled.user_account_control = 514;
            see(index, disabled);
        }
    };
    disable(&mut index, 100..120);
    let verdict = |index: &Index, removed: &Removed| {
        let plan = plan(index, &staff_only(), &rules()).unwrap();
        let removals = Removals::of(&plan, index);
        check(&removals, Limit::Default, removed, |guid| name(index, guid))
    };
    assert_eq!(verdict(&index, &Removed::default()), Ok(()));
    let first = plan(&index, &staff_only(), &rules()).unwrap();
    let removals = Removals::of(&first, &index);
    carry_out(&mut index, &first, RemoveUserBehavior::Remove);
    let mut removed = Removed::default();
    for loss in removals.losses(Limit::Default, NOW) {
        removed.add(loss);
    }
    disable(&mut index, 120..121);
    let stop = verdict(&index, &removed).unwrap_err();
    assert!(
        stop.to_string()
            .starts_with("21 of 100 users would be suspended")
    );
    assert_eq!(stop.examples(), "CN=o120,CN=o2,CN=o1");
    // Enabling again takes nothing away.
    for number in 100..120 {
        see(&mut index, user(number, STAFF));
    }
    see(&mut index, user(120, STAFF));
    assert_eq!(verdict(&index, &removed), Ok(()));
}

/// A hub that knows the domain of the tests and these logins.
fn names(logins: &[(&str, Holder)]) -> Names {
    let logins = logins.iter();
    Names {
        logins: logins.map(|(name, h)| ((*name).to_owned(), *h)).collect(),
        domains: ["corp.example".to_owned()].into(),
        ..Names::default()
    }
}

fn trial(index: &Index, names: Names, capture_users: bool) -> Trial {
    let plan = plan(index, &staff_only(), &rules()).unwrap();
    let rules = TrialRules {
        behavior: RemoveUserBehavior::Remove,
        capture_users,
        capture_groups: false,
        now: NOW,
    };
    try_out(&plan, index, names, &rules)
}

fn count(trial: &Trial, object: ObjectType, change: Kind) -> (u64, u64) {
    let count = trial.counts.get(&(object, change)).copied();
    let count = count.unwrap_or_default();
    (count.successful, count.failed)
}

#[test]
fn a_login_that_is_taken_fails_unless_it_is_captured() {
    let mut objects = tree();
    objects.extend([
        user(10, STAFF),
        user(11, STAFF),
        group(20, STAFF, &[10, 11]),
    ]);
    let index = index_of(objects);
    let taken = |holder| names(&[("u10@corp.example", holder)]);
    // Who is taken over is tied first and gets its values then, which are two updates.
    for (holder, capture, created, updated, there) in [
        (Holder::Local, false, (1, 1), (0, 0), 1),
        (Holder::Foreign, true, (1, 1), (0, 0), 1),
        (Holder::Local, true, (1, 0), (2, 0), 2),
        (Holder::Ours(guid(10)), false, (1, 0), (1, 0), 2),
        (Holder::Ours(guid(99)), false, (1, 1), (0, 0), 1),
    ] {
        let trial = trial(&index, taken(holder), capture);
        let users = |change| count(&trial, ObjectType::User, change);
        assert_eq!(users(Kind::Create), created, "{holder:?}");
        assert_eq!(users(Kind::Update), updated, "{holder:?}");
        let members = count(&trial, ObjectType::Membership, Kind::Create);
        assert_eq!(members, (there, 0), "{holder:?}");
        let reasons = trial.failures.values();
        assert!(reasons.clone().all(|why| why.contains("u10@corp.example")));
    }
}

#[test]
fn a_login_that_becomes_free_in_the_same_run_is_taken_over() {
    let mut first = tree();
    first.extend([user(10, STAFF), user(11, STAFF)]);
    let mut index = synchronized(first, &staff_only());
    let named = |number: u128, login: &str| {
        let mut object = user(number, STAFF);
        object
            .attributes
            .insert("userprincipalname".into(), format!("{login}@corp.example"));
        object
    };
    // 10 is deleted and made anew, 11 gets another login, which a new user takes.
    index.apply(Change::Deleted(guid(10)), &mapping());
    for object in [named(30, "u10"), named(11, "eleven"), named(31, "u11")] {
        see(&mut index, object);
    }
    let there = [
        ("u10@corp.example", Holder::Ours(guid(10))),
        ("u11@corp.example", Holder::Ours(guid(11))),
    ];
    let made = trial(&index, names(&there), false);
    assert_eq!(made.failures.len(), 0, "{made:?}");
    assert_eq!(count(&made, ObjectType::User, Kind::Create), (2, 0));
    assert_eq!(count(&made, ObjectType::User, Kind::Update), (1, 0));
    assert_eq!(count(&made, ObjectType::User, Kind::Delete), (1, 0));
    // Of two that want the same, one gets it.
    see(&mut index, named(32, "u11"));
    let made = trial(&index, names(&there), false);
    assert_eq!(count(&made, ObjectType::User, Kind::Create), (2, 1));
}

#[test]
fn one_more_cause_of_a_suspension_is_no_step() {
    let mut disabled = user(10, STAFF);
    disabled.user_account_control = 514;
    let values = mapping().user(&disabled).unwrap();
    let mut index = index_of(tree().into_iter().chain([disabled]));
    let listed = HubUser {
        guid: guid(10),
        id: "aje10".into(),
        values: values.clone(),
        enabled: Some(false),
    };
    index.set_hub(vec![listed], Vec::new());
    let made = plan(&index, &staff_only(), &rules()).unwrap();
    assert_eq!(made.user_updates.len(), 1);
    let mut before = Before::default();
    let active = false;
    before.users.insert(guid(10), UserBefore { values, active });
    let (text, _) = written(&made, &index, &before);
    assert_eq!(text, "");
    let login = "u10@corp.example";
    let mut names = names(&[(login, Holder::Ours(guid(10)))]);
    names.suspended.insert(login.to_owned());
    let foretold = trial(&index, names, false);
    assert_eq!(count(&foretold, ObjectType::User, Kind::Deactivate), (0, 0));
}

#[test]
fn names_that_are_exchanged_or_move_on_in_a_row_are_foretold_as_a_run_does_them() {
    let named = |number: u128, login: u128| {
        let mut object = user(number, STAFF);
        let login = format!("u{login}@corp.example");
        object.attributes.insert("userprincipalname".into(), login);
        object
    };
    let mut first = tree();
    first.extend((10..16).map(|number| user(number, STAFF)));
    let mut index = synchronized(first, &staff_only());
    // Two exchange theirs; four move on, the one that makes room for the others last.
    for (number, login) in [(10, 11), (11, 10)] {
        see(&mut index, named(number, login));
    }
    for number in 12..16 {
        see(&mut index, named(number, number + 1));
    }
    let there: Vec<(String, Holder)> = (10..16)
        .map(|number| {
            (
                format!("u{number}@corp.example"),
                Holder::Ours(guid(number)),
            )
        })
        .collect();
    let there: Vec<(&str, Holder)> = there.iter().map(|(n, h)| (n.as_str(), *h)).collect();
    let made = trial(&index, names(&there), false);
    assert_eq!(made.failures.len(), 0, "{made:?}");
    // Six get their names, and one of the two that exchange steps aside first.
    assert_eq!(count(&made, ObjectType::User, Kind::Update), (7, 0));
}

#[test]
fn unfit_objects_and_unproven_domains_fail() {
    let mut unfit = user(10, STAFF);
    unfit
        .attributes
        .insert("userprincipalname".into(), "a b@corp.example".into());
    let mut objects = tree();
    objects.extend([unfit, user(11, STAFF)]);
    let index = index_of(objects);
    let mut nowhere = names(&[]);
    nowhere.domains.clear();
    let made = trial(&index, nowhere, false);
    assert_eq!(count(&made, ObjectType::User, Kind::Create), (0, 2));
    let why = &made.failures[&(guid(11), ObjectType::User, Kind::Create)];
    assert!(why.contains("corp.example"), "{why}");
    let made = trial(&index, names(&[]), false);
    assert_eq!(count(&made, ObjectType::User, Kind::Create), (1, 1));
}

/// Whether to go on is asked at the start, and again for each group.
#[test]
fn a_plan_nobody_wants_any_more_ends() {
    let mut objects = tree();
    objects.extend((100..110).map(|number| user(number, STAFF)));
    objects.extend((10..15).map(|number| group(number, STAFF, &[100, 101])));
    let index = index_of(objects);
    for answers in 0..6 {
        let asked = std::cell::Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= answers
        };
        let made = plan_while(&index, &staff_only(), &rules(), &go_on);
        assert_eq!(made.unwrap_err(), Stop::Asked, "{answers}");
        assert_eq!(asked.get(), answers + 1);
    }
    let made = plan_while(&index, &staff_only(), &rules(), &|| true);
    assert_eq!(made, plan(&index, &staff_only(), &rules()));
}
