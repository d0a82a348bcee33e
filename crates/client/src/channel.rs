//! A channel that adds the token to each call.
//!
//! Invariant: a call refused as unauthenticated makes the token be fetched anew for the next one.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use rollcall_kit::secret::SecretString;
use rollcall_proto::admin::audit_service_client::AuditServiceClient;
use rollcall_proto::admin::password_service_client::PasswordServiceClient;
use rollcall_proto::admin::service_account_service_client::ServiceAccountServiceClient;
use rollcall_proto::endpoint::api_endpoint_service_client::ApiEndpointServiceClient;
use rollcall_proto::iam::iam_token_service_client::IamTokenServiceClient;
use rollcall_proto::idp::synchronization_service_client::SynchronizationServiceClient;
use rollcall_proto::idp::synchronization_session_service_client::SynchronizationSessionServiceClient;
use rollcall_proto::idp::user_service_client::UserServiceClient;
use rollcall_proto::idp::userpool_service_client::UserpoolServiceClient;
use rollcall_proto::operation::operation_service_client::OperationServiceClient;
use rollcall_proto::organizationmanager::group_service_client::GroupServiceClient;
use rollcall_proto::organizationmanager::organization_service_client::OrganizationServiceClient;
use rollcall_proto::signin::sign_in_service_client::SignInServiceClient;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

use crate::token::{BEARER, TokenSource};

/// The largest answer taken, in bytes: a page of 1,000 users with every field at its limit.
const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// The largest request sent, in bytes; the hub accepts no larger ones.
const REQUEST_BYTES_MAX: usize = 4 * 1_024 * 1_024;
const GRPC_STATUS: &str = "grpc-status";
const UNAUTHENTICATED: &str = "16";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The connection to a hub, with the token. Cloning is cheap.
#[derive(Clone)]
pub struct AuthorizedChannel {
    inner: Channel,
    tokens: Arc<TokenSource>,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> $client<Self> {
                $client::new(self.clone())
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .max_encoding_message_size(REQUEST_BYTES_MAX)
            }
        )*
    };
}

impl AuthorizedChannel {
    pub(crate) fn new(inner: Channel, tokens: Arc<TokenSource>) -> Self {
        Self { inner, tokens }
    }

    /// The token, fetched if there is none yet.
    pub(crate) async fn token(&self) -> Result<Option<SecretString>, Status> {
        let header = self.tokens.header().await?;
        Ok(header.and_then(|header| {
            let token = header.to_str().ok()?.strip_prefix(BEARER)?;
            Some(SecretString::new(token.to_owned()))
        }))
    }

    services! {
        /// Pools and domains.
        userpools: UserpoolServiceClient;
        /// Users.
        users: UserServiceClient;
        /// Groups.
        groups: GroupServiceClient;
        /// Organizations.
        organizations: OrganizationServiceClient;
        /// Synchronization sessions.
        synchronization_sessions: SynchronizationSessionServiceClient;
        /// Synchronization settings and replication tokens.
        synchronization: SynchronizationServiceClient;
        /// Operations.
        operations: OperationServiceClient;
        /// Tokens.
        iam_tokens: IamTokenServiceClient;
        /// Sign-ins of users, and their sessions.
        sign_ins: SignInServiceClient;
        /// Stored passwords.
        passwords: PasswordServiceClient;
        /// Service accounts and their keys.
        service_accounts: ServiceAccountServiceClient;
        /// The audit trail.
        audit: AuditServiceClient;
        /// Addresses of the services.
        endpoints: ApiEndpointServiceClient;
    }
}

impl Service<Request<Body>> for AuthorizedChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone is not ready yet; the one that is must serve this call.
        let next = self.inner.clone();
        let mut ready = mem::replace(&mut self.inner, next);
        let tokens = Arc::clone(&self.tokens);
        tracing::trace!(path = request.uri().path(), "a call");
        Box::pin(async move {
            let header = tokens.header().await.map_err(BoxError::from)?;
            if let Some(header) = &header {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
            }
            let response = ready.call(request).await?;
            if let Some(header) = header
                && response
                    .headers()
                    .get(GRPC_STATUS)
                    .is_some_and(|status| status == UNAUTHENTICATED)
            {
                tokens.forget(&header);
            }
            Ok(response)
        })
    }
}
