//! The only place that knows that there are two databases.
//!
//! Invariant: a [`Tx`] takes one SQL text for both engines; a closure passed to [`Store::write`]
//! may run more than once, and its effects are kept exactly when the call answers `Ok`.
//! Deliberately absent: any table.

mod postgres;
mod sqlite;
pub mod value;

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::migration;
use value::{Param, Row};

/// A database.
#[derive(Clone)]
pub struct Store {
    arm: Arc<Arm>,
}

enum Arm {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// A transaction. After a method failed, the closure must end with an error: PostgreSQL accepts
/// no further statement then.
pub struct Tx {
    connection: Connection,
}

enum Connection {
    Sqlite(sqlite::Connection),
    Postgres(postgres::Connection),
}

/// Which database a connection speaks to; only for differences that SQL cannot bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens or creates a SQLite database and brings its schema up to date.
    ///
    /// # Errors
    /// `Driver` when the file cannot be used; `Corrupt` when its schema is newer or altered.
    pub async fn open_sqlite(path: impl AsRef<Path>) -> Result<Self, Error> {
        let store = Self {
            arm: Arc::new(Arm::Sqlite(sqlite::Sqlite::open(path.as_ref())?)),
        };
        store
            .write(async |tx: &Tx| migration::migrate(tx).await)
            .await?;
        Ok(store)
    }

    /// Opens a PostgreSQL database with at most `connections` connections and brings its schema
    /// up to date. `url` has the form `postgres://user@host:port/database`.
    ///
    /// # Errors
    /// `Busy` when it cannot be reached; `Corrupt` when its schema is newer or altered.
    pub async fn open_postgres(url: &str, connections: usize) -> Result<Self, Error> {
        let store = Self {
            arm: Arc::new(Arm::Postgres(postgres::Postgres::open(url, connections)?)),
        };
        store
            .write(async |tx: &Tx| migration::migrate(tx).await)
            .await?;
        Ok(store)
    }

    /// Runs `work` in a transaction and commits it; an `Err` takes everything back that `work`
    /// did, and nothing else. `work` may run more than once, so it must have no other effects.
    ///
    /// ```ignore
    /// store.write(async move |tx| { tx.insert_user(&user).await?; Ok(user) }).await
    /// ```
    ///
    /// # Errors
    /// What `work` returned; `Busy` after too many collisions with other transactions.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        match &*self.arm {
            Arm::Sqlite(sqlite) => sqlite.write(work).await,
            Arm::Postgres(postgres) => postgres.write(work).await,
        }
    }

    /// Runs `work` on a snapshot of the database; it cannot change anything.
    ///
    /// # Errors
    /// What `work` returned; `Busy` when no connection is free in time.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        match &*self.arm {
            Arm::Sqlite(sqlite) => sqlite.read(work).await,
            Arm::Postgres(postgres) => postgres.read(work).await,
        }
    }
}

impl Tx {
    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        match &self.connection {
            Connection::Sqlite(connection) => connection.rows(sql, params),
            Connection::Postgres(connection) => connection.rows(sql, params).await,
        }
    }

    /// Runs a statement and tells how many rows it touched.
    pub(crate) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        match &self.connection {
            Connection::Sqlite(connection) => connection.execute(sql, params),
            Connection::Postgres(connection) => connection.execute(sql, params).await,
        }
    }

    /// Runs a script of several statements without parameters.
    pub(crate) async fn script(&self, sql: &str) -> Result<(), Error> {
        match &self.connection {
            Connection::Sqlite(connection) => connection.script(sql),
            Connection::Postgres(connection) => connection.script(sql).await,
        }
    }

    /// The first row of a query, read by `read`.
    pub(crate) async fn one<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut rows = self.rows(sql, params).await?;
        rows.first_mut().map(read).transpose()
    }

    /// All rows of a query, each read by `read`.
    pub(crate) async fn all<T>(
        &self,
        sql: &str,
        params: &[Param<'_>],
        read: impl Fn(&mut Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.rows(sql, params).await?.iter_mut().map(read).collect()
    }

    /// The number that a query of one row and column gives.
    pub(crate) async fn count(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let count = self.one(sql, params, Row::count).await?;
        count.ok_or_else(|| Error::corrupt("a count gave no row"))
    }

    pub(crate) fn engine(&self) -> Engine {
        match &self.connection {
            Connection::Sqlite(_) => Engine::Sqlite,
            Connection::Postgres(_) => Engine::Postgres,
        }
    }
}
