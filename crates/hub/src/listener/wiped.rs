//! Reading from a connection so that no password stays in the buffers under the calls.
//!
//! The libraries for TLS and HTTP use one buffer for as long as a connection lives, and what was read
//! into it, a password among it, stays until something else is read into the same place. The
//! allocator wipes only what is freed.
//!
//! Invariant: whatever part of its buffer a reader offers is zeros before anything is read into it,
//! so a reader that offers its whole buffer when it waits for more leaves nothing there. An HTTP/2
//! reader goes through its buffer from beginning to end: it is led there by a frame that nobody
//! else sees, at most [`AGE_MAX`] after something came. Deliberately absent: what the hub writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frame_boundary::{FRAME_BYTES_MAX, FrameBoundary, HEADER_BYTES};

/// How long something may lie in the buffer of an HTTP/2 connection that nothing more comes from.
const AGE_MAX: Duration = Duration::from_secs(10);
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
    pub fn new(inner: R) -> Self {
        Self {
            inner,
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
                    let due = || Box::pin(sleep_until(Instant::now() + AGE_MAX));
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
