//! Security identifiers: what accounts and groups are called in access lists.
//!
//! Invariant: the bytes are well-formed (MS-DTYP 2.4.2.2), so the text form always exists.

use std::fmt;

/// Bytes before the sub-authorities: revision, their count, six bytes of authority.
const HEAD: usize = 8;
/// MS-DTYP 2.4.2.
const SUB_AUTHORITIES_MAX: usize = 15;

/// A security identifier such as `S-1-5-21-…-513`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sid {
    authority: u64,
    sub_authorities: Vec<u32>,
}

impl Sid {
    /// From an attribute value; `None` when it is malformed.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let [1, count, authority @ ..] = head else {
            return None;
        };
        let (words, left) = rest.as_chunks::<4>();
        let fits = words.len() == usize::from(*count) && words.len() <= SUB_AUTHORITIES_MAX;
        if !left.is_empty() || !fits {
            return None;
        }
        Some(Self {
            authority: authority
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            sub_authorities: words.iter().map(|word| u32::from_le_bytes(*word)).collect(),
        })
    }

    /// From the form `S-1-…`; `None` when it is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("S-1-")?.split('-');
        let authority = fields.next()?.parse().ok()?;
        let sub_authorities: Vec<u32> = fields
            .map(|field| field.parse().ok())
            .collect::<Option<_>>()?;
        let fits = sub_authorities.len() <= SUB_AUTHORITIES_MAX && authority < 1 << 48;
        fits.then_some(Self {
            authority,
            sub_authorities,
        })
    }

    /// The relative identifier, the last number.
    #[must_use]
    pub fn rid(&self) -> Option<u32> {
        self.sub_authorities.last().copied()
    }

    /// The identifier with the same domain and another relative one; resolves `primaryGroupID`.
    #[must_use]
    pub fn sibling(&self, rid: u32) -> Self {
        let mut sibling = self.clone();
        if let Some(last) = sibling.sub_authorities.last_mut() {
            *last = rid;
        }
        sibling
    }

    /// The bytes as an attribute value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![
            1,
            u8::try_from(self.sub_authorities.len()).unwrap_or_default(),
        ];
        bytes.extend(self.authority.to_be_bytes().iter().skip(2));
        for word in &self.sub_authorities {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.sub_authorities
            .iter()
            .try_for_each(|number| write!(f, "-{number}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOMAIN_USERS: &[u8] = &[
        1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 2, 0, 0,
    ];

    #[test]
    fn bytes_and_text_agree() {
        let sid = Sid::from_slice(DOMAIN_USERS).unwrap();
        assert_eq!(sid.to_string(), "S-1-5-21-1-2-3-513");
        assert_eq!(Sid::parse("S-1-5-21-1-2-3-513"), Some(sid.clone()));
        assert_eq!(sid.to_bytes(), DOMAIN_USERS);
        assert_eq!(sid.rid(), Some(513));
        assert_eq!(sid.sibling(1104).to_string(), "S-1-5-21-1-2-3-1104");
    }

    #[test]
    fn every_cut_is_refused() {
        for length in 0..DOMAIN_USERS.len() {
            assert_eq!(Sid::from_slice(&DOMAIN_USERS[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_round_trip(bytes: Vec<u8>) {
            if let Some(sid) = Sid::from_slice(&bytes) {
                prop_assert_eq!(sid.to_bytes(), bytes);
            }
        }
    }
}
