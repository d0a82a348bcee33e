//! The layers around every rpc: request id, token, rate, deadline, access log.
//!
//! Invariant: each call leaves one log line, without payload, however it ends; a call without a valid token reaches
//! only the few anonymous methods, and only so often from one address. REST goes through the same layers. Deliberately absent: rights
//! on resources, which each handler requires.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::find_method;
use tokio::runtime::Handle;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use crate::audit;
use crate::call::{self, Call};
use crate::deadline;
use crate::error::Error;
use crate::hub::Hub;
use crate::limits;
use crate::listener::Peer;
use crate::rate_limit::address_key;
use crate::token::Caller;

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
        let mut trace = Trace::begin(&self.hub, &request, now);
        let request_id = trace.request_id.clone();
        let longest = Duration::from_secs(self.hub.limits.call_seconds_max.into());
        let timeout = deadline::read(request.headers(), longest);
        let admitted = self.admit(request, now, &request_id, &mut trace.seen);
        let outcome = tokio::time::timeout(timeout, admitted)
            .await
            .unwrap_or(Err(Error::DeadlineExceeded))
            .map_err(|error| error.into_status(&request_id));
        let mut response = outcome.unwrap_or_else(Status::into_http);
        let status = Status::from_header_map(response.headers());
        trace.code = Some(status.as_ref().map_or(Code::Ok, Status::code));
        if let (Some(call), Some(status)) = (&trace.seen, status)
            && let Some(recorded) = audit::record_unseen(&self.hub, call, status)
            && recorded.await.is_err()
        {
            tracing::error!(request_id, "the event of an attempt broke off");
        }
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(call::REQUEST_ID, value);
        }
        response
    }

    async fn admit(
        &mut self,
        mut request: Request<Body>,
        now: Timestamp,
        request_id: &str,
        seen: &mut Option<Arc<Call>>,
    ) -> Result<Response<Body>, Error> {
        let path = request.uri().path();
        let method = find_method(path);
        let read = Call::read(request.headers(), method, request_id.to_owned(), now);
        let (mut call, refusal) = match read {
            Ok(call) => (call, None),
            Err(refusal) => {
                let bare = Call::read(&HeaderMap::new(), method, request_id.to_owned(), now)?;
                (bare, Some(refusal))
            }
        };
        call.remote = request.extensions().get::<Peer>().map(|peer| peer.0);
        let known = self.identify(request.headers(), path, &mut call, now).await;
        let call = Arc::new(call);
        *seen = Some(Arc::clone(&call));
        known?;
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        request.extensions_mut().insert(call);
        match self.routes.call(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    /// Finds out who calls, and whether that caller may call now.
    async fn identify(
        &self,
        headers: &HeaderMap,
        path: &str,
        call: &mut Call,
        now: Timestamp,
    ) -> Result<(), Error> {
        let address = call.remote.map(|remote| remote.ip());
        if call::is_anonymous(path) {
            if let Some(address) = address {
                self.hub.address_rates.take(&address_key(address), now)?;
            }
            return Ok(());
        }
        let caller = self.authenticate(headers, address, now).await?;
        call.token = Some(caller.token);
        let subject = call.subject.insert(caller.subject);
        self.hub.subject_rates.take(subject.id.as_str(), now)?;
        Ok(())
    }

    /// Who calls. A token that nobody knows costs its address one call before it is looked up, so
    /// that neither calls that are given up nor many at once look up more; a valid one gives it
    /// back. Callers whose token was valid lately are not held up by others behind the address.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Error> {
        if let Some(known) = self.hub.authenticate_from_cache(headers, now) {
            return Ok(known);
        }
        let charged = address
            .filter(|_| !self.hub.recognizes(headers, now))
            .map(address_key);
        if let Some(address) = &charged {
            self.hub.address_rates.take(address, now)?;
        }
        let outcome = self.hub.authenticate(headers, now).await;
        if let (Some(address), Ok(_)) = (&charged, &outcome) {
            self.hub.address_rates.give_back(address, now);
        }
        outcome
    }
}

/// What is told of a call at its end, also when its client goes away before.
struct Trace {
    hub: Arc<Hub>,
    path: String,
    request_id: String,
    peer: Option<SocketAddr>,
    begun_at: Timestamp,
    seen: Option<Arc<Call>>,
    /// How it was answered.
    code: Option<Code>,
}

impl Trace {
    fn begin(hub: &Arc<Hub>, request: &Request<Body>, now: Timestamp) -> Self {
        // Strangers choose the path, so a log line has only so much of it.
        let logged_max = limits::LOGGED_PATH_CHARACTERS_MAX;
        Self {
            hub: Arc::clone(hub),
            path: request.uri().path().chars().take(logged_max).collect(),
            request_id: call::client_request_id(request.headers())
                .unwrap_or_else(|| hub.new_request_id()),
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
            begun_at: now,
            seen: None,
            code: None,
        }
    }

    /// Leaves the event of a call that nobody waits for any more, unless somebody else does.
    fn record_dropped(&self) {
        // A hub that ends has nothing left to write with.
        if let (Some(call), Ok(_)) = (&self.seen, Handle::try_current()) {
            let status = Status::cancelled("the client went away before the answer");
            // The task goes on by itself.
            drop(audit::record_unseen(&self.hub, call, status));
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let code = self.code.unwrap_or_else(|| {
            self.record_dropped();
            Code::Cancelled
        });
        let micros = self.hub.clock.now().since(self.begun_at).as_micros();
        let subject = self.seen.as_ref().and_then(|call| call.subject.as_ref());
        let subject = subject.map_or("-", |subject| subject.id.as_str());
        let peer = self.peer.map(tracing::field::display);
        let (path, request_id) = (self.path.as_str(), self.request_id.as_str());
        tracing::info!(
            target: "access", method = %path, code = ?code, micros, subject, peer, request_id
        );
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
