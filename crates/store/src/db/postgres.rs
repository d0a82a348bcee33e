//! The PostgreSQL arm: a pool of connections, transactions in parallel.
//!
//! Invariant: writes are serializable; a collision runs the closure again, within bounds of number
//! and time. Unrelated writes collide too, on the pages of an index they share, so only a few run
//! at once. A broken unique index runs the closure again once, because the row that broke it may
//! come from a transaction that the closure could not see yet. Deliberately absent: TLS to the
//! database, which is meant to stand beside the hub.

use std::error::Error as StdError;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures::FutureExt;
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use tokio_util::task::LocalPoolHandle;

use super::value::{Cell, Param, Row};
use super::{Connection as AnyConnection, Tx};
use crate::error::Error;

/// Runs of one closure before the caller is told to come back later.
const ATTEMPTS_MAX: u32 = 32;
/// After this time a closure that met a collision is not run again.
const RETRY_TIME_MAX: Duration = Duration::from_secs(5);
/// Runs of one closure that break a unique index.
const CONFLICT_ATTEMPTS_MAX: u32 = 2;
/// The longest wait after the first collision; it doubles with each one.
const FIRST_WAIT_MAX: Duration = Duration::from_millis(2);
/// The longest wait after any collision.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Writes of one store at the same time; more of them collide rather than go faster.
const WRITERS_MAX: usize = 8;
/// How long a write waits for its turn, and any call for a free connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// Threads that closures run on; a closure stays on its thread.
const WORKERS_MAX: usize = 4;

const BEGIN_WRITE: &str = "begin isolation level serializable";
const BEGIN_READ: &str = "begin isolation level repeatable read read only";

pub(super) struct Postgres {
    pool: Pool,
    writers: Arc<Semaphore>,
    workers: LocalPoolHandle,
}

pub(super) struct Connection {
    client: Object,
    trouble: Mutex<Trouble>,
}

/// What a statement of the present transaction met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Another transaction got in the way.
    Collision,
    /// A unique index was broken.
    Conflict,
}

impl Postgres {
    pub(super) fn open(url: &str, connections: usize) -> Result<Self, Error> {
        let config: tokio_postgres::Config = url
            .parse()
            .map_err(|error| Error::driver("reading the address of the database", error))?;
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(connections.max(1))
            .wait_timeout(Some(CONNECTION_WAIT))
            .create_timeout(Some(CONNECTION_WAIT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::driver("making the connection pool", error))?;
        let workers = LocalPoolHandle::new(connections.clamp(1, WORKERS_MAX));
        Ok(Self {
            pool,
            writers: Arc::new(Semaphore::new(WRITERS_MAX)),
            workers,
        })
    }

    pub(super) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        let turn = self.turn().await?;
        let tx = self.tx().await?;
        // The turn ends with the work, which goes on when the caller stops waiting for it.
        let done = self.workers.spawn_pinned(move || async move {
            let outcome = write_repeatedly(tx, work).await;
            drop(turn);
            outcome
        });
        done.await
            .map_err(|error| Error::driver("writing", error))?
    }

    pub(super) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        let tx = self.tx().await?;
        let done = self.workers.spawn_pinned(move || async move {
            let ended = attempt(tx, BEGIN_READ, &work).await;
            ended.outcome
        });
        done.await
            .map_err(|error| Error::driver("reading", error))?
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.writers).acquire_owned();
        tokio::time::timeout(CONNECTION_WAIT, turn)
            .await
            .map_err(|_| Error::busy("too many writes at once"))?
            .map_err(|error| Error::driver("waiting for a turn to write", error))
    }

    async fn tx(&self) -> Result<Tx, Error> {
        let client = self
            .pool
            .get()
            .await
            .map_err(|error| Error::busy(format!("no connection: {}", chain(&error))))?;
        let connection = Connection {
            client,
            trouble: Mutex::new(Trouble::None),
        };
        Ok(Tx {
            connection: AnyConnection::Postgres(connection),
        })
    }
}

/// How one run of a closure ended.
struct Attempt<T, E> {
    outcome: Result<T, E>,
    trouble: Trouble,
    /// The connection, when it can be used again.
    tx: Option<Tx>,
}

async fn write_repeatedly<T, E, F>(mut tx: Tx, work: F) -> Result<T, E>
where
    E: From<Error>,
    F: AsyncFn(&Tx) -> Result<T, E>,
{
    let mut attempts = 1;
    // Counted apart: a call that met collisions before still has to see the row that broke its
    // index, which may be that of its own repetition.
    let mut conflicts = 0;
    let mut out_of_time = pin!(tokio::time::sleep(RETRY_TIME_MAX));
    loop {
        let ended = attempt(tx, BEGIN_WRITE, &work).await;
        let again = match ended.trouble {
            Trouble::None => false,
            Trouble::Collision => attempts < ATTEMPTS_MAX,
            Trouble::Conflict => {
                conflicts += 1;
                conflicts < CONFLICT_ATTEMPTS_MAX && attempts < ATTEMPTS_MAX
            }
        };
        match (ended.outcome, ended.tx) {
            (Err(error), Some(next)) if again => {
                tokio::select! {
                    biased;
                    () = &mut out_of_time => return Err(error),
                    () = tokio::time::sleep(wait_after(attempts, &SystemEntropy)) => tx = next,
                }
            }
            (outcome, _) => return outcome,
        }
        attempts += 1;
    }
}

/// How long to wait after so many attempts: any time up to a bound, since writes that collided
/// once would meet again after equal waits.
fn wait_after(attempts: u32, entropy: &dyn Entropy) -> Duration {
    let doublings = attempts.saturating_sub(1);
    let bound = FIRST_WAIT_MAX
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(WAIT_MAX);
    let micros_max = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(entropy.next_u64() % micros_max.saturating_add(1))
}

async fn attempt<T, E, F>(tx: Tx, begin: &str, work: &F) -> Attempt<T, E>
where
    E: From<Error>,
    F: AsyncFn(&Tx) -> Result<T, E>,
{
    let begun = match postgres(&tx) {
        Ok(connection) => {
            connection.set_trouble(Trouble::None);
            connection.script(begin).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = begun {
        return Attempt {
            outcome: Err(error.into()),
            trouble: Trouble::None,
            tx: None,
        };
    }
    let outcome = AssertUnwindSafe(work(&tx))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(E::from(Error::failed("the code of a transaction panicked"))));
    let ended = match (&outcome, postgres(&tx)) {
        (Ok(_), Ok(connection)) => connection.script("commit").await,
        (Err(_), Ok(connection)) => connection.script("rollback").await,
        (_, Err(error)) => Err(error),
    };
    let trouble = postgres(&tx).map_or(Trouble::None, Connection::trouble);
    match (outcome, ended) {
        (Ok(_), Err(error)) if trouble == Trouble::Collision => Attempt {
            outcome: Err(error.into()),
            trouble,
            tx: Some(tx),
        },
        (Ok(_), Err(error)) => {
            discard(tx);
            Attempt {
                outcome: Err(error.into()),
                trouble: Trouble::None,
                tx: None,
            }
        }
        (outcome, Err(_)) => {
            discard(tx);
            Attempt {
                outcome,
                trouble: Trouble::None,
                tx: None,
            }
        }
        (outcome, Ok(())) => Attempt {
            outcome,
            trouble,
            tx: Some(tx),
        },
    }
}

/// Keeps a connection of unknown state out of the pool.
fn discard(tx: Tx) {
    if let AnyConnection::Postgres(connection) = tx.connection {
        drop(Object::take(connection.client));
    }
}

impl Connection {
    pub(super) async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let found = async {
            let statement = self.client.prepare_cached(sql).await?;
            let params: Vec<_> = params
                .iter()
                .map(|param| param as &(dyn ToSql + Sync))
                .collect();
            self.client.query(&statement, &params).await
        };
        let found = found.await.map_err(|error| self.explain(sql, error))?;
        found.iter().map(read_row).collect()
    }

    pub(super) async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let touched = async {
            let statement = self.client.prepare_cached(sql).await?;
            let params: Vec<_> = params
                .iter()
                .map(|param| param as &(dyn ToSql + Sync))
                .collect();
            self.client.execute(&statement, &params).await
        };
        touched.await.map_err(|error| self.explain(sql, error))
    }

    pub(super) async fn script(&self, sql: &str) -> Result<(), Error> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(|error| self.explain(sql, error))
    }

    fn trouble(&self) -> Trouble {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn explain(&self, sql: &str, error: tokio_postgres::Error) -> Error {
        if let Some(failure) = error.as_db_error() {
            let code = failure.code();
            if [
                &SqlState::T_R_SERIALIZATION_FAILURE,
                &SqlState::T_R_DEADLOCK_DETECTED,
            ]
            .contains(&code)
            {
                self.set_trouble(Trouble::Collision);
                return Error::busy("another transaction changed the same rows");
            }
            if *code == SqlState::UNIQUE_VIOLATION {
                self.set_trouble(Trouble::Conflict);
                return Error::Conflict(failure.constraint().unwrap_or_default().to_owned());
            }
        } else if self.client.is_closed() {
            return Error::busy("the connection to the database was lost");
        }
        let what = sql.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        Error::driver(what, error)
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        column: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(value) => value.to_sql_checked(column, out),
            Self::Int(number) => number.to_sql_checked(column, out),
            Self::Text(text) => text.to_sql_checked(column, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(column, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let cells = row.columns().iter().enumerate().map(|(index, column)| {
        let cell = match *column.type_() {
            Type::BOOL => row
                .try_get::<_, Option<bool>>(index)
                .map(|v| v.map(Cell::Bool)),
            Type::INT8 => row
                .try_get::<_, Option<i64>>(index)
                .map(|v| v.map(Cell::Int)),
            Type::INT4 => row
                .try_get::<_, Option<i32>>(index)
                .map(|v| v.map(|number| Cell::Int(i64::from(number)))),
            Type::BYTEA => row
                .try_get::<_, Option<Vec<u8>>>(index)
                .map(|v| v.map(Cell::Bytes)),
            _ => row
                .try_get::<_, Option<String>>(index)
                .map(|v| v.map(Cell::Text)),
        };
        cell.map(|cell| cell.unwrap_or(Cell::Null))
    });
    let cells: Result<Vec<_>, _> = cells.collect();
    cells
        .map(Row::new)
        .map_err(|error| Error::driver("reading a row", error))
}

fn postgres(tx: &Tx) -> Result<&Connection, Error> {
    match &tx.connection {
        AnyConnection::Postgres(connection) => Ok(connection),
        AnyConnection::Sqlite(_) => Err(Error::failed("a connection of another database")),
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rollcall_kit::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn waits_are_spread_up_to_a_growing_bound() {
        let entropy = SeededEntropy::new(1);
        let longest = |attempts| {
            let waits = (0..1_000).map(|_| wait_after(attempts, &entropy));
            let (shortest, longest) = waits
                .fold((WAIT_MAX, Duration::ZERO), |(low, high), wait| {
                    (low.min(wait), high.max(wait))
                });
            assert!(shortest < longest / 10, "{attempts}: from {shortest:?}");
            longest
        };
        assert!(longest(1) <= FIRST_WAIT_MAX);
        assert!(longest(4) > FIRST_WAIT_MAX * 4);
        let last = longest(ATTEMPTS_MAX);
        assert!(last > WAIT_MAX / 2 && last <= WAIT_MAX, "{last:?}");
    }
}
