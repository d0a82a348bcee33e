//! Rows of password changes that wait for a directory, and what is remembered of ended ones.

use rollcall_domain::id::{OperationId, UserId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::password_writeback::{
    FoundWriteback, KeptSignIn, PasswordWriteback, WritebackSecrets,
};
use rollcall_kit::secret::SecretBytes;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

const SELECT_PENDING: &str = "select operation_id, userpool_id, user_id, external_user_id, position, \
     cause, sealed_new, sealed_old, argon2, kind, is_generated, replaces, kept_token_id, \
     kept_session_id, created_at, deadline, delivered_at from password_writebacks \
     where ended_at is null";

impl Tx {
    /// Inserts a change. Another pending one of the same user is a conflict.
    pub async fn insert_password_writeback(
        &self,
        writeback: &PasswordWriteback,
    ) -> Result<(), Error> {
        let secrets = &writeback.secrets;
        let kept = writeback.kept.as_ref();
        self.execute(
            "insert into password_writebacks (operation_id, userpool_id, user_id, \
             external_user_id, position, cause, sealed_new, sealed_old, argon2, kind, \
             is_generated, replaces, kept_token_id, kept_session_id, created_at, deadline, \
             delivered_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            params![
                &writeback.operation_id,
                &writeback.userpool_id,
                &writeback.user_id,
                &writeback.external_user_id,
                writeback.offset,
                writeback.cause.name(),
                secrets.sealed_new.expose(),
                secrets.sealed_old.as_ref().map(SecretBytes::expose),
                secrets.argon2.expose(),
                writeback.kind.name(),
                writeback.is_generated,
                writeback.replaces.as_ref(),
                kept.map(|kept| &kept.token_id),
                kept.and_then(|kept| kept.session_id.as_ref()),
                writeback.created_at,
                writeback.deadline,
                writeback.delivered_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// What is known of the change of the operation `id`.
    pub async fn find_password_writeback(
        &self,
        id: &OperationId,
    ) -> Result<Option<FoundWriteback>, Error> {
        let sql = format!("{SELECT_PENDING} and operation_id = $1");
        if let Some(pending) = self.one(&sql, params![id], read_pending).await? {
            return Ok(Some(FoundWriteback::Pending(Box::new(pending))));
        }
        self.one(
            "select userpool_id, answer_digest from password_writebacks \
             where operation_id = $1 and ended_at is not null",
            params![id],
            |row| {
                Ok(FoundWriteback::Ended {
                    userpool_id: row.id()?,
                    answer_digest: row.opt_bytes()?,
                })
            },
        )
        .await
    }

    /// The pending change of a user.
    pub async fn find_pending_password_writeback(
        &self,
        user_id: &UserId,
    ) -> Result<Option<PasswordWriteback>, Error> {
        let sql = format!("{SELECT_PENDING} and user_id = $1");
        self.one(&sql, params![user_id], read_pending).await
    }

    /// Up to `limit` pending changes of a pool behind the offset `after` whose time is not over at
    /// `now`, in their order.
    pub async fn list_password_changes(
        &self,
        userpool_id: &UserpoolId,
        after: i64,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PasswordWriteback>, Error> {
        let sql = format!(
            "{SELECT_PENDING} and userpool_id = $1 and position > $2 and deadline > $3 \
             order by position limit $4"
        );
        self.all(&sql, params![userpool_id, after, now, limit], read_pending)
            .await
    }

    /// Remembers that an agent received the change of the operation `id`, if none did before.
    pub async fn note_password_change_delivered(
        &self,
        id: &OperationId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.execute(
            "update password_writebacks set delivered_at = $2 \
             where operation_id = $1 and delivered_at is null",
            params![id, now],
        )
        .await?;
        Ok(())
    }

    /// Ends a change and forgets its passwords; `answer_digest` is that of the answer it ended with.
    pub async fn end_password_writeback(
        &self,
        id: &OperationId,
        answer_digest: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.execute(
            "update password_writebacks set sealed_new = null, sealed_old = null, argon2 = null, \
             ended_at = $2, answer_digest = $3 where operation_id = $1 and ended_at is null",
            params![id, now, answer_digest],
        )
        .await?;
        Ok(())
    }

    /// Up to `limit` pending changes whose time is over at `now`.
    pub async fn list_overdue_password_writebacks(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PasswordWriteback>, Error> {
        let sql =
            format!("{SELECT_PENDING} and deadline <= $1 order by deadline, operation_id limit $2");
        self.all(&sql, params![now, limit], read_pending).await
    }

    /// Forgets up to `limit` changes that ended before `before`; tells how many.
    pub async fn delete_old_password_writebacks(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from password_writebacks where operation_id in \
             (select operation_id from password_writebacks \
             where ended_at is not null and ended_at < $1 \
             order by ended_at, operation_id limit $2)",
            params![before, limit],
        )
        .await
    }
}

fn read_pending(row: &mut Row) -> Result<PasswordWriteback, Error> {
    Ok(PasswordWriteback {
        operation_id: row.id()?,
        userpool_id: row.id()?,
        user_id: row.id()?,
        external_user_id: row.text()?,
        offset: row.int()?,
        cause: row.named()?,
        secrets: read_secrets(row)?,
        kind: row.named()?,
        is_generated: row.bool()?,
        replaces: row.opt_id()?,
        kept: read_kept(row)?,
        created_at: row.time()?,
        deadline: row.time()?,
        delivered_at: row.opt_time()?,
    })
}

fn read_secrets(row: &mut Row) -> Result<WritebackSecrets, Error> {
    let empty = || Error::corrupt("a pending password change has no password");
    Ok(WritebackSecrets {
        sealed_new: row.opt_secret_bytes()?.ok_or_else(empty)?,
        sealed_old: row.opt_secret_bytes()?,
        argon2: row.opt_secret()?.ok_or_else(empty)?,
    })
}

fn read_kept(row: &mut Row) -> Result<Option<KeptSignIn>, Error> {
    let (token_id, session_id) = (row.opt_id()?, row.opt_id()?);
    Ok(token_id.map(|token_id| KeptSignIn {
        token_id,
        session_id,
    }))
}
