//! What is in the domain, as far as the next change has to know it.
//!
//! Invariant: a change that is drawn is one the directory accepts.

use std::collections::BTreeSet;
use std::fmt;

use crate::change::*;
use crate::dice::Dice;
use crate::step::Step;

#[path = "group.rs"]
mod group;

/// Units that are there from the start, by their place in the list of units.
pub const PEOPLE: usize = 0;
pub const GROUPS: usize = 1;
const OUTSIDE: usize = 2;
/// More of each are not made.
const USERS_MAX: usize = 90;
const GROUPS_MAX: usize = 40;
const UNITS_MAX: usize = 16;
/// Attempts to draw a change that is possible.
const DRAWS_MAX: usize = 1_000;
const DOMAIN_USERS: u32 = 513;
/// 2001-01-01 and 2090-01-01 in units of 100 ns since 1601, and never.
const ENDS: [&str; 4] = [
    "126227808000000000",
    "154313856000000000",
    "0",
    "9223372036854775807",
];
const SUFFIXES: [&str; 3] = ["corp.example.com", "other.example", "third.example"];
const ODD: [&str; 8] = [", ", " + ", "#", "\u{1f427}", "Ж", "(*)", "\\", "\""];

#[derive(Debug)]
struct Unit {
    name: String,
    parent: Option<usize>,
    live: bool,
}

#[derive(Debug)]
struct User {
    account: String,
    name: String,
    login: Option<String>,
    parent: usize,
    live: bool,
    /// The group that is its primary one, if that is not Domain Users.
    primary: Option<usize>,
}

#[derive(Debug)]
struct Group {
    account: String,
    name: String,
    parent: usize,
    live: bool,
    members: BTreeSet<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    User(usize),
    Group(usize),
}

/// The domain.
pub struct Domain {
    units: Vec<Unit>,
    users: Vec<User>,
    groups: Vec<Group>,
    /// A group of the filter, which is never deleted.
    kept: Option<usize>,
    number: usize,
    /// How many changes of each kind there were.
    kinds: std::collections::BTreeMap<&'static str, usize>,
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.kinds).finish()
    }
}

type Draw = fn(&mut Domain, &mut Dice) -> Option<Step>;

/// Each kind of change, and how often it is drawn.
const KINDS: [(&str, usize, Draw); 19] = [
    ("create user", 10, Domain::create_user),
    ("modify user", 10, Domain::modify_user),
    ("log in otherwise", 6, Domain::set_login),
    ("rename user", 5, Domain::rename_user),
    ("move user", 6, Domain::move_user),
    ("disable or enable", 6, Domain::set_disabled),
    ("expire", 5, Domain::set_end),
    ("must change password", 2, Domain::must_change),
    ("delete user", 6, Domain::delete_user),
    ("restore user", 5, Domain::restore_user),
    ("create group", 6, Domain::create_group),
    ("rename group", 4, Domain::rename_group),
    ("move group", 4, Domain::move_group),
    (
        "delete or restore group",
        4,
        Domain::delete_or_restore_group,
    ),
    ("add member", 14, Domain::add_member),
    ("remove member", 8, Domain::remove_member),
    ("primary group", 4, Domain::set_primary_group),
    ("create or delete unit", 4, Domain::create_or_delete_unit),
    ("rename or move unit", 6, Domain::rename_or_move_unit),
];

impl Domain {
    /// People, Groups and, the first change, a unit outside the scope.
    pub fn new() -> Self {
        let unit = |name: &str| Unit {
            name: name.to_owned(),
            parent: None,
            live: true,
        };
        Self {
            units: vec![unit("People"), unit("Groups")],
            users: Vec::new(),
            groups: Vec::new(),
            kept: None,
            number: 0,
            kinds: std::collections::BTreeMap::new(),
        }
    }

    /// Draws the next change and takes it for done.
    pub fn step(&mut self, dice: &mut Dice) -> Step {
        if self.units.len() == OUTSIDE {
            return self.add_unit("Outside".to_owned(), None);
        }
        let all: usize = KINDS.iter().map(|(_, weight, _)| weight).sum();
        for _ in 0..DRAWS_MAX {
            let mut at = dice.below(all);
            for (kind, weight, draw) in KINDS {
                if at >= weight {
                    at -= weight;
                    continue;
                }
                if let Some(step) = draw(self, dice) {
                    *self.kinds.entry(kind).or_default() += 1;
                    return step;
                }
                break;
            }
        }
        panic!("no change is possible any more");
    }

    /// A group for the filter, if there is one.
    pub fn keep_a_group(&mut self, dice: &mut Dice) -> Option<usize> {
        self.kept = dice.pick(&self.live_groups()).copied();
        self.kept
    }

    /// Two users that every filter takes in, the first of whom has to change the password and the second
    /// has not: so both occur, whatever is drawn.
    pub fn create_users_with_both_passwords(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for last_set in ["0", "-1"] {
            let account = format!("a{}", self.next());
            let login = format!("{account}@{}", SUFFIXES[0]);
            let name = format!("Person{}", self.next());
            self.users.push(User {
                account: account.clone(),
                name,
                login: Some(login.clone()),
                parent: PEOPLE,
                live: true,
                primary: None,
            });
            let at = self.users.len() - 1;
            steps.push(Step::Change(format!(
                "{}changetype: add\nobjectClass: user\nsAMAccountName: {account}\n{}userAccountControl: 544\n\n",
                line("dn", &self.user_dn(at)),
                line("userPrincipalName", &login),
            )));
            steps.push(Step::Change(self.set(at, "pwdLastSet", Some(last_set))));
            if let Some(group) = self.kept {
                self.groups[group].members.insert(Member::User(at));
                let member = line("member", &self.user_dn(at));
                let change = format!("add: member\n{}", member.trim_end());
                steps.push(Step::Change(changed(&self.group_dn(group), &change)));
            }
        }
        steps
    }

    pub fn unit_dn(&self, at: usize) -> String {
        let unit = &self.units[at];
        let above = unit.parent.map_or(BASE.to_owned(), |at| self.unit_dn(at));
        format!("OU={},{above}", unit.name)
    }

    pub fn group_dn(&self, at: usize) -> String {
        let group = &self.groups[at];
        format!("CN={},{}", escaped(&group.name), self.unit_dn(group.parent))
    }

    fn user_dn(&self, at: usize) -> String {
        let user = &self.users[at];
        format!("CN={},{}", escaped(&user.name), self.unit_dn(user.parent))
    }

    fn dn(&self, member: Member) -> String {
        match member {
            Member::User(at) => self.user_dn(at),
            Member::Group(at) => self.group_dn(at),
        }
    }

    fn live_units(&self) -> Vec<usize> {
        let live = |at: &usize| self.units[*at].live;
        (0..self.units.len()).filter(live).collect()
    }

    fn live_users(&self) -> Vec<usize> {
        let live = |at: &usize| self.users[*at].live;
        (0..self.users.len()).filter(live).collect()
    }

    fn live_groups(&self) -> Vec<usize> {
        let live = |at: &usize| self.groups[*at].live;
        (0..self.groups.len()).filter(live).collect()
    }

    fn next(&mut self) -> usize {
        self.number += 1;
        self.number
    }

    /// A login that nobody has. A few of them differ only in their suffix, which is the same login
    /// to the hub, and a few do not fit it at all.
    fn login(&mut self, dice: &mut Dice) -> Option<String> {
        let suffix = *dice.pick(&SUFFIXES)?;
        let login = match dice.below(12) {
            0 => return None,
            1 => format!("o'neil{}@{suffix}", self.next()),
            2..=4 => format!("shared{}@{suffix}", dice.below(6)),
            _ => format!("u{}@{suffix}", self.next()),
        };
        let mut live = self.users.iter().filter(|user| user.live);
        let taken = live.any(|user| user.login.as_ref() == Some(&login));
        if taken { self.login(dice) } else { Some(login) }
    }

    fn user_name(&mut self, dice: &mut Dice) -> String {
        let number = self.next();
        let odd = if dice.once_in(3) {
            *dice.pick(&ODD).unwrap()
        } else {
            ""
        };
        format!("Person{odd}{number}")
    }

    fn create_user(&mut self, dice: &mut Dice) -> Option<Step> {
        if self.live_users().len() >= USERS_MAX {
            return None;
        }
        let login = self.login(dice);
        let user = User {
            account: format!("a{}", self.next()),
            name: self.user_name(dice),
            parent: *dice.pick(&self.live_units())?,
            login: login.clone(),
            live: true,
            primary: None,
        };
        let account = user.account.clone();
        self.users.push(user);
        let dn = line("dn", &self.user_dn(self.users.len() - 1));
        let mut ldif =
            format!("{dn}changetype: add\nobjectClass: user\nsAMAccountName: {account}\n");
        if let Some(login) = login {
            ldif += &line("userPrincipalName", &login);
        }
        if dice.once_in(2) {
            ldif += &line("displayName", &format!("Display {account}"));
        }
        let control = if dice.once_in(5) { 546 } else { 544 };
        ldif += &format!("userAccountControl: {control}\n\n");
        Some(Step::Change(ldif))
    }

    fn set(&self, at: usize, attribute: &str, value: Option<&str>) -> String {
        let dn = line("dn", &self.user_dn(at));
        let value = value.map_or(String::new(), |value| line(attribute, value));
        format!("{dn}changetype: modify\nreplace: {attribute}\n{value}\n")
    }

    fn modify_user(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let attributes = [
            "displayName",
            "givenName",
            "sn",
            "title",
            "department",
            "company",
            "employeeID",
            "telephoneNumber",
        ];
        let attribute = dice.pick(&attributes)?;
        let number = self.next();
        let odd = dice.pick(&ODD)?.trim();
        let value = format!("v{odd}{number}");
        let value = (!dice.once_in(4)).then_some(value.as_str());
        Some(Step::Change(self.set(at, attribute, value)))
    }

    fn set_login(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        // Samba 4.17 refuses to take a login away by leaving it empty.
        let login = self.login(dice)?;
        let step = Step::Change(self.set(at, "userPrincipalName", Some(&login)));
        self.users[at].login = Some(login);
        Some(step)
    }

    fn rename_user(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let name = self.user_name(dice);
        let step = renamed(&self.user_dn(at), &format!("CN={}", escaped(&name)), None);
        self.users[at].name = name;
        Some(step)
    }

    fn move_user(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let to = *dice.pick(&self.live_units())?;
        let own = format!("CN={}", escaped(&self.users[at].name));
        let step = renamed(&self.user_dn(at), &own, Some(&self.unit_dn(to)));
        if self.users[at].parent == to {
            return None;
        }
        self.users[at].parent = to;
        Some(step)
    }

    fn set_disabled(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let control = if dice.once_in(2) { "546" } else { "544" };
        let value = Some(control);
        Some(Step::Change(self.set(at, "userAccountControl", value)))
    }

    fn set_end(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let end = dice.pick(&ENDS).copied();
        Some(Step::Change(self.set(at, "accountExpires", end)))
    }

    fn must_change(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let set = if dice.once_in(2) { "0" } else { "-1" };
        Some(Step::Change(self.set(at, "pwdLastSet", Some(set))))
    }

    fn delete_user(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_users())?;
        let step = deleted(&self.user_dn(at));
        self.users[at].live = false;
        self.users[at].primary = None;
        for group in &mut self.groups {
            group.members.remove(&Member::User(at));
        }
        Some(step)
    }

    fn restore_user(&mut self, dice: &mut Dice) -> Option<Step> {
        let gone = |at: &usize| !self.users[*at].live;
        let gone: Vec<usize> = (0..self.users.len()).filter(gone).collect();
        let at = *dice.pick(&gone)?;
        let login = self.login(dice);
        self.users[at].name = self.user_name(dice);
        self.users[at].parent = *dice.pick(&self.live_units())?;
        self.users[at].login.clone_from(&login);
        self.users[at].live = true;
        let mut then = self.set(at, "title", Some("restored"));
        if login.is_some() {
            then += &self.set(at, "userPrincipalName", login.as_deref());
        }
        Some(Step::Restore {
            account: self.users[at].account.clone(),
            dn: self.user_dn(at),
            then,
        })
    }

    fn add_unit(&mut self, name: String, parent: Option<usize>) -> Step {
        self.units.push(Unit {
            name,
            parent,
            live: true,
        });
        let dn = self.unit_dn(self.units.len() - 1);
        Step::Change(format!(
            "dn: {dn}\nchangetype: add\nobjectClass: organizationalUnit\n\n"
        ))
    }

    fn create_or_delete_unit(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_units())?;
        let parents = self.users.iter().filter(|user| user.live);
        let parents = parents.map(|user| user.parent);
        let groups = self.groups.iter().filter(|group| group.live);
        let inner = self.units.iter().filter(|unit| unit.live);
        let inner = inner.filter_map(|unit| unit.parent);
        let mut used = parents.chain(groups.map(|group| group.parent)).chain(inner);
        let is_empty = !used.any(|used| used == at);
        if at > OUTSIDE && is_empty && dice.once_in(2) {
            self.units[at].live = false;
            return Some(deleted(&self.unit_dn(at)));
        }
        if self.live_units().len() >= UNITS_MAX {
            return None;
        }
        let name = format!("Unit {}", self.next());
        Some(self.add_unit(name, Some(at)))
    }

    /// Also those of the filter, but none under itself.
    fn rename_or_move_unit(&mut self, dice: &mut Dice) -> Option<Step> {
        let at = *dice.pick(&self.live_units())?;
        let from = self.unit_dn(at);
        let name = format!("Unit {}", self.next());
        if dice.once_in(2) {
            self.units[at].name.clone_from(&name);
            return Some(renamed(&from, &format!("OU={name}"), None));
        }
        let to = *dice.pick(&self.live_units())?;
        let mut above = Some(to);
        while let Some(unit) = above {
            if unit == at {
                return None;
            }
            above = self.units[unit].parent;
        }
        let to_dn = self.unit_dn(to);
        self.units[at].parent = Some(to);
        self.units[at].name.clone_from(&name);
        Some(renamed(&from, &format!("OU={name}"), Some(&to_dn)))
    }
}

fn changed(dn: &str, change: &str) -> String {
    format!("{}changetype: modify\n{change}\n\n", line("dn", dn))
}

fn deleted(dn: &str) -> Step {
    Step::Change(format!("{}changetype: delete\n\n", line("dn", dn)))
}

fn renamed(dn: &str, new: &str, above: Option<&str>) -> Step {
    let (dn, new) = (line("dn", dn), line("newrdn", new));
    let above = above.map_or(String::new(), |above| line("newsuperior", above));
    Step::Change(format!(
        "{dn}changetype: modrdn\n{new}deleteoldrdn: 1\n{above}\n"
    ))
}
