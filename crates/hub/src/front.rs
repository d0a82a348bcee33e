//! The front door: gRPC by content type, everything else to REST.
//!
//! Invariant: an HTTP request that is neither gRPC nor a REST path gets a 404, never the "200 with
//! a gRPC status" of a gRPC fallback.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use rollcall_proto::admin::audit_service_server::AuditServiceServer;
use rollcall_proto::admin::password_service_server::PasswordServiceServer;
use rollcall_proto::admin::service_account_service_server::ServiceAccountServiceServer;
use rollcall_proto::endpoint::api_endpoint_service_server::ApiEndpointServiceServer;
use rollcall_proto::iam::iam_token_service_server::IamTokenServiceServer;
use rollcall_proto::idp::synchronization_service_server::SynchronizationServiceServer;
use rollcall_proto::idp::synchronization_session_service_server::SynchronizationSessionServiceServer;
use rollcall_proto::idp::user_service_server::UserServiceServer;
use rollcall_proto::idp::userpool_service_server::UserpoolServiceServer;
use rollcall_proto::operation::operation_service_server::OperationServiceServer;
use rollcall_proto::organizationmanager::group_service_server::GroupServiceServer;
use rollcall_proto::organizationmanager::organization_service_server::OrganizationServiceServer;
use rollcall_proto::signin::sign_in_service_server::SignInServiceServer;
use rollcall_proto::{FILE_DESCRIPTOR_SET, descriptor_pool};
use tonic::Status;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::{v1, v1alpha};
use tower::Service as _;
use tower::util::BoxCloneSyncService;

use crate::call::is_anonymous;
use crate::error::Error;
use crate::grpc::Service;
use crate::grpc_stack::GrpcStack;
use crate::hub::Hub;
use crate::listener::{Front, Peer};
use crate::rate_limit::address_key;
use crate::reflection::{Descriptors, Reflection};
use crate::rest;
use crate::rest::openapi::{self, Document};

const GRPC_CONTENT_TYPE: &[u8] = b"application/grpc";

/// Everything that answers requests, and the switch of its health.
pub struct FrontDoor {
    /// For the listener.
    pub front: Front,
    /// Tells clients that the hub stops.
    pub health: HealthReporter,
}

/// Builds the front door of `hub`.
///
/// # Errors
/// When the contract cannot be served, which is a fault of the build.
pub fn build(hub: &Arc<Hub>) -> anyhow::Result<FrontDoor> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let routes = contract_routes(hub);
    let reflection = Reflection::new(Arc::new(Descriptors::read(&[
        FILE_DESCRIPTOR_SET,
        v1::FILE_DESCRIPTOR_SET,
        v1alpha::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
    ])?));
    let routes = routes
        .add_service(health_service)
        .add_service(v1::server_reflection_server::ServerReflectionServer::new(
            reflection.clone(),
        ))
        .add_service(v1alpha::server_reflection_server::ServerReflectionServer::new(reflection))
        .prepare();
    let grpc = GrpcStack::new(Arc::clone(hub), routes);
    let transcoder = rest::Transcoder::new(descriptor_pool(), grpc.clone())?
        .with_entropy(Arc::clone(&hub.entropy))
        .with_body_bytes_max(message_bytes_max(hub));
    let document = document(&transcoder);
    let transcoder = transcoder.with_document(document);
    let rest = rest::router(transcoder.clone());
    let hub = Arc::clone(hub);
    let front = tower::service_fn(move |request: Request<Incoming>| {
        let (mut grpc, mut rest) = (grpc.clone(), rest.clone());
        let refused = admit_to_document(&hub, &request)
            .err()
            .map(|status| transcoder.refuse(&status, request.method(), request.headers()));
        async move {
            if let Some(refused) = refused {
                return Ok(refused);
            }
            let response: Response<Body> = if is_grpc(&request) {
                grpc.call(request.map(tonic::body::Body::new))
                    .await?
                    .map(Body::new)
            } else {
                rest.call(request.map(Body::new)).await?
            };
            Ok::<_, Infallible>(response)
        }
    });
    Ok(FrontDoor {
        front: BoxCloneSyncService::new(front),
        health,
    })
}

fn document<S>(transcoder: &rest::Transcoder<S>) -> Document {
    let facts = openapi::Facts {
        title: "Rollcall",
        version: env!("CARGO_PKG_VERSION"),
        is_anonymous: &is_anonymous,
    };
    let rendered = openapi::render(transcoder.pool(), transcoder.rules(), &facts);
    Document::new(&rendered)
}

/// The document is for everybody, but not as often as they like: it is the largest answer that
/// needs no token.
fn admit_to_document<B>(hub: &Hub, request: &Request<B>) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>();
    let Some(Peer(address)) = peer.filter(|_| request.uri().path() == openapi::PATH) else {
        return Ok(());
    };
    hub.address_rates
        .take(&address_key(address.ip()), hub.clock.now())
        .map_err(|refusal| Error::from(refusal).into_status(&hub.new_request_id()))
}

fn contract_routes(hub: &Arc<Hub>) -> Routes {
    let service = Service(Arc::clone(hub));
    let message_bytes_max = message_bytes_max(hub);
    macro_rules! limited {
        ($server:ident) => {
            $server::new(service.clone()).max_decoding_message_size(message_bytes_max)
        };
    }
    Routes::new(limited!(SynchronizationSessionServiceServer))
        .add_service(limited!(SynchronizationServiceServer))
        .add_service(limited!(UserpoolServiceServer))
        .add_service(limited!(UserServiceServer))
        .add_service(limited!(GroupServiceServer))
        .add_service(limited!(OrganizationServiceServer))
        .add_service(limited!(OperationServiceServer))
        .add_service(limited!(IamTokenServiceServer))
        .add_service(limited!(ApiEndpointServiceServer))
        .add_service(limited!(AuditServiceServer))
        .add_service(limited!(PasswordServiceServer))
        .add_service(limited!(ServiceAccountServiceServer))
        .add_service(limited!(SignInServiceServer))
}

fn message_bytes_max(hub: &Hub) -> usize {
    usize::try_from(hub.limits.message_bytes).unwrap_or(usize::MAX)
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(GRPC_CONTENT_TYPE))
}
