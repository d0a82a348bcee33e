//! From attributes of the directory to fields of the hub.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use directory::*;
use rollcall_agent::engine::mapping::{Mapping, Source, group_sources, user_sources};
use rollcall_agent::engine::object::{DirectoryObject, ObjectClass};
use rollcall_agent::engine::values::{GroupTarget, UserTarget};

#[test]
fn mapping_of_names() {
    let plain = mapping();
    let replaced = Mapping::new("corp.example", Some("Pool.Example"));
    let mut by_account = mapping();
    by_account.set_user(
        UserTarget::Username,
        Source::Attribute("sAMAccountName".into()),
    );
    let mut by_account_replaced = replaced.clone();
    by_account_replaced.set_user(
        UserTarget::Username,
        Source::Attribute("sAMAccountName".into()),
    );
    let mut by_mail = mapping();
    by_mail.set_user(UserTarget::Username, Source::Attribute("mail".into()));
    let at_64 = format!("{}@corp.example", "l".repeat(64));
    let with = |name: &str, value: &str| {
        let mut object = object(1, Some(ROOT), ObjectClass::User);
        object.attributes.insert("name".into(), "N".into());
        object.attributes.insert(name.into(), value.into());
        object
    };
    for (mapping, attribute, value, expected) in [
        (
            &plain,
            "userprincipalname",
            "A.B@Corp.Example",
            Some("A.B@corp.example"),
        ),
        (
            &replaced,
            "userprincipalname",
            "a@other.example",
            Some("a@pool.example"),
        ),
        (&replaced, "userprincipalname", "a", Some("a@pool.example")),
        (&plain, "userprincipalname", "a", None),
        (&plain, "userprincipalname", "o'neil@corp.example", None),
        (&plain, "userprincipalname", "a+b@corp.example", None),
        (&plain, "userprincipalname", "анна@corp.example", None),
        (&plain, "userprincipalname", "@corp.example", None),
        (&plain, "samaccountname", "anna", None),
        (
            &by_account,
            "samaccountname",
            "anna",
            Some("anna@corp.example"),
        ),
        // The name of an account has no domain of its own, whatever it looks like.
        (&by_account, "samaccountname", "a@other.example", None),
        (
            &by_account_replaced,
            "samaccountname",
            "anna",
            Some("anna@pool.example"),
        ),
        (
            &by_mail,
            "mail",
            "a.b@mail.example",
            Some("a.b@mail.example"),
        ),
        (&by_mail, "userprincipalname", "a@corp.example", None),
        (&plain, "userprincipalname", &at_64, Some(&at_64)),
        (&plain, "userprincipalname", &format!("x{at_64}"), None),
        (&plain, "userprincipalname", "a@", None),
    ] {
        let found = mapping.user(&with(attribute, value));
        match expected {
            Some(name) => assert_eq!(found.unwrap().get(UserTarget::Username), name),
            None => assert!(found.is_err(), "{value}"),
        }
    }
}

#[test]
fn mapping_of_full_names_falls_back() {
    let mut object = user(1, ROOT);
    object.attributes.remove("displayname");
    object
        .attributes
        .insert("samaccountname".into(), "sam".into());
    let name = |object: &DirectoryObject| {
        mapping()
            .user(object)
            .unwrap()
            .get(UserTarget::FullName)
            .to_owned()
    };
    assert_eq!(name(&object), "sam");
    object.attributes.insert("name".into(), "Name".into());
    assert_eq!(name(&object), "Name");
    object.attributes.insert("cn".into(), "Cn".into());
    assert_eq!(name(&object), "Cn");
}

#[test]
fn mapping_of_groups() {
    let mut by_account = mapping();
    by_account.set_group(
        GroupTarget::Name,
        Source::Attribute("sAMAccountName".into()),
    );
    by_account.set_group(GroupTarget::Description, Source::Unmapped);
    assert!(!by_account.maps_description());
    for (name, fits) in [
        ("a", true),
        ("Team.One_two-3", true),
        (&"a".repeat(63), true),
        (&"a".repeat(64), false),
        ("Domain Admins", false),
        ("1team", false),
        ("team-", false),
        ("Отдел", false),
    ] {
        let mut object = group(1, ROOT, &[]);
        object.attributes.insert("name".into(), name.into());
        object
            .attributes
            .insert("samaccountname".into(), "sam".into());
        assert_eq!(mapping().group(&object).is_ok(), fits, "{name}");
        let values = by_account.group(&object).unwrap();
        assert_eq!((values.name.as_str(), values.description), ("sam", None));
    }
}

#[test]
fn mapping_checks_lengths() {
    for (attribute, length, fits) in [
        ("mail", 2, false),
        ("mail", 254, true),
        ("mail", 255, false),
        ("telephonenumber", 51, false),
        ("department", 256, true),
        ("department", 257, false),
    ] {
        let mut object = user(1, ROOT);
        object
            .attributes
            .insert(attribute.into(), "я".repeat(length));
        assert_eq!(
            mapping().user(&object).is_ok(),
            fits,
            "{attribute} {length}"
        );
    }
}

#[test]
fn every_target_is_mapped_from_each_supported_source_and_left_alone_when_empty() {
    for target in UserTarget::ALL {
        for source in user_sources(target) {
            let mut mapping = mapping();
            mapping.set_user(target, Source::Attribute((*source).into()));
            assert_eq!(mapping.arbitrary_attributes().count(), 0, "{source}");
            let mut object = user(1, ROOT);
            let value = match target {
                UserTarget::Username => format!("v@{source}.example").to_lowercase(),
                _ => format!("v of {source}"),
            };
            // Two targets may share a source; then both have to fit.
            let shared = *source == "userPrincipalName" || *source == "mail";
            let value = if shared {
                "v@both.example".into()
            } else {
                value
            };
            object
                .attributes
                .insert(source.to_lowercase(), value.clone());
            let expected = match (target, *source) {
                (UserTarget::Username, "sAMAccountName") => continue,
                _ => value,
            };
            let found = mapping.user(&object).unwrap();
            assert_eq!(found.get(target), expected, "{target:?} from {source}");
        }
        let required = [UserTarget::Username, UserTarget::FullName].contains(&target);
        if !required {
            let mut mapping = mapping();
            mapping.set_user(target, Source::Unmapped);
            let mut object = user(1, ROOT);
            let source = user_sources(target).first().unwrap().to_lowercase();
            object.attributes.insert(source, "something".into());
            let found = mapping.user(&object).unwrap();
            assert_eq!(found.get(target), "", "{target:?}");
            assert!(!mapping.user_targets().any(|mapped| mapped == target));
        }
    }
    for (target, source) in GroupTarget::ALL
        .into_iter()
        .flat_map(|target| group_sources(target).iter().map(move |s| (target, *s)))
    {
        let mut mapping = mapping();
        mapping.set_group(target, Source::Attribute(source.into()));
        let mut object = group(1, ROOT, &[]);
        object
            .attributes
            .insert(source.to_lowercase(), "value".into());
        let found = mapping.group(&object).unwrap();
        let value = match target {
            GroupTarget::Name => found.name.clone(),
            GroupTarget::Description => found.description.clone().unwrap(),
        };
        assert_eq!(value, "value", "{target:?} from {source}");
    }
}

#[test]
fn any_attribute_may_be_mapped_and_is_known_to_be_unusual() {
    let mut mapping = mapping();
    for (target, source) in [
        (UserTarget::EmployeeId, "extensionAttribute1"),
        (UserTarget::Username, "extensionAttribute2"),
        (UserTarget::FullName, "name"),
        (UserTarget::JobTitle, "mail"),
    ] {
        mapping.set_user(target, Source::Attribute(source.into()));
    }
    mapping.set_group(GroupTarget::Name, Source::Attribute("mailNickname".into()));
    let mut unusual: Vec<&str> = mapping.arbitrary_attributes().collect();
    unusual.sort_unstable();
    let expected = [
        "extensionattribute1",
        "extensionattribute2",
        "mail",
        "mailnickname",
    ];
    assert_eq!(unusual, expected);
    let mut object = user(1, ROOT);
    for (name, value) in [
        ("extensionattribute1", "4711"),
        ("extensionattribute2", "anna@corp.example"),
        ("name", "Anna"),
    ] {
        object.attributes.insert(name.into(), value.into());
    }
    let found = mapping.user(&object).unwrap();
    assert_eq!(found.get(UserTarget::EmployeeId), "4711");
    assert_eq!(found.get(UserTarget::Username), "anna@corp.example");
    assert_eq!(found.get(UserTarget::JobTitle), "");
    let why = mapping.group(&group(1, ROOT, &[])).unwrap_err();
    assert!(why.contains("mailnickname"), "{why}");
}

#[test]
fn a_zero_byte_fits_nowhere() {
    for attribute in ["displayname", "mail", "title", "telephonenumber"] {
        let mut object = user(1, ROOT);
        object.attributes.insert(attribute.into(), "a\0b".into());
        let why = mapping().user(&object).unwrap_err();
        assert!(
            why.contains("zero byte") && why.contains(attribute),
            "{why}"
        );
    }
    let mut object = group(1, ROOT, &[]);
    object
        .attributes
        .insert("description".into(), "a\0b".into());
    assert!(mapping().group(&object).is_err());
}
