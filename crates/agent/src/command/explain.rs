//! `explain`: one object on both sides.
//!
//! Invariant: read-only, and it works while the service runs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_kit::entropy::Entropy;

use super::{Arguments, ended, show};
use crate::config::Config;
use crate::explain::{self, Explanation};
use crate::failure::Failure;
use crate::item_error::ItemErrorFile;
use crate::sight::Sight;

/// Which object.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// DN, objectGUID, userPrincipalName or sAMAccountName.
    object: String,
}

/// Shows it.
pub async fn explain(
    arguments: &Arguments,
    wanted: &ExplainArguments,
    config: &Config,
    entropy: Arc<dyn Entropy>,
) -> ExitCode {
    match look(&wanted.object, config, entropy).await {
        Ok(explanation) => {
            show(arguments.output, &explanation, Explanation::text);
            ExitCode::SUCCESS
        }
        Err(failure) => ended(&failure),
    }
}

async fn look(
    object: &str,
    config: &Config,
    entropy: Arc<dyn Entropy>,
) -> Result<Explanation, Failure> {
    let failed = ItemErrorFile::load_all(&config.working_directory());
    let failed = failed.map_err(|error| Failure::run("the failed items cannot be read", &error))?;
    let mut sight = Sight::open(config, entropy).await?;
    explain::explain(&mut sight, object, failed, SystemClock.now()).await
}
