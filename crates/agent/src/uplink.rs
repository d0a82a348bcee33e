//! Carrying out a plan: many calls at a time, in the decided order, each acknowledged in the index.
//!
//! Invariant: the steps of decision U111 do not overlap; the index knows exactly what the hub
//! acknowledged; one object's failure is filed and stops nothing else (decision U34). A conflict
//! may go away by what the same run did, so there are further passes while the plan changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use rollcall_kit::clock::Clock;
use rollcall_kit::entropy::Entropy;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::brake::Brake;
use crate::engine::Guid;
use crate::engine::index::{Index, Kind, Record};
use crate::engine::plan::{self, PASSES_MAX, Plan, Rules, Stop};
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::item_error::{ItemErrors, Problem, remedy};
use crate::progress::{Change, ObjectType};
use crate::session::Session;
use crate::settings::Settings;

mod brake;
mod circle;
mod effect;
mod request;
mod write;

use effect::Outcome;
use request::Request;
use write::Write;

/// Calls to the hub in flight.
const CALLS_AT_ONCE: usize = 32;

/// Everything the work needs beside the index.
pub struct Work<'a> {
    /// The session written in.
    pub session: &'a Session,
    /// Settings of the session.
    pub settings: &'a Settings,
    /// Scope of the session.
    pub scope: &'a Scope,
    /// Objects the directory cannot show, with what it said.
    pub unreadable: &'a BTreeMap<Guid, String>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a Arc<dyn Entropy>,
    /// What is shown to people.
    pub activity: &'a Activity,
    /// Cancelled when the program has to end.
    pub stop: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Users in scope.
    pub users_in_scope: usize,
    /// Groups in scope.
    pub groups_in_scope: usize,
    /// Memberships in scope.
    pub memberships_in_scope: usize,
    /// Whether anything was sent to the hub.
    pub wrote: bool,
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Asked => Self::Stopped,
            why => Self::Run(why.to_string()),
        }
    }
}

impl Work<'_> {
    /// Makes the hub equal to the index. `before_writing` is called once, before the first write;
    /// `brake` lets it pass.
    ///
    /// # Errors
    /// [`Failure`] when the plan may not be carried out or the run cannot go on.
    pub async fn carry_out(
        &self,
        index: &mut Index,
        errors: &mut ItemErrors,
        brake: &mut Brake<'_>,
        before_writing: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Done, Failure> {
        self.activity.begin("working out what has to change", 0);
        let mut plan = self.plan(index)?;
        let mut pass = self.judge(&plan, index, brake).await?;
        tracing::debug!(
            links_followed = plan.links_followed,
            inner_groups_ignored = plan.inner_groups_ignored,
            "memberships were worked out"
        );
        let done = Done {
            users_in_scope: plan.users_in_scope,
            groups_in_scope: plan.groups_in_scope,
            memberships_in_scope: plan.memberships_in_scope,
            wrote: !plan.is_empty(),
        };
        brake.begin(&pass, self.clock.now())?;
        if done.wrote {
            before_writing()?;
        }
        let mut circles_may_be = true;
        for number in 1..=PASSES_MAX {
            errors.begin_pass();
            self.file_unfit(&plan, index, errors);
            self.file_unreadable(index, errors);
            self.pass(&plan, index, errors).await?;
            errors.end_pass();
            if errors.is_empty() || number == PASSES_MAX {
                break;
            }
            let next = self.plan(index)?;
            if next == plan {
                // Nothing moved. A circle of names is opened once; then there is one more way.
                let is_open = circles_may_be && self.open_circles(index, errors).await? > 0;
                if !is_open {
                    break;
                }
                circles_may_be = false;
            }
            pass = self.judge(&next, index, brake).await?;
            brake.begin(&pass, self.clock.now())?;
            plan = next;
        }
        let mut progress = self.session.progress();
        for key in errors.keys() {
            progress.failed(key);
        }
        Ok(done)
    }

    fn plan(&self, index: &Index) -> Result<Plan, Failure> {
        let rules = Rules {
            remove_user_behavior: self.settings.remove_user_behavior,
            nested_groups: self.settings.nested_groups,
            now: self.clock.now(),
        };
        let go_on = || !self.stop.is_cancelled();
        Ok(plan::plan_while(index, self.scope, &rules, &go_on)?)
    }

    fn file_unfit(&self, plan: &Plan, index: &Index, errors: &mut ItemErrors) {
        let sides = [
            (ObjectType::Group, &plan.unfit_groups),
            (ObjectType::User, &plan.unfit_users),
        ];
        for (object_type, unfit) in sides {
            for item in unfit {
                let change = if index.hub_id(item.guid).is_some() {
                    Change::Update
                } else {
                    Change::Create
                };
                let name = plan::name(index, item.guid);
                let key = (item.guid, object_type, change);
                let problem = Problem::new(&item.reason, remedy::of_values(&item.reason));
                errors.fail(key, &name, &problem, self.clock.now());
            }
        }
    }

    /// What cannot be read stays as it is in the hub.
    fn file_unreadable(&self, index: &Index, errors: &mut ItemErrors) {
        for (guid, why) in self.unreadable {
            let record = index.get(*guid);
            let object_type = match record.map(Record::kind) {
                Some(Kind::Group) => ObjectType::Group,
                Some(Kind::User | Kind::Container) | None => ObjectType::User,
            };
            let name = record.map_or_else(|| guid.to_string(), |_| plan::name(index, *guid));
            let key = (*guid, object_type, Change::Update);
            let reason = format!("{}: {why}", remedy::UNREADABLE);
            let problem = Problem::new(reason, remedy::COMPARE);
            errors.fail(key, &name, &problem, self.clock.now());
        }
    }

    async fn pass(
        &self,
        plan: &Plan,
        index: &mut Index,
        errors: &mut ItemErrors,
    ) -> Result<(), Failure> {
        self.activity.begin("writing to the hub", plan.writes());
        for mut step in write::steps(plan, self.settings.remove_user_behavior) {
            loop {
                let chunk: Vec<Write> = step.writes.by_ref().take(step.at_once).collect();
                if chunk.is_empty() {
                    break;
                }
                self.chunk(&chunk, index, errors).await?;
            }
        }
        Ok(())
    }

    async fn chunk(
        &self,
        writes: &[Write],
        index: &mut Index,
        errors: &mut ItemErrors,
    ) -> Result<(), Failure> {
        let requests: Vec<Request> = writes
            .iter()
            .filter_map(|write| Request::prepare(write, index))
            .collect();
        let mut calls = stream::iter(requests)
            .map(|request| self.call(request))
            .buffer_unordered(CALLS_AT_ONCE);
        let mut fatal = None;
        while let Some(outcome) = calls.next().await {
            self.acknowledge(&outcome, index, errors);
            if let Some(failure) = outcome.fatal {
                fatal = Some(failure);
                break;
            }
        }
        fatal.map_or(Ok(()), Err)
    }

    async fn call(&self, request: Request) -> Outcome {
        let mut outcome = Outcome::new(request.guid());
        if let Err(lost) = self.session.fence().check(Instant::now()) {
            outcome.fatal = Some(lost);
            return outcome;
        }
        request.send(self, &mut outcome).await;
        outcome
    }

    fn acknowledge(&self, outcome: &Outcome, index: &mut Index, errors: &mut ItemErrors) {
        let mut progress = self.session.progress();
        for effect in &outcome.effects {
            effect.apply(outcome.guid, index);
            if let Some((object_type, change, number)) = effect.counts() {
                progress.done(object_type, change, number);
                self.activity
                    .advance(usize::try_from(number).unwrap_or_default());
            }
        }
        drop(progress);
        for (object_type, change, problem) in &outcome.failures {
            let name = plan::name(index, outcome.guid);
            let key = (outcome.guid, *object_type, *change);
            let reason = &problem.reason;
            tracing::debug!(object = name, reason, "an object could not be synchronized");
            errors.fail(key, &name, problem, self.clock.now());
        }
    }
}
