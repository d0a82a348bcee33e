//! The guard against mass removal: nothing is written, the reason tells, a person can let exactly
//! that plan pass.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::Path;

use change::*;
use rollcall_lab::oracle::State;
use rollcall_lab::samba::Fill;
use rollcall_proto::idp::SessionStatus;
use serde_json::Value as Json;
use world::World;

const POLLS_MAX: u32 = 1_200;
const POLL: std::time::Duration = std::time::Duration::from_millis(100);

fn crowd(users: u32, members: u32) -> Fill {
    Fill {
        users,
        groups: 1,
        memberships: members,
        seed: 5,
        big_group: false,
        difficulties: false,
    }
}

/// Distinguished names of the people of the domain who may sign in, in a fixed order.
fn people_of(world: &World) -> Vec<String> {
    let listed = world
        .dc
        .admin_ldapsearch(&[
            "(&(department=*)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
            "dn",
        ])
        .unwrap();
    dns(&listed)
}

fn each(dns: &[String], change: &str) -> String {
    dns.iter().map(|dn| modify(dn, change)).collect()
}

/// A run that has to be refused, with the hub as it was; the hash and the steps of the plan.
async fn refused(world: &World, config: &Path) -> (String, Vec<Json>) {
    let before = world.found().await;
    let (code, summary) = world.once(config).await;
    assert_eq!(code, 1, "{summary:#}");
    assert!(world.found().await == before, "the hub was changed");
    let hash = summary["refused_plan"]["hash"].as_str().unwrap().to_owned();
    let reason = summary["reason"].as_str().unwrap();
    for part in [
        "nothing was changed",
        "approve",
        "safety.max_removals",
        &hash,
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let newest = &world.sessions().await[0];
    assert_eq!(newest.status, SessionStatus::Failed as i32);
    assert!(newest.fail_reason.contains(&hash), "{}", newest.fail_reason);
    let file = summary["refused_plan"]["file"].as_str().unwrap();
    assert!(reason.contains(file), "{reason}");
    let steps = std::fs::read_to_string(file).unwrap();
    let steps = steps
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let status = world.agent(config, &["status"]).await;
    assert!(String::from_utf8_lossy(&status.stdout).contains(&hash));
    (hash, steps)
}

/// The objects of the steps of one kind, for memberships their members, by relative name: servers
/// escape the rest of a name in different ways.
fn named<'a>(steps: &'a [Json], object: &str, change: &str) -> BTreeSet<&'a str> {
    let kind = |step: &&Json| step["object"] == object && step["change"] == change;
    let of = |step: &'a Json| step.get("member").unwrap_or(step)["dn"].as_str();
    let all = steps.iter().filter(kind);
    all.map(|step| relative(of(step).unwrap())).collect()
}

fn relative(dn: &str) -> &str {
    dn.split(",OU=").next().unwrap()
}

async fn approve(world: &World, config: &Path, hash: &str) -> (Option<i32>, String) {
    let output = world.agent(config, &["approve", hash]).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Waits until the service has logged this.
async fn wait_log(world: &World, text: &str) {
    for _ in 0..POLLS_MAX {
        if world.log().contains(text) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{text:?} was never logged:\n{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_03_a_mass_change_stops_before_the_first_write_and_passes_once_approved() {
    let world = World::start(Some(crowd(1_000, 900))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    let people = people_of(&world);
    assert!(people.len() > 901, "{}", people.len());

    // 30 % are disabled.
    let disable = "replace: userAccountControl\nuserAccountControl: 514";
    world
        .dc
        .admin_ldapmodify(&each(&people[..300], disable))
        .unwrap();
    let (hash, steps) = refused(&world, &config).await;
    let disabled: BTreeSet<&str> = people[..300].iter().map(|dn| relative(dn)).collect();
    let planned = named(&steps, "user", "deactivate");
    assert!(planned == disabled, "{} are planned", planned.len());
    assert_eq!(refused(&world, &config).await.0, hash, "the same state");
    world.reset_token().await;
    // A comparison of everything plans the same, word for word; it also adds memberships of
    // suspended users once more, which the hub does not list.
    let (hash, compared) = refused(&world, &config).await;
    assert!(steps.iter().all(|step| compared.contains(step)));
    let more = compared.iter().filter(|step| !steps.contains(step));
    for step in more {
        assert_eq!(
            (&step["object"], &step["change"]),
            (&"membership".into(), &"create".into())
        );
    }

    let (code, text) = approve(&world, &config, "0123456789ab").await;
    assert_eq!(code, Some(1));
    assert!(text.contains(&hash), "{text}");
    assert_eq!(approve(&world, &config, &hash[..11]).await.0, Some(1));
    let (code, text) = approve(&world, &config, &hash[..12]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("user deactivate 300"), "{text}");
    let title = modify(&people[902], "replace: title\ntitle: Lead");
    world.dc.admin_ldapmodify(&title).unwrap();
    let (other, _) = refused(&world, &config).await;
    assert_ne!(other, hash);
    let (_, last) = (
        approve(&world, &config, &hash).await,
        world.once(&config).await,
    );
    let reason = last.1["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("approval of plan {}", &hash[..12])),
        "{reason}"
    );
    let (code, text) = approve(&world, &config, &other).await;
    assert_eq!(code, Some(0), "{text}");
    // Some of them could not sign in before, because their accounts have ended.
    let active = async || {
        let found = world.found().await.users.into_values();
        found.filter(|user| user.active).count()
    };
    let before = active().await;
    let run = world.run(&config).await;
    let went = before - active().await;
    assert!(went > 290, "{went}");
    assert_eq!(run["users"]["deactivated"], went, "{run:#}");
    world.assert_equal().await;
    let (code, text) = approve(&world, &config, &other).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("no refused plan"), "{text}");

    // A group loses all its members.
    let group = format!("CN=group-00000,OU=Groups,{BASE}");
    world
        .dc
        .admin_ldapmodify(&modify(&group, "delete: member"))
        .unwrap();
    let (hash, steps) = refused(&world, &config).await;
    assert_eq!(named(&steps, "membership", "delete").len(), 900);
    assert_eq!(approve(&world, &config, &hash).await.0, Some(0));
    let run = world.run(&config).await;
    assert_eq!(run["memberships"]["removed"], 900, "{run:#}");
    world.assert_equal().await;

    // 501 users are deleted; the service finds it, says so, and waits until it may try again. That
    // is a minute and not the interval, although the last success was a moment ago.
    let before = world.found().await;
    let gone: Vec<&str> = people[400..901].iter().map(String::as_str).collect();
    world.dc.admin_ldapdelete(&gone).unwrap();
    let service = world.spawn(&config, &["--now"]);
    wait_log(&world, "the plan is refused: 501 of 1000 users would leave").await;
    wait_log(&world, "not due yet").await;
    assert!(world.found().await == before, "{}", world.log());
    assert_eq!(world.log().matches("the plan is refused").count(), 1);
    let file = world.working_directory().join("refused_plan.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.matches("\"change\":\"delete\"").count(), 501);
    let output = world.agent(&config, &["status", "-o", "json"]).await;
    let status: Json = serde_json::from_slice(&output.stdout).unwrap();
    let hash = status["streams"]["objects"]["run"]["refused_plan"]["hash"]
        .as_str()
        .unwrap();
    assert_eq!(approve(&world, &config, hash).await.0, Some(0));
    for _ in 0..POLLS_MAX {
        if world.users().await.len() == 499 {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    world.wait_equal().await;
    assert_eq!(world.users().await.len(), 499, "{}", world.log());
    assert_eq!(service.terminate().await, Some(0), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_03_a_group_of_five_thousand_is_not_emptied_unasked() {
    let world = World::start(Some(crowd(5_010, 5_000))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    let group = format!("CN=group-00000,OU=Groups,{BASE}");
    world
        .dc
        .admin_ldapmodify(&modify(&group, "delete: member"))
        .unwrap();
    let (hash, steps) = refused(&world, &config).await;
    assert_eq!(named(&steps, "membership", "delete").len(), 5_000);
    assert_eq!(approve(&world, &config, &hash).await.0, Some(0));
    let run = world.run(&config).await;
    assert_eq!(run["memberships"]["removed"], 5_000, "{run:#}");
    world.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_02_a_right_that_is_lost_on_half_or_all_of_the_scope_removes_nobody() {
    let world = World::start(Some(people(120))).await;
    let config = world.configure("", "");
    world.run(&config).await;
    world.assert_equal().await;
    let before = world.found().await;
    let account = world.sync_account_sid();
    let half = ["OU=Germany", "OU=Alumni"].map(|unit| format!("{unit},OU=People,{BASE}"));
    let all = ["OU=People", "OU=Groups"].map(|unit| format!("{unit},{BASE}"));
    // First what lies below is not listed any more, then nothing of it can be read (MS-ADTS
    // 5.1.3.2: list contents, read property).
    for (units, rights) in [(half, "LC"), (all, "LCRP")] {
        let hidden = accounts_below(&world, &units);
        for unit in &units {
            let sddl = format!("--sddl=(D;CI;{rights};;;{account})");
            let unit = format!("--objectdn={unit}");
            let set = ["dsacl", "set", &unit, &sddl];
            world.dc.samba_tool(&set).unwrap();
        }
        for reset in [false, true] {
            if reset {
                world.reset_token().await;
            }
            let (code, summary) = world.once(&config).await;
            assert!(world.found().await == before, "{summary:#}");
            if reset {
                assert_eq!(code, 1, "{summary:#}");
                let newest = &world.sessions().await[0];
                assert_eq!(newest.status, SessionStatus::Failed as i32);
                let reason = summary["reason"].as_str().unwrap();
                let named = hidden.iter().any(|name| reason.contains(name.as_str()));
                assert!(named, "{rights}: {reason}");
                let helps = ["rights", "grant"].iter().any(|word| reason.contains(word));
                assert!(helps, "{rights}: {reason}");
            }
        }
    }
}

/// Denies the account of the agent to read one attribute of an object, by the schemaIDGUID of the
/// attribute (MS-ADTS 5.1.3.2, MS-ADA). A denial that is inherited would come after what the object
/// itself allows.
fn hide(world: &World, dn: &str, attribute: &str) {
    let account = world.sync_account_sid();
    let sddl = format!("--sddl=(OD;;RP;{attribute};;{account})");
    let object = format!("--objectdn={dn}");
    let set = ["dsacl", "set", &object, &sddl];
    world.dc.samba_tool(&set).unwrap();
}

const MEMBER: &str = "bf9679c0-0de6-11d0-a285-00aa003049e2";
const TITLE: &str = "bf967a55-0de6-11d0-a285-00aa003049e2";
const DESCRIPTION: &str = "bf967950-0de6-11d0-a285-00aa003049e2";

#[tokio::test(flavor = "multi_thread")]
async fn at_02_members_that_may_not_be_read_stay_in_the_group() {
    for (by_filter, description) in [(false, "small team"), (true, "filter")] {
        let mut world = World::start(None).await;
        let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
        let crew = format!("CN=crew,{groups}");
        let changes = [
            new_user("anna", &people),
            new_user("boris", &people),
            new_group("crew", &groups, &[&format!("CN=anna,{people}")]),
            add_member(&crew, &format!("CN=boris,{people}")),
        ];
        world.dc.admin_ldapmodify(&changes.concat()).unwrap();
        if by_filter {
            world.groups = vec![crew.clone()];
            world.units.truncate(1);
        }
        let config = world.configure("", "");
        world.run(&config).await;
        let before = world.found().await;
        assert_eq!(before.users.len(), 2);
        hide(&world, &crew, MEMBER);
        // Something of the group changes, but not its members.
        let change = replace(&crew, "description", description);
        world.dc.admin_ldapmodify(&change).unwrap();
        for reset in [false, true] {
            if reset {
                world.reset_token().await;
            }
            let (code, summary) = world.once(&config).await;
            let after = world.found().await;
            assert_eq!(after.users, before.users, "{summary:#}");
            let members = |state: &State| {
                let groups = state.groups.values();
                let members = groups.map(|group| group.members.clone());
                members.collect::<Vec<_>>()
            };
            assert_eq!(members(&after), members(&before), "{summary:#}");
            assert_eq!(code, i32::from(reset), "{summary:#}");
            if reset {
                let reason = summary["reason"].as_str().unwrap();
                assert!(reason.contains("right"), "{reason}");
                assert!(reason.contains("crew"), "{reason}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_02_an_attribute_that_may_not_be_read_empties_nothing() {
    let (people, groups) = (format!("OU=People,{BASE}"), format!("OU=Groups,{BASE}"));
    let (anna, crew) = (format!("CN=anna,{people}"), format!("CN=crew,{groups}"));
    for (dn, attribute, name, harmless) in [
        (&anna, TITLE, "title", "company"),
        (&crew, DESCRIPTION, "description", "info"),
    ] {
        let world = World::start(None).await;
        let changes = [
            new_user("anna", &people),
            new_group("crew", &groups, &[&anna]),
            replace(dn, name, "kept"),
        ];
        world.dc.admin_ldapmodify(&changes.concat()).unwrap();
        let config = world.configure("", "");
        world.run(&config).await;
        world.assert_equal().await;
        let before = world.found().await;
        hide(&world, dn, attribute);
        // It is read again for a change of another attribute.
        let change = replace(dn, "displayName", "Changed") + &replace(dn, harmless, "changed");
        world.dc.admin_ldapmodify(&change).unwrap();
        let (code, summary) = world.once(&config).await;
        assert_eq!(code, 1, "{name}: {summary:#}");
        assert!(world.found().await == before, "{summary:#}");
        let reason = summary["reason"].as_str().unwrap();
        assert!(reason.contains(name), "{reason}");
        assert!(reason.contains("right"), "{reason}");
        // What is really taken away goes, seen or not.
        world
            .dc
            .admin_ldapmodify(&modify(dn, &format!("delete: {name}")))
            .unwrap();
        world.run(&config).await;
        world.assert_equal().await;
    }
}

/// The relative name of an object: where it is may be hidden as well.
fn relative_name(dn: &str) -> String {
    let mut escaped = false;
    let ends = |(_, one): &(usize, char)| {
        let comma = *one == ',' && !escaped;
        escaped = *one == '\\' && !escaped;
        comma
    };
    let end = dn.char_indices().find(ends);
    dn[..end.map_or(dn.len(), |(at, _)| at)].to_owned()
}

/// Names of these units, and relative names and account names of the people and groups below.
fn accounts_below(world: &World, units: &[String]) -> Vec<String> {
    let mut names = units.to_vec();
    for unit in units {
        let dump = world
            .dc
            .admin_ldapsearch(&["-b", unit, "(sAMAccountName=*)", "sAMAccountName"])
            .unwrap();
        names.extend(dns(&dump).iter().map(|dn| relative_name(dn)));
        let account = |line: &str| line.strip_prefix("sAMAccountName: ").map(str::to_owned);
        names.extend(dump.lines().filter_map(account));
    }
    assert!(names.len() > 10, "{names:?}");
    names
}
