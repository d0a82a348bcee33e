//! Rows of replication tokens and of demands for a full run.

use rollcall_domain::id::UserpoolId;
use rollcall_domain::named::Named;
use rollcall_domain::replication_token::ReplicationToken;
use rollcall_domain::sync_session::SessionType;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

const SELECT: &str = "select subject_container_id, session_type, token, full_run_demanded_at, \
     updated_at from replication_tokens";

impl Tx {
    /// The position of a stream, if anything is stored about it.
    pub async fn find_replication_token(
        &self,
        container: &UserpoolId,
        session_type: SessionType,
    ) -> Result<Option<ReplicationToken>, Error> {
        let sql = format!("{SELECT} where subject_container_id = $1 and session_type = $2");
        self.one(&sql, params![container, session_type.name()], read)
            .await
    }

    /// The position of a stream, an empty one when nothing is stored.
    pub async fn get_replication_token(
        &self,
        container: &UserpoolId,
        session_type: SessionType,
        now: Timestamp,
    ) -> Result<ReplicationToken, Error> {
        let found = self.find_replication_token(container, session_type).await?;
        Ok(found.unwrap_or_else(|| ReplicationToken::empty(container.clone(), session_type, now)))
    }

    /// The positions of every stream of a container, empty ones included.
    pub async fn list_replication_tokens(
        &self,
        container: &UserpoolId,
        now: Timestamp,
    ) -> Result<Vec<ReplicationToken>, Error> {
        let mut tokens = Vec::with_capacity(SessionType::ALL.len());
        for session_type in SessionType::ALL {
            tokens.push(
                self.get_replication_token(container, *session_type, now)
                    .await?,
            );
        }
        Ok(tokens)
    }

    /// Saves the position of a stream.
    pub async fn save_replication_token(&self, token: &ReplicationToken) -> Result<(), Error> {
        self.execute(
            "insert into replication_tokens (subject_container_id, session_type, token, \
             full_run_demanded_at, updated_at) values ($1, $2, $3, $4, $5) \
             on conflict (subject_container_id, session_type) do update set \
             token = excluded.token, full_run_demanded_at = excluded.full_run_demanded_at, \
             updated_at = excluded.updated_at",
            params![
                &token.subject_container_id,
                token.session_type.name(),
                token.token.as_ref().map(SecretString::expose),
                token.full_run_demanded_at,
                token.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes the positions of every stream of a container (decision U44).
    pub async fn delete_replication_tokens(&self, container: &UserpoolId) -> Result<u64, Error> {
        let sql = "delete from replication_tokens where subject_container_id = $1";
        self.execute(sql, params![container]).await
    }
}

fn read(row: &mut Row) -> Result<ReplicationToken, Error> {
    Ok(ReplicationToken {
        subject_container_id: row.id()?,
        session_type: row.named()?,
        token: row.opt_secret()?,
        full_run_demanded_at: row.opt_time()?,
        updated_at: row.time()?,
    })
}
