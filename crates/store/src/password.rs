//! Rows of passwords, and the queue of hashes that wait to be strengthened.
//!
//! The queue is not a table of its own: a sealed password is its own entry, so a superseded one
//! disappears from the queue with its value (decision U60).

use rollcall_domain::id::{PasswordId, SessionId, UserId};
use rollcall_domain::named::Named;
use rollcall_domain::password::{ForeignScheme, Password, StoredForm};
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

const SELECT: &str = "select id, user_id, form, sealed, hash, scheme, kind, created_at, \
     stored_at, expires_at, session_id from passwords";

/// The `claimed_until` of a hash that nobody shall claim again.
pub(crate) const SHELVED: i64 = i64::MAX;

/// An imported hash that waits to be strengthened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPassword {
    /// The very value; another import of the user has another id.
    pub id: PasswordId,
    /// The user.
    pub user_id: UserId,
    /// The NT hash under the hub's key.
    pub sealed: SecretBytes,
    /// The session that imported it.
    pub session_id: Option<SessionId>,
}

impl Tx {
    /// Stores the password of a user in place of the present one, if there is any.
    pub async fn save_password(&self, password: &Password) -> Result<(), Error> {
        let (form, sealed, hash, scheme) = columns(&password.form);
        self.execute(
            "insert into passwords (id, user_id, form, sealed, hash, scheme, kind, created_at, \
             stored_at, expires_at, session_id, claimed_until) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0) \
             on conflict (user_id) do update set id = excluded.id, form = excluded.form, \
             sealed = excluded.sealed, hash = excluded.hash, scheme = excluded.scheme, \
             kind = excluded.kind, created_at = excluded.created_at, \
             stored_at = excluded.stored_at, expires_at = excluded.expires_at, \
             session_id = excluded.session_id, claimed_until = excluded.claimed_until",
            params![
                &password.id,
                &password.user_id,
                form,
                sealed.map(SecretBytes::expose),
                hash.map(SecretString::expose),
                scheme.map(Named::name),
                password.kind.name(),
                password.created_at,
                password.stored_at,
                password.expires_at,
                password.session_id.as_ref(),
            ],
        )
        .await?;
        Ok(())
    }

    /// The password of a user.
    pub async fn find_password(&self, user_id: &UserId) -> Result<Option<Password>, Error> {
        self.one(
            &format!("{SELECT} where user_id = $1"),
            params![user_id],
            read,
        )
        .await
    }

    /// Claims up to `limit` sealed hashes until `claimed_until`, oldest first, so that several
    /// workers do not take the same ones. A claim that ran out can be taken by anybody.
    pub async fn claim_sealed_passwords(
        &self,
        limit: u32,
        now: Timestamp,
        claimed_until: Timestamp,
    ) -> Result<Vec<SealedPassword>, Error> {
        let mut claimed = self
            .all(
                "update passwords set claimed_until = $1 where id in (select id from passwords \
                 where form = 'SEALED_NT_HASH' and claimed_until <= $2 \
                 order by stored_at, id limit $3) returning id, user_id, sealed, session_id",
                params![claimed_until, now, limit],
                |row| {
                    Ok(SealedPassword {
                        id: row.id()?,
                        user_id: row.id()?,
                        sealed: row
                            .opt_secret_bytes()?
                            .ok_or_else(|| Error::corrupt("a sealed password is empty"))?,
                        session_id: row.opt_id()?,
                    })
                },
            )
            .await?;
        claimed.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(claimed)
    }

    /// Puts the strengthened form in place of the sealed one; tells whether the value was still
    /// the same (`false` = it was superseded meanwhile, and the result is of no use).
    pub async fn save_strengthened(
        &self,
        id: &PasswordId,
        argon2: &SecretString,
    ) -> Result<bool, Error> {
        let saved = self
            .execute(
                "update passwords set form = 'ARGON2_NT_HASH', sealed = null, hash = $2 \
                 where id = $1 and form = 'SEALED_NT_HASH'",
                params![id, argon2.expose()],
            )
            .await?;
        Ok(saved > 0)
    }

    /// Takes a sealed hash that does not open out of the queue. It stays stored, because a
    /// restored key may open it at a sign-in; another import replaces it.
    pub async fn shelve_sealed_password(&self, id: &PasswordId) -> Result<(), Error> {
        self.execute(
            "update passwords set claimed_until = $2 where id = $1 and form = 'SEALED_NT_HASH'",
            params![id, SHELVED],
        )
        .await?;
        Ok(())
    }

    /// How many hashes wait to be strengthened.
    pub async fn count_sealed_passwords(&self) -> Result<u64, Error> {
        self.count(
            "select count(*) from passwords where form = 'SEALED_NT_HASH'",
            params![],
        )
        .await
    }

    /// How many hashes that a session imported wait to be strengthened.
    pub async fn count_sealed_passwords_of_session(
        &self,
        session_id: &SessionId,
    ) -> Result<u64, Error> {
        self.count(
            "select count(*) from passwords where session_id = $1 and form = 'SEALED_NT_HASH'",
            params![session_id],
        )
        .await
    }
}

type Columns<'a> = (
    &'static str,
    Option<&'a SecretBytes>,
    Option<&'a SecretString>,
    Option<ForeignScheme>,
);

fn columns(form: &StoredForm) -> Columns<'_> {
    match form {
        StoredForm::SealedNtHash(sealed) => ("SEALED_NT_HASH", Some(sealed), None, None),
        StoredForm::Argon2NtHash(hash) => ("ARGON2_NT_HASH", None, Some(hash), None),
        StoredForm::Argon2Password(hash) => ("ARGON2_PASSWORD", None, Some(hash), None),
        StoredForm::Foreign { scheme, text } => ("FOREIGN", None, Some(text), Some(*scheme)),
    }
}

fn read(row: &mut Row) -> Result<Password, Error> {
    Ok(Password {
        id: row.id()?,
        user_id: row.id()?,
        form: read_form(row)?,
        kind: row.named()?,
        created_at: row.opt_time()?,
        stored_at: row.time()?,
        expires_at: row.opt_time()?,
        session_id: row.opt_id()?,
    })
}

fn read_form(row: &mut Row) -> Result<StoredForm, Error> {
    let form = row.text()?;
    let (sealed, hash, scheme) = (row.opt_secret_bytes()?, row.opt_secret()?, row.opt_named()?);
    match (form.as_str(), sealed, hash, scheme) {
        ("SEALED_NT_HASH", Some(sealed), None, None) => Ok(StoredForm::SealedNtHash(sealed)),
        ("ARGON2_NT_HASH", None, Some(hash), None) => Ok(StoredForm::Argon2NtHash(hash)),
        ("ARGON2_PASSWORD", None, Some(hash), None) => Ok(StoredForm::Argon2Password(hash)),
        ("FOREIGN", None, Some(text), Some(scheme)) => Ok(StoredForm::Foreign { scheme, text }),
        _ => Err(Error::corrupt(format!(
            "a password of form {form} has columns of another"
        ))),
    }
}
