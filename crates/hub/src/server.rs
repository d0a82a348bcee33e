//! A running hub: database, port and jobs of one data directory.
//!
//! Invariant: a data directory has at most one running hub; it stops in an orderly way. The binary
//! and tests start hubs by the same function. Deliberately absent: signals and output.

use std::sync::Arc;

use anyhow::Context;
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use rollcall_store::{Store, Tx};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;

use crate::audit::export::Export;
use crate::config::{Config, split_address};
use crate::data_directory::{DataDirectory, Lock};
use crate::error::Error;
use crate::front;
use crate::hub::{Hub, Parts};
use crate::limits;
use crate::listener::{Listener, Served, join_address, tls_config};
use crate::sealing::SealingKey;
use crate::{domain_validation, password_writeback, strengthening, sweeper};

/// How to start a hub.
pub struct Options {
    /// The data directory made by `init`.
    pub data: DataDirectory,
    /// Address to listen on instead of the configured one; port 0 takes a free port.
    pub listen: Option<String>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where keys, tokens and ids come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Options {
    /// A hub on `data` with the real clock and randomness.
    #[must_use]
    pub fn new(data: DataDirectory) -> Self {
        Self {
            data,
            listen: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// A hub that serves.
pub struct RunningHub {
    /// `host:port` it listens on.
    pub address: String,
    /// The port it listens on.
    pub port: u16,
    /// The hub behind the port.
    pub hub: Arc<Hub>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningHub {
    /// Stops serving, waits for running calls and closes the database.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the server did not end in an orderly way");
        }
    }
}

/// Starts a hub. It serves from the moment this returns.
///
/// # Errors
/// When the data directory, its configuration, its database or the port cannot be used.
pub async fn start(options: Options) -> anyhow::Result<RunningHub> {
    let lock = options.data.lock()?;
    let config = Config::read(&options.data.config())?;
    let sealing_key = SealingKey::read(&options.data.sealing_key())?;
    let tls = tls_config(&options.data)?;
    let store = open_store(&options.data, &config).await?;
    let listen = options
        .listen
        .as_deref()
        .or(config.listen.as_deref())
        .unwrap_or(&config.address);
    let listener = Listener::bind(listen).await?;
    let (address, port) = (listener.address(), listener.port());
    let parts = Parts {
        store,
        clock: options.clock,
        entropy: options.entropy,
        sealing_key,
    };
    let hub = Arc::new(Hub::new(parts, &config, public_address(&config, port)?)?);
    continue_trail(&hub).await?;
    let export = match config.audit.sink() {
        Some(sink) => Some(Export::open(sink, options.data.audit_position())?),
        None => None,
    };
    let door = front::build(&hub)?;
    let stop = hub.stopping.clone();
    let jobs = TaskTracker::new();
    jobs.spawn(strengthening::run(Arc::clone(&hub), stop.clone()));
    jobs.spawn(domain_validation::run(Arc::clone(&hub), stop.clone()));
    jobs.spawn(password_writeback::run(Arc::clone(&hub), stop.clone()));
    jobs.spawn(sweeper::run(Arc::clone(&hub), stop.clone()));
    if let Some(export) = export {
        jobs.spawn(export.run(Arc::clone(&hub), stop.clone()));
    }
    let stopped = stop.clone();
    jobs.spawn(async move {
        stopped.cancelled().await;
        door.health
            .set_service_status("", ServingStatus::NotServing)
            .await;
    });
    jobs.close();
    let served = Served {
        tls,
        front: door.front,
    };
    let listening = listener.serve(served, config.limits, stop.clone());
    let serving = serve(lock, listening, jobs, hub.calls.clone());
    Ok(RunningHub {
        address,
        port,
        hub,
        task: tokio::spawn(serving),
        stop,
    })
}

async fn serve(
    lock: Lock,
    listening: impl Future<Output = ()>,
    jobs: TaskTracker,
    calls: TaskTracker,
) {
    listening.await;
    calls.close();
    let ended = async { tokio::join!(jobs.wait(), calls.wait()) };
    if tokio::time::timeout(limits::SHUTDOWN_TIMEOUT, ended)
        .await
        .is_err()
    {
        tracing::warn!("a job or a change did not end in time and is cut");
    }
    drop(lock);
}

/// The events of this start must come after those of the one before.
async fn continue_trail(hub: &Hub) -> Result<(), Error> {
    let newest = hub
        .store
        .read(async |tx: &Tx| Ok::<_, Error>(tx.find_newest_audit_event_time().await?))
        .await?;
    if let Some(newest) = newest {
        hub.audit.continue_after(newest);
    }
    Ok(())
}

/// Opens the database of a data directory.
///
/// # Errors
/// When it cannot be reached, or was written by a newer version.
pub async fn open_store(data: &DataDirectory, config: &Config) -> anyhow::Result<Store> {
    match &config.database {
        None => Store::open_sqlite(data.create_database()?)
            .await
            .with_context(|| format!("the database {} cannot be used", data.database().display())),
        Some(url) => {
            Store::open_postgres(url.to_secret().expose(), limits::DATABASE_CONNECTIONS_MAX)
                .await
                .context("the PostgreSQL database of hub.yaml cannot be used")
        }
    }
}

/// What endpoint discovery answers; a configured port 0 stands for the port in use.
fn public_address(config: &Config, port: u16) -> anyhow::Result<String> {
    let (host, configured) = split_address(&config.address)?;
    Ok(if configured == 0 {
        join_address(&host, port)
    } else {
        config.address.clone()
    })
}
