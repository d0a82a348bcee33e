//! `approve`: lets a refused plan pass once.
//!
//! Invariant: it approves of a plan only by the hash of what is in the file, so that a person
//! approves of what can be read there. It needs neither the hub nor the directory, and works while
//! the service runs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rollcall_kit::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

use super::{Arguments, ended, show};
use crate::config::Config;
use crate::engine::plan::PlanHash;
use crate::failure::Failure;
use crate::progress::{Change, ObjectType};
use crate::refused_plan::{Approval, PlanFiles, hash_file};
use crate::stream::Stream;

/// Which plan.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The plan's hash, or at least its first 12 digits.
    hash: String,
    /// A plan that a dry run wrote, in place of the refused one.
    #[arg(long)]
    plan: Option<PathBuf>,
}

/// What was approved.
#[derive(Debug, Serialize)]
struct Approved {
    #[serde(flatten)]
    approval: Approval,
    steps: BTreeMap<String, usize>,
}

/// Reads of a step only what is counted.
#[derive(Debug, Deserialize)]
struct Kind {
    object: ObjectType,
    change: Change,
}

/// Approves.
pub fn approve(arguments: &Arguments, wanted: &Approve, config: &Config) -> ExitCode {
    match try_approve(wanted, &config.working_directory()) {
        Ok(approved) => {
            show(arguments.output, &approved, text);
            ExitCode::SUCCESS
        }
        Err(failure) => ended(&failure),
    }
}

fn try_approve(wanted: &Approve, directory: &Path) -> Result<Approved, Failure> {
    let (files, path, hash) = meant(wanted, directory)?;
    let steps = steps(&path).map_err(|error| unreadable(&path, &error))?;
    let approval = Approval {
        hash: hash.to_string(),
        approved_at: SystemClock.now().to_string(),
    };
    files
        .approve(&approval)
        .map_err(|error| Failure::run("cannot write the approval", &error))?;
    Ok(Approved { approval, steps })
}

/// The plan that is meant: of either stream, or, if a file is given, what that one would do with the
/// objects.
fn meant(wanted: &Approve, directory: &Path) -> Result<(PlanFiles, PathBuf, PlanHash), Failure> {
    let candidates: Vec<(PlanFiles, PathBuf)> = match &wanted.plan {
        Some(path) => vec![(PlanFiles::of(Stream::Objects, directory), path.clone())],
        None => [Stream::Objects, Stream::AccountState]
            .map(|stream| PlanFiles::of(stream, directory))
            .map(|files| (files.clone(), files.refused_path()))
            .into(),
    };
    let mut others = Vec::new();
    let mut absent = Vec::new();
    for (files, path) in candidates {
        let hash = match hash_file(&path) {
            Ok(hash) => hash,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                absent.push(path.display().to_string());
                continue;
            }
            Err(error) => return Err(unreadable(&path, &error)),
        };
        match hash.is_meant_by(&wanted.hash) {
            Ok(true) => return Ok((files, path, hash)),
            Ok(false) => others.push(format!("{}, whose hash is {hash}", path.display())),
            Err(error) => return Err(Failure::Run(format!("{:?} is {error}", wanted.hash))),
        }
    }
    if others.is_empty() {
        return Err(Failure::Run(format!(
            "there is no refused plan: no {}",
            absent.join(" and no ")
        )));
    }
    Err(Failure::Run(format!(
        "{} is not the plan in {}; read the plan before you approve of it",
        wanted.hash,
        others.join(", nor in ")
    )))
}

fn steps(path: &Path) -> std::io::Result<BTreeMap<String, usize>> {
    let mut steps = BTreeMap::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let Kind { object, change } = serde_json::from_str(&line?)?;
        let name = format!("{} {}", object.name(), change.name());
        *steps.entry(name).or_default() += 1;
    }
    Ok(steps)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::run(
        &format!("cannot read the plan in {}", path.display()),
        error,
    )
}

fn text(approved: &Approved) -> String {
    let steps: Vec<String> = approved
        .steps
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    format!(
        "plan {} is approved ({}); the next run whose plan is exactly this one carries it out",
        approved.approval.hash,
        steps.join(", ")
    )
}
