use super::*;
use crate::dns_name::DnsName;

const NOW: Timestamp = Timestamp::from_seconds(1_000);
const PAST: Timestamp = Timestamp::from_seconds(999);
const FUTURE: Timestamp = Timestamp::from_seconds(2_000);

fn domain() -> UserpoolDomain {
    let name = DnsName::parse("domain", "corp.example").unwrap();
    UserpoolDomain::built_in("ek01".into(), name, NOW)
}

fn new_user() -> NewUser {
    NewUser {
        username: "Ann@corp.example".into(),
        profile: Profile {
            full_name: "Ann Lee".into(),
            ..Default::default()
        },
        external_id: "guid-1".into(),
        ..Default::default()
    }
}

fn create(new: NewUser) -> Result<User, Refusal> {
    User::create(
        "ek01".into(),
        Some(&domain()),
        new,
        Actor::Agent,
        "aje1".into(),
        NOW,
    )
}

fn ann() -> User {
    create(new_user()).unwrap()
}

#[test]
fn a_new_user_is_active_and_external() {
    let user = ann();
    assert_eq!(user.status(NOW), UserStatus::Active);
    assert_eq!(user.external_id.as_deref(), Some("guid-1"));
    assert_eq!(
        create(NewUser {
            external_id: String::new(),
            ..new_user()
        })
        .unwrap()
        .external_id,
        None
    );
}

#[test]
fn a_user_can_be_made_suspended_or_expired() {
    let suspended = create(NewUser {
        state: InitialState::Suspended,
        ..new_user()
    })
    .unwrap();
    assert!(suspended.suspension.has(SuspensionCause::Agent));
    let expired = create(NewUser {
        expires_at: Some(PAST),
        ..new_user()
    })
    .unwrap();
    assert_eq!(expired.status(NOW), UserStatus::Suspended);
    assert!(expired.suspension.has(SuspensionCause::Expired));
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut NewUser), field: &str) {
    let mut new = new_user();
    change(&mut new);
    match create(new) {
        Err(Refusal::Invalid { field: found, .. }) => assert_eq!(found, field),
        other => panic!("expected a refusal of {field}, got {other:?}"),
    }
}

#[test]
fn bad_values_name_their_field() {
    check_refused(|new| new.username = "ann".into(), "username");
    check_refused(|new| new.profile.full_name.clear(), "full_name");
    check_refused(|new| new.profile.full_name = "я".repeat(257), "full_name");
    check_refused(|new| new.profile.email = "ab".into(), "email");
    check_refused(
        |new| new.profile.phone_number = "1".repeat(51),
        "phone_number",
    );
    check_refused(|new| new.external_id = "x".repeat(257), "external_id");
    check_refused(
        |new| new.expires_at = Some(Timestamp::from_seconds(-1)),
        "expires_at",
    );
    check_refused(|new| new.expires_at = Some(EXPIRES_BEFORE), "expires_at");
}

#[test]
fn the_login_must_end_in_a_proven_domain_of_the_pool() {
    let unproven = UserpoolDomain::add("ek01".into(), "corp.example", "v".into(), NOW).unwrap();
    let foreign = UserpoolDomain {
        userpool_id: "ek02".into(),
        ..domain()
    };
    for domain in [None, Some(&unproven), Some(&foreign)] {
        let made = User::create(
            "ek01".into(),
            domain,
            new_user(),
            Actor::Agent,
            "aje1".into(),
            NOW,
        );
        assert!(matches!(
            made,
            Err(Refusal::Precondition {
                reason: "USERNAME_DOMAIN_NOT_VALID",
                ..
            })
        ));
    }
}

#[test]
fn causes_of_suspension_are_lifted_one_by_one() {
    let by_both = ann()
        .suspend(Actor::Administrator, "audit", None, NOW)
        .and_then(|user| user.suspend(Actor::Agent, "", None, NOW))
        .unwrap();
    let after_agent = by_both.reactivate(Actor::Agent, NOW).unwrap();
    assert_eq!(
        after_agent.status(NOW),
        UserStatus::Suspended,
        "the agent cannot lift an admin block"
    );
    let after_admin = by_both.reactivate(Actor::Administrator, NOW).unwrap();
    assert_eq!(after_admin.status(NOW), UserStatus::Active);
    assert_eq!(
        after_admin
            .reactivate(Actor::Administrator, FUTURE)
            .unwrap(),
        after_admin
    );
}

#[test]
fn an_ended_account_is_suspended_before_anybody_writes_so() {
    let user = User {
        expires_at: Some(NOW),
        ..ann()
    };
    assert!(user.suspension.is_empty());
    assert_eq!(user.status(PAST), UserStatus::Active);
    assert_eq!(user.status(NOW), UserStatus::Suspended);
    assert_eq!(user.status(FUTURE), UserStatus::Suspended);
}

#[test]
fn the_account_end_suspends_and_moving_it_revives() {
    let user = User {
        expires_at: Some(NOW),
        ..ann()
    };
    let expired = user.expire(NOW).unwrap();
    assert!(expired.suspension.has(SuspensionCause::Expired));
    assert_eq!(expired.expire(FUTURE), None, "expiry happens once");
    assert_eq!(ann().expire(FUTURE), None, "no account end, no expiry");
    assert!(matches!(
        expired.reactivate(Actor::Administrator, NOW),
        Err(Refusal::Precondition {
            reason: "USER_EXPIRED",
            ..
        })
    ));
    let mask = Mask::parse(["expires_at"]).unwrap();
    for expires_at in [None, Some(FUTURE)] {
        let input = UserInput {
            expires_at,
            ..Default::default()
        };
        let revived = expired.update(input, &mask, None, NOW).unwrap();
        assert_eq!(revived.status(NOW), UserStatus::Active);
        assert_eq!(revived.expires_at, expires_at);
    }
    let blocked = expired
        .suspend(Actor::Administrator, "", None, NOW)
        .unwrap();
    let still = blocked
        .update(UserInput::default(), &mask, None, NOW)
        .unwrap();
    assert_eq!(
        still.status(NOW),
        UserStatus::Suspended,
        "an administrator's block stays"
    );
}

#[test]
fn suspending_again_changes_nothing() {
    let suspended = ann()
        .suspend(Actor::Agent, "left", Some(FUTURE), NOW)
        .unwrap();
    for expires_at in [None, Some(FUTURE)] {
        let again = suspended.suspend(Actor::Agent, "other", expires_at, FUTURE);
        assert_eq!(again.unwrap(), suspended);
    }
    let by_admin = suspended
        .suspend(Actor::Administrator, "audit", None, NOW)
        .unwrap();
    assert!(by_admin.suspension.has(SuspensionCause::Admin));
    assert_eq!(by_admin.suspend_reason, "audit");
    let ended = suspended.suspend(Actor::Agent, "left", Some(PAST), NOW);
    assert_eq!(ended.unwrap().expires_at, Some(PAST));
}

#[test]
fn suspend_keeps_or_sets_the_account_end() {
    let user = User {
        expires_at: Some(FUTURE),
        ..ann()
    };
    assert_eq!(
        user.suspend(Actor::Agent, "", None, NOW)
            .unwrap()
            .expires_at,
        Some(FUTURE)
    );
    let ended = user.suspend(Actor::Agent, "", Some(PAST), NOW).unwrap();
    assert_eq!(ended.expires_at, Some(PAST));
    assert!(ended.suspension.has(SuspensionCause::Expired));
}

#[test]
fn an_update_replaces_what_the_mask_covers() {
    let user = ann();
    let mask = Mask::parse(["job_title"]).unwrap();
    let input = UserInput {
        profile: Profile {
            job_title: "CEO".into(),
            email: "x@y".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    let changed = user.update(input.clone(), &mask, None, FUTURE).unwrap();
    assert_eq!(changed.profile.job_title, "CEO");
    assert_eq!(changed.profile.full_name, "Ann Lee");
    assert_eq!(changed.profile.email, "");
    assert_eq!(changed.updated_at, FUTURE);
    assert!(
        user.update(input, &Mask::All, None, NOW).is_err(),
        "full_name would become empty"
    );
}

#[test]
fn a_new_login_needs_its_domain_only_when_the_domain_changes() {
    let user = ann();
    let mask = Mask::parse(["username"]).unwrap();
    let login = |name: &str| UserInput {
        username: name.into(),
        ..Default::default()
    };
    let renamed = user
        .update(login("Ann.Lee@CORP.example"), &mask, None, NOW)
        .unwrap();
    assert_eq!(renamed.username.as_str(), "Ann.Lee@corp.example");
    assert!(
        user.update(login("ann@other.example"), &mask, None, NOW)
            .is_err()
    );
    assert!(user.update(login(""), &mask, None, NOW).is_err());
}

#[test]
fn an_external_user_is_never_tied_to_another_object() {
    let user = ann();
    assert_eq!(user.convert_to_external("guid-1", NOW).unwrap(), user);
    assert!(matches!(
        user.convert_to_external("guid-2", NOW),
        Err(Refusal::Precondition {
            reason: "USER_ALREADY_EXTERNAL",
            ..
        })
    ));
    let local = User {
        external_id: None,
        ..ann()
    };
    let tied = local.convert_to_external("guid-2", NOW).unwrap();
    assert_eq!(tied.external_id.as_deref(), Some("guid-2"));
    assert!(local.convert_to_external("", NOW).is_err());
}

#[test]
fn suspension_survives_its_number() {
    for bits in 0..=7 {
        assert_eq!(
            Suspension::from_bits(bits).map(|s| i64::from(s.as_bits())),
            Some(bits)
        );
    }
    assert_eq!(Suspension::from_bits(8), None);
    assert_eq!(Suspension::from_bits(-1), None);
}
