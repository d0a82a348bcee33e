//! `status`: how the last run ended and which items fail.
//!
//! Invariant: it reads files only, so that it works while the service runs.

use std::process::ExitCode;

use super::{Arguments, ended, show};
use crate::config::Config;
use crate::failure::Failure;
use crate::summary::RunSummary;

/// Shows the last run.
pub fn status(arguments: &Arguments, config: &Config) -> ExitCode {
    match RunSummary::load(&config.working_directory()) {
        Ok(summary) => {
            show(arguments.output, &summary, RunSummary::text);
            ExitCode::SUCCESS
        }
        Err(error) => ended(&Failure::Run(format!(
            "no run has ended yet in {} ({error})",
            config.working_directory().display()
        ))),
    }
}
