//! Sessions of users: their beginning, renewal, listing and end.
//!
//! Invariant: tokens of a session leave with it, here at once and on other hubs within the time that
//! tokens are trusted. A refresh token that was used before ends its session. Users see and end their
//! own sessions; those of others need the right to manage the user, and look missing without it.
//! Deliberately absent: signing in.

use std::sync::Arc;

use rollcall_domain::access::{Permission, Subject, SubjectKind};
use rollcall_domain::audit::AuditTarget;
use rollcall_domain::id::{SignInSessionId, UserId};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sign_in::require_active;
use rollcall_domain::sign_in_session::{Origin, Refreshing, SESSIONS_PER_USER_MAX, SignInSession};
use rollcall_domain::user::User;
use rollcall_proto::signin;
use rollcall_store::Tx;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use crate::audit::{self, Attempt};
use crate::call::Call;
use crate::context::{Context, Scope};
use crate::error::Error;
use crate::grpc::sign_in::{attempt, proven};
use crate::grpc::{DirectAnswer, Service, accept, check};
use crate::hub::Hub;
use crate::session_token::RefreshToken;
use crate::wire::render_timestamp;

/// Why a session ended whose refresh token came twice, for the audit trail.
const REUSED: &str = "REFRESH_TOKEN_REUSED";

/// Begins a session of `user` and returns its tokens.
pub(super) async fn begin_session(
    hub: &Hub,
    tx: &Tx,
    call: &Call,
    user: &User,
) -> Result<signin::SessionTokens, Error> {
    let now = call.now;
    let id = SignInSessionId::new(hub.new_id(SignInSessionId::PREFIX, now));
    let refresh = RefreshToken::first(id.clone(), hub.entropy.as_ref());
    let origin = Origin {
        remote_address: call
            .remote
            .map_or_else(String::new, |remote| remote.ip().to_canonical().to_string()),
        user_agent: call.user_agent.clone(),
    };
    let lifetimes = hub.sign_in.lifetimes();
    let session = SignInSession::begin(id, user, refresh.digests(), origin, lifetimes, now);
    tx.insert_sign_in_session(&session).await?;
    tx.delete_surplus_sign_in_sessions(&user.id, SESSIONS_PER_USER_MAX)
        .await?;
    make_tokens(hub, tx, call, &session, &refresh).await
}

async fn make_tokens(
    hub: &Hub,
    tx: &Tx,
    call: &Call,
    session: &SignInSession,
    refresh: &RefreshToken,
) -> Result<signin::SessionTokens, Error> {
    let (token, record) = hub.new_token(Subject::user(session.user_id.as_str()), call.now);
    let end = session.token_end(hub.sign_in.lifetimes().token, call.now);
    let record = record.of_session(session.id.clone(), end);
    tx.insert_iam_token(&record).await?;
    Ok(signin::SessionTokens {
        iam_token: token.expose().to_owned(),
        expires_at: Some(render_timestamp(record.expires_at)),
        refresh_token: refresh.to_text().expose().to_owned(),
        session_expires_at: Some(render_timestamp(session.expires_at)),
        sign_in_session_id: session.id.to_string(),
        user_id: session.user_id.to_string(),
    })
}

/// `SignInService.Refresh`.
pub(super) async fn refresh(
    service: &Service,
    request: Request<signin::RefreshRequest>,
) -> Result<Response<signin::RefreshResponse>, Status> {
    let (call, request) = accept(request)?;
    let refused = |error: Error| error.into_status(&call.request_id);
    check(&request).map_err(refused)?;
    let told = Arc::new(attempt(&call, &request).map_err(refused)?);
    let shown = RefreshToken::parse(&request.refresh_token).map(Arc::new);
    let (hub, inner, attempt) = (Arc::clone(&service.0), Arc::clone(&call), Arc::clone(&told));
    let renewing = async move {
        let shown = shown.ok_or_else(no_such_refresh)?;
        let (store, now) = (&hub.store, Arc::clone(&hub));
        store
            .write(async move |tx: &Tx| renew(&now, tx, &inner, &attempt, &shown).await)
            .await
    };
    match service.carry_out(&call, Some(told), renewing).await? {
        Renewal::Renewed(tokens) => Ok(Response::new(signin::RefreshResponse {
            tokens: Some(tokens),
        })),
        Renewal::Reused(user_id) => {
            service.0.tokens.forget_sessions(&user_id.into());
            Err(refused(no_such_refresh()))
        }
    }
}

/// What a refresh token led to.
enum Renewal {
    /// To new tokens.
    Renewed(signin::SessionTokens),
    /// To the end of its session: it was used before.
    Reused(UserId),
}

async fn renew(
    hub: &Arc<Hub>,
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
    shown: &RefreshToken,
) -> Result<Renewal, Error> {
    let now = call.now;
    let session = tx.find_sign_in_session(shown.session_id()).await?;
    let session = session.filter(|session| session.is_alive(now));
    let session = session.ok_or_else(no_such_refresh)?;
    let user = tx.find_user(&session.user_id).await?;
    let user = user.filter(|user| require_active(user, now).is_ok());
    let user = user.ok_or_else(no_such_refresh)?;
    let attempt = attempt.clone().about(AuditTarget::User(user.id.clone()));
    match session.recognize(&shown.digests()) {
        Refreshing::Foreign => Err(no_such_refresh()),
        Refreshing::Reused => {
            tx.delete_sign_in_session(&session.id).await?;
            let status = no_such_refresh().into_status(&call.request_id);
            audit::record_failure(hub, tx, call, &attempt, &status, REUSED).await?;
            Ok(Renewal::Reused(user.id))
        }
        Refreshing::Newest => {
            let next = shown.next(hub.entropy.as_ref());
            let idle = hub.sign_in.lifetimes().idle;
            let session = session.renew(next.digests().whole, idle, now);
            tx.save_sign_in_session(&session).await?;
            let tokens = make_tokens(hub, tx, call, &session, &next).await?;
            let answer = signin::RefreshResponse {
                tokens: Some(tokens.clone()),
            };
            let (call, details) = (proven(call, &user), details_of(session.id.as_str()));
            audit::record_direct(hub, tx, &call, &attempt, &answer, details).await?;
            Ok(Renewal::Renewed(tokens))
        }
    }
}

fn no_such_refresh() -> Error {
    Error::Unauthenticated(
        "the refresh token is unknown, was used before, or its session has ended: sign in again"
            .into(),
    )
}

/// `SignInService.SignOut`.
pub(super) async fn sign_out(
    service: &Service,
    request: Request<signin::SignOutRequest>,
) -> Result<Response<signin::SignOutResponse>, Status> {
    let (call, request) = accept(request)?;
    let answer = service.change(&call, request, end_own).await?;
    if let Some(subject) = &call.subject {
        service.0.tokens.forget_sessions(&subject.id);
    }
    Ok(Response::new(answer))
}

async fn end_own(
    cx: &Context,
    tx: &Tx,
    _: &signin::SignOutRequest,
) -> Result<signin::SignOutResponse, Error> {
    cx.check_fence(tx, Scope::Anywhere).await?;
    let token = cx.call.token.as_ref();
    let id = token.and_then(|token| token.sign_in_session_id.clone());
    let id = id.ok_or_else(|| {
        Refusal::precondition(
            "NO_SIGN_IN_SESSION",
            "the token of this call came from no sign-in: end it with IamTokenService.Revoke",
        )
    })?;
    tx.delete_sign_in_session(&id).await?;
    Ok(signin::SignOutResponse {
        sign_in_session_id: id.into_string(),
    })
}

/// `SignInService.ListSessions`.
pub(super) async fn list(
    cx: &Context,
    tx: &Tx,
    request: &signin::ListSignInSessionsRequest,
) -> Result<signin::ListSignInSessionsResponse, Error> {
    let user_id = UserId::from(request.user_id.as_str());
    require_own(cx, tx, &user_id).await?;
    let list = cx.list(user_id.as_str(), "");
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx
        .list_sign_in_sessions(&user_id, cx.call.now, &page)
        .await?;
    let token = cx.call.token.as_ref();
    let current = token.and_then(|token| token.sign_in_session_id.as_ref());
    Ok(signin::ListSignInSessionsResponse {
        sessions: page
            .items
            .into_iter()
            .map(|session| render(session, current))
            .collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// `SignInService.EndSession`.
pub(super) async fn end(
    service: &Service,
    request: Request<signin::EndSignInSessionRequest>,
) -> Result<Response<signin::EndSignInSessionResponse>, Status> {
    let (call, request) = accept(request)?;
    let answer = service.change(&call, request, end_one).await?;
    let user_id = answer.user_id.as_str().into();
    service.0.tokens.forget_sessions(&user_id);
    Ok(Response::new(answer))
}

async fn end_one(
    cx: &Context,
    tx: &Tx,
    request: &signin::EndSignInSessionRequest,
) -> Result<signin::EndSignInSessionResponse, Error> {
    cx.check_fence(tx, Scope::Anywhere).await?;
    let missing = || Refusal::not_found("sign-in session", &request.sign_in_session_id);
    let id = SignInSessionId::from(request.sign_in_session_id.as_str());
    let session = tx.find_sign_in_session(&id).await?;
    let session = session.filter(|session| session.is_alive(cx.call.now));
    let session = session.ok_or_else(missing)?;
    match require_own(cx, tx, &session.user_id).await {
        Err(Error::Refused(_)) => return Err(missing().into()),
        judged => judged?,
    }
    tx.delete_sign_in_session(&id).await?;
    Ok(signin::EndSignInSessionResponse {
        user_id: session.user_id.into_string(),
    })
}

/// `SignInService.EndAllSessions`.
pub(super) async fn end_all(
    service: &Service,
    request: Request<signin::EndAllSignInSessionsRequest>,
) -> Result<Response<signin::EndAllSignInSessionsResponse>, Status> {
    let (call, request) = accept(request)?;
    let user_id = request.user_id.as_str().into();
    let answer = service.change(&call, request, end_of_user).await?;
    service.0.tokens.forget_sessions(&user_id);
    Ok(Response::new(answer))
}

async fn end_of_user(
    cx: &Context,
    tx: &Tx,
    request: &signin::EndAllSignInSessionsRequest,
) -> Result<signin::EndAllSignInSessionsResponse, Error> {
    cx.check_fence(tx, Scope::Anywhere).await?;
    let user_id = UserId::from(request.user_id.as_str());
    require_own(cx, tx, &user_id).await?;
    let ended = tx.delete_sign_in_sessions_of_user(&user_id, None).await?;
    Ok(signin::EndAllSignInSessionsResponse {
        ended: i64::try_from(ended).unwrap_or(i64::MAX),
    })
}

/// Requires that the caller is the user, or manages it.
///
/// # Errors
/// `NotFound`, the same for a user that is not there.
async fn require_own(cx: &Context, tx: &Tx, user_id: &UserId) -> Result<(), Error> {
    let caller = cx.caller()?;
    if caller.kind == SubjectKind::UserAccount && caller.id.as_str() == user_id.as_str() {
        return Ok(());
    }
    let found = tx.find_user(user_id).await?;
    let permission = Permission::UsersManage;
    match cx.admit(tx, permission, user_id.as_str(), found).await {
        Err(Error::Refused(_)) => Err(Refusal::not_found("user", user_id).into()),
        admitted => admitted.map(|_| ()),
    }
}

fn render(session: SignInSession, current: Option<&SignInSessionId>) -> signin::SignInSession {
    signin::SignInSession {
        current: current == Some(&session.id),
        id: session.id.into_string(),
        user_id: session.user_id.into_string(),
        created_at: Some(render_timestamp(session.created_at)),
        renewed_at: Some(render_timestamp(session.renewed_at)),
        expires_at: Some(render_timestamp(session.expires_at)),
        ends_at: Some(render_timestamp(session.ends_at)),
        remote_address: session.remote_address,
        user_agent: session.user_agent,
    }
}

/// The details of an event about a session.
pub(super) fn details_of(session_id: &str) -> Map<String, Value> {
    [("signInSessionId".to_owned(), session_id.into())]
        .into_iter()
        .collect()
}

impl DirectAnswer for signin::SignOutResponse {
    fn details(&self) -> Map<String, Value> {
        details_of(&self.sign_in_session_id)
    }
}

impl DirectAnswer for signin::EndSignInSessionResponse {
    fn details(&self) -> Map<String, Value> {
        [("userId".to_owned(), self.user_id.clone().into())]
            .into_iter()
            .collect()
    }
}

impl DirectAnswer for signin::EndAllSignInSessionsResponse {
    fn details(&self) -> Map<String, Value> {
        [("ended".to_owned(), self.ended.into())]
            .into_iter()
            .collect()
    }
}
