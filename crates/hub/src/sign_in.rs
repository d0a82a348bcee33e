//! Verifying a password against what is stored of it.
//!
//! Invariant: a sealed hash that verifies is strengthened at once (decision U56). A user without a
//! password costs as much time as one with. Deliberately absent: guessing limits, account state
//! and the sign-in page, which a later version brings; and hashes of other directories, which it
//! will verify.

use rollcall_domain::id::UserId;
use rollcall_domain::password::StoredForm;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_store::Tx;

use crate::error::Error;
use crate::hub::Hub;
use crate::password_hash::{self, Salt, nt_hash};

/// Whether a password is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Right,
    /// It is not, or the user has none.
    Wrong,
    /// It cannot be told: the stored hash comes from another directory.
    CannotTell,
}

/// Verifies `password` of the user `user_id`.
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
    let Some(stored) = stored else {
        let salt = Salt::random(hub.entropy.as_ref());
        let secret = to_bytes(&password);
        hub.hashing
            .run(move || password_hash::strengthen(&secret, salt))
            .await??;
        return Ok(Verdict::Wrong);
    };
    let (secret, phc) = match stored.form {
        StoredForm::Argon2Password(phc) => (to_bytes(&password), phc),
        StoredForm::Argon2NtHash(phc) => (nt_hash(&password), phc),
        StoredForm::SealedNtHash(sealed) => {
            let right = hub.sealing_key.open(user_id.as_str(), sealed.expose())?;
            let given = nt_hash(&password);
            let salt = Salt::random(hub.entropy.as_ref());
            let secret = given.clone();
            let argon2 = hub
                .hashing
                .run(move || password_hash::strengthen(&secret, salt))
                .await??;
            if given != right {
                return Ok(Verdict::Wrong);
            }
            let id = stored.id;
            hub.store
                .write(async move |tx: &Tx| {
                    Ok::<_, Error>(tx.save_strengthened(&id, &argon2).await?)
                })
                .await?;
            return Ok(Verdict::Right);
        }
        StoredForm::Foreign { .. } => return Ok(Verdict::CannotTell),
    };
    let right = hub
        .hashing
        .run(move || password_hash::verify(&secret, &phc))
        .await?;
    Ok(if right {
        Verdict::Right
    } else {
        Verdict::Wrong
    })
}

fn to_bytes(password: &SecretString) -> SecretBytes {
    SecretBytes::new(password.expose().as_bytes().to_vec())
}
