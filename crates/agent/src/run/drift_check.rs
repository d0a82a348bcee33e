//! The periodic comparison of both sides inside a session that follows the directory.
//!
//! Invariant: it writes nothing and its failure fails nothing. The index makes room for it, because
//! two would not fit into the memory of the process; it comes back from its file.

use super::Run;
use super::full::Picture;
use crate::drift::{self, Settle};
use crate::engine::plan::Rules;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::reader::Reader;

/// Objects named in the log.
const NAMED_MAX: usize = 10;

impl Run<'_> {
    /// Compares both sides if it is time.
    pub(super) async fn check_drift_when_due(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<(), Failure> {
        let agent = self.agent;
        let period = agent.config.drift.check_period;
        if !agent.board.begin_comparison(period, agent.clock.now()) {
            return Ok(());
        }
        self.held = None;
        self.looks.rest();
        let picture = Picture {
            settings: &self.settings,
            scope,
            hub: self.opened.session.hub(),
            clock: &*agent.clock,
            activity: &agent.activity,
        };
        let rules = Rules {
            remove_user_behavior: self.settings.remove_user_behavior,
            nested_groups: self.settings.nested_groups,
            now: agent.clock.now(),
        };
        let failing = self.errors.keys().map(|(guid, ..)| guid).collect();
        let checked = drift::check(&picture, reader, &rules, &failing, Settle::Now).await;
        self.looks.work();
        match checked {
            Ok(checked) => {
                let report = checked.report;
                let not_compared = report.memberships_not_compared;
                let named = report.objects.iter().take(NAMED_MAX);
                let names: Vec<&str> = named.map(|item| item.object.as_str()).collect();
                if report.differing == 0 {
                    tracing::info!(
                        digest = report.hub_digest,
                        memberships_not_compared = not_compared,
                        "the hub equals the directory"
                    );
                } else {
                    tracing::warn!(
                        differing = report.differing,
                        objects = names.join("; "),
                        memberships_not_compared = not_compared,
                        "the hub differs from the directory; see rollcall-agent drift --repair"
                    );
                }
                agent.board.compared(report, agent.clock.now());
            }
            Err(failure) => {
                tracing::warn!(reason = %failure, "the check for drift could not be finished");
            }
        }
        self.held = match self.stored(&self.token).await? {
            Some(held) => Some(held),
            None => Some(self.full(reader, scope).await?),
        };
        Ok(())
    }
}
