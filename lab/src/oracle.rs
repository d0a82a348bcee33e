//! What the hub should hold, worked out from an `ldapsearch` dump of the directory.
//!
//! Invariant: shares no code with the agent, not even the LDAP client, so that one mistake cannot
//! hide itself in both. It knows the default attribute mapping, organizational units and groups as
//! scope, nested groups, and one domain put in place of the UPN suffix.

use std::collections::{BTreeMap, BTreeSet};

mod difference;
mod entry;
mod object;

use entry::{Entry, dn_of, external_id, has_class, number, parse_ldif, plain_dn, rid, text};
use object::{group_of, user_of};

/// What becomes of groups inside groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NestedGroups {
    /// Only direct members count.
    #[default]
    Direct,
    /// Members of inner groups count as members.
    Flatten,
}

/// Where the names of groups come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupNames {
    /// The relative name, the default.
    #[default]
    Name,
    /// The account.
    AccountName,
}

/// What to read out of the dump.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// DNs of the organizational units; empty means the whole domain.
    pub organizational_units: Vec<String>,
    /// DNs of the groups whose direct and nested members are synchronised; empty means everybody.
    pub groups: Vec<String>,
    /// Whether members of inner groups count.
    pub nested_groups: NestedGroups,
    /// Where the names of groups come from.
    pub group_names: GroupNames,
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
    /// Objects it cannot hold, with the reason: each must be reported as a failed item. Those
    /// that it could hold before stay as they were.
    pub unfit: BTreeMap<String, String>,
    /// Names wanted by several objects: exactly one of them must have it.
    pub contested: Vec<BTreeSet<String>>,
    /// All users, groups and other entries in the dump.
    pub objects_read: usize,
    /// Users in each group in scope, also where one of both is unfit.
    members: BTreeMap<String, BTreeSet<String>>,
}

/// What the dump says of memberships: entries by their name in lower case.
struct Links<'a> {
    entries: BTreeMap<String, &'a Entry>,
    users_of_primary_group: BTreeMap<i64, Vec<String>>,
}

impl Expected {
    /// Reads the LDIF text that `ldapsearch -LLL -o ldif-wrap=no` printed of all users and groups.
    ///
    /// # Errors
    /// When the text is no such dump.
    pub fn from_ldif(ldif: &str, scope: &Scope) -> anyhow::Result<Self> {
        let entries = parse_ldif(ldif)?;
        let links = Links::of(&entries);
        let groups = scope.groups.iter();
        let groups: Vec<String> = groups.flat_map(|dn| as_written(&entries, dn)).collect();
        let chosen = links.nested_members(&groups);
        let mut expected = Self {
            objects_read: entries.len(),
            ..Self::default()
        };
        let in_units = |entry: &&Entry| !is_critical(entry) && is_below(entry, scope);
        let mut user_by_dn = BTreeMap::new();
        for entry in entries.iter().filter(in_units).filter(|e| is_user(e)) {
            let dn = dn_of(entry).to_lowercase();
            if !scope.groups.is_empty() && !chosen.contains(&dn) {
                continue;
            }
            let id = external_id(entry)?;
            user_by_dn.insert(dn, id.clone());
            match user_of(entry, scope) {
                Ok(user) => drop(expected.state.users.insert(id, user)),
                Err(why) => drop(expected.unfit.insert(id, why)),
            }
        }
        for entry in entries.iter().filter(in_units) {
            if !has_class(entry, "group") {
                continue;
            }
            let id = external_id(entry)?;
            let members: BTreeSet<String> = links
                .members(entry, scope.nested_groups)
                .iter()
                .filter_map(|dn| user_by_dn.get(dn).cloned())
                .collect();
            expected.members.insert(id.clone(), members.clone());
            match group_of(entry, scope.group_names) {
                Ok(group) => {
                    let group = Group { members, ..group };
                    expected.state.groups.insert(id, group);
                }
                Err(why) => drop(expected.unfit.insert(id, why)),
            }
        }
        expected.find_contested();
        let unfit = &expected.unfit;
        for group in expected.state.groups.values_mut() {
            group.members.retain(|member| !unfit.contains_key(member));
        }
        Ok(expected)
    }

    /// How many items a first run must report as failed.
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
}

impl<'a> Links<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut users_of_primary_group: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| is_user(entry)) {
            if let Some(primary) = number(entry, "primarygroupid") {
                let users = users_of_primary_group.entry(primary).or_default();
                users.push(dn_of(entry).to_lowercase());
            }
        }
        let by_dn = entries.iter().map(|e| (dn_of(e).to_lowercase(), e));
        Self {
            entries: by_dn.collect(),
            users_of_primary_group,
        }
    }

    /// Everything in these groups and in the groups inside them, by name in lower case.
    fn nested_members(&self, groups: &[String]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for group in groups {
            self.add_members(&group.to_lowercase(), &mut found, &mut BTreeSet::new());
        }
        found
    }

    fn add_members(&self, group: &str, found: &mut BTreeSet<String>, seen: &mut BTreeSet<String>) {
        let Some(entry) = self.entries.get(group) else {
            return;
        };
        if !has_class(entry, "group") || !seen.insert(group.to_owned()) {
            return;
        }
        for member in direct_members(entry) {
            self.add_members(&member, found, seen);
            found.insert(member);
        }
    }

    /// Members of a group as the hub should see them, with those whose primary group it is.
    fn members(&self, group: &Entry, nested: NestedGroups) -> BTreeSet<String> {
        let mut groups = BTreeSet::from([dn_of(group).to_lowercase()]);
        let mut members: BTreeSet<String> = direct_members(group).collect();
        if nested == NestedGroups::Flatten {
            let own = [dn_of(group)];
            members = self.nested_members(&own);
            groups.extend(members.iter().cloned());
        }
        for group in &groups {
            let sid = self.entries.get(group).and_then(|e| e.get("objectsid"));
            let rid = sid.and_then(|sids| sids.first()).and_then(|sid| rid(sid));
            let users = rid.and_then(|rid| self.users_of_primary_group.get(&rid));
            members.extend(users.into_iter().flatten().cloned());
        }
        members
    }
}

fn direct_members(group: &Entry) -> impl Iterator<Item = String> {
    let listed = group.get("member").into_iter().flatten();
    listed.map(|dn| String::from_utf8_lossy(dn).to_lowercase())
}

fn is_user(entry: &Entry) -> bool {
    has_class(entry, "user") && !has_class(entry, "computer")
}

fn is_critical(entry: &Entry) -> bool {
    text(entry, "iscriticalsystemobject").is_some_and(|value| value == "TRUE")
}

/// The name of an entry as the directory writes it, by any other form of it.
fn as_written(entries: &[Entry], given: &str) -> Option<String> {
    let plain = plain_dn(given);
    let mut names = entries.iter().map(dn_of);
    names.find(|name| plain_dn(name) == plain)
}

fn is_below(entry: &Entry, scope: &Scope) -> bool {
    let dn = dn_of(entry).to_lowercase();
    let below = |unit: &String| {
        let Some(before) = dn.strip_suffix(&format!(",{}", unit.to_lowercase())) else {
            return false;
        };
        // A comma after an odd number of backslashes belongs to the name before it.
        let backslashes = before.bytes().rev().take_while(|byte| *byte == b'\\');
        backslashes.count() % 2 == 0
    };
    scope.organizational_units.is_empty() || scope.organizational_units.iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An objectGUID of this byte only.
    fn guid(byte: u8) -> String {
        let encoded = ["AQEB", "AgIC", "AwMD", "BAQE", "BQUF"];
        let part = encoded.get(usize::from(byte) - 1).unwrap();
        let last = part.get(..2).unwrap();
        format!("objectGUID:: {}{last}==\n", part.repeat(5))
    }

    fn id(byte: u8) -> String {
        let two = format!("{byte:02x}");
        [4, 2, 2, 2, 6].map(|n| two.repeat(n)).join("-")
    }

    fn scope() -> Scope {
        Scope {
            organizational_units: vec!["OU=People,DC=x".into()],
            replacement_domain: Some("pool.test".into()),
            now_seconds: 1_000,
            ..Scope::default()
        }
    }

    fn user(byte: u8, name: &str, place: &str) -> String {
        format!(
            "dn: CN={name},{place}DC=x\nobjectClass: user\n{}userPrincipalName: {name}@x\n\
             cn: {name}\nprimaryGroupID: 513\n\n",
            guid(byte)
        )
    }

    fn group(byte: u8, name: &str, members: &[&str]) -> String {
        let members = members.iter().map(|m| format!("member: CN={m},DC=x\n"));
        let members: String = members.collect();
        format!(
            "dn: CN={name},DC=x\nobjectClass: group\n{}name: {name}\n{members}\n",
            guid(byte)
        )
    }

    #[test]
    fn a_user_is_mapped_and_compared() {
        let ldif = format!(
            "dn: CN=A,OU=People,DC=x\nobjectClass: top\nobjectClass: user\n{}\
             userPrincipalName: Anna@x\ndisplayName:: w4RubmE=\nuserAccountControl: 514\n\n",
            guid(1)
        );
        let expected = Expected::from_ldif(&ldif, &scope()).unwrap();
        let user = &expected.state.users[&id(1)];
        assert_eq!(user.username, "anna@pool.test");
        assert_eq!(user.fields["fullName"], "Änna");
        assert!(!user.active);
        assert!(expected.differences(&expected.state).is_empty());
        assert_eq!(expected.differences(&State::default()).len(), 1);
    }

    #[test]
    fn what_cannot_be_held_is_unfit_and_what_is_outside_is_not_expected() {
        let ldif = [
            user(1, "o'neil", "OU=People,"),
            user(2, "b", "OU=Else,"),
            user(3, "c\\,OU=People", ""),
            user(4, "d\\\\", "OU=People,"),
        ]
        .concat();
        let expected = Expected::from_ldif(&ldif, &scope()).unwrap();
        let unfit: Vec<&String> = expected.unfit.keys().collect();
        assert_eq!(unfit, [&id(1), &id(4)]);
        assert!(expected.state.users.is_empty());
    }

    #[test]
    fn filter_groups_and_flattening_follow_inner_groups_and_circles() {
        let ldif = [
            user(1, "a", ""),
            user(2, "b", ""),
            group(3, "outer", &["inner", "a"]),
            group(4, "inner", &["outer", "b"]),
            user(5, "c", ""),
        ]
        .concat();
        let mut scope = Scope {
            groups: vec!["CN=outer,DC=x".into()],
            ..Scope::default()
        };
        let direct = Expected::from_ldif(&ldif, &scope).unwrap();
        let users: Vec<&String> = direct.state.users.keys().collect();
        assert_eq!(users, [&id(1), &id(2)]);
        let outer = &direct.state.groups[&id(3)];
        assert_eq!(outer.members, BTreeSet::from([id(1)]));
        scope.nested_groups = NestedGroups::Flatten;
        let flat = Expected::from_ldif(&ldif, &scope).unwrap();
        let both = BTreeSet::from([id(1), id(2)]);
        assert_eq!(flat.state.groups[&id(3)].members, both);
        assert_eq!(flat.state.groups[&id(4)].members, both);
    }

    #[test]
    fn the_primary_group_counts_also_inside_another_when_flattened() {
        // S-1-0-0-513
        let inner = group(4, "inner", &[]).replace(
            "name: inner\n",
            "name: inner\nobjectSid:: AQEAAAAAAAABAgAA\n",
        );
        let ldif = [user(1, "a", ""), group(3, "outer", &["inner"]), inner].concat();
        for (nested_groups, members) in [(NestedGroups::Direct, 0), (NestedGroups::Flatten, 1)] {
            let scope = Scope {
                nested_groups,
                ..Scope::default()
            };
            let expected = Expected::from_ldif(&ldif, &scope).unwrap();
            assert_eq!(expected.state.groups[&id(3)].members.len(), members);
            assert_eq!(expected.state.groups[&id(4)].members.len(), 1);
        }
    }
}
