//! The permanent identifier of a directory object.
//!
//! Invariant: the 16 bytes are kept in the order the directory sends them (MS-DTYP 2.3.4.2), in
//! which the first three fields are little-endian; the text form is the usual one, in lower case.

use std::fmt;
use std::str::FromStr;

/// An `objectGUID`: never changes and is never used again, whatever happens to the object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid([u8; 16]);

/// Position in the sent bytes of each byte of the text form.
const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
/// Bytes of the text form before which there is a hyphen.
const HYPHENS: [usize; 4] = [4, 6, 8, 10];

impl Guid {
    /// From the bytes in directory order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From an attribute value; `None` when it has not 16 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes in directory order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From 32 hexadecimal digits in directory order, as in `<GUID=…>` of an extended DN.
    pub(crate) fn from_directory_hex(text: &str) -> Option<Self> {
        Self::from_slice(&bytes_of_hex(text)?)
    }
}

/// Bytes written as hexadecimal digits.
pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

fn digit(character: u8) -> Option<u8> {
    let value = char::from(character).to_digit(16)?;
    u8::try_from(value).ok()
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, source) in TEXT_ORDER.iter().enumerate() {
            if HYPHENS.contains(&position) {
                f.write_str("-")?;
            }
            write!(
                f,
                "{:02x}",
                self.0.get(*source).copied().unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a GUID in its hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID: 32 hexadecimal digits with four hyphens are needed")]
pub struct InvalidGuid;

impl FromStr for Guid {
    type Err = InvalidGuid;

    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        let hyphens = |(index, byte)| (byte == b'-') == matches!(index, 8 | 13 | 18 | 23);
        if text.len() != 36 || !text.bytes().enumerate().all(hyphens) {
            return Err(InvalidGuid);
        }
        let mut digits = text.bytes().filter(|byte| *byte != b'-').map(digit);
        let mut next = || digits.next().flatten().ok_or(InvalidGuid);
        let mut guid = [0; 16];
        for position in TEXT_ORDER {
            let byte = next()? << 4 | next()?;
            *guid.get_mut(position).ok_or(InvalidGuid)? = byte;
        }
        Ok(Self(guid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_form_swaps_the_first_three_fields() {
        let bytes: [u8; 16] = std::array::from_fn(|index| index as u8);
        let text = "03020100-0504-0706-0809-0a0b0c0d0e0f";
        assert_eq!(Guid::from_bytes(bytes).to_string(), text);
        assert_eq!(text.parse(), Ok(Guid::from_bytes(bytes)));
        assert_eq!(text.to_uppercase().parse(), Ok(Guid::from_bytes(bytes)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "03020100",
            "0302010005040706-0809-0a0b0c0d0e0f",
            "03020100-0504-0706-0809-0a0b0c0d0e0g",
            "{03020100-0504-0706-0809-0a0b0c0d0e0f}",
            "éééé-0504-0706-0809-0a0b0c0d0e0f",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(InvalidGuid), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let guid = Guid::from_bytes(bytes);
            prop_assert_eq!(guid.to_string().parse::<Guid>(), Ok(guid));
        }
    }
}
