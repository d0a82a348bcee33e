//! Both sides compared without writing: a digest of each, and the objects that differ.
//!
//! Invariant: a digest is a sum over the scope, so it does not depend on the order in which objects
//! were read; equal sides have equal digests, and one object that differs makes them differ. Objects
//! that cannot be users or groups of the hub are failed items, not differences. Deliberately absent:
//! memberships of users that are not active in the hub, because the hub does not list them; they are
//! counted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Guid;
use super::index::{Body, HubSide, Index, Kind, Presence, Record};
use super::plan::{self, RemoveUserBehavior, Rules, Stop};
use super::scope::{Scope, ScopeView, Verdict};
use super::values::Digest;

const LIMBS: usize = 4;
const LIMB_BYTES: usize = 8;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The mapped values of a user or group.
    Values = 1,
    /// Whether a user may sign in.
    State = 2,
    /// A member of a group.
    Member = 3,
}

/// A sum of 256-bit fingerprints, modulo 2^256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum([u64; LIMBS]);

impl Sum {
    /// Adds the fingerprint of one fact about an object.
    pub fn add(&mut self, part: Part, object: Guid, fact: &[u8]) {
        let mut hash = Sha256::new();
        hash.update([part as u8]);
        hash.update(object.to_wire());
        hash.update(fact);
        let leaf = hash.finalize();
        let mut carry = false;
        for (limb, bytes) in self.0.iter_mut().zip(leaf.chunks_exact(LIMB_BYTES)) {
            let more = bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << u8::BITS | u64::from(*byte));
            let (sum, over) = limb.overflowing_add(more);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || again;
        }
    }

    /// Hexadecimal, the highest digit first.
    #[must_use]
    pub fn to_hex(self) -> String {
        let limbs = self.0.iter().rev();
        limbs.map(|limb| format!("{limb:016x}")).collect()
    }
}

/// How an object differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// In scope, but the hub does not have it.
    NotInHub,
    /// The hub has other values.
    Values,
    /// Enabled on one side only.
    State,
    /// The hub has other members in the group.
    Members,
    /// The hub has it, the directory deleted it or shows it outside the scope.
    LeftOver,
    /// The hub has it, the directory does not show it and did not report its deletion.
    NotVisible,
}

impl Difference {
    /// For a person.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NotInHub => "not in the hub",
            Self::Values => "other values in the hub",
            Self::State => "enabled on one side only",
            Self::Members => "other members in the hub",
            Self::LeftOver => "in the hub, but deleted or out of scope in the directory",
            Self::NotVisible => "in the hub, but not visible in the directory",
        }
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// Digest of what the directory asks for.
    pub directory: Sum,
    /// Digest of what the hub has.
    pub hub: Sum,
    /// What differs; an object may differ in several ways and shows the first.
    pub differing: BTreeMap<Guid, Difference>,
    /// Objects in scope that do not fit the hub.
    pub unfit: usize,
    /// Memberships the directory asks for that were not compared: their users are suspended in the
    /// hub, which lists active members only.
    pub memberships_not_compared: usize,
}

/// Compares the sides of `index`.
///
/// # Errors
/// [`Stop`] when the picture of the directory is not complete enough to judge.
pub fn compare(index: &Index, scope: &Scope, rules: &Rules) -> Result<Drift, Stop> {
    let nobody = !index.iter().any(|(_, record)| {
        record.presence != Presence::Missing && record.kind() != Kind::Container
    });
    if nobody {
        return Err(Stop::Empty);
    }
    let mut comparison = Comparison {
        index,
        rules,
        view: scope.view(index)?,
        drift: Drift::default(),
    };
    for (guid, record) in index.iter() {
        match record.kind() {
            Kind::User => comparison.user(guid, record),
            Kind::Group => comparison.group(guid, record),
            Kind::Container => comparison.gone(guid, record, Verdict::Unknown),
        }
    }
    comparison.memberships();
    Ok(comparison.drift)
}

struct Comparison<'a> {
    index: &'a Index,
    rules: &'a Rules,
    view: ScopeView,
    drift: Drift,
}

impl Comparison<'_> {
    fn user(&mut self, guid: Guid, record: &Record) {
        let Body::User {
            values, enabled, ..
        } = record.body()
        else {
            return;
        };
        let verdict = self.view.verdict(self.index, guid);
        if record.presence != Presence::Seen || verdict != Verdict::In {
            let blocked = self.rules.remove_user_behavior == RemoveUserBehavior::Block
                && record
                    .hub
                    .as_ref()
                    .is_some_and(|hub| hub.enabled == Some(false));
            if !blocked {
                self.gone(guid, record, verdict);
            }
            return;
        }
        let hub = record.hub.as_ref();
        match &values {
            Ok(values) => self.values(guid, values.digest(), hub),
            Err(_) => self.drift.unfit += 1,
        }
        let ended = values.as_ref().is_ok_and(|values| {
            let end = values.expires_at;
            end.is_some_and(|at| at <= self.rules.now)
        });
        if let Some(hub) = hub {
            let wanted = [u8::from(enabled), u8::from(ended)];
            self.drift.directory.add(Part::State, guid, &wanted);
            if plan::activation(enabled, hub, ended).is_none() {
                self.drift.hub.add(Part::State, guid, &wanted);
            } else {
                self.drift.hub.add(Part::State, guid, &[]);
                self.differs(guid, Difference::State);
            }
        }
    }

    fn group(&mut self, guid: Guid, record: &Record) {
        let Body::Group { values, .. } = record.body() else {
            return;
        };
        let verdict = self.view.verdict(self.index, guid);
        if record.presence != Presence::Seen || verdict != Verdict::In {
            return self.gone(guid, record, verdict);
        }
        match values {
            Ok(values) => self.values(guid, values.digest(), record.hub.as_ref()),
            Err(_) => self.drift.unfit += 1,
        }
    }

    fn values(&mut self, guid: Guid, wanted: Digest, hub: Option<&HubSide>) {
        self.drift.directory.add(Part::Values, guid, &wanted.0);
        let Some(hub) = hub else {
            return self.differs(guid, Difference::NotInHub);
        };
        self.drift.hub.add(Part::Values, guid, &hub.digest.0);
        if hub.digest != wanted {
            self.differs(guid, Difference::Values);
        }
    }

    /// An object that is not wanted.
    fn gone(&mut self, guid: Guid, record: &Record, verdict: Verdict) {
        let Some(hub) = &record.hub else { return };
        self.drift.hub.add(Part::Values, guid, &hub.digest.0);
        let difference = match plan::cause(record, verdict) {
            Some(_) => Difference::LeftOver,
            None => Difference::NotVisible,
        };
        self.differs(guid, difference);
    }

    fn memberships(&mut self) {
        let nested_groups = self.rules.nested_groups;
        let primary = plan::primary_members(self.index, nested_groups);
        for (guid, record) in self.index.iter() {
            if record.kind() != Kind::Group || record.hub.is_none() {
                continue;
            }
            if record.presence != Presence::Seen
                || self.view.verdict(self.index, guid) != Verdict::In
            {
                continue;
            }
            let members = plan::members_of(self.index, guid, record, nested_groups, &primary);
            let mut wanted = members.reached;
            wanted.retain(|user| self.is_in_hub_and_scope(*user));
            let asked_for = wanted.len();
            wanted.retain(|user| self.index.is_active(*user));
            self.drift.memberships_not_compared += asked_for - wanted.len();
            let judged = |user: &Guid| {
                self.is_active_in_scope(*user) && (!members.has_gaps || wanted.contains(user))
            };
            let present: BTreeSet<Guid> = self.index.hub_members(guid).filter(judged).collect();
            for user in &wanted {
                self.drift
                    .directory
                    .add(Part::Member, guid, &user.to_wire());
            }
            for user in &present {
                self.drift.hub.add(Part::Member, guid, &user.to_wire());
            }
            if wanted != present {
                self.differs(guid, Difference::Members);
            }
        }
    }

    /// Whether this is a user in scope that is active in the hub.
    fn is_active_in_scope(&self, user: Guid) -> bool {
        self.index.is_active(user) && self.is_in_hub_and_scope(user)
    }

    /// Whether this is a user in scope that the hub has.
    fn is_in_hub_and_scope(&self, user: Guid) -> bool {
        let found = self.index.get(user).filter(|record| {
            record.kind() == Kind::User && record.presence == Presence::Seen && record.hub.is_some()
        });
        found.is_some() && self.view.verdict(self.index, user) == Verdict::In
    }

    fn differs(&mut self, guid: Guid, difference: Difference) {
        self.drift.differing.entry(guid).or_insert(difference);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_kit::timestamp::Timestamp;

    use super::*;
    use crate::engine::index::{HubGroup, HubUser, Place};
    use crate::engine::plan::NestedGroups;
    use crate::engine::values::{GroupValues, UserTarget, UserValues};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const GROUPS_FROM: u128 = 1_000;

    fn guid(number: u128) -> Guid {
        Guid::from_number(number)
    }

    fn rules() -> Rules {
        Rules {
            remove_user_behavior: RemoveUserBehavior::Remove,
            nested_groups: NestedGroups::Direct,
            now: NOW,
        }
    }

    fn values(number: u128) -> UserValues {
        UserValues::new([(UserTarget::Username, format!("u{number}@x"))], None)
    }

    fn group_values(number: u128) -> GroupValues {
        GroupValues {
            name: format!("g{number}"),
            description: None,
        }
    }

    fn place() -> Place<'static> {
        Place {
            parent: None,
            dn: "",
            critical: false,
            presence: Presence::Seen,
        }
    }

    /// Users 1..=count and two groups with the even and the odd ones, equal on both sides.
    fn equal(count: u128) -> Index {
        let mut records = Vec::new();
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let wanted = values(number);
            let record = Record::user(place(), Ok(&wanted), number % 5 != 0, None);
            records.push((guid(number), record));
            users.push(HubUser {
                guid: guid(number),
                id: format!("h{number}").into(),
                values: values(number),
                enabled: Some(number % 5 != 0),
            });
        }
        for parity in 0..2 {
            let number = GROUPS_FROM + parity;
            let members = (1..=count).filter(|user| user % 2 == parity);
            let (wanted, links) = (group_values(number), members.clone().map(guid));
            let links: Vec<Guid> = links.collect();
            let record = Record::group(place(), Ok(&wanted), &links, None);
            records.push((guid(number), record));
            groups.push(HubGroup {
                guid: guid(number),
                id: format!("h{number}").into(),
                values: group_values(number),
                member_ids: members.map(|user| format!("h{user}").into()).collect(),
            });
        }
        let mut index = Index::from_records(records);
        index.set_hub(users, groups);
        index
    }

    fn differing(index: &Index) -> Vec<(Guid, Difference)> {
        let drift = compare(index, &Scope::default(), &rules()).unwrap();
        let differ = drift.directory != drift.hub;
        assert_eq!(differ, !drift.differing.is_empty(), "{drift:?}");
        drift.differing.into_iter().collect()
    }

    #[test]
    fn equal_sides_have_equal_digests() {
        assert!(differing(&equal(20)).is_empty());
    }

    #[test]
    fn memberships_of_suspended_users_are_counted_and_make_no_difference() {
        let count = |index: &Index| {
            let drift = compare(index, &Scope::default(), &rules()).unwrap();
            assert!(!drift.differing.contains_key(&guid(GROUPS_FROM)));
            drift.memberships_not_compared
        };
        let mut index = equal(20);
        assert_eq!(count(&index), 4, "every fifth user is suspended");
        index.members_changed(guid(GROUPS_FROM), &[], &[guid(10)]);
        assert_eq!(count(&index), 4, "whether the hub has it is not known");
        index.removed(guid(10));
        assert_eq!(
            count(&index),
            3,
            "a user that is not there is a difference itself"
        );
    }

    #[test]
    fn nothing_read_is_no_equality() {
        let compared = compare(&Index::default(), &Scope::default(), &rules());
        assert_eq!(compared.unwrap_err(), Stop::Empty);
    }

    #[test]
    fn each_kind_of_difference_is_told() {
        let user = guid(3);
        let group = guid(GROUPS_FROM + 1);
        let mut index = equal(20);
        index.written(user, "h3", Digest([7; 16]));
        assert_eq!(differing(&index), [(user, Difference::Values)]);
        let mut index = equal(20);
        index.activated(user, false);
        assert_eq!(differing(&index), [(user, Difference::State)]);
        let mut index = equal(20);
        index.members_changed(group, &[], &[user]);
        assert_eq!(differing(&index), [(group, Difference::Members)]);
        let mut index = equal(20);
        index.members_changed(group, &[guid(2)], &[]);
        assert_eq!(differing(&index), [(group, Difference::Members)]);
        let mut index = equal(20);
        index.removed(user);
        let found = differing(&index);
        assert!(found.contains(&(user, Difference::NotInHub)), "{found:?}");
    }

    #[test]
    fn what_the_directory_does_not_show_is_told_apart_from_what_it_deleted() {
        use crate::engine::mapping::Mapping;
        use crate::engine::object::Change;
        let mapping = Mapping::new("x", None);
        for (change, difference) in [
            (Change::Deleted(guid(5)), Difference::LeftOver),
            (Change::Missing(guid(5)), Difference::NotVisible),
        ] {
            let mut index = equal(20);
            index.apply(change, &mapping);
            assert_eq!(differing(&index), [(guid(5), difference)]);
        }
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(facts in prop::collection::vec((0_u128..9, any::<[u8; 4]>()), 0..40), seed in any::<u64>()) {
            let sum = |facts: &[(u128, [u8; 4])]| {
                let mut sum = Sum::default();
                for (object, fact) in facts {
                    sum.add(Part::Values, guid(*object), fact);
                }
                sum
            };
            let mut shuffled = facts.clone();
            shuffled.sort_by_key(|(object, fact)| {
                u64::from(u32::from_le_bytes(*fact)).wrapping_mul(seed | 1) ^ (*object as u64)
            });
            prop_assert_eq!(sum(&facts), sum(&shuffled));
        }

        #[test]
        fn one_difference_is_seen(count in 1_u128..60, at in any::<prop::sample::Index>(), kind in 0..3) {
            let user = guid(at.index(count as usize) as u128 + 1);
            let mut index = equal(count);
            match kind {
                0 => index.written(user, "other", Digest([9; 16])),
                1 => {
                    let enabled = index.is_active(user);
                    index.activated(user, !enabled);
                }
                _ => index.removed(user),
            }
            prop_assert!(!differing(&index).is_empty());
        }
    }
}
