//! Short values in one allocation: a tag, a length and the bytes, one after the other.
//!
//! Invariant: reading gives what was put, in that order; damaged bytes end the list early and
//! never panic. Why: a million objects with ten values each are kept in memory (AT-19), and an
//! allocation per value would cost more than the values.

/// Bits of a length in one byte; the highest bit tells that another byte follows.
const LENGTH_BITS: u32 = 7;
const LENGTH_MASK: usize = 0x7f;
const LENGTH_MORE: u8 = 0x80;
/// A length has at most this many bytes: 2^28 is more than any value of the directory has.
const LENGTH_BYTES_MAX: u32 = 4;

/// Appends one value; of one that is too long to be true only the beginning.
pub fn put(packed: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let longest = (1_usize << (LENGTH_BITS * LENGTH_BYTES_MAX)) - 1;
    let value = value.get(..longest).unwrap_or(value);
    packed.push(tag);
    let mut left = value.len();
    while left > LENGTH_MASK {
        packed.push((left & LENGTH_MASK) as u8 | LENGTH_MORE);
        left >>= LENGTH_BITS;
    }
    packed.push(left as u8);
    packed.extend_from_slice(value);
}

/// The values in their order, each with its tag.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
}

/// Reads what [`put`] wrote.
#[must_use]
pub fn values(packed: &[u8]) -> Values<'_> {
    Values { rest: packed }
}

/// The text of a value; empty when it is none.
#[must_use]
pub fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, mut rest) = self.rest.split_first()?;
        let mut length = 0_usize;
        for part in 0..LENGTH_BYTES_MAX {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length |= (usize::from(*byte) & LENGTH_MASK) << (LENGTH_BITS * part);
            if byte & LENGTH_MORE == 0 {
                let (value, after) = rest.split_at_checked(length)?;
                self.rest = after;
                return Some((*tag, value));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_comes_back(list in prop::collection::vec((any::<u8>(), ".{0,300}"), 0..12)) {
            let mut packed = Vec::new();
            for (tag, value) in &list {
                put(&mut packed, *tag, value.as_bytes());
            }
            let back: Vec<(u8, String)> = values(&packed)
                .map(|(tag, value)| (tag, text(value).to_owned()))
                .collect();
            prop_assert_eq!(back, list);
        }

        #[test]
        fn damaged_bytes_end_the_list(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(values(&bytes).count() <= bytes.len());
        }
    }
}
