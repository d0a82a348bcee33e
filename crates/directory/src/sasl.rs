//! The sealed stream of a SASL layer (RFC 4422 3.7): buffers with their length in front.
//!
//! Invariant: buffers are a stream of bytes and have nothing to do with messages: one may end
//! within a message, or hold several. A buffer is opened whole or not at all. Deliberately absent:
//! the negotiation of sizes (GSS-SPNEGO has none).

use bytes::{Buf as _, BytesMut};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::security::SecContext;

/// Samba makes buffers of 64 KiB; more is allowed for, but not everything.
const BUFFER_BYTES_MAX: usize = 16 << 20;
/// Samba takes buffers of 64 KiB, with what sealing adds.
const CONTENT_BYTES_MAX: usize = 48 << 10;
const LENGTH_BYTES: usize = 4;

pub(crate) struct Sasl {
    context: SecContext,
    received: BytesMut,
}

impl Sasl {
    pub(crate) fn new(context: SecContext) -> Self {
        Self {
            context,
            received: BytesMut::new(),
        }
    }

    /// Sealed bytes go in here.
    pub(crate) fn received(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// What to send for `plain`; large requests become several buffers.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(plain.len() + LENGTH_BYTES + self.context.trailer_bytes());
        for content in plain.chunks(CONTENT_BYTES_MAX) {
            let sealed = self.context.wrap(content)?;
            let length = u32::try_from(sealed.len())
                .map_err(|_| Error::Protocol("a request that cannot be sealed"))?;
            out.extend(length.to_be_bytes());
            out.extend(sealed);
        }
        Ok(out)
    }

    /// The content of the next buffer; `None` until all of it is there.
    pub(crate) fn open(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let Some(mut sealed) = take(&mut self.received)? else {
            return Ok(None);
        };
        Ok(Some(self.context.unwrap(&mut sealed)?))
    }
}

/// Takes one whole buffer from the front.
fn take(received: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
    let Some(length) = received.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > BUFFER_BYTES_MAX {
        return Err(Error::TooMuch {
            what: "bytes in one sealed buffer",
            limit: BUFFER_BYTES_MAX as u64,
        });
    }
    if received.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn claims_of_too_much_are_refused_at_once() {
        let mut received = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff][..]);
        assert!(matches!(take(&mut received), Err(Error::TooMuch { .. })));
    }

    proptest! {
        #[test]
        fn buffers_come_out_as_they_went_in_however_they_arrive(
            buffers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
            piece in 1usize..40,
        ) {
            let mut stream = Vec::new();
            for buffer in &buffers {
                stream.extend(u32::try_from(buffer.len()).unwrap().to_be_bytes());
                stream.extend(buffer);
            }
            let mut received = BytesMut::new();
            let mut taken = Vec::new();
            for bytes in stream.chunks(piece) {
                received.extend_from_slice(bytes);
                while let Some(buffer) = take(&mut received).unwrap() {
                    taken.push(buffer.to_vec());
                }
            }
            prop_assert_eq!(taken, buffers);
            prop_assert!(received.is_empty());
        }
    }
}
