//! Protocol data units: their heads, the negotiation of an association, and where a fragment has its
//! parts (C706 12.6, MS-RPCE 2.2.2).
//!
//! Invariant: all lengths inside a unit agree with its bytes before anything is taken out of it.

use super::ndr::{Malformed, Reader, Result, Writer};
use super::{Interface, NDR32};

/// Bytes of the head that all units have.
pub(crate) const HEAD_BYTES: usize = 16;
/// Head of a request or response, after which the stub begins.
pub(crate) const STUB_OFFSET: usize = 24;
/// Type, level, padding, reserved, context: what precedes a token (MS-RPCE 2.2.2.11).
pub(crate) const TRAILER_BYTES: usize = 8;
/// Longest fragment we send and ask for; it is what the servers use.
pub(crate) const FRAGMENT_BYTES: u16 = 5840;
/// Stub and padding together are a multiple of this (MS-RPCE 2.2.2.11).
pub(crate) const PADDING: usize = 16;
/// RPC_C_AUTHN_LEVEL_PKT_PRIVACY: everything is signed and encrypted.
pub(crate) const PACKET_PRIVACY: u8 = 6;

pub(crate) const REQUEST: u8 = 0;
pub(crate) const RESPONSE: u8 = 2;
pub(crate) const FAULT: u8 = 3;
pub(crate) const BIND: u8 = 11;
pub(crate) const BIND_ACK: u8 = 12;
pub(crate) const BIND_NAK: u8 = 13;
pub(crate) const ALTER_CONTEXT: u8 = 14;
pub(crate) const ALTER_CONTEXT_RESPONSE: u8 = 15;
pub(crate) const AUTH3: u8 = 16;

pub(crate) const FIRST: u8 = 1;
pub(crate) const LAST: u8 = 2;
/// The signature covers the heads too (MS-RPCE 2.2.2.3).
pub(crate) const HEADER_SIGN: u8 = 4;

const VERSION: u8 = 5;
/// Integers little endian, characters ASCII, floats IEEE.
const LITTLE_ENDIAN: u8 = 0x10;
/// Results of a negotiation that are looked at.
const RESULTS_MAX: u8 = 8;

/// The head of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: u8,
    pub flags: u8,
    pub fragment_bytes: usize,
    /// Bytes of the token at the end; 0 without protection.
    pub token_bytes: usize,
    pub call: u32,
}

impl Head {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let [version, _minor, kind, flags, order, ..] = reader.array::<8>()?;
        if version != VERSION || order != LITTLE_ENDIAN {
            return Err(Malformed("it is not DCE/RPC version 5, little endian"));
        }
        let head = Self {
            kind,
            flags,
            fragment_bytes: usize::from(reader.u16()?),
            token_bytes: usize::from(reader.u16()?),
            call: reader.u32()?,
        };
        let least = match head.token_bytes {
            0 => HEAD_BYTES,
            token => HEAD_BYTES + TRAILER_BYTES + token,
        };
        if head.fragment_bytes < least {
            return Err(Malformed("the lengths of a fragment disagree"));
        }
        Ok(head)
    }
}

/// A unit as it was received: exactly `head.fragment_bytes` bytes.
#[derive(Debug)]
pub(crate) struct Pdu {
    pub head: Head,
    pub bytes: Vec<u8>,
}

/// The parts of a sealed fragment, in their order.
pub(crate) struct Parts<'a> {
    pub head: &'a mut [u8],
    pub body: &'a mut [u8],
    pub trailer: &'a mut [u8],
    pub token: &'a mut [u8],
}

impl Pdu {
    /// From the bytes of one whole unit.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let head = Head::parse(bytes)?;
        if head.fragment_bytes != bytes.len() {
            return Err(Malformed("the lengths of a fragment disagree"));
        }
        Ok(Self {
            head,
            bytes: bytes.to_vec(),
        })
    }

    /// The token of a negotiation; empty when there is none.
    pub(crate) fn token(&self) -> &[u8] {
        let start = self.bytes.len().saturating_sub(self.head.token_bytes);
        self.bytes.get(start..).unwrap_or_default()
    }

    /// What a request or response carries when it is not protected.
    pub(crate) fn stub(&self) -> Result<&[u8]> {
        self.bytes
            .get(STUB_OFFSET..)
            .ok_or(Malformed("a fragment is too short"))
    }

    /// The size of the whole answer as the sender foresees it.
    pub(crate) fn allocation_hint(&self) -> Result<u32> {
        self.word(HEAD_BYTES)
    }

    /// The status of a fault (C706 12.6.4.7).
    pub(crate) fn fault(&self) -> Result<u32> {
        self.word(STUB_OFFSET)
    }

    fn word(&self, offset: usize) -> Result<u32> {
        let mut reader = Reader::new(&self.bytes);
        reader.take(offset)?;
        reader.u32()
    }

    /// The parts of a sealed response.
    pub(crate) fn parts(&mut self) -> Result<Parts<'_>> {
        parts(&mut self.bytes, self.head.token_bytes)
    }
}

fn parts(bytes: &mut [u8], token_bytes: usize) -> Result<Parts<'_>> {
    let short = Malformed("a fragment is too short");
    let (head, rest) = bytes.split_at_mut_checked(STUB_OFFSET).ok_or(short)?;
    let body_bytes = rest
        .len()
        .checked_sub(TRAILER_BYTES + token_bytes)
        .ok_or(short)?;
    let (body, rest) = rest.split_at_mut(body_bytes);
    let (trailer, token) = rest.split_at_mut(TRAILER_BYTES);
    Ok(Parts {
        head,
        body,
        trailer,
        token,
    })
}

/// How many bytes at the end of a body are padding, after checking that the trailer is ours.
pub(crate) fn padding(trailer: &[u8], auth_type: u8) -> Result<usize> {
    match trailer {
        [kind, PACKET_PRIVACY, padding, ..] if *kind == auth_type => Ok(usize::from(*padding)),
        _ => Err(Malformed("the protection is not the one negotiated")),
    }
}

fn start(kind: u8, flags: u8, call: u32) -> Writer {
    let mut writer = Writer::default();
    writer.raw(&[VERSION, 0, kind, flags, LITTLE_ENDIAN, 0, 0, 0, 0, 0, 0, 0]);
    writer.u32(call);
    writer
}

/// Puts the two lengths into the head.
fn finish(mut bytes: Vec<u8>, token_bytes: usize) -> Result<Vec<u8>> {
    let long = |_| Malformed("a fragment of ours is too long");
    let fragment = u16::try_from(bytes.len()).map_err(long)?.to_le_bytes();
    let token = u16::try_from(token_bytes).map_err(long)?.to_le_bytes();
    if let Some(place) = bytes.get_mut(8..12) {
        let (first, second) = place.split_at_mut(2);
        first.copy_from_slice(&fragment);
        second.copy_from_slice(&token);
    }
    Ok(bytes)
}

/// A token and the kind of security it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub auth_type: u8,
    pub bytes: &'a [u8],
}

fn add_token(writer: &mut Writer, length: usize, token: Token<'_>) {
    let padding = length.next_multiple_of(4) - length;
    writer.align(4);
    let padding = u8::try_from(padding).unwrap_or_default();
    writer.raw(&[token.auth_type, PACKET_PRIVACY, padding, 0, 0, 0, 0, 0]);
    writer.raw(token.bytes);
}

/// A bind or alter_context with one presentation context, number 0 (C706 12.6.4.1, 12.6.4.3).
pub(crate) fn negotiate(
    kind: u8,
    call: u32,
    interface: &Interface,
    token: Option<Token<'_>>,
) -> Result<Vec<u8>> {
    let sign = if token.is_some() { HEADER_SIGN } else { 0 };
    let mut writer = start(kind, FIRST | LAST | sign, call);
    writer.u16(FRAGMENT_BYTES);
    writer.u16(FRAGMENT_BYTES);
    writer.u32(0);
    writer.raw(&[1, 0, 0, 0]);
    writer.raw(&[0, 0, 1, 0]);
    for syntax in [interface, &NDR32] {
        writer.raw(&syntax.uuid);
        writer.u16(syntax.major);
        writer.u16(syntax.minor);
    }
    let bytes = token.map_or(0, |token| token.bytes.len());
    if let Some(token) = token {
        // Head, sizes and group, and one context: a multiple of four.
        add_token(&mut writer, 72, token);
    }
    finish(writer.into_bytes(), bytes)
}

/// The last leg of an NTLM negotiation, which nobody answers (MS-RPCE 2.2.2.5).
pub(crate) fn auth3(call: u32, token: Token<'_>) -> Result<Vec<u8>> {
    let mut writer = start(AUTH3, FIRST | LAST, call);
    writer.u32(0);
    add_token(&mut writer, HEAD_BYTES + 4, token);
    finish(writer.into_bytes(), token.bytes.len())
}

/// What a request needs beside its stub.
#[derive(Clone, Copy)]
pub(crate) struct RequestHead {
    pub flags: u8,
    pub call: u32,
    /// Bytes of the stub from here on.
    pub left: usize,
    pub operation: u16,
}

impl RequestHead {
    fn start(self) -> Writer {
        let mut writer = start(REQUEST, self.flags, self.call);
        writer.length(self.left);
        writer.u16(0);
        writer.u16(self.operation);
        writer
    }

    /// An unprotected request.
    pub(crate) fn plain(self, stub: &[u8]) -> Result<Vec<u8>> {
        let mut writer = self.start();
        writer.raw(stub);
        finish(writer.into_bytes(), 0)
    }

    /// A request with room for its token; its lengths are final, so that they can be signed.
    pub(crate) fn sealable(
        self,
        stub: &[u8],
        auth_type: u8,
        token_bytes: usize,
    ) -> Result<Vec<u8>> {
        let mut writer = self.start();
        writer.raw(stub);
        let padding = stub.len().next_multiple_of(PADDING) - stub.len();
        writer.raw([0; PADDING].get(..padding).unwrap_or_default());
        let padding = u8::try_from(padding).unwrap_or_default();
        writer.raw(&[auth_type, PACKET_PRIVACY, padding, 0, 0, 0, 0, 0]);
        let mut bytes = writer.into_bytes();
        bytes.resize(bytes.len() + token_bytes, 0);
        finish(bytes, token_bytes)
    }
}

/// The parts of a request made by [`RequestHead::sealable`].
pub(crate) fn request_parts(bytes: &mut [u8], token_bytes: usize) -> Result<Parts<'_>> {
    parts(bytes, token_bytes)
}

/// What a server agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Longest fragment the server takes.
    pub receives: u16,
    /// Result and reason of our only context (C706 12.6.3.1); 0 and 0 when it was accepted.
    pub refusal: (u16, u16),
}

/// Reads a bind_ack or the answer to alter_context, which have one layout (C706 12.6.4.4).
pub(crate) fn parse_agreement(pdu: &Pdu) -> Result<Agreement> {
    let token = match pdu.head.token_bytes {
        0 => 0,
        token => TRAILER_BYTES + token,
    };
    let end = pdu.bytes.len().saturating_sub(token);
    let mut reader = Reader::new(pdu.bytes.get(..end).unwrap_or_default());
    reader.take(HEAD_BYTES)?;
    let _sends = reader.u16()?;
    let receives = reader.u16()?;
    let _group = reader.u32()?;
    let address_bytes = reader.u16()?;
    reader.take(usize::from(address_bytes))?;
    reader.align(4);
    let [results, ..] = reader.array::<4>()?;
    if results == 0 || results > RESULTS_MAX {
        return Err(Malformed("an answer to a bind without results"));
    }
    let refusal = (reader.u16()?, reader.u16()?);
    reader.take(16 + 4)?;
    Ok(Agreement { receives, refusal })
}

/// The reason of a bind_nak (C706 12.6.4.5).
pub(crate) fn parse_refusal(pdu: &Pdu) -> Result<u16> {
    let mut reader = Reader::new(&pdu.bytes);
    reader.take(HEAD_BYTES)?;
    reader.u16()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token<'static> = Token {
        auth_type: 10,
        bytes: b"token",
    };

    #[test]
    fn a_bind_holds_its_token_at_a_multiple_of_four() {
        let bytes = negotiate(BIND, 7, &NDR32, Some(TOKEN)).unwrap();
        let pdu = Pdu::parse(&bytes).unwrap();
        assert_eq!(pdu.head.call, 7);
        assert_eq!(pdu.head.flags, FIRST | LAST | HEADER_SIGN);
        assert_eq!(pdu.token(), b"token");
        assert_eq!(bytes.len(), 72 + 8 + 5);
        assert_eq!(bytes[72..76], [10, 6, 0, 0]);
        let bytes = auth3(7, TOKEN).unwrap();
        assert_eq!(bytes[20..24], [10, 6, 0, 0]);
        assert_eq!(Pdu::parse(&bytes).unwrap().token(), b"token");
    }

    #[test]
    fn a_request_is_padded_and_split_where_it_was_joined() {
        let head = RequestHead {
            flags: FIRST | LAST,
            call: 1,
            left: 20,
            operation: 3,
        };
        let mut bytes = head.sealable(&[9; 20], 16, 76).unwrap();
        let parts = request_parts(&mut bytes, 76).unwrap();
        assert_eq!(parts.head.len(), STUB_OFFSET);
        assert_eq!(parts.body.len(), 32);
        assert_eq!(parts.token.len(), 76);
        assert_eq!(padding(parts.trailer, 16), Ok(12));
        assert!(padding(parts.trailer, 10).is_err());
        assert_eq!(Pdu::parse(&bytes).unwrap().head.token_bytes, 76);
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        let bytes = negotiate(BIND, 7, &NDR32, Some(TOKEN)).unwrap();
        for length in 0..bytes.len() {
            assert!(Pdu::parse(&bytes[..length]).is_err(), "{length}");
        }
        let mut wrong = bytes.clone();
        wrong[10] = 200;
        assert!(Pdu::parse(&wrong).is_err());
        let mut wrong = bytes;
        wrong[0] = 4;
        assert!(Head::parse(&wrong).is_err());
        let mut short = [0; 40];
        assert!(parts(&mut short, 20).is_err());
    }
}
