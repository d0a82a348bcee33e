//! Passwords that people set at the hub, with a real domain controller, a real hub and the real agent:
//! they arrive on both sides or on neither, and who is refused is told why (AT-16).

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;
#[path = "support/writeback.rs"]
mod writeback;

use std::path::Path;

use change::*;
use rollcall_proto::idp::GeneratePasswordRequest;
use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode;
use rollcall_proto::operation::Operation;
use rollcall_proto::signin::ChangePasswordRequest;
use rollcall_proto::signin::SignInRequest;
use rollcall_proto::signin::sign_in_response::Result as SignedIn;
use sign_in::*;
use states::{dn, log_of, spawn};
use tonic::Code;
use world::World;
use writeback::*;

/// Two kinds of characters: enough for the hub at this length, not for the directory.
const SIMPLE: &str = "onlysmallletters4817and9numbers";
/// Long enough for the hub.
const SHORT: &str = "Kurz~Wort7";
/// MS-ADTS 5.1.3.2.1, User-Force-Change-Password.
const RESET: &str = "00299570-246d-11d0-a768-00aa006e0529";

/// Takes the right to reset the password of one user away from the agent's account.
fn deny_reset(world: &World, name: &str) {
    let account = world.sync_account_sid();
    let sddl = format!("--sddl=(OD;;CR;{RESET};;{account})");
    let object = format!("--objectdn={}", dn(name));
    let set = ["dsacl", "set", &object, &sddl];
    world.dc.samba_tool(&set).unwrap();
}

/// Neither the files of an agent nor its log may hold a password.
fn assert_no_password(config: &Path, passwords: &[&str]) {
    for entry in std::fs::read_dir(config.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for password in passwords {
            let found = bytes
                .windows(password.len())
                .any(|part| part == password.as_bytes());
            assert!(!found, "{} holds a password", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_arrive_in_the_directory_and_at_the_hub() {
    let world = world_of(&["anna", "boris"], HASTY).await;
    let config = writeback_agent(&world, "writeback", "");
    let agent = spawn(&config);
    wait_connected(&config).await;

    // By the user.
    let anna = signed_in(&world, "anna", FIRST).await;
    let begun = change_own(&anna, FIRST, SECOND).await;
    ended(&anna, begun).await.unwrap();
    assert!(enters(&world.dc, "anna", SECOND).await);
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::Refused);

    // By an administrator.
    let begun = reset_to(&world, "boris", SECOND).await;
    ended(&world.client, begun).await.unwrap();
    assert!(enters(&world.dc, "boris", SECOND).await);
    assert_eq!(sign_in(&world, "boris", SECOND).await, Entry::In);

    // Made by the hub, to be changed: both sides ask for that.
    let mut users = world.client.users();
    let made = users.generate_password(GeneratePasswordRequest {}).await;
    let made = made.unwrap().into_inner().password_spec.unwrap();
    let generated = made.password.clone();
    // Small letters and hyphens are too few kinds of characters for most directories.
    policy(&world.dc, &["--complexity=off"]);
    let begun = reset(&world, "boris", made).await;
    ended(&world.client, begun).await.unwrap();
    assert_eq!(number(&world.dc, "boris", "pwdLastSet"), 0);
    assert!(!enters(&world.dc, "boris", &generated).await);
    assert!(is_present(&world.dc, "boris", &generated).await);
    // The user does so at the hub, and is free on both sides.
    let username = format!("boris@{}", world.domain());
    let password = generated.clone();
    let request = SignInRequest { username, password };
    let answer = world.client.sign_ins().sign_in(request).await.unwrap();
    let Some(SignedIn::PasswordChangeRequired(required)) = answer.into_inner().result else {
        panic!("boris need not change the password");
    };
    let request = ChangePasswordRequest {
        change_token: required.change_token,
        new_password: THIRD.to_owned(),
    };
    let changed = world.client.sign_ins().change_password(request).await;
    changed.unwrap();
    assert!(number(&world.dc, "boris", "pwdLastSet") > 0);
    assert!(enters(&world.dc, "boris", THIRD).await);
    assert_eq!(sign_in(&world, "boris", THIRD).await, Entry::In);

    wait_counted(&config, "written", 4).await;
    assert_eq!(shown(&config)["phase"], "working");
    let text = world.agent(&config, &["status"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("password_writeback: working"), "{text}");
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    assert_eq!(notes(&config), "{}");
    assert_no_password(&config, &[FIRST, SECOND, THIRD, &generated]);
}

/// How an operation has to fail.
struct Expected {
    code: Code,
    details: PasswordWritebackErrorCode,
    /// For programs.
    reason: &'static str,
    /// Of the words of the directory, which only administrators are told.
    said: &'static str,
}

impl Expected {
    fn policy(reason: &'static str, said: &'static str) -> Self {
        Self {
            code: Code::InvalidArgument,
            details: PasswordWritebackErrorCode::PasswordPolicyViolation,
            reason,
            said,
        }
    }

    fn denied(reason: &'static str, said: &'static str) -> Self {
        Self {
            code: Code::FailedPrecondition,
            details: PasswordWritebackErrorCode::PermissionDenied,
            reason,
            said,
        }
    }
}

/// Requires that it does.
async fn refused(world: &World, operation: Operation, expected: Expected) {
    let error = ended(&world.client, operation).await.unwrap_err();
    let found = details(&error);
    assert_eq!(found.error_code(), expected.details, "{error:?} {found:?}");
    assert_eq!(error.code, expected.code as i32, "{error:?} {found:?}");
    assert_eq!(reason(&error), expected.reason, "{error:?} {found:?}");
    assert!(found.error_message.contains(expected.said), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_16_what_the_directory_refuses_is_told_and_changes_nothing() {
    let people = ["anna", "boris", "clara", "dmitri", "elena", "fedor"];
    let world = world_of(&people, PATIENT).await;
    let config = writeback_agent(&world, "writeback", "");
    let agent = spawn(&config);
    wait_connected(&config).await;
    // Complexity, length, history, age.
    let anna = signed_in(&world, "anna", FIRST).await;
    for (expected, begun) in [
        (
            Expected::policy("PASSWORD_TOO_SIMPLE", ""),
            change_own(&anna, FIRST, SIMPLE).await,
        ),
        (
            Expected::policy("PASSWORD_TOO_SIMPLE", "complexity"),
            reset_to(&world, "boris", SIMPLE).await,
        ),
    ] {
        refused(&world, begun, expected).await;
    }
    policy(&world.dc, &["--min-pwd-length=14"]);
    let begun = change_own(&anna, FIRST, SHORT).await;
    refused(&world, begun, Expected::policy("PASSWORD_TOO_SHORT", "")).await;
    policy(&world.dc, &["--min-pwd-length=7", "--min-pwd-age=1"]);
    let begun = change_own(&anna, FIRST, SECOND).await;
    refused(&world, begun, Expected::policy("PASSWORD_TOO_YOUNG", "")).await;
    policy(&world.dc, &["--min-pwd-age=0"]);
    set_password(&world.dc, "anna", SECOND, Change::Free);
    set_password(&world.dc, "anna", FIRST, Change::Free);
    let begun = change_own(&anna, FIRST, SECOND).await;
    refused(&world, begun, Expected::policy("PASSWORD_USED_BEFORE", "")).await;
    assert_eq!(number(&world.dc, "anna", "badPwdCount"), 0);

    // The directory has another password than the hub, whose hash has not come yet.
    set_password(&world.dc, "boris", THIRD, Change::Free);
    let boris = signed_in(&world, "boris", FIRST).await;
    let begun = change_own(&boris, FIRST, SECOND).await;
    let wrong = Expected {
        code: Code::InvalidArgument,
        details: PasswordWritebackErrorCode::UnknownError,
        reason: "OLD_PASSWORD_WRONG",
        said: "",
    };
    refused(&world, begun, wrong).await;
    // The first changes of a stream may have been another agent's: looking costs one more.
    let counted = number(&world.dc, "boris", "badPwdCount");
    assert!((1..=2).contains(&counted), "{counted}");
    assert!(enters(&world.dc, "boris", THIRD).await);

    deny_reset(&world, "clara");
    let begun = reset_to(&world, "clara", SECOND).await;
    refused(
        &world,
        begun,
        Expected::denied("PERMISSION_DENIED", "result 50"),
    )
    .await;

    let outside = format!("OU=Service,{BASE}");
    let moved = rename(&dn("dmitri"), "CN=dmitri", Some(&outside));
    world.dc.admin_ldapmodify(&moved).unwrap();
    let begun = reset_to(&world, "dmitri", SECOND).await;
    refused(
        &world,
        begun,
        Expected::denied("USER_OUT_OF_SCOPE", "outside of every organizational unit"),
    )
    .await;

    world.dc.admin_ldapdelete(&[&dn("elena")]).unwrap();
    let begun = reset_to(&world, "elena", SECOND).await;
    let missing = Expected {
        code: Code::Internal,
        details: PasswordWritebackErrorCode::UnknownError,
        reason: "USER_MISSING",
        said: "does not have this user",
    };
    refused(&world, begun, missing).await;

    // Nothing has changed at the hub.
    for name in people {
        assert_eq!(sign_in(&world, name, FIRST).await, Entry::In, "{name}");
    }
    wait_counted(&config, "pending", 0).await;
    let shown_now = shown(&config);
    assert_eq!(shown_now["written"], 0, "{shown_now:#}");
    let counted = &shown_now["refused"];
    assert_eq!(counted["PASSWORD_POLICY_VIOLATION"], 5, "{shown_now:#}");
    assert_eq!(counted["PERMISSION_DENIED"], 2, "{shown_now:#}");
    assert_eq!(counted["UNKNOWN_ERROR"], 2, "{shown_now:#}");
    // One who is well still gets through.
    let begun = reset_to(&world, "fedor", SECOND).await;
    ended(&world.client, begun).await.unwrap();
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
    assert_eq!(notes(&config), "{}");
    assert_no_password(&config, &[FIRST, SECOND, SIMPLE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_people_than_are_served_at_once_are_all_served() {
    let names: Vec<String> = (0..24).map(|number| format!("case{number}")).collect();
    let people: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = world_of(&people, PATIENT).await;
    let config = writeback_agent(&world, "writeback", "");
    let agent = spawn(&config);
    wait_connected(&config).await;
    let mut begun = Vec::new();
    for name in &people {
        begun.push(reset_to(&world, name, SECOND).await);
    }
    for operation in begun {
        ended(&world.client, operation).await.unwrap();
    }
    for name in &people {
        assert!(enters(&world.dc, name, SECOND).await, "{name}");
    }
    wait_counted(&config, "written", people.len()).await;
    wait_counted(&config, "pending", 0).await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_switches_are_needed_and_the_one_that_is_missing_is_named() {
    let world = world_of(&["anna"], HASTY).await;
    switch(&world, false).await;
    let top = "metrics: {listen: '127.0.0.1:0'}";
    let config = writeback_agent(&world, "writeback", top);
    let off = "off in the synchronization settings of the pool";
    let output = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("✗ password writeback") && text.contains(off),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(2), "{text}");
    let agent = spawn(&config);
    wait_for("the switch is looked at", &config, async || {
        let reason = shown(&config)["reason"].clone();
        reason.as_str().is_some_and(|reason| reason.contains(off))
    })
    .await;
    assert!(shown(&config)["connected_at"].is_null());
    switch(&world, true).await;
    wait_connected(&config).await;
    let output = world.agent(&config, &["--check"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "✓ password writeback: is on in the file and in the pool",
        "✓ hub permissions: changes of passwords can be taken",
        "✓ password rights: pwdLastSet of CN=anna",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    switch(&world, false).await;
    wait_for("it is off again", &config, async || {
        shown(&config)["connected_at"].is_null()
    })
    .await;
    assert_eq!(agent.terminate().await, Some(0), "{}", log_of(&config));

    // Without its own switch an agent has nothing to do with passwords.
    let common = world.configure("", "");
    switch(&world, true).await;
    let agent = world.spawn(&common, &["--now"]);
    wait_for("the objects are followed", &common, async || {
        world.log().contains("enable_password_writeback")
    })
    .await;
    assert!(shown(&common).is_null());
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
    // A single run has no use for it.
    let output = world.agent(&config, &["--once"]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_that_comes_after_a_written_password_is_the_same_password() {
    let world = world_of(&["anna"], HASTY).await;
    let settings = "  hash_period: 200ms\n  state_period: 200ms";
    let top = format!("enable_password_writeback: true\n{}", drsr(&world));
    let config = world.configure(settings, &top);
    let agent = world.spawn(&config, &["--now"]);
    wait_connected(&config).await;
    let looks = async || {
        let text = std::fs::read_to_string(config.with_file_name("status.json"));
        let status: serde_json::Value =
            serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        status["streams"]["password_hashes"]["run"]["objects_read"].as_u64()
    };
    wait_for("the hashes are followed", &config, async || {
        looks().await.is_some()
    })
    .await;
    let anna = signed_in(&world, "anna", FIRST).await;
    for (old, new) in [(FIRST, SECOND), (SECOND, THIRD)] {
        let before = looks().await;
        let begun = change_own(&anna, old, new).await;
        ended(&anna, begun).await.unwrap();
        wait_for("the hash came", &config, async || looks().await > before).await;
        // An import would have ended the session; it goes on with the next round.
        assert_eq!(sign_in(&world, "anna", new).await, Entry::In);
        assert!(enters(&world.dc, "anna", new).await);
    }
    // Nor does the hash of one change come in the way of the next.
    // The hub wants none of the last five once more.
    let more = "ABCDEFGHIJ"
        .chars()
        .map(|one| format!("{one}{}-{one}x{one}y9", one.to_lowercase()));
    let more: Vec<String> = more.map(|part| format!("{part}{part}")).collect();
    for new in &more {
        let begun = reset_to(&world, "anna", new).await;
        ended(&world.client, begun).await.unwrap();
        assert_eq!(sign_in(&world, "anna", new).await, Entry::In, "{new}");
    }
    // One that is set in the directory counts as ever. The date of the last one may still change.
    set_password(&world.dc, "anna", SHORT, Change::Free);
    let set_at = password_set_at(&world.dc, "anna");
    wait_for("the hash came", &config, async || {
        password_at(&world, "anna").await == Some(set_at)
    })
    .await;
    assert_eq!(sign_in(&world, "anna", SHORT).await, Entry::In);
    assert_eq!(agent.terminate().await, Some(0), "{}", world.log());
}
