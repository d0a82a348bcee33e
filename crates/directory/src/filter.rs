//! Search filters: their text form (RFC 4515) and what is sent (RFC 4511 4.5.1.7).
//!
//! Invariant: values are bytes, so that `objectGUID` can be searched for; text that reaches a
//! filter through the constructors can never change its structure.

use std::str::FromStr;

use crate::ber::{self, Writer};
use crate::guid::{Guid, bytes_of_hex};

/// Deeper filters are refused; parsing recurses.
const DEPTH_MAX: u32 = 30;
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A condition on objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them hold.
    And(Vec<Self>),
    /// One of them holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The attribute has the value.
    Equal(String, Vec<u8>),
    /// The attribute has a value with these parts in this order.
    Substrings {
        /// The attribute.
        attribute: String,
        /// Start of the value.
        initial: Option<Vec<u8>>,
        /// Parts in between.
        any: Vec<Vec<u8>>,
        /// End of the value.
        last: Option<Vec<u8>>,
    },
    /// The attribute has a value that is not lower.
    GreaterOrEqual(String, Vec<u8>),
    /// The attribute has a value that is not higher.
    LessOrEqual(String, Vec<u8>),
    /// The attribute has a value.
    Present(String),
    /// The attribute has about this value.
    Approximate(String, Vec<u8>),
    /// The attribute matches by a rule, such as Active Directory's chain of memberships.
    Extensible {
        /// The rule, by OID.
        rule: Option<String>,
        /// The attribute.
        attribute: Option<String>,
        /// What to match.
        value: Vec<u8>,
        /// Whether the parts of the name count as attributes.
        dn_attributes: bool,
    },
}

impl Filter {
    /// The attribute has this value; nothing has to be escaped.
    #[must_use]
    pub fn equal(attribute: &str, value: impl AsRef<[u8]>) -> Self {
        Self::Equal(attribute.to_owned(), value.as_ref().to_vec())
    }

    /// Every object.
    #[must_use]
    pub fn any_object() -> Self {
        Self::Present("objectClass".to_owned())
    }

    /// The object with this identifier.
    #[must_use]
    pub fn guid(guid: &Guid) -> Self {
        Self::equal("objectGUID", guid.as_bytes())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::And(list) => out.nested(0xa0, |out| list.iter().for_each(|item| item.write(out))),
            Self::Or(list) => out.nested(0xa1, |out| list.iter().for_each(|item| item.write(out))),
            Self::Not(inner) => out.nested(0xa2, |out| inner.write(out)),
            Self::Equal(attribute, value) => assertion(out, 0xa3, attribute, value),
            Self::Substrings {
                attribute,
                initial,
                any,
                last,
            } => out.nested(0xa4, |out| {
                out.text(attribute);
                out.nested(ber::SEQUENCE, |out| {
                    initial.iter().for_each(|part| out.element(0x80, part));
                    any.iter().for_each(|part| out.element(0x81, part));
                    last.iter().for_each(|part| out.element(0x82, part));
                });
            }),
            Self::GreaterOrEqual(attribute, value) => assertion(out, 0xa5, attribute, value),
            Self::LessOrEqual(attribute, value) => assertion(out, 0xa6, attribute, value),
            Self::Present(attribute) => out.element(0x87, attribute.as_bytes()),
            Self::Approximate(attribute, value) => assertion(out, 0xa8, attribute, value),
            Self::Extensible {
                rule,
                attribute,
                value,
                dn_attributes,
            } => out.nested(0xa9, |out| {
                rule.iter()
                    .for_each(|rule| out.element(0x81, rule.as_bytes()));
                attribute
                    .iter()
                    .for_each(|name| out.element(0x82, name.as_bytes()));
                out.element(0x83, value);
                if *dn_attributes {
                    out.boolean(0x84, true);
                }
            }),
        }
    }
}

fn assertion(out: &mut Writer, tag: u8, attribute: &str, value: &[u8]) {
    out.nested(tag, |out| {
        out.text(attribute);
        out.element(ber::OCTET_STRING, value);
    });
}

/// The text is not a search filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a search filter: {why} at {rest:?}")]
pub struct InvalidFilter {
    why: &'static str,
    rest: String,
}

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        let invalid = |(why, rest): (&'static str, &str)| InvalidFilter {
            why,
            rest: rest.chars().take(60).collect(),
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid(("it is too long", text)));
        }
        let (filter, rest) = parse(text.trim(), DEPTH_MAX).map_err(invalid)?;
        if rest.is_empty() {
            Ok(filter)
        } else {
            Err(invalid(("more follows", rest)))
        }
    }
}

type Parsed<'a, T> = Result<(T, &'a str), (&'static str, &'a str)>;

fn parse(text: &str, depth: u32) -> Parsed<'_, Filter> {
    let depth = depth.checked_sub(1).ok_or(("it is too deep", text))?;
    let inner = text
        .strip_prefix('(')
        .ok_or(("an opening bracket is missing", text))?;
    let (filter, rest) = match inner.chars().next() {
        Some('&') => list(inner, depth).map(|(list, rest)| (Filter::And(list), rest))?,
        Some('|') => list(inner, depth).map(|(list, rest)| (Filter::Or(list), rest))?,
        Some('!') => {
            let (filter, rest) = parse(inner.get(1..).unwrap_or_default().trim_start(), depth)?;
            (Filter::Not(Box::new(filter)), rest)
        }
        _ => {
            let end = inner
                .find(['(', ')'])
                .ok_or(("a closing bracket is missing", text))?;
            let (item, rest) = inner.split_at(end);
            (parse_item(item).map_err(|why| (why, item))?, rest)
        }
    };
    let rest = rest.trim_start();
    let rest = rest
        .strip_prefix(')')
        .ok_or(("a closing bracket is missing", rest))?;
    Ok((filter, rest))
}

fn list(text: &str, depth: u32) -> Parsed<'_, Vec<Filter>> {
    let mut rest = text.get(1..).unwrap_or_default().trim_start();
    let mut list = Vec::new();
    while rest.starts_with('(') {
        let (filter, after) = parse(rest, depth)?;
        list.push(filter);
        rest = after.trim_start();
    }
    if list.is_empty() {
        Err(("a list is empty", text))
    } else {
        Ok((list, rest))
    }
}

fn parse_item(item: &str) -> Result<Filter, &'static str> {
    let (left, right) = item.split_once('=').ok_or("there is no =")?;
    if let Some(left) = left.strip_suffix(':') {
        return parse_extensible(left, right);
    }
    let operators = [
        ('>', Filter::GreaterOrEqual as fn(String, Vec<u8>) -> Filter),
        ('<', Filter::LessOrEqual),
        ('~', Filter::Approximate),
    ];
    for (operator, make) in operators {
        if let Some(attribute) = left.strip_suffix(operator) {
            return Ok(make(parse_attribute(attribute)?, parse_value(right)?));
        }
    }
    let attribute = parse_attribute(left)?;
    if right == "*" {
        return Ok(Filter::Present(attribute));
    }
    let parts: Vec<&str> = right.split('*').collect();
    let [initial, any @ .., last] = parts.as_slice() else {
        return Ok(Filter::Equal(attribute, parse_value(right)?));
    };
    let edge = |part: &str| match part {
        "" => Ok(None),
        part => parse_value(part).map(Some),
    };
    let any = any.iter().filter(|part| !part.is_empty());
    Ok(Filter::Substrings {
        attribute,
        initial: edge(initial)?,
        any: any
            .map(|part| parse_value(part))
            .collect::<Result<_, _>>()?,
        last: edge(last)?,
    })
}

fn parse_extensible(left: &str, right: &str) -> Result<Filter, &'static str> {
    let mut parts = left.split(':');
    let attribute = match parts.next().unwrap_or_default() {
        "" => None,
        name => Some(parse_attribute(name)?),
    };
    let (mut rule, mut dn_attributes) = (None, false);
    for part in parts {
        if part.eq_ignore_ascii_case("dn") && rule.is_none() {
            dn_attributes = true;
        } else if rule.is_none() {
            rule = Some(parse_attribute(part)?);
        } else {
            return Err("there are two rules");
        }
    }
    if attribute.is_none() && rule.is_none() {
        return Err("there is neither attribute nor rule");
    }
    Ok(Filter::Extensible {
        rule,
        attribute,
        value: parse_value(right)?,
        dn_attributes,
    })
}

fn parse_attribute(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';');
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err("an attribute name is wrong");
    }
    Ok(text.to_owned())
}

/// `\XX` stands for a byte.
fn parse_value(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut parts = text.split('\\');
    let mut value = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(bytes_of_hex);
        value.extend(byte.ok_or("a backslash needs two hexadecimal digits")?);
        value.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    if value.contains(&0) && !text.contains("\\00") {
        return Err("a zero byte has to be escaped");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(text: &str) -> Filter {
        text.parse().unwrap()
    }

    #[test]
    fn texts_with_their_meaning() {
        assert_eq!(filter("(objectClass=*)"), Filter::any_object());
        assert_eq!(filter("(cn=a\\2ab\\28)"), Filter::equal("cn", "a*b("));
        assert_eq!(
            filter("(memberOf=CN=a,DC=x)"),
            Filter::equal("memberOf", "CN=a,DC=x")
        );
        assert_eq!(filter("(cn=Ёлка)"), Filter::equal("cn", "Ёлка"));
        assert_eq!(filter("(cn=\\d0\\81)"), Filter::equal("cn", "Ё"));
        assert_eq!(
            filter("(&(a=1)(|(b>=2)(c<=3)) (!(d~=4)))"),
            Filter::And(vec![
                Filter::equal("a", "1"),
                Filter::Or(vec![
                    Filter::GreaterOrEqual("b".into(), b"2".to_vec()),
                    Filter::LessOrEqual("c".into(), b"3".to_vec()),
                ]),
                Filter::Not(Box::new(Filter::Approximate("d".into(), b"4".to_vec()))),
            ])
        );
        assert_eq!(
            filter("(cn=a*b\\2a*c)"),
            Filter::Substrings {
                attribute: "cn".into(),
                initial: Some(b"a".to_vec()),
                any: vec![b"b*".to_vec()],
                last: Some(b"c".to_vec()),
            }
        );
        assert_eq!(
            filter("(memberOf:1.2.840.113556.1.4.1941:=CN=a,DC=x)"),
            Filter::Extensible {
                rule: Some("1.2.840.113556.1.4.1941".into()),
                attribute: Some("memberOf".into()),
                value: b"CN=a,DC=x".to_vec(),
                dn_attributes: false,
            }
        );
    }

    #[test]
    fn wrong_texts_are_refused() {
        let deep = "(!".repeat(40) + "(a=1)" + &")".repeat(40);
        for text in [
            "", "a=1", "(a=1", "(a=1))", "(&)", "(=1)", "(a b=1)", "(a=\\)", "(a=\\0)", "(a=(b)",
            &deep,
        ] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[()&|!a=*:<>~\\\\0-9 ]{0,40}") {
            if let Ok(filter) = text.parse::<Filter>() {
                filter.write(&mut Writer::default());
            }
        }
    }
}
