//! Setting a password: what the handlers of several services share.
//!
//! Invariant: a password is examined and hashed before the transaction that stores it, and whatever
//! signs in with the one before ends in that transaction. Where it is set first is decided again in
//! that transaction. Deliberately absent: who may set it (the domain says, the handlers ask), and what
//! happens while the directory has it, which is `password_writeback`.

use rollcall_domain::id::{OperationId, PasswordId};
use rollcall_domain::password::{Password, PasswordKind};
use rollcall_domain::password_change::{Route, route};
use rollcall_domain::password_history::{self, EarlierPassword};
use rollcall_domain::password_quality::{self, Owner};
use rollcall_domain::password_writeback::{KeptSignIn, WritebackCause};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_settings::SyncSettings;
use rollcall_domain::user::User;
use rollcall_domain::userpool::Userpool;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::Tx;

use crate::error::Error;
use crate::hub::Hub;
use crate::password_hash::{self, Salt};
use crate::password_writeback::{self, Beginning, Prepared};
use crate::sign_in::{Verdict, verify_form};

/// A user, the rules of its pool, how that is synchronized, and the present password.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The user.
    pub user: User,
    /// The pool.
    pub pool: Userpool,
    /// How the pool is synchronized; `None` = it has no settings.
    pub settings: Option<SyncSettings>,
    /// The present password.
    pub present: Option<Password>,
}

/// A new password in the forms that may be stored.
#[derive(Debug)]
pub enum NewPassword {
    /// Argon2id, for a password that is set here.
    Here(SecretString),
    /// For one that the directory has to accept first.
    Directory(Prepared),
}

/// How a new password is set.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What it begins with.
    pub cause: WritebackCause,
    /// Whether it must be changed at the next sign-in.
    pub kind: PasswordKind,
    /// Whether the hub made it.
    pub is_generated: bool,
    /// What stays signed in.
    pub kept: Option<KeptSignIn>,
}

/// What setting a password led to.
#[derive(Debug)]
pub enum Set {
    /// It is set.
    Done,
    /// The directory has to accept it; the operation ends then.
    Begun(OperationId),
}

impl Facts {
    /// Reads what belongs to `user`.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn read(tx: &Tx, user: User) -> Result<Self, Error> {
        let pool = tx.find_userpool(&user.userpool_id).await?;
        let pool = pool.ok_or_else(|| Error::Internal(format!("user {} has no pool", user.id)))?;
        let settings = tx.find_sync_settings(&pool.id).await?;
        let present = tx.find_password(&user.id).await?;
        Ok(Self {
            user,
            pool,
            settings,
            present,
        })
    }

    /// Where a new password of the user is set first.
    #[must_use]
    pub fn route(&self) -> Route {
        route(&self.user, self.settings.as_ref())
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

/// Requires that `new`, which came in `field`, is good enough for the pool and was not used lately;
/// `old` is the present password, when it is at hand.
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
) -> Result<(), Error> {
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
    Ok(())
}

/// Makes of `new` what is stored, wherever it is set first; `old` is the present password, when its
/// owner gave it.
///
/// # Errors
/// `Busy` when too many passwords wait.
pub async fn make(
    hub: &Hub,
    facts: &Facts,
    new: &SecretString,
    old: Option<&SecretString>,
    now: Timestamp,
) -> Result<NewPassword, Error> {
    Ok(match facts.route() {
        Route::Here => NewPassword::Here(hash(hub, new).await?),
        Route::Directory => {
            NewPassword::Directory(password_writeback::prepare(hub, new, old, now).await?)
        }
    })
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

/// Sets the password of a user, or hands it to the directory.
///
/// # Errors
/// `Aborted` when where it is set first changed since it was made, or the directory has an earlier
/// change.
pub async fn set(
    hub: &Hub,
    tx: &Tx,
    facts: &Facts,
    new: &NewPassword,
    setting: &Setting,
    now: Timestamp,
) -> Result<Set, Error> {
    match (facts.route(), new) {
        (Route::Here, NewPassword::Here(argon2)) => {
            let id = PasswordId::new(hub.new_id(PasswordId::PREFIX, now));
            let (user_id, argon2) = (facts.user.id.clone(), argon2.clone());
            let password = Password::set_here(id, user_id, argon2, setting.kind, now);
            let kept = setting.kept.as_ref();
            replace(tx, facts.present.as_ref(), &password, kept, now).await?;
            Ok(Set::Done)
        }
        (Route::Directory, NewPassword::Directory(prepared)) => {
            let beginning = Beginning { facts, setting };
            let id = password_writeback::begin(hub, tx, prepared, &beginning, now).await?;
            Ok(Set::Begun(id))
        }
        (Route::Here | Route::Directory, _) => Err(Refusal::aborted(format!(
            "the synchronization settings of pool {} were changed by another call: try again",
            facts.pool.id
        ))
        .into()),
    }
}

/// Puts `new` in the place of `present`, keeps that as an earlier one, and ends what its owner is
/// signed in with, but for the token `kept` and its session. Nobody signed in with a password that is
/// sealed, but something may have been kept when that one came.
///
/// # Errors
/// When the database fails.
pub async fn replace(
    tx: &Tx,
    present: Option<&Password>,
    new: &Password,
    kept: Option<&KeptSignIn>,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(present) = present {
        if let Some(earlier) = password_history::retire(present, now) {
            tx.insert_earlier_password(&earlier).await?;
        }
        let session = kept.and_then(|kept| kept.session_id.as_ref());
        tx.delete_sign_in_sessions_of_user(&new.user_id, session)
            .await?;
        let subject = new.user_id.clone().into();
        match kept {
            Some(kept) => {
                tx.delete_other_iam_tokens_of_subject(&subject, &kept.token_id)
                    .await?
            }
            None => tx.delete_iam_tokens_of_subject(&subject).await?,
        };
    }
    tx.save_password(new).await?;
    Ok(())
}
