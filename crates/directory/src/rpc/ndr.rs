//! NDR 2.0, little endian (C706 chapter 14): reading and writing primitives at their alignment.
//!
//! Invariant: reading never panics, never recurses and never allocates; every count is checked
//! against the bytes that are left before anything is reserved for it. Deliberately absent: big
//! endian peers, floating point, and pipes.

use crate::guid::Guid;

/// Why bytes cannot be what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

pub(crate) type Result<T> = std::result::Result<T, Malformed>;

const SHORT: Malformed = Malformed("it ends too early");

/// Reads one primitive after the other; alignment counts from the start of the bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    /// Goes to the next multiple of `size`; what is skipped may have any value (C706 14.2.2).
    pub(crate) fn align(&mut self, size: usize) {
        self.place = self.place.next_multiple_of(size);
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.place.checked_add(count).ok_or(SHORT)?;
        let taken = self.bytes.get(self.place..end).ok_or(SHORT)?;
        self.place = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.align(2);
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.align(4);
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.align(8);
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn guid(&mut self) -> Result<Guid> {
        self.align(4);
        self.array().map(Guid::from_bytes)
    }

    /// A unique pointer: whether something is there.
    pub(crate) fn pointer(&mut self) -> Result<bool> {
        self.u32().map(|referent| referent != 0)
    }

    /// A count of elements that have at least `size` bytes each.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize> {
        let count = self.u32()?;
        self.fits(count, size)
    }

    /// Whether so many elements of at least `size` bytes can be in what is left.
    pub(crate) fn fits(&self, count: u32, size: usize) -> Result<usize> {
        let count = usize::try_from(count).map_err(|_| SHORT)?;
        match count.checked_mul(size) {
            Some(bytes) if bytes <= self.left() => Ok(count),
            _ => Err(Malformed("a count is greater than what follows")),
        }
    }

    /// The size that precedes a conformant array (C706 14.3.3.2); must be the one announced.
    pub(crate) fn conformance(&mut self, announced: u32, size: usize) -> Result<usize> {
        let found = self.u32()?;
        if found != announced {
            return Err(Malformed("the size of an array is not the one announced"));
        }
        self.fits(found, size)
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.place)
    }

    /// Everything has to be read.
    pub(crate) fn end(&self) -> Result<()> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(Malformed("something is left over at its end"))
        }
    }
}

/// Writes one primitive after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
    /// Referents need any numbers but 0, each another one.
    referents: u32,
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn align(&mut self, size: usize) {
        let length = self.out.len().next_multiple_of(size);
        self.out.resize(length, 0);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.align(2);
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.align(4);
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.align(8);
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn guid(&mut self, guid: Guid) {
        self.align(4);
        self.raw(guid.as_bytes());
    }

    pub(crate) fn pointer(&mut self, present: bool) {
        if present {
            self.referents += 4;
            self.u32(self.referents);
        } else {
            self.u32(0);
        }
    }

    /// A length as NDR has it; nothing we send comes near 4 GiB.
    pub(crate) fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn primitives_stand_at_their_alignment() {
        let mut writer = Writer::default();
        writer.raw(&[1]);
        writer.u32(2);
        writer.raw(&[3]);
        writer.i64(-4);
        writer.raw(&[5]);
        writer.u16(6);
        writer.pointer(true);
        writer.pointer(false);
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), 36);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.array(), Ok([1]));
        assert_eq!(reader.u32(), Ok(2));
        assert_eq!(reader.array(), Ok([3]));
        assert_eq!(reader.i64(), Ok(-4));
        assert_eq!(reader.array(), Ok([5]));
        assert_eq!(reader.u16(), Ok(6));
        assert_eq!(reader.pointer(), Ok(true));
        assert_eq!(
            reader.end(),
            Err(Malformed("something is left over at its end"))
        );
        assert_eq!(reader.pointer(), Ok(false));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.take(1), Err(SHORT));
    }

    proptest! {
        #[test]
        fn counts_never_exceed_what_is_there(bytes: Vec<u8>, size in 1usize..100) {
            let mut reader = Reader::new(&bytes);
            while reader.left() > 0 {
                if let Ok(count) = reader.count(size) {
                    prop_assert!(count * size <= bytes.len());
                } else if reader.take(1).is_err() {
                    break;
                }
            }
        }
    }
}
