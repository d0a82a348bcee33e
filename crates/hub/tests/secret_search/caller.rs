//! Calls of the contract, over gRPC or over REST, with requests written as JSON.

use prost::Message;
use prost_reflect::DynamicMessage;
use rollcall_proto::{METHODS, Method, descriptor_pool};
use serde_json::Value as Json;
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::needles::{Kind, Needles};
use crate::rest_transport::RestTransport;

/// How a caller speaks to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Grpc,
    Rest,
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    pub wire: Wire,
    channel: Channel,
    rest: RestTransport,
    metadata: Vec<(&'static str, String)>,
}

impl Caller {
    /// Somebody without a token.
    pub fn new(wire: Wire, channel: Channel, rest: RestTransport) -> Self {
        Self {
            wire,
            channel,
            rest,
            metadata: Vec::new(),
        }
    }

    /// The same connection with one more header, in place of one of that name.
    pub fn with(&self, key: &'static str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.metadata.retain(|(name, _)| *name != key);
        caller.metadata.push((key, value.to_owned()));
        caller
    }

    /// The same connection used by the owner of this token, which is a secret from now on.
    pub fn with_token(&self, token: &str, needles: &mut Needles) -> Self {
        // What stands before is its public id.
        let (_, secret) = token.rsplit_once('.').unwrap();
        needles.add_secret("token for calls", Kind::Token, secret);
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Calls `Service/Method`.
    pub async fn call<A>(&self, name: &str, request: Json) -> Result<A, Status>
    where
        A: Message + Default + 'static,
    {
        let method = find_method(name);
        let kind = descriptor_pool().get_message_by_name(method.request);
        let message = DynamicMessage::deserialize(kind.unwrap(), &request)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if self.wire == Wire::Rest {
            let sent = self.rest.call(method, &self.metadata, &message).await;
            return sent
                .unwrap_or_else(|| panic!("{name} cannot be said over REST"))
                .map(|bytes| A::decode(bytes.as_slice()).unwrap());
        }
        let mut sent = Request::new(message);
        for (key, value) in &self.metadata {
            let key = AsciiMetadataKey::from_static(key);
            let value = AsciiMetadataValue::try_from(value).unwrap();
            sent.metadata_mut().insert(key, value);
        }
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(method.path);
        let codec = ProstCodec::<DynamicMessage, A>::default();
        let answer = grpc.unary(sent, path, codec).await;
        answer.map(tonic::Response::into_inner)
    }
}

fn find_method(name: &str) -> &'static Method {
    let suffix = format!(".{name}");
    let found = METHODS.iter().find(|method| method.path.ends_with(&suffix));
    found.unwrap_or_else(|| panic!("{name} is no method of the contract"))
}
