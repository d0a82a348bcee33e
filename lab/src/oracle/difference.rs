//! Comparing what should be with what is.
//!
//! Invariant: an object may lack its name or its values only for a reason that shows: it is unfit,
//! or another object holds the name it wants. Such an object keeps what the hub had of it before.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expected, Group, State};

impl Expected {
    /// Every difference between what should be and what is, one line each; empty when equal.
    #[must_use]
    pub fn differences(&self, found: &State) -> Vec<String> {
        let mut lines = Vec::new();
        let users = names(&found.users, |user| &user.username);
        for (id, user) in &self.state.users {
            let is_excused = self.is_excused(&users, id, &user.username);
            let Some(there) = found.users.get(id) else {
                if !is_excused {
                    lines.push(format!(
                        "user {} ({id}) is missing in the hub",
                        user.username
                    ));
                }
                continue;
            };
            if there != user && !is_excused {
                lines.push(format!("user {id}: directory {user:?}, hub {there:?}"));
            }
        }
        let groups = names(&found.groups, |group| &group.name);
        for (id, group) in &self.state.groups {
            let is_excused = self.is_excused(&groups, id, &group.name);
            match found.groups.get(id) {
                None if !is_excused => {
                    lines.push(format!("group {} ({id}) is missing in the hub", group.name));
                }
                Some(there)
                    if (&there.name, &there.description) != (&group.name, &group.description)
                        && !is_excused =>
                {
                    lines.push(format!(
                        "group {id}: directory name {:?} and description {:?}, hub name {:?} and \
                         description {:?}",
                        group.name, group.description, there.name, there.description
                    ));
                }
                _ => {}
            }
        }
        self.contested_names(found, &mut lines);
        self.memberships(found, &mut lines);
        self.strangers(found, &mut lines);
        lines
    }

    /// Whether an object may lack the name it wants: somebody else has it, who wants it too, or
    /// cannot have another one because it is unfit, or for the same reason. Objects that could
    /// all have their names if they moved on in a circle are not excused.
    fn is_excused(&self, names: &BTreeMap<&String, &String>, id: &String, name: &String) -> bool {
        let (mut id, mut name) = (id, name);
        let mut seen = BTreeSet::new();
        while let Some(holder) = names.get(name) {
            if *holder == id || !seen.insert(*holder) {
                return false;
            }
            let Some(wanted) = self.name(holder) else {
                return self.unfit.contains_key(*holder);
            };
            if wanted == name {
                return true;
            }
            (id, name) = (*holder, wanted);
        }
        false
    }

    /// The name an object wants.
    fn name(&self, id: &String) -> Option<&String> {
        let user = self.state.users.get(id).map(|user| &user.username);
        user.or(self.state.groups.get(id).map(|group| &group.name))
    }

    fn memberships(&self, found: &State, lines: &mut Vec<String>) {
        for (id, group) in &found.groups {
            let Some(members) = self.members.get(id) else {
                continue;
            };
            // The interface lists active members only.
            let listed = |member: &&String| found.users.get(*member).is_some_and(|u| u.active);
            let wanted: BTreeSet<String> = members.iter().filter(listed).cloned().collect();
            if wanted != group.members {
                lines.push(describe(id, &wanted, group));
            }
        }
    }

    fn strangers(&self, found: &State, lines: &mut Vec<String>) {
        for (id, user) in &found.users {
            if !self.state.users.contains_key(id) && !self.unfit.contains_key(id) {
                lines.push(format!(
                    "user {} ({id}) should not be in the hub",
                    user.username
                ));
            }
        }
        for (id, group) in &found.groups {
            if !self.state.groups.contains_key(id) && !self.unfit.contains_key(id) {
                lines.push(format!(
                    "group {} ({id}) should not be in the hub",
                    group.name
                ));
            }
        }
    }

    /// One of those who want the same name must have it, unless somebody keeps it who became unfit or
    /// waits for a name that is contested itself.
    fn contested_names(&self, found: &State, lines: &mut Vec<String>) {
        for ids in &self.contested {
            let has = |id: &&String| {
                let user = found.users.get(*id).map(|user| &user.username);
                let there = user.or(found.groups.get(*id).map(|group| &group.name));
                there.is_some() && there == self.name(id)
            };
            let others = self.contested.iter().filter(|other| *other != ids);
            let mut waiting = self.unfit.keys().chain(others.flatten());
            let kept = waiting.any(|id| {
                let user = found.users.get(id).map(|user| &user.username);
                let there = user.or(found.groups.get(id).map(|group| &group.name));
                there.is_some() && there == ids.first().and_then(|id| self.name(id))
            });
            let winners = ids.iter().filter(has).count();
            if winners != 1 && !kept {
                lines.push(format!("{winners} instead of one of {ids:?} have the name"));
            }
        }
    }
}

/// Who holds a name.
fn names<'a, T>(
    objects: &'a BTreeMap<String, T>,
    name: impl Fn(&'a T) -> &'a String,
) -> BTreeMap<&'a String, &'a String> {
    objects.iter().map(|(id, it)| (name(it), id)).collect()
}

fn describe(id: &str, wanted: &BTreeSet<String>, there: &Group) -> String {
    let some = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        let extra: Vec<String> = one.difference(other).take(3).cloned().collect();
        format!("{} ({})", one.difference(other).count(), extra.join(", "))
    };
    format!(
        "group {} ({id}): {} members missing, {} too many",
        there.name,
        some(wanted, &there.members),
        some(&there.members, wanted)
    )
}

#[cfg(test)]
mod tests {
    use super::super::User;
    use super::*;

    fn user(name: &str) -> User {
        User {
            username: name.into(),
            active: true,
            ..User::default()
        }
    }

    fn state(users: &[(&str, &str)]) -> State {
        let users = users.iter().map(|(id, name)| ((*id).into(), user(name)));
        State {
            users: users.collect(),
            ..State::default()
        }
    }

    fn expected(users: &[(&str, &str)]) -> Expected {
        let mut expected = Expected {
            state: state(users),
            ..Expected::default()
        };
        expected.find_contested();
        expected
    }

    #[test]
    fn one_of_those_who_want_a_name_has_it() {
        let both = expected(&[("1", "a"), ("2", "a")]);
        assert!(both.differences(&state(&[("1", "a")])).is_empty());
        assert!(
            both.differences(&state(&[("2", "a"), ("1", "old")]))
                .is_empty()
        );
        assert!(!both.differences(&state(&[("1", "old")])).is_empty());
        assert!(!both.differences(&state(&[])).is_empty());
    }

    #[test]
    fn names_in_a_circle_have_to_move_on() {
        let swapped = expected(&[("1", "b"), ("2", "a")]);
        let before = state(&[("1", "a"), ("2", "b")]);
        assert_eq!(swapped.differences(&before).len(), 2);
        // The first cannot move on, because somebody wants to keep the last name.
        let queue = expected(&[("1", "b"), ("2", "c"), ("3", "c")]);
        let before = state(&[("1", "a"), ("2", "b"), ("3", "c")]);
        assert!(queue.differences(&before).is_empty());
    }

    #[test]
    fn an_unfit_object_may_stay_as_it_was_and_keep_its_name() {
        let mut one = expected(&[("1", "a")]);
        one.unfit.insert("2".into(), "why".into());
        assert!(
            one.differences(&state(&[("1", "a"), ("2", "b")]))
                .is_empty()
        );
        assert!(one.differences(&state(&[("2", "a")])).is_empty());
        let stranger = state(&[("1", "a"), ("3", "c")]);
        assert_eq!(one.differences(&stranger).len(), 1);
    }

    #[test]
    fn only_active_members_that_the_hub_has_are_compared() {
        let mut one = expected(&[("1", "a"), ("2", "b"), ("3", "c")]);
        let members = ["1", "2", "3"].map(str::to_owned);
        one.members.insert("9".into(), members.into());
        one.state.users.get_mut("2").unwrap().active = false;
        let group = |members: &[&str]| Group {
            name: "g".into(),
            members: members.iter().map(|id| (*id).to_owned()).collect(),
            ..Group::default()
        };
        one.state.groups.insert("9".into(), group(&[]));
        let mut found = one.state.clone();
        found.groups.insert("9".into(), group(&["1", "3"]));
        assert_eq!(one.differences(&found), Vec::<String>::new());
        found.groups.insert("9".into(), group(&["1"]));
        assert!(one.differences(&found)[0].contains("1 (3) members missing"));
    }
}
