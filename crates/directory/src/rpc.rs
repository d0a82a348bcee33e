//! Connection-oriented DCE/RPC over TCP (C706 chapter 12, MS-RPCE): what replication needs of it.
//!
//! Invariant: an answer is only taken from fragments that belong to the call, are complete and, on a
//! signed-in association, were sealed; bytes of the network never panic and never cost more memory
//! than was received. Deliberately absent: named pipes, NDR64, object identifiers, asynchronous
//! calls and callbacks.

pub(crate) mod association;
pub(crate) mod mapper;
pub(crate) mod ndr;
pub(crate) mod pdu;

/// An interface and its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    /// UUID in the byte order of the wire.
    pub uuid: [u8; 16],
    pub major: u16,
    pub minor: u16,
}

/// NDR 2.0, the only transfer syntax we offer: 8a885d04-1ceb-11c9-9fe8-08002b104860.
pub(crate) const NDR32: Interface = Interface {
    uuid: [
        0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48,
        0x60,
    ],
    major: 2,
    minor: 0,
};
