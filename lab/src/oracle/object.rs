//! What the hub should have of one entry, by the default attribute mapping.

use std::collections::BTreeMap;

use super::entry::{Entry, number, text};
use super::{Group, GroupNames, Scope, User};

/// Longest value of a mapped text attribute, in characters.
const TEXT_CHARACTERS_MAX: usize = 256;
/// 1970-01-01 in seconds since 1601-01-01, where Active Directory counts from.
const UNIX_EPOCH_IN_AD_SECONDS: i64 = 11_644_473_600;
/// `userAccountControl` bit of a disabled account.
const ACCOUNT_DISABLE: i64 = 0x2;
/// Last second the hub can store as the end of an account: 2105-12-31T23:59:59Z.
const LAST_EXPIRY_SECONDS: i64 = 4_291_747_199;

pub(super) fn user_of(entry: &Entry, scope: &Scope) -> Result<User, String> {
    let login = text(entry, "userprincipalname").ok_or("no userPrincipalName")?;
    let (local, suffix) = login
        .rsplit_once('@')
        .ok_or("userPrincipalName without @")?;
    let domain = scope.replacement_domain.as_deref().unwrap_or(suffix);
    let fits = (1..=64).contains(&local.len())
        && local
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !fits {
        return Err(format!("login {login:?} does not fit the interface"));
    }
    let full_name = ["displayname", "cn", "name", "samaccountname"]
        .iter()
        .find_map(|name| text(entry, name))
        .ok_or("no name at all")?;
    let mut fields = BTreeMap::from([("fullName", full_name)]);
    for (field, attribute) in [
        ("givenName", "givenname"),
        ("familyName", "sn"),
        ("email", "mail"),
        ("phoneNumber", "telephonenumber"),
        ("companyName", "company"),
        ("jobTitle", "title"),
        ("department", "department"),
        ("employeeId", "employeeid"),
    ] {
        if let Some(value) = text(entry, attribute) {
            fields.insert(field, value);
        }
    }
    if let Some((field, _)) = fields
        .iter()
        .find(|(_, value)| value.chars().count() > TEXT_CHARACTERS_MAX || value.contains('\0'))
    {
        return Err(format!("{field} does not fit the interface"));
    }
    let expires_at_seconds = number(entry, "accountexpires").and_then(expiry_seconds);
    let disabled = number(entry, "useraccountcontrol").unwrap_or(0) & ACCOUNT_DISABLE != 0;
    let expired = expires_at_seconds.is_some_and(|end| end <= scope.now_seconds);
    Ok(User {
        username: format!("{local}@{domain}").to_lowercase(),
        fields,
        active: !disabled && !expired,
        expires_at_seconds,
    })
}

/// The end of an account as `accountExpires` gives it: units of 100 ns since 1601, where zero and
/// the largest number mean never.
fn expiry_seconds(account_expires: i64) -> Option<i64> {
    if account_expires == 0 || account_expires == i64::MAX {
        return None;
    }
    let seconds = account_expires / 10_000_000 - UNIX_EPOCH_IN_AD_SECONDS;
    (0..=LAST_EXPIRY_SECONDS)
        .contains(&seconds)
        .then_some(seconds)
}

pub(super) fn group_of(entry: &Entry, names: GroupNames) -> Result<Group, String> {
    let source = match names {
        GroupNames::Name => "name",
        GroupNames::AccountName => "samaccountname",
    };
    let name = text(entry, source).ok_or("no name")?;
    let bytes = name.as_bytes();
    let fits = bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
    if !fits {
        return Err(format!("group name {name:?} does not fit the interface"));
    }
    let description = text(entry, "description").unwrap_or_default();
    if description.chars().count() > TEXT_CHARACTERS_MAX || description.contains('\0') {
        return Err("description does not fit the interface".to_owned());
    }
    Ok(Group {
        name,
        description,
        ..Group::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ends_are_counted_from_1601() {
        assert_eq!(expiry_seconds(0), None);
        assert_eq!(expiry_seconds(i64::MAX), None);
        assert_eq!(expiry_seconds(116_444_736_000_000_000), Some(0));
    }
}
