//! Rows of sessions that began with a sign-in. A session leaves together with its tokens.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::{PasswordId, SignInSessionId, UserId};
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::sign_in_session::SignInSession;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};

impl Listed for SignInSession {
    const SELECT: &'static str = "select id, user_id, created_at, renewed_at, expires_at, ends_at, \
         family_digest, refresh_digest, remote_address, user_agent from sign_in_sessions";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            user_id: row.id()?,
            created_at: row.time()?,
            renewed_at: row.time()?,
            expires_at: row.time()?,
            ends_at: row.time()?,
            family_digest: row.bytes()?,
            refresh_digest: row.bytes()?,
            remote_address: row.text()?,
            user_agent: row.text()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }
}

impl Tx {
    /// Inserts a session.
    pub async fn insert_sign_in_session(&self, session: &SignInSession) -> Result<(), Error> {
        self.execute(
            "insert into sign_in_sessions (id, user_id, created_at, renewed_at, expires_at, \
             ends_at, family_digest, refresh_digest, remote_address, user_agent) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            params![
                &session.id,
                &session.user_id,
                session.created_at,
                session.renewed_at,
                session.expires_at,
                session.ends_at,
                &session.family_digest,
                &session.refresh_digest,
                &session.remote_address,
                &session.user_agent,
            ],
        )
        .await?;
        Ok(())
    }

    /// The session `id`, ended or not.
    pub async fn find_sign_in_session(
        &self,
        id: &SignInSessionId,
    ) -> Result<Option<SignInSession>, Error> {
        let sql = format!("{} where id = $1", SignInSession::SELECT);
        self.one(&sql, params![id], SignInSession::read).await
    }

    /// Saves what a renewal changes.
    pub async fn save_sign_in_session(&self, session: &SignInSession) -> Result<(), Error> {
        self.execute(
            "update sign_in_sessions set renewed_at = $2, expires_at = $3, refresh_digest = $4 \
             where id = $1",
            params![
                &session.id,
                session.renewed_at,
                session.expires_at,
                &session.refresh_digest,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a session and its tokens; tells whether it was there.
    pub async fn delete_sign_in_session(&self, id: &SignInSessionId) -> Result<bool, Error> {
        let tokens = "delete from iam_tokens where sign_in_session_id = $1";
        self.execute(tokens, params![id]).await?;
        let session = "delete from sign_in_sessions where id = $1";
        Ok(self.execute(session, params![id]).await? > 0)
    }

    /// Deletes the sessions of a user and their tokens, all but `except`; tells how many.
    pub async fn delete_sign_in_sessions_of_user(
        &self,
        user_id: &UserId,
        except: Option<&SignInSessionId>,
    ) -> Result<u64, Error> {
        let kept = except.map_or("", SignInSessionId::as_str);
        self.execute(
            "delete from iam_tokens where sign_in_session_id in (select id from sign_in_sessions \
             where user_id = $1 and id <> $2)",
            params![user_id, kept],
        )
        .await?;
        let sql = "delete from sign_in_sessions where user_id = $1 and id <> $2";
        self.execute(sql, params![user_id, kept]).await
    }

    /// Deletes the oldest sessions of a user, so that at most `kept` are left.
    pub async fn delete_surplus_sign_in_sessions(
        &self,
        user_id: &UserId,
        kept: u32,
    ) -> Result<(), Error> {
        let surplus: Vec<SignInSessionId> = self
            .all(
                "select id from sign_in_sessions where user_id = $1 and id not in (select id \
                 from sign_in_sessions where user_id = $1 order by created_at desc, id desc \
                 limit $2)",
                params![user_id, kept],
                Row::id,
            )
            .await?;
        for id in &surplus {
            self.delete_sign_in_session(id).await?;
        }
        Ok(())
    }

    /// Deletes up to `limit` sessions that ended by `now`, with their tokens; tells how many.
    pub async fn delete_ended_sign_in_sessions(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        const ENDED: &str = "select id from sign_in_sessions where expires_at <= $1 \
             order by expires_at, id limit $2";
        let tokens = format!("delete from iam_tokens where sign_in_session_id in ({ENDED})");
        self.execute(&tokens, params![now, limit]).await?;
        let sessions = format!("delete from sign_in_sessions where id in ({ENDED})");
        self.execute(&sessions, params![now, limit]).await
    }

    /// A page of the sessions of a user that live at `now`, the oldest first.
    pub async fn list_sign_in_sessions(
        &self,
        user_id: &UserId,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<SignInSession>, Error> {
        let condition = "user_id = $1 and expires_at > $2";
        let (scope, order) = (params![user_id, now], Order::OldestFirst);
        list::page(self, condition, scope, &Filter::default(), order, page).await
    }

    /// Puts Argon2id of the password in place of the foreign hash `id` (decision U57); tells whether
    /// the value was still the same.
    pub async fn save_rehashed(
        &self,
        id: &PasswordId,
        argon2: &SecretString,
    ) -> Result<bool, Error> {
        let saved = self
            .execute(
                "update passwords set form = 'ARGON2_PASSWORD', hash = $2, scheme = null \
                 where id = $1 and form = 'FOREIGN'",
                params![id, argon2.expose()],
            )
            .await?;
        Ok(saved > 0)
    }
}
