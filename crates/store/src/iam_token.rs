//! Rows of issued tokens: digests and public ids only.

use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::{SubjectId, TokenId};
use rollcall_domain::named::Named;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

impl Tx {
    /// Inserts the record of a token.
    pub async fn insert_iam_token(&self, token: &IamToken) -> Result<(), Error> {
        let impersonator = token.impersonator.as_ref();
        self.execute(
            "insert into iam_tokens (digest, id, subject_id, subject_kind, impersonator_id, \
             impersonator_kind, sign_in_session_id, created_at, expires_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                &token.digest,
                &token.id,
                &token.subject.id,
                token.subject.kind.name(),
                impersonator.map(|subject| &subject.id),
                impersonator.map(|subject| subject.kind.name()),
                token.sign_in_session_id.as_ref(),
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
            "select digest, id, subject_id, subject_kind, impersonator_id, impersonator_kind, \
             sign_in_session_id, created_at, expires_at from iam_tokens where digest = $1",
            params![digest],
            read,
        )
        .await
    }

    /// Whether the token `id` is there and has not ended at `now`.
    pub async fn has_iam_token(&self, id: &TokenId, now: Timestamp) -> Result<bool, Error> {
        let sql = "select count(*) from iam_tokens where id = $1 and expires_at > $2";
        Ok(self.count(sql, params![id, now]).await? > 0)
    }

    /// Deletes the record of a token; tells whether it was there.
    pub async fn delete_iam_token(&self, digest: &[u8]) -> Result<bool, Error> {
        let sql = "delete from iam_tokens where digest = $1";
        Ok(self.execute(sql, params![digest]).await? > 0)
    }

    /// Deletes the tokens of a subject and those it asked for in the name of others; tells how
    /// many.
    pub async fn delete_iam_tokens_of_subject(&self, subject_id: &SubjectId) -> Result<u64, Error> {
        let sql = "delete from iam_tokens where subject_id = $1 or impersonator_id = $1";
        self.execute(sql, params![subject_id]).await
    }

    /// As [`Tx::delete_iam_tokens_of_subject`], but leaves the token `kept`.
    pub async fn delete_other_iam_tokens_of_subject(
        &self,
        subject_id: &SubjectId,
        kept: &TokenId,
    ) -> Result<u64, Error> {
        let sql = "delete from iam_tokens \
             where (subject_id = $1 or impersonator_id = $1) and id <> $2";
        self.execute(sql, params![subject_id, kept]).await
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

fn read(row: &mut Row) -> Result<IamToken, Error> {
    Ok(IamToken {
        digest: row.bytes()?,
        id: row.id()?,
        subject: Subject {
            id: row.id()?,
            kind: row.named()?,
        },
        impersonator: read_impersonator(row)?,
        sign_in_session_id: row.opt_id()?,
        created_at: row.time()?,
        expires_at: row.time()?,
    })
}

fn read_impersonator(row: &mut Row) -> Result<Option<Subject>, Error> {
    match (row.opt_id()?, row.opt_named()?) {
        (Some(id), Some(kind)) => Ok(Some(Subject { id, kind })),
        (None, None) => Ok(None),
        _ => Err(Error::corrupt("a token has half an impersonator")),
    }
}
