use super::*;
use crate::access::{ResourceRef, Subject};
use crate::sync_settings::{SyncFilter, SyncSettingsInput};
use crate::user::sample;
use crate::user::{Actor, NewUser};
use crate::userpool::{UserSettings, UserpoolInput};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000_000);

fn user(external_id: &str) -> User {
    let new = NewUser {
        external_id: external_id.into(),
        ..NewUser::default()
    };
    sample::ann(new, NOW)
}

fn pool(allow_edit_self_password: bool) -> Userpool {
    let mut input = UserpoolInput {
        name: "staff".into(),
        user_settings: Some(UserSettings {
            allow_edit_self_password,
            ..UserSettings::default()
        }),
        ..UserpoolInput::default()
    };
    input.lifetime_policy = Some(crate::password_policy::LifetimePolicy {
        min_days_count: 1,
        max_days_count: 0,
    });
    let made = Userpool::create(
        input,
        "staff",
        "idp.example",
        "org1".into(),
        "pool1".into(),
        NOW,
    );
    made.unwrap().userpool
}

fn password(kind: PasswordKind) -> Password {
    let argon2 = SecretString::new("$argon2id$".into());
    Password::set_here("pw1".into(), "aje1".into(), argon2, kind, NOW)
}

#[track_caller]
fn check(
    allowed: bool,
    user: &User,
    kind: PasswordKind,
    old: OldPassword,
    days: i64,
    expected: &str,
) {
    let now = NOW.plus(Span::days(days));
    let found = match require_own_change(&pool(allowed), user, &password(kind), old, now) {
        Ok(()) => "yes".to_owned(),
        Err(Refusal::Denied { message }) => message,
        Err(Refusal::Precondition { reason, .. }) => reason.to_owned(),
        Err(Refusal::Invalid { field, .. }) => field,
        Err(other) => panic!("{other:?}"),
    };
    assert!(found.contains(expected), "{found}, expected {expected}");
}

#[test]
fn who_may_change_the_own_password() {
    use OldPassword::{Absent, Given};
    use PasswordKind::{Permanent, Temporary};
    let ann = user("");
    check(true, &ann, Permanent, Given, 1, "yes");
    check(true, &ann, Permanent, Given, 0, "PASSWORD_TOO_YOUNG");
    check(true, &ann, Permanent, Absent, 1, "old_password");
    check(false, &ann, Permanent, Given, 1, "may not change");
    for allowed in [true, false] {
        check(allowed, &ann, Temporary, Absent, 0, "yes");
        check(allowed, &ann, Temporary, Given, 6, "yes");
        check(allowed, &ann, Temporary, Given, 7, "PASSWORD_ENDED");
    }
    let suspended = ann.suspend(Actor::Administrator, "", None, NOW).unwrap();
    check(true, &suspended, Permanent, Given, 1, "suspended");
    check(true, &suspended, Temporary, Absent, 0, "suspended");
    let ended = User {
        expires_at: Some(NOW.plus(Span::days(1))),
        ..ann
    };
    check(true, &ended, Temporary, Absent, 1, "suspended");
}

#[test]
fn only_synchronized_users_go_to_the_directory() {
    let settings = |enable_password_writeback| {
        let input = SyncSettingsInput {
            filter: Some(SyncFilter {
                domain: "corp.example".into(),
                ..SyncFilter::default()
            }),
            enable_password_writeback,
            ..SyncSettingsInput::default()
        };
        SyncSettings::create("pool1".into(), input, NOW).unwrap()
    };
    let (on, off) = (settings(true), settings(false));
    let long = "g".repeat(WRITEBACK_EXTERNAL_ID_CHARACTERS_MAX + 1);
    for (external_id, settings, expected) in [
        ("", Some(&on), Route::Here),
        ("guid", None, Route::Here),
        ("guid", Some(&off), Route::Here),
        ("guid", Some(&on), Route::Directory),
        (&long[1..], Some(&on), Route::Directory),
        (&long, Some(&on), Route::Here),
    ] {
        assert_eq!(
            route(&user(external_id), settings),
            expected,
            "{external_id}"
        );
    }
}

#[test]
fn owners_are_the_matter_of_owners() {
    let bound = |role| {
        vec![AccessBinding {
            resource: ResourceRef::organization(&"org1".into()),
            role,
            subject: Subject::user("aje1"),
        }]
    };
    for (user, caller, allowed) in [
        (Role::Owner, Role::Owner, true),
        (Role::Owner, Role::Admin, false),
        (Role::Admin, Role::Editor, true),
    ] {
        let result = check_rank(&bound(user), &bound(caller));
        assert_eq!(result.is_ok(), allowed, "{user} by {caller}");
    }
    assert!(check_rank(&[], &bound(Role::Editor)).is_ok());
    // The hash of an owner that is in a directory comes from that, as those of all others do.
    for (external_id, role, caller, allowed) in [
        ("", Role::Owner, Role::Owner, true),
        ("", Role::Owner, Role::Admin, false),
        ("", Role::Owner, Role::UserpoolsPasswordHashAgent, false),
        ("guid", Role::Owner, Role::UserpoolsPasswordHashAgent, true),
        ("guid", Role::Owner, Role::UserpoolsSyncAgent, true),
        ("guid", Role::Owner, Role::UserpoolsAdmin, false),
        ("guid", Role::Owner, Role::Admin, false),
        ("", Role::Admin, Role::UserpoolsAdmin, true),
    ] {
        let (user, bindings) = (user(external_id), bound(role));
        let result = check_import_rank(&user, &bindings, &bound(caller));
        assert_eq!(result.is_ok(), allowed, "{external_id} {role} by {caller}");
        if let Err(refusal) = result {
            assert!(matches!(
                refusal,
                Refusal::Precondition {
                    reason: "USER_IS_OWNER",
                    ..
                }
            ));
        }
        let captured = check_capture_rank(&bindings, &bound(caller));
        let is_theirs = role != Role::Owner || caller == Role::Owner;
        assert_eq!(captured.is_ok(), is_theirs, "{role} by {caller}");
    }
}
