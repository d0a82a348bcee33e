//! The SQLite arm: one writer thread, several readers.
//!
//! Invariant: the writer takes all calls that wait into one transaction, gives each its own
//! savepoint, commits once with `synchronous = full`, and answers after the commit only. So a call
//! that was answered is durable, and a call that failed left no trace.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::value::{Cell, Param, Row};
use super::{Connection as AnyConnection, Tx};
use crate::error::Error;

/// Most calls that one commit covers.
const CALLS_PER_COMMIT_MAX: usize = 1_000;
/// Calls that may wait for the writer before callers wait for the queue.
const QUEUE_MAX: usize = 4_096;
/// Readers at the same time.
const READERS_MAX: usize = 4;
/// How long a statement waits for another process that uses the file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED_MAX: usize = 256;

pub(super) struct Sqlite {
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
}

/// A call on its way to the writer: it runs in its savepoint and hands back how it ended.
type Job = Box<dyn FnOnce(&Tx) -> Ran + Send>;

struct Ran {
    end: SavepointEnd,
    /// Answers the caller, given how the commit went.
    answer: Box<dyn FnOnce(Result<(), Error>) + Send>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SavepointEnd {
    Keep,
    TakeBack,
}

pub(super) struct Connection {
    // A mutex because a transaction is shared by reference; nobody ever waits for it.
    inner: Mutex<rusqlite::Connection>,
}

struct Readers {
    idle: Mutex<Vec<Tx>>,
    permits: Arc<Semaphore>,
    path: std::path::PathBuf,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let tx = open_tx(path, "")?;
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let writer = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write_all(jobs, &tx))
            .map_err(|error| Error::driver("starting the writer thread", error))?;
        let readers = Readers {
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
            path: path.to_owned(),
        };
        Ok(Self {
            queue: Some(queue),
            writer: Some(writer),
            readers: Arc::new(readers),
        })
    }

    pub(super) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            if sender.is_closed() {
                return Ran {
                    end: SavepointEnd::TakeBack,
                    answer: Box::new(|_| ()),
                };
            }
            let outcome = run(tx, &work);
            let end = if outcome.is_ok() {
                SavepointEnd::Keep
            } else {
                SavepointEnd::TakeBack
            };
            let answer = Box::new(move |committed: Result<(), Error>| {
                let outcome = match (outcome, committed) {
                    (Ok(_), Err(error)) => Err(E::from(error)),
                    (outcome, _) => outcome,
                };
                // The caller may be gone; its call is done nevertheless.
                let _ = sender.send(outcome);
            });
            Ran { end, answer }
        });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }

    pub(super) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: AsyncFn(&Tx) -> Result<T, E> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let permit = Arc::clone(&readers.permits)
            .acquire_owned()
            .await
            .map_err(|_| stopped())?;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = readers.read(&work);
            drop(permit);
            outcome
        });
        done.await
            .map_err(|error| Error::driver("reading", error))?
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.queue = None;
        // The writer ends when the queue is closed and empty; waiting for it lets the last
        // connection close the write-ahead log.
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            let _ = writer.join();
        }
    }
}

impl Readers {
    fn read<T, E, F>(&self, work: &F) -> Result<T, E>
    where
        E: From<Error>,
        F: AsyncFn(&Tx) -> Result<T, E>,
    {
        let idle = lock(&self.idle).pop();
        let tx = match idle {
            Some(tx) => tx,
            None => open_tx(&self.path, "pragma query_only = on;")?,
        };
        let connection = sqlite(&tx)?;
        connection.plain("begin")?;
        let outcome = run(&tx, work);
        if connection.plain("rollback").is_ok() {
            lock(&self.idle).push(tx);
        }
        outcome
    }
}

/// The writer thread: takes what waits, up to a limit, into one transaction.
fn write_all(mut jobs: mpsc::Receiver<Job>, tx: &Tx) {
    while let Some(first) = jobs.blocking_recv() {
        let mut answers = Vec::new();
        let committed = write_batch(first, &mut jobs, tx, &mut answers);
        if let Err(error) = &committed {
            tracing::error!(%error, calls = answers.len(), "a transaction could not be committed");
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

fn write_batch(
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
    tx: &Tx,
    answers: &mut Vec<Answer>,
) -> Result<(), Error> {
    let connection = sqlite(tx)?;
    // When this fails the first call is dropped unrun, and its caller learns that.
    connection.plain("begin immediate")?;
    let mut next = Some(first);
    let mut batch = Ok(());
    while let Some(job) = next {
        match run_in_savepoint(connection, tx, job) {
            Ok(answer) => answers.push(answer),
            Err((answer, error)) => {
                answers.push(answer);
                batch = Err(error);
                break;
            }
        }
        next = if answers.len() < CALLS_PER_COMMIT_MAX {
            jobs.try_recv().ok()
        } else {
            None
        };
    }
    let ended = batch.and_then(|()| connection.plain("commit"));
    if ended.is_err() && !connection.is_idle() {
        connection.plain("rollback")?;
    }
    ended
}

/// Runs one job in its savepoint. An error here is one of the whole transaction.
fn run_in_savepoint(connection: &Connection, tx: &Tx, job: Job) -> Result<Answer, (Answer, Error)> {
    let opened = connection.plain("savepoint call");
    let Ran { end, answer } = job(tx);
    if let Err(error) = opened {
        return Err((answer, error));
    }
    if connection.is_idle() {
        // A full disk and the like make SQLite roll back everything on its own.
        let error = Error::failed("the database took the whole transaction back");
        return Err((answer, error));
    }
    let closed = match end {
        SavepointEnd::Keep => connection.plain("release call"),
        SavepointEnd::TakeBack => connection
            .plain("rollback to call")
            .and_then(|()| connection.plain("release call")),
    };
    match closed {
        Ok(()) => Ok(answer),
        Err(error) => Err((answer, error)),
    }
}

/// Runs a closure to its end on this thread. All methods of a SQLite transaction answer at once,
/// so one poll suffices, unless the closure waits for something else.
fn run<T, E, F>(tx: &Tx, work: &F) -> Result<T, E>
where
    E: From<Error>,
    F: AsyncFn(&Tx) -> Result<T, E>,
{
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(work(tx));
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }));
    match polled {
        Ok(Poll::Ready(outcome)) => outcome,
        Ok(Poll::Pending) => Err(E::from(Error::failed(
            "a transaction waited for something other than the database",
        ))),
        Err(_) => Err(E::from(Error::failed("the code of a transaction panicked"))),
    }
}

/// Makes `$2` mean the second parameter: to SQLite it is a name, numbered where it first appears,
/// while `?2` is a position. No statement of ours has a dollar sign anywhere else.
fn by_position(sql: &str) -> String {
    sql.replace('$', "?")
}

impl Connection {
    pub(super) fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        let connection = lock(&self.inner);
        let found = (|| {
            let mut statement = connection.prepare_cached(&by_position(sql))?;
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let cells = (0..columns).map(|column| row.get_ref(column).map(read_cell));
                found.push(Row::new(cells.collect::<Result<_, _>>()?));
            }
            Ok(found)
        })();
        found.map_err(|error| explain(&connection, sql, error))
    }

    pub(super) fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        let connection = lock(&self.inner);
        let touched = connection
            .prepare_cached(&by_position(sql))
            .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(params)));
        touched
            .map(|rows| rows as u64)
            .map_err(|error| explain(&connection, sql, error))
    }

    pub(super) fn script(&self, sql: &str) -> Result<(), Error> {
        let connection = lock(&self.inner);
        connection
            .execute_batch(sql)
            .map_err(|error| explain(&connection, sql, error))
    }

    /// Runs one statement without parameters; unlike a script it is parsed once only.
    fn plain(&self, sql: &str) -> Result<(), Error> {
        self.execute(sql, &[]).map(drop)
    }

    /// Whether no transaction is open.
    fn is_idle(&self) -> bool {
        lock(&self.inner).is_autocommit()
    }
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Integer(i64::from(value)),
            Self::Int(number) => ValueRef::Integer(number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read_cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
        ValueRef::Null | ValueRef::Real(_) => Cell::Null,
    }
}

fn open_tx(path: &Path, pragmas: &str) -> Result<Tx, Error> {
    let what = || format!("opening {}", path.display());
    let connection =
        rusqlite::Connection::open(path).map_err(|error| Error::driver(what(), error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection
        .busy_timeout(BUSY_WAIT)
        .and_then(|()| {
            connection.execute_batch(&format!(
                "pragma journal_mode = wal; pragma synchronous = full; \
                 pragma foreign_keys = on; {pragmas}"
            ))
        })
        .map_err(|error| Error::driver(what(), error))?;
    Ok(Tx {
        connection: AnyConnection::Sqlite(Connection {
            inner: Mutex::new(connection),
        }),
    })
}

fn sqlite(tx: &Tx) -> Result<&Connection, Error> {
    match &tx.connection {
        AnyConnection::Sqlite(connection) => Ok(connection),
        AnyConnection::Postgres(_) => Err(Error::failed("a connection of another database")),
    }
}

fn stopped() -> Error {
    Error::busy("the database is not taking calls now")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic could leave behind is taken back with the savepoint.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn explain(connection: &rusqlite::Connection, sql: &str, error: rusqlite::Error) -> Error {
    let Some(failure) = error.sqlite_error() else {
        return Error::driver(first_words(sql), error);
    };
    match (failure.code, failure.extended_code) {
        (
            _,
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
        ) => Error::Conflict(index_of(connection, &error.to_string())),
        (rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked, _) => {
            Error::busy("another process uses the database file")
        }
        (rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase, _) => {
            Error::corrupt(error.to_string())
        }
        _ => Error::driver(first_words(sql), error),
    }
}

/// The name of the unique index behind a message such as
/// `UNIQUE constraint failed: users.userpool_id, users.username_folded`. SQLite tells columns
/// only; a primary key is named as PostgreSQL does.
fn index_of(connection: &rusqlite::Connection, message: &str) -> String {
    let columns = message.rsplit(": ").next().unwrap_or_default();
    let table = columns.split('.').next().unwrap_or_default();
    let wanted: Vec<_> = columns
        .split(", ")
        .filter_map(|column| column.split('.').nth(1))
        .collect();
    let listed = (|| {
        let mut statement = connection.prepare_cached(
            "select l.name, l.origin, i.name from pragma_index_list($1) l, \
             pragma_index_info(l.name) i where l.\"unique\" = 1 order by l.name, i.seqno",
        )?;
        let rows = statement.query_map([table], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?;
        rows.collect::<Result<Vec<_>, _>>()
    })();
    let mut indexes: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for (name, origin, column) in listed.unwrap_or_default() {
        indexes
            .entry(name)
            .or_insert((origin, Vec::new()))
            .1
            .push(column);
    }
    let found = indexes
        .into_iter()
        .find(|(_, (_, columns))| *columns == wanted);
    match found {
        Some((_, (origin, _))) if origin == "pk" => format!("{table}_pkey"),
        Some((name, _)) => name,
        None => format!("{table}_pkey"),
    }
}

/// The beginning of a statement, without its values.
fn first_words(sql: &str) -> String {
    sql.split_whitespace().take(6).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use crate::db::value::params;
    use crate::db::{Store, Tx};
    use crate::error::Error;

    #[tokio::test]
    async fn parameters_have_their_place_by_number() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(directory.path().join("db"))
            .await
            .unwrap();
        let found = store
            .read(async |tx: &Tx| {
                let sql = "select $2 || $1 || $2";
                let text = tx.one(sql, params!["a", "b"], |row| row.text()).await?;
                Ok::<_, Error>(text)
            })
            .await
            .unwrap();
        assert_eq!(found.as_deref(), Some("bab"));
    }
}
