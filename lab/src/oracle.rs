//! What the hub should hold, worked out from an `ldapsearch` dump of the directory.
//!
//! Invariant: shares no code with the agent, not even the LDAP client, so that one mistake cannot
//! hide itself in both. It knows the default attribute mapping, organizational units as scope and
//! one domain put in place of the UPN suffix; it deliberately knows nothing of group filters.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

/// Longest value of a mapped text attribute, in characters.
const TEXT_CHARACTERS_MAX: usize = 256;
/// 1970-01-01 in seconds since 1601-01-01, where Active Directory counts from.
const UNIX_EPOCH_IN_AD_SECONDS: i64 = 11_644_473_600;
/// `userAccountControl` bit of a disabled account.
const ACCOUNT_DISABLE: i64 = 0x2;
/// Last second the hub can store as the end of an account: 2105-12-31T23:59:59Z.
const LAST_EXPIRY_SECONDS: i64 = 4_291_747_199;

/// What to read out of the dump.
#[derive(Debug, Clone)]
pub struct Scope {
    /// DNs of the organizational units; empty means the whole domain.
    pub organizational_units: Vec<String>,
    /// The domain put in place of the UPN suffix.
    pub replacement_domain: Option<String>,
    /// The present, in seconds since 1970: an account that ended before it is inactive.
    pub now_seconds: i64,
}

/// Users and groups by the text form of their objectGUID.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct State {
    /// Users by external id.
    pub users: BTreeMap<String, User>,
    /// Groups by external id.
    pub groups: BTreeMap<String, Group>,
}

/// A user as both sides must see it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct User {
    /// Login, lower case.
    pub username: String,
    /// Text fields by their name in the interface; empty ones are left out.
    pub fields: BTreeMap<&'static str, String>,
    /// Whether the account is usable now.
    pub active: bool,
    /// End of the account in seconds since 1970.
    pub expires_at_seconds: Option<i64>,
}

/// A group as both sides must see it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// External ids of the users in it.
    pub members: BTreeSet<String>,
}

/// What the dump says the hub should hold.
#[derive(Debug, Default)]
pub struct Expected {
    /// Objects the interface can hold.
    pub state: State,
    /// Objects it cannot hold, with the reason: each must be reported as a failed item.
    pub unfit: BTreeMap<String, String>,
    /// Names wanted by several objects: exactly one of them must have it.
    pub contested: Vec<BTreeSet<String>>,
    /// All users, groups and other entries in the dump.
    pub objects_read: usize,
}

/// One entry of an LDIF text: attribute names in lower case.
type Entry = BTreeMap<String, Vec<Vec<u8>>>;

impl Expected {
    /// Reads the LDIF text that `ldapsearch -LLL -o ldif-wrap=no` printed.
    pub fn from_ldif(ldif: &str, scope: &Scope) -> anyhow::Result<Self> {
        let entries = parse_ldif(ldif)?;
        let mut expected = Self {
            objects_read: entries.len(),
            ..Self::default()
        };
        let mut user_by_dn = BTreeMap::new();
        let mut users_of_primary_group: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| is_synchronised(entry, scope)) {
            if has_class(entry, "user") && !has_class(entry, "computer") {
                let id = external_id(entry)?;
                match user_of(entry, scope) {
                    Ok(user) => {
                        user_by_dn.insert(dn_of(entry).to_lowercase(), id.clone());
                        if let Some(primary) = number(entry, "primarygroupid") {
                            users_of_primary_group
                                .entry(primary)
                                .or_default()
                                .push(id.clone());
                        }
                        expected.state.users.insert(id, user);
                    }
                    Err(why) => {
                        expected.unfit.insert(id, why);
                    }
                }
            }
        }
        for entry in entries.iter().filter(|entry| is_synchronised(entry, scope)) {
            if has_class(entry, "group") {
                let id = external_id(entry)?;
                match group_of(entry, &user_by_dn, &users_of_primary_group) {
                    Ok(group) => {
                        expected.state.groups.insert(id, group);
                    }
                    Err(why) => {
                        expected.unfit.insert(id, why);
                    }
                }
            }
        }
        expected.find_contested();
        Ok(expected)
    }

    /// Every difference between what should be and what is, one line each; empty when equal.
    #[must_use]
    pub fn differences(&self, found: &State) -> Vec<String> {
        let mut lines = Vec::new();
        let losers = self.check_contested(found, &mut lines);
        for (id, user) in self
            .state
            .users
            .iter()
            .filter(|(id, _)| !losers.contains(*id))
        {
            match found.users.get(id) {
                None => lines.push(format!(
                    "user {} ({id}) is missing in the hub",
                    user.username
                )),
                Some(there) if there != user => {
                    lines.push(format!("user {id}: directory {user:?}, hub {there:?}"));
                }
                Some(_) => {}
            }
        }
        for (id, group) in self
            .state
            .groups
            .iter()
            .filter(|(id, _)| !losers.contains(*id))
        {
            let mut wanted = group.clone();
            // The interface lists active members only.
            let is_active = |id: &String| self.state.users.get(id).is_some_and(|user| user.active);
            wanted
                .members
                .retain(|member| !losers.contains(member) && is_active(member));
            match found.groups.get(id) {
                None => lines.push(format!("group {} ({id}) is missing in the hub", group.name)),
                Some(there) if *there != wanted => lines.push(describe_group(id, &wanted, there)),
                Some(_) => {}
            }
        }
        for (id, user) in &found.users {
            if !self.state.users.contains_key(id) {
                lines.push(format!(
                    "user {} ({id}) should not be in the hub",
                    user.username
                ));
            }
        }
        for (id, group) in &found.groups {
            if !self.state.groups.contains_key(id) {
                lines.push(format!(
                    "group {} ({id}) should not be in the hub",
                    group.name
                ));
            }
        }
        lines
    }

    /// How many items a run must report as failed.
    #[must_use]
    pub fn failed_items(&self) -> usize {
        self.unfit.len()
            + self
                .contested
                .iter()
                .map(|ids| ids.len() - 1)
                .sum::<usize>()
    }

    fn find_contested(&mut self) {
        let mut wanted_by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, user) in &self.state.users {
            let name = format!("user {}", user.username);
            wanted_by.entry(name).or_default().insert(id.clone());
        }
        for (id, group) in &self.state.groups {
            let name = format!("group {}", group.name);
            wanted_by.entry(name).or_default().insert(id.clone());
        }
        self.contested = wanted_by
            .into_values()
            .filter(|ids| ids.len() > 1)
            .collect();
    }

    /// Who lost a contested name; says so when not exactly one won.
    fn check_contested(&self, found: &State, lines: &mut Vec<String>) -> BTreeSet<String> {
        let mut losers = BTreeSet::new();
        for ids in &self.contested {
            let there =
                |id: &&String| found.users.contains_key(*id) || found.groups.contains_key(*id);
            let winners = ids.iter().filter(there).count();
            if winners != 1 {
                lines.push(format!(
                    "{winners} instead of one of {ids:?} are in the hub"
                ));
            }
            losers.extend(ids.iter().filter(|id| !there(id)).cloned());
        }
        losers
    }
}

fn describe_group(id: &str, wanted: &Group, there: &Group) -> String {
    let missing = wanted.members.difference(&there.members).count();
    let extra = there.members.difference(&wanted.members).count();
    format!(
        "group {} ({id}): {missing} members missing, {extra} too many; directory name {:?} and \
         description {:?}, hub name {:?} and description {:?}",
        wanted.name, wanted.name, wanted.description, there.name, there.description
    )
}

fn is_synchronised(entry: &Entry, scope: &Scope) -> bool {
    let critical = text(entry, "iscriticalsystemobject").is_some_and(|value| value == "TRUE");
    let dn = dn_of(entry).to_lowercase();
    let inside = scope.organizational_units.is_empty()
        || scope
            .organizational_units
            .iter()
            .any(|unit| dn.ends_with(&format!(",{}", unit.to_lowercase())));
    !critical && inside
}

fn user_of(entry: &Entry, scope: &Scope) -> Result<User, String> {
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
        .find(|(_, value)| value.chars().count() > TEXT_CHARACTERS_MAX)
    {
        return Err(format!("{field} is too long"));
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

fn group_of(
    entry: &Entry,
    user_by_dn: &BTreeMap<String, String>,
    users_of_primary_group: &BTreeMap<i64, Vec<String>>,
) -> Result<Group, String> {
    let name = text(entry, "name").ok_or("no name")?;
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
    if description.chars().count() > TEXT_CHARACTERS_MAX {
        return Err("description is too long".to_owned());
    }
    let listed = entry.get("member").into_iter().flatten();
    let mut members: BTreeSet<String> = listed
        .filter_map(|dn| {
            user_by_dn
                .get(&String::from_utf8_lossy(dn).to_lowercase())
                .cloned()
        })
        .collect();
    if let Some(rid) = entry
        .get("objectsid")
        .and_then(|sids| sids.first())
        .and_then(|sid| rid(sid))
    {
        members.extend(
            users_of_primary_group
                .get(&rid)
                .into_iter()
                .flatten()
                .cloned(),
        );
    }
    Ok(Group {
        name,
        description,
        members,
    })
}

/// The last number of a binary security identifier (MS-DTYP 2.4.2.2).
fn rid(sid: &[u8]) -> Option<i64> {
    let tail: [u8; 4] = sid.last_chunk::<4>().copied()?;
    Some(i64::from(u32::from_le_bytes(tail)))
}

fn dn_of(entry: &Entry) -> String {
    text(entry, "dn").unwrap_or_default()
}

fn has_class(entry: &Entry, class: &str) -> bool {
    entry
        .get("objectclass")
        .into_iter()
        .flatten()
        .any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
}

fn text(entry: &Entry, attribute: &str) -> Option<String> {
    let value = entry.get(attribute)?.first()?;
    String::from_utf8(value.clone())
        .ok()
        .filter(|text| !text.is_empty())
}

fn number(entry: &Entry, attribute: &str) -> Option<i64> {
    text(entry, attribute)?.parse().ok()
}

/// The text form of objectGUID: the first three parts are stored with the low byte first.
fn external_id(entry: &Entry) -> anyhow::Result<String> {
    let guid = entry
        .get("objectguid")
        .and_then(|values| values.first())
        .and_then(|value| <[u8; 16]>::try_from(value.as_slice()).ok())
        .with_context(|| format!("{} has no objectGUID", dn_of(entry)))?;
    let mut text = String::new();
    for (position, index) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        .iter()
        .enumerate()
    {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!(
            "{:02x}",
            guid.get(*index).copied().unwrap_or_default()
        ));
    }
    Ok(text)
}

/// LDIF (RFC 2849) as `ldapsearch` writes it: no folded lines, `::` before base64.
fn parse_ldif(ldif: &str) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut entry = Entry::new();
    for line in ldif.lines().chain([""]) {
        if line.is_empty() {
            if entry.contains_key("dn") {
                entries.push(std::mem::take(&mut entry));
            }
            entry.clear();
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line
            .split_once(':')
            .with_context(|| format!("not LDIF: {line}"))?;
        let value = match rest.strip_prefix(':') {
            Some(encoded) => decode_base64(encoded.trim())?,
            None => rest.trim_start().as_bytes().to_vec(),
        };
        entry.entry(name.to_lowercase()).or_default().push(value);
    }
    Ok(entries)
}

fn decode_base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("not base64: {text}"),
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "objectGUID:: AQIDBAUGBwgJCgsMDQ4PEA==\n";

    fn scope() -> Scope {
        Scope {
            organizational_units: vec!["OU=People,DC=x".into()],
            replacement_domain: Some("pool.test".into()),
            now_seconds: 1_000,
        }
    }

    #[test]
    fn a_user_is_mapped_and_compared() {
        let ldif = format!(
            "dn: CN=A,OU=People,DC=x\nobjectClass: top\nobjectClass: user\n{GUID}\
             userPrincipalName: Anna@x\ndisplayName:: w4RubmE=\nuserAccountControl: 514\n\n"
        );
        let expected = Expected::from_ldif(&ldif, &scope()).unwrap();
        let user = &expected.state.users["04030201-0605-0807-090a-0b0c0d0e0f10"];
        assert_eq!(user.username, "anna@pool.test");
        assert_eq!(user.fields["fullName"], "Änna");
        assert!(!user.active);
        assert!(expected.differences(&expected.state).is_empty());
        assert_eq!(expected.differences(&State::default()).len(), 1);
    }

    #[test]
    fn what_cannot_be_held_is_unfit_and_what_is_outside_is_not_expected() {
        let ldif = format!(
            "dn: CN=A,OU=People,DC=x\nobjectClass: user\n{GUID}userPrincipalName: o'neil@x\n\n\
             dn: CN=B,OU=Else,DC=x\nobjectClass: user\n{GUID}userPrincipalName: b@x\n\n"
        );
        let expected = Expected::from_ldif(&ldif, &scope()).unwrap();
        assert_eq!((expected.unfit.len(), expected.state.users.len()), (1, 0));
    }

    #[test]
    fn account_ends_are_counted_from_1601() {
        assert_eq!(expiry_seconds(0), None);
        assert_eq!(expiry_seconds(i64::MAX), None);
        assert_eq!(expiry_seconds(116_444_736_000_000_000), Some(0));
    }
}
