//! Callers that check every answer against the contract, over gRPC or over REST.
//!
//! Invariant: the name of the test binary decides the transport, never a test: a scenario asks the
//! same and expects the same over both.

use prost::{Message, Name};
use rollcall_proto::operation::{GetOperationRequest, Operation, operation};
use rollcall_proto::{METHODS, Method};
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::rest_transport::RestTransport;
use super::transcript::Transcript;

/// How the callers of this test binary speak to the hub.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Grpc,
    Rest,
}

/// The transport of this test binary.
fn transport() -> Transport {
    match env!("CARGO_CRATE_NAME") {
        "services_rest" => Transport::Rest,
        _ => Transport::Grpc,
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    rest: RestTransport,
    transcript: Transcript,
    /// For the transcript.
    name: String,
    metadata: Vec<(&'static str, String)>,
}

impl Caller {
    /// Somebody without a token.
    pub fn anonymous(channel: Channel, rest: RestTransport, transcript: Transcript) -> Self {
        Self {
            channel,
            rest,
            transcript,
            name: "anonymous".into(),
            metadata: Vec::new(),
        }
    }

    /// The same connection, used by somebody without a token.
    pub fn without_token(&self) -> Self {
        Self {
            name: "anonymous".into(),
            metadata: Vec::new(),
            ..self.clone()
        }
    }

    /// The same caller under another name in the transcript.
    pub fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    /// The same caller with one more metadata entry, in place of one with the same key.
    pub fn with(&self, key: &'static str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.metadata.retain(|(name, _)| *name != key);
        caller.metadata.push((key, value.to_owned()));
        caller
    }

    /// The metadata entry `key`.
    pub fn metadata(&self, key: &str) -> &str {
        let entry = self.metadata.iter().find(|(name, _)| *name == key);
        entry.map_or("", |(_, value)| value)
    }

    /// Calls `service/method`; the service is named without its package.
    pub async fn call<Q, A>(&self, method: &str, request: &Q) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let method = find_method(method);
        let answer = self.send(method, request).await;
        self.transcript
            .record(method, &self.described(), answer.as_ref());
        answer
    }

    async fn send<Q, A>(&self, method: &'static Method, request: &Q) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        if transport() == Transport::Rest {
            let sent = self.rest.call(method, &self.metadata, request).await;
            // What REST cannot say, an empty variable in a path, is said over gRPC.
            if let Some(answer) = sent {
                return answer.map(|bytes| A::decode(bytes.as_slice()).unwrap());
            }
        }
        let mut message = Request::new(request.clone());
        for (key, value) in &self.metadata {
            message.metadata_mut().insert(
                AsciiMetadataKey::from_static(key),
                AsciiMetadataValue::try_from(value).unwrap(),
            );
        }
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(method.path);
        let answer = grpc
            .unary(message, path, ProstCodec::<Q, A>::default())
            .await;
        answer.map(tonic::Response::into_inner)
    }

    /// Who calls, and with which headers beside the token.
    fn described(&self) -> String {
        let mut text = self.name.clone();
        for (key, value) in &self.metadata {
            match *key {
                "authorization" if self.name == "anonymous" => text.push_str(" with a token"),
                "authorization" => {}
                _ => text.push_str(&format!(", {key}: {value}")),
            }
        }
        text
    }

    /// Calls a method that changes something, and returns metadata and response of its operation
    /// after comparing their types with the contract.
    pub async fn change<Q, M, R>(&self, method: &str, request: &Q) -> Result<(M, R), Status>
    where
        Q: Message + Clone + 'static,
        M: Message + Name + Default,
        R: Message + Name + Default,
    {
        let operation: Operation = self.call(method, request).await?;
        let declared = find_method(method)
            .operation
            .expect("the method makes an operation");
        assert!(operation.done, "{method} is done at once");
        let metadata = operation.metadata.clone().expect("metadata");
        assert_eq!(metadata.type_url, url(declared.metadata), "{method}");
        let Some(operation::Result::Response(response)) = operation.result.clone() else {
            panic!("{method} answered {:?}", operation.result);
        };
        assert_eq!(response.type_url, url(declared.response), "{method}");
        assert_eq!(
            (M::full_name(), R::full_name()),
            (declared.metadata.to_owned(), declared.response.to_owned())
        );
        let request = GetOperationRequest {
            operation_id: operation.id.clone(),
        };
        // Every change asks this, so the transcript would only grow by it.
        let get = find_method("OperationService/Get");
        let stored: Operation = self.send(get, &request).await?;
        assert_eq!(stored, operation, "{method} stored what it answered");
        Ok((
            M::decode(metadata.value.as_slice()).unwrap(),
            R::decode(response.value.as_slice()).unwrap(),
        ))
    }

    /// The status of a call that must fail, whatever it would answer.
    pub async fn refused<Q>(&self, method: &str, request: &Q) -> Status
    where
        Q: Message + Clone + 'static,
    {
        match self.call::<Q, Operation>(method, request).await {
            Ok(_) => panic!("{method} was not refused"),
            Err(status) => status,
        }
    }

    /// A gRPC channel for clients that the harness does not cover.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// The method `Service/Name` of the contract.
pub fn find_method(name: &str) -> &'static Method {
    let suffix = format!(".{name}");
    let mut found = METHODS
        .iter()
        .filter(|method| method.path.ends_with(&suffix));
    match (found.next(), found.next()) {
        (Some(method), None) => method,
        _ => panic!("{name} is not one method of the contract"),
    }
}

fn url(type_name: &str) -> String {
    format!("type.googleapis.com/{type_name}")
}
