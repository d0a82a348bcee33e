//! Rows of the guards against guessing, one for each user and each address of which a sign-in failed
//! lately.
//!
//! A guard that remembers nothing has no row.

use rollcall_domain::sign_in_guard::SignInGuard;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

const MOMENT_BYTES: usize = 8;

impl Tx {
    /// The guard of `holder`; an empty one when nothing is remembered.
    pub async fn get_sign_in_guard(&self, holder: &str) -> Result<SignInGuard, Error> {
        let sql = "select failures, blocked_until from sign_in_guards where holder = $1";
        let found = self.one(sql, params![holder], read).await?;
        Ok(found.unwrap_or_default())
    }

    /// Saves the guard of `holder` until `forgettable_at`.
    pub async fn save_sign_in_guard(
        &self,
        holder: &str,
        guard: &SignInGuard,
        forgettable_at: Timestamp,
    ) -> Result<(), Error> {
        let failures: Vec<u8> = guard
            .failures
            .iter()
            .flat_map(|moment| moment.as_micros().to_be_bytes())
            .collect();
        self.execute(
            "insert into sign_in_guards (holder, failures, blocked_until, forgettable_at) \
             values ($1, $2, $3, $4) on conflict (holder) do update set \
             failures = excluded.failures, blocked_until = excluded.blocked_until, \
             forgettable_at = excluded.forgettable_at",
            params![holder, &failures, guard.blocked_until, forgettable_at],
        )
        .await?;
        Ok(())
    }

    /// Forgets the failures of `holder`; tells whether there were any.
    pub async fn delete_sign_in_guard(&self, holder: &str) -> Result<bool, Error> {
        let sql = "delete from sign_in_guards where holder = $1";
        Ok(self.execute(sql, params![holder]).await? > 0)
    }

    /// Deletes up to `limit` guards that can be forgotten by `now`; tells how many.
    pub async fn delete_old_sign_in_guards(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from sign_in_guards where holder in (select holder from sign_in_guards \
             where forgettable_at <= $1 order by forgettable_at, holder limit $2)",
            params![now, limit],
        )
        .await
    }
}

fn read(row: &mut Row) -> Result<SignInGuard, Error> {
    let packed = row.bytes()?;
    let (moments, rest) = packed.as_chunks::<MOMENT_BYTES>();
    if !rest.is_empty() {
        return Err(Error::corrupt("the failures of a guard are cut off"));
    }
    let moments = moments.iter().map(|bytes| i64::from_be_bytes(*bytes));
    Ok(SignInGuard {
        failures: moments.map(Timestamp::from_micros).collect(),
        blocked_until: row.opt_time()?,
    })
}
