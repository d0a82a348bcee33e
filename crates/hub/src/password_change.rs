//! Setting a password: what the handlers of several services share.
//!
//! Invariant: a password is examined and hashed before the transaction that stores it, and whatever
//! signs in with the one before ends in that transaction. Deliberately absent: who may set it (the
//! domain says, the handlers ask), and the directory, where it may have to be set first.

use rollcall_domain::password::Password;
use rollcall_domain::password_change::{Route, route};
use rollcall_domain::password_history::{self, EarlierPassword};
use rollcall_domain::password_quality::{self, Owner};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::user::User;
use rollcall_domain::userpool::Userpool;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::Tx;

use crate::call::TokenFacts;
use crate::error::Error;
use crate::hub::Hub;
use crate::password_hash::{self, Salt};
use crate::sign_in::{Verdict, verify_form};

/// A user, the rules of its pool, and its present password.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The user.
    pub user: User,
    /// The pool.
    pub pool: Userpool,
    /// The present password.
    pub present: Option<Password>,
}

impl Facts {
    /// Reads what belongs to `user`.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn read(tx: &Tx, user: User) -> Result<Self, Error> {
        let pool = tx.find_userpool(&user.userpool_id).await?;
        let pool = pool.ok_or_else(|| Error::Internal(format!("user {} has no pool", user.id)))?;
        let present = tx.find_password(&user.id).await?;
        Ok(Self {
            user,
            pool,
            present,
        })
    }

    /// The present password.
    ///
    /// # Errors
    /// `Precondition` when there is none.
    pub fn require_present(&self) -> Result<&Password, Refusal> {
        self.present.as_ref().ok_or_else(|| {
            Refusal::precondition(
                "PASSWORD_MISSING",
                format!("user {} has no password: set one first", self.user.id),
            )
        })
    }
}

/// Requires that `new`, which came in `field`, is good enough for the pool and was not used lately, and
/// makes of it what is stored; `old` is the present password, when it is at hand.
///
/// # Errors
/// `Invalid` naming `field`; `Busy` when too many passwords wait.
pub async fn examine(
    hub: &Hub,
    facts: &Facts,
    earlier: &[EarlierPassword],
    field: &str,
    new: &SecretString,
    old: Option<&SecretString>,
) -> Result<SecretString, Error> {
    let profile = &facts.user.profile;
    let owner = Owner {
        login: facts.user.username.as_str(),
        names: [
            &profile.full_name,
            &profile.given_name,
            &profile.family_name,
        ],
    };
    let old = old.map(SecretString::expose);
    password_quality::check(&facts.pool, owner, field, new.expose(), old)?;
    if !facts.pool.quality_policy.allow_similar {
        let present = facts.present.iter().map(|present| &present.form);
        for form in present.chain(earlier.iter().map(|earlier| &earlier.form)) {
            let verified = verify_form(hub, &facts.user.id, form, new).await?;
            if verified.verdict == Verdict::Right {
                return Err(password_history::refuse_repetition(field).into());
            }
        }
    }
    hash(hub, new).await
}

/// What is stored of a password.
///
/// # Errors
/// `Busy` when too many passwords wait.
pub async fn hash(hub: &Hub, password: &SecretString) -> Result<SecretString, Error> {
    let salt = Salt::random(hub.entropy.as_ref());
    let secret = SecretBytes::new(password.expose().as_bytes().to_vec());
    Ok(hub
        .hashing
        .run(move || password_hash::strengthen(&secret, salt))
        .await??)
}

/// Requires that the password of the user may be set here first.
///
/// # Errors
/// `Unimplemented` when the directory has to accept it first.
pub async fn require_here(tx: &Tx, facts: &Facts) -> Result<(), Error> {
    let settings = tx.find_sync_settings(&facts.pool.id).await?;
    match route(&facts.user, settings.as_ref()) {
        Route::Here => Ok(()),
        Route::Directory => Err(Error::Unimplemented(
            "the password of this user has to be set in the directory, which this version of the \
             hub does not do: set it there, or switch off enable_password_writeback of the pool"
                .into(),
        )),
    }
}

/// Puts `new` in the place of `present`, keeps that as an earlier one, and ends what its owner is
/// signed in with, but for the token `kept` and its session. Nobody signed in with a password that is
/// sealed: the first sign-in would have strengthened it.
///
/// # Errors
/// When the database fails.
pub async fn replace(
    tx: &Tx,
    present: Option<&Password>,
    new: &Password,
    kept: Option<&TokenFacts>,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(earlier) = present.and_then(|present| password_history::retire(present, now)) {
        tx.insert_earlier_password(&earlier).await?;
        let session = kept.and_then(|kept| kept.sign_in_session_id.as_ref());
        tx.delete_sign_in_sessions_of_user(&new.user_id, session)
            .await?;
        let subject = new.user_id.clone().into();
        match kept {
            Some(kept) => {
                tx.delete_other_iam_tokens_of_subject(&subject, &kept.id)
                    .await?
            }
            None => tx.delete_iam_tokens_of_subject(&subject).await?,
        };
    }
    tx.save_password(new).await?;
    Ok(())
}
