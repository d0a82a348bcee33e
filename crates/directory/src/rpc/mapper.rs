//! The endpoint mapper: at which TCP port a server offers an interface (C706 appendix O, MS-RPCE
//! 2.2.1.2).
//!
//! Invariant: only the port of an answer is used; its address would lead behind a translation of
//! addresses, or wherever somebody on the way likes.

use super::ndr::{Malformed, Reader, Result, Writer};
use super::{Interface, NDR32};

/// Where the endpoint mapper listens.
pub(crate) const PORT: u16 = 135;
/// ept_map.
pub(crate) const MAP: u16 = 3;
/// e1af8308-5d1f-11c9-91a4-08002b14a0fa.
pub(crate) const MAPPER: Interface = Interface {
    uuid: [
        0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0,
        0xfa,
    ],
    major: 3,
    minor: 0,
};

/// Answers we ask for.
const TOWERS_MAX: u32 = 4;
/// Floors of a tower that are looked at; TCP has five.
const FLOORS_MAX: u16 = 16;
/// Protocol identifiers (C706 appendix I).
const FLOOR_UUID: u8 = 0x0d;
const FLOOR_CONNECTION: u8 = 0x0b;
const FLOOR_TCP: u8 = 0x07;
const FLOOR_IP: u8 = 0x09;

/// The stub that asks for TCP ports of an interface.
pub(crate) fn request(interface: &Interface) -> Vec<u8> {
    let tower = tower(interface);
    let mut writer = Writer::default();
    writer.pointer(false);
    writer.pointer(true);
    writer.length(tower.len());
    writer.length(tower.len());
    writer.raw(&tower);
    writer.align(4);
    writer.raw(&[0; 20]);
    writer.u32(TOWERS_MAX);
    writer.into_bytes()
}

/// Numbers in towers are packed, without alignment.
fn tower(interface: &Interface) -> Vec<u8> {
    let mut out = vec![5, 0];
    for syntax in [interface, &NDR32] {
        out.extend([19, 0, FLOOR_UUID]);
        out.extend(syntax.uuid);
        out.extend(syntax.major.to_le_bytes());
        out.extend([2, 0]);
        out.extend(syntax.minor.to_le_bytes());
    }
    for (protocol, address) in [(FLOOR_CONNECTION, 2), (FLOOR_TCP, 2), (FLOOR_IP, 4)] {
        out.extend([1, 0, protocol, address, 0]);
        out.resize(out.len() + usize::from(address), 0);
    }
    out
}

/// The first TCP port of an answer; `None` when the interface is not offered.
pub(crate) fn parse(stub: &[u8]) -> Result<Option<u16>> {
    let mut reader = Reader::new(stub);
    reader.take(20)?;
    let _towers = reader.u32()?;
    let _size = reader.u32()?;
    let _offset = reader.u32()?;
    let count = reader.count(4)?;
    if count > TOWERS_MAX as usize {
        return Err(Malformed("more towers than were asked for"));
    }
    let mut present = 0;
    for _ in 0..count {
        present += usize::from(reader.pointer()?);
    }
    let mut port = None;
    for _ in 0..present {
        let size = reader.u32()?;
        let bytes = reader.conformance(size, 1)?;
        port = port.or(parse_tower(reader.take(bytes)?)?);
    }
    let status = reader.u32()?;
    reader.end()?;
    Ok(port.filter(|_| status == 0))
}

fn parse_tower(bytes: &[u8]) -> Result<Option<u16>> {
    let mut rest = bytes;
    let floors = packed(&mut rest, 2).and_then(word)?;
    if floors > FLOORS_MAX {
        return Err(Malformed("a tower has too many floors"));
    }
    for _ in 0..floors {
        let length = packed(&mut rest, 2).and_then(word)?;
        let protocol = packed(&mut rest, usize::from(length))?;
        let length = packed(&mut rest, 2).and_then(word)?;
        let address = packed(&mut rest, usize::from(length))?;
        if let ([FLOOR_TCP], [high, low]) = (protocol, address) {
            // The only number of all this in network order.
            let port = u16::from_be_bytes([*high, *low]);
            return Ok(Some(port).filter(|port| *port != 0));
        }
    }
    Ok(None)
}

fn packed<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or(Malformed("a tower ends too early"))?;
    *rest = left;
    Ok(taken)
}

fn word(bytes: &[u8]) -> Result<u16> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Malformed("a tower ends too early"))?;
    Ok(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer as the mapper gives it.
    pub(crate) fn answer(port: u16, status: u32) -> Vec<u8> {
        let mut tower = tower(&NDR32);
        let place = tower.len() - 4 - 5 - 2;
        tower[place..place + 2].copy_from_slice(&port.to_be_bytes());
        let mut writer = Writer::default();
        writer.raw(&[0; 20]);
        for number in [1, TOWERS_MAX, 0, 1] {
            writer.u32(number);
        }
        writer.pointer(true);
        writer.length(tower.len());
        writer.length(tower.len());
        writer.raw(&tower);
        writer.align(4);
        writer.u32(status);
        writer.into_bytes()
    }

    #[test]
    fn the_port_is_found_and_refusals_are_no_port() {
        assert_eq!(parse(&answer(49153, 0)), Ok(Some(49153)));
        assert_eq!(parse(&answer(0, 0)), Ok(None));
        // ept_s_not_registered.
        assert_eq!(parse(&answer(49153, 0x16c9_a0d6)), Ok(None));
        let whole = answer(49153, 0);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(place: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut bytes = answer(49153, 0);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            parse(&bytes).ok();
            parse(&bytes[..cut.index(bytes.len())]).ok();
        }
    }
}
