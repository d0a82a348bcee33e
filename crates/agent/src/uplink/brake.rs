//! The brake on removals around a plan: judged before the first write, refused plans written down,
//! approved ones let through once (decisions U110, U124).

use super::Work;
use crate::engine::guard::{self, Limit, Removals, Removed, TooManyRemovals};
use crate::engine::index::Index;
use crate::engine::plan::{Plan, PlanHash, Steps};
use crate::failure::Failure;
use crate::hub;
use crate::refused_plan::{PlanFiles, RefusedPlan};

/// Characters of the hash of another plan in a message.
const SHORT_HASH_CHARACTERS: usize = 12;

/// The brake of one session.
#[derive(Debug)]
pub struct Brake {
    limit: Limit,
    removed: Removed,
    files: PlanFiles,
    refused: Option<RefusedPlan>,
}

/// What lets a plan pass.
#[derive(Debug)]
pub(super) struct Pass {
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

impl Brake {
    /// A brake for a session that has not removed anything yet.
    #[must_use]
    pub fn new(limit: Limit, files: PlanFiles) -> Self {
        Self {
            limit,
            removed: Removed::default(),
            files,
            refused: None,
        }
    }

    /// The plan that was refused last.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedPlan> {
        self.refused.as_ref()
    }

    /// The plan is about to be written.
    pub(super) fn begin(&mut self, pass: &Pass) -> Result<(), Failure> {
        let done = match pass.reason {
            Reason::WithinLimits => self.files.clear(),
            Reason::Approved => {
                self.removed.approve(&pass.removals);
                self.files.use_up()
            }
        };
        done.map_err(|error| self.broken(&error))
    }

    /// Counts what the hub acknowledged.
    pub(super) fn count(&mut self, pass: &Pass, index: &Index) {
        self.removed.count(&pass.removals, index);
    }

    fn broken(&self, error: &std::io::Error) -> Failure {
        let path = self.files.refused_path();
        Failure::run(
            &format!("cannot keep the refused plan in {}", path.display()),
            error,
        )
    }

    /// Writes a plan down that is refused, unless it is the one that was approved.
    fn refuse(&mut self, steps: Steps<'_>, why: &TooManyRemovals) -> Result<Reason, Failure> {
        let kept = self.files.keep(steps);
        let approval = self.files.approval();
        let (hash, approval) = match (kept, approval) {
            (Ok(hash), Ok(approval)) => (hash, approval),
            (Err(error), _) | (_, Err(error)) => return Err(self.broken(&error)),
        };
        let other = match approval {
            Some(approval) if PlanHash::parse(&approval.hash) == Some(hash) => {
                tracing::warn!(plan = %hash, "an approved plan passes the limits: {why}");
                return Ok(Reason::Approved);
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

impl Work<'_> {
    /// Lets a plan pass or not.
    ///
    /// # Errors
    /// [`Failure`] with the way to approve of it.
    pub(super) async fn judge(
        &self,
        plan: &Plan,
        index: &Index,
        brake: &mut Brake,
    ) -> Result<Pass, Failure> {
        let behavior = self.settings.remove_user_behavior;
        let removals = Removals::of(plan, index, behavior);
        let verdict = guard::check(&removals, index, brake.limit, &brake.removed);
        let reason = match verdict {
            Ok(()) => Reason::WithinLimits,
            Err(why) => {
                let hub = self.session.hub();
                let before = hub.before(plan, index, &self.settings.mapping).await;
                let steps = Steps {
                    plan,
                    index,
                    behavior,
                    before: &before.map_err(|error| hub::failure(&error))?,
                };
                brake.refuse(steps, &why)?
            }
        };
        Ok(Pass { removals, reason })
    }
}
