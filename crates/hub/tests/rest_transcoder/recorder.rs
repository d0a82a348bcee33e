//! A gRPC service that takes every call of a contract, writes it down and gives one fixed answer.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prost_reflect::{DescriptorPool, DynamicMessage};
use rollcall_hub::rest::Transcoder;
use serde_json::Value as Json;
use tower::Service;

/// One call as the service saw it.
pub struct Call {
    pub rpc: String,
    pub headers: HeaderMap,
    pub message: Json,
}

/// What the service answers to every call.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An empty message.
    Empty,
    Status(tonic::Status),
    /// A status given before the message is read, as for a caller who is not admitted.
    Unread(tonic::Status),
    /// Status, content type and body as they are.
    Raw(StatusCode, &'static str, Vec<u8>),
}

/// What the transcoder answered.
pub struct Received {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Received {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }
}

#[derive(Clone)]
struct Grpc {
    pool: DescriptorPool,
    answer: Answer,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Service<http::Request<tonic::body::Body>> for Grpc {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if let Answer::Unread(status) = this.answer {
                return Ok(status.into_http());
            }
            let (parts, body) = request.into_parts();
            let Ok(frame) = body.collect().await else {
                // What a service makes of a stream that breaks.
                return Ok(tonic::Status::unknown("broken").into_http());
            };
            let frame = frame.to_bytes();
            let rpc = parts.uri.path().to_owned();
            let (service, method) = rpc[1..].split_once('/').unwrap();
            let service = this.pool.get_service_by_name(service).unwrap();
            let method = service.methods().find(|rpc| rpc.name() == method).unwrap();
            assert_eq!(
                frame[..5],
                *[&[0], &(frame.len() as u32 - 5).to_be_bytes()[..]].concat()
            );
            let message = DynamicMessage::decode(method.input(), &frame[5..]).unwrap();
            this.calls.lock().unwrap().push(Call {
                rpc,
                headers: parts.headers,
                message: serde_json::to_value(&message).unwrap(),
            });
            Ok(this.answer.into_response())
        })
    }
}

impl Answer {
    fn into_response(self) -> http::Response<tonic::body::Body> {
        match self {
            Self::Empty => raw(StatusCode::OK, "application/grpc", vec![0; 5], "0"),
            Self::Status(status) | Self::Unread(status) => status.into_http(),
            Self::Raw(status, kind, bytes) => raw(status, kind, bytes, "0"),
        }
    }
}

fn raw(
    status: StatusCode,
    kind: &str,
    bytes: Vec<u8>,
    code: &str,
) -> http::Response<tonic::body::Body> {
    http::Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("grpc-status", code)
        .body(tonic::body::Body::new(Full::new(Bytes::from(bytes))))
        .unwrap()
}

/// A transcoder in front of a recording service.
pub struct Recorder {
    transcoder: Transcoder<Grpc>,
    grpc: Grpc,
}

static ECHO: LazyLock<DescriptorPool> = LazyLock::new(|| pool_of_file("echo.proto"));

impl Recorder {
    /// The contract in a file beside this one.
    pub fn of_file(name: &str) -> Self {
        match name {
            "echo.proto" => Self::new(ECHO.clone(), Answer::Empty),
            other => Self::new(pool_of_file(other), Answer::Empty),
        }
    }

    /// The contract of the product.
    pub fn of_contract() -> Self {
        Self::new(rollcall_proto::descriptor_pool().clone(), Answer::Empty)
    }

    fn new(pool: DescriptorPool, answer: Answer) -> Self {
        let grpc = Grpc {
            pool: pool.clone(),
            answer,
            calls: Arc::default(),
        };
        let transcoder = Transcoder::new(&pool, grpc.clone()).unwrap();
        Self { transcoder, grpc }
    }

    pub fn answering(self, answer: Answer) -> Self {
        Self::new(self.grpc.pool, answer)
    }

    pub fn send(&self, method: &str, address: &str, body: &str) -> Received {
        self.send_with(method, address, &[], body.as_bytes().to_vec())
    }

    pub fn send_with(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Received {
        send(&self.transcoder, method, address, headers, body)
    }

    /// How many calls are written down.
    pub fn calls(&self) -> usize {
        self.grpc.calls.lock().unwrap().len()
    }

    /// Forgets the calls written down and says how many they were.
    pub fn forget(&self) -> usize {
        std::mem::take(&mut *self.grpc.calls.lock().unwrap()).len()
    }

    /// Takes the one call written down.
    #[track_caller]
    pub fn only_call(&self) -> Call {
        let mut calls = std::mem::take(&mut *self.grpc.calls.lock().unwrap());
        assert_eq!(calls.len(), 1, "one call was expected");
        calls.remove(0)
    }
}

/// Compiles a file of this directory with the imports of the product's contract.
pub fn pool_of_file(name: &str) -> DescriptorPool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let includes = [here.join("tests/rest_transcoder"), here.join("../../proto")];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true).open_file(name).unwrap();
    DescriptorPool::decode(&compiler.encode_file_descriptor_set()[..]).unwrap()
}

/// Sends one request and waits for the whole answer.
pub fn send<S>(
    transcoder: &Transcoder<S>,
    method: &str,
    address: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Received
where
    S: Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = Infallible,
        > + Clone,
{
    let mut request = http::Request::builder().method(method).uri(address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (head, body) = transcoder.answer(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Received {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    })
}

/// Sends a request and compares the rpc called and the message it was called with.
#[track_caller]
pub fn check(
    recorder: &Recorder,
    method: &str,
    address: &str,
    body: &str,
    rpc: &str,
    message: Json,
) {
    let answer = recorder.send(method, address, body);
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "{method} {address}: {}",
        answer.text
    );
    let call = recorder.only_call();
    assert_eq!(call.rpc, rpc, "{method} {address}");
    assert_eq!(call.message, message, "{method} {address}");
}

/// Sends a request that must be refused because of `field` without a call.
#[track_caller]
pub fn check_invalid(
    recorder: &Recorder,
    method: &str,
    address: &str,
    body: &str,
    field: &str,
) -> String {
    let answer = recorder.send(method, address, body);
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "{method} {address} {body}: {}",
        answer.text
    );
    assert_eq!(recorder.calls(), 0, "{method} {address} {body}");
    let error = answer.json();
    assert_eq!(error["code"], 3);
    let violation = &error["details"][0]["fieldViolations"][0];
    assert_eq!(
        violation["field"].as_str().unwrap_or_default(),
        field,
        "{address} {body}: {error}"
    );
    violation["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
