//! Rows of earlier passwords.

use rollcall_domain::id::UserId;
use rollcall_domain::named::Named as _;
use rollcall_domain::password::{ForeignScheme, StoredForm};
use rollcall_domain::password_history::{EarlierPassword, HISTORY_MAX};
use rollcall_kit::secret::SecretString;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::password::columns;

impl Tx {
    /// Keeps a replaced password, and forgets those that are too many then. A sealed one is a fault:
    /// it has no place here.
    pub async fn insert_earlier_password(&self, earlier: &EarlierPassword) -> Result<(), Error> {
        let (form, _, hash, scheme) = columns(&earlier.form);
        let hash = hash.ok_or_else(|| Error::corrupt("a sealed password cannot be kept"))?;
        self.execute(
            "insert into password_history (id, user_id, form, hash, scheme, replaced_at) \
             values ($1, $2, $3, $4, $5, $6)",
            params![
                &earlier.id,
                &earlier.user_id,
                form,
                hash.expose(),
                scheme.map(ForeignScheme::name),
                earlier.replaced_at,
            ],
        )
        .await?;
        self.execute(
            "delete from password_history where user_id = $1 and id not in (select id \
             from password_history where user_id = $1 order by replaced_at desc, id desc limit $2)",
            params![&earlier.user_id, HISTORY_MAX],
        )
        .await?;
        Ok(())
    }

    /// The earlier passwords of a user, the newest first.
    pub async fn list_earlier_passwords(
        &self,
        user_id: &UserId,
    ) -> Result<Vec<EarlierPassword>, Error> {
        self.all(
            "select id, user_id, form, hash, scheme, replaced_at from password_history \
             where user_id = $1 order by replaced_at desc, id desc",
            params![user_id],
            read,
        )
        .await
    }
}

fn read(row: &mut Row) -> Result<EarlierPassword, Error> {
    Ok(EarlierPassword {
        id: row.id()?,
        user_id: row.id()?,
        form: read_form(row)?,
        replaced_at: row.time()?,
    })
}

fn read_form(row: &mut Row) -> Result<StoredForm, Error> {
    let form = row.text()?;
    let hash: Option<SecretString> = row.opt_secret()?;
    match (form.as_str(), hash, row.opt_named()?) {
        ("ARGON2_NT_HASH", Some(hash), None) => Ok(StoredForm::Argon2NtHash(hash)),
        ("ARGON2_PASSWORD", Some(hash), None) => Ok(StoredForm::Argon2Password(hash)),
        ("FOREIGN", Some(text), Some(scheme)) => Ok(StoredForm::Foreign { scheme, text }),
        _ => Err(Error::corrupt(format!(
            "an earlier password of form {form} has columns of another"
        ))),
    }
}
