//! The id of a user or group in the hub.
//!
//! Invariant: the text is kept exactly. Ids of the hub have 20 characters; as a million of them
//! are kept in memory, such a text needs no allocation of its own.

use std::fmt;

/// Longest text that is kept in place; with the tag it makes 24 bytes, as a longer one does.
const INLINE_BYTES: usize = 22;

/// An id given by the hub.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubId(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Short {
        length: u8,
        bytes: [u8; INLINE_BYTES],
    },
    Long(Box<str>),
}

impl HubId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Short { length, bytes } => bytes
                .get(..usize::from(*length))
                .and_then(|text| std::str::from_utf8(text).ok())
                .unwrap_or_default(),
            Form::Long(text) => text,
        }
    }
}

impl From<&str> for HubId {
    fn from(text: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Form::Short { length, bytes })
            }
            _ => Self(Form::Long(text.into())),
        }
    }
}

impl From<String> for HubId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_come_back() {
        for length in 0..60 {
            let text = "a".repeat(length);
            assert_eq!(HubId::from(text.as_str()).as_str(), text);
        }
        assert_eq!(HubId::from("ключ").as_str(), "ключ");
        assert_eq!(size_of::<HubId>(), 24);
    }
}
