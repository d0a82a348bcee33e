//! One object of the directory.
//!
//! Invariant: it has the permanent identifier and a well-formed name; without them an answer is
//! refused as a whole rather than an object left out.

use crate::attributes::Attributes;
use crate::dn::Dn;
use crate::guid::Guid;
use crate::sid::Sid;

/// What an object is, as far as a synchronisation cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person's or service's account, not that of a computer.
    User,
    /// A group, for security or mail.
    Group,
    /// An organizational unit.
    OrganizationalUnit,
    /// A plain container.
    Container,
    /// The top of a domain.
    Domain,
    /// Anything else: computers, contacts, policies.
    Other,
}

impl Kind {
    /// From the values of `objectClass`, which name the class and everything above it.
    #[must_use]
    pub fn from_classes<'a>(classes: impl Iterator<Item = &'a str>) -> Self {
        let mut kind = Self::Other;
        for class in classes {
            match class.to_ascii_lowercase().as_str() {
                // A computer is a user too, as are managed service accounts, which are computers.
                "computer" => return Self::Other,
                "user" => kind = Self::User,
                "group" => kind = Self::Group,
                "organizationalunit" => kind = Self::OrganizationalUnit,
                "container" | "builtindomain" => kind = Self::Container,
                "domain" | "domaindns" => kind = Self::Domain,
                _ => {}
            }
        }
        kind
    }
}

/// An object with the attributes that were asked for and that the account may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permanent identifier.
    pub guid: Guid,
    /// Present name. That of a deleted object is an artificial one in `CN=Deleted Objects`.
    pub dn: Dn,
    /// What it is; `None` in changes (DirSync sends the class once, when it is new to the reader).
    pub kind: Option<Kind>,
    /// Identifier of the object above it. In changes only when the object is new, renamed or moved.
    pub parent: Option<Guid>,
    /// Whether it has been deleted; only DirSync reports such objects.
    pub deleted: bool,
    /// Attributes as sent, with those of the fields above.
    pub attributes: Attributes,
}

/// A value of `member`: who belongs to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Permanent identifier of the member.
    pub guid: Guid,
    /// Its security identifier, when it has one.
    pub sid: Option<Sid>,
    /// Its name when the answer was made.
    pub dn: Dn,
}

/// Splits `<GUID=…>;<SID=…>;DN` (MS-ADTS 3.1.1.3.4.1.5); both parts are optional.
pub(crate) fn parse_extended_dn(text: &str) -> Option<(Option<Guid>, Option<Sid>, Dn)> {
    let (mut guid, mut sid, mut rest) = (None, None, text);
    while let Some(part) = rest.strip_prefix('<') {
        let (part, after) = part.split_once('>')?;
        if let Some(value) = part.strip_prefix("GUID=") {
            let parsed = value
                .parse()
                .ok()
                .or_else(|| Guid::from_directory_hex(value));
            guid = Some(parsed?);
        } else if let Some(value) = part.strip_prefix("SID=") {
            let bytes = || Sid::from_slice(&crate::guid::bytes_of_hex(value)?);
            sid = Some(Sid::parse(value).or_else(bytes)?);
        }
        rest = after.strip_prefix(';').unwrap_or(after);
    }
    Some((guid, sid, rest.parse().ok()?))
}

impl Member {
    /// From a value sent with the extended-DN control; `None` without an identifier.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (guid, sid, dn) = parse_extended_dn(std::str::from_utf8(value).ok()?)?;
        let guid = guid?;
        Some(Self { guid, sid, dn })
    }
}

impl Entry {
    /// From an answer; `None` when it has no identifier or a malformed name.
    pub(crate) fn from_answer(name: &str, attributes: Attributes) -> Option<Self> {
        let (extended, _, dn) = parse_extended_dn(name)?;
        let kind = attributes
            .has("objectClass")
            .then(|| Kind::from_classes(attributes.texts("objectClass")));
        Some(Self {
            guid: attributes.guid("objectGUID").or(extended)?,
            dn,
            kind,
            parent: attributes.guid("parentGUID"),
            deleted: attributes.boolean("isDeleted") == Some(true),
            attributes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let kind = |classes: &[&str]| Kind::from_classes(classes.iter().copied());
        let user = ["top", "person", "organizationalPerson", "user"];
        assert_eq!(kind(&user), Kind::User);
        assert_eq!(kind(&[&user[..], &["computer"]].concat()), Kind::Other);
        assert_eq!(kind(&["top", "group"]), Kind::Group);
        assert_eq!(
            kind(&["top", "organizationalUnit"]),
            Kind::OrganizationalUnit
        );
        assert_eq!(kind(&["top", "domain", "domainDNS"]), Kind::Domain);
        assert_eq!(kind(&["top", "contact"]), Kind::Other);
    }

    #[test]
    fn extended_names_in_both_forms() {
        let guid = "03020100-0504-0706-0809-0a0b0c0d0e0f";
        let text = format!("<GUID={guid}>;<SID=S-1-5-21-1-2-3-513>;CN=a\\,b,DC=x");
        let member = Member::parse(text.as_bytes()).unwrap();
        assert_eq!(member.guid.to_string(), guid);
        assert_eq!(member.sid.unwrap().rid(), Some(513));
        assert_eq!(member.dn.as_str(), "CN=a\\,b,DC=x");

        let hexadecimal = "<GUID=000102030405060708090a0b0c0d0e0f>;CN=a,DC=x";
        let member = Member::parse(hexadecimal.as_bytes()).unwrap();
        assert_eq!(member.guid.to_string(), guid);
        for wrong in ["CN=a,DC=x", "<GUID=1>;CN=a", "<GUID=000102", ""] {
            assert_eq!(Member::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
