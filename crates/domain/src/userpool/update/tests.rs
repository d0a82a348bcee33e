use rollcall_kit::timestamp::Span;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn pool(complexity: Complexity) -> Userpool {
    let input = UserpoolInput {
        name: "staff".into(),
        description: "people".into(),
        quality_policy: Some(QualityPolicy {
            complexity,
            max_length: 50,
            ..Default::default()
        }),
        ..Default::default()
    };
    Userpool::create(
        input,
        "s",
        "idp.hub.example",
        "bpf1".into(),
        "ek01".into(),
        NOW,
    )
    .unwrap()
    .userpool
}

fn smart(lengths: [i64; 4]) -> Complexity {
    let [one_class, two_classes, three_classes, four_classes] = lengths;
    Complexity::Smart(SmartComplexity {
        one_class,
        two_classes,
        three_classes,
        four_classes,
    })
}

fn fixed(digits_required: bool, min_length: i64) -> Complexity {
    Complexity::Fixed(FixedComplexity {
        digits_required,
        min_length,
        ..Default::default()
    })
}

/// Updates the complexity of a pool that has `present` by a body that has `given`.
#[track_caller]
fn check(present: Complexity, paths: &[&str], given: Option<Complexity>, expected: Complexity) {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| format!("password_quality_policy.{path}"))
        .collect();
    let mask = Mask::parse(paths.iter().map(String::as_str)).unwrap();
    let input = UserpoolInput {
        quality_policy: given.map(|complexity| QualityPolicy {
            complexity,
            max_length: 9,
            ..Default::default()
        }),
        ..Default::default()
    };
    let changed = pool(present).update(input, &mask, NOW).unwrap();
    assert_eq!(changed.quality_policy.complexity, expected, "{paths:?}");
    assert_eq!(changed.quality_policy.max_length, 50, "it was not named");
}

#[test]
fn a_member_of_the_complexity_policy_clears_the_other() {
    let (s, f) = (smart([0, 20, 12, 8]), fixed(true, 12));
    let default = QualityPolicy::default().complexity;
    check(s, &["fixed"], Some(f), f);
    check(f, &["smart"], Some(s), s);
    check(
        s,
        &["smart.four_classes"],
        Some(smart([1, 1, 1, 9])),
        smart([0, 20, 12, 9]),
    );
    check(
        f,
        &["smart.four_classes"],
        Some(smart([1, 1, 1, 9])),
        smart([0, 24, 11, 9]),
    );
    check(
        f,
        &["fixed.min_length"],
        Some(fixed(false, 15)),
        fixed(true, 15),
    );
    check(
        s,
        &["fixed.min_length"],
        Some(fixed(true, 15)),
        fixed(false, 15),
    );
    // Named, but absent from the body.
    check(f, &["fixed"], None, default);
    check(f, &["smart"], None, default);
    check(s, &["smart.four_classes"], None, smart([0, 20, 12, 10]));
    check(f, &["fixed.digits_required"], None, fixed(false, 12));
}

#[test]
fn of_both_members_the_one_in_the_request_stays() {
    let (s, f) = (smart([0, 20, 12, 8]), fixed(true, 12));
    check(f, &["fixed", "smart"], Some(s), s);
    check(s, &["fixed", "smart"], Some(f), f);
    check(
        f,
        &["fixed", "smart.one_class"],
        Some(s),
        smart([0, 24, 11, 10]),
    );
}

#[test]
fn a_fixed_rule_needs_its_length() {
    let mask = Mask::parse(["password_quality_policy.fixed.digits_required"]).unwrap();
    let refusal = pool(smart([0, 20, 12, 8]))
        .update(UserpoolInput::default(), &mask, NOW)
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid { field, .. } if field == "update_mask"));
}

#[test]
fn single_rules_of_the_policies_are_replaced() {
    let paths = [
        "user_settings.allow_edit_self_login",
        "password_lifetime_policy.min_days_count",
        "bruteforce_protection_policy.window",
    ];
    let input = UserpoolInput {
        user_settings: Some(UserSettings {
            allow_edit_self_login: true,
            allow_edit_self_info: true,
            ..Default::default()
        }),
        lifetime_policy: Some(LifetimePolicy {
            min_days_count: 2,
            max_days_count: 9,
        }),
        bruteforce_policy: Some(BruteforcePolicy {
            window: Span::hours(2),
            block: Span::hours(3),
            attempts: 4,
        }),
        ..Default::default()
    };
    let before = pool(fixed(true, 12));
    let mask = Mask::parse(paths).unwrap();
    let after = before.update(input, &mask, NOW).unwrap();
    assert_eq!(
        (after.name.as_str(), after.description.as_str()),
        ("staff", "people")
    );
    assert!(after.user_settings.allow_edit_self_login);
    assert!(!after.user_settings.allow_edit_self_info);
    let lifetime = after.lifetime_policy;
    assert_eq!((lifetime.min_days_count, lifetime.max_days_count), (2, 365));
    let bruteforce = after.bruteforce_policy;
    assert_eq!(bruteforce.window, Span::hours(2));
    assert_eq!(
        (bruteforce.block, bruteforce.attempts),
        (Span::minutes(10), 15)
    );
}

#[test]
fn without_a_mask_everything_is_replaced() {
    let before = pool(fixed(true, 12));
    let input = UserpoolInput {
        name: "crew".into(),
        ..Default::default()
    };
    let after = before.update(input, &Mask::All, NOW).unwrap();
    assert_eq!(after.quality_policy, QualityPolicy::default());
    assert_eq!(after.description, "");
    let refusal = before.update(UserpoolInput::default(), &Mask::All, NOW);
    assert!(refusal.is_err(), "an empty name is refused");
}

#[test]
fn output_only_paths_are_refused() {
    for path in [
        "status",
        "id",
        "domains",
        "password_quality_policy.min_length",
        "user_settings.allow",
    ] {
        assert!(Mask::<UserpoolField>::parse([path]).is_err(), "{path}");
    }
}
