//! The agent's program: command line, signals, exit codes.
//!
//! Invariant: a signal ends it within ten seconds in every phase (decision U118), and standard
//! output carries nothing but JSON when JSON was asked for.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::MultiProgress;
use rollcall_agent::activity::{Activity, Show};
use rollcall_agent::agent::Agent;
use rollcall_agent::check;
use rollcall_agent::config::Config;
use rollcall_agent::failure::Failure;
use rollcall_agent::follow::follow;
use rollcall_agent::hub::Patience;
use rollcall_agent::logger::{self, Console};
use rollcall_agent::once::once;
use rollcall_agent::session::Urgency;
use rollcall_agent::summary::RunSummary;
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::entropy::{Entropy, SystemEntropy};
use tokio_util::sync::CancellationToken;

const CONFIG_DEFAULT: &str = "/etc/rollcall-agent/config.yaml";
/// From the signal to the end of the process.
const SHUTDOWN_MAX: Duration = Duration::from_secs(9);

/// Keeps a hub in step with a directory.
#[derive(Debug, Parser)]
#[command(name = "rollcall-agent", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = CONFIG_DEFAULT, global = true)]
    config: PathBuf,
    /// Run once, then end. Without it the agent follows the directory until it is stopped.
    #[arg(long, conflicts_with = "check")]
    once: bool,
    /// Do not wait until the next run is due: with --once for the run, else for the first session.
    #[arg(long, conflicts_with = "check")]
    now: bool,
    /// Try everything a run needs, explain what is wrong, change nothing.
    #[arg(long)]
    check: bool,
    /// Form of the result on standard output.
    #[arg(short, long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows how the last run ended and which items fail.
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return ended(&Failure::Run(format!("cannot start: {error}"))),
    };
    let code = runtime.block_on(run(&arguments));
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

async fn run(arguments: &Arguments) -> ExitCode {
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
    if matches!(arguments.command, Some(Command::Status)) {
        return status(arguments, &config);
    }
    if arguments.check {
        let findings = check::check(&config, &arguments.config, &SystemClock, &entropy).await;
        return show_findings(arguments, &findings);
    }
    let bars = MultiProgress::new();
    let console = match arguments.output {
        Output::Json => Console::Stderr,
        Output::Text => Console::Stdout,
    };
    if let Err(failure) = logger::start(&config, console, &bars) {
        return ended(&failure);
    }
    let show = if std::io::stderr().is_terminal() && config.logger.file.is_none() {
        Show::Bar
    } else {
        Show::Log
    };
    let stop = CancellationToken::new();
    if let Err(error) = end_on_signals(&stop) {
        return ended(&Failure::Run(format!("cannot watch for signals: {error}")));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let activity = Activity::new(show, &bars);
    let patience = if arguments.once {
        Patience::GiveUp
    } else {
        Patience::Wait
    };
    let path = &arguments.config;
    let agent = Agent::new(config, path, clock, entropy, activity, stop, patience).await;
    match agent {
        Ok(agent) => work(arguments, &agent).await,
        Err(Failure::Stopped) if !arguments.once => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

async fn work(arguments: &Arguments, agent: &Agent) -> ExitCode {
    let urgency = if arguments.now {
        Urgency::Now
    } else {
        Urgency::WhenDue
    };
    if !arguments.once {
        return match follow(agent, urgency).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => ended(&failure),
        };
    }
    let (summary, result) = once(agent, urgency).await;
    show_summary(arguments, &summary);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

fn status(arguments: &Arguments, config: &Config) -> ExitCode {
    match RunSummary::load(&config.working_directory()) {
        Ok(summary) => {
            show_summary(arguments, &summary);
            ExitCode::SUCCESS
        }
        Err(error) => ended(&Failure::Run(format!(
            "no run has ended yet in {} ({error})",
            config.working_directory().display()
        ))),
    }
}

fn show_summary(arguments: &Arguments, summary: &RunSummary) {
    print(match arguments.output {
        Output::Text => summary.text(),
        Output::Json => serde_json::to_string(summary).unwrap_or_default(),
    });
}

fn show_findings(arguments: &Arguments, findings: &check::Findings) -> ExitCode {
    print(match arguments.output {
        Output::Text => findings.text(),
        Output::Json => serde_json::to_string(findings).unwrap_or_default(),
    });
    ExitCode::from(findings.exit_code())
}

/// Writes a line; a reader that went away is no error.
fn print(line: String) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn ended(failure: &Failure) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "rollcall-agent: {failure}");
    ExitCode::from(failure.exit_code())
}

/// Cancels `stop` on the first signal and ends the process when that takes too long.
#[cfg(unix)]
fn end_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        end_soon(&stop).await;
    });
    Ok(())
}

/// Cancels `stop` on Ctrl+C and ends the process when that takes too long.
#[cfg(not(unix))]
fn end_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        end_soon(&stop).await;
    });
    Ok(())
}

async fn end_soon(stop: &CancellationToken) {
    tracing::info!("asked to stop");
    stop.cancel();
    tokio::time::sleep(SHUTDOWN_MAX).await;
    tracing::error!("did not stop in time; the session will expire by itself");
    std::process::exit(1);
}
