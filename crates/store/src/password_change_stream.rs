//! Rows of the streams of password changes, one for each pool that ever had one.

use rollcall_domain::id::UserpoolId;
use rollcall_domain::password_change_stream::{PasswordChangeStream, StreamHolder};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

impl Tx {
    /// The stream of a pool.
    pub async fn get_password_change_stream(
        &self,
        userpool_id: &UserpoolId,
    ) -> Result<PasswordChangeStream, Error> {
        let sql = "select head, holder_agent_id, holder_stream_id, lease_until \
             from password_change_streams where userpool_id = $1";
        let found = self
            .one(sql, params![userpool_id], |row| {
                Ok((row.int()?, read_holder(row)?))
            })
            .await?;
        let (head, holder) = found.unwrap_or_default();
        Ok(PasswordChangeStream {
            head,
            holder,
            ..PasswordChangeStream::new(userpool_id.clone())
        })
    }

    /// Saves who receives the changes of a pool.
    pub async fn save_password_change_holder(
        &self,
        userpool_id: &UserpoolId,
        holder: &StreamHolder,
    ) -> Result<(), Error> {
        self.execute(
            "insert into password_change_streams (userpool_id, head, holder_agent_id, \
             holder_stream_id, lease_until) values ($1, 0, $2, $3, $4) \
             on conflict (userpool_id) do update set \
             holder_agent_id = excluded.holder_agent_id, \
             holder_stream_id = excluded.holder_stream_id, lease_until = excluded.lease_until",
            params![
                userpool_id,
                &holder.agent_id,
                &holder.stream_id,
                holder.lease_until
            ],
        )
        .await?;
        Ok(())
    }

    /// The offset of the next change of a pool, which from now on is the newest one.
    pub async fn next_password_change_offset(
        &self,
        userpool_id: &UserpoolId,
    ) -> Result<i64, Error> {
        let made = self
            .one(
                "insert into password_change_streams (userpool_id, head) values ($1, 1) \
                 on conflict (userpool_id) do update set head = password_change_streams.head + 1 \
                 returning head",
                params![userpool_id],
                Row::int,
            )
            .await?;
        made.ok_or_else(|| Error::corrupt("a stream of password changes has no offset"))
    }
}

fn read_holder(row: &mut Row) -> Result<Option<StreamHolder>, Error> {
    let (agent_id, stream_id) = (row.opt_text()?, row.opt_text()?);
    match (agent_id, stream_id, row.opt_time()?) {
        (Some(agent_id), Some(stream_id), Some(lease_until)) => Ok(Some(StreamHolder {
            agent_id,
            stream_id,
            lease_until,
        })),
        (None, None, None) => Ok(None),
        _ => Err(Error::corrupt("the holder of a stream is cut off")),
    }
}
