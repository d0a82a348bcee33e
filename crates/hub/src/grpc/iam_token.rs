//! `IamTokenService`: service accounts trade a signed JWT for a token, callers act as a service
//! account, and tokens end before their time.

use std::sync::Arc;

use rollcall_domain::access::Permission;
use rollcall_domain::access_policy::PolicyTemplate;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::ServiceAccountId;
use rollcall_domain::refusal::Refusal;
use rollcall_proto::iam;
use rollcall_proto::iam::create_iam_token_request::Identity;
use rollcall_proto::iam::iam_token_service_server::IamTokenService;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::audit::Attempt;
use crate::call::Call;
use crate::context::{Context, Scope};
use crate::error::Error;
use crate::grpc::service_account::Managed;
use crate::grpc::{DirectAnswer, Service, accept, check};
use crate::token;
use crate::wire::render_timestamp;

#[tonic::async_trait]
impl IamTokenService for Service {
    async fn create(
        &self,
        request: Request<iam::CreateIamTokenRequest>,
    ) -> Result<Response<iam::CreateIamTokenResponse>, Status> {
        let (call, request) = accept(request)?;
        let attempt = match Attempt::new(&call, &request) {
            Ok(attempt) => attempt.map(Arc::new),
            Err(error) => return Err(error.into_status(&call.request_id)),
        };
        let (service, inner, told) = (self.clone(), Arc::clone(&call), attempt.clone());
        let issue = async move { create(&service, &inner, request, told).await };
        self.carry_out(&call, attempt, issue)
            .await
            .map(Response::new)
    }

    async fn create_for_service_account(
        &self,
        request: Request<iam::CreateIamTokenForServiceAccountRequest>,
    ) -> Result<Response<iam::CreateIamTokenResponse>, Status> {
        let (call, request) = accept(request)?;
        self.change(&call, request, create_for_service_account)
            .await
            .map(Response::new)
    }

    async fn revoke(
        &self,
        request: Request<iam::RevokeIamTokenRequest>,
    ) -> Result<Response<iam::RevokeIamTokenResponse>, Status> {
        let (call, request) = accept(request)?;
        let digest = token::digest(&request.iam_token);
        let answer = self.change(&call, request, revoke).await?;
        self.0.tokens.forget(&digest);
        Ok(Response::new(answer))
    }
}

async fn create(
    service: &Service,
    call: &Call,
    request: iam::CreateIamTokenRequest,
    attempt: Option<Arc<Attempt>>,
) -> Result<iam::CreateIamTokenResponse, Error> {
    check(&request)?;
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

impl DirectAnswer for iam::CreateIamTokenResponse {
    /// The public id, which is the second part of the token.
    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        let id = self.iam_token.split('.').nth(1);
        id.map(|id| ("iamTokenId".to_owned(), id.into()))
            .into_iter()
            .collect()
    }
}

impl DirectAnswer for iam::RevokeIamTokenResponse {
    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
}

/// Makes a token of a service account for a caller who may act as it. The token tells who that is;
/// it cannot be used to get a further one, so that this stays true, and that tokens end.
async fn create_for_service_account(
    cx: &Context,
    tx: &Tx,
    request: &iam::CreateIamTokenForServiceAccountRequest,
) -> Result<iam::CreateIamTokenResponse, Error> {
    let permission = Permission::ServiceAccountsCreateToken;
    let managed = Managed::find_with(cx, tx, permission, &request.service_account_id).await?;
    managed
        .require_allowed(tx, PolicyTemplate::DenyImpersonation)
        .await?;
    let account = managed.account;
    let shown = cx.call.token.as_ref();
    if shown.is_some_and(|token| token.impersonator.is_some()) {
        return Err(Refusal::precondition(
            "IMPERSONATED_TOKEN",
            "a token that was asked for in the name of another account gives no further token: \
             use one of your own",
        )
        .into());
    }
    if !account.is_enabled() {
        return Err(Refusal::precondition(
            "SERVICE_ACCOUNT_DISABLED",
            format!(
                "service account {} is disabled: enable it first",
                account.id
            ),
        )
        .into());
    }
    let (token, record) = cx.hub.new_token(account.subject(), cx.call.now);
    let record = record.impersonated_by(cx.caller()?.clone());
    tx.insert_iam_token(&record).await?;
    Ok(iam::CreateIamTokenResponse {
        iam_token: token.expose().to_owned(),
        expires_at: Some(render_timestamp(record.expires_at)),
    })
}

/// Ends a token. One that is unknown or has ended and one that the caller may not end are answered
/// alike.
async fn revoke(
    cx: &Context,
    tx: &Tx,
    request: &iam::RevokeIamTokenRequest,
) -> Result<iam::RevokeIamTokenResponse, Error> {
    cx.check_fence(tx, Scope::Anywhere).await?;
    let digest = token::digest(&request.iam_token);
    let found = tx.find_iam_token(&digest).await?;
    let Some(token) = found.filter(|token| token.is_valid(cx.call.now)) else {
        return Err(no_such_token());
    };
    require_ending(cx, tx, &token).await?;
    tx.delete_iam_token(&digest).await?;
    Ok(iam::RevokeIamTokenResponse {
        subject_id: token.subject.id.into_string(),
    })
}

/// Requires that the caller may end `token`: it is the subject, asked for it, or manages the
/// service account.
async fn require_ending(cx: &Context, tx: &Tx, token: &IamToken) -> Result<(), Error> {
    let caller = cx.caller()?;
    if token.subject == *caller || token.impersonator.as_ref() == Some(caller) {
        return Ok(());
    }
    let id = ServiceAccountId::from(token.subject.id.as_str());
    let Some(account) = tx.find_service_account(&id).await? else {
        return Err(no_such_token());
    };
    let permission = Permission::ServiceAccountsManage;
    let scope = Scope::Organization(&account.organization_id);
    match cx.authorize(tx, permission, scope).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(_)) => Err(no_such_token()),
        Err(error) => Err(error),
    }
}

fn no_such_token() -> Error {
    let what = "valid token (one that the caller may end)".to_owned();
    Refusal::NotFound { what }.into()
}
