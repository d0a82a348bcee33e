//! Rollcall: administrator commands.
//!
//! Invariant: results go to standard output, everything else to standard error; the exit code says
//! what kind of failure it was. Deliberately absent: the work of the agent (opening sessions,
//! reporting, storing tokens).

mod access;
mod access_policy;
mod arguments;
mod audit;
mod connection;
mod domain;
mod endpoint;
mod failure;
mod group;
mod group_member;
mod key;
mod label;
mod ldap_settings;
mod operation;
mod organization;
mod output;
mod page;
mod password;
mod password_hash;
mod pool_policy;
mod profile;
mod progress;
mod prompt;
mod service_account;
mod session;
mod settings;
mod sign_in;
mod subject;
mod token;
mod user;
mod userpool;
mod value;

use std::alloc::System;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use zeroizing_alloc::ZeroAlloc;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Wipes what is freed: a password passes through buffers of libraries, too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("rollcall: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments::run(arguments).await
}

/// Warnings, and what `RUST_LOG` asks for, go to standard error.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
