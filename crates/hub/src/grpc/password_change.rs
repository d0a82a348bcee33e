//! Passwords that people set: `SetOwnPassword`, `SetOthersPassword`, `GeneratePassword` and
//! `GetSelfPasswordMetadata` of `UserService`. Imported hashes are `password`.
//!
//! Invariant: only callers who may set a password make the hub compute one, and what was examined
//! before the transaction is looked at again in it. Deliberately absent: the rules, which the domain
//! has.

use std::sync::Arc;

use futures::FutureExt as _;
use rollcall_domain::access::{AccessBinding, Permission, ResourceRef, Subject, SubjectKind};
use rollcall_domain::id::{PasswordId, UserId};
use rollcall_domain::password::{Password, PasswordKind, PasswordUse};
use rollcall_domain::password_change::{self as rule, OldPassword};
use rollcall_domain::password_history::EarlierPassword;
use rollcall_domain::password_writeback::WritebackCause;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::user::User;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp;
use rollcall_proto::idp::password_metadata::{PasswordType, PasswordUsage};
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::audit::event_type;
use crate::call::{Call, TokenFacts};
use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, check, user};
use crate::password_change::{self, Facts, NewPassword, Set, Setting};
use crate::sign_in::{Verdict, verify};
use crate::sign_in_guard;
use crate::wire::render_timestamp;

const PASSWORD: &str = "password_spec.password";
const PROOF: &str = "password_spec.generation_proof";

/// A new password that was found good, and the present one it was compared to.
struct Prepared {
    new: NewPassword,
    kind: PasswordKind,
    is_generated: bool,
    present: Option<PasswordId>,
}

impl Prepared {
    /// Requires that nobody set another password since.
    fn require_still(&self, facts: &Facts) -> Result<(), Refusal> {
        let present = facts.present.as_ref().map(|present| &present.id);
        if present == self.present.as_ref() {
            return Ok(());
        }
        Err(Refusal::aborted(format!(
            "the password of user {} was changed by another call: try again",
            facts.user.id
        )))
    }
}

/// `UserService.SetOwnPassword`.
pub async fn set_own(
    service: &Service,
    request: Request<idp::SetOwnPasswordRequest>,
) -> Result<Response<Operation>, Status> {
    let call = request.extensions().get::<Arc<Call>>();
    let subject = call.and_then(|call| call.subject.clone());
    let answer = service
        .mutate_prepared(
            request,
            "Change the own password",
            |service, call, request| prepare_own(service, call, request).boxed(),
            change_own,
        )
        .await?;
    if let Some(subject) = subject {
        service.0.tokens.forget_subject(&subject.id);
    }
    service.0.password_changes.tell_begun();
    Ok(answer)
}

fn old_password(request: &idp::SetOwnPasswordRequest) -> OldPassword {
    if request.old_password.is_empty() {
        OldPassword::Absent
    } else {
        OldPassword::Given
    }
}

async fn prepare_own(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::SetOwnPasswordRequest,
) -> Result<Prepared, Error> {
    let spec = require_spec(request.password_spec.as_ref())?;
    if !spec.generation_proof.is_empty() {
        let why = "goes with passwords for other users only";
        return Err(Refusal::invalid(PROOF, why).into());
    }
    let (facts, earlier) = service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            with_earlier(tx, find_own(cx, tx).await?).await
        })
        .await?;
    let present = facts.require_present()?;
    let given = old_password(request);
    rule::require_own_change(&facts.pool, &facts.user, present, given, call.now)?;
    let old =
        (given == OldPassword::Given).then(|| SecretString::new(request.old_password.clone()));
    if let Some(old) = &old {
        require_right(service, &facts, present, old, call.now).await?;
    }
    let new = SecretString::new(spec.password.clone());
    let (hub, old) = (&service.0, old.as_ref());
    password_change::examine(hub, &facts, &earlier, PASSWORD, &new, old).await?;
    Ok(Prepared {
        new: password_change::make(hub, &facts, &new, old, call.now).await?,
        kind: PasswordKind::Permanent,
        is_generated: false,
        present: Some(present.id.clone()),
    })
}

/// Requires that `old` is the present password, and counts wrong ones as a sign-in does: when there
/// were too many, the right one looks like a wrong one.
async fn require_right(
    service: &Service,
    facts: &Facts,
    present: &Password,
    old: &SecretString,
    now: Timestamp,
) -> Result<(), Error> {
    let verified = verify(&service.0, Some(present), old).await?;
    let is_right = verified.verdict == Verdict::Right;
    let (user_id, policy) = (facts.user.id.clone(), facts.pool.bruteforce_policy);
    let store = &service.0.store;
    let passed = store
        .write(async move |tx: &Tx| {
            let is_allowed = sign_in_guard::allowed(tx, &user_id, &policy, now).await?;
            if is_allowed && !is_right {
                sign_in_guard::note_failure(tx, &user_id, &policy, now).await?;
            }
            Ok::<_, Error>(is_allowed && is_right)
        })
        .await?;
    if passed {
        return Ok(());
    }
    Err(Refusal::invalid("old_password", "is not the present password").into())
}

async fn change_own(
    cx: &Context,
    tx: &Tx,
    request: &idp::SetOwnPasswordRequest,
    prepared: &Prepared,
) -> Result<Done, Error> {
    let given = old_password(request);
    let facts = find_own(cx, tx).await?;
    cx.check_fence(tx, Scope::Userpool(&facts.pool.id)).await?;
    let present = facts.require_present()?;
    rule::require_own_change(&facts.pool, &facts.user, present, given, cx.call.now)?;
    prepared.require_still(&facts)?;
    let setting = Setting {
        cause: WritebackCause::OwnChange,
        kind: prepared.kind,
        is_generated: prepared.is_generated,
        kept: cx.call.token.as_ref().map(TokenFacts::to_kept),
    };
    let set =
        password_change::set(&cx.hub, tx, &facts, &prepared.new, &setting, cx.call.now).await?;
    if given == OldPassword::Given {
        sign_in_guard::note_success(tx, &facts.user.id).await?;
    }
    let metadata = idp::SetOwnPasswordMetadata {
        user_id: facts.user.id.to_string(),
    };
    let resource = user::resource(&facts.user);
    let done = match set {
        Set::Done => Done::new(&metadata, &idp::SetOwnPasswordResponse {}, resource),
        Set::Begun(id) => Done::started(id, &metadata, resource),
    };
    Ok(match present.kind {
        PasswordKind::Temporary => done.told_as(&event_type::ONE_TIME_PASSWORD_CHANGED),
        PasswordKind::Permanent => done,
    })
}

/// `UserService.SetOthersPassword`.
pub async fn set_others(
    service: &Service,
    request: Request<idp::SetOthersPasswordRequest>,
) -> Result<Response<Operation>, Status> {
    let subject = UserId::from(request.get_ref().user_id.as_str()).into();
    let answer = service
        .mutate_prepared(
            request,
            "Set the password of a user",
            |service, call, request| prepare_others(service, call, request).boxed(),
            change_others,
        )
        .await?;
    service.0.tokens.forget_subject(&subject);
    service.0.password_changes.tell_begun();
    Ok(answer)
}

async fn prepare_others(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::SetOthersPasswordRequest,
) -> Result<Prepared, Error> {
    let spec = require_spec(request.password_spec.as_ref())?;
    let id = request.user_id.clone();
    let (facts, earlier) = service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            with_earlier(tx, find_managed(cx, tx, &id).await?).await
        })
        .await?;
    let hub = &service.0;
    let new = SecretString::new(spec.password.clone());
    let is_generated = !spec.generation_proof.is_empty();
    let kind = if is_generated {
        let maker = &hub.password_maker;
        maker.check(PROOF, &new, &spec.generation_proof, call.now)?;
        PasswordKind::Temporary
    } else {
        password_change::examine(hub, &facts, &earlier, PASSWORD, &new, None).await?;
        PasswordKind::Permanent
    };
    Ok(Prepared {
        new: password_change::make(hub, &facts, &new, None, call.now).await?,
        kind,
        is_generated,
        present: facts.present.map(|present| present.id),
    })
}

async fn change_others(
    cx: &Context,
    tx: &Tx,
    request: &idp::SetOthersPasswordRequest,
    prepared: &Prepared,
) -> Result<Done, Error> {
    let facts = find_managed(cx, tx, &request.user_id).await?;
    prepared.require_still(&facts)?;
    let setting = Setting {
        cause: WritebackCause::Reset,
        kind: prepared.kind,
        is_generated: prepared.is_generated,
        kept: None,
    };
    let set =
        password_change::set(&cx.hub, tx, &facts, &prepared.new, &setting, cx.call.now).await?;
    let metadata = idp::SetOthersPasswordMetadata {
        user_id: facts.user.id.to_string(),
    };
    let resource = user::resource(&facts.user);
    Ok(match set {
        Set::Done => Done::new(&metadata, &idp::SetOthersPasswordResponse {}, resource),
        Set::Begun(id) => Done::started(id, &metadata, resource),
    })
}

/// A password and the proof of it; nothing is stored.
pub async fn generate(
    cx: &Context,
    tx: &Tx,
    _: &idp::GeneratePasswordRequest,
) -> Result<idp::GeneratePasswordResponse, Error> {
    cx.authorize(tx, Permission::UsersSetPassword, Scope::Anywhere)
        .await?;
    let maker = &cx.hub.password_maker;
    let made = maker.generate(cx.hub.entropy.as_ref(), cx.call.now)?;
    Ok(idp::GeneratePasswordResponse {
        password_spec: Some(idp::PasswordSpec {
            password: made.password.expose().to_owned(),
            generation_proof: made.proof,
        }),
    })
}

/// What is known about the password of the caller.
pub async fn get_self_metadata(
    cx: &Context,
    tx: &Tx,
    (): &(),
) -> Result<idp::PasswordMetadata, Error> {
    let facts = find_own(cx, tx).await?;
    let present = facts.require_present()?;
    let last_use = tx.find_password_use(&facts.user.id).await?;
    let ends_at = present.ends_at(&facts.user, &facts.pool.lifetime_policy);
    let password_type = match present.kind {
        PasswordKind::Temporary => PasswordType::Temporary,
        PasswordKind::Permanent => PasswordType::Permanent,
    };
    Ok(idp::PasswordMetadata {
        id: present.id.to_string(),
        r#type: password_type.into(),
        created_at: Some(render_timestamp(present.set_at())),
        expires_at: ends_at.map(render_timestamp),
        last_usage: last_use.map(render_use),
    })
}

fn render_use(last_use: PasswordUse) -> PasswordUsage {
    PasswordUsage {
        used_at: Some(render_timestamp(last_use.used_at)),
        ip_address: last_use.address,
    }
}

fn require_spec(spec: Option<&idp::PasswordSpec>) -> Result<&idp::PasswordSpec, Error> {
    let spec = spec.ok_or_else(|| Refusal::invalid("password_spec", "must be set"))?;
    check(spec)?;
    Ok(spec)
}

/// The caller, who has to be a user.
async fn find_own(cx: &Context, tx: &Tx) -> Result<Facts, Error> {
    let caller = cx.caller()?;
    let found = match caller.kind {
        SubjectKind::UserAccount => tx.find_user(&UserId::from(caller.id.as_str())).await?,
        _ => None,
    };
    let user = found.ok_or_else(|| {
        Refusal::precondition(
            "NOT_A_USER",
            "only users of a pool have a password here: sign in as one of them",
        )
    })?;
    Facts::read(tx, user).await
}

/// A user whose password the caller may set.
async fn find_managed(cx: &Context, tx: &Tx, id: &str) -> Result<Facts, Error> {
    let found = tx.find_user(&UserId::from(id)).await?;
    let permission = Permission::UsersSetPassword;
    let (user, caller_bindings) = cx.admit(tx, permission, id, found).await?;
    let bindings = find_rank(tx, &user).await?;
    rule::check_rank(&bindings, &caller_bindings)?;
    Facts::read(tx, user).await
}

/// What a user is bound to in its organization.
pub async fn find_rank(tx: &Tx, user: &User) -> Result<Vec<AccessBinding>, Error> {
    let pool = tx.find_userpool(&user.userpool_id).await?;
    let pool = pool.ok_or_else(|| Error::Internal(format!("user {} has no pool", user.id)))?;
    let organization = ResourceRef::organization(&pool.organization_id);
    let subject = Subject::user(user.id.as_str());
    Ok(tx
        .list_access_bindings_for(&subject, &[organization])
        .await?)
}

async fn with_earlier(tx: &Tx, facts: Facts) -> Result<(Facts, Vec<EarlierPassword>), Error> {
    let earlier = tx.list_earlier_passwords(&facts.user.id).await?;
    Ok((facts, earlier))
}
