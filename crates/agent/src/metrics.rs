//! The agent's metrics for Prometheus, over HTTP on an address of the configuration.
//!
//! Invariant: read-only, nothing secret, no name of a person; a slow or hostile reader costs one of
//! few slots and nothing else. Deliberately absent: encryption and sign-in, so the address should
//! be a loopback one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rollcall_kit::clock::{Clock as _, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::condition::Board;
use crate::failure::Failure;

mod text;

pub use text::render;

/// Readers at the same time; more wait.
const READERS_MAX: usize = 8;
/// One connection, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PATH: &str = "/metrics";
/// The text format's version, as Prometheus asks for it.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Starts to serve what `board` shows.
///
/// # Errors
/// [`Failure::Config`] when the address cannot be listened on.
pub async fn serve(address: SocketAddr, board: Board) -> Result<Server, Failure> {
    let failed = |error| {
        Failure::Config(format!(
            "metrics.listen: cannot listen on {address}: {error}; give a free address of this machine"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the metrics are open to the network, without encryption or sign-in");
    }
    tracing::info!(%address, "metrics are served");
    Ok(Server {
        address,
        _task: AbortOnDropHandle::new(tokio::spawn(accept(listener, board))),
    })
}

async fn accept(listener: TcpListener, board: Board) {
    let slots = Arc::new(Semaphore::new(READERS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, &board)).await;
            drop(slot);
        });
    }
}

/// A reader that goes away or talks nonsense is no matter of ours.
async fn connection(stream: TcpStream, board: &Board) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, board);
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer<B>(request: &Request<B>, board: &Board) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, PATH) => (
            StatusCode::OK,
            render(&board.condition(), SystemClock.now()),
        ),
        (_, PATH) => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into()),
        _ => (
            StatusCode::NOT_FOUND,
            format!("the metrics are at {PATH}\n"),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(TEXT);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn only_the_metrics_are_there() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = serve(any, Board::default()).await.unwrap();
        let metrics = ask(server.address, "GET /metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("# TYPE rollcall_agent_build_info gauge"));
        let other = ask(server.address, "GET /").await;
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
        let post = ask(server.address, "POST /metrics").await;
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
        let taken = serve(server.address, Board::default()).await.unwrap_err();
        assert_eq!(taken.exit_code(), 2);
    }
}
