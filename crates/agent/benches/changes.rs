//! Seconds of deltas of ten and of seven percent of 100,000 people, beside the seconds `ldapsearch`
//! needs for an increment in which nothing changed. The directory and the hub are fakes, so that
//! the time is that of the agent; `cargo xtask bench delta` measures the same with real ones.
//!
//! Run with `cargo xtask bench changes`; `ROLLCALL_BENCH_OBJECTS` sets another number of people.

#![allow(clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

#[path = "../tests/support/crowd.rs"]
mod crowd;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use crowd::Crowd;
use rollcall_lab::fake_directory::{BASE_DN, FakeDirectory};

const OBJECTS: u64 = 100_000;
/// Changes of the small delta.
const FEW: u64 = 10;
/// Of a hundred people in the large delta.
const DELETED_PERCENT: u64 = 1;
const CREATED_PERCENT: u64 = 1;
const MODIFIED_PERCENT: u64 = 5;
/// Pages of one read with `ldapsearch`.
const PAGES_MAX: usize = 10_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let objects = match std::env::var("ROLLCALL_BENCH_OBJECTS") {
        Ok(number) => number.parse().context("ROLLCALL_BENCH_OBJECTS")?,
        Err(_) => OBJECTS,
    };
    let crowd = Crowd::start(objects).await?;
    println!("{objects} people, one group of {}", objects / 2);
    crowd.fill_hub();
    let program: &Path = env!("CARGO_BIN_EXE_rollcall-agent").as_ref();
    let first = crowd.run(program).await?;
    println!("  full comparison     {:8.2} s", first.seconds);

    crowd.directory.edit(|domain| {
        (0..FEW).try_for_each(|at| domain.set(domain.person(at), "title", &["Lead"]))
    })?;
    measure(&crowd, program, [FEW, 0, 0]).await?;

    let share = |percent: u64| objects * percent / 100;
    let (modified, removed) = (share(MODIFIED_PERCENT), share(DELETED_PERCENT));
    let created = share(CREATED_PERCENT);
    crowd.directory.edit(|domain| {
        let unit = domain.people()?;
        for at in 0..modified {
            domain.set(domain.person(at), "title", &["Measured"])?;
        }
        for at in modified..modified + removed {
            domain.delete(domain.person(at))?;
        }
        (0..created).try_for_each(|at| domain.add_user(&format!("new{at:06}"), unit).map(drop))
    })?;
    measure(&crowd, program, [modified, created, removed]).await
}

/// The agent after these changes (modified, created, removed), between two empty increments.
async fn measure(crowd: &Crowd, program: &Path, changes: [u64; 3]) -> anyhow::Result<()> {
    let position = increment(&crowd.directory, None)?;
    let empty = || -> anyhow::Result<f64> {
        let before = Instant::now();
        increment(&crowd.directory, Some(&position))?;
        Ok(before.elapsed().as_secs_f64())
    };
    let first = empty()?;
    let delta = crowd.run(program).await?;
    let second = empty()?;
    let summary = &delta.summary;
    println!("  delta of {} changes", changes.iter().sum::<u64>());
    println!("    empty increment   {first:8.2} s before, {second:.2} s after");
    println!("    agent             {:8.2} s", delta.seconds);
    println!("    its session       {} s", summary["seconds"]);
    println!("    peak memory       {:8} MB", delta.peak_bytes >> 20);
    println!("    users             {}", summary["users"]);
    ensure!(summary["mode"] == "delta", "{summary:#}");
    for (what, number) in ["updated", "created", "removed"].into_iter().zip(changes) {
        ensure!(summary["users"][what] == number, "{what}: {summary:#}");
    }
    Ok(())
}

/// Reads what changed since a position with `ldapsearch`; returns the next position.
fn increment(directory: &FakeDirectory, position: Option<&str>) -> anyhow::Result<String> {
    let mut position = position.map(str::to_owned);
    for _ in 0..PAGES_MAX {
        let since = position
            .as_ref()
            .map_or_else(String::new, |position| format!("/{position}"));
        let output = Command::new("ldapsearch")
            .env("LDAPTLS_CACERT", directory.ca_path())
            .args(["-x", "-L", "-o", "ldif-wrap=no", "-b", BASE_DN, "-H"])
            .args([&directory.ldaps_url(), "-D", &directory.sync_account_dn()])
            .args(["-w", directory.sync_password()])
            .args(["-E", &format!("!dirSync=0/1048576{since}")])
            .args(["(|(objectClass=user)(objectClass=group))", "name"])
            .output()
            .context("cannot start ldapsearch")?;
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let of = |start| answer.lines().rev().find_map(|l| l.strip_prefix(start));
        let next: &str = of("# cookie:: ").context("ldapsearch printed no position")?;
        position = Some(next.to_owned());
        if of("# DirSync control continueFlag=") == Some("0") {
            return Ok(next.to_owned());
        }
    }
    anyhow::bail!("more than {PAGES_MAX} pages")
}
