//! The TLS port: accepting connections, HTTP/2 and HTTP/1.1 on each, an orderly end.
//!
//! Invariant: each connection is bounded in time (handshake, headers), in streams and in header
//! size, and their number is bounded, also for each address; when the hub stops, running calls get a bounded time to end.
//! Deliberately absent: what is served, which is `front`.

mod frame_boundary;
mod wiped;

use std::convert::Infallible;
use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service as HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tower::util::BoxCloneSyncService;

use wiped::{Wiped, WipedFrames};

use crate::config::{LimitsConfig, split_address};
use crate::data_directory::DataDirectory;
use crate::limits;
use crate::places::Places;
use crate::rate_limit::address_key;

const ALPN_HTTP2: &[u8] = b"h2";
/// Length of the connection preface of RFC 9113, section 3.4.
const HTTP2_PREFACE_BYTES: usize = 24;

/// What answers the requests of every connection.
pub type Front = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// Bound sockets, not yet served.
#[derive(Debug)]
pub struct Listener {
    host: String,
    port: u16,
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// Binds every address of the host in `address`; port 0 takes a free port.
    ///
    /// # Errors
    /// When the host is unknown, or none of its addresses can be bound.
    pub async fn bind(address: &str) -> anyhow::Result<Self> {
        let (host, mut port) = split_address(address)?;
        let addresses: Vec<SocketAddr> = lookup_host((host.as_str(), port))
            .await
            .with_context(|| format!("the host of {address} is unknown: use --listen"))?
            .collect();
        let mut sockets = Vec::new();
        let mut failure = None;
        for mut candidate in addresses {
            candidate.set_port(port);
            match TcpListener::bind(candidate).await {
                Ok(socket) => {
                    port = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                Err(error) => failure = Some((candidate, error)),
            }
        }
        if sockets.is_empty() {
            let (candidate, error) = failure.context("the host has no address: use --listen")?;
            return Err(error).with_context(|| {
                format!(
                    "the hub cannot listen on {candidate}: free the port, or give another one \
                     with --listen"
                )
            });
        }
        Ok(Self {
            host,
            port,
            sockets,
        })
    }

    /// The port in use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` with the port in use.
    #[must_use]
    pub fn address(&self) -> String {
        join_address(&self.host, self.port)
    }

    /// Serves until `stop`, then waits for running calls, at most
    /// [`crate::limits::SHUTDOWN_TIMEOUT`].
    pub async fn serve(self, served: Served, limits: LimitsConfig, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let acceptors = TaskTracker::new();
        let slots = usize::try_from(limits.connections).unwrap_or(Semaphore::MAX_PERMITS);
        let slots = Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)));
        let addresses = Arc::new(Places::new(limits.connections_of_address_max(), usize::MAX));
        for socket in self.sockets {
            let port = Port {
                tls: TlsAcceptor::from(Arc::clone(&served.tls)),
                front: served.front.clone(),
                stop: stop.clone(),
                slots: Arc::clone(&slots),
                addresses: Arc::clone(&addresses),
                streams_max: limits.concurrent_streams,
                connections: connections.clone(),
            };
            acceptors.spawn(async move { port.accept(socket).await });
        }
        acceptors.close();
        acceptors.wait().await;
        connections.close();
        if tokio::time::timeout(limits::SHUTDOWN_TIMEOUT, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = connections.len(),
                "some calls did not end in time and are cut"
            );
        }
    }
}

/// Writes `host:port`, an IPv6 host in brackets.
#[must_use]
pub fn join_address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The TLS settings from the certificate and key of a data directory.
///
/// # Errors
/// When a file is missing or holds no usable certificate or key.
pub fn tls_config(data: &DataDirectory) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = (data.server_certificate(), data.server_key());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} holds no certificate", certificate.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(&key)
        .with_context(|| format!("{} holds no private key", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and its key do not fit", certificate.display()))?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a listener serves.
pub struct Served {
    /// The certificate and how it is shown.
    pub tls: Arc<ServerConfig>,
    /// What answers.
    pub front: Front,
}

struct Port {
    tls: TlsAcceptor,
    front: Front,
    stop: CancellationToken,
    slots: Arc<Semaphore>,
    addresses: Arc<Places<IpAddr>>,
    streams_max: u32,
    connections: TaskTracker,
}

impl Port {
    async fn accept(self, socket: TcpListener) {
        loop {
            let accepted = async {
                // The semaphore is never closed, so the only outcome is a slot.
                let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
                (slot, socket.accept().await)
            };
            let (slot, stream) = tokio::select! {
                accepted = accepted => accepted,
                () = self.stop.cancelled() => return,
            };
            match stream {
                Ok((stream, peer)) => {
                    let Some(address_slot) = self.addresses.take(address_key(peer.ip())) else {
                        tracing::debug!(%peer, "too many connections of one address");
                        continue;
                    };
                    let connection = Connection {
                        tls: self.tls.clone(),
                        front: self.front.clone(),
                        stop: self.stop.clone(),
                        peer,
                        streams_max: self.streams_max,
                    };
                    self.connections.spawn(async move {
                        connection.serve(stream).await;
                        drop((slot, address_slot));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(limits::ACCEPT_RETRY_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    tls: TlsAcceptor,
    front: Front,
    stop: CancellationToken,
    peer: SocketAddr,
    streams_max: u32,
}

/// The address of the client, in the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let peer = self.peer;
        // Small answers must not wait for more data.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let handshake = tokio::time::timeout(
            limits::TLS_HANDSHAKE_TIMEOUT,
            self.tls.accept(Wiped::new(stream)),
        );
        let stream = tokio::select! {
            outcome = handshake => match outcome {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    tracing::debug!(%peer, "TLS handshake took too long");
                    return;
                }
            },
            () = self.stop.cancelled() => return,
        };
        let version = Version::negotiated(stream.get_ref().1.alpn_protocol());
        let front = self.front;
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let mut front = front.clone();
            async move { front.call(request).await }
        });
        let service = TowerToHyperService::new(service);
        let served = match version {
            Version::Http1 { wait } => {
                let builder = http_builder(wait, self.streams_max).http1_only();
                serve_http(&builder, Wiped::new(stream), service, &self.stop).await
            }
            Version::Http2 { wait } => {
                let prefaced = tokio::select! {
                    prefaced = read_preface(stream, wait) => prefaced,
                    () = self.stop.cancelled() => return,
                };
                let Some(stream) = prefaced else {
                    tracing::debug!(%peer, "no HTTP/2 preface came");
                    return;
                };
                let builder =
                    http_builder(limits::HTTP1_HEADER_READ_TIMEOUT, self.streams_max).http2_only();
                serve_http(&builder, stream, service, &self.stop).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// What a client speaks, and how long the hub waits for its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1 { wait: Duration },
    Http2 { wait: Duration },
}

impl Version {
    /// HTTP/2 is spoken over TLS only after ALPN (RFC 9113, section 3.2).
    fn negotiated(protocol: Option<&[u8]>) -> Self {
        if protocol == Some(ALPN_HTTP2) {
            Self::Http2 {
                wait: limits::HTTP2_PREFACE_TIMEOUT,
            }
        } else {
            Self::Http1 {
                wait: limits::HTTP1_HEADER_READ_TIMEOUT,
            }
        }
    }
}

/// Waits for the HTTP/2 preface and puts it back in front of the stream; `None` when it does not
/// come in time. Pings watch the connection from then on.
async fn read_preface<S>(mut stream: S, wait: Duration) -> Option<impl AsyncRead + AsyncWrite>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut preface = [0; HTTP2_PREFACE_BYTES];
    let read = tokio::time::timeout(wait, stream.read_exact(&mut preface)).await;
    if !matches!(read, Ok(Ok(_))) {
        return None;
    }
    let (reader, writer) = tokio::io::split(stream);
    let reader = Cursor::new(preface).chain(WipedFrames::new(reader, limits::READ_BUFFER_AGE_MAX));
    Some(tokio::io::join(reader, writer))
}

async fn serve_http<S, T>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    service: T,
    stop: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: HttpService<Request<Incoming>, Response = Response<Body>> + Send + 'static,
    T::Future: Send + 'static,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

fn http_builder(header_wait: Duration, streams_max: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_wait)
        .max_headers(limits::HTTP1_HEADERS_MAX)
        .max_buf_size(limits::HTTP1_BUFFER_BYTES_MAX);
    // Pings of clients, with or without streams, are always answered (decision U130).
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_max)
        .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .adaptive_window(true)
        .keep_alive_interval(limits::HTTP2_KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::HTTP2_KEEPALIVE_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    const WAIT: Duration = Duration::from_millis(20);
    const PREFACE: &[u8; HTTP2_PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    #[test]
    fn http2_is_negotiated() {
        let is_http2 = |protocol| matches!(Version::negotiated(protocol), Version::Http2 { .. });
        assert!(is_http2(Some(b"h2".as_slice())));
        assert!(!is_http2(Some(b"http/1.1".as_slice())));
        assert!(!is_http2(None));
    }

    #[tokio::test]
    async fn who_stays_silent_is_cut() {
        let (_client, stream) = tokio::io::duplex(64);
        assert!(read_preface(stream, WAIT).await.is_none());
        let (mut client, stream) = tokio::io::duplex(64);
        client.write_all(b"PRI").await.unwrap();
        assert!(read_preface(stream, WAIT).await.is_none());

        let (_client, stream) = tokio::io::duplex(64);
        let service = tower::service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let service = TowerToHyperService::new(service);
        let builder = http_builder(WAIT, 1).http1_only();
        // Without a limit this would never end.
        let served = serve_http(&builder, stream, service, &CancellationToken::new()).await;
        assert!(served.is_err());
    }

    #[tokio::test]
    async fn a_preface_is_read_again_by_the_connection() {
        let (mut client, stream) = tokio::io::duplex(64);
        client.write_all(PREFACE).await.unwrap();
        client.write_all(b"rest").await.unwrap();
        let stream = read_preface(stream, limits::HTTP2_PREFACE_TIMEOUT).await;
        let mut stream = std::pin::pin!(stream.unwrap());
        let mut read = [0; HTTP2_PREFACE_BYTES + 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read[..HTTP2_PREFACE_BYTES], PREFACE[..]);
        assert_eq!(&read[HTTP2_PREFACE_BYTES..], b"rest");
    }
}
