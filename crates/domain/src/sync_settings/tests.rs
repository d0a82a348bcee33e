use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn input() -> SyncSettingsInput {
    SyncSettingsInput {
        filter: Some(SyncFilter {
            domain: "Corp.Example".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn create(input: SyncSettingsInput) -> Result<SyncSettings, Refusal> {
    SyncSettings::create("ek01".into(), input, NOW)
}

#[test]
fn what_is_not_given_gets_its_default() {
    let settings = create(input()).unwrap();
    assert_eq!(settings.filter.domain, "corp.example");
    assert_eq!(settings.remove_user_behavior, RemoveUserBehavior::Remove);
    assert_eq!(settings.interval, Span::minutes(15));
    assert_eq!(settings.revision, 1);
    assert_eq!(settings.flavor(), DirectoryFlavor::ActiveDirectory);
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut SyncSettingsInput), field: &str) {
    let mut given = input();
    change(&mut given);
    match create(given) {
        Err(Refusal::Invalid { field: found, .. }) => assert_eq!(found, field),
        other => panic!("expected a refusal of {field}, got {other:?}"),
    }
}

fn filter(change: impl FnOnce(&mut SyncFilter)) -> Option<SyncFilter> {
    let mut filter = SyncFilter {
        domain: "corp.example".into(),
        ..Default::default()
    };
    change(&mut filter);
    Some(filter)
}

fn user(source: &str, target: UserTarget, kind: MappingKind) -> Mapping<UserTarget> {
    Mapping {
        source: source.into(),
        target,
        kind,
    }
}

#[test]
fn bad_scopes_name_their_field() {
    check_refused(|new| new.filter = None, "filter.domain");
    check_refused(
        |new| new.filter = filter(|f| f.domain = "a b".into()),
        "filter.domain",
    );
    check_refused(
        |new| new.filter = filter(|f| f.organization_units = vec!["Staff".into()]),
        "filter.organization_units[0]",
    );
    check_refused(
        |new| new.filter = filter(|f| f.groups = vec!["ok".into(), " x".into()]),
        "filter.groups[1]",
    );
    check_refused(
        |new| new.filter = filter(|f| f.groups = vec!["CN=a,broken".into()]),
        "filter.groups[0]",
    );
    check_refused(
        |new| new.filter = filter(|f| f.groups = vec!["a".into(); 11]),
        "filter.groups",
    );
    check_refused(
        |new| new.filter = filter(|f| f.organization_units = vec!["OU=a".into(); 11]),
        "filter.organization_units",
    );
    check_refused(
        |new| new.replacement_domain = "a b".into(),
        "replacement_domain",
    );
    check_refused(
        |new| new.interval = Some(Span::minutes(14)),
        "synchronization_interval",
    );
    check_refused(
        |new| new.interval = Some(Span::hours(7)),
        "synchronization_interval",
    );
}

#[test]
fn groups_are_names_or_distinguished_names() {
    for group in [
        "CloudUsers",
        "Cloud Users (all)",
        "CN=Cloud\\, Users,OU=G,DC=corp",
        "Группа",
    ] {
        let groups = vec![group.to_owned()];
        let given = SyncSettingsInput {
            filter: filter(|f| f.groups = groups),
            ..input()
        };
        assert!(create(given).is_ok(), "{group}");
    }
}

#[test]
fn bad_mappings_name_their_field() {
    use MappingKind::{Direct, DirectArbitraryAttribute, Empty};
    use UserTarget::{Email, FullName, JobTitle};
    let refused = |mapping: Mapping<UserTarget>, field: &str| {
        check_refused(
            |new| new.user_mappings = vec![mapping],
            &format!("user_attribute_mappings[0].{field}"),
        );
    };
    refused(user("cn", Email, Direct), "source");
    refused(user("", Email, Direct), "source");
    refused(user("mail", JobTitle, Empty), "source");
    refused(user("", FullName, Empty), "type");
    refused(
        user("my attribute", JobTitle, DirectArbitraryAttribute),
        "source",
    );
    check_refused(
        |new| {
            new.user_mappings = vec![
                user("mail", Email, Direct),
                user("userPrincipalName", Email, Direct),
            ];
        },
        "user_attribute_mappings[1].target",
    );
    check_refused(
        |new| {
            let target = GroupTarget::Name;
            new.group_mappings = vec![Mapping {
                source: String::new(),
                target,
                kind: Empty,
            }];
        },
        "group_attribute_mappings[0].type",
    );
    let good = SyncSettingsInput {
        user_mappings: vec![
            user("MAIL", Email, Direct),
            user("", JobTitle, Empty),
            user("extensionAttribute7", FullName, DirectArbitraryAttribute),
        ],
        ..input()
    };
    assert!(create(good).is_ok());
}

fn ldap() -> LdapSettings {
    LdapSettings {
        external_id_attribute: "entryUUID".into(),
        dn_attribute: "entryDN".into(),
        user_object_class: "inetOrgPerson".into(),
        group_object_class: "groupOfNames".into(),
        account_disabled_attribute: "nsAccountLock".into(),
        account_disabled_value: "TRUE".into(),
        account_enabled_value: "FALSE".into(),
        password_attribute: "userPassword".into(),
        delta_sync_mode: LdapDeltaSyncMode::FullSync,
        use_recursive_membership_filter: false,
    }
}

#[test]
fn another_directory_has_other_sources_and_needs_all_its_settings() {
    let given = SyncSettingsInput {
        ldap: Some(ldap()),
        user_mappings: vec![user("uid", UserTarget::Username, MappingKind::Direct)],
        ..input()
    };
    assert_eq!(
        create(given).unwrap().flavor(),
        DirectoryFlavor::GenericLdap
    );
    check_refused(
        |new| {
            new.ldap = Some(LdapSettings {
                dn_attribute: String::new(),
                ..ldap()
            });
        },
        "ldap_settings.dn_attribute",
    );
}

#[track_caller]
fn check_full_run(path: &str, change: impl FnOnce(&mut SyncSettingsInput), expected: FullRun) {
    let settings = create(input()).unwrap();
    let mut given = SyncSettingsInput::default();
    change(&mut given);
    let mask = Mask::parse([path]).unwrap();
    let updated = settings
        .update(given, &mask, Timestamp::from_seconds(2_000))
        .unwrap();
    assert_eq!(updated.full_run, expected, "{path}");
    assert_eq!(updated.settings.revision, 2);
    assert_eq!(updated.settings.created_at, NOW);
}

#[test]
fn what_changes_the_scope_or_the_values_demands_a_full_run() {
    use FullRun::{Needed, NotNeeded};
    let other = || filter(|f| f.organization_units = vec!["OU=a,DC=b".into()]);
    check_full_run("filter", |new| new.filter = other(), Needed);
    check_full_run("filter", |new| new.filter = filter(|_| ()), NotNeeded);
    check_full_run(
        "replacement_domain",
        |new| new.replacement_domain = "x.y".into(),
        Needed,
    );
    check_full_run(
        "allow_to_capture_users",
        |new| new.allow_to_capture_users = true,
        Needed,
    );
    check_full_run(
        "allow_to_capture_groups",
        |new| new.allow_to_capture_groups = true,
        Needed,
    );
    check_full_run(
        "user_attribute_mappings",
        |new| new.user_mappings = vec![user("", UserTarget::JobTitle, MappingKind::Empty)],
        Needed,
    );
    check_full_run("ldap_settings", |new| new.ldap = Some(ldap()), Needed);
    check_full_run(
        "synchronization_interval",
        |new| new.interval = Some(Span::hours(1)),
        NotNeeded,
    );
    check_full_run(
        "remove_user_behavior",
        |new| new.remove_user_behavior = Some(RemoveUserBehavior::Block),
        NotNeeded,
    );
    check_full_run(
        "enable_password_writeback",
        |new| new.enable_password_writeback = true,
        NotNeeded,
    );
}

#[test]
fn switching_capture_off_demands_nothing() {
    let settings = create(SyncSettingsInput {
        allow_to_capture_users: true,
        ..input()
    })
    .unwrap();
    let mask = Mask::parse(["allow_to_capture_users"]).unwrap();
    let updated = settings
        .update(SyncSettingsInput::default(), &mask, NOW)
        .unwrap();
    assert_eq!(updated.full_run, FullRun::NotNeeded);
}

#[test]
fn an_update_without_a_mask_needs_the_filter_again() {
    let settings = create(SyncSettingsInput {
        interval: Some(Span::hours(1)),
        ..input()
    })
    .unwrap();
    assert!(
        settings
            .update(SyncSettingsInput::default(), &Mask::All, NOW)
            .is_err()
    );
    let updated = settings.update(input(), &Mask::All, NOW).unwrap().settings;
    assert_eq!(updated.interval, INTERVAL_DEFAULT);
}

#[test]
fn settings_stay_while_a_session_is_open() {
    assert!(check_delete(0).is_ok());
    assert!(check_delete(1).is_err());
}
