//! `ApiEndpointService`: where each service of the interface is, which here is one address.
//!
//! Deliberately absent: access checks. A client asks this first, without a token.

use rollcall_domain::refusal::Refusal;
use rollcall_proto::endpoint::api_endpoint_service_server::ApiEndpointService;
use rollcall_proto::endpoint::{
    ApiEndpoint, GetApiEndpointRequest, ListApiEndpointsRequest, ListApiEndpointsResponse,
};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::grpc::{Service, accept};

/// The names under which official clients look up the services of this hub.
const ENDPOINT_IDS: &[&str] = &[
    "endpoint",
    "iam",
    "operation",
    "organization-manager",
    "resource-manager",
];

#[tonic::async_trait]
impl ApiEndpointService for Service {
    async fn get(
        &self,
        request: Request<GetApiEndpointRequest>,
    ) -> Result<Response<ApiEndpoint>, Status> {
        let (call, request) = accept(request)?;
        let id = request.api_endpoint_id;
        if ENDPOINT_IDS.contains(&id.as_str()) {
            return Ok(Response::new(self.endpoint(&id)));
        }
        Err(Error::from(Refusal::not_found("endpoint", id)).into_status(&call.request_id))
    }

    async fn list(
        &self,
        _: Request<ListApiEndpointsRequest>,
    ) -> Result<Response<ListApiEndpointsResponse>, Status> {
        Ok(Response::new(ListApiEndpointsResponse {
            endpoints: ENDPOINT_IDS.iter().map(|id| self.endpoint(id)).collect(),
            next_page_token: String::new(),
        }))
    }
}

impl Service {
    fn endpoint(&self, id: &str) -> ApiEndpoint {
        ApiEndpoint {
            id: id.to_owned(),
            address: self.0.address.clone(),
        }
    }
}
