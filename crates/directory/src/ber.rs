//! The part of BER that LDAP uses (RFC 4511 5.1): definite lengths, tags below 31.
//!
//! Invariant: reading never panics, never recurses and never allocates; every length is checked
//! against what is there, so a truncated value is an error and not a shorter value.

/// A complete element does not start at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) type Result<T> = std::result::Result<T, Malformed>;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

const TAG_NUMBER_MASK: u8 = 0x1f;
/// Four bytes of length are 4 GiB, more than any limit above us.
const LENGTH_BYTES_MAX: usize = 4;

/// A complete tag and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub tag: u8,
    /// Bytes of tag and length.
    pub head_bytes: usize,
    pub content_bytes: usize,
}

/// Reads tag and length; `None` when more bytes are needed to tell.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let [tag, first, rest @ ..] = bytes else {
        return Ok(None);
    };
    if tag & TAG_NUMBER_MASK == TAG_NUMBER_MASK {
        return Err(Malformed);
    }
    if *first < 0x80 {
        return Ok(Some(Head {
            tag: *tag,
            head_bytes: 2,
            content_bytes: usize::from(*first),
        }));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > LENGTH_BYTES_MAX {
        return Err(Malformed);
    }
    let Some(length) = rest.get(..count) else {
        return Ok(None);
    };
    Ok(Some(Head {
        tag: *tag,
        head_bytes: 2 + count,
        content_bytes: length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    }))
}

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element: its tag and content.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8])> {
        let head = head(self.rest)?.ok_or(Malformed)?;
        let (_, rest) = self
            .rest
            .split_at_checked(head.head_bytes)
            .ok_or(Malformed)?;
        let (content, rest) = rest.split_at_checked(head.content_bytes).ok_or(Malformed)?;
        self.rest = rest;
        Ok((head.tag, content))
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8]> {
        let (found, content) = self.any()?;
        if found == tag {
            Ok(content)
        } else {
            Err(Malformed)
        }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>> {
        if self.peek() == Some(tag) {
            self.expect(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The elements inside the next one.
    pub(crate) fn nested(&mut self, tag: u8) -> Result<Reader<'a>> {
        self.expect(tag).map(Reader::new)
    }

    pub(crate) fn integer(&mut self, tag: u8) -> Result<i64> {
        integer(self.expect(tag)?)
    }

    pub(crate) fn text(&mut self, tag: u8) -> Result<&'a str> {
        std::str::from_utf8(self.expect(tag)?).map_err(|_| Malformed)
    }
}

fn integer(content: &[u8]) -> Result<i64> {
    let first = content.first().ok_or(Malformed)?;
    if content.len() > 8 {
        return Err(Malformed);
    }
    let start = if first & 0x80 == 0 { 0 } else { -1 };
    Ok(content
        .iter()
        .fold(start, |sum: i64, byte| sum << 8 | i64::from(*byte)))
}

/// Writes elements one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn element(&mut self, tag: u8, content: &[u8]) {
        self.out.push(tag);
        self.out.extend(length(content.len()));
        self.out.extend_from_slice(content);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.element(OCTET_STRING, text.as_bytes());
    }

    pub(crate) fn boolean(&mut self, tag: u8, value: bool) {
        self.element(tag, &[if value { 0xff } else { 0 }]);
    }

    /// The shortest two's complement (X.690 8.3.2).
    pub(crate) fn integer(&mut self, tag: u8, value: i64) {
        let bytes = value.to_be_bytes();
        let mut content: &[u8] = &bytes;
        while let [first, rest @ ..] = content
            && let Some(second) = rest.first()
            && ((*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0))
        {
            content = rest;
        }
        self.element(tag, content);
    }

    /// An element whose content `write` makes.
    pub(crate) fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.element(tag, &inner.out);
    }
}

pub(crate) fn length(bytes: usize) -> Vec<u8> {
    match u8::try_from(bytes) {
        Ok(short) if short < 0x80 => vec![short],
        _ => {
            let all = bytes.to_be_bytes();
            let significant: Vec<u8> = all.into_iter().skip_while(|byte| *byte == 0).collect();
            let mut out = vec![0x80 | u8::try_from(significant.len()).unwrap_or(0x7f)];
            out.extend(significant);
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_the_shortest_two_s_complement() {
        let bytes = |value| {
            let mut writer = Writer::default();
            writer.integer(INTEGER, value);
            writer.into_bytes()
        };
        assert_eq!(bytes(0), [2, 1, 0]);
        assert_eq!(bytes(127), [2, 1, 127]);
        assert_eq!(bytes(128), [2, 2, 0, 128]);
        assert_eq!(bytes(-1), [2, 1, 0xff]);
        assert_eq!(bytes(-0x8000_0000), [2, 4, 0x80, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn integers_and_lengths_round_trip(value: i64, size in 0usize..70_000) {
            let content = vec![7; size];
            let mut writer = Writer::default();
            writer.integer(INTEGER, value);
            writer.nested(SEQUENCE, |inner| inner.element(OCTET_STRING, &content));
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.integer(INTEGER), Ok(value));
            let mut inner = reader.nested(SEQUENCE).unwrap();
            prop_assert_eq!(inner.expect(OCTET_STRING), Ok(content.as_slice()));
            prop_assert!(inner.is_empty() && reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok((_, content)) = reader.any() {
                prop_assert!(content.len() < bytes.len());
            }
        }
    }
}
