//! An empty database with an organization and a pool in it, and makers of things to put there.

use std::sync::Arc;

use rollcall_domain::group::{ExternalKey, Group, GroupInput};
use rollcall_domain::id::{OrganizationId, UserId, UserpoolId};
use rollcall_domain::organization::{Organization, OrganizationInput};
use rollcall_domain::user::{Actor, NewUser, Profile, User};
use rollcall_domain::userpool::{Userpool, UserpoolCreated, UserpoolInput};
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_lab::postgres::Postgres;
use rollcall_store::{Error, Store, Tx};

/// The beginning of time in these tests.
pub const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// As many as a hub opens, so that these tests meet the collisions that a hub meets.
const CONNECTIONS: usize = 32;

pub struct World {
    pub store: Store,
    address: Address,
}

/// A database that exists, but that no store opened yet.
pub struct Unopened(Address);

enum Address {
    Sqlite { directory: tempfile::TempDir },
    Postgres { url: String },
}

impl World {
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::filled(Address::Sqlite { directory }).await
    }

    pub async fn postgres(server: &Arc<Postgres>) -> Self {
        let server = Arc::clone(server);
        let url = tokio::task::spawn_blocking(move || server.fresh_database());
        Self::filled(Address::Postgres {
            url: url.await.unwrap().unwrap(),
        })
        .await
    }

    /// A SQLite database that `script` made, not opened by the store yet.
    pub async fn sqlite_script(script: &str) -> Unopened {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Sqlite { directory };
        address.run_sql(script).await;
        Unopened(address)
    }

    /// As [`World::sqlite_script`], on PostgreSQL.
    pub async fn postgres_script(server: &Arc<Postgres>, script: &str) -> Unopened {
        let server = Arc::clone(server);
        let url = tokio::task::spawn_blocking(move || server.fresh_database());
        let url = url.await.unwrap().unwrap();
        let address = Address::Postgres { url };
        address.run_sql(script).await;
        Unopened(address)
    }

    async fn filled(address: Address) -> Self {
        let store = address.open().await.unwrap();
        let made = pool("ek01", "staff");
        write(&store, async move |tx| {
            tx.insert_organization(&organization()).await?;
            tx.insert_userpool(&made.userpool).await?;
            tx.insert_userpool_domain(&made.default_domain).await
        })
        .await;
        Self { store, address }
    }

    /// The same database, opened once more, as another process would.
    pub async fn reopened(&self) -> Result<Store, Error> {
        self.address.open().await
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.address, Address::Postgres { .. })
    }

    /// Runs SQL beside the store.
    pub async fn run_sql(&self, sql: &str) {
        self.address.run_sql(sql).await;
    }

    /// The first column of a query beside the store, as texts.
    pub async fn query_sql(&self, sql: &str) -> Vec<String> {
        self.address.query_sql(sql).await
    }
}

impl Unopened {
    /// The first column of a query, as texts.
    pub async fn query_sql(&self, sql: &str) -> Vec<String> {
        self.0.query_sql(sql).await
    }

    /// Opens it as a hub does.
    pub async fn open(&self) -> Result<Store, Error> {
        self.0.open().await
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.0, Address::Postgres { .. })
    }
}

impl Address {
    async fn run_sql(&self, sql: &str) {
        match self {
            Address::Sqlite { directory } => {
                let connection =
                    rusqlite::Connection::open(directory.path().join("hub.db")).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Address::Postgres { url } => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
                    .await
                    .unwrap();
                let connection = tokio::spawn(connection);
                client.batch_execute(sql).await.unwrap();
                drop(client);
                connection.await.unwrap().unwrap();
            }
        }
    }

    async fn query_sql(&self, sql: &str) -> Vec<String> {
        match self {
            Address::Sqlite { directory } => {
                let connection =
                    rusqlite::Connection::open(directory.path().join("hub.db")).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Address::Postgres { url } => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
                    .await
                    .unwrap();
                tokio::spawn(connection);
                let rows = client.query(sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    async fn open(&self) -> Result<Store, Error> {
        match self {
            Self::Sqlite { directory } => Store::open_sqlite(directory.path().join("hub.db")).await,
            Self::Postgres { url } => Store::open_postgres(url, CONNECTIONS).await,
        }
    }
}

/// A private PostgreSQL server.
pub async fn server() -> Arc<Postgres> {
    let started = tokio::task::spawn_blocking(Postgres::start);
    Arc::new(started.await.unwrap().unwrap())
}

/// A write that must succeed.
pub async fn write<T: Send + 'static>(
    store: &Store,
    work: impl AsyncFn(&Tx) -> Result<T, Error> + Send + 'static,
) -> T {
    store.write(work).await.unwrap()
}

/// A read that must succeed.
pub async fn read<T: Send + 'static>(
    store: &Store,
    work: impl AsyncFn(&Tx) -> Result<T, Error> + Send + 'static,
) -> T {
    store.read(work).await.unwrap()
}

/// The refusal that a write must end with.
pub async fn refused<T: Send + std::fmt::Debug + 'static>(
    store: &Store,
    work: impl AsyncFn(&Tx) -> Result<T, Error> + Send + 'static,
) -> String {
    let error = store.write(work).await.unwrap_err();
    error
        .as_refusal()
        .unwrap_or_else(|| panic!("a refusal is expected, got {error:?}"))
        .to_string()
}

/// A moment `seconds` after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    NOW.plus(Span::seconds(seconds))
}

pub fn organization() -> Organization {
    let input = OrganizationInput {
        name: "acme".into(),
        title: "ACME \\ Ltd\nНорд".into(),
        labels: [
            ("env".to_owned(), "prod".to_owned()),
            ("x".to_owned(), String::new()),
        ]
        .into(),
        ..Default::default()
    };
    Organization::create(input, organization_id(), NOW).unwrap()
}

pub fn organization_id() -> OrganizationId {
    "bpf1".into()
}

pub fn pool_id() -> UserpoolId {
    "ek01".into()
}

pub fn pool(id: &str, name: &str) -> UserpoolCreated {
    let input = UserpoolInput {
        name: name.into(),
        ..Default::default()
    };
    Userpool::create(
        input,
        name,
        "idp.hub.example",
        organization_id(),
        id.into(),
        NOW,
    )
    .unwrap()
}

/// User number `n` of the first pool, made `n` seconds after the beginning.
pub fn user(n: u32) -> User {
    let new = NewUser {
        username: format!("User.{n:05}@staff.idp.hub.example"),
        profile: Profile {
            full_name: format!("Пользователь {n}"),
            email: format!("user{n}@example.com"),
            employee_id: format!("{n:05}"),
            ..Default::default()
        },
        external_id: format!("guid-{n:05}"),
        ..Default::default()
    };
    let domain = pool("ek01", "staff").default_domain;
    let id = format!("aje{n:017}");
    User::create(
        pool_id(),
        Some(&domain),
        new,
        Actor::Agent,
        id.as_str().into(),
        at(n.into()),
    )
    .unwrap()
}

pub fn user_id(n: u32) -> UserId {
    user(n).id
}

/// Inserts the users `0..count`.
pub async fn insert_users(store: &Store, count: u32) {
    write(store, async move |tx| {
        for n in 0..count {
            tx.insert_user(&user(n)).await?;
        }
        Ok(())
    })
    .await;
}

/// External group number `n` of the first pool.
pub fn group(n: u32) -> Group {
    let input = GroupInput {
        name: format!("Group-{n}"),
        ..Default::default()
    };
    let key = ExternalKey::new(pool_id(), format!("group-guid-{n}")).unwrap();
    let id = format!("ajeg{n:016}");
    Group::create(
        organization_id(),
        input,
        Some(key),
        id.as_str().into(),
        at(n.into()),
    )
    .unwrap()
}
