//! Calls of the contract over REST: the counterpart of the hub's transcoder, written without it.
//!
//! Invariant: every answer is checked on the way: its content type, its request id, that the HTTP
//! status belongs to the gRPC code, and that the JSON is the canonical one. Deliberately absent:
//! other spellings and broken requests, which `rest_scenario.rs` sends by hand.

use std::fmt::Write as _;
use std::path::Path;

use http::HeaderMap;
use prost::Message;
use prost_reflect::{
    DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};
use rollcall_proto::{Method, descriptor_pool};
use serde_json::{Map, Value as Json};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// HTTP statuses of the gRPC codes, as documented for the interface.
const HTTP_STATUS: [(Code, u16); 16] = [
    (Code::Cancelled, 499),
    (Code::Unknown, 500),
    (Code::InvalidArgument, 400),
    (Code::DeadlineExceeded, 504),
    (Code::NotFound, 404),
    (Code::AlreadyExists, 409),
    (Code::PermissionDenied, 403),
    (Code::ResourceExhausted, 429),
    (Code::FailedPrecondition, 400),
    (Code::Aborted, 409),
    (Code::OutOfRange, 400),
    (Code::Unimplemented, 501),
    (Code::Internal, 500),
    (Code::Unavailable, 503),
    (Code::DataLoss, 500),
    (Code::Unauthenticated, 401),
];

/// A connection to the REST interface of one hub.
#[derive(Clone)]
pub struct RestTransport {
    http: reqwest::Client,
    base: String,
}

/// What is sent for one call.
struct Call {
    method: http::Method,
    /// Path and query.
    address: String,
    body: Option<Json>,
}

impl RestTransport {
    /// A client of the hub at `address` that trusts the certificate in the file `ca`.
    pub fn new(address: &str, ca: &Path) -> Self {
        // The first test of a process wins; all of them choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
        Self {
            http: reqwest::Client::builder()
                .tls_certs_only([ca])
                .https_only(true)
                .build()
                .unwrap(),
            base: format!("https://{address}"),
        }
    }

    /// Makes a call and returns the answer as bytes of the response message; `None` when REST
    /// cannot say it.
    pub async fn call<Q: Message>(
        &self,
        method: &Method,
        metadata: &[(&'static str, String)],
        request: &Q,
    ) -> Option<Result<Vec<u8>, Status>> {
        let rpc = find_rpc(method);
        let bytes = request.encode_to_vec();
        let request = DynamicMessage::decode(rpc.input(), bytes.as_slice()).unwrap();
        let call = Call::by_rule(&rpc, &request)?;
        let mut sent = self
            .http
            .request(call.method, format!("{}{}", self.base, call.address));
        for (key, value) in metadata {
            sent = sent.header(*key, value);
        }
        if let Some(body) = &call.body {
            sent = sent.json(body);
        }
        let answer = sent.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let place = format!("{} as {}: {status} {text}", method.path, call.address);
        let content_type = headers["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("application/json"), "{place}");
        assert!(!headers["x-request-id"].is_empty(), "{place}");
        let json: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{place}"));
        Some(if status == 200 {
            let message = parse(rpc.output(), &json, &place);
            assert_eq!(serde_json::to_value(&message).unwrap(), json, "{place}");
            Ok(message.encode_to_vec())
        } else {
            Err(refusal(status, &headers, &json, &place))
        })
    }
}

impl Call {
    /// The call that the `google.api.http` rule of `rpc` makes of `request`.
    fn by_rule(rpc: &MethodDescriptor, request: &DynamicMessage) -> Option<Self> {
        let extension = descriptor_pool().get_extension_by_name("google.api.http");
        let options = rpc.options();
        let rule = options.get_extension(&extension.unwrap());
        let rule = rule.as_message().unwrap();
        let (verb, template) = ["get", "put", "post", "delete", "patch"]
            .into_iter()
            .find(|verb| rule.has_field_by_name(verb))
            .map(|verb| (verb, text_of(rule, verb)))?;
        let body_rule = text_of(rule, "body");

        // Masks with paths that no field can have are the one thing without a JSON form.
        let Ok(Json::Object(mut fields)) = serde_json::to_value(request) else {
            return None;
        };
        let mut address = fill(&template, request, &mut fields)?;
        let body = match body_rule.as_str() {
            "" => None,
            "*" => Some(Json::Object(std::mem::take(&mut fields))),
            name => {
                let field = request.descriptor().get_field_by_name(name).unwrap();
                Some(fields.remove(field.json_name()).unwrap_or(Json::Null))
            }
        };
        let mut pairs = Vec::new();
        flatten("", &Json::Object(fields), &mut pairs)?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(address, "{separator}{name}={}", encode(value)).unwrap();
        }
        Some(Self {
            method: verb.to_uppercase().parse().unwrap(),
            address,
            body,
        })
    }
}

/// The path with the variables of `template` filled in and taken out of `fields`.
fn fill(
    template: &str,
    request: &DynamicMessage,
    fields: &mut Map<String, Json>,
) -> Option<String> {
    let mut path = String::new();
    for part in template.split_inclusive('}') {
        let Some((before, name)) = part.strip_suffix('}').and_then(|part| part.split_once('{'))
        else {
            path.push_str(part);
            continue;
        };
        let field = request.descriptor().get_field_by_name(name).unwrap();
        let value = fields.remove(field.json_name())?;
        let value = value.as_str().unwrap().to_owned();
        if matches!(value.as_str(), "" | "." | "..") {
            return None;
        }
        path.push_str(before);
        path.push_str(&encode(&value));
    }
    Some(path)
}

/// Query parameters of `value`: a dot between nested names, a repeated name for each element.
fn flatten(name: &str, value: &Json, pairs: &mut Vec<(String, String)>) -> Option<()> {
    match value {
        Json::Object(fields) => {
            for (field, value) in fields {
                let nested = match name {
                    "" => field.clone(),
                    _ => format!("{name}.{field}"),
                };
                flatten(&nested, value, pairs)?;
            }
        }
        Json::Array(values) => {
            for value in values {
                if value.is_object() || value.is_array() {
                    return None;
                }
                flatten(name, value, pairs)?;
            }
        }
        Json::String(text) => pairs.push((name.to_owned(), text.clone())),
        other => pairs.push((name.to_owned(), other.to_string())),
    }
    Some(())
}

/// Everything but unreserved characters as `%XX`.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}

fn find_rpc(method: &Method) -> MethodDescriptor {
    let service = descriptor_pool().get_service_by_name(method.service);
    let service = service.unwrap();
    let found = service.methods().find(|rpc| rpc.name() == method.name);
    found.unwrap()
}

fn text_of(message: &DynamicMessage, name: &str) -> String {
    let value = message.get_field_by_name(name);
    let text = value.as_deref().and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn parse(kind: MessageDescriptor, json: &Json, place: &str) -> DynamicMessage {
    DynamicMessage::deserialize(kind, json).unwrap_or_else(|error| panic!("{error}: {place}"))
}

/// The gRPC status that an error answer stands for.
fn refusal(http_status: u16, headers: &HeaderMap, json: &Json, place: &str) -> Status {
    let kind = descriptor_pool().get_message_by_name("google.rpc.Status");
    let message = parse(kind.unwrap(), json, place);
    let code = message.get_field_by_name("code");
    let code = Code::from_i32(code.and_then(|code| code.as_i32()).unwrap());
    let expected = HTTP_STATUS.iter().find(|(known, _)| *known == code);
    assert_eq!(Some(&(code, http_status)), expected, "{place}");
    let status = Status::with_details_and_metadata(
        code,
        text_of(&message, "message"),
        message.encode_to_vec().into(),
        MetadataMap::from_headers(headers.clone()),
    );
    let details = status.get_error_details();
    let request_id = details.request_info().map(|info| info.request_id.as_str());
    assert_eq!(request_id, headers["x-request-id"].to_str().ok(), "{place}");
    status
}
