//! Distinguished names: parsing, escaping and the comparisons that a synchronisation needs.
//!
//! Invariant: a [`Dn`] is well-formed (RFC 4514) and two of them are equal exactly when they name
//! the same object of a directory that ignores case. The text is kept as the directory wrote it.
//! Deliberately absent: Active Directory's further folding (it also ignores accents); objects are
//! identified by GUID, so DNs only have to be compared where both come from the same directory.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::guid::bytes_of_hex;

/// Characters that are always written with a backslash (RFC 4514 2.4).
const SPECIAL: &str = ",+\"\\<>;=";
/// Longer texts are refused; the directory's own limit is far lower.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The name of an object by its place in the tree.
#[derive(Clone)]
pub struct Dn {
    text: Box<str>,
    /// Canonical and in lower case; what is compared.
    folded: Box<str>,
}

/// The text is not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a distinguished name ({why}): {text}")]
pub struct InvalidDn {
    text: String,
    why: &'static str,
}

impl Dn {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Canonical form in lower case: equal for equal names, so it can be a key in storage.
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether this is the empty name of the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// The name one level up; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let after = |text: &str| {
            let start = first_comma(text).map_or(text.len(), |comma| comma + 1);
            text.get(start..).unwrap_or_default().trim_start().into()
        };
        Some(Self {
            text: after(&self.text),
            folded: after(&self.folded),
        })
    }

    /// The relative name as written, such as `CN=Anna`.
    #[must_use]
    pub fn relative(&self) -> &str {
        let end = first_comma(&self.text).unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default()
    }

    /// Whether the object lies below `other`, at any depth; not true for `other` itself.
    #[must_use]
    pub fn is_under(&self, other: &Self) -> bool {
        if other.is_root() {
            return !self.is_root();
        }
        let Some(before) = self.folded.strip_suffix(&*other.folded) else {
            return false;
        };
        let Some(before) = before.strip_suffix(',') else {
            return false;
        };
        // An escaped comma belongs to a value: an odd number of backslashes stands before it.
        let backslashes = before
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\')
            .count();
        backslashes.is_multiple_of(2)
    }

    /// The name of a child: `kind` such as `CN`, and its value, which is escaped.
    ///
    /// # Errors
    /// When `kind` is not an attribute type or the value is empty.
    pub fn child(&self, kind: &str, value: &str) -> Result<Self, InvalidDn> {
        let comma = if self.is_root() { "" } else { "," };
        format!("{kind}={}{comma}{}", escape(value), self.text).parse()
    }
}

/// Escapes an attribute value for use in a distinguished name (RFC 4514 2.4).
#[must_use]
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (position, character) in value.chars().enumerate() {
        let at_edge = (position == 0 && matches!(character, ' ' | '#'))
            || (position == last && character == ' ');
        if character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("\\{byte:02x}"));
            }
            continue;
        }
        if at_edge || SPECIAL.contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Position of the first comma that no backslash escapes.
fn first_comma(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => return Some(position),
            _ => {}
        }
    }
    None
}

/// Splits at characters of `separators` that no backslash escapes.
fn split<'a>(text: &'a str, separators: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (position, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if separators.contains(character) {
            parts.push(text.get(start..position).unwrap_or_default());
            start = position + character.len_utf8();
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Removes spaces around a value, but not an escaped one at its end.
fn trim(value: &str) -> &str {
    let value = value.trim_start_matches(' ');
    let trimmed = value.trim_end_matches(' ');
    let backslashes = trimmed
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'\\')
        .count();
    let keep = usize::from(backslashes % 2 == 1 && trimmed.len() < value.len());
    value.get(..trimmed.len() + keep).unwrap_or(trimmed)
}

fn unescape(value: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(position) = rest.find('\\') {
        let (plain, escape) = rest.split_at(position);
        bytes.extend_from_slice(plain.as_bytes());
        let hex = escape.get(1..3).and_then(bytes_of_hex);
        if let Some(byte) = hex {
            bytes.extend(byte);
            rest = escape.get(3..).unwrap_or_default();
        } else {
            let escaped = escape.chars().nth(1).ok_or("a backslash at the end")?;
            if !escaped.is_ascii_punctuation() && escaped != ' ' {
                return Err("a backslash before an ordinary character");
            }
            bytes.push(u8::try_from(escaped).map_err(|_| "a wrong escape")?);
            rest = escape.get(2..).unwrap_or_default();
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "not UTF-8")
}

fn is_attribute_type(kind: &str) -> bool {
    !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// One `type=value` in canonical form, in lower case.
fn fold(part: &str) -> Result<String, &'static str> {
    let (kind, value) = part.split_once('=').ok_or("a part without =")?;
    let (kind, value) = (kind.trim(), trim(value));
    if !is_attribute_type(kind) {
        return Err("a wrong attribute type");
    }
    if value.is_empty() {
        return Err("an empty value");
    }
    let value = escape(&unescape(value)?.to_lowercase());
    Ok(format!("{}={value}", kind.to_ascii_lowercase()))
}

/// All parts in canonical form.
fn fold_all(text: &str) -> Result<String, &'static str> {
    let mut folded = String::with_capacity(text.len());
    if text.is_empty() {
        return Ok(folded);
    }
    for (index, relative) in split(text, ",;").into_iter().enumerate() {
        let parts = split(relative, "+").into_iter().map(fold);
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        // The parts of a relative name have no order.
        parts.sort_unstable();
        if index > 0 {
            folded.push(',');
        }
        folded.push_str(&parts.join("+"));
    }
    Ok(folded)
}

/// The same for names in which nothing has to be escaped, which are nearly all: the names of a
/// million members are read in one go. `None` for all other texts.
fn fold_plain(text: &str) -> Option<String> {
    let unusual = |character: char| {
        matches!(character, '\\' | '+' | ';' | '"' | '#' | '<' | '>') || character.is_control()
    };
    let plain = |part: &str| {
        part.split_once('=').is_some_and(|(kind, value)| {
            let edge = value.starts_with(' ') || value.ends_with(' ');
            is_attribute_type(kind) && !value.is_empty() && !edge && !value.contains('=')
        })
    };
    let usual = !text.contains(unusual) && text.split(',').all(plain);
    usual.then(|| text.to_lowercase())
}

impl FromStr for Dn {
    type Err = InvalidDn;

    fn from_str(text: &str) -> Result<Self, InvalidDn> {
        let invalid = |why| InvalidDn {
            text: text.chars().take(200).collect(),
            why,
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid("too long"));
        }
        let folded = match fold_plain(text) {
            Some(folded) => folded,
            None => fold_all(text).map_err(invalid)?,
        };
        Ok(Self {
            text: text.into(),
            folded: folded.into(),
        })
    }
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Dn {}

impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dn(text: &str) -> Dn {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_compared_without_case_spaces_and_ways_of_escaping() {
        for (one, two) in [
            ("CN=Anna,DC=Corp", "cn=anna, dc=corp"),
            ("CN=Ёлка,DC=x", "CN=ёлка,DC=x"),
            ("CN=A\\2cB,DC=x", "CN=a\\,b,DC=x"),
            ("CN=A\\2CB,DC=x", "CN=a\\,b;DC=x"),
            ("CN=a+OU=b,DC=x", "ou=B+cn=A,DC=x"),
            ("CN=\\c3\\a4,DC=x", "CN=Ä,DC=x"),
            ("CN=a\\ ,DC=x", "CN=a\\20,DC=x"),
        ] {
            assert_eq!(dn(one), dn(two), "{one} {two}");
        }
        assert_ne!(dn("CN=a\\ ,DC=x"), dn("CN=a,DC=x"));
        assert_ne!(dn("CN=a\\,b,DC=x"), dn("CN=a,CN=b,DC=x"));
    }

    #[test]
    fn parents_and_depth() {
        let user = dn("CN=Comma\\, Carl,OU=People, DC=corp");
        assert_eq!(user.relative(), "CN=Comma\\, Carl");
        let parent = user.parent().unwrap();
        assert_eq!(parent, dn("ou=people,dc=corp"));
        assert!(user.is_under(&parent));
        assert!(user.is_under(&dn("DC=corp")));
        assert!(user.is_under(&dn("")));
        assert!(!parent.is_under(&parent));
        assert!(!dn("CN=x\\,DC=corp").is_under(&dn("DC=corp")));
        assert!(dn("CN=x\\\\,DC=corp").is_under(&dn("DC=corp")));
        assert!(!dn("OU=x,DC=mycorp").is_under(&dn("DC=corp")));
        assert_eq!(dn("DC=corp").parent(), Some(dn("")));
        assert_eq!(dn("").parent(), None);
    }

    #[test]
    fn deleted_objects_have_a_line_feed_in_their_name() {
        let deleted = dn("CN=Anna\\0ADEL:0b1e,CN=Deleted Objects,DC=corp");
        assert_eq!(deleted.parent(), Some(dn("cn=deleted objects,dc=corp")));
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "CN", "=x", "CN=", "CN=a,", ",CN=a", "CN=a\\", "CN=\\ff", "C N=a", "CN=a\\b",
        ] {
            assert!(text.parse::<Dn>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_escaping(value in "\\PC{1,40}|[ ,+\"\\\\<>;=#/*()\\x00-\\x20]{1,20}") {
            let base = dn("OU=People,DC=corp");
            let child = base.child("CN", &value).unwrap();
            prop_assert_eq!(child.parent(), Some(base.clone()));
            prop_assert!(child.is_under(&base));
            let (_, written) = child.relative().split_once('=').unwrap();
            prop_assert_eq!(unescape(written).unwrap(), value);
        }

        #[test]
        fn the_short_way_folds_like_the_long_one(
            text in "(CN|ou|Dc)=[a-zA-ZЁЯßİΣς0-9 =\\\\.'-]{0,8}(,(CN|dc)=\\PC{1,6}){0,3}",
        ) {
            if let Some(folded) = fold_plain(&text) {
                prop_assert_eq!(Ok(folded), fold_all(&text));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[CN=,;+\\\\ #\"a0-9]{0,40}") {
            if let Ok(dn) = text.parse::<Dn>() {
                let mut parents = std::iter::successors(Some(dn), Dn::parent);
                prop_assert!(parents.by_ref().take(100).last().unwrap().is_root());
            }
        }
    }
}
