//! Reading from a connection so that no password stays in the buffers under the calls.
//!
//! The libraries for TLS and HTTP use one buffer for as long as a connection lives, and what was read
//! into it, a password among it, stays until something else is read into the same place. The
//! allocator wipes only what is freed.
//!
//! Invariant: whatever part of its buffer a reader offers is zeros before anything is read into it,
//! so a reader that offers its whole buffer when it waits for more leaves nothing there. An HTTP/2
//! reader goes through its buffer from beginning to end: it is led there by a frame that nobody
//! else sees, soon after something came. Deliberately absent: what the hub writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frame_boundary::{FRAME_BYTES_MAX, FrameBoundary, HEADER_BYTES};

/// A frame type for experiments (RFC 9113, section 11.2): it is ignored (section 4.1).
const FILLER_TYPE: u8 = 0xfa;

/// A stream that wipes what its reader offers.
pub(super) struct Wiped<S>(S);

impl<S> Wiped<S> {
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wiped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        wipe(buffer);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

/// The memory is read into or looked at by others afterwards, so this is not left out.
fn wipe(buffer: &mut ReadBuf<'_>) {
    buffer.initialize_unfilled().fill(0);
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wiped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What an HTTP/2 reader reads after the preface.
pub(super) struct WipedFrames<R> {
    inner: R,
    age_max: Duration,
    boundary: FrameBoundary,
    /// When the buffer has to be wiped; `None` while it is.
    due: Option<Pin<Box<Sleep>>>,
    /// Rest of a frame that fills the buffer.
    filler: Filler,
}

/// The rest of a frame: of its header, then of its payload.
#[derive(Default)]
struct Filler {
    header: Vec<u8>,
    payload: usize,
}

impl Filler {
    /// A frame of so many bytes, header included.
    fn of(bytes: usize) -> Self {
        let payload = bytes.clamp(HEADER_BYTES, FRAME_BYTES_MAX) - HEADER_BYTES;
        let length = u32::try_from(payload).unwrap_or_default().to_be_bytes();
        let [_, length @ ..] = length;
        let header = [length.as_slice(), &[FILLER_TYPE, 0, 0, 0, 0, 0]].concat();
        Self { header, payload }
    }

    fn is_empty(&self) -> bool {
        self.header.is_empty() && self.payload == 0
    }

    /// Gives as much as there is room for.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let part = self.header.len().min(buffer.remaining());
        buffer.put_slice(&self.header.drain(..part).collect::<Vec<_>>());
        let zeros = self.payload.min(buffer.remaining());
        self.payload -= zeros;
        // It was wiped, so it holds zeros.
        buffer.advance(zeros);
    }
}

impl<R> WipedFrames<R> {
    /// Something may lie in the buffer for `age_max` and until the frame that came last is complete.
    pub fn new(inner: R, age_max: Duration) -> Self {
        Self {
            inner,
            age_max,
            boundary: FrameBoundary::default(),
            due: None,
            filler: Filler::default(),
        }
    }

    /// Whether the buffer has to be led to its end now.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.boundary.is_between_frames() {
            return Poll::Pending;
        }
        match &mut self.due {
            Some(due) => due.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for WipedFrames<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        wipe(buffer);
        if !this.filler.is_empty() {
            this.filler.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                let read = buffer.filled().get(before..).unwrap_or_default();
                if !read.is_empty() {
                    this.boundary.pass(read);
                    let due = || Box::pin(sleep_until(Instant::now() + this.age_max));
                    this.due.get_or_insert_with(due);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                ready!(this.poll_due(cx));
                this.due = None;
                this.filler = Filler::of(buffer.remaining());
                this.filler.give(buffer);
                Poll::Ready(Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    const SECRET: &[u8] = b"Correct horse 7";
    const CAPACITY: usize = 8_192;

    /// Reads as the HTTP/2 library does: through one buffer from its beginning to its end, then again.
    struct Reader<R> {
        inner: R,
        buffer: Vec<u8>,
        at: usize,
        boundary: FrameBoundary,
    }

    impl<R: AsyncRead + Unpin> Reader<R> {
        fn new(inner: R) -> Self {
            Self {
                inner,
                buffer: vec![0xee; CAPACITY],
                at: 0,
                boundary: FrameBoundary::default(),
            }
        }

        fn holds(&self, bytes: &[u8]) -> bool {
            let mut parts = self.buffer.windows(bytes.len());
            parts.any(|part| part == bytes)
        }

        fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let mut room = ReadBuf::new(&mut self.buffer[self.at..]);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut room)).unwrap();
            self.boundary.pass(room.filled());
            self.at = (self.at + room.filled().len()) % CAPACITY;
            Poll::Ready(())
        }

        /// Reads until there is nothing more for now.
        async fn read(&mut self) {
            std::future::poll_fn(|cx| {
                while self.poll(cx).is_ready() {}
                Poll::Ready(())
            })
            .await;
        }
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [&length[1..], &[kind, flags, 0, 0, 0, 1]].concat();
        [header.as_slice(), payload].concat()
    }

    const NEVER: Duration = Duration::from_secs(100_000);

    #[tokio::test]
    async fn what_was_read_is_gone_a_little_later() {
        // Also where the rest of the buffer is too short for a frame.
        for before in [0, 100, CAPACITY - 42, CAPACITY - 40, CAPACITY - 34, 16_384] {
            let (mut client, stream) = tokio::io::duplex(1 << 20);
            let mut reader = Reader::new(WipedFrames::new(stream, NEVER));
            let sent = [frame(6, 0, &vec![1; before]), frame(0, 1, SECRET)].concat();
            client.write_all(&sent).await.unwrap();
            reader.read().await;
            reader.read().await;
            assert!(reader.holds(SECRET), "{before}");
            assert_eq!(reader.at, sent.len() % CAPACITY);
            reader.inner.age_max = Duration::ZERO;
            reader.inner.due = None;
            client.write_all(&frame(0, 1, b"more")).await.unwrap();
            while reader.holds(SECRET) || reader.holds(b"more") {
                reader.read().await;
                tokio::task::yield_now().await;
            }
            assert!(reader.boundary.is_between_frames(), "{before}");
            // Once is enough.
            let read = reader.at;
            reader.read().await;
            assert_eq!(reader.at, read);
            assert!(reader.inner.due.is_none());
        }
    }

    #[tokio::test]
    async fn nothing_is_put_into_a_frame_or_into_a_header_block() {
        for begun in [&frame(0, 0, SECRET)[..20], &frame(1, 0, SECRET)] {
            let (mut client, stream) = tokio::io::duplex(1 << 20);
            let mut reader = Reader::new(WipedFrames::new(stream, Duration::ZERO));
            client.write_all(begun).await.unwrap();
            for _ in 0..10 {
                reader.read().await;
                tokio::task::yield_now().await;
            }
            assert_eq!(reader.at, begun.len());
        }
    }
}
