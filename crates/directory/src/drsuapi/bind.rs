//! DsBind and DsUnbind: what both sides can do, and the handle of everything after (MS-DRSR 4.1.3,
//! 4.1.25).
//!
//! Invariant: only what we can read is offered: no compression, and no reply newer than version 6.

use crate::guid::Guid;
use crate::rpc::Interface;
use crate::rpc::ndr::{Malformed, Reader, Result, Writer};

/// e3514235-4b06-11d1-ab04-00c04fc2dcd2.
pub(super) const DRSUAPI: Interface = Interface {
    uuid: [
        0x35, 0x42, 0x51, 0xe3, 0x06, 0x4b, 0xd1, 0x11, 0xab, 0x04, 0x00, 0xc0, 0x4f, 0xc2, 0xdc,
        0xd2,
    ],
    major: 4,
    minor: 0,
};
pub(super) const BIND: u16 = 0;
pub(super) const UNBIND: u16 = 1;

/// NTDSAPI_CLIENT_GUID, e24d201a-4fd6-11d1-a3da-0000f875ae0d: a client that is no controller.
const CLIENT: Guid = Guid::from_bytes([
    0x1a, 0x20, 0x4d, 0xe2, 0xd6, 0x4f, 0xd1, 0x11, 0xa3, 0xda, 0x00, 0x00, 0xf8, 0x75, 0xae, 0x0d,
]);

/// DRS_EXTENSIONS_INT.dwFlags (MS-DRSR 5.39).
const BASE: u32 = 0x0000_0001;
const LINKED_VALUE_REPLICATION: u32 = 0x0000_0400;
/// Secrets are encrypted with the key of the session; without it none are sent.
pub(super) const STRONG_ENCRYPTION: u32 = 0x0000_8000;
const GETCHGREQ_V6: u32 = 0x0040_0000;
pub(super) const GETCHGREQ_V8: u32 = 0x0100_0000;
const GETCHGREPLY_V6: u32 = 0x0400_0000;
const OWN_FLAGS: u32 = BASE
    | LINKED_VALUE_REPLICATION
    | STRONG_ENCRYPTION
    | GETCHGREQ_V6
    | GETCHGREQ_V8
    | GETCHGREPLY_V6;

/// Capabilities of a peer that are looked at; those of today have 52 bytes.
const EXTENSION_BYTES_MAX: usize = 10_000;
pub(super) const NO_SITE: Guid = Guid::from_bytes([0; 16]);
pub(super) const HANDLE_BYTES: usize = 20;

/// The handle that a controller gives us.
pub(super) type Handle = [u8; HANDLE_BYTES];

/// The stub of DsBind for a replication epoch, which is 0 unless the domain was renamed.
pub(super) fn request(epoch: u32) -> Vec<u8> {
    let mut extensions = Writer::default();
    extensions.u32(OWN_FLAGS);
    // Site, process, epoch, further flags, configuration, further capabilities.
    extensions.raw(&[0; 16 + 4]);
    extensions.u32(epoch);
    extensions.raw(&[0; 4 + 16]);
    extensions.u32(u32::MAX);
    let extensions = extensions.into_bytes();
    let mut writer = Writer::default();
    writer.pointer(true);
    writer.guid(CLIENT);
    writer.pointer(true);
    writer.length(extensions.len());
    writer.length(extensions.len());
    writer.raw(&extensions);
    writer.into_bytes()
}

/// The answer to DsBind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub flags: u32,
    /// objectGUID of the site of the peer; zeros when it does not say.
    pub site: Guid,
    /// 0 when the peer does not say.
    pub epoch: u32,
    pub handle: Handle,
    pub code: u32,
}

pub(super) fn parse(stub: &[u8]) -> Result<Bound> {
    let mut reader = Reader::new(stub);
    let (mut flags, mut site, mut epoch) = (0, NO_SITE, 0);
    if reader.pointer()? {
        let size = reader.u32()?;
        let bytes = reader.conformance(size, 1)?;
        if bytes > EXTENSION_BYTES_MAX {
            return Err(Malformed("too many capabilities"));
        }
        // Older servers send fewer fields.
        let mut fields = Reader::new(reader.take(bytes)?);
        flags = fields.u32()?;
        if let Ok(found) = fields.guid() {
            site = found;
            let _process = fields.u32();
            epoch = fields.u32().unwrap_or_default();
        }
    }
    reader.align(4);
    let handle = reader.array()?;
    let code = reader.u32()?;
    reader.end()?;
    Ok(Bound {
        flags,
        site,
        epoch,
        handle,
        code,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The site of the controller in [`answer`].
    pub(crate) const SITE: Guid = Guid::from_bytes([5; 16]);

    /// An answer as a controller gives it.
    pub(crate) fn answer(flags: u32, epoch: u32, code: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.pointer(true);
        writer.u32(28);
        writer.u32(28);
        writer.u32(flags);
        writer.guid(SITE);
        writer.u32(0);
        writer.u32(epoch);
        writer.raw(&[9; HANDLE_BYTES]);
        writer.u32(code);
        writer.into_bytes()
    }

    #[test]
    fn capabilities_are_read_as_far_as_they_go() {
        let bound = parse(&answer(0x2fff_ff6f, 3, 0)).unwrap();
        assert_eq!((bound.flags, bound.epoch, bound.code), (0x2fff_ff6f, 3, 0));
        assert_eq!((bound.site, bound.handle), (SITE, [9; HANDLE_BYTES]));
        let whole = answer(1, 2, 0);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
        let mut short = Writer::default();
        short.pointer(true);
        short.u32(4);
        short.u32(4);
        short.u32(7);
        short.raw(&[1; HANDLE_BYTES]);
        short.u32(5);
        let bound = parse(&short.into_bytes()).unwrap();
        assert_eq!((bound.flags, bound.epoch, bound.code), (7, 0, 5));
        assert_eq!(bound.site, NO_SITE);
    }

    /// All fields of DRS_EXTENSIONS_INT (MS-DRSR 5.39), which Samba does not send.
    #[test]
    fn capabilities_of_52_bytes_are_read() {
        let mut writer = Writer::default();
        writer.pointer(true);
        writer.u32(52);
        writer.u32(52);
        writer.u32(0x3fff_ff7f);
        writer.guid(SITE);
        writer.u32(648);
        writer.u32(0);
        writer.u32(0x7f);
        writer.raw(&[7; 16]);
        writer.u32(0x7f);
        writer.raw(&[9; HANDLE_BYTES]);
        writer.u32(0);
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), 12 + 52 + HANDLE_BYTES + 4);
        let bound = parse(&bytes).unwrap();
        assert_eq!((bound.flags, bound.site), (0x3fff_ff7f, SITE));
        assert_eq!((bound.epoch, bound.code), (0, 0));
        assert_eq!(bound.handle, [9; HANDLE_BYTES]);
    }

    #[test]
    fn the_request_has_the_length_that_controllers_check() {
        let stub = request(5);
        assert_eq!(stub.len(), 4 + 16 + 4 + 8 + 52);
        assert_eq!(stub[32..36], OWN_FLAGS.to_le_bytes());
        assert_eq!(stub[32 + 24..32 + 28], [5, 0, 0, 0]);
    }
}
