//! From the attributes of the directory to the fields of the hub (defaults and overrides).
//!
//! Invariant: nothing is rewritten silently; a value that does not fit makes the object an item
//! error with the reason (decision U107). The exceptions are decided: the fallbacks of a full
//! name (U108), the domain after a sAMAccountName (U109), and the replacement domain.

use std::collections::BTreeMap;

use rollcall_kit::timestamp::Timestamp;

use super::object::DirectoryObject;
use super::values::{GroupTarget, GroupValues, UserTarget, UserValues};

const TEXT_CHARACTERS_MAX: usize = 256;
const PHONE_CHARACTERS_MAX: usize = 50;
const EMAIL_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=254;
const USERNAME_CHARACTERS_MAX: usize = 254;
const USERNAME_LOCAL_CHARACTERS_MAX: usize = 64;
const GROUP_NAME_CHARACTERS_MAX: usize = 63;
/// Attributes a full name is taken from when its source has no value (decision U108).
pub(super) const FULL_NAME_FALLBACKS: [&str; 3] = ["cn", "name", ACCOUNT_NAME];
/// Has no domain of its own; that of the filter is put behind it (decision U109).
const ACCOUNT_NAME: &str = "samaccountname";
/// accountExpires: both mean that the account never ends (MS-ADTS 2.3.4, MS-ADA1).
const NEVER: [i64; 2] = [0, i64::MAX];
/// From 1601-01-01 to 1970-01-01 in units of 100 ns.
const FILETIME_EPOCH: i64 = 116_444_736_000_000_000;
const FILETIME_UNITS_PER_MICRO: i64 = 10;
/// The hub's last moment, 2105-12-31T23:59:59.999999Z.
const EXPIRES_AT_MAX: Timestamp = Timestamp::from_micros(4_291_747_199_999_999);

/// Where a field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This attribute (lower case).
    Attribute(String),
    /// Not synchronized: the hub keeps what it has.
    Unmapped,
}

/// The rules that turn directory objects into values of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    user: BTreeMap<UserTarget, Source>,
    group: BTreeMap<GroupTarget, Source>,
    domain: String,
    replacement_domain: Option<String>,
}

/// The sources a user field may have, the default first (decision U46).
#[must_use]
pub fn user_sources(target: UserTarget) -> &'static [&'static str] {
    match target {
        UserTarget::FullName => &["displayName", "cn", "name"],
        UserTarget::GivenName => &["givenName"],
        UserTarget::FamilyName => &["sn"],
        UserTarget::Email => &["mail", "userPrincipalName"],
        UserTarget::PhoneNumber => &["telephoneNumber", "mobile", "homePhone", "ipPhone"],
        UserTarget::Username => &["userPrincipalName", "mail", "sAMAccountName"],
        UserTarget::CompanyName => &["company"],
        UserTarget::JobTitle => &["title"],
        UserTarget::Department => &["department"],
        UserTarget::EmployeeId => &["employeeID", "employeeNumber", "objectSid"],
    }
}

/// The sources a group field may have, the default first (decision U46).
#[must_use]
pub fn group_sources(target: GroupTarget) -> &'static [&'static str] {
    match target {
        GroupTarget::Name => &["name", "cn", "sAMAccountName", "displayName"],
        GroupTarget::Description => &["description", "info"],
    }
}

impl Mapping {
    /// The default mapping for the directory domain `domain`.
    #[must_use]
    pub fn new(domain: &str, replacement_domain: Option<&str>) -> Self {
        let first = |sources: &[&str]| {
            Source::Attribute(sources.first().copied().unwrap_or_default().to_lowercase())
        };
        Self {
            user: UserTarget::ALL
                .into_iter()
                .map(|target| (target, first(user_sources(target))))
                .collect(),
            group: GroupTarget::ALL
                .into_iter()
                .map(|target| (target, first(group_sources(target))))
                .collect(),
            domain: domain.to_lowercase(),
            replacement_domain: replacement_domain.map(str::to_lowercase),
        }
    }

    /// Overrides the source of a user field.
    pub fn set_user(&mut self, target: UserTarget, source: Source) {
        self.user.insert(target, lower(source));
    }

    /// Overrides the source of a group field.
    pub fn set_group(&mut self, target: GroupTarget, source: Source) {
        self.group.insert(target, lower(source));
    }

    /// The user fields that are synchronized.
    pub fn user_targets(&self) -> impl Iterator<Item = UserTarget> {
        self.user
            .iter()
            .filter(|(_, source)| **source != Source::Unmapped)
            .map(|(target, _)| *target)
    }

    /// The attribute a user field is taken from, in lower case; `None` when it is not synchronized.
    #[must_use]
    pub fn user_source(&self, target: UserTarget) -> Option<&str> {
        match self.user.get(&target)? {
            Source::Attribute(name) => Some(name),
            Source::Unmapped => None,
        }
    }

    /// As [`Self::user_source`], for groups.
    #[must_use]
    pub fn group_source(&self, target: GroupTarget) -> Option<&str> {
        match self.group.get(&target)? {
            Source::Attribute(name) => Some(name),
            Source::Unmapped => None,
        }
    }

    /// Whether the description of groups is synchronized.
    #[must_use]
    pub fn maps_description(&self) -> bool {
        self.group.get(&GroupTarget::Description) != Some(&Source::Unmapped)
    }

    /// The attributes that are mapped although they are no supported source of their target: what
    /// the directory says of them has to be looked up (MappingType, DIRECT_ARBITRARY_ATTRIBUTE).
    pub fn arbitrary_attributes(&self) -> impl Iterator<Item = &str> {
        let of_users = self
            .user
            .iter()
            .map(|(target, source)| (user_sources(*target), source));
        let of_groups = self
            .group
            .iter()
            .map(|(target, source)| (group_sources(*target), source));
        of_users
            .chain(of_groups)
            .filter_map(|(supported, source)| match source {
                Source::Attribute(name) => Some((supported, name.as_str())),
                Source::Unmapped => None,
            })
            .filter(|(supported, name)| !supported.iter().any(|s| s.eq_ignore_ascii_case(name)))
            .map(|(_, name)| name)
    }

    /// Every attribute the mapping reads, in lower case, fallbacks included.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        let sources = self.user.values().chain(self.group.values());
        sources
            .filter_map(|source| match source {
                Source::Attribute(name) => Some(name.as_str()),
                Source::Unmapped => None,
            })
            .chain(FULL_NAME_FALLBACKS)
    }

    /// A text that differs whenever two mappings differ.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    /// The values of a user.
    ///
    /// # Errors
    /// The reason why this object cannot be a user of the hub.
    pub fn user(&self, object: &DirectoryObject) -> Result<UserValues, String> {
        let mut fields = Vec::with_capacity(self.user.len());
        for (target, source) in &self.user {
            let Source::Attribute(name) = source else {
                continue;
            };
            let value = match target {
                UserTarget::Username => self.username(object, name)?,
                UserTarget::FullName => full_name(object, name)?.to_owned(),
                _ => object.attribute(name).unwrap_or_default().to_owned(),
            };
            check_user_field(*target, name, &value)?;
            fields.push((*target, value));
        }
        Ok(UserValues::new(fields, expires_at(object.account_expires)))
    }

    /// The values of a group.
    ///
    /// # Errors
    /// The reason why this object cannot be a group of the hub.
    pub fn group(&self, object: &DirectoryObject) -> Result<GroupValues, String> {
        let source = match self.group.get(&GroupTarget::Name) {
            Some(Source::Attribute(name)) => name.as_str(),
            _ => "name",
        };
        let name = object
            .attribute(source)
            .ok_or_else(|| format!("the group has no {source}, which its name is taken from"))?;
        check_group_name(name)?;
        let description = match self.group.get(&GroupTarget::Description) {
            Some(Source::Attribute(source)) => {
                let text = object.attribute(source).unwrap_or_default();
                check_length(source, text, TEXT_CHARACTERS_MAX)?;
                Some(text.to_owned())
            }
            _ => None,
        };
        Ok(GroupValues {
            name: name.to_owned(),
            description,
        })
    }

    fn username(&self, object: &DirectoryObject, source: &str) -> Result<String, String> {
        let value = object.attribute(source).ok_or_else(|| {
            format!("the user has no {source}, which the user name is taken from")
        })?;
        let (local, domain) = match value.rsplit_once('@') {
            _ if source == ACCOUNT_NAME => (value, self.domain.clone()),
            Some((local, domain)) => (local, domain.to_lowercase()),
            None => match &self.replacement_domain {
                Some(_) => (value, String::new()),
                None => return Err(format!("{source} \"{value}\" has no @domain part")),
            },
        };
        let domain = self.replacement_domain.as_deref().unwrap_or(&domain);
        let username = format!("{local}@{domain}");
        check_username(source, local, domain, &username)?;
        Ok(username)
    }
}

fn lower(source: Source) -> Source {
    match source {
        Source::Attribute(name) => Source::Attribute(name.to_lowercase()),
        Source::Unmapped => Source::Unmapped,
    }
}

fn full_name<'a>(object: &'a DirectoryObject, source: &str) -> Result<&'a str, String> {
    std::iter::once(source)
        .chain(FULL_NAME_FALLBACKS)
        .find_map(|name| object.attribute(name))
        .ok_or_else(|| format!("the user has neither {source} nor a name to fall back on"))
}

fn check_username(source: &str, local: &str, domain: &str, whole: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if local.is_empty() || local.chars().count() > USERNAME_LOCAL_CHARACTERS_MAX {
        return Err(format!(
            "{source} \"{whole}\": the part before @ must have 1 to {USERNAME_LOCAL_CHARACTERS_MAX} characters"
        ));
    }
    if let Some(bad) = local.chars().find(|c| !fits(*c)) {
        return Err(format!(
            "{source} \"{whole}\": the character {bad:?} is not allowed before @ (letters a-z, digits, dot, underscore and hyphen are)"
        ));
    }
    if domain.is_empty() {
        return Err(format!("{source} \"{whole}\" has no domain after @"));
    }
    check_length(source, whole, USERNAME_CHARACTERS_MAX)
}

fn check_user_field(target: UserTarget, source: &str, value: &str) -> Result<(), String> {
    match target {
        UserTarget::Email => {
            let characters = value.chars().count();
            if value.is_empty() || EMAIL_CHARACTERS.contains(&characters) {
                return check_length(source, value, *EMAIL_CHARACTERS.end());
            }
            Err(format!(
                "{source} has {characters} characters; an e-mail address has {} to {}",
                EMAIL_CHARACTERS.start(),
                EMAIL_CHARACTERS.end()
            ))
        }
        UserTarget::PhoneNumber => check_length(source, value, PHONE_CHARACTERS_MAX),
        _ => check_length(source, value, TEXT_CHARACTERS_MAX),
    }
}

fn check_group_name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.chars().count() > GROUP_NAME_CHARACTERS_MAX {
        format!("longer than {GROUP_NAME_CHARACTERS_MAX} characters")
    } else if let Some(bad) = name.chars().find(|c| !inner(*c)) {
        format!(
            "the character {bad:?} is not allowed (letters a-z, digits, dot, underscore and hyphen are)"
        )
    } else if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        "it must begin with a letter".to_owned()
    } else if !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must end with a letter or a digit".to_owned()
    } else {
        return Ok(());
    };
    Err(format!(
        "group name \"{name}\" does not fit the hub: {problem}"
    ))
}

fn check_length(source: &str, value: &str, characters_max: usize) -> Result<(), String> {
    if value.contains('\0') {
        return Err(format!(
            "{source} contains a zero byte, which the hub does not take"
        ));
    }
    let characters = value.chars().count();
    if characters <= characters_max {
        return Ok(());
    }
    Err(format!(
        "{source} has {characters} characters, the hub takes {characters_max}"
    ))
}

/// The end of an account. Moments outside the hub's range are its first moment, or never.
#[must_use]
pub fn expires_at(account_expires: i64) -> Option<Timestamp> {
    if NEVER.contains(&account_expires) {
        return None;
    }
    let micros = account_expires.saturating_sub(FILETIME_EPOCH) / FILETIME_UNITS_PER_MICRO;
    let at = Timestamp::from_micros(micros.max(0));
    (at <= EXPIRES_AT_MAX).then_some(at)
}
