//! `ApiEndpointService`: where each service of the interface is, which here is one address.
//!
//! Deliberately absent: access checks. A client asks this first, without a token.

use rollcall_domain::page::{Cursor, Page};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::endpoint::api_endpoint_service_server::ApiEndpointService;
use rollcall_proto::endpoint::{
    ApiEndpoint, GetApiEndpointRequest, ListApiEndpointsRequest, ListApiEndpointsResponse,
};
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::error::Error;
use crate::grpc::{Service, accept, check};
use crate::page_token::ListKey;

/// The names under which official clients look up the services of this hub, in order.
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
        request: Request<ListApiEndpointsRequest>,
    ) -> Result<Response<ListApiEndpointsResponse>, Status> {
        let (call, request) = accept(request)?;
        self.list_endpoints(&call, &request)
            .map(Response::new)
            .map_err(|error| error.into_status(&call.request_id))
    }
}

impl Service {
    fn list_endpoints(
        &self,
        call: &Call,
        request: &ListApiEndpointsRequest,
    ) -> Result<ListApiEndpointsResponse, Error> {
        check(request)?;
        let list = self.0.page_tokens.list(ListKey {
            method: call.method.map_or("", |method| method.path),
            parent: "",
            filter: "",
        });
        #[expect(
            deprecated,
            reason = "deprecated in the contract, and still promised by it"
        )]
        let page = list.parse(request.page_size, &request.page_token)?;
        let after = page.after.as_ref().map_or("", |cursor| cursor.id.as_str());
        let following = ENDPOINT_IDS.iter().filter(|id| **id > after);
        // The services were always there, so their ids alone make the order.
        let page = Page::cut(following.collect(), page.size, |id| Cursor {
            created_at: Timestamp::EPOCH,
            id: (**id).to_owned(),
        });
        Ok(ListApiEndpointsResponse {
            endpoints: page.items.into_iter().map(|id| self.endpoint(id)).collect(),
            next_page_token: list.render(page.next.as_ref())?,
        })
    }

    fn endpoint(&self, id: &str) -> ApiEndpoint {
        ApiEndpoint {
            id: id.to_owned(),
            address: self.0.address.clone(),
        }
    }
}
