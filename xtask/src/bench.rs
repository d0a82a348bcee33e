//! Measurements, each beside a bare baseline taken in the same run.
//!
//! Invariant: nothing here fails because something was slow; a neighbour on the machine halves any
//! figure, so only ratios are worth comparing.

mod delta;
mod unit;

use std::time::Instant;

use rollcall_lab::packages::{self, Consent, Need};

use crate::demo::stage::{self, Stage};
use crate::shell;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of people in the domain of the full run
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    /// Number of groups
    #[arg(long, default_value_t = 500)]
    groups: u32,
    /// Number of memberships over all groups
    #[arg(long, default_value_t = 100_000)]
    memberships: u32,
    /// Measure only what this word is part of: `progress`, `sign-in`, `strengthening`, `full-run`,
    /// `delta`, `memory`, `groups`, `changes`, `shutdown`, `unit`, `drsuapi`
    filter: Option<String>,
    /// Cargo profile the programs are built with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
}

/// Runs the measurements and prints them.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = |name: &str| {
        arguments
            .filter
            .as_deref()
            .is_none_or(|word| name.contains(word))
    };
    for (word, package, bench) in [
        ("progress", "rollcall-hub", "report_session_progress"),
        ("memory", "rollcall-agent", "memory"),
        ("groups", "rollcall-agent", "groups"),
        ("changes", "rollcall-agent", "changes"),
        ("shutdown", "rollcall-agent", "shutdown"),
    ] {
        if wanted(word) {
            let mut command = shell::cargo();
            command.args(["bench", "--locked", "--profile", &arguments.profile]);
            shell::run(command.args(["--package", package, "--bench", bench]))?;
        }
    }
    for word in ["sign-in", "strengthening"] {
        if wanted(word) {
            let mut command = shell::cargo();
            command.args(["bench", "--locked", "--profile", &arguments.profile]);
            command.args([
                "--package",
                "rollcall-hub",
                "--bench",
                "sign_in",
                "--",
                word,
            ]);
            shell::run(&mut command)?;
        }
    }
    let with_domain = ["full-run", "delta", "unit", "drsuapi"];
    if with_domain.into_iter().any(wanted) {
        let consent = if arguments.yes {
            Consent::Given
        } else {
            Consent::Ask
        };
        packages::install(&[Need::Samba, Need::LdapUtils], consent)?;
    }
    if wanted("drsuapi") {
        drsuapi(arguments)?;
    }
    let size = stage::Size {
        users: arguments.users,
        groups: arguments.groups,
        memberships: arguments.memberships,
    };
    if wanted("full-run") {
        full_run(&arguments.profile, &size)?;
    }
    if wanted("delta") {
        delta::run(&arguments.profile, &size)?;
    }
    if wanted("unit") {
        unit::run(&arguments.profile, &size)?;
    }
    Ok(())
}

/// Seconds of a sweep over all password hashes beside Samba's own client.
fn drsuapi(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = shell::cargo();
    command
        .args(["bench", "--locked", "--profile", &arguments.profile])
        .args(["--package", "rollcall-directory", "--bench", "replication"])
        .env("ROLLCALL_BENCH_USERS", arguments.users.to_string())
        .env("ROLLCALL_BENCH_GROUPS", arguments.groups.to_string());
    let memberships = arguments.memberships.to_string();
    shell::run(command.env("ROLLCALL_BENCH_MEMBERSHIPS", memberships))
}

/// Seconds of a first full run beside the seconds `ldapsearch` needs to dump the same objects.
#[allow(clippy::disallowed_methods)] // a measurement reads the clock
fn full_run(profile: &str, size: &stage::Size) -> anyhow::Result<()> {
    let stage = Stage::set(profile, size)?;
    let before = Instant::now();
    let ldif = stage.dump_directory()?;
    let dump_seconds = before.elapsed().as_secs_f64();
    let before = Instant::now();
    let summary = stage.run_agent_once()?;
    let run_seconds = before.elapsed().as_secs_f64();
    let before = Instant::now();
    stage.dump_directory()?;
    let dump_again_seconds = before.elapsed().as_secs_f64();
    println!("full run of {size:?}, {} bytes of LDIF", ldif.len());
    println!("  ldapsearch before   {dump_seconds:8.2} s");
    println!("  ldapsearch after    {dump_again_seconds:8.2} s");
    println!("  agent, full run     {run_seconds:8.2} s");
    println!(
        "  ratio               {:8.1}",
        run_seconds / dump_seconds.min(dump_again_seconds)
    );
    for key in [
        "objects_read",
        "users",
        "groups",
        "memberships",
        "failed_items_count",
        "seconds",
    ] {
        println!(
            "  {key:19} {}",
            summary.get(key).unwrap_or(&serde_json::Value::Null)
        );
    }
    Ok(())
}
