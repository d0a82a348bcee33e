//! `SignInService`: signing in with a password, and replacing one that has to be changed.
//!
//! Invariant: a sign-in that fails is answered the same way and not faster, whatever the cause; the
//! cause is in the audit trail. The guards are asked again in the transaction that lets somebody in.
//! Deliberately absent: what happens to sessions afterwards, which is `sign_in_session`.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rollcall_domain::audit::AuditTarget;
use rollcall_domain::id::{PasswordId, UserId};
use rollcall_domain::password::Password;
use rollcall_domain::password_age::ChangeReason;
use rollcall_domain::sign_in::{Admission, CHANGE_TOKEN_LIFETIME, SignIn, SignInFailure, Verdict};
use rollcall_domain::user::User;
use rollcall_domain::username::Username;
use rollcall_domain::userpool::Userpool;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::signin;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::signin::sign_in_service_server::SignInService;
use rollcall_store::Tx;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::audit::{self, Attempt};
use crate::call::Call;
use crate::error::Error;
use crate::grpc::required_change::{Changed, change_password, no_such_change};
use crate::grpc::sign_in_session::{self as session, begin_session};
use crate::grpc::{DirectAnswer, Service, accept, check};
use crate::hub::Hub;
use crate::session_token::Change;
use crate::sign_in::{Verified, save_better, verify};
use crate::sign_in_guard;
use crate::wire::{WireEnum, render_timestamp};

/// What a caller is told of every sign-in that fails.
const FAILED: &str = "the login or the password is wrong, or the account may not sign in now";

#[tonic::async_trait]
impl SignInService for Service {
    async fn sign_in(
        &self,
        request: Request<signin::SignInRequest>,
    ) -> Result<Response<signin::SignInResponse>, Status> {
        let begun_at = Instant::now();
        let (call, mut request) = accept(request)?;
        let refused = |error: Error| error.into_status(&call.request_id);
        check(&request).map_err(refused)?;
        let password = SecretString::new(std::mem::take(&mut request.password));
        let attempt = attempt(&call, &request).map_err(refused)?;
        let (hub, inner) = (Arc::clone(&self.0), Arc::clone(&call));
        let attempting = async move {
            let login = Username::parse(&request.username).ok();
            let answer = sign_in(&hub, &inner, attempt, login, &password).await;
            if answer.is_err() {
                // Nobody wrote an event of it.
                inner.audit_mark.clear();
            }
            answer
        };
        let place = self.place_to_sign_in().map_err(refused)?;
        match self.carry_out_in(place, &call, None, attempting).await? {
            Some(answer) => Ok(Response::new(answer)),
            None => {
                tokio::time::sleep_until(begun_at + self.0.sign_in.failure_min()).await;
                Err(failed(&call))
            }
        }
    }

    async fn change_password(
        &self,
        request: Request<signin::ChangePasswordRequest>,
    ) -> Result<Response<signin::ChangePasswordResponse>, Status> {
        let (call, mut request) = accept(request)?;
        let refused = |error: Error| error.into_status(&call.request_id);
        check(&request).map_err(refused)?;
        let password = SecretString::new(std::mem::take(&mut request.new_password));
        let opened = self.0.change_tokens.open(&request.change_token, call.now);
        let change = opened.map_err(refused)?;
        let mut attempt = attempt(&call, &request).map_err(refused)?;
        if let Some(change) = &change {
            attempt = attempt.about(AuditTarget::User(change.user_id.clone()));
        }
        let attempt = Arc::new(attempt);
        let (hub, inner, told) = (Arc::clone(&self.0), Arc::clone(&call), Arc::clone(&attempt));
        let changing = async move {
            let change = change.ok_or_else(no_such_change)?;
            change_password(&hub, &inner, &told, change, password).await
        };
        let waiters = Arc::clone(&self.0.password_changes.waiters);
        let waiter = waiters.try_acquire_owned();
        let _waiter = waiter.map_err(|_| refused(Error::Busy))?;
        let place = self.place_to_sign_in().map_err(refused)?;
        let told = Some(Arc::clone(&attempt));
        let answer = match self.carry_out_in(place, &call, told, changing).await? {
            Changed::Here(answer) => answer,
            Changed::Begun(waiting) => {
                // Whoever waits has no place: the answer of the directory needs one.
                let ended = waiting.end().await;
                let signing_in = async move {
                    ended?;
                    waiting.begin_session().await
                };
                self.carry_out(&call, Some(attempt), signing_in).await?
            }
        };
        if let Some(tokens) = &answer.tokens {
            self.0
                .tokens
                .forget_sessions(&tokens.user_id.as_str().into());
        }
        Ok(Response::new(answer))
    }

    async fn refresh(
        &self,
        request: Request<signin::RefreshRequest>,
    ) -> Result<Response<signin::RefreshResponse>, Status> {
        session::refresh(self, request).await
    }

    async fn sign_out(
        &self,
        request: Request<signin::SignOutRequest>,
    ) -> Result<Response<signin::SignOutResponse>, Status> {
        session::sign_out(self, request).await
    }

    async fn list_sessions(
        &self,
        request: Request<signin::ListSignInSessionsRequest>,
    ) -> Result<Response<signin::ListSignInSessionsResponse>, Status> {
        self.read(request, session::list).await
    }

    async fn end_session(
        &self,
        request: Request<signin::EndSignInSessionRequest>,
    ) -> Result<Response<signin::EndSignInSessionResponse>, Status> {
        session::end(self, request).await
    }

    async fn end_all_sessions(
        &self,
        request: Request<signin::EndAllSignInSessionsRequest>,
    ) -> Result<Response<signin::EndAllSignInSessionsResponse>, Status> {
        session::end_all(self, request).await
    }
}

impl Service {
    /// A place for a sign-in, which costs time: others refuse to wait behind it, and changes have
    /// places of their own.
    fn place_to_sign_in(&self) -> Result<OwnedSemaphorePermit, Error> {
        let places = Arc::clone(&self.0.sign_ins);
        places.try_acquire_owned().map_err(|_| Error::Busy)
    }
}

/// What the trail will say of a request of this service.
pub(super) fn attempt<Q: prost::Message>(call: &Call, request: &Q) -> Result<Attempt, Error> {
    Attempt::new(call, request)?
        .ok_or_else(|| Error::Internal("a method of sign-in leaves no event".into()))
}

/// The call as one of the user, who proved who it is.
pub(super) fn proven(call: &Call, user: &User) -> Call {
    Call {
        subject: Some(rollcall_domain::access::Subject::user(user.id.as_str())),
        ..call.clone()
    }
}

fn failed(call: &Call) -> Status {
    Error::Unauthenticated(FAILED.into()).into_status(&call.request_id)
}

/// What there is of a login.
struct Found {
    pool: Option<Userpool>,
    user: Option<User>,
    password: Option<Password>,
}

impl Found {
    /// Whether the guard of the user is closed.
    async fn is_blocked(&self, tx: &Tx, now: Timestamp) -> Result<bool, Error> {
        match (&self.user, &self.pool) {
            (Some(user), Some(pool)) => {
                let policy = &pool.bruteforce_policy;
                Ok(!sign_in_guard::allowed(tx, &user.id, policy, now).await?)
            }
            _ => Ok(false),
        }
    }
}

async fn find(tx: &Tx, login: Option<&Username>) -> Result<Found, Error> {
    let mut found = Found {
        pool: None,
        user: None,
        password: None,
    };
    let Some(login) = login else {
        return Ok(found);
    };
    if let Some(pool_id) = tx.find_userpool_of_domain(login.domain()).await? {
        found.pool = tx.find_userpool(&pool_id).await?;
        found.user = tx.find_user_by_login(&pool_id, &login.folded()).await?;
    }
    if let Some(user) = &found.user {
        found.password = tx.find_password(&user.id).await?;
    }
    Ok(found)
}

/// A sign-in between verifying its password and its end.
struct Verifying {
    hub: Arc<Hub>,
    call: Arc<Call>,
    attempt: Attempt,
    login: Option<Username>,
    address: Option<IpAddr>,
    /// The value that was verified.
    password_id: Option<PasswordId>,
    /// Whether the guard of the user was closed, so that nothing was verified.
    is_blocked: bool,
    verified: Verified,
    /// Who was found.
    user_id: Option<UserId>,
    /// Whether the failure may leave an event; asked once, as the transaction may be repeated.
    is_told: OnceLock<bool>,
}

/// The answer to a sign-in; `None` when it failed.
async fn sign_in(
    hub: &Arc<Hub>,
    call: &Arc<Call>,
    attempt: Attempt,
    login: Option<Username>,
    password: &SecretString,
) -> Result<Option<signin::SignInResponse>, Error> {
    let address = call.remote.map(|remote| remote.ip());
    let (inner, name, now) = (Arc::clone(hub), login.clone(), call.now);
    let found = hub
        .store
        .read(async move |tx: &Tx| {
            sign_in_guard::require_address(&inner, tx, address, now).await?;
            let found = find(tx, name.as_ref()).await?;
            let is_blocked = found.is_blocked(tx, now).await?;
            Ok::<_, Error>((found, is_blocked))
        })
        .await?;
    let (found, is_blocked) = found;
    // Behind a closed guard nothing is looked at: comparing may cost seconds.
    let compared = found.password.as_ref().filter(|_| !is_blocked);
    let verified = verify(hub, compared, password).await?;
    let user_id = found.user.as_ref().map(|user| user.id.clone());
    let attempt = match (&found.user, &found.pool, &login) {
        (Some(user), ..) => attempt.about(AuditTarget::User(user.id.clone())),
        (None, Some(pool), _) => attempt.about(AuditTarget::Userpool(pool.id.clone())),
        (None, None, Some(_)) => attempt,
        (None, None, None) => attempt.without_request(),
    };
    let verifying = Verifying {
        hub: Arc::clone(hub),
        call: Arc::clone(call),
        attempt,
        login,
        address,
        password_id: found.password.map(|password| password.id),
        is_blocked,
        verified,
        user_id,
        is_told: OnceLock::new(),
    };
    hub.store
        .write(async move |tx: &Tx| verifying.end(tx).await)
        .await
}

impl Verifying {
    async fn end(&self, tx: &Tx) -> Result<Option<signin::SignInResponse>, Error> {
        let now = self.call.now;
        sign_in_guard::require_address(&self.hub, tx, self.address, now).await?;
        let found = find(tx, self.login.as_ref()).await?;
        let policy = found.pool.as_ref().map(|pool| pool.bruteforce_policy);
        let is_blocked = self.is_blocked || found.is_blocked(tx, now).await?;
        // Nothing is known of a value that took the place of the verified one.
        let present = found.password.as_ref().map(|password| &password.id);
        let verdict = if present == self.password_id.as_ref() {
            self.verified.verdict
        } else {
            Verdict::Wrong
        };
        let lifetime = found.pool.as_ref().map(|pool| pool.lifetime_policy);
        let judged = SignIn {
            user: found.user.as_ref(),
            password: found.password.as_ref(),
            verdict,
            is_blocked,
            lifetime: lifetime.unwrap_or_default(),
        }
        .judge(now);
        match (judged, &found.user, &found.password) {
            (Ok(admission), Some(user), Some(password)) => {
                self.admit(tx, user, password, admission).await.map(Some)
            }
            (judged, user, _) => {
                let failure = judged.err().unwrap_or(SignInFailure::UnknownUser);
                if let (true, Some(user), Some(policy)) = (failure.is_guess(), user, &policy) {
                    sign_in_guard::note_failure(tx, &user.id, policy, now).await?;
                }
                self.fail(tx, failure).await.map(|()| None)
            }
        }
    }

    async fn fail(&self, tx: &Tx, failure: SignInFailure) -> Result<(), Error> {
        let (hub, call) = (&self.hub, &self.call);
        sign_in_guard::note_address_failure(hub, tx, self.address, call.now).await?;
        let admit = || audit::admit_failed_sign_in(hub, self.user_id.as_ref());
        if *self.is_told.get_or_init(admit) {
            let (status, reason) = (failed(call), failure.to_string());
            audit::record_failure(hub, tx, call, &self.attempt, &status, &reason).await?;
        }
        Ok(())
    }

    async fn admit(
        &self,
        tx: &Tx,
        user: &User,
        password: &Password,
        admission: Admission,
    ) -> Result<signin::SignInResponse, Error> {
        let (hub, call) = (&self.hub, &self.call);
        if let Some(better) = &self.verified.better {
            save_better(tx, password, better).await?;
        }
        sign_in_guard::note_success(tx, &user.id).await?;
        let address = self
            .address
            .map(|address| address.to_canonical().to_string());
        tx.note_password_use(&password.id, call.now, &address.unwrap_or_default())
            .await?;
        let result = match admission {
            Admission::Granted => Answer::Tokens(begin_session(hub, tx, call, user).await?),
            Admission::ChangeRequired(reason) => {
                Answer::PasswordChangeRequired(self.require_change(password, reason)?)
            }
        };
        let answer = signin::SignInResponse {
            result: Some(result),
        };
        let (call, details) = (proven(call, user), answer.details());
        audit::record_direct(hub, tx, &call, &self.attempt, &answer, details).await?;
        Ok(answer)
    }

    fn require_change(
        &self,
        password: &Password,
        reason: ChangeReason,
    ) -> Result<signin::PasswordChangeRequired, Error> {
        let expires_at = self.call.now.plus(CHANGE_TOKEN_LIFETIME);
        let token = self.hub.change_tokens.render(&Change {
            user_id: password.user_id.clone(),
            password_id: password.id.clone(),
            expires_at,
        })?;
        Ok(signin::PasswordChangeRequired {
            reason: reason.to_wire(),
            change_token: token.expose().to_owned(),
            expires_at: Some(render_timestamp(expires_at)),
        })
    }
}

impl DirectAnswer for signin::SignInResponse {
    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        let told = match &self.result {
            Some(Answer::Tokens(tokens)) => ("signInSessionId", tokens.sign_in_session_id.clone()),
            Some(Answer::PasswordChangeRequired(required)) => (
                "passwordChangeRequired",
                required.reason().as_str_name().to_owned(),
            ),
            None => return serde_json::Map::new(),
        };
        [(told.0.to_owned(), told.1.into())].into_iter().collect()
    }
}
