//! The brake on removals in a session: judged before the first write, refused plans written down,
//! approved ones let through once (decisions U110, U124).
//!
//! Invariant: whatever passes is counted on disk before it is written to the hub, so that it counts
//! in the sessions of the next day and in the other stream; what a person approved of does not.
//! Deliberately absent: what a plan takes away (`crate::engine::guard`).

use rollcall_kit::timestamp::Timestamp;

use crate::agent::Agent;
use crate::engine::Guid;
use crate::engine::guard::{self, Approved, Limit, Removals, TooManyRemovals};
use crate::engine::plan::{PlanHash, Step};
use crate::failure::Failure;
use crate::refused_plan::{PlanFiles, RefusedPlan};
use crate::removal_file::RemovalFile;
use crate::stream::Stream;

/// Characters of the hash of another plan in a message.
const SHORT_HASH_CHARACTERS: usize = 12;

/// The brake of one session.
#[derive(Debug)]
pub struct Brake<'a> {
    limit: Limit,
    removed: &'a RemovalFile,
    approved: Approved,
    files: PlanFiles,
    refused: Option<RefusedPlan>,
}

/// What lets a plan pass.
#[derive(Debug)]
pub struct Pass {
    removals: Removals,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It takes away no more than it may, or no more than was approved before.
    WithinLimits,
    /// A person approved of it.
    Approved,
}

impl<'a> Brake<'a> {
    /// A brake for a session of `stream`.
    #[must_use]
    pub fn new(agent: &'a Agent, stream: Stream) -> Self {
        Self {
            limit: agent.limit(),
            removed: &agent.removals,
            approved: Approved::default(),
            files: PlanFiles::of(stream, &agent.directory),
            refused: None,
        }
    }

    /// The plan that was refused last.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedPlan> {
        self.refused.as_ref()
    }

    /// Whether a plan that takes this away may pass without anybody's approval.
    ///
    /// # Errors
    /// [`TooManyRemovals`].
    pub fn check(
        &self,
        removals: Removals,
        now: Timestamp,
        name: impl Fn(Guid) -> String,
    ) -> Result<Pass, TooManyRemovals> {
        let removals = self.approved.rest(removals);
        let verdict = self.removed.with(now, |before| {
            guard::check(&removals, self.limit, before, name)
        });
        verdict.map(|()| Pass {
            removals,
            reason: Reason::WithinLimits,
        })
    }

    /// Writes a plan down that is refused, unless it is the one that was approved of.
    ///
    /// # Errors
    /// [`Failure`] with the way to approve of it.
    pub fn refuse<'s>(
        &mut self,
        removals: Removals,
        steps: impl IntoIterator<Item = Step<'s>>,
        why: &TooManyRemovals,
    ) -> Result<Pass, Failure> {
        let kept = self.files.keep(steps);
        let approval = self.files.approval();
        let (hash, approval) = match (kept, approval) {
            (Ok(hash), Ok(approval)) => (hash, approval),
            (Err(error), _) | (_, Err(error)) => return Err(self.broken(&error)),
        };
        let other = match approval {
            Some(approval) if PlanHash::parse(&approval.hash) == Some(hash) => {
                tracing::warn!(plan = %hash, "an approved plan passes the limits: {why}");
                return Ok(Pass {
                    removals,
                    reason: Reason::Approved,
                });
            }
            Some(approval) => Some(approval.hash),
            None => None,
        };
        let file = self.files.refused_path();
        tracing::error!(plan = %hash, file = %file.display(), "the plan is refused: {why}");
        self.refused = Some(RefusedPlan {
            hash: hash.to_string(),
            file,
        });
        Err(Failure::Run(self.message(hash, why, other.as_deref())))
    }

    /// The plan is about to be written.
    ///
    /// # Errors
    /// [`Failure`] when that cannot be noted; nothing may be written then.
    pub fn begin(&mut self, pass: &Pass, now: Timestamp) -> Result<(), Failure> {
        let noted = match pass.reason {
            Reason::WithinLimits => {
                self.removed.take(pass.removals.losses(self.limit, now))?;
                self.files.clear()
            }
            Reason::Approved => {
                self.approved.add(&pass.removals);
                self.files.use_up()
            }
        };
        noted.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &std::io::Error) -> Failure {
        let path = self.files.refused_path();
        Failure::run(
            &format!("cannot keep the refused plan in {}", path.display()),
            error,
        )
    }

    fn message(&self, hash: PlanHash, why: &TooManyRemovals, other: Option<&str>) -> String {
        let other = other.map_or_else(String::new, |other| {
            let short: String = other.chars().take(SHORT_HASH_CHARACTERS).collect();
            format!(" The approval of plan {short} does not count: this is another plan.")
        });
        format!(
            "{}; nothing was changed by this plan. If it is intended: rollcall-agent approve {hash}, or raise safety.max_removals for one run.{other} Every step is in {}. Among them: {}",
            why.headline(),
            self.files.refused_path().display(),
            why.examples(),
        )
    }
}
