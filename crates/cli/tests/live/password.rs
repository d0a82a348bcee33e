//! Passwords that people set.

use crate::world::World;
use crate::{PASSWORD, login, world_with_pool};

const OTHER: &str = "Staple & battery 8";

#[tokio::test(flavor = "multi_thread")]
async fn passwords() {
    let world = world_with_pool().await;
    let anna = login(&world, "anna");
    world.done_with(&["user", "create", &anna, "--full-name", "Anna"], PASSWORD);

    world.done_with(&["user", "set-password", &anna], OTHER);
    refused(&world, &["user", "set-password", &anna], OTHER, "5 before");
    refused(&world, &["user", "set-password", &anna], "weak", "password");
    let file = world.home.join("password");
    std::fs::write(&file, format!("{} and more\n", PASSWORD.trim_end())).unwrap();
    let file = file.to_str().unwrap();
    world.done(&["user", "set-password", &anna, "--password-file", file]);

    let made = world.json(&["user", "generate-password"]);
    assert_eq!(made["password"].as_str().unwrap().len(), 19);
    assert!(made["generationProof"].is_string());
    let shown = world.done(&["user", "reset-password", &anna]);
    assert_eq!(shown.trim().split('-').count(), 4, "{shown}");
    let shown = world.json(&["user", "reset-password", &anna]);
    assert!(shown["password"].is_string() && shown["generationProof"].is_null());

    // The profile is of a service account.
    let hint = "only users of a pool";
    world.fails(&["user", "get-password-metadata"], 1, hint);
    let both = format!("{PASSWORD}{OTHER}\n");
    refused(&world, &["user", "set-own-password"], &both, hint);
    let one_time = ["user", "set-own-password", "--one-time"];
    refused(&world, &one_time, OTHER, hint);
    let lacking = ["user", "set-own-password"];
    let run = world.run_with(&lacking, PASSWORD);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_changes_the_own_password() {
    let world = world_with_pool().await;
    let allow = ["userpool", "update", "staff", "--allow-edit-self-password"];
    world.done(&allow);
    let anna = login(&world, "anna");
    world.done_with(&["user", "create", &anna, "--full-name", "Anna"], PASSWORD);
    let token = world.done_with(&["sign-in", &anna], PASSWORD);
    let get = ["user", "get-password-metadata", "-o", "json"];
    let run = world.run_as(&token, &get, "");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out.contains("PERMANENT") && run.out.contains("127.0.0.1"),
        "{run:?}"
    );
    let own = ["user", "set-own-password"];
    let wrong = world.run_as(&token, &own, &format!("{OTHER}\n{OTHER}\n"));
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains("old_password"), "{wrong:?}");
    let both = format!("{PASSWORD}{OTHER}\n");
    let run = world.run_as(&token, &own, &both);
    assert_eq!(run.code, Some(0), "{run:?}");
    world.done_with(&["sign-in", &anna], OTHER);
    assert_eq!(world.run_with(&["sign-in", &anna], PASSWORD).code, Some(4));
}

#[track_caller]
fn refused(world: &World, arguments: &[&str], input: &str, hint: &str) {
    let run = world.run_with(arguments, input);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains(hint), "{run:?}");
    assert!(!run.err.contains(input.trim()), "{run:?}");
}
