//! The command line: what can be asked of the program, and where each request goes.
//!
//! Invariant: standard output carries the result and nothing else, as JSON when JSON was asked
//! for; why something failed goes to standard error; the exit code tells scripts (decision U116).

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::MultiProgress;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use serde::Serialize;

use crate::activity::{Activity, Show};
use crate::check;
use crate::config::Config;
use crate::failure::Failure;

mod approve;
mod drift;
mod dry_run;
mod explain;
mod resync;
mod signal;
mod status;
mod work;

const CONFIG_DEFAULT: &str = "/etc/rollcall-agent/config.yaml";

/// Keeps a hub in step with a directory.
#[derive(Debug, Parser)]
#[command(name = "rollcall-agent", version)]
pub struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = CONFIG_DEFAULT, global = true)]
    pub config: PathBuf,
    /// Run once, then end. Without it the agent follows the directory until it is stopped.
    #[arg(long, conflicts_with = "check")]
    pub once: bool,
    /// Do not wait until the next run is due: with --once for the run, else for the first session.
    #[arg(long, conflicts_with = "check")]
    pub now: bool,
    /// Try everything a run needs, explain what is wrong, change nothing.
    #[arg(long)]
    pub check: bool,
    /// Work out what a run would do, try it in simulation, change nothing, then end.
    #[arg(long, conflicts_with_all = ["check", "once", "now"])]
    pub dry_run: bool,
    /// In a dry run: write the exact plan as JSON lines to this file; - is standard output.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Form of the result on standard output.
    #[arg(short, long, value_enum, default_value_t = Output::Text, global = true)]
    pub output: Output,
    /// Something else than a run.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Something else than a run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what the agent is doing, how the last runs ended and which items fail.
    Status(status::StatusArguments),
    /// Shows one object on both sides, and why it is or is not synchronized; changes nothing.
    Explain(explain::ExplainArguments),
    /// Brings single objects up to date now, whatever is known about them.
    Resync(resync::ResyncArguments),
    /// Compares both sides now and shows what differs; changes nothing without --repair.
    Drift(drift::DriftArguments),
    /// Lets a plan that was refused because it removes too much pass once.
    Approve(approve::Approve),
}

/// Form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Does what was asked for.
pub async fn run(arguments: &Arguments) -> ExitCode {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) if arguments.check => {
            let mut findings = check::Findings::default();
            findings.bad("configuration", &Failure::from(error));
            return show_findings(arguments, &findings);
        }
        Err(error) => return ended(&Failure::from(error)),
    };
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    if arguments.check {
        let findings = check::check(&config, &arguments.config, &SystemClock, &entropy).await;
        return show_findings(arguments, &findings);
    }
    match &arguments.command {
        Some(Command::Status(wanted)) => status::status(arguments, wanted, &config),
        Some(Command::Explain(wanted)) => {
            explain::explain(arguments, wanted, &config, entropy).await
        }
        Some(Command::Resync(wanted)) => {
            resync::resync(arguments, wanted.clone(), config, entropy).await
        }
        Some(Command::Drift(wanted)) => drift::drift(arguments, wanted, config, entropy).await,
        Some(Command::Approve(wanted)) => approve::approve(arguments, wanted, &config),
        None if arguments.dry_run || config.dry_run.enabled => {
            dry_run::dry_run(arguments, config, entropy).await
        }
        None if arguments.plan.is_some() => ended(&Failure::Config(
            "--plan: only a dry run writes its plan; add --dry-run".into(),
        )),
        None => work::work(arguments, config, entropy).await,
    }
}

/// Says why the program ends; the exit code that goes with it.
pub fn ended(failure: &Failure) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "rollcall-agent: {failure}");
    ExitCode::from(failure.exit_code())
}

fn show_findings(arguments: &Arguments, findings: &check::Findings) -> ExitCode {
    show(arguments.output, findings, check::Findings::text);
    ExitCode::from(findings.exit_code())
}

/// What a command is doing, on a terminal only.
fn on_terminal() -> Activity {
    let bars = MultiProgress::new();
    if std::io::stderr().is_terminal() {
        Activity::new(Show::Bar, &bars)
    } else {
        Activity::new(Show::Log, &bars)
    }
}

/// Writes a result in the form that was asked for; a reader that went away is no error.
fn show<T: Serialize>(output: Output, result: &T, text: impl FnOnce(&T) -> String) {
    let line = match output {
        Output::Text => text(result),
        Output::Json => serde_json::to_string(result).unwrap_or_default(),
    };
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
