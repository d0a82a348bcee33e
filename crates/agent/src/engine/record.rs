//! One object as the index keeps it: small, because there may be a million of them (AT-19).
//!
//! Invariant: what is taken out is what was put in, except that of the distinguished name only
//! the relative part is kept: the parents tell the rest, and theirs is the present one.
//! Deliberately absent: the links between records, which are the index's matter.

use std::num::NonZeroU32;

use rollcall_kit::timestamp::Timestamp;

use super::Guid;
use super::hub_id::HubId;
use super::packed;
use super::values::{Digest, GroupTarget, GroupValues, UserTarget, UserValues};

/// Tags beside the numbers of the targets.
const NAME: u8 = 100;
const EXPIRES_AT: u8 = 101;
const REASON: u8 = 102;
/// Room for the texts of one object while they are put together.
const TEXT_BYTES_USUAL: usize = 512;

/// Whether the directory still shows an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was read.
    Seen,
    /// A tombstone was reported.
    Deleted,
    /// The hub has it, the directory neither shows it nor reported its deletion.
    Missing,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user.
    User,
    /// A group.
    Group,
    /// Something others may lie in.
    Container,
}

/// The part of an object that depends on what it is, taken out of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A user and its values, or why it cannot be one.
    User {
        /// Mapped values or the reason why there are none.
        values: Result<UserValues, &'a str>,
        /// False when the account is disabled in the directory.
        enabled: bool,
        /// primaryGroupID.
        primary_group_rid: Option<u32>,
    },
    /// A group and its values, or why it cannot be one.
    Group {
        /// Mapped values or the reason why there are none.
        values: Result<GroupValues, &'a str>,
        /// Direct members of any kind.
        members: &'a [Guid],
        /// Last part of objectSid.
        rid: Option<u32>,
    },
    /// Something others may lie in.
    Container,
}

/// What the hub has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSide {
    /// Its id in the hub.
    pub id: HubId,
    /// Fingerprint of its values there.
    pub digest: Digest,
    /// Users: whether the agent left it active; `None` when the listing does not tell who
    /// suspended it.
    pub enabled: Option<bool>,
}

/// Where an object is and whether it is there.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// parentGUID.
    pub parent: Option<Guid>,
    /// The distinguished name, or its relative part.
    pub dn: &'a str,
    /// isCriticalSystemObject.
    pub critical: bool,
    /// Whether the directory shows it.
    pub presence: Presence,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the hub has; `None` when it has nothing.
    pub hub: Option<HubSide>,
    /// parentGUID.
    pub parent: Option<Guid>,
    /// isCriticalSystemObject.
    pub critical: bool,
    /// Whether the directory shows it.
    pub presence: Presence,
    /// Users: whether the password has to be changed at the next sign-in. It counts only when the
    /// user is made; after that it is the matter of the account state stream.
    pub must_change_password: bool,
    kind: Kind,
    enabled: bool,
    /// Of a group its own, of a user that of its primary group. 0 is no rid of an account.
    rid: Option<NonZeroU32>,
    /// Name and values, see [`packed`]; the name first, because others are a part of it.
    texts: Box<[u8]>,
    /// Of groups only.
    links: Option<Box<Links>>,
}

/// The members of a group, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Links {
    directory: Box<[Guid]>,
    hub: Vec<Guid>,
}

impl Record {
    /// A container.
    #[must_use]
    pub fn container(place: Place<'_>) -> Self {
        Self::new(place, Kind::Container, &named(place))
    }

    /// A user.
    #[must_use]
    pub fn user(
        place: Place<'_>,
        values: Result<&UserValues, &str>,
        enabled: bool,
        primary_group_rid: Option<u32>,
    ) -> Self {
        let mut texts = named(place);
        match values {
            Ok(values) => {
                for (target, value) in values.fields() {
                    packed::put(&mut texts, target as u8, value.as_bytes());
                }
                if let Some(at) = values.expires_at {
                    packed::put(&mut texts, EXPIRES_AT, &at.as_micros().to_le_bytes());
                }
            }
            Err(reason) => packed::put(&mut texts, REASON, reason.as_bytes()),
        }
        Self {
            enabled,
            rid: primary_group_rid.and_then(NonZeroU32::new),
            ..Self::new(place, Kind::User, &texts)
        }
    }

    /// A group; `members` in any order.
    #[must_use]
    pub fn group(
        place: Place<'_>,
        values: Result<&GroupValues, &str>,
        members: &[Guid],
        rid: Option<u32>,
    ) -> Self {
        let mut texts = named(place);
        match values {
            Ok(values) => {
                let mut put = |target: GroupTarget, text: &str| {
                    packed::put(&mut texts, target as u8, text.as_bytes());
                };
                put(GroupTarget::Name, &values.name);
                if let Some(description) = &values.description {
                    put(GroupTarget::Description, description);
                }
            }
            Err(reason) => packed::put(&mut texts, REASON, reason.as_bytes()),
        }
        let mut directory = members.to_vec();
        directory.sort_unstable();
        directory.dedup();
        let links = Links {
            directory: directory.into(),
            hub: Vec::new(),
        };
        Self {
            rid: rid.and_then(NonZeroU32::new),
            links: Some(Box::new(links)),
            ..Self::new(place, Kind::Group, &texts)
        }
    }

    fn new(place: Place<'_>, kind: Kind, texts: &[u8]) -> Self {
        Self {
            hub: None,
            parent: place.parent,
            critical: place.critical,
            presence: place.presence,
            must_change_password: false,
            kind,
            enabled: true,
            rid: None,
            texts: texts.into(),
            links: None,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The part that depends on what it is. It makes a copy of the values: where only the kind or
    /// the members matter, [`Self::kind`] and [`Self::members`] are cheaper.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        let rid = self.rid.map(NonZeroU32::get);
        match self.kind {
            Kind::User => Body::User {
                values: self.reason().map_or_else(|| Ok(self.user_values()), Err),
                enabled: self.enabled,
                primary_group_rid: rid,
            },
            Kind::Group => Body::Group {
                values: self.reason().map_or_else(|| Ok(self.group_values()), Err),
                members: self.members(),
                rid,
            },
            Kind::Container => Body::Container,
        }
    }

    /// Whether a user may sign in, as far as the directory says.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The relative name; of a root the whole one. Empty when the directory never showed it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text(NAME).map_or("", packed::text)
    }

    /// Why it cannot be synchronized.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.text(REASON).map(packed::text)
    }

    /// The rid of a group, or of a user's primary group.
    #[must_use]
    pub fn rid(&self) -> Option<u32> {
        self.rid.map(NonZeroU32::get)
    }

    /// Direct members of a group in the directory, sorted; of anything else none.
    #[must_use]
    pub fn members(&self) -> &[Guid] {
        self.links.as_ref().map_or(&[], |links| &links.directory)
    }

    /// Members the hub was told of, sorted; some of them may have left it since.
    #[must_use]
    pub fn told_members(&self) -> &[Guid] {
        self.links.as_ref().map_or(&[], |links| &links.hub)
    }

    /// Takes members out of those the hub was told of; tells whether there were any.
    pub(super) fn retain_told(&mut self, keep: impl FnMut(&Guid) -> bool) -> bool {
        let Some(links) = &mut self.links else {
            return false;
        };
        let before = links.hub.len();
        links.hub.retain(keep);
        links.hub.len() != before
    }

    /// Adds members that the hub was told of.
    pub fn tell(&mut self, members: impl IntoIterator<Item = Guid>) {
        let links = self.links.get_or_insert_default();
        links.hub.extend(members);
        // Two sorted runs: the stable sort merges them.
        links.hub.sort();
        links.hub.dedup();
    }

    /// Puts the hub's side of another record of the same object in place of this one's.
    pub(super) fn take_hub_of(&mut self, other: Self) {
        self.hub = other.hub;
        if let Some(links) = other.links
            && !links.hub.is_empty()
        {
            self.links.get_or_insert_default().hub = links.hub;
        }
    }

    fn text(&self, tag: u8) -> Option<&[u8]> {
        packed::values(&self.texts)
            .find(|(at, _)| *at == tag)
            .map(|(_, value)| value)
    }

    fn user_values(&self) -> UserValues {
        let mut expires_at = None;
        let fields = packed::values(&self.texts).filter_map(|(tag, value)| {
            if tag == EXPIRES_AT {
                expires_at = value.try_into().ok().map(i64::from_le_bytes);
            }
            let target = UserTarget::from_number(i32::from(tag))?;
            Some((target, packed::text(value)))
        });
        let mut values = UserValues::new(fields, None);
        values.expires_at = expires_at.map(Timestamp::from_micros);
        values
    }

    fn group_values(&self) -> GroupValues {
        let text = |target: GroupTarget| self.text(target as u8).map(packed::text);
        GroupValues {
            name: text(GroupTarget::Name).unwrap_or_default().to_owned(),
            description: text(GroupTarget::Description).map(str::to_owned),
        }
    }
}

/// The beginning of the texts of an object: its name.
fn named(place: Place<'_>) -> Vec<u8> {
    let name = match place.parent {
        Some(_) => relative(place.dn),
        None => place.dn,
    };
    let mut texts = Vec::with_capacity(TEXT_BYTES_USUAL);
    if !name.is_empty() {
        packed::put(&mut texts, NAME, name.as_bytes());
    }
    texts
}

/// The part of a distinguished name before the first comma that is not escaped (RFC 4514 2.4).
fn relative(dn: &str) -> &str {
    let mut escaped = false;
    for (at, character) in dn.char_indices() {
        match character {
            ',' if !escaped => return dn.get(..at).unwrap_or(dn),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    dn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_end_at_the_first_plain_comma() {
        for (dn, expected) in [
            ("CN=a,DC=x", "CN=a"),
            ("CN=a\\,b,DC=x", "CN=a\\,b"),
            ("CN=a\\\\,DC=x", "CN=a\\\\"),
            ("CN=a", "CN=a"),
            ("", ""),
        ] {
            assert_eq!(relative(dn), expected);
        }
    }

    #[test]
    fn a_record_is_small() {
        // A million of them: with its allocation a record has 112 bytes beside its texts.
        assert_eq!(size_of::<Record>(), 104);
    }
}
