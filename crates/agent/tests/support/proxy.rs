//! A wire between two programs that a test can stall, cut and stop after a number of bytes.
//!
//! Invariant: what goes through is forwarded as it is; a stalled wire keeps what was sent and
//! delivers it late, as a network does that comes back.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Small, so that a wire can be stopped between two records of TLS.
const PIECE_BYTES: usize = 1_024;

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Forwards.
    Open,
    /// Keeps everything back; connections are taken, but nothing moves.
    Stalled,
    /// Ends connections, also new ones.
    Cut,
}

/// A wire to one address.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    way: watch::Sender<Way>,
    bytes: AtomicU64,
    stall_after: AtomicU64,
}

impl Proxy {
    /// A wire that listens at `ip` and leads to `target`.
    pub async fn start(ip: IpAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            way: watch::channel(Way::Open).0,
            bytes: AtomicU64::new(0),
            stall_after: AtomicU64::new(u64::MAX),
        });
        let task = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Self {
            port,
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn set(&self, way: Way) {
        self.shared.way.send_replace(way);
    }

    /// Bytes forwarded so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// Stalls when `bytes` more have been forwarded.
    pub fn stall_after(&self, bytes: u64) {
        let at = self.bytes() + bytes;
        self.shared.stall_after.store(at, Ordering::SeqCst);
    }

    /// Forwards again, without a limit.
    pub fn open(&self) {
        self.shared.stall_after.store(u64::MAX, Ordering::SeqCst);
        self.set(Way::Open);
    }

    /// Waits until the wire has stalled by itself.
    pub async fn stalled(&self) {
        let mut ways = self.shared.way.subscribe();
        ways.wait_for(|way| *way == Way::Stalled).await.unwrap();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    let mut wires = tokio::task::JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        wires.spawn(async move {
            if *shared.way.borrow() == Way::Cut {
                return;
            }
            let Ok(far) = TcpStream::connect(target).await else {
                return;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(
                pump(near_in, far_out, &shared),
                pump(far_in, near_out, &shared)
            );
        });
        while wires.try_join_next().is_some() {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut ways = shared.way.subscribe();
    let mut piece = [0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            _ = ways.wait_for(|way| *way == Way::Cut) => 0,
        };
        if read == 0 {
            return;
        }
        let bytes = shared.bytes.fetch_add(read as u64, Ordering::SeqCst);
        if bytes >= shared.stall_after.load(Ordering::SeqCst) {
            shared.way.send_if_modified(|way| {
                let open = *way == Way::Open;
                if open {
                    *way = Way::Stalled;
                }
                open
            });
        }
        let way = *ways.wait_for(|way| *way != Way::Stalled).await.unwrap();
        if way == Way::Cut || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
