//! From attributes of the directory to fields of the hub.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/directory.rs"]
mod directory;

use directory::*;
use rollcall_agent::engine::mapping::{Mapping, Source};
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
