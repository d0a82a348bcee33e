//! Verifying a password against what is stored of it.
//!
//! Invariant: each verification costs one Argon2 hash, whether there is a password, of whatever
//! form, or none. A right password turns a sealed NT hash into Argon2id of that hash (decision U56)
//! and the hash of another directory into Argon2id of the password (U57). Deliberately absent:
//! guessing limits and the state of the account, which `rollcall_domain::sign_in` judges.

use rollcall_domain::id::UserId;
use rollcall_domain::password::{ForeignScheme, Password, StoredForm};
pub use rollcall_domain::sign_in::Verdict;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_store::Tx;

use crate::error::Error;
use crate::foreign_hash::ForeignHash;
use crate::grpc::password::open_foreign;
use crate::hub::Hub;
use crate::password_hash::{self, HashError, Salt, nt_hash};

/// What verifying a password brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whether it is the right one.
    pub verdict: Verdict,
    /// What has to be stored in place of the present form, which was weaker.
    pub better: Option<SecretString>,
}

impl Verified {
    fn plain(is_right: bool) -> Self {
        Self {
            verdict: if is_right {
                Verdict::Right
            } else {
                Verdict::Wrong
            },
            better: None,
        }
    }
}

/// Verifies `password` of the user `user_id`, and stores a better form of a right one.
///
/// # Errors
/// When the database fails, or too many passwords wait.
pub async fn verify_password(
    hub: &Hub,
    user_id: &UserId,
    password: SecretString,
) -> Result<Verdict, Error> {
    let id = user_id.clone();
    let stored = hub
        .store
        .read(async move |tx: &Tx| Ok::<_, Error>(tx.find_password(&id).await?))
        .await?;
    let verified = verify(hub, stored.as_ref(), &password).await?;
    if let (Some(stored), Some(better)) = (stored, verified.better) {
        hub.store
            .write(async move |tx: &Tx| save_better(tx, &stored, &better).await)
            .await?;
    }
    Ok(verified.verdict)
}

/// Verifies `password` against what is stored, if there is anything.
///
/// # Errors
/// When too many passwords wait.
pub async fn verify(
    hub: &Hub,
    stored: Option<&Password>,
    password: &SecretString,
) -> Result<Verified, Error> {
    let Some(stored) = stored else {
        argon2(hub, to_bytes(password)).await?;
        return Ok(Verified::plain(false));
    };
    verify_form(hub, &stored.user_id, &stored.form, password).await
}

/// Verifies `password` against `form`, which is stored of the user `user_id`.
///
/// # Errors
/// When too many passwords wait.
pub async fn verify_form(
    hub: &Hub,
    user_id: &UserId,
    form: &StoredForm,
    password: &SecretString,
) -> Result<Verified, Error> {
    match form {
        StoredForm::Argon2Password(phc) => against(hub, to_bytes(password), phc.clone()).await,
        StoredForm::Argon2NtHash(phc) => against(hub, nt_hash(password), phc.clone()).await,
        StoredForm::SealedNtHash(sealed) => {
            let opened = hub.sealing_key.open(user_id.as_str(), sealed.expose());
            let given = nt_hash(password);
            let better = argon2(hub, given.clone()).await?;
            match opened {
                Ok(right) if given == right => Ok(Verified {
                    verdict: Verdict::Right,
                    better: Some(better),
                }),
                Ok(_) => Ok(Verified::plain(false)),
                Err(error) => Ok(unusable(user_id, &error.to_string())),
            }
        }
        StoredForm::Foreign { scheme, text } => {
            foreign(hub, user_id, *scheme, text, password).await
        }
    }
}

/// Stores the better form of a password that was verified; one that was replaced meanwhile stays.
///
/// # Errors
/// When the database fails.
pub async fn save_better(tx: &Tx, stored: &Password, better: &SecretString) -> Result<(), Error> {
    match stored.form {
        StoredForm::SealedNtHash(_) => tx.save_strengthened(&stored.id, better).await?,
        StoredForm::Foreign { .. } => tx.save_rehashed(&stored.id, better).await?,
        StoredForm::Argon2NtHash(_) | StoredForm::Argon2Password(_) => false,
    };
    Ok(())
}

async fn against(hub: &Hub, secret: SecretBytes, phc: SecretString) -> Result<Verified, Error> {
    let verify = move || password_hash::verify(&secret, &phc);
    Ok(Verified::plain(hub.hashing.run(verify).await?))
}

async fn foreign(
    hub: &Hub,
    user_id: &UserId,
    scheme: ForeignScheme,
    text: &SecretString,
    password: &SecretString,
) -> Result<Verified, Error> {
    let opened = open_foreign(hub, user_id, text);
    let hash = opened.map(|text| ForeignHash::parse(scheme, &text));
    let hash = match hash {
        Ok(Some(hash)) => hash,
        damaged => {
            argon2(hub, to_bytes(password)).await?;
            let why = match damaged {
                Err(error) => error.to_string(),
                Ok(_) => format!("a hash of {scheme} is damaged or asks for too many rounds"),
            };
            return Ok(unusable(user_id, &why));
        }
    };
    let salt = Salt::random(hub.entropy.as_ref());
    let secret = to_bytes(password);
    let verify = move || {
        let better = password_hash::strengthen(&secret, salt)?;
        Ok::<_, HashError>(hash.verify(&secret).then_some(better))
    };
    let better = hub.hashing.run_long(verify).await??;
    let verdict = match better {
        Some(_) => Verdict::Right,
        None => Verdict::Wrong,
    };
    Ok(Verified { verdict, better })
}

async fn argon2(hub: &Hub, secret: SecretBytes) -> Result<SecretString, Error> {
    let salt = Salt::random(hub.entropy.as_ref());
    Ok(hub
        .hashing
        .run(move || password_hash::strengthen(&secret, salt))
        .await??)
}

fn unusable(user_id: &UserId, why: &str) -> Verified {
    tracing::error!(
        user_id = user_id.as_str(),
        why,
        "a stored password stays unusable"
    );
    Verified {
        verdict: Verdict::Unusable,
        better: None,
    }
}

fn to_bytes(password: &SecretString) -> SecretBytes {
    SecretBytes::new(password.expose().as_bytes().to_vec())
}
