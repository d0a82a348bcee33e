//! Where in a stream of HTTP/2 frames a reader is (RFC 9113, section 4.1).
//!
//! Invariant: it follows whatever bytes come, as the reader behind it ends the connection when they
//! are no frames. Deliberately absent: what frames mean, but for header blocks, into which no other
//! frame may be put (section 4.3).

/// Bytes of the header of a frame.
pub(super) const HEADER_BYTES: usize = 9;
/// Longest frame that the hub reads: header, and the payload that every peer accepts (section 4.2).
pub(super) const FRAME_BYTES_MAX: usize = HEADER_BYTES + 16_384;

const HEADERS: u8 = 0x1;
const PUSH_PROMISE: u8 = 0x5;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// What has passed.
#[derive(Default)]
pub(super) struct FrameBoundary {
    /// What came of the header of the present frame.
    header: Vec<u8>,
    /// What has to come of its payload.
    payload: usize,
    is_in_header_block: bool,
}

impl FrameBoundary {
    /// Whether another frame may begin here.
    pub fn is_between_frames(&self) -> bool {
        self.header.is_empty() && self.payload == 0 && !self.is_in_header_block
    }

    /// Follows these bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let (_, rest) = bytes.split_at(self.payload.min(bytes.len()));
                self.payload -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let missing = HEADER_BYTES - self.header.len();
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            self.header.extend_from_slice(part);
            bytes = rest;
            if let [high, middle, low, kind, flags, ..] = *self.header
                && self.header.len() == HEADER_BYTES
            {
                self.header.clear();
                let length = u32::from_be_bytes([0, high, middle, low]);
                self.payload = usize::try_from(length).unwrap_or(usize::MAX);
                if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
                    self.is_in_header_block = flags & END_HEADERS == 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let header = [&length[1..], &[kind, flags, 0, 0, 0, 1]].concat();
        [header, vec![0xff; payload]].concat()
    }

    #[test]
    fn frames_are_followed_in_pieces_of_any_size() {
        // Settings, headers in two frames, data, an empty frame.
        let frames = [
            (frame(4, 0, 18), true),
            (frame(HEADERS, 1, 300), false),
            (frame(CONTINUATION, END_HEADERS, 7), true),
            (frame(0, 1, 16_384), true),
            (frame(6, 0, 0), true),
        ];
        for size in [1, 2, 8, 9, 10, 4_096, 100_000] {
            let mut boundary = FrameBoundary::default();
            assert!(boundary.is_between_frames());
            for (frame, is_free) in &frames {
                let (last, others) = frame.split_last().unwrap();
                for piece in others.chunks(size) {
                    boundary.pass(piece);
                    assert!(!boundary.is_between_frames() || frame.len() == HEADER_BYTES);
                }
                boundary.pass(&[*last]);
                assert_eq!(boundary.is_between_frames(), *is_free, "{size}");
            }
        }
    }
}
