//! The few rules of BER that LDAP uses (RFC 4511 5.1): definite lengths, low tag numbers.
//!
//! Invariant: reading never goes beyond what it was given; what is not well-formed is `None`. Of its
//! own, because a directory may be a gigabyte of answers that are made while they are sent, and
//! because `ldap3_proto` cannot hold the bytes of an objectGUID in a filter.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// Longest message that is accepted from a client, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and content.
    pub fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (head, length) = header(self.0)?;
        let tag = *self.0.first()?;
        let content = self.0.get(head..head.checked_add(length)?)?;
        self.0 = self.0.get(head + length..)?;
        Some((tag, content))
    }

    /// The next element if it has this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// The next element's content as a signed number.
    pub fn integer(&mut self, tag: u8) -> Option<i64> {
        let content = self.expect(tag)?;
        let negative = content.first()? & 0x80 != 0;
        if content.len() > 8 {
            return None;
        }
        let start = if negative { -1_i64 } else { 0 };
        Some(
            content
                .iter()
                .fold(start, |all, byte| all << 8 | i64::from(*byte)),
        )
    }

    /// The next element's content as text.
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.expect(OCTETS)?.to_vec()).ok()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }
}

/// Bytes of tag and length, and of the content; `None` when there is not enough to tell.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let digits = first & 0x7f;
    if digits > 4 {
        return Some((2, usize::MAX / 2));
    }
    let length = bytes.get(2..2 + digits)?;
    let length = length
        .iter()
        .fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
    Some((2 + digits, length))
}

/// Whether `bytes` begin with a whole message, and how long it is.
pub enum Framed {
    /// Of this many bytes.
    Whole(usize),
    /// More has to come.
    Part,
    /// More than is accepted.
    TooLong,
}

/// Looks for the end of the first message.
pub fn frame(bytes: &[u8]) -> Framed {
    match header(bytes) {
        Some((_, length)) if length > MESSAGE_BYTES_MAX => Framed::TooLong,
        Some((head, length)) if bytes.len() >= head + length => Framed::Whole(head + length),
        _ => Framed::Part,
    }
}

/// Appends an element.
pub fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    length(out, content.len());
    out.extend_from_slice(content);
}

/// Appends an element whose content `write` appends.
pub fn nested(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    element(out, tag, &content);
}

/// Appends a number.
pub fn integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    let bytes = value.to_be_bytes();
    let mut start = 0;
    // The shortest form: no leading byte that only repeats the sign.
    while let [first, second, ..] = bytes.get(start..).unwrap_or_default()
        && matches!((first, second & 0x80), (0, 0) | (0xff, 0x80))
    {
        start += 1;
    }
    element(out, tag, bytes.get(start..).unwrap_or_default());
}

fn length(out: &mut Vec<u8>, length: usize) {
    if length < 0x80 {
        out.push(length as u8);
        return;
    }
    let bytes = (length as u32).to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    out.push(0x80 | (bytes.len() - skip) as u8);
    out.extend(bytes.iter().skip(skip));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_come_back() {
        for value in [0, 1, 127, 128, 255, 256, -1, -128, -129, -2_147_483_648] {
            let mut out = Vec::new();
            integer(&mut out, INTEGER, value);
            assert_eq!(Reader(&out).integer(INTEGER), Some(value));
        }
        let mut flags = Vec::new();
        integer(&mut flags, INTEGER, -2_147_483_648);
        assert_eq!(flags, [2, 4, 0x80, 0, 0, 0]);
        for size in [0, 127, 128, 255, 256, 70_000] {
            let mut out = Vec::new();
            element(&mut out, OCTETS, &vec![7; size]);
            assert_eq!(Reader(&out).expect(OCTETS).map(<[u8]>::len), Some(size));
            assert!(matches!(frame(&out), Framed::Whole(all) if all == out.len()));
            out.pop();
            assert!(matches!(frame(&out), Framed::Part));
        }
    }
}
