//! Rows of synchronization sessions.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::{SessionId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::progress::{ChangeType, Counts, ObjectType, Progress};
use rollcall_domain::sync_session::{OpenFacts, SessionStatus, SessionType, SyncSession};
use rollcall_domain::sync_settings::INTERVAL_DEFAULT;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};
use crate::password::SHELVED;
use crate::tally::{change_letter, object_letter, split_cell};

impl Listed for SyncSession {
    const SELECT: &'static str = "select id, subject_container_id, session_type, agent_id, \
         opened_by, created_at, expires_at, closed_at, sync_mode, status, progress, fail_reason, \
         settings_revision from sync_sessions";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            subject_container_id: row.id()?,
            session_type: row.named()?,
            agent_id: row.text()?,
            opened_by: row.id()?,
            created_at: row.time()?,
            expires_at: row.time()?,
            closed_at: row.opt_time()?,
            sync_mode: row.named()?,
            status: row.named()?,
            progress: unpack_progress(&row.text()?)?,
            fail_reason: row.text()?,
            settings_revision: row.opt_int()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }
}

/// The status of a session at the moment `$2`: an open one whose lease has ended is expired, swept
/// or not (decision U9).
macro_rules! status_now {
    () => {
        "(case when status = 'OPENED' and expires_at <= $2 then 'EXPIRED' else status end)"
    };
}

/// A session as stored, and its status at the moment of the list.
struct ListedSession {
    session: SyncSession,
    status_now: SessionStatus,
}

impl Listed for ListedSession {
    const SELECT: &'static str = concat!(
        "select id, subject_container_id, session_type, agent_id, opened_by, created_at, \
         expires_at, closed_at, sync_mode, status, progress, fail_reason, settings_revision, ",
        status_now!(),
        " from sync_sessions"
    );
    const KEY: [&'static str; 2] = SyncSession::KEY;

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            session: SyncSession::read(row)?,
            status_now: row.named()?,
        })
    }

    fn cursor(&self) -> Cursor {
        self.session.cursor()
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "session_type" => Some("session_type"),
            "status" => Some(status_now!()),
            "agent_id" => Some("agent_id"),
            "sync_mode" => Some("sync_mode"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "session_type" => self.session.session_type.to_string(),
            "status" => self.status_now.to_string(),
            "agent_id" => self.session.agent_id.clone(),
            "sync_mode" => self.session.sync_mode.to_string(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts a session. A second open one of a container and type is a conflict.
    pub async fn insert_sync_session(&self, session: &SyncSession) -> Result<(), Error> {
        self.execute(
            "insert into sync_sessions (id, subject_container_id, session_type, agent_id, \
             opened_by, created_at, expires_at, closed_at, sync_mode, status, progress, \
             fail_reason, settings_revision) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            params![
                &session.id,
                &session.subject_container_id,
                session.session_type.name(),
                &session.agent_id,
                &session.opened_by,
                session.created_at,
                session.expires_at,
                session.closed_at,
                session.sync_mode.name(),
                session.status.name(),
                &pack_progress(&session.progress),
                &session.fail_reason,
                session.settings_revision,
            ],
        )
        .await?;
        Ok(())
    }

    /// The session `id`, as stored: an open one may have lost its lease, and its counters are those
    /// that were reported; see [`Tx::count_sync_session`].
    pub async fn find_sync_session(&self, id: &SessionId) -> Result<Option<SyncSession>, Error> {
        let sql = format!("{} where id = $1", SyncSession::SELECT);
        self.one(&sql, params![id], SyncSession::read).await
    }

    /// The session stored as open for a stream.
    pub async fn find_opened_sync_session(
        &self,
        container: &UserpoolId,
        session_type: SessionType,
    ) -> Result<Option<SyncSession>, Error> {
        let sql = format!(
            "{} where subject_container_id = $1 and session_type = $2 and status = 'OPENED'",
            SyncSession::SELECT
        );
        self.one(
            &sql,
            params![container, session_type.name()],
            SyncSession::read,
        )
        .await
    }

    /// Everything that opening a session of a stream must know; the open one is counted.
    pub async fn find_open_facts(
        &self,
        container: &UserpoolId,
        session_type: SessionType,
    ) -> Result<OpenFacts, Error> {
        let settings = self.find_sync_settings(container).await?;
        let token = self.find_replication_token(container, session_type).await?;
        let opened = self
            .find_opened_sync_session(container, session_type)
            .await?;
        Ok(OpenFacts {
            opened: match opened {
                Some(session) => Some(self.count_sync_session(session).await?),
                None => None,
            },
            last_successful: self
                .find_last(container, session_type, "'COMPLETED', 'PENDING'")
                .await?,
            last_failed: self
                .find_last(container, session_type, "'FAILED', 'EXPIRED'")
                .await?,
            has_token: token.as_ref().is_some_and(|token| token.token.is_some()),
            full_run_demanded_at: token.and_then(|token| token.full_run_demanded_at),
            interval: settings
                .as_ref()
                .map_or(INTERVAL_DEFAULT, |settings| settings.interval),
            settings_revision: settings.map(|settings| settings.revision),
        })
    }

    async fn find_last(
        &self,
        container: &UserpoolId,
        session_type: SessionType,
        statuses: &str,
    ) -> Result<Option<SyncSession>, Error> {
        let sql = format!(
            "{} where subject_container_id = $1 and session_type = $2 and status in ({statuses}) \
             order by created_at desc, id desc limit 1",
            SyncSession::SELECT
        );
        self.one(
            &sql,
            params![container, session_type.name()],
            SyncSession::read,
        )
        .await
    }

    /// Saves what can change in a session.
    pub async fn save_sync_session(&self, session: &SyncSession) -> Result<(), Error> {
        self.execute(
            "update sync_sessions set expires_at = $2, closed_at = $3, status = $4, \
             progress = $5, fail_reason = $6 where id = $1",
            params![
                &session.id,
                session.expires_at,
                session.closed_at,
                session.status.name(),
                &pack_progress(&session.progress),
                &session.fail_reason,
            ],
        )
        .await?;
        Ok(())
    }

    /// A page of the sessions of a container, newest first (decision U36). They are returned as
    /// stored and counted, but filtered by the status they have at `now`.
    pub async fn list_sync_sessions(
        &self,
        container: &UserpoolId,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<SyncSession>, Error> {
        let scope = params![container, now];
        let condition = "subject_container_id = $1";
        let page: Page<ListedSession> =
            list::page(self, condition, scope, filter, Order::NewestFirst, page).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(self.count_sync_session(row.session).await?);
        }
        Ok(Page {
            items,
            next: page.next,
        })
    }

    /// Sessions stored as open whose lease has ended, counted, for the sweeper.
    pub async fn list_lapsed_sync_sessions(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<SyncSession>, Error> {
        let sql = format!(
            "{} where status = 'OPENED' and expires_at <= $1 order by expires_at, id limit $2",
            SyncSession::SELECT
        );
        let lapsed = self
            .all(&sql, params![now, limit], SyncSession::read)
            .await?;
        let mut counted = Vec::with_capacity(lapsed.len());
        for session in lapsed {
            counted.push(self.count_sync_session(session).await?);
        }
        Ok(counted)
    }

    /// Pending sessions none of whose imported hashes waits any more: the hub can complete them.
    pub async fn list_finished_pending_sync_sessions(
        &self,
        limit: u32,
    ) -> Result<Vec<SyncSession>, Error> {
        let sql = format!(
            "{} where status = 'PENDING' and not exists (select 1 from passwords p \
             where p.session_id = sync_sessions.id and p.form = 'SEALED_NT_HASH') \
             order by id limit $1",
            SyncSession::SELECT
        );
        self.all(&sql, params![limit], SyncSession::read).await
    }

    /// Pending sessions with an imported hash that was shelved: the hub cannot complete them.
    pub async fn list_stuck_pending_sync_sessions(
        &self,
        limit: u32,
    ) -> Result<Vec<SyncSession>, Error> {
        let sql = format!(
            "{} where status = 'PENDING' and exists (select 1 from passwords p \
             where p.session_id = sync_sessions.id and p.form = 'SEALED_NT_HASH' \
             and p.claimed_until = $1) order by id limit $2",
            SyncSession::SELECT
        );
        self.all(&sql, params![SHELVED, limit], SyncSession::read)
            .await
    }

    /// How many sessions of a container are stored as open and have a lease at `now`.
    pub async fn count_opened_sync_sessions(
        &self,
        container: &UserpoolId,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let sql = "select count(*) from sync_sessions \
             where subject_container_id = $1 and status = 'OPENED' and expires_at > $2";
        self.count(sql, params![container, now]).await
    }

    /// Deletes up to `limit` ended sessions created before `before`, but never one of the newest
    /// `keep` of its container and type (decision U36); tells how many.
    pub async fn delete_old_sync_sessions(
        &self,
        before: Timestamp,
        keep: u64,
        limit: u32,
    ) -> Result<u64, Error> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        self.execute(
            "delete from sync_sessions where id in (select s.id from sync_sessions s \
             where s.created_at < $1 and s.status in ('COMPLETED', 'FAILED', 'EXPIRED') \
             and (select count(*) from sync_sessions n \
             where n.subject_container_id = s.subject_container_id \
             and n.session_type = s.session_type \
             and (n.created_at, n.id) > (s.created_at, s.id)) >= $2 \
             order by s.created_at, s.id limit $3)",
            params![before, keep, limit],
        )
        .await
    }
}

/// One letter for each kind of object and change, then the two counts: `UC5/1 GU3/0`.
fn pack_progress(progress: &Progress) -> String {
    let cells: Vec<_> = progress
        .cells()
        .map(|(object, change, counts)| {
            let (object, change) = (object_letter(object), change_letter(change));
            format!("{object}{change}{}/{}", counts.successful, counts.failed)
        })
        .collect();
    cells.join(" ")
}

fn unpack_progress(packed: &str) -> Result<Progress, Error> {
    let mut progress = Progress::default();
    for cell in packed.split_whitespace() {
        let (object, change, counts) = unpack_cell(cell)
            .ok_or_else(|| Error::corrupt(format!("the counter {cell:?} cannot be read")))?;
        progress.raise(object, change, counts);
    }
    Ok(progress)
}

fn unpack_cell(cell: &str) -> Option<(ObjectType, ChangeType, Counts)> {
    let (object, change, counts) = split_cell(cell)?;
    let (successful, failed) = counts.split_once('/')?;
    let counts = Counts {
        successful: successful.parse().ok()?,
        failed: failed.parse().ok()?,
    };
    Some((object, change, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_survives_its_text() {
        let mut progress = Progress::default();
        let mut number = 0;
        for object in ObjectType::ALL {
            for change in ChangeType::ALL {
                number += 1;
                let counts = Counts {
                    successful: number,
                    failed: i64::MAX - number,
                };
                progress.raise(*object, *change, counts);
            }
        }
        assert_eq!(
            unpack_progress(&pack_progress(&progress)).unwrap(),
            progress
        );
        assert_eq!(unpack_progress("").unwrap(), Progress::default());
        for damaged in ["UC5", "UC5/", "ZC5/1", "UZ5/1", "U"] {
            assert!(unpack_progress(damaged).is_err(), "{damaged}");
        }
    }
}
