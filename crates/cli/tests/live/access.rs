//! `rollcall access`: roles and access policies.

use serde_json::json;

use crate::world::World;
use crate::{PASSWORD, login, world_with_pool};

/// The subject of a binding, for comparing.
fn bindings(world: &World, place: &[&str]) -> Vec<(String, String, String)> {
    let list = world.json(&[&["access", "list"], place].concat());
    let text = |json: &serde_json::Value| json.as_str().unwrap().to_owned();
    let mut found: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|binding| {
            let who = &binding["subject"];
            (
                text(&binding["roleId"]),
                text(&who["type"]),
                text(&who["id"]),
            )
        })
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_on_a_pool() {
    let world = world_with_pool().await;
    let anna = login(&world, "anna");
    let create = ["user", "create", &anna, "--full-name", "Anna"];
    let create = world.run_with(&[&create[..], &["-o", "json"]].concat(), PASSWORD);
    let user: serde_json::Value = serde_json::from_str(&create.out).unwrap();
    let user = user["id"].as_str().unwrap();
    let account = world.json(&["service-account", "create", "agent"]);
    let account = account["id"].as_str().unwrap();
    let on_pool = ["--pool", "staff"];
    assert!(bindings(&world, &on_pool).is_empty());

    let add = ["access", "add", "userpools.syncAgent", "agent"];
    world.done(&[&add[..], &on_pool].concat());
    let again = world.done(&[&add[..], &[&anna], &on_pool].concat());
    assert!(again.contains("1 of 2"), "{again}");
    let agent = |kind: &str, id: &str| {
        (
            "organization-manager.userpools.syncAgent".to_owned(),
            kind.to_owned(),
            id.to_owned(),
        )
    };
    let mut both = vec![agent("serviceAccount", account), agent("userAccount", user)];
    both.sort();
    assert_eq!(bindings(&world, &on_pool), both);
    let table = world.done(&["access", "list", "--pool", "staff"]);
    assert!(
        table.contains("userAccount") && table.contains(user),
        "{table}"
    );

    let full = "organization-manager.userpools.syncAgent";
    let remove = ["access", "remove", full, account, "--pool", "staff"];
    world.done(&remove);
    assert_eq!(bindings(&world, &on_pool), [agent("userAccount", user)]);

    let wanted = format!("userpools.viewer={account}");
    let set = ["access", "set", &wanted, "--pool", "staff"];
    world.fails(&set, 2, "--yes");
    world.done(&[&set[..], &["--yes"]].concat());
    assert_eq!(
        bindings(&world, &on_pool),
        [(
            "organization-manager.userpools.viewer".to_owned(),
            "serviceAccount".to_owned(),
            account.to_owned()
        )]
    );
    world.done(&["access", "set", "--none", "--pool", "staff", "--yes"]);
    assert!(bindings(&world, &on_pool).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_on_the_organization_and_a_group() {
    let world = world_with_pool().await;
    world.done(&["service-account", "create", "agent"]);
    world.done(&["group", "create", "Staff"]);
    let before = bindings(&world, &[]);
    world.done(&["access", "add", "viewer", "agent", "group:Staff"]);
    let after = bindings(&world, &[]);
    assert_eq!(after.len(), before.len() + 2, "{after:?}");
    let kinds: Vec<&str> = after
        .iter()
        .filter(|(role, ..)| role == "organization-manager.viewer")
        .map(|(_, kind, _)| kind.as_str())
        .collect();
    assert_eq!(kinds, ["group", "serviceAccount"]);
    world.done(&["access", "remove", "viewer", "agent", "group:Staff"]);
    assert_eq!(bindings(&world, &[]), before);

    let on_group = ["--group", "Staff"];
    world.done(&[
        "access",
        "add",
        "groups.editor",
        "agent",
        "--group",
        "Staff",
    ]);
    let found = bindings(&world, &on_group);
    assert_eq!(found[0].0, "organization-manager.groups.editor");

    let nobody = ["access", "add", "viewer", "nobody"];
    world.fails(&nobody, 2, "no user, service account or group");
    let unknown = ["access", "add", "viewer", "aje00000000000000000"];
    world.fails(&unknown, 2, "no user, service account or group");
    world.fails(
        &["access", "add", "viewer", "x@no.example"],
        2,
        "no pool has",
    );
    world.fails(&["access", "add", "king", "agent"], 1, "king");
    world.fails(&["access", "set"], 2, "ROLE=SUBJECT");
    world.fails(&["access", "set", "viewer", "--yes"], 2, "ROLE=SUBJECT");
    let two = ["access", "list", "--pool", "staff", "--group", "Staff"];
    world.fails(&two, 2, "cannot be used with");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_policies() {
    let world = World::start().await;
    let policies = ["access", "policies", "list"];
    assert_eq!(world.json(&policies), json!([]));
    let unknown = ["access", "policies", "unbind", "restrict-networks"];
    let run = world.run_with(&unknown, "");
    assert_eq!(run.code, Some(1), "{run:?}");
}
