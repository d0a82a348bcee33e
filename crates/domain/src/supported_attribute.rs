//! Which directory attributes can feed which field (decision U46).
//!
//! Invariant: the first source of a target is its default. Deliberately absent: anything that
//! depends on a particular directory; the table is fixed.

use crate::named::{Named, named_enum};

named_enum! {
    /// Fields of a user that a mapping can fill.
    pub enum UserTarget {
        /// Display name.
        FullName = "FULL_NAME",
        /// First name.
        GivenName = "GIVEN_NAME",
        /// Family name.
        FamilyName = "FAMILY_NAME",
        /// E-mail address.
        Email = "EMAIL",
        /// Phone number.
        PhoneNumber = "PHONE_NUMBER",
        /// Login.
        Username = "USERNAME",
        /// Company.
        CompanyName = "COMPANY_NAME",
        /// Position.
        JobTitle = "JOB_TITLE",
        /// Department.
        Department = "DEPARTMENT",
        /// Personnel number.
        EmployeeId = "EMPLOYEE_ID",
    }
}

named_enum! {
    /// Fields of a group that a mapping can fill.
    pub enum GroupTarget {
        /// Name.
        Name = "NAME",
        /// Free text.
        Description = "DESCRIPTION",
    }
}

named_enum! {
    /// Kinds of mappings.
    pub enum MappingKind {
        /// From one of the supported sources.
        Direct = "DIRECT",
        /// The field is not synchronized.
        Empty = "EMPTY",
        /// From any attribute of the directory.
        DirectArbitraryAttribute = "DIRECT_ARBITRARY_ATTRIBUTE",
    }
}

named_enum! {
    /// Families of directories.
    pub enum DirectoryFlavor {
        /// Active Directory.
        ActiveDirectory = "ACTIVE_DIRECTORY",
        /// Any other LDAP directory, by the common schema of RFC 4519 and RFC 2798.
        GenericLdap = "GENERIC_LDAP",
    }
}

/// A field that mappings fill.
pub trait MappingTarget: Named {
    /// The supported sources, the default one first.
    fn sources(self, flavor: DirectoryFlavor) -> &'static [&'static str];

    /// Whether the object cannot be made without this field (decision U45).
    fn is_required(self) -> bool;

    /// The kinds of mappings that this field accepts.
    fn kinds(self) -> &'static [MappingKind] {
        if self.is_required() {
            &[MappingKind::Direct, MappingKind::DirectArbitraryAttribute]
        } else {
            &[
                MappingKind::Direct,
                MappingKind::Empty,
                MappingKind::DirectArbitraryAttribute,
            ]
        }
    }

    /// Whether `source` is supported; attribute names do not distinguish case (RFC 4512 2.5).
    fn supports(self, flavor: DirectoryFlavor, source: &str) -> bool {
        self.sources(flavor)
            .iter()
            .any(|known| known.eq_ignore_ascii_case(source))
    }
}

impl MappingTarget for UserTarget {
    fn sources(self, flavor: DirectoryFlavor) -> &'static [&'static str] {
        match flavor {
            DirectoryFlavor::ActiveDirectory => match self {
                Self::FullName => &["displayName", "cn", "name"],
                Self::GivenName => &["givenName"],
                Self::FamilyName => &["sn"],
                Self::Email => &["mail", "userPrincipalName"],
                Self::PhoneNumber => &["telephoneNumber", "mobile", "homePhone", "ipPhone"],
                Self::Username => &["userPrincipalName", "mail", "sAMAccountName"],
                Self::CompanyName => &["company"],
                Self::JobTitle => &["title"],
                Self::Department => &["department"],
                Self::EmployeeId => &["employeeID", "employeeNumber", "objectSid"],
            },
            DirectoryFlavor::GenericLdap => match self {
                Self::FullName => &["cn", "displayName"],
                Self::GivenName => &["givenName"],
                Self::FamilyName => &["sn"],
                Self::Email => &["mail"],
                Self::PhoneNumber => &["telephoneNumber", "mobile", "homePhone"],
                Self::Username => &["uid", "mail"],
                Self::CompanyName => &["o"],
                Self::JobTitle => &["title"],
                Self::Department => &["departmentNumber", "ou"],
                Self::EmployeeId => &["employeeNumber"],
            },
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Username | Self::FullName)
    }
}

impl MappingTarget for GroupTarget {
    fn sources(self, flavor: DirectoryFlavor) -> &'static [&'static str] {
        match (flavor, self) {
            (DirectoryFlavor::ActiveDirectory, Self::Name) => {
                &["name", "cn", "sAMAccountName", "displayName"]
            }
            (DirectoryFlavor::ActiveDirectory, Self::Description) => &["description", "info"],
            (DirectoryFlavor::GenericLdap, Self::Name) => &["cn"],
            (DirectoryFlavor::GenericLdap, Self::Description) => &["description"],
        }
    }

    fn is_required(self) -> bool {
        self == Self::Name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: MappingTarget + std::fmt::Debug>() {
        for flavor in DirectoryFlavor::ALL {
            for target in T::ALL {
                let sources = target.sources(*flavor);
                assert!(!sources.is_empty(), "{target:?} has no source in {flavor}");
                assert!(
                    sources
                        .iter()
                        .all(|source| target.supports(*flavor, source))
                );
                assert_eq!(
                    target.kinds().contains(&MappingKind::Empty),
                    !target.is_required(),
                    "{target:?}"
                );
            }
        }
    }

    #[test]
    fn every_target_has_a_source_in_every_flavor() {
        check::<UserTarget>();
        check::<GroupTarget>();
    }

    #[test]
    fn names_of_attributes_do_not_distinguish_case() {
        assert!(UserTarget::Email.supports(DirectoryFlavor::ActiveDirectory, "MAIL"));
        assert!(!UserTarget::Email.supports(DirectoryFlavor::ActiveDirectory, "cn"));
    }
}
