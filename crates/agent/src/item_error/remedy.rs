//! From a failure to what a person can do about it.
//!
//! Invariant: pure, and there is always an answer; a key of the configuration is named with its
//! full path. Deliberately absent: the reason itself, which says what is wrong.

use rollcall_client::{ClientError, ErrorKind};

use crate::progress::{Change, ObjectType};

const OTHER_DOMAIN: &str = "add and validate the domain of the login in the hub, or set sync_settings.replacement_domain to a validated one";
const RETRY: &str = "nothing, if it does not last: it is tried again in each run; else ask the administrator of the hub";
const OTHER_SOURCE: &str = "correct the attribute in the directory, or map the field from another attribute (sync_settings.user_attribute_mapping, sync_settings.group_attribute_mapping)";
const NO_LOGIN: &str = "set the attribute in the directory, or map Username from sAMAccountName (sync_settings.user_attribute_mapping)";
const LOGIN_FORM: &str = "change the attribute in the directory, or map Username from another attribute (sync_settings.user_attribute_mapping)";
const NO_SUFFIX: &str =
    "add @domain to the attribute in the directory, or set sync_settings.replacement_domain";
const SHORTEN: &str = "shorten the attribute in the directory, or map the field from another attribute or from none (type: empty)";
const GROUP_NAME: &str = "rename the group in the directory, or map Name from sAMAccountName (sync_settings.group_attribute_mapping)";

/// Parts of the reasons why an object does not fit the hub, with what helps; the first one that
/// occurs counts.
const VALUES: [(&str, &str); 8] = [
    ("which the user name is taken from", NO_LOGIN),
    ("no @domain part", NO_SUFFIX),
    ("no domain after @", NO_SUFFIX),
    ("before @", LOGIN_FORM),
    ("group name", GROUP_NAME),
    ("which its name is taken from", GROUP_NAME),
    ("the hub takes", SHORTEN),
    ("neither", "set displayName in the directory"),
];

/// Begins the reason of an object that the directory cannot show.
pub const UNREADABLE: &str = "the directory cannot show it";
/// What helps such an object.
pub const COMPARE: &str = "the directory holds a name that it cannot read back (Samba 4.17: one that ends with a space and a comma); let its administrator rename the object or what it lies in, if the directory can, or compare everything, which reads it in another way: stop the agent, delete index.redb in the working directory and start it again; until then the hub keeps what it has";

/// What helps a password hash that cannot be decrypted.
pub const UNDECRYPTABLE: &str = "set the password of the user anew in the directory; if many users are concerned, read from another domain controller (drsr.host)";

/// What helps an object whose values do not fit the hub.
#[must_use]
pub fn of_values(reason: &str) -> &'static str {
    VALUES
        .iter()
        .find(|(part, _)| reason.contains(part))
        .map_or(OTHER_SOURCE, |(_, remedy)| remedy)
}

/// What helps against a refusal of the hub.
#[must_use]
pub fn of_refusal(object: ObjectType, change: Change, error: &ClientError) -> &'static str {
    match (&error.kind, object, change) {
        (ErrorKind::AlreadyExists, ObjectType::User, Change::Create) => {
            "remove or rename the user of the hub that has this login, change the login in the directory, or let the agent take the user over (sync_settings.allow_to_capture_users)"
        }
        (ErrorKind::AlreadyExists, ObjectType::User, _) => {
            "another user of the hub has this login: change one of the two"
        }
        (ErrorKind::AlreadyExists, _, Change::Create) => {
            "remove or rename the group of the hub that has this name, rename the group in the directory, or let the agent take the group over (sync_settings.allow_to_capture_groups)"
        }
        (ErrorKind::AlreadyExists, ..) => {
            "another group of the hub has this name: rename one of the two"
        }
        (ErrorKind::FailedPrecondition { reason }, ..) => of_state(reason),
        (ErrorKind::InvalidArgument { .. }, ..) => OTHER_SOURCE,
        (ErrorKind::Denied, ObjectType::User, _) => {
            "give the service account of the agent the role organization-manager.userpools.syncAgent on the pool"
        }
        (ErrorKind::Denied, ..) => {
            "give the service account of the agent the right to edit this group in the hub"
        }
        (ErrorKind::ResourceExhausted, ..) => {
            "raise the quota in the hub, or take objects out of the scope"
        }
        (ErrorKind::NotFound, ..) => {
            "nothing: it was removed in the hub and is made anew in the next run"
        }
        _ => RETRY,
    }
}

/// What helps when the state of something in the hub forbids the change.
fn of_state(reason: &str) -> &'static str {
    match reason {
        "USERNAME_DOMAIN_NOT_VALID" => OTHER_DOMAIN,
        "USER_EXPIRED" => {
            "move the end of the account in the directory (accountExpires) to the future; it is tried again then"
        }
        "USER_ALREADY_EXTERNAL" | "GROUP_ALREADY_EXTERNAL" => {
            "it is bound to another object of a directory: delete it in the hub if that object is gone"
        }
        "USER_IS_OWNER" => {
            "let an owner of the organization tie the user to the directory: rollcall user convert-to-external USER --external-id ID"
        }
        _ => RETRY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Guid;
    use crate::engine::mapping::{Mapping, Source};
    use crate::engine::object::{DirectoryObject, ObjectClass};
    use crate::engine::values::UserTarget;

    fn user(attributes: &[(&str, &str)]) -> DirectoryObject {
        DirectoryObject {
            guid: Guid::from_number(1),
            parent: None,
            dn: "CN=x".into(),
            class: ObjectClass::User,
            critical: false,
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            members: Vec::new(),
            rid: None,
            primary_group_rid: None,
            user_account_control: 512,
            account_expires: 0,
            pwd_last_set: None,
        }
    }

    #[test]
    fn each_misfit_of_a_user_has_its_own_remedy() {
        let mapping = Mapping::new("corp.example", None);
        let long = "x".repeat(2_000);
        let upn = ("userprincipalname", "a@corp.example");
        let name = ("displayname", "A");
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[name], NO_LOGIN),
            (
                &[("userprincipalname", "a b@corp.example"), name],
                LOGIN_FORM,
            ),
            (&[("userprincipalname", "a"), name], NO_SUFFIX),
            (&[("userprincipalname", "a@"), name], NO_SUFFIX),
            (&[upn], "set displayName in the directory"),
            (&[upn, ("displayname", &long)], SHORTEN),
            (&[upn, name, ("mail", "x")], OTHER_SOURCE),
        ];
        for (attributes, remedy) in cases {
            let reason = mapping.user(&user(attributes)).unwrap_err();
            assert_eq!(of_values(&reason), remedy, "{reason}");
        }
    }

    #[test]
    fn each_misfit_of_a_group_has_its_own_remedy() {
        let mut mapping = Mapping::new("corp.example", None);
        mapping.set_user(UserTarget::Email, Source::Unmapped);
        for attributes in [&[][..], &[("name", "a b")], &[("name", "1a")]] {
            let reason = mapping.group(&user(attributes)).unwrap_err();
            assert_eq!(of_values(&reason), GROUP_NAME, "{reason}");
        }
    }

    #[test]
    fn refusals_name_the_key_that_helps() {
        let refused = |kind| {
            let mut error = ClientError::configuration("no");
            error.kind = kind;
            error
        };
        let taken = refused(ErrorKind::AlreadyExists);
        for (object, change, word) in [
            (ObjectType::User, Change::Create, "allow_to_capture_users"),
            (ObjectType::Group, Change::Create, "allow_to_capture_groups"),
            (ObjectType::User, Change::Update, "another user"),
        ] {
            let remedy = of_refusal(object, change, &taken);
            assert!(remedy.contains(word), "{remedy}");
        }
        let domain = refused(ErrorKind::FailedPrecondition {
            reason: "USERNAME_DOMAIN_NOT_VALID".into(),
        });
        assert_eq!(
            of_refusal(ObjectType::User, Change::Create, &domain),
            OTHER_DOMAIN
        );
        let other = refused(ErrorKind::Other);
        assert_eq!(of_refusal(ObjectType::User, Change::Create, &other), RETRY);
    }
}
