//! Search filters as they arrive (RFC 4511 4.5.1.7), and whether an object fits (MS-ADTS
//! 3.1.1.3.1.3.1).
//!
//! Invariant: a filter that cannot be evaluated never matches (it is Undefined, and so is its
//! negation). Deliberately absent: approximate matches.

use std::fmt::{self, Display};

use super::ber::{self, Reader};
use super::object::{Guid, Object};

const DEPTH_MAX: u32 = 30;
/// LDAP_MATCHING_RULE_BIT_AND, MS-ADTS 3.1.1.3.4.4.1.
const BIT_AND: &str = "1.2.840.113556.1.4.803";
/// LDAP_MATCHING_RULE_BIT_OR, MS-ADTS 3.1.1.3.4.4.2.
const BIT_OR: &str = "1.2.840.113556.1.4.804";

/// A condition on objects; attribute names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The attribute has the value.
    Equal(String, Vec<u8>),
    /// A value has these parts in this order: first, somewhere, last.
    Parts(String, Vec<(u8, Vec<u8>)>),
    /// A number that is not lower.
    AtLeast(String, i64),
    /// A number that is not higher.
    AtMost(String, i64),
    /// The attribute has a value.
    Present(String),
    /// Bits of a number: all of them, or any.
    Bits(String, bool, i64),
    /// Something that is not understood here.
    Undefined,
}

impl Filter {
    /// Reads one filter.
    pub fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        parse(reader, 0)
    }

    /// Whether the object fits; `None` is Undefined.
    pub fn matches(&self, object: &Object) -> Option<bool> {
        match self {
            Self::And(list) => fold(list, object, false),
            Self::Or(list) => fold(list, object, true),
            Self::Not(inner) => inner.matches(object).map(|found| !found),
            Self::Equal(name, value) => {
                Some(object.values(name).iter().any(|v| equal(name, v, value)))
            }
            Self::Parts(name, parts) => Some(
                object
                    .values(name)
                    .iter()
                    .any(|value| has_parts(&value.to_ascii_lowercase(), parts)),
            ),
            Self::AtLeast(name, limit) => Some(numbers(object, name).any(|n| n >= *limit)),
            Self::AtMost(name, limit) => Some(numbers(object, name).any(|n| n <= *limit)),
            Self::Present(name) => Some(!object.values(name).is_empty()),
            Self::Bits(name, all, bits) => Some(numbers(object, name).any(|number| {
                if *all {
                    number & bits == *bits
                } else {
                    number & bits != 0
                }
            })),
            Self::Undefined => None,
        }
    }

    /// The only objects that can fit, where identifiers tell that.
    pub fn guids(&self) -> Option<Vec<Guid>> {
        match self {
            Self::Equal(name, value) if name == "objectguid" => {
                Some(value.as_slice().try_into().ok().into_iter().collect())
            }
            Self::Or(list) => {
                let each: Option<Vec<_>> = list.iter().map(Self::guids).collect();
                each.map(|each| each.into_iter().flatten().collect())
            }
            Self::And(list) => list.iter().find_map(Self::guids),
            _ => None,
        }
    }

    /// Whether only groups can fit.
    pub fn wants_groups(&self) -> bool {
        match self {
            Self::Equal(name, value) => {
                name == "objectclass" && value.eq_ignore_ascii_case(b"group")
            }
            Self::And(list) => list.iter().any(Self::wants_groups),
            _ => false,
        }
    }
}

fn fold(list: &[Filter], object: &Object, decisive: bool) -> Option<bool> {
    let mut all = Some(!decisive);
    for item in list {
        match item.matches(object) {
            Some(found) if found == decisive => return Some(decisive),
            Some(_) => {}
            None => all = None,
        }
    }
    all
}

fn numbers<'a>(object: &'a Object, name: &str) -> impl Iterator<Item = i64> + 'a {
    object
        .values(name)
        .into_iter()
        .filter_map(|value| std::str::from_utf8(&value).ok()?.parse().ok())
}

fn equal(name: &str, value: &[u8], wanted: &[u8]) -> bool {
    match name {
        "objectguid" | "parentguid" | "objectsid" => value == wanted,
        // MS-ADTS 3.1.1.3.1.3.1: the short name of a class stands for its DN.
        "objectcategory" => {
            let value = value.to_ascii_lowercase();
            let wanted = wanted.to_ascii_lowercase();
            value == wanted || value.starts_with(&[b"cn=", wanted.as_slice(), b","].concat())
        }
        _ => value.eq_ignore_ascii_case(wanted),
    }
}

fn has_parts(value: &[u8], parts: &[(u8, Vec<u8>)]) -> bool {
    let mut rest = value;
    for (place, part) in parts {
        let part = part.to_ascii_lowercase();
        let found = match place {
            0x80 => rest.starts_with(&part).then_some(part.len()),
            0x82 => return rest.ends_with(&part),
            _ if part.is_empty() => Some(0),
            _ => rest
                .windows(part.len())
                .position(|window| window == part)
                .map(|at| at + part.len()),
        };
        match found.and_then(|end| rest.get(end..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

fn parse(reader: &mut Reader<'_>, depth: u32) -> Option<Filter> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (tag, content) = reader.any()?;
    let mut inner = Reader(content);
    Some(match tag {
        0xa0 => Filter::And(parse_list(inner, depth)?),
        0xa1 => Filter::Or(parse_list(inner, depth)?),
        0xa2 => Filter::Not(Box::new(parse(&mut inner, depth + 1)?)),
        0xa3 => Filter::Equal(
            inner.text()?.to_ascii_lowercase(),
            inner.expect(ber::OCTETS)?.to_vec(),
        ),
        0xa4 => {
            let name = inner.text()?.to_ascii_lowercase();
            let mut list = Reader(inner.expect(ber::SEQUENCE)?);
            let mut parts = Vec::new();
            while list.peek().is_some() {
                let (place, part) = list.any()?;
                parts.push((place, part.to_vec()));
            }
            Filter::Parts(name, parts)
        }
        0xa5 | 0xa6 => {
            let name = inner.text()?.to_ascii_lowercase();
            match inner.text()?.parse() {
                Ok(number) if tag == 0xa5 => Filter::AtLeast(name, number),
                Ok(number) => Filter::AtMost(name, number),
                Err(_) => Filter::Undefined,
            }
        }
        0x87 => Filter::Present(
            String::from_utf8(content.to_vec())
                .ok()?
                .to_ascii_lowercase(),
        ),
        0xa9 => parse_extensible(inner)?,
        _ => Filter::Undefined,
    })
}

fn parse_list(mut list: Reader<'_>, depth: u32) -> Option<Vec<Filter>> {
    let mut filters = Vec::new();
    while list.peek().is_some() {
        filters.push(parse(&mut list, depth + 1)?);
    }
    Some(filters)
}

fn parse_extensible(mut inner: Reader<'_>) -> Option<Filter> {
    let (mut rule, mut name, mut value) = (String::new(), String::new(), String::new());
    while inner.peek().is_some() {
        let (tag, content) = inner.any()?;
        let text = String::from_utf8_lossy(content).into_owned();
        match tag {
            0x81 => rule = text,
            0x82 => name = text.to_ascii_lowercase(),
            0x83 => value = text,
            _ => {}
        }
    }
    Some(match (rule.as_str(), value.parse()) {
        (BIT_AND, Ok(bits)) => Filter::Bits(name, true, bits),
        (BIT_OR, Ok(bits)) => Filter::Bits(name, false, bits),
        _ => Filter::Undefined,
    })
}

/// The text form, for people who read what a client asked (RFC 4515 without its escapes).
impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, sign: &str, list: &[Self]| {
            write!(f, "({sign}")?;
            list.iter().try_for_each(|item| item.fmt(f))?;
            f.write_str(")")
        };
        match self {
            Self::And(all) => list(f, "&", all),
            Self::Or(all) => list(f, "|", all),
            Self::Not(inner) => write!(f, "(!{inner})"),
            Self::Equal(name, value) => write!(f, "({name}={})", String::from_utf8_lossy(value)),
            Self::Parts(name, _) => write!(f, "({name}=*…*)"),
            Self::AtLeast(name, limit) => write!(f, "({name}>={limit})"),
            Self::AtMost(name, limit) => write!(f, "({name}<={limit})"),
            Self::Present(name) => write!(f, "({name}=*)"),
            Self::Bits(name, true, bits) => write!(f, "({name}:{BIT_AND}:={bits})"),
            Self::Bits(name, false, bits) => write!(f, "({name}:{BIT_OR}:={bits})"),
            Self::Undefined => f.write_str("(?)"),
        }
    }
}
