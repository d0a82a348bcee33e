//! `SignInService.ChangePassword`: replacing a password that has to be changed.
//!
//! Invariant: the session with the new password begins only when that is the present one: where the
//! directory has to accept it first, the call waits for the end of that operation, and holds nothing
//! meanwhile that the answer needs. Deliberately absent:
//! the token that allows the change, which is `session_token`.

use std::pin::pin;
use std::sync::Arc;

use rollcall_domain::id::{OperationId, UserId};
use rollcall_domain::operation::{Operation, Outcome};
use rollcall_domain::password::PasswordKind;
use rollcall_domain::password_writeback::WritebackCause;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sign_in::{Verdict, require_active};
use rollcall_domain::user::User;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::{idp, signin};
use rollcall_store::Tx;

use crate::audit::{self, Attempt};
use crate::call::Call;
use crate::error::Error;
use crate::grpc::sign_in::proven;
use crate::grpc::sign_in_session::{self as session, begin_session};
use crate::grpc::user;
use crate::hub::Hub;
use crate::limits;
use crate::password_change::{self, Facts, NewPassword, Set, Setting};
use crate::session_token::Change;
use crate::sign_in::{save_better, verify};
use crate::sign_in_guard;
use crate::wire::to_payload;

/// What whoever comes with a useless token is told.
pub(super) fn no_such_change() -> Error {
    Error::Unauthenticated(
        "the change token is unknown, used up or has ended: sign in again to get one".into(),
    )
}

/// Replaces the password that `change` names and begins a session with the new one; where the directory
/// has to accept that first, this is only the beginning.
pub(super) async fn change_password(
    hub: &Arc<Hub>,
    call: &Arc<Call>,
    attempt: &Arc<Attempt>,
    change: Change,
    new: SecretString,
) -> Result<Changed, Error> {
    const FIELD: &str = "new_password";
    let (now, named) = (call.now, change.clone());
    let (facts, earlier) = hub
        .store
        .read(async move |tx: &Tx| {
            let facts = find_changeable(tx, &named, now).await?;
            let earlier = tx.list_earlier_passwords(&facts.user.id).await?;
            Ok::<_, Error>((facts, earlier))
        })
        .await?;
    password_change::examine(hub, &facts, &earlier, FIELD, &new, None).await?;
    let prepared = password_change::make(hub, &facts, &new, None, now).await?;
    let answering = Answering {
        hub: Arc::clone(hub),
        call: Arc::clone(call),
        attempt: Arc::clone(attempt),
    };
    let changed = answering.change(change, prepared, new).await?;
    if matches!(changed, Changed::Begun(_)) {
        hub.password_changes.tell_begun();
    }
    Ok(changed)
}

/// What the change of a password led to.
pub(super) enum Changed {
    /// It is done.
    Here(signin::ChangePasswordResponse),
    /// The directory has to accept it.
    Begun(Waiting),
}

/// A call whose new password waits for the directory.
pub(super) struct Waiting {
    answering: Answering,
    user_id: UserId,
    operation_id: OperationId,
    new: SecretString,
}

/// A call that changes a password, on its way to its answer.
#[derive(Clone)]
struct Answering {
    hub: Arc<Hub>,
    call: Arc<Call>,
    attempt: Arc<Attempt>,
}

impl Answering {
    async fn change(
        &self,
        change: Change,
        prepared: NewPassword,
        new: SecretString,
    ) -> Result<Changed, Error> {
        let (inner, now) = (self.clone(), self.call.now);
        let store = &self.hub.store;
        store
            .write(async move |tx: &Tx| {
                let facts = find_changeable(tx, &change, now).await?;
                let setting = Setting {
                    cause: WritebackCause::RequiredChange,
                    kind: PasswordKind::Permanent,
                    is_generated: false,
                    kept: None,
                };
                let hub = &inner.hub;
                match password_change::set(hub, tx, &facts, &prepared, &setting, now).await? {
                    Set::Done => Ok(Changed::Here(inner.answer(tx, &facts.user).await?)),
                    Set::Begun(operation_id) => {
                        let operation = waiting(&facts.user, operation_id.clone(), now);
                        tx.insert_operation(&operation).await?;
                        Ok::<_, Error>(Changed::Begun(Waiting {
                            answering: inner.clone(),
                            user_id: facts.user.id.clone(),
                            operation_id,
                            new: new.clone(),
                        }))
                    }
                }
            })
            .await
    }

    async fn answer(&self, tx: &Tx, user: &User) -> Result<signin::ChangePasswordResponse, Error> {
        let (hub, call) = (&self.hub, &self.call);
        sign_in_guard::note_success(tx, &user.id).await?;
        let tokens = begin_session(hub, tx, call, user).await?;
        let details = session::details_of(&tokens.sign_in_session_id);
        let answer = signin::ChangePasswordResponse {
            tokens: Some(tokens),
        };
        let call = proven(call, user);
        audit::record_direct(hub, tx, &call, &self.attempt, &answer, details).await?;
        Ok(answer)
    }
}

impl Waiting {
    /// Waits until the directory accepted the new password. The operation has a deadline, so this ends.
    ///
    /// # Errors
    /// Why it did not.
    pub(super) async fn end(&self) -> Result<(), Error> {
        wait_for_end(&self.answering.hub, &self.operation_id).await
    }

    /// Begins the session, if nothing took the place of the accepted password since: the directory may
    /// have got another one meanwhile, and its owner another administrator.
    ///
    /// # Errors
    /// `Aborted`; `Unauthenticated` when the user may not sign in any more.
    pub(super) async fn begin_session(self) -> Result<signin::ChangePasswordResponse, Error> {
        let (answering, user_id) = (self.answering, self.user_id);
        let (hub, id) = (Arc::clone(&answering.hub), user_id.clone());
        let found = hub
            .store
            .read(async move |tx: &Tx| Ok::<_, Error>(tx.find_password(&id).await?))
            .await?;
        let verified = verify(&hub, found.as_ref(), &self.new).await?;
        let accepted = found.filter(|_| verified.verdict == Verdict::Right);
        let accepted = accepted.ok_or_else(overtaken)?;
        let now = hub.clock.now();
        hub.store
            .write(async move |tx: &Tx| {
                let present = tx.find_password(&user_id).await?;
                if present.is_none_or(|present| present.id != accepted.id) {
                    return Err(overtaken());
                }
                let user = tx.find_user(&user_id).await?;
                let user = user.filter(|user| require_active(user, now).is_ok());
                let user = user.ok_or_else(no_such_change)?;
                if let Some(better) = &verified.better {
                    save_better(tx, &accepted, better).await?;
                }
                answering.answer(tx, &user).await
            })
            .await
    }
}

/// What is told when the accepted password is not the present one.
fn overtaken() -> Error {
    Refusal::aborted("the password was changed again meanwhile: sign in with the present one")
        .into()
}

/// The operation of a user whose new password waits for the directory.
fn waiting(user: &User, id: OperationId, now: Timestamp) -> Operation {
    let metadata = idp::SetOwnPasswordMetadata {
        user_id: user.id.to_string(),
    };
    Operation::new(
        id,
        "Change the own password",
        user.id.clone().into(),
        user::resource(user),
        to_payload(&metadata),
        Outcome::Running,
        now,
    )
}

async fn wait_for_end(hub: &Hub, id: &OperationId) -> Result<(), Error> {
    loop {
        let mut ended = pin!(hub.password_changes.ended().notified());
        ended.as_mut().enable();
        let named = id.clone();
        let found = hub
            .store
            .read(async move |tx: &Tx| Ok::<_, Error>(tx.find_operation(&named).await?))
            .await?;
        match found.map(|operation| operation.outcome) {
            Some(Outcome::Response(_)) => return Ok(()),
            Some(Outcome::Error(error)) => return Err(Error::Ended(error)),
            Some(Outcome::Running) => {}
            None => return Err(Error::Internal(format!("operation {id} is gone"))),
        }
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(limits::PASSWORD_CHANGE_END_PAUSE) => {}
            () = hub.stopping.cancelled() => return Err(Error::Busy),
        }
    }
}

/// What there is of the user of a change, if it is still to be made.
async fn find_changeable(tx: &Tx, change: &Change, now: Timestamp) -> Result<Facts, Error> {
    let user = tx.find_user(&change.user_id).await?;
    let user = user.filter(|user| require_active(user, now).is_ok());
    let facts = Facts::read(tx, user.ok_or_else(no_such_change)?).await?;
    let present = facts.present.as_ref().map(|present| &present.id);
    if present != Some(&change.password_id) {
        return Err(no_such_change());
    }
    Ok(facts)
}
