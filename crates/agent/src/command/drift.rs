//! `drift`: both sides compared now, without writing unless repair is asked for.
//!
//! Invariant: it works while the service runs, here or elsewhere; a repair goes through the agent
//! that holds the session, its plan and its brake.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_kit::entropy::Entropy;
use serde::Serialize;

use super::resync::bring;
use super::{Arguments, ended, on_terminal, show};
use crate::config::Config;
use crate::drift::{self, Checked, DriftReport, Settle};
use crate::engine::plan::Rules;
use crate::failure::Failure;
use crate::item_error::ItemErrorFile;
use crate::resync::{Answer, OBJECTS_MAX};
use crate::run::full::Picture;
use crate::sight::Sight;
use crate::stream::Stream;

/// Looks at the directory by another agent until a change of it is in the hub for sure.
const FOLLOW_PERIODS: u32 = 2;

/// What to do about it.
#[derive(Debug, Args)]
pub struct DriftArguments {
    /// Bring the objects that differ up to date.
    #[arg(long)]
    repair: bool,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    report: DriftReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Answer>,
}

/// Compares, and repairs if asked.
pub async fn drift(
    arguments: &Arguments,
    wanted: &DriftArguments,
    config: Config,
    entropy: Arc<dyn Entropy>,
) -> ExitCode {
    let Checked { report, guids } = match compare(&config, &entropy).await {
        Ok(checked) => checked,
        Err(failure) => return ended(&failure),
    };
    let mut outcome = Outcome {
        report,
        repair: None,
    };
    let mut result = Ok(());
    if wanted.repair && !guids.is_empty() {
        if guids.len() > OBJECTS_MAX {
            result = Err(Failure::Run(format!(
                "{} objects differ, more than the {OBJECTS_MAX} that are repaired one by one; compare everything instead: stop the agent, delete index.redb in the working directory and start it again",
                guids.len()
            )));
        } else {
            let objects = guids.iter().map(ToString::to_string).collect();
            match bring(arguments, config, entropy, objects).await {
                Ok(answer) => {
                    if !answer.is_good() {
                        result = Err(Failure::Run("not everything could be repaired".into()));
                    }
                    outcome.repair = Some(answer);
                }
                Err(failure) => result = Err(failure),
            }
        }
    }
    show(arguments.output, &outcome, Outcome::text);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

async fn compare(config: &Config, entropy: &Arc<dyn Entropy>) -> Result<Checked, Failure> {
    let activity = on_terminal();
    let shown = activity.show();
    activity.begin("connecting", 0);
    let mut sight = Sight::open(config, Arc::clone(entropy)).await?;
    let picture = Picture {
        settings: &sight.settings,
        scope: &sight.scope,
        hub: &sight.hub,
        clock: &SystemClock,
        activity: &activity,
    };
    let rules = Rules {
        remove_user_behavior: sight.settings.remove_user_behavior,
        nested_groups: sight.settings.nested_groups,
        now: SystemClock.now(),
    };
    let settle = Settle::After(config.sync_settings.follow_period * FOLLOW_PERIODS);
    let failing = ItemErrorFile::of(Stream::Objects, &config.working_directory()).errors()?;
    let failing = failing.keys().map(|(guid, ..)| guid).collect();
    let checked = drift::check(&picture, &mut sight.reader, &rules, &failing, settle).await;
    drop(shown);
    checked
}

impl Outcome {
    fn text(&self) -> String {
        let mut text = self.report.text();
        if let Some(repair) = &self.repair {
            text.push_str("\nrepair:\n");
            text.push_str(&repair.text());
        }
        text
    }
}
