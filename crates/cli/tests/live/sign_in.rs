//! `rollcall sign-in` and `rollcall sign-in-session`.

use serde_json::Value as Json;

use crate::world::World;

const LOGIN: &str = "anna@corp.idp.rollcall.internal";
const PASSWORD: &str = "Correct-Horse-7-battery";
const OTHER: &str = "Another-Horse-8-battery";

fn with_anna(world: &World) -> String {
    world.done(&["userpool", "create", "staff", "--default-subdomain", "corp"]);
    let create = ["user", "create", LOGIN, "--full-name", "Anna", "-o", "json"];
    let made: Json = serde_json::from_str(&world.done_with(&create, PASSWORD)).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_out() {
    let world = World::start().await;
    let id = with_anna(&world);
    let token = world.done_with(&["sign-in", LOGIN], PASSWORD);
    assert!(token.starts_with("t1."), "{token}");
    let wrong = world.run_with(&["sign-in", LOGIN], OTHER);
    assert_eq!(wrong.code, Some(4), "{wrong:?}");
    assert!(
        wrong.out.is_empty() && !wrong.err.contains(OTHER),
        "{wrong:?}"
    );
    // Neither a key nor the clock is to blame.
    let said = "rollcall: the login or the password is wrong, or the account may not sign in now\n";
    assert_eq!(wrong.err, said);

    let json = world.done_with(&["sign-in", LOGIN, "-o", "json"], PASSWORD);
    let tokens: Json = serde_json::from_str(&json).unwrap();
    let refresh = tokens["refreshToken"].as_str().unwrap();
    let renewed = world.done_with(&["sign-in-session", "refresh"], refresh);
    assert!(renewed.starts_with("t1.") && renewed != token);

    let list = ["sign-in-session", "list", LOGIN];
    let sessions = world.json(&list);
    assert_eq!(sessions.as_array().unwrap().len(), 2, "{sessions}");
    assert_eq!(sessions, world.json(&["sign-in-sessions", "list", &id]));
    let first = sessions[0]["id"].as_str().unwrap();
    world.done(&["sign-in-session", "end", first]);
    world.fails(&["sign-in-session", "end", first], 1, "not found");
    world.fails(&["sign-in-session", "sign-out"], 1, "no sign-in");
    let ended = world.done(&["sign-in-session", "end-all", LOGIN]);
    assert!(ended.starts_with("1 sessions"), "{ended}");
    assert_eq!(world.json(&list).as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_password_is_replaced_on_the_way() {
    let world = World::start().await;
    let id = with_anna(&world);
    // The NT hash of `password`.
    let hash = "8846f7eaee8fb117ad06bdd830b7586c";
    let import = ["user", "set-password-hash", &id, "--need-change"];
    world.done_with(&import, hash);
    let both = format!("password\n{OTHER}\n");
    let run = world.run_with(&["sign-in", LOGIN], &both);
    assert!(run.err.contains("is temporary"), "{run:?}");
    assert!(run.out.starts_with("t1."), "{run:?}");
    world.done_with(&["sign-in", LOGIN], OTHER);
}
