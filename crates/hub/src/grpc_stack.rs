//! The layers around every rpc: request id, token, deadline, access log.
//!
//! Invariant: each call leaves one log line, without payload; a call without a valid token reaches
//! only the few anonymous methods. REST goes through the same layers. Deliberately absent: rights
//! on resources, which each handler requires.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use rollcall_domain::access::Subject;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::find_method;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use crate::call::{self, Call};
use crate::deadline;
use crate::error::Error;
use crate::hub::Hub;
use crate::limits;
use crate::listener::Peer;

/// The gRPC services of a hub with their layers.
#[derive(Clone)]
pub struct GrpcStack {
    hub: Arc<Hub>,
    routes: Routes,
}

impl GrpcStack {
    /// Puts the layers around `routes`.
    #[must_use]
    pub fn new(hub: Arc<Hub>, routes: Routes) -> Self {
        Self { hub, routes }
    }

    async fn answer(mut self, request: Request<Body>) -> Response<Body> {
        let now = self.hub.clock.now();
        // Strangers choose the path, so a log line has only so much of it.
        let logged_max = limits::LOGGED_PATH_CHARACTERS_MAX;
        let path: String = request.uri().path().chars().take(logged_max).collect();
        let request_id =
            call::client_request_id(request.headers()).unwrap_or_else(|| self.hub.new_request_id());
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let mut subject = None;
        let timeout = deadline::read(request.headers());
        let admitted = self.admit(request, now, &request_id, &mut subject);
        let outcome = tokio::time::timeout(timeout, admitted)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded))
            .map_err(|error| error.into_status(&request_id));
        let mut response = outcome.unwrap_or_else(Status::into_http);
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(call::REQUEST_ID, value);
        }
        let code =
            Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        let micros = self.hub.clock.now().since(now).as_micros();
        let subject = subject
            .as_ref()
            .map_or("-", |subject: &Subject| subject.id.as_str());
        let peer = peer.map(tracing::field::display);
        tracing::info!(
            target: "access", method = %path, code = ?code, micros, subject, peer, request_id
        );
        response
    }

    async fn admit(
        &mut self,
        mut request: Request<Body>,
        now: Timestamp,
        request_id: &str,
        subject: &mut Option<Subject>,
    ) -> Result<Response<Body>, Error> {
        let path = request.uri().path();
        let method = find_method(path);
        let mut call = Call::read(request.headers(), method, request_id.to_owned(), now)?;
        if !call::is_anonymous(path) {
            let caller = self.hub.authenticate(request.headers(), now).await?;
            *subject = Some(caller.subject.clone());
            call.subject = Some(caller.subject);
            call.token = Some(caller.token);
        }
        request.extensions_mut().insert(Arc::new(call));
        match self.routes.call(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }
}

impl Service<Request<Body>> for GrpcStack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stack = self.clone();
        Box::pin(async move { Ok(stack.answer(request).await) })
    }
}
