//! The section `limits` of the configuration, on real connections to a hub in this process.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::sync::Arc;

use reqwest::{Response, StatusCode};
use rollcall_client::ServiceAccountKey;
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server::{self, Options, RunningHub};
use rollcall_kit::clock::{Clock as _, ManualClock, SystemClock};
use rollcall_kit::entropy::SystemEntropy;
use rollcall_kit::timestamp::Span;
use rollcall_proto::iam::iam_token_service_client::IamTokenServiceClient;
use rollcall_proto::iam::{CreateIamTokenRequest, create_iam_token_request::Identity};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_types::StatusExt as _;

struct Limited {
    clock: Arc<ManualClock>,
    running: RunningHub,
    made: Made,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Limited {
    /// A hub with these limits; its clock stands still.
    async fn start(limits: &str) -> Self {
        // The first test of a process wins; all of them choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let request = init::Request {
            data: directory.path().join("hub"),
            organization: "Test".into(),
            address: "localhost:0".into(),
            database: None,
        };
        let made = init::init(request, clock.as_ref(), &SystemEntropy)
            .await
            .unwrap();
        let data = DataDirectory::at(&directory.path().join("hub"));
        let mut yaml = std::fs::OpenOptions::new()
            .append(true)
            .open(data.config())
            .unwrap();
        writeln!(yaml, "limits: {{{limits}}}").unwrap();
        let mut options = Options::new(data);
        options.listen = Some("127.0.0.1:0".into());
        options.clock = Arc::clone(&clock) as _;
        let running = server::start(options).await.unwrap();
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&made.ca).unwrap()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .build()
            .unwrap();
        Self {
            clock,
            running,
            made,
            http,
            _directory: directory,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.running.port)
    }

    fn jwt(&self) -> String {
        let key = ServiceAccountKey::read(&self.made.key).unwrap();
        key.sign(self.clock.now()).unwrap().expose().to_owned()
    }

    /// A token; counts as an anonymous call.
    async fn token(&self) -> String {
        let request = self.http.post(self.url("/iam/v1/tokens"));
        let answer = request
            .json(&json!({"jwt": self.jwt()}))
            .send()
            .await
            .unwrap();
        let json: Json = answer.json().await.unwrap();
        json["iamToken"].as_str().unwrap().to_owned()
    }

    async fn get(&self, token: &str) -> Response {
        let path = "/organization-manager/v1/organizations";
        let request = self.http.get(self.url(path)).bearer_auth(token);
        request.send().await.unwrap()
    }

    async fn get_endpoints(&self) -> StatusCode {
        let request = self.http.get(self.url("/endpoints"));
        request.send().await.unwrap().status()
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.running.port))
            .await
            .unwrap()
    }

    async fn tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(&self.made.ca).unwrap();
        roots.add(ca).unwrap();
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, self.tcp().await).await.unwrap()
    }
}

#[track_caller]
fn expect_rate_limited(status: StatusCode, json: &Json) {
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{json}");
    assert_eq!(json["code"], 8, "{json}");
    let details = json["details"].as_array().unwrap();
    let find = |kind: &str| {
        let kind = format!("type.googleapis.com/google.rpc.{kind}");
        details
            .iter()
            .find(|detail| detail["@type"] == kind.as_str())
            .unwrap_or_else(|| panic!("no {kind} in {json}"))
    };
    assert_eq!(find("ErrorInfo")["reason"], "RATE_LIMITED");
    assert_eq!(find("RetryInfo")["retryDelay"], "0.500s");
    assert_ne!(find("RequestInfo")["requestId"], "");
}

#[tokio::test]
async fn a_subject_that_calls_too_often_is_told_when_to_come_again() {
    let hub = Limited::start("requests_per_second: 2, burst: 3").await;
    let token = hub.token().await;
    for _ in 0..3 {
        assert_eq!(hub.get(&token).await.status(), StatusCode::OK);
    }
    let refused = hub.get(&token).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, json) = (refused.status(), refused.json().await.unwrap());
    expect_rate_limited(status, &json);
    // A second token of the same subject buys nothing.
    let second = hub.token().await;
    let status = hub.get(&second).await.status();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    hub.clock.advance(Span::millis(500));
    assert_eq!(hub.get(&second).await.status(), StatusCode::OK);
    let status = hub.get(&token).await.status();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    hub.running.stop().await;
}

#[tokio::test]
async fn guessing_tokens_is_slow_and_harms_nobody_who_is_known() {
    let hub = Limited::start("anonymous_requests_per_second: 2, anonymous_burst: 4").await;
    let token = hub.token().await;
    assert_eq!(hub.get(&token).await.status(), StatusCode::OK);
    for _ in 0..3 {
        let status = hub.get("guessed").await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let refused = hub.get("guessed").await;
    let (status, json) = (refused.status(), refused.json().await.unwrap());
    expect_rate_limited(status, &json);
    assert_eq!(hub.get_endpoints().await, StatusCode::TOO_MANY_REQUESTS);
    // Over gRPC the same bucket counts.
    let ca = Certificate::from_pem(std::fs::read(&hub.made.ca).unwrap());
    let channel = Endpoint::from_shared(hub.url(""))
        .unwrap()
        .tls_config(ClientTlsConfig::new().ca_certificate(ca))
        .unwrap()
        .connect_lazy();
    let mut grpc = IamTokenServiceClient::new(channel);
    let request = CreateIamTokenRequest {
        identity: Some(Identity::Jwt(hub.jwt())),
    };
    let status = grpc.create(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Span::millis(500).to_duration()));

    assert_eq!(hub.get(&token).await.status(), StatusCode::OK);
    hub.clock.advance(Span::millis(500));
    grpc.create(request).await.unwrap();
    assert_eq!(hub.get_endpoints().await, StatusCode::TOO_MANY_REQUESTS);
    hub.running.stop().await;
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let hub =
        Arc::new(Limited::start("anonymous_requests_per_second: 1, anonymous_burst: 4").await);
    let guesses: Vec<_> = (0..40)
        .map(|n| {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move { hub.get(&format!("guessed{n}")).await.status() })
        })
        .collect();
    let mut looked_up = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            StatusCode::UNAUTHORIZED => looked_up += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(looked_up, 4);
    Arc::into_inner(hub).unwrap().running.stop().await;
}

#[tokio::test]
async fn who_was_known_lately_is_looked_up_beside_somebody_who_guesses() {
    let hub = Limited::start("anonymous_requests_per_second: 1, anonymous_burst: 4").await;
    let token = hub.token().await;
    assert_eq!(hub.get(&token).await.status(), StatusCode::OK);
    hub.clock.advance(Span::seconds(3_600));
    for _ in 0..4 {
        let status = hub.get("guessed").await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let status = hub.get("guessed").await.status();
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(hub.get(&token).await.status(), StatusCode::OK);
    hub.running.stop().await;
}

#[tokio::test]
async fn bodies_have_the_configured_size_at_most() {
    let hub = Limited::start("message_bytes: 65536").await;
    let send = async |spaces: usize| {
        let body = format!("{{\"jwt\": \"x\"}}{}", " ".repeat(spaces));
        let request = hub.http.post(hub.url("/iam/v1/tokens")).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(send(60_000).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(66_000).await, StatusCode::PAYLOAD_TOO_LARGE);
    hub.running.stop().await;
}

/// The status of a call whose client never sends the body it promises.
async fn status_without_body(hub: &Limited, timeout: &str) -> String {
    let mut stream = hub.tls(b"http/1.1").await;
    let head = format!(
        "POST /iam/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\
         Content-Type: application/json\r\ngrpc-timeout: {timeout}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1_024];
    let bytes = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..bytes]);
    assert!(answer.contains("connection: close"), "{answer}");
    answer.chars().take("HTTP/1.1 504".len()).collect()
}

#[tokio::test]
async fn a_call_ends_by_its_own_deadline_or_that_of_the_hub() {
    let hub = Limited::start("call_seconds_max: 3600").await;
    assert_eq!(status_without_body(&hub, "10m").await, "HTTP/1.1 504");
    hub.running.stop().await;
    let hub = Limited::start("call_seconds_max: 1").await;
    assert_eq!(status_without_body(&hub, "1H").await, "HTTP/1.1 504");
    hub.running.stop().await;
}

#[tokio::test]
async fn connections_of_one_address_are_counted() {
    let hub = Limited::start("connections_per_address: 2").await;
    let (first, second) = (hub.tcp().await, hub.tcp().await);
    let mut third = hub.tcp().await;
    // Closed at once, in whichever way the system tells it.
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
    drop((first, second, third));
    // The hub learns of their end a moment later.
    const ATTEMPTS_MAX: usize = 200;
    for attempt in 1.. {
        match hub.http.get(hub.url("/endpoints")).send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), StatusCode::OK);
                break;
            }
            Err(error) => assert!(attempt < ATTEMPTS_MAX, "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    hub.running.stop().await;
}

#[tokio::test]
async fn streams_of_a_connection_are_as_configured() {
    const PREFACE_AND_EMPTY_SETTINGS: &[u8] =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
    let hub = Limited::start("concurrent_streams: 7").await;
    let mut stream = hub.tls(b"h2").await;
    stream.write_all(PREFACE_AND_EMPTY_SETTINGS).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut payload = vec![0; usize::from(head[2])];
    stream.read_exact(&mut payload).await.unwrap();
    let streams = payload.chunks(6).find_map(|setting| {
        let id = u16::from_be_bytes([setting[0], setting[1]]);
        let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
        (id == SETTINGS_MAX_CONCURRENT_STREAMS).then_some(value)
    });
    assert_eq!(streams, Some(7));
    hub.running.stop().await;
}
