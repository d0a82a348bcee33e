//! Whether a password is the one that something stored was made of.
//!
//! Invariant: hashes are computed on the workers of the hub, secrets are compared in constant time.
//! Deliberately absent: what follows from it, such as strengthening; and hashes of other directories,
//! which only a sign-in verifies: nobody who is signed in has one, because that replaced it.

use rollcall_domain::id::UserId;
use rollcall_domain::password::StoredForm;
use rollcall_kit::secret::{SecretBytes, SecretString};

use crate::error::Error;
use crate::hub::Hub;
use crate::password_hash::{self, nt_hash};

/// Whether `form`, stored of the user `user_id`, was made of `password`.
///
/// # Errors
/// When too many passwords wait.
pub async fn matches(
    hub: &Hub,
    user_id: &UserId,
    form: &StoredForm,
    password: &SecretString,
) -> Result<bool, Error> {
    let (secret, phc) = match form {
        StoredForm::Argon2Password(phc) => {
            let bytes = password.expose().as_bytes().to_vec();
            (SecretBytes::new(bytes), phc.clone())
        }
        StoredForm::Argon2NtHash(phc) => (nt_hash(password), phc.clone()),
        StoredForm::SealedNtHash(sealed) => {
            // What does not open any more equals nothing.
            let opened = hub.sealing_key.open(user_id.as_str(), sealed.expose());
            return Ok(opened.is_ok_and(|opened| opened == nt_hash(password)));
        }
        StoredForm::Foreign { .. } => return Ok(false),
    };
    Ok(hub
        .hashing
        .run(move || password_hash::verify(&secret, &phc))
        .await?)
}
