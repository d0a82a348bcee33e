//! `status`: what the agent is doing, how the last runs ended and which items fail.
//!
//! Invariant: it reads files only, so that it works while the service runs.

use std::process::ExitCode;

use clap::Args;
use rollcall_kit::clock::{Clock as _, SystemClock};
use serde::Serialize;

use super::{Arguments, ended, show};
use crate::condition::Condition;
use crate::config::Config;
use crate::failure::Failure;
use crate::item_error::{ItemError, ItemErrorFile};
use crate::progress::ObjectType;

/// Failed items that are listed unless another number is asked for.
const LIMIT_DEFAULT: usize = 20;

/// What of the failed items to show.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Only failed items of this kind.
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<ObjectType>,
    /// Only failed items whose name, identifier or reason contains this text.
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// How many failed items to list; 0 = all of them.
    #[arg(long, default_value_t = LIMIT_DEFAULT, value_name = "NUMBER")]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    condition: Condition,
    failed_items_count: usize,
    /// How many of them are as asked for.
    matching_count: usize,
    failed_items: Vec<ItemError>,
}

/// Shows it.
pub fn status(arguments: &Arguments, wanted: &StatusArguments, config: &Config) -> ExitCode {
    let directory = config.working_directory();
    let condition = match Condition::load(&directory) {
        Ok(condition) => condition,
        Err(error) => {
            return ended(&Failure::Run(format!(
                "no agent has worked yet in {} ({error})",
                directory.display()
            )));
        }
    };
    let items = match ItemErrorFile::load_all(&directory) {
        Ok(items) => items,
        Err(error) => return ended(&Failure::run("the failed items cannot be read", &error)),
    };
    let failed_items_count = items.len();
    let mut failed_items: Vec<ItemError> = items
        .into_iter()
        .filter(|item| wanted.matches(item))
        .collect();
    let matching_count = failed_items.len();
    if wanted.limit > 0 {
        failed_items.truncate(wanted.limit);
    }
    let shown = Shown {
        condition,
        failed_items_count,
        matching_count,
        failed_items,
    };
    show(arguments.output, &shown, Shown::text);
    ExitCode::SUCCESS
}

impl StatusArguments {
    fn matches(&self, item: &ItemError) -> bool {
        let text = self.contains.as_deref().unwrap_or_default().to_lowercase();
        let texts = [&item.object, &item.external_id, &item.reason];
        self.kind.is_none_or(|kind| kind == item.object_type)
            && texts.iter().any(|at| at.to_lowercase().contains(&text))
    }
}

impl Shown {
    fn text(&self) -> String {
        let mut lines = vec![
            self.condition.text(SystemClock.now()),
            format!("failed items: {}", self.failed_items_count),
        ];
        lines.extend(self.failed_items.iter().map(ItemError::text));
        let more = self.matching_count - self.failed_items.len();
        if more > 0 {
            lines.push(format!("and {more} more (--limit 0 lists all)"));
        }
        lines.join("\n")
    }
}
