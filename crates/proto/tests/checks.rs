//! Every kind of constraint, at its boundaries, through generated checks.

use prost_types::{Duration, Timestamp};
use rollcall_proto::{Check, FieldViolation, access, iam, idp, organizationmanager as manager};

fn violations(request: &impl Check) -> Vec<FieldViolation> {
    request.check().err().unwrap_or_default()
}

/// Asserts that exactly `field` is refused, with a text that contains `hint`.
#[track_caller]
#[allow(clippy::panic)]
fn refused(request: &impl Check, field: &str, hint: &str) {
    let found = violations(request);
    let [violation] = found.as_slice() else {
        panic!("expected one violation of {field}, found {found:?}");
    };
    assert_eq!(violation.field, field);
    assert!(violation.description.contains(hint), "{violation}");
}

#[track_caller]
fn accepted(request: &impl Check) {
    assert_eq!(violations(request), []);
}

fn user() -> idp::CreateUserRequest {
    idp::CreateUserRequest {
        userpool_id: "ek0pool".into(),
        username: "anna@corp.example".into(),
        full_name: "Anna".into(),
        credentials: Some(idp::create_user_request::Credentials::PasswordSpec(
            idp::PasswordSpec {
                password: "correct horse".into(),
                generation_proof: String::new(),
            },
        )),
        ..Default::default()
    }
}

fn pool() -> idp::CreateUserpoolRequest {
    idp::CreateUserpoolRequest {
        organization_id: "bpf1".into(),
        name: "staff".into(),
        default_subdomain: "corp".into(),
        ..Default::default()
    }
}

fn settings() -> idp::CreateSynchronizationSettingsRequest {
    idp::CreateSynchronizationSettingsRequest {
        subject_container_id: "ek0pool".into(),
        filter: Some(idp::SynchronizationFilter {
            domain: "corp.example".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn required_text_number_enum_and_message() {
    accepted(&user());
    refused(
        &idp::CreateUserRequest {
            full_name: String::new(),
            ..user()
        },
        "full_name",
        "must be set",
    );
    let open = idp::OpenSessionRequest {
        subject_container_id: "ek0pool".into(),
        agent_id: "a".into(),
        session_type: 0,
    };
    refused(&open, "session_type", "AD_SYNC");
    refused(
        &idp::OpenSessionRequest {
            session_type: 99,
            ..open.clone()
        },
        "session_type",
        "one of",
    );
    accepted(&idp::OpenSessionRequest {
        session_type: 1,
        ..open
    });
    refused(
        &idp::CreateSynchronizationSettingsRequest {
            filter: None,
            ..settings()
        },
        "filter",
        "must be set",
    );
}

#[test]
fn an_unknown_enum_number_is_refused_even_where_none_is_needed() {
    let with = |remove_user_behavior| idp::CreateSynchronizationSettingsRequest {
        remove_user_behavior,
        ..settings()
    };
    accepted(&with(0));
    accepted(&with(2));
    refused(&with(3), "remove_user_behavior", "REMOVE, BLOCK");
}

#[test]
fn length_counts_characters_not_bytes() {
    let named = |full_name: String| idp::CreateUserRequest {
        full_name,
        ..user()
    };
    accepted(&named("Ж".repeat(256)));
    refused(
        &named("Ж".repeat(257)),
        "full_name",
        "at most 256 characters, has 257",
    );
}

#[test]
fn a_lower_bound_does_not_make_an_optional_text_required() {
    let scoped = |groups: Vec<String>| {
        let mut request = settings();
        request.filter.as_mut().unwrap().groups = groups;
        request
    };
    accepted(&scoped(vec![]));
    accepted(&scoped(vec!["staff".into()]));
    refused(
        &scoped(vec!["staff".into(), "all".into(), String::new()]),
        "filter.groups[2]",
        "1 to 253 characters, has 0",
    );
}

#[test]
fn patterns_match_whole_values() {
    let named = |name: &str| idp::CreateUserpoolRequest {
        name: name.into(),
        ..pool()
    };
    accepted(&named("a"));
    accepted(&named(&format!("a{}", "b".repeat(62))));
    for wrong in [
        "A",
        "a-",
        "-a",
        "a\n",
        "xa b",
        &format!("a{}", "b".repeat(63)),
    ] {
        refused(&named(wrong), "name", "must have the form [a-z]");
    }
    let login = |username: &str| idp::CreateUserRequest {
        username: username.into(),
        ..user()
    };
    accepted(&login("a.b_c-D9@x"));
    refused(&login("ann a@x"), "username", "form");
    refused(&login("anna"), "username", "form");
}

#[test]
fn a_pattern_with_an_empty_alternative_accepts_nothing_and_the_form() {
    let mail = |email: &str| idp::CreateUserRequest {
        email: email.into(),
        ..user()
    };
    accepted(&mail(""));
    accepted(&mail("a@b"));
    refused(
        &mail("ab"),
        "email",
        "must be empty or have the form (.{3,254})",
    );
    refused(&mail(&"x".repeat(255)), "email", "at most 254");
}

#[test]
fn ranges_of_numbers() {
    let page = |page_size| idp::ListUsersRequest {
        userpool_id: "ek0pool".into(),
        page_size,
        ..Default::default()
    };
    accepted(&page(0));
    accepted(&page(1_000));
    refused(&page(1_001), "page_size", "0 to 1000, is 1001");
    refused(&page(-1), "page_size", "0 to 1000, is -1");

    let guarded = |attempts| idp::CreateUserpoolRequest {
        bruteforce_protection_policy: Some(idp::BruteforceProtectionPolicy {
            attempts,
            ..Default::default()
        }),
        ..pool()
    };
    accepted(&guarded(0));
    accepted(&guarded(1));
    accepted(&guarded(100));
    refused(
        &guarded(101),
        "bruteforce_protection_policy.attempts",
        "1 to 100",
    );
    refused(
        &guarded(-1),
        "bruteforce_protection_policy.attempts",
        "1 to 100",
    );
}

#[test]
fn ranges_of_lengths_of_time() {
    let every = |seconds, nanos| idp::CreateSynchronizationSettingsRequest {
        synchronization_interval: Some(Duration { seconds, nanos }),
        ..settings()
    };
    accepted(&every(15 * 60, 0));
    accepted(&every(6 * 3_600, 0));
    refused(
        &every(15 * 60 - 1, 999_999_999),
        "synchronization_interval",
        "15m-6h",
    );
    refused(&every(6 * 3_600, 1), "synchronization_interval", "15m-6h");
    // There but zero is a value, other than not there at all.
    refused(&every(0, 0), "synchronization_interval", "15m-6h");
    refused(&every(3_600, -1), "synchronization_interval", "sign");
    refused(&every(i64::MAX, 0), "synchronization_interval", "Duration");
}

#[test]
fn ranges_of_moments() {
    let until = |seconds, nanos| idp::CreateUserRequest {
        expires_at: Some(Timestamp { seconds, nanos }),
        ..user()
    };
    /// 2105-12-31T23:59:59Z.
    const LAST: i64 = 4_291_747_199;
    accepted(&until(0, 0));
    accepted(&until(LAST, 999_999_999));
    refused(
        &until(-1, 999_999_999),
        "expires_at",
        "1970-01-01T00:00:00Z",
    );
    refused(
        &until(LAST + 1, 0),
        "expires_at",
        "2105-12-31T23:59:59.999999999Z",
    );
    refused(&until(0, 1_000_000_000), "expires_at", "nanos");
}

#[test]
fn sizes_of_lists_also_without_required() {
    let report = |count: usize| idp::ReportSessionProgressRequest {
        session_id: "sys1".into(),
        progress_entries: vec![
            idp::ProgressEntry {
                object_type: 1,
                change_info: vec![idp::ChangeInfo::default()],
            };
            count
        ],
    };
    refused(&report(0), "progress_entries", "1 to 3 items, has 0");
    accepted(&report(1));
    accepted(&report(3));
    refused(&report(4), "progress_entries", "1 to 3 items, has 4");
}

#[test]
fn nested_messages_of_lists_are_named_by_index() {
    let request = manager::UpdateGroupMembersRequest {
        group_id: "aje1".into(),
        member_deltas: vec![
            manager::MemberDelta {
                action: 1,
                subject_id: "aje2".into(),
            },
            manager::MemberDelta {
                action: 0,
                subject_id: String::new(),
            },
        ],
    };
    let fields: Vec<String> = violations(&request)
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        ["member_deltas[1].action", "member_deltas[1].subject_id"]
    );
}

#[test]
fn maps_check_size_keys_and_values() {
    let labelled = |labels: Vec<(String, &str)>| manager::CreateGroupRequest {
        organization_id: "bpf1".into(),
        name: "staff".into(),
        labels: labels
            .into_iter()
            .map(|(key, value)| (key, value.to_owned()))
            .collect(),
        ..Default::default()
    };
    accepted(&labelled(vec![("env".into(), ""), ("a".into(), "x_1")]));
    refused(
        &labelled(vec![("Env".into(), "x")]),
        "labels[\"Env\"]",
        "the key must have the form",
    );
    refused(
        &labelled(vec![(String::new(), "x")]),
        "labels[\"\"]",
        "the key must have 1 to 63",
    );
    refused(
        &labelled(vec![("env".into(), "X")]),
        "labels[\"env\"]",
        "must have the form",
    );
    let many = |count| {
        (0..count)
            .map(|number| (format!("k{number}"), "v"))
            .collect()
    };
    accepted(&labelled(many(64)));
    refused(&labelled(many(65)), "labels", "at most 64 items, has 65");
}

#[test]
fn exactly_one_member_of_a_oneof() {
    refused(
        &idp::CreateUserRequest {
            credentials: None,
            ..user()
        },
        "credentials",
        "exactly one of password_spec, password_hash",
    );
    refused(
        &iam::CreateIamTokenRequest { identity: None },
        "identity",
        "jwt",
    );
    let jwt = |length: usize| iam::CreateIamTokenRequest {
        identity: Some(iam::create_iam_token_request::Identity::Jwt(
            "x".repeat(length),
        )),
    };
    accepted(&jwt(8_000));
    refused(&jwt(8_001), "jwt", "at most 8000");
}

#[test]
fn members_of_a_oneof_are_checked_in_depth() {
    let hashed = idp::CreateUserRequest {
        credentials: Some(idp::create_user_request::Credentials::PasswordHash(
            idp::PasswordHash {
                password_hash: "0".repeat(513),
                ..Default::default()
            },
        )),
        ..user()
    };
    let fields: Vec<String> = violations(&hashed)
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        [
            "password_hash.password_hash",
            "password_hash.password_hash_type"
        ]
    );
}

#[test]
fn shared_messages_are_checked_too() {
    let request = access::SetAccessBindingsRequest {
        resource_id: "ek0pool".into(),
        access_bindings: vec![access::AccessBinding {
            role_id: "viewer".into(),
            subject: None,
        }],
    };
    refused(&request, "access_bindings[0].subject", "must be set");
}

#[test]
fn a_flood_of_violations_is_cut() {
    let request = idp::ResolveExternalIdsRequest {
        userpool_id: "ek0pool".into(),
        external_ids: vec!["x".repeat(257); 1_000],
    };
    assert_eq!(
        violations(&request).len(),
        rollcall_proto::check::VIOLATIONS_MAX
    );
}

#[test]
fn debug_never_shows_a_secret() {
    let shown = format!(
        "{:?} {:?} {:?}",
        user(),
        idp::PasswordHash {
            password_hash: "hunter2".into(),
            ..Default::default()
        },
        iam::CreateIamTokenRequest {
            identity: Some(iam::create_iam_token_request::Identity::Jwt(
                "hunter2".into()
            )),
        }
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("correct horse"),
        "{shown}"
    );
    assert!(
        shown.contains("***") && shown.contains("anna@corp.example"),
        "{shown}"
    );
}

#[test]
fn the_same_message_always_has_the_same_bytes() {
    use prost::Message as _;
    let request = || manager::CreateGroupRequest {
        labels: (0..64)
            .map(|number| (format!("key{number}"), String::new()))
            .collect(),
        ..Default::default()
    };
    let first = request().encode_to_vec();
    for _ in 0..8 {
        assert_eq!(request().encode_to_vec(), first);
    }
}

#[test]
fn no_text_holds_u_0000() {
    let hint = "U+0000";
    let with = |change: fn(&mut idp::CreateUserRequest)| {
        let mut request = user();
        change(&mut request);
        request
    };
    refused(
        &with(|user| user.full_name = "An\0na".into()),
        "full_name",
        hint,
    );
    refused(&with(|user| user.email.push('\0')), "email", hint);
    let password = with(|user| {
        user.credentials = Some(idp::create_user_request::Credentials::PasswordSpec(
            idp::PasswordSpec {
                password: "correct\0horse".into(),
                generation_proof: String::new(),
            },
        ));
    });
    refused(&password, "password_spec.password", hint);
    // Texts without constraints of their own: a list item, an update, a label.
    let mut request = settings();
    request.filter = Some(idp::SynchronizationFilter {
        groups: vec!["Staff".into(), "\0".into()],
        ..request.filter.unwrap_or_default()
    });
    refused(&request, "filter.groups[1]", hint);
    let list = idp::ListUsersRequest {
        userpool_id: "ek0pool".into(),
        filter: "username = 'a\0'".into(),
        ..Default::default()
    };
    refused(&list, "filter", hint);
    let jwt = iam::CreateIamTokenRequest {
        identity: Some(iam::create_iam_token_request::Identity::Jwt("a\0".into())),
    };
    refused(&jwt, "jwt", hint);
    let labelled = manager::CreateGroupRequest {
        organization_id: "bpf1".into(),
        name: "staff".into(),
        labels: [("env".to_owned(), "\0".to_owned())].into_iter().collect(),
        ..Default::default()
    };
    refused(&labelled, "labels[\"env\"]", hint);
}
