//! REST: the HTTP and JSON form of the same interface.
//!
//! One codec, driven by the `google.api.http` options of the contract: it turns path, query and
//! body into the request message of an rpc, calls the gRPC service in this process, and turns the
//! answer into proto3 JSON. Invariant: nothing here knows a resource or a rule of the product, so
//! that REST and gRPC cannot differ. Deliberately absent: streaming rpcs, sign-in, access checks
//! and logging of calls (layers of the gRPC service). `openapi` documents the same rules.
//!
//! Decisions: fields at their default value are left out of answers (canonical proto3 JSON);
//! unknown fields and parameters are ignored; the path wins over the body; the query may give
//! fields that the body does not.

mod body;
mod call;
mod field_path;
mod headers;
pub mod openapi;
mod path;
mod query;
mod refusal;
mod rules;
mod scalar;
mod sent_body;
mod status;
mod template;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request};
use http_body::Body;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use tonic::Code;
use tower::Service;

use call::{BoxError, Metadata};
use openapi::Document;
use path::RequestPath;
use refusal::Refusal;
use rules::Lookup;
pub use rules::{BodyRule, Rule, RuleError, RuleTable};
use scalar::parse_text;
pub use sent_body::BODY_SECONDS_MAX;
use sent_body::{Remainder, SentBody};
use status::RestError;

/// Bytes a body may have when nothing else is said; the hub takes the limit of a gRPC message.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes path and query may have together.
pub const ADDRESS_BYTES_MAX: usize = 16 * 1024;

/// Serves REST from a gRPC service in this process.
#[derive(Clone)]
pub struct Transcoder<S> {
    grpc: S,
    contract: Arc<Contract>,
    entropy: Arc<dyn Entropy>,
    body_bytes_max: usize,
    document: Option<Arc<Document>>,
}

struct Contract {
    pool: DescriptorPool,
    table: RuleTable,
}

impl<S> Transcoder<S> {
    /// Reads the rules of `pool`, which must be built from encoded descriptors so that it still
    /// has their options. `grpc` takes gRPC requests with the paths of the same contract.
    ///
    /// # Errors
    /// When a rule of the contract cannot be served; that is a fault of the build.
    pub fn new(pool: &DescriptorPool, grpc: S) -> Result<Self, RuleError> {
        let pool = with_error_details(pool)?;
        let table = RuleTable::read(&pool)?;
        Ok(Self {
            grpc,
            contract: Arc::new(Contract { pool, table }),
            entropy: Arc::new(SystemEntropy),
            body_bytes_max: BODY_BYTES_MAX,
            document: None,
        })
    }

    /// Takes the randomness of request ids from `entropy`.
    #[must_use]
    pub fn with_entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Takes bodies of at most `bytes_max` bytes.
    #[must_use]
    pub fn with_body_bytes_max(mut self, bytes_max: usize) -> Self {
        self.body_bytes_max = bytes_max;
        self
    }

    /// Serves `document` at [`openapi::PATH`].
    #[must_use]
    pub fn with_document(mut self, document: Document) -> Self {
        self.document = Some(Arc::new(document));
        self
    }

    /// The rules served.
    pub fn rules(&self) -> &RuleTable {
        &self.contract.table
    }

    /// The contract as the transcoder reads it, with the details of errors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.contract.pool
    }

    /// The answer to a request that is refused with `status` before it becomes a call.
    pub fn refuse(
        &self,
        status: &tonic::Status,
        method: &Method,
        headers: &HeaderMap,
    ) -> http::Response<axum::body::Body> {
        let details = (!status.details().is_empty()).then(|| status.details());
        let message = status.message().to_owned();
        let error = RestError::from_grpc(status.code(), message, details, self.pool());
        let mut answer = HeaderMap::new();
        let metadata = status.metadata().clone().into_headers();
        headers::carry_outward(&metadata, &mut answer);
        let id = headers::chosen_request_id(headers).unwrap_or_else(|| self.new_request_id());
        answer.entry(headers::REQUEST_ID).or_insert(id);
        respond(Err(error), answer, *method == Method::HEAD)
    }

    fn new_request_id(&self) -> HeaderValue {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        // A UUID is plain ASCII.
        HeaderValue::from_str(&id.to_string()).unwrap_or(HeaderValue::from_static("none"))
    }
}

/// A router that answers every path with `transcoder`; nest it last, it has a 404 of its own.
pub fn router<S, B>(transcoder: Transcoder<S>) -> axum::Router
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    axum::Router::new().fallback(move |request: axum::extract::Request| {
        let transcoder = transcoder.clone();
        async move { transcoder.answer(request).await }
    })
}

/// The contract with the standard error details, which only errors refer to.
fn with_error_details(pool: &DescriptorPool) -> Result<DescriptorPool, RuleError> {
    let mut pool = pool.clone();
    if pool.get_message_by_name("google.rpc.BadRequest").is_none() {
        pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .map_err(RuleError::ErrorDetails)?;
    }
    for name in ["google.protobuf.Any", "google.rpc.BadRequest"] {
        if pool.get_message_by_name(name).is_none() {
            return Err(RuleError::NoMessage(name));
        }
    }
    Ok(pool)
}

/// What a request came to before it is rendered.
enum Outcome {
    Message(DynamicMessage),
    /// The answer to OPTIONS.
    Methods(String),
}

impl<S, B> Transcoder<S>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Answers one request. Never fails: every fault becomes an answer.
    pub async fn answer<R>(&self, request: http::Request<R>) -> http::Response<axum::body::Body>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let mut headers = HeaderMap::new();
        let request_id =
            headers::chosen_request_id(&parts.headers).unwrap_or_else(|| self.new_request_id());
        if let Some(answer) = self.answer_with_document(&parts, &request_id) {
            return answer;
        }
        let body = SentBody::new(body);
        let (version, sent_headers) = (parts.version, parts.headers.clone());
        let outcome = self
            .transcode(parts, body.clone(), &request_id, &mut headers)
            .await
            .and_then(|outcome| render(&outcome));
        if let Err(error) = &outcome {
            tracing::debug!(status = %error.http_status, code = ?error.code, ?request_id, "REST");
        }
        headers.entry(headers::REQUEST_ID).or_insert(request_id);
        let remainder = body.discard(&sent_headers).await;
        if remainder == Remainder::Something && version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        respond(outcome, headers, is_head)
    }

    fn answer_with_document(
        &self,
        parts: &request::Parts,
        request_id: &HeaderValue,
    ) -> Option<http::Response<axum::body::Body>> {
        let document = self.document.as_ref()?;
        if parts.uri.path() != openapi::PATH {
            return None;
        }
        let mut answer = document.answer(&parts.method, &parts.headers)?;
        let headers = answer.headers_mut();
        headers.insert(headers::REQUEST_ID, request_id.clone());
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        Some(answer)
    }

    /// What `method` on `path` leads to.
    fn look_up<'a>(&'a self, method: &Method, path: &'a RequestPath, raw: &str) -> Lookup<'a, 'a> {
        if self.document.is_some() && raw == openapi::PATH {
            return Lookup::OtherMethods(vec![Method::GET]);
        }
        self.contract.table.find(method, path)
    }

    async fn transcode<R>(
        &self,
        parts: request::Parts,
        body: SentBody<R>,
        request_id: &HeaderValue,
        answer_headers: &mut HeaderMap,
    ) -> Result<Outcome, RestError>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let address_bytes = parts
            .uri
            .path_and_query()
            .map_or(0, |text| text.as_str().len());
        if address_bytes > ADDRESS_BYTES_MAX {
            let bytes_max = ADDRESS_BYTES_MAX;
            return Err(Refusal::AddressTooLong { bytes_max }.into());
        }
        let path = RequestPath::parse(parts.uri.path())
            .map_err(|why| Refusal::invalid("", format!("the path {why}")))?
            .ok_or(Refusal::UnknownPath)?;
        let looked_up = if parts.method == Method::HEAD {
            Method::GET
        } else {
            parts.method.clone()
        };
        let (rule, values) = match self.look_up(&looked_up, &path, parts.uri.path()) {
            Lookup::Found(rule, values) => (rule, values),
            Lookup::Nothing => return Err(Refusal::UnknownPath.into()),
            Lookup::OtherMethods(methods) => {
                let allowed = allow_header(&methods);
                return if parts.method == Method::OPTIONS {
                    Ok(Outcome::Methods(allowed))
                } else {
                    Err(Refusal::WrongMethod(allowed).into())
                };
            }
        };
        let mut headers = HeaderMap::new();
        headers::carry_inward(&parts.headers, &mut headers);
        headers.insert(headers::REQUEST_ID, request_id.clone());
        let metadata = Metadata {
            headers,
            extensions: parts.extensions,
        };
        let values = values.into_iter().map(str::to_owned).collect();
        let arriving = Arriving {
            uri: parts.uri,
            headers: parts.headers,
            body,
            bytes_max: self.body_bytes_max,
        };
        let frame = make_frame(Arc::clone(rule), values, arriving);
        let grpc = self.grpc.clone();
        let answer = call::call(grpc, rule, frame, metadata, &self.contract.pool).await;
        *answer_headers = answer.headers;
        answer.outcome.map(Outcome::Message)
    }
}

/// A request whose body is not read yet.
struct Arriving<R> {
    uri: http::Uri,
    headers: HeaderMap,
    body: SentBody<R>,
    bytes_max: usize,
}

async fn make_frame<R>(
    rule: Arc<Rule>,
    values: Vec<String>,
    arriving: Arriving<R>,
) -> Result<Bytes, Refusal>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let bytes = match rule.body {
        BodyRule::None => Bytes::new(),
        BodyRule::Whole | BodyRule::Field(_) => {
            let (headers, bytes_max) = (&arriving.headers, arriving.bytes_max);
            arriving.body.read(headers, bytes_max).await?
        }
    };
    let query = arriving.uri.query().unwrap_or_default();
    call::frame(&build_message(&rule, &values, query, &bytes)?)
}

/// Body, then query, then path: each fills what the earlier may not have given.
fn build_message(
    rule: &Rule,
    values: &[String],
    query: &str,
    bytes: &[u8],
) -> Result<DynamicMessage, Refusal> {
    let input = rule.rpc.input();
    let mut message = match &rule.body {
        _ if bytes.is_empty() => DynamicMessage::new(input),
        BodyRule::None => DynamicMessage::new(input),
        BodyRule::Whole => body::read_message(&input, bytes)?,
        BodyRule::Field(field) => {
            let mut message = DynamicMessage::new(input);
            if let Some(value) = body::read_field(field, bytes)? {
                message.set_field(field, value);
            }
            message
        }
    };
    if !query.is_empty() {
        query::apply_query(&mut message, query, &rule.variables)?;
    }
    for (variable, text) in rule.variables.iter().zip(values) {
        let value = parse_text(&variable.last().kind(), text)
            .map_err(|why| Refusal::invalid(variable.name(), why))?;
        variable.set(&mut message, value);
    }
    Ok(message)
}

fn allow_header(methods: &[Method]) -> String {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

enum Rendered {
    Json(Vec<u8>),
    Methods(String),
}

fn render(outcome: &Outcome) -> Result<Rendered, RestError> {
    let message = match outcome {
        Outcome::Message(message) => message,
        Outcome::Methods(methods) => return Ok(Rendered::Methods(methods.clone())),
    };
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(true)
        .skip_default_fields(true);
    let mut json = serde_json::Serializer::new(Vec::new());
    match message.serialize_with_options(&mut json, &options) {
        Ok(()) => Ok(Rendered::Json(json.into_inner())),
        Err(error) => {
            tracing::error!(error = %error, "the answer has no JSON form");
            Err(RestError::from_code(Code::Internal, "internal error"))
        }
    }
}

fn respond(
    outcome: Result<Rendered, RestError>,
    mut headers: HeaderMap,
    is_head: bool,
) -> http::Response<axum::body::Body> {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let (status, json) = match outcome {
        Ok(Rendered::Json(json)) => (StatusCode::OK, Some(json)),
        Ok(Rendered::Methods(methods)) => {
            insert_text(&mut headers, header::ALLOW, &methods);
            (StatusCode::NO_CONTENT, None)
        }
        Err(error) => {
            if let Some(methods) = &error.allow {
                insert_text(&mut headers, header::ALLOW, methods);
            }
            if error.code == Code::Unauthenticated {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            let request_id = headers
                .get(headers::REQUEST_ID)
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default();
            let json = error.body(request_id).to_string().into_bytes();
            (error.http_status, Some(json))
        }
    };
    let body = match json {
        None => axum::body::Body::empty(),
        Some(json) => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            if is_head {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(json.len()));
                axum::body::Body::empty()
            } else {
                axum::body::Body::from(json)
            }
        }
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn insert_text(headers: &mut HeaderMap, name: http::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
