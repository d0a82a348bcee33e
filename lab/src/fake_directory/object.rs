//! One object: its attributes with the update sequence number each was last changed at (MS-ADTS
//! 3.1.1.1.9), and its links with theirs (linked values replicate one by one, MS-ADTS 3.1.1.1.16).
//!
//! Invariant: an attribute that lost its last value stays as a stamp without values, because its
//! removal is a change like any other. Deliberately absent: a schema; any attribute is allowed.

use std::collections::BTreeMap;

/// A unit, user, group or anything else of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(super) u64);

/// objectGUID as it is on the wire.
pub type Guid = [u8; 16];

/// Spreads numbers over all identifiers; odd, so that it can be undone.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// `SPREAD * UNSPREAD == 1` modulo 2^64.
const UNSPREAD: u64 = 0xf1de_83e1_9937_733d;
const GUID_TAIL: [u8; 8] = [0x91, 0x4c, 0xb2, 0x07, 0x5e, 0xd8, 0x3a, 0x66];
/// The domain's part of security identifiers.
const DOMAIN_SID: [u32; 4] = [21, 1_004_336_348, 1_177_238_915, 682_003_330];
/// Relative identifiers below belong to what every domain has (MS-DTYP 2.4.2.4).
const FIRST_RID: u32 = 1_000;

impl ObjectId {
    /// objectGUID.
    #[must_use]
    pub fn guid(self) -> Guid {
        let mut bytes = [0; 16];
        let (head, tail) = bytes.split_at_mut(8);
        head.copy_from_slice(&self.0.wrapping_mul(SPREAD).to_le_bytes());
        tail.copy_from_slice(&GUID_TAIL);
        bytes
    }

    /// The object that has this objectGUID, if any has.
    #[must_use]
    pub fn from_guid(guid: &Guid) -> Option<Self> {
        let (head, tail) = guid.split_at(8);
        let head: [u8; 8] = head.try_into().ok()?;
        (tail == GUID_TAIL).then(|| Self(u64::from_le_bytes(head).wrapping_mul(UNSPREAD)))
    }

    /// The text form of objectGUID, which the hub has as external id (MS-DTYP 2.3.4.3).
    #[must_use]
    pub fn guid_text(self) -> String {
        guid_text(&self.guid())
    }

    /// The last part of objectSid.
    #[must_use]
    pub fn rid(self) -> u32 {
        FIRST_RID.wrapping_add(self.0 as u32)
    }

    /// objectSid (MS-DTYP 2.4.2.2).
    pub(super) fn sid(self) -> Vec<u8> {
        let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 5];
        for part in DOMAIN_SID.into_iter().chain([self.rid()]) {
            bytes.extend(part.to_le_bytes());
        }
        bytes
    }

    /// The text form of objectSid.
    pub(super) fn sid_text(self) -> String {
        let parts: Vec<String> = DOMAIN_SID.iter().map(u32::to_string).collect();
        format!("S-1-5-{}-{}", parts.join("-"), self.rid())
    }
}

/// The first three parts have their low byte first.
pub(super) fn guid_text(guid: &Guid) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let mut text = format!("{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-");
    for (place, byte) in rest.iter().enumerate() {
        if place == 2 {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The values of an attribute, and when they last changed.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    /// The name with its capitals.
    pub name: String,
    /// Empty when they were removed.
    pub values: Vec<Vec<u8>>,
    /// When.
    pub usn: u64,
}

/// A value of `member`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Whether it is there, or was taken away.
    pub present: bool,
    /// When that happened.
    pub usn: u64,
}

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) id: ObjectId,
    pub(super) parent: Option<ObjectId>,
    /// The attribute of its relative name: `CN`, `OU`, `DC`.
    pub(super) naming: &'static str,
    /// By name in lower case.
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) members: BTreeMap<ObjectId, Link>,
    pub(super) usn_created: u64,
    pub(super) usn_changed: u64,
    pub(super) deleted: bool,
}

impl Object {
    /// The relative name.
    #[must_use]
    pub fn name(&self) -> String {
        self.text("name")
    }

    /// The first value of an attribute as text; empty without one.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let found = self.attributes.get(&name.to_ascii_lowercase());
        let value = found.and_then(|attribute| attribute.values.first());
        value.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value).into_owned()
        })
    }

    /// Whether it is of this class or one below.
    pub(super) fn has_class(&self, class: &str) -> bool {
        let classes = self.attributes.get("objectclass");
        classes.is_some_and(|found| {
            found
                .values
                .iter()
                .any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
        })
    }

    pub(super) fn put(&mut self, name: &str, values: Vec<Vec<u8>>, usn: u64) {
        let attribute = Attribute {
            name: name.to_owned(),
            values,
            usn,
        };
        self.attributes.insert(name.to_ascii_lowercase(), attribute);
    }

    /// The values of an attribute; `name` is in lower case. Links have their own way.
    pub(super) fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let number = |number: u64| vec![number.to_string().into_bytes()];
        match name {
            "objectguid" => vec![self.id.guid().to_vec()],
            // MS-ADTS 3.1.1.4.5.11: constructed from the parent.
            "parentguid" => self
                .parent
                .map(|id| id.guid().to_vec())
                .into_iter()
                .collect(),
            "usnchanged" => number(self.usn_changed),
            "usncreated" => number(self.usn_created),
            _ => {
                let own = name.eq_ignore_ascii_case(self.naming);
                let name = if own { "name" } else { name };
                self.attributes
                    .get(name)
                    .map(|attribute| attribute.values.clone())
                    .unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_lead_back_to_their_object() {
        for number in [1, 2, 77, 1 << 40, (1 << 40) + 999_999] {
            let id = ObjectId(number);
            assert_eq!(ObjectId::from_guid(&id.guid()), Some(id));
        }
        assert_eq!(ObjectId::from_guid(&[0; 16]), None);
        let bytes = std::array::from_fn(|at| at as u8);
        assert_eq!(guid_text(&bytes), "03020100-0504-0706-0809-0a0b0c0d0e0f");
    }
}
