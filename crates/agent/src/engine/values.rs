//! The values of one user or group as the hub should have them, and their digest.
//!
//! Invariant: two values are equal exactly when their digests are; an absent field and an empty
//! one are the same, as on the wire.

use std::fmt;

use rollcall_kit::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};

use super::packed;

const DIGEST_BYTES: usize = 16;
/// Room for the fields of one user while they are put together.
const FIELD_BYTES_USUAL: usize = 512;

/// A fingerprint of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

/// A user field of the hub that can be mapped (SynchronizationSettings, UserTargetAttribute).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserTarget {
    /// full_name
    FullName = 1,
    /// given_name
    GivenName = 2,
    /// family_name
    FamilyName = 3,
    /// email
    Email = 4,
    /// phone_number
    PhoneNumber = 5,
    /// username
    Username = 6,
    /// company_name
    CompanyName = 7,
    /// job_title
    JobTitle = 8,
    /// department
    Department = 9,
    /// employee_id
    EmployeeId = 10,
}

impl UserTarget {
    /// All targets, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::FullName,
        Self::GivenName,
        Self::FamilyName,
        Self::Email,
        Self::PhoneNumber,
        Self::Username,
        Self::CompanyName,
        Self::JobTitle,
        Self::Department,
        Self::EmployeeId,
    ];

    /// The name in the agent's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FullName => "FullName",
            Self::GivenName => "GivenName",
            Self::FamilyName => "FamilyName",
            Self::Email => "Email",
            Self::PhoneNumber => "PhoneNumber",
            Self::Username => "Username",
            Self::CompanyName => "CompanyName",
            Self::JobTitle => "JobTitle",
            Self::Department => "Department",
            Self::EmployeeId => "EmployeeId",
        }
    }

    /// The field of the hub's user, as an update mask names it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::FullName => "full_name",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::Email => "email",
            Self::PhoneNumber => "phone_number",
            Self::Username => "username",
            Self::CompanyName => "company_name",
            Self::JobTitle => "job_title",
            Self::Department => "department",
            Self::EmployeeId => "employee_id",
        }
    }

    /// The target with this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|target| *target as i32 == number)
    }
}

/// A group field of the hub that can be mapped (GroupTargetAttribute).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupTarget {
    /// name
    Name = 1,
    /// description
    Description = 2,
}

impl GroupTarget {
    /// All targets, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Name, Self::Description];

    /// The name in the agent's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::Description => "Description",
        }
    }

    /// The target with this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|target| *target as i32 == number)
    }
}

/// The mapped values of a user. Only fields with a value are kept, sorted by target.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UserValues {
    fields: Box<[u8]>,
    /// When the account ends.
    pub expires_at: Option<Timestamp>,
}

impl UserValues {
    /// Values from pairs in any order; empty texts are left out.
    #[must_use]
    pub fn new<T: AsRef<str>>(
        fields: impl IntoIterator<Item = (UserTarget, T)>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let mut fields: Vec<_> = fields
            .into_iter()
            .filter(|(_, value)| !value.as_ref().is_empty())
            .collect();
        fields.sort_by_key(|(target, _)| *target);
        let mut bytes = Vec::with_capacity(FIELD_BYTES_USUAL);
        for (target, value) in &fields {
            packed::put(&mut bytes, *target as u8, value.as_ref().as_bytes());
        }
        Self {
            fields: bytes.as_slice().into(),
            expires_at,
        }
    }

    /// One field; empty when it has no value.
    #[must_use]
    pub fn get(&self, target: UserTarget) -> &str {
        self.fields()
            .find(|(at, _)| *at == target)
            .map_or("", |(_, value)| value)
    }

    /// The fields that have a value.
    pub fn fields(&self) -> impl Iterator<Item = (UserTarget, &str)> {
        packed::values(&self.fields).filter_map(|(tag, value)| {
            let target = UserTarget::from_number(i32::from(tag))?;
            Some((target, packed::text(value)))
        })
    }

    /// The fingerprint.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for (target, value) in packed::values(&self.fields) {
            hash.update([target]);
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        if let Some(at) = self.expires_at {
            hash.update([u8::MAX]);
            hash.update(at.as_micros().to_le_bytes());
        }
        cut(&hash.finalize())
    }
}

impl fmt::Debug for UserValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.fields())
            .entry(&"expires_at", &self.expires_at)
            .finish()
    }
}

/// The mapped values of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupValues {
    /// The name; always mapped.
    pub name: String,
    /// The description; `None` when it is not synchronized.
    pub description: Option<String>,
}

impl GroupValues {
    /// The fingerprint.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update((self.name.len() as u64).to_le_bytes());
        hash.update(&self.name);
        if let Some(description) = &self.description {
            hash.update([1]);
            hash.update(description);
        }
        cut(&hash.finalize())
    }
}

fn cut(hash: &[u8]) -> Digest {
    let mut digest = Digest::default();
    for (to, from) in digest.0.iter_mut().zip(hash) {
        *to = *from;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_empty_fields_do_not_matter() {
        let a = UserValues::new(
            [
                (UserTarget::Username, "a@b".to_owned()),
                (UserTarget::FullName, "A".to_owned()),
                (UserTarget::Email, String::new()),
            ],
            None,
        );
        let b = UserValues::new(
            [
                (UserTarget::FullName, "A".to_owned()),
                (UserTarget::Username, "a@b".to_owned()),
            ],
            None,
        );
        assert_eq!(a.digest(), b.digest());
        assert_eq!(a.get(UserTarget::Email), "");
    }

    #[test]
    fn every_part_counts() {
        let base = UserValues::new([(UserTarget::FullName, "ab".to_owned())], None);
        let moved = UserValues::new([(UserTarget::GivenName, "ab".to_owned())], None);
        let expiring = UserValues::new(
            [(UserTarget::FullName, "ab".to_owned())],
            Some(Timestamp::EPOCH),
        );
        assert_ne!(base.digest(), moved.digest());
        assert_ne!(base.digest(), expiring.digest());
        let named = GroupValues {
            name: "ab".into(),
            description: None,
        };
        let described = GroupValues {
            name: "ab".into(),
            description: Some(String::new()),
        };
        assert_ne!(named.digest(), described.digest());
    }
}
