//! Short values in one allocation, one after the other: a tag, a length and the bytes, or, for a
//! value that another one begins or ends with, where these bytes are.
//!
//! Invariant: reading gives what was put, in that order; damaged bytes end the list early and
//! never panic. Why: a million objects with ten values each are kept in memory (AT-19). An
//! allocation for each value would cost more than the values, and people have their names in
//! several of them: alone, in the full name, in the name of the object, in two addresses.

/// Bits of a number in one byte; the highest bit tells that another byte follows.
const NUMBER_BITS: u32 = 7;
const NUMBER_MASK: usize = 0x7f;
const NUMBER_MORE: u8 = 0x80;
/// A number has at most this many bytes: 2^28 is more than the length of any value.
const NUMBER_BYTES_MAX: u32 = 4;
/// In a tag: the value is a part of an earlier one.
const SHARED: u8 = 0x80;
/// Shorter values are not looked for: to say where they are takes as much room.
const SHARED_BYTES_MIN: usize = 4;

/// Appends one value, with a tag below 128; of a value that is too long to be true only the
/// beginning.
pub fn put(packed: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let longest = (1_usize << (NUMBER_BITS * NUMBER_BYTES_MAX)) - 1;
    let value = value.get(..longest).unwrap_or(value);
    if let Some(at) = earlier(packed, value).filter(|at| *at <= longest) {
        packed.push(tag | SHARED);
        put_number(packed, at);
        put_number(packed, value.len());
        return;
    }
    packed.push(tag & !SHARED);
    put_number(packed, value.len());
    packed.extend_from_slice(value);
}

/// Where an earlier value begins or ends with this one.
fn earlier(packed: &[u8], value: &[u8]) -> Option<usize> {
    if value.len() < SHARED_BYTES_MIN {
        return None;
    }
    let mut earlier = values(packed);
    while let Some((_, at, length)) = earlier.advance() {
        let known = packed.get(at..at.checked_add(length)?)?;
        if known.starts_with(value) {
            return Some(at);
        }
        if known.ends_with(value) {
            return Some(at + length - value.len());
        }
    }
    None
}

fn put_number(packed: &mut Vec<u8>, mut number: usize) {
    while number > NUMBER_MASK {
        packed.push((number & NUMBER_MASK) as u8 | NUMBER_MORE);
        number >>= NUMBER_BITS;
    }
    packed.push(number as u8);
}

/// The values in their order, each with its tag.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    packed: &'a [u8],
    next: usize,
}

/// Reads what [`put`] wrote.
#[must_use]
pub fn values(packed: &[u8]) -> Values<'_> {
    Values { packed, next: 0 }
}

impl Values<'_> {
    /// Tag, place and length of the next value.
    fn advance(&mut self) -> Option<(u8, usize, usize)> {
        let tag = self.byte()?;
        let first = self.number()?;
        if tag & SHARED != 0 {
            return Some((tag & !SHARED, first, self.number()?));
        }
        let at = self.next;
        self.next = at.checked_add(first)?;
        Some((tag, at, first))
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.packed.get(self.next)?;
        self.next += 1;
        Some(*byte)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        for part in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            number |= (usize::from(byte) & NUMBER_MASK) << (NUMBER_BITS * part);
            if byte & NUMBER_MORE == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, at, length) = self.advance()?;
        Some((tag, self.packed.get(at..at.checked_add(length)?)?))
    }
}

/// The text of a value; empty when it is none.
#[must_use]
pub fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_of_an_earlier_value_takes_three_bytes() {
        let mut packed = Vec::new();
        let list = ["CN=Ann Lee", "Ann Lee", "Ann", "Ann Lee", "Lee", "Anna"];
        for (tag, value) in (0..).zip(list) {
            put(&mut packed, tag, value.as_bytes());
        }
        let back: Vec<&str> = values(&packed).map(|(_, value)| text(value)).collect();
        assert_eq!(back, list);
        assert_eq!(packed.len(), 12 + 3 + 5 + 3 + 5 + 6);
    }

    proptest! {
        #[test]
        fn what_was_put_comes_back(list in prop::collection::vec((0..128_u8, "[ab]{0,8}|.{0,300}"), 0..12)) {
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
