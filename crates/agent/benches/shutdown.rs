//! Seconds from SIGTERM to the end of the agent in each long phase of a run with a million objects
//! (decision U118: at most ten).
//!
//! Run with `cargo xtask bench shutdown`; `ROLLCALL_BENCH_OBJECTS` sets another number of people.

#![allow(clippy::disallowed_methods, missing_docs)]

#[path = "../tests/support/crowd.rs"]
mod crowd;

use std::path::Path;

use anyhow::{Context, ensure};
use crowd::Crowd;

const OBJECTS: u64 = 1_000_000;
/// The phases of a full comparison, in their order, as the log calls them.
const PHASES: [&str; 4] = [
    "reading the directory and the hub",
    "working out what has to change",
    "writing to the hub",
    "storing the index",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let objects = match std::env::var("ROLLCALL_BENCH_OBJECTS") {
        Ok(number) => number.parse().context("ROLLCALL_BENCH_OBJECTS")?,
        Err(_) => OBJECTS,
    };
    let program: &Path = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    let crowd = Crowd::start(objects).await?;
    println!("{objects} people, one group of {}", objects / 2);
    for phase in PHASES {
        if phase == "writing to the hub" {
            crowd.hub.empty();
        } else {
            crowd.hub.forget_token();
            crowd.fill_hub();
        }
        match crowd.stop(program, phase).await? {
            None => println!("  {phase:34} too short to be met"),
            Some(stopped) => {
                println!("  {phase:34} {:6.2} s, {}", stopped.seconds, stopped.status);
                let summary = &stopped.summary;
                ensure!(summary["outcome"] == "stopped", "{phase}: {summary:#}");
            }
        }
    }
    Ok(())
}
