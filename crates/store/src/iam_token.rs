//! Rows of issued tokens: digests only.

use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::named::Named;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::params;
use crate::error::Error;

impl Tx {
    /// Inserts the record of a token.
    pub async fn insert_iam_token(&self, token: &IamToken) -> Result<(), Error> {
        self.execute(
            "insert into iam_tokens (digest, subject_id, subject_kind, created_at, expires_at) \
             values ($1, $2, $3, $4, $5)",
            params![
                &token.digest,
                &token.subject.id,
                token.subject.kind.name(),
                token.created_at,
                token.expires_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The record of the token with this digest, ended or not.
    pub async fn find_iam_token(&self, digest: &[u8]) -> Result<Option<IamToken>, Error> {
        self.one(
            "select digest, subject_id, subject_kind, created_at, expires_at from iam_tokens \
             where digest = $1",
            params![digest],
            |row| {
                Ok(IamToken {
                    digest: row.bytes()?,
                    subject: Subject {
                        id: row.id()?,
                        kind: row.named()?,
                    },
                    created_at: row.time()?,
                    expires_at: row.time()?,
                })
            },
        )
        .await
    }

    /// Deletes the record of a token; tells whether it was there.
    pub async fn delete_iam_token(&self, digest: &[u8]) -> Result<bool, Error> {
        let sql = "delete from iam_tokens where digest = $1";
        Ok(self.execute(sql, params![digest]).await? > 0)
    }

    /// Deletes up to `limit` tokens that ended by `now`; tells how many.
    pub async fn delete_expired_iam_tokens(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from iam_tokens where digest in (select digest from iam_tokens \
             where expires_at <= $1 order by expires_at limit $2)",
            params![now, limit],
        )
        .await
    }
}
