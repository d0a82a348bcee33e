//! The identity of a directory object: its objectGUID.
//!
//! Invariant: the text form is lower-case and hyphenated (decision U67), because it is the
//! external id in the hub and is compared there byte by byte.

use std::fmt;

use uuid::Uuid;

/// An objectGUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

impl Guid {
    /// Reads the 16 bytes of the attribute, whose first three fields are little-endian
    /// (MS-DTYP 2.3.4.2).
    #[must_use]
    pub fn from_wire(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes_le(bytes))
    }

    /// The 16 bytes as the directory sends them.
    #[must_use]
    pub fn to_wire(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }

    /// Reads the text form; only the exact form that [`fmt::Display`] writes is ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let guid = Self(Uuid::parse_str(text).ok()?);
        (guid.to_string() == text).then_some(guid)
    }

    /// A guid made from a number, for tests and the simulation.
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_hyphenated())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_forms_agree_with_the_published_layout() {
        let wire = [
            0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let guid = Guid::from_wire(wire);
        assert_eq!(guid.to_string(), "12345678-9abc-def0-0102-030405060708");
        assert_eq!(guid.to_wire(), wire);
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
    }

    #[test]
    fn other_spellings_are_not_ours() {
        for text in [
            "12345678-9ABC-DEF0-0102-030405060708",
            "{12345678-9abc-def0-0102-030405060708}",
            "emp-17",
            "",
        ] {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
    }
}
