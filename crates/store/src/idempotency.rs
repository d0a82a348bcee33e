//! Rows of remembered calls.

use rollcall_domain::id::SubjectId;
use rollcall_domain::idempotency::IdempotencyRecord;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::params;
use crate::error::Error;

impl Tx {
    /// What is remembered under a key of a subject and method.
    pub async fn find_idempotency_record(
        &self,
        subject_id: &SubjectId,
        method: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, Error> {
        self.one(
            "select subject_id, method, idempotency_key, request_digest, operation_id, \
             created_at from idempotency_keys \
             where subject_id = $1 and method = $2 and idempotency_key = $3",
            params![subject_id, method, key],
            |row| {
                Ok(IdempotencyRecord {
                    subject_id: row.id()?,
                    method: row.text()?,
                    key: row.text()?,
                    request_digest: row.bytes()?,
                    operation_id: row.id()?,
                    created_at: row.time()?,
                })
            },
        )
        .await
    }

    /// Remembers a call, in place of a forgotten one with the same key. The caller has judged the
    /// present record in the same transaction.
    pub async fn save_idempotency_record(&self, record: &IdempotencyRecord) -> Result<(), Error> {
        self.execute(
            "insert into idempotency_keys (subject_id, method, idempotency_key, request_digest, \
             operation_id, created_at) values ($1, $2, $3, $4, $5, $6) \
             on conflict (subject_id, method, idempotency_key) do update set \
             request_digest = excluded.request_digest, operation_id = excluded.operation_id, \
             created_at = excluded.created_at",
            params![
                &record.subject_id,
                &record.method,
                &record.key,
                &record.request_digest,
                &record.operation_id,
                record.created_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// Forgets up to `limit` calls made before `before`; tells how many.
    pub async fn delete_old_idempotency_records(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from idempotency_keys where (subject_id, method, idempotency_key) in \
             (select subject_id, method, idempotency_key from idempotency_keys \
             where created_at < $1 order by created_at limit $2)",
            params![before, limit],
        )
        .await
    }
}
