use rollcall_proto::endpoint::{
    ApiEndpoint, GetApiEndpointRequest, ListApiEndpointsRequest, ListApiEndpointsResponse,
};
use tonic::Code;

use crate::harness::{Harness, expect};

#[tokio::test]
async fn everything_is_at_the_public_address() {
    let hub = Harness::start().await;
    let anybody = hub.anonymous();
    let list: ListApiEndpointsResponse = anybody
        .call(
            "ApiEndpointService/List",
            &ListApiEndpointsRequest::default(),
        )
        .await
        .unwrap();
    let ids: Vec<_> = list
        .endpoints
        .iter()
        .map(|endpoint| endpoint.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "endpoint",
            "iam",
            "operation",
            "organization-manager",
            "resource-manager"
        ]
    );
    for endpoint in &list.endpoints {
        assert_eq!(endpoint.address, hub.running.address);
        let request = GetApiEndpointRequest {
            api_endpoint_id: endpoint.id.clone(),
        };
        let one: ApiEndpoint = anybody
            .call("ApiEndpointService/Get", &request)
            .await
            .unwrap();
        assert_eq!(&one, endpoint);
    }
    let request = GetApiEndpointRequest {
        api_endpoint_id: "compute".into(),
    };
    let status = anybody.refused("ApiEndpointService/Get", &request).await;
    expect(&status, Code::NotFound, "NOT_FOUND");
}
