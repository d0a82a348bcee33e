//! The attributes of one object as the directory sent them.
//!
//! Invariant: names are found whatever their case; an attribute that is present with zero values is
//! kept, because in a change it means "the value was removed". Values are bytes; typed readers
//! return `None` for values of another shape rather than guessing.

use std::fmt;

use crate::guid::Guid;
use crate::sid::Sid;

/// 100 ns intervals between 1601-01-01 and 1970-01-01 (MS-DTYP 2.3.3 against the Unix epoch).
const UNIX_EPOCH_AS_FILETIME: i64 = 116_444_736_000_000_000;
const FILETIME_PER_MICROSECOND: i64 = 10;

/// Attribute names with their values, in the order they were sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    list: Vec<(String, Vec<Vec<u8>>)>,
}

impl Attributes {
    /// From names with values; the name keeps its options, such as `member;range=0-1499`.
    #[must_use]
    pub fn new(list: Vec<(String, Vec<Vec<u8>>)>) -> Self {
        Self { list }
    }

    /// Whether the directory sent this attribute, with values or without (then it was removed).
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All values as bytes; empty when there are none.
    #[must_use]
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        self.find(name).unwrap_or_default()
    }

    /// The first value as bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.values(name).first().map(Vec::as_slice)
    }

    /// The first value as text; `None` also when it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    /// All values that are text.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name)
            .iter()
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value as a decimal number.
    #[must_use]
    pub fn i64(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The first value as TRUE or FALSE.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.text(name)? {
            "TRUE" => Some(true),
            "FALSE" => Some(false),
            _ => None,
        }
    }

    /// The first value as a GUID.
    #[must_use]
    pub fn guid(&self, name: &str) -> Option<Guid> {
        Guid::from_slice(self.bytes(name)?)
    }

    /// The first value as a security identifier.
    #[must_use]
    pub fn sid(&self, name: &str) -> Option<Sid> {
        Sid::from_slice(self.bytes(name)?)
    }

    /// The first value, a FILETIME such as `pwdLastSet`, in microseconds since 1970; `None` also
    /// for 0 and for the largest number, which both mean "never".
    #[must_use]
    pub fn filetime_micros(&self, name: &str) -> Option<i64> {
        let filetime = self
            .i64(name)
            .filter(|value| *value > 0 && *value < i64::MAX)?;
        Some((filetime - UNIX_EPOCH_AS_FILETIME) / FILETIME_PER_MICROSECOND)
    }

    /// Names with values, in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Vec<u8>])> {
        self.list
            .iter()
            .map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Takes an attribute out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Vec<Vec<u8>>> {
        let index = self
            .list
            .iter()
            .position(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(self.list.remove(index).1)
    }

    fn find(&self, name: &str) -> Option<&[Vec<u8>]> {
        let mut found = self
            .list
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, values)| values.as_slice())
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, values) in self.iter() {
            let texts: Vec<_> = values
                .iter()
                .map(|value| String::from_utf8_lossy(value))
                .collect();
            map.entry(&name, &texts);
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_take_what_fits_and_nothing_else() {
        let attributes = Attributes::new(vec![
            (
                "displayName".into(),
                vec![b"Anna".to_vec(), b"Berta".to_vec()],
            ),
            ("mail".into(), vec![]),
            ("userAccountControl".into(), vec![b"514".to_vec()]),
            ("isDeleted".into(), vec![b"TRUE".to_vec()]),
            ("pwdLastSet".into(), vec![b"116444736000000010".to_vec()]),
            (
                "accountExpires".into(),
                vec![b"9223372036854775807".to_vec()],
            ),
            ("broken".into(), vec![vec![0xff]]),
        ]);
        assert_eq!(attributes.text("DISPLAYNAME"), Some("Anna"));
        assert_eq!(
            attributes.texts("displayName").collect::<Vec<_>>(),
            ["Anna", "Berta"]
        );
        assert!(attributes.has("mail") && attributes.text("mail").is_none());
        assert!(!attributes.has("title"));
        assert_eq!(attributes.i64("userAccountControl"), Some(514));
        assert_eq!(attributes.boolean("isDeleted"), Some(true));
        assert_eq!(attributes.filetime_micros("pwdLastSet"), Some(1));
        assert_eq!(attributes.filetime_micros("accountExpires"), None);
        assert_eq!(attributes.text("broken"), None);
        assert_eq!(attributes.guid("displayName"), None);
    }
}
