//! `IamTokenService`: service accounts trade a signed JWT for a token.

use rollcall_domain::refusal::Refusal;
use rollcall_proto::iam;
use rollcall_proto::iam::create_iam_token_request::Identity;
use rollcall_proto::iam::iam_token_service_server::IamTokenService;
use tonic::{Request, Response, Status};

use crate::audit::Attempt;
use crate::call::Call;
use crate::error::Error;
use crate::grpc::{Service, accept, check, not_served};
use crate::wire::render_timestamp;

#[tonic::async_trait]
impl IamTokenService for Service {
    async fn create(
        &self,
        request: Request<iam::CreateIamTokenRequest>,
    ) -> Result<Response<iam::CreateIamTokenResponse>, Status> {
        let (call, request) = accept(request)?;
        create(self, &call, request)
            .await
            .map(Response::new)
            .map_err(|error| error.into_status(&call.request_id))
    }

    not_served! {
        create_for_service_account(iam::CreateIamTokenForServiceAccountRequest)
            -> iam::CreateIamTokenResponse;
        revoke(iam::RevokeIamTokenRequest) -> iam::RevokeIamTokenResponse;
    }
}

async fn create(
    service: &Service,
    call: &Call,
    request: iam::CreateIamTokenRequest,
) -> Result<iam::CreateIamTokenResponse, Error> {
    check(&request)?;
    let attempt = Attempt::new(call, &request)?;
    let jwt = match request.identity {
        Some(Identity::Jwt(jwt)) => jwt,
        Some(Identity::YandexPassportOauthToken(_)) => {
            return Err(Refusal::invalid(
                "yandex_passport_oauth_token",
                "this hub knows service accounts only: send jwt",
            )
            .into());
        }
        None => return Err(Refusal::invalid("identity", "send jwt").into()),
    };
    let (token, expires_at) = service.0.issue_token(&jwt, call, attempt).await?;
    Ok(iam::CreateIamTokenResponse {
        iam_token: token.expose().to_owned(),
        expires_at: Some(render_timestamp(expires_at)),
    })
}
