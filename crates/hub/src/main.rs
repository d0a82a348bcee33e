//! `rollcall-hub`: the program.

use std::alloc::System;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use rollcall_hub::data_directory::DataDirectory;
use rollcall_hub::init::{self, Made};
use rollcall_hub::server::{self, Options};
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use zeroizing_alloc::ZeroAlloc;

const EXIT_RUN: u8 = 1;

/// Logs statements with their parameters, what is stored of passwords among them.
const SILENCED: &str = "tokio_postgres";

/// Wipes what is freed: a password passes through buffers of libraries, too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// The Rollcall identity hub.
#[derive(Parser)]
#[command(name = "rollcall-hub", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a data directory: keys, certificates, database, organization, administrator.
    Init {
        /// The directory to make.
        #[arg(long)]
        data: PathBuf,
        /// Display name of the organization.
        #[arg(long)]
        organization: String,
        /// Public address HOST:PORT, as clients will use it.
        #[arg(long)]
        address: String,
        /// PostgreSQL database postgres://… instead of the embedded one.
        #[arg(long, env = "ROLLCALL_HUB_DATABASE", hide_env_values = true)]
        database: Option<String>,
        /// Form of the output.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Serve gRPC and REST.
    Serve {
        /// The directory that `init` made.
        #[arg(long)]
        data: PathBuf,
        /// Address HOST:PORT to listen on instead of the configured one; port 0 takes a free one.
        #[arg(long)]
        listen: Option<String>,
        /// Form of log lines.
        #[arg(long, value_enum, default_value_t = LogFormat::Plain)]
        log_format: LogFormat,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Plain,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-hub: {error:#}");
            ExitCode::from(EXIT_RUN)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    forbid_core_dumps()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Init {
                data,
                organization,
                address,
                database,
                output,
            } => {
                let request = init::Request {
                    data,
                    organization,
                    address,
                    database,
                };
                let made = init::init(request, &SystemClock, &SystemEntropy).await?;
                print_made(&made, output)
            }
            Command::Serve {
                data,
                listen,
                log_format,
            } => {
                start_log(log_format);
                serve(data, listen).await
            }
        }
    })
}

/// A core file would hold keys and passwords. The limit alone is not enough: a program that takes
/// core files (core(5), `core_pattern` with a pipe) is started whatever the limit is.
fn forbid_core_dumps() -> anyhow::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

async fn serve(data: PathBuf, listen: Option<String>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut options = Options::new(DataDirectory::at(&data));
    options.listen = listen;
    let running = server::start(options).await?;
    println!("rollcall-hub is ready on {}", running.address);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    running.stop().await;
    Ok(())
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("ROLLCALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Plain => log.finish().with(filter_fn(may_be_logged)).init(),
        LogFormat::Json => log.json().finish().with(filter_fn(may_be_logged)).init(),
    }
}

/// Whether this may be logged, whatever is asked for.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !metadata.target().starts_with(SILENCED)
}

fn print_made(made: &Made, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        println!("{}", serde_json::to_string(made)?);
        return Ok(());
    }
    let data = made.ca.parent().unwrap_or(&made.ca).display();
    println!("Organization {} is made.", made.organization_id);
    println!();
    println!("Start the hub:       rollcall-hub serve --data {data}");
    println!("Address for clients: {}", made.address);
    println!("Certificate to trust: {}", made.ca.display());
    println!("Administrator's key:  {}", made.key.display());
    println!();
    println!("The key opens everything in this organization: keep it secret.");
    Ok(())
}
