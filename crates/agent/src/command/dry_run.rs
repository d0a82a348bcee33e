//! A dry run from the command line.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::MultiProgress;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::Entropy;
use tokio_util::sync::CancellationToken;

use super::signal::end_on_signals;
use super::{Arguments, Output, ended, show};
use crate::activity::{Activity, Show};
use crate::config::Config;
use crate::dry_run::{DryRun, DryRunReport, PlanOutput};
use crate::failure::Failure;
use crate::logger::{self, Console};

/// The name of standard output where a file is asked for.
const STDOUT: &str = "-";

/// Works out what a run would do, shows it and ends.
pub async fn dry_run(arguments: &Arguments, config: Config, entropy: Arc<dyn Entropy>) -> ExitCode {
    match try_dry_run(arguments, config, entropy).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => ended(&failure),
    }
}

/// Whether a run would do all of it.
async fn try_dry_run(
    arguments: &Arguments,
    config: Config,
    entropy: Arc<dyn Entropy>,
) -> Result<bool, Failure> {
    let output = match &arguments.plan {
        None => PlanOutput::Nowhere,
        Some(path) if path == Path::new(STDOUT) => PlanOutput::Stdout,
        Some(path) => PlanOutput::File(path.clone()),
    };
    let result_has_stdout = output != PlanOutput::Stdout;
    if arguments.output == Output::Json && !result_has_stdout {
        return Err(Failure::Config(
            "--plan -: the plan and the result cannot both go to standard output; give a file"
                .into(),
        ));
    }
    let bars = MultiProgress::new();
    let console = match arguments.output {
        Output::Text if result_has_stdout => Console::Stdout,
        Output::Text | Output::Json => Console::Stderr,
    };
    logger::start(&config, console, &bars)?;
    let stop = CancellationToken::new();
    end_on_signals(&stop).map_err(|error| Failure::run("cannot watch for signals", &error))?;
    let run = DryRun {
        config,
        config_path: arguments.config.clone(),
        output,
        clock: Arc::new(SystemClock),
        entropy,
        activity: Activity::new(Show::Log, &bars),
        stop,
    };
    let report = run.go().await?;
    report.log();
    if result_has_stdout {
        show(arguments.output, &report, DryRunReport::text);
    }
    Ok(report.is_clean())
}
