//! Peak memory of the agent with a million objects and a group of half a million members (AT-19):
//! a full comparison with a hub that has everything, a delta of ten changes, and a first full run
//! into an empty hub.
//!
//! Run with `cargo xtask bench memory`. `ROLLCALL_BENCH_OBJECTS` sets another number of people,
//! `ROLLCALL_BENCH_AGENT` another program.

#![allow(clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

#[path = "../tests/support/crowd.rs"]
mod crowd;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use crowd::{Crowd, Measured};

const OBJECTS: u64 = 1_000_000;
/// The agent's process may never need more (AT-19).
const PEAK_BYTES_MAX: u64 = 512 << 20;
/// People who change before the delta.
const CHANGES: u64 = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let objects = match std::env::var("ROLLCALL_BENCH_OBJECTS") {
        Ok(number) => number.parse().context("ROLLCALL_BENCH_OBJECTS")?,
        Err(_) => OBJECTS,
    };
    let program = std::env::var_os("ROLLCALL_BENCH_AGENT");
    let program: PathBuf = program
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_rollcall-agent").into())
        .into();
    let crowd = Crowd::start(objects).await?;
    println!("{objects} people, one group of {}", objects / 2);
    crowd.fill_hub();
    let full = crowd.run(&program).await?;
    print("full comparison", &full)?;
    let summary = &full.summary;
    ensure!(summary["mode"] == "full", "{summary:#}");
    ensure!(summary["users"]["created"] == 0, "{summary:#}");
    ensure!(summary["memberships"]["created"] == 0, "{summary:#}");

    crowd.directory.edit(|domain| {
        (0..CHANGES).try_for_each(|at| domain.set(domain.person(at), "title", &["Lead"]))
    })?;
    let delta = crowd.run(&program).await?;
    print("delta of ten changes", &delta)?;
    let summary = &delta.summary;
    ensure!(summary["mode"] == "delta", "{summary:#}");
    ensure!(summary["users"]["updated"] == CHANGES, "{summary:#}");

    crowd.hub.empty();
    let first = crowd.run(&program).await?;
    print("first full run", &first)?;
    let summary = &first.summary;
    ensure!(summary["users"]["created"] == objects, "{summary:#}");
    ensure!(
        summary["memberships"]["created"] == objects / 2,
        "{summary:#}"
    );
    Ok(())
}

fn print(what: &str, measured: &Measured) -> anyhow::Result<()> {
    let megabytes = measured.peak_bytes >> 20;
    println!(
        "  {what:22} {megabytes:5} MB at most, {:7.1} s, {} objects read",
        measured.seconds, measured.summary["objects_read"]
    );
    ensure!(measured.peak_bytes <= PEAK_BYTES_MAX, "more than 512 MB");
    Ok(())
}
