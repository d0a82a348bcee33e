//! Writing corrections of accounts to the hub.
//!
//! Invariant: the disables of a batch, together with those of the session so far, pass the guard
//! before the first write; one account's failure is filed and stops nothing else (decision U34).

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _};
use rollcall_client::{ClientError, ErrorKind};
use tokio::time::Instant;

use super::brake::Disables;
use super::{AccountStateRun, Known};
use crate::brake::Pass;
use crate::engine::Guid;
use crate::engine::account_state::{Correction, Suspension};
use crate::engine::plan::RemoveUserBehavior;
use crate::failure::Failure;
use crate::hub::{self, Account};
use crate::item_error::{Problem, remedy};
use crate::progress::{Change, ObjectType};
use crate::reader::Reader;
use crate::session::{self, Session};
use crate::stream::Stream;

/// Accounts that are written at the same time.
const CALLS_AT_ONCE: usize = 32;
/// The hub's reason when an account ended in the meantime: it is suspended, as it should be.
const ENDED: &str = "USER_EXPIRED";

/// One account and what is to be done to it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// objectGUID.
    pub(super) guid: Guid,
    pub(super) id: String,
    pub(super) username: String,
    was_active: bool,
    correction: Correction,
}

/// What came of a task.
#[derive(Debug)]
struct Outcome {
    task: Task,
    /// What was changed, as the counters of the session name it.
    done: Vec<Change>,
    failed: Option<(Change, Problem)>,
    fatal: Option<Failure>,
}

impl Task {
    /// A task, if there is anything to do.
    pub(super) fn new(account: &Account, correction: Correction) -> Option<Self> {
        (!correction.is_empty()).then(|| Self {
            guid: account.guid,
            id: account.id.clone(),
            username: account.username.clone(),
            was_active: account.present.active,
            correction,
        })
    }

    /// Whether an active user is disabled.
    pub(super) fn disables(&self) -> bool {
        self.correction.suspend == Some(Suspension::Visible)
    }
}

impl AccountStateRun<'_> {
    /// Does `tasks`. Of the accounts that were `tried`, those that do not fail now are no longer
    /// failed items.
    pub(super) async fn correct(
        &mut self,
        reader: &mut Reader,
        mut tasks: Vec<Task>,
        known: Known,
        tried: &BTreeSet<Guid>,
    ) -> Result<(), Failure> {
        self.leave_blocked(reader, &mut tasks).await?;
        let pass = self.guard(&tasks, known).await;
        self.summary.refused_plan = self.brake.refused().cloned();
        self.brake.begin(&pass?, self.agent.clock.now())?;
        self.errors.begin_pass();
        for (guid, (login, why)) in &self.unreadable {
            let key = (*guid, ObjectType::User, Change::Update);
            let reason = format!("{}: {why}", remedy::UNREADABLE);
            let problem = Problem::new(reason, remedy::COMPARE);
            let now = self.agent.clock.now();
            self.errors.fail(key, login, &problem, now);
        }
        let session = &self.opened.session;
        let mut fatal = None;
        let mut calls = stream::iter(tasks)
            .map(|task| carry_out(session, task))
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some(outcome) = calls.next().await {
            let task = &outcome.task;
            let mut progress = session.progress();
            for change in &outcome.done {
                progress.done(ObjectType::User, *change, 1);
            }
            drop(progress);
            if let Some((change, problem)) = &outcome.failed {
                let key = (task.guid, ObjectType::User, *change);
                let now = self.agent.clock.now();
                self.errors.fail(key, &task.username, problem, now);
            }
            if outcome.fatal.is_some() {
                fatal = outcome.fatal;
                break;
            }
        }
        drop(calls);
        if fatal.is_none() {
            self.errors.end_pass_of(tried);
        }
        let file = self.agent.failed_items(Stream::AccountState);
        file.keep(&mut self.errors)?;
        self.summary.list(&self.errors);
        let mut progress = session.progress();
        for key in self.errors.keys() {
            progress.failed(key);
        }
        fatal.map_or(Ok(()), Err)
    }

    /// Lets the disables pass or not.
    async fn guard(&mut self, tasks: &[Task], known: Known) -> Result<Pass, Failure> {
        let disables = Disables::of(tasks);
        let now = self.agent.clock.now();
        let known = match known {
            Known::Counted(known) => known,
            Known::Uncounted => {
                // A larger number only allows more.
                if let Ok(pass) = disables.check(&self.brake, 0, now) {
                    return Ok(pass);
                }
                let counted = self.opened.session.hub().each_account(|_| {}).await;
                counted.map_err(|error| hub::failure(&error))?
            }
        };
        match disables.check(&self.brake, known, now) {
            Ok(pass) => Ok(pass),
            Err(why) => disables.refuse(&mut self.brake, known, &why),
        }
    }

    /// Users that left the scope are kept suspended when the settings say so: only a user that is
    /// in the scope is let in again.
    async fn leave_blocked(
        &self,
        reader: &mut Reader,
        tasks: &mut Vec<Task>,
    ) -> Result<(), Failure> {
        if self.settings.remove_user_behavior == RemoveUserBehavior::Remove {
            return Ok(());
        }
        let wanted = tasks.iter().filter(|task| task.correction.reactivate);
        let guids: Vec<Guid> = wanted.map(|task| task.guid).collect();
        if guids.is_empty() {
            return Ok(());
        }
        let inside = self.in_scope(reader, &guids).await?;
        for task in tasks.iter_mut() {
            task.correction.reactivate &= inside.contains(&task.guid);
        }
        tasks.retain(|task| !task.correction.is_empty());
        Ok(())
    }
}

/// Makes the calls for one account, in the order that never lets a disabled user in.
async fn carry_out(session: &Session, task: Task) -> Outcome {
    let mut outcome = Outcome {
        task,
        done: Vec::new(),
        failed: None,
        fatal: None,
    };
    if let Err(lost) = session.fence().check(Instant::now()) {
        outcome.fatal = Some(lost);
        return outcome;
    }
    let mut at = Change::Deactivate;
    if let Err(error) = calls(session, &outcome.task, &mut at, &mut outcome.done).await {
        match session::ends_run(&error) {
            Some(failure) => outcome.fatal = Some(failure),
            None if error.kind == ErrorKind::NotFound => {}
            None => outcome.failed = Some((at, problem(at, &error))),
        }
    }
    outcome
}

/// `at` is what is being tried.
async fn calls(
    session: &Session,
    task: &Task,
    at: &mut Change,
    done: &mut Vec<Change>,
) -> Result<(), ClientError> {
    let (hub, id) = (session.hub(), &task.id);
    if let Some(suspension) = task.correction.suspend {
        hub.suspend_user(id).await?;
        if suspension == Suspension::Visible {
            done.push(*at);
        }
    }
    *at = Change::Update;
    if let Some(end) = task.correction.expires_at {
        hub.set_account_end(id, end).await?;
        done.push(*at);
    }
    *at = Change::Activate;
    if task.correction.reactivate {
        match hub.reactivate_user(id).await {
            Err(ClientError {
                kind: ErrorKind::FailedPrecondition { reason },
                ..
            }) if reason == ENDED => {}
            answer => answer?,
        }
        // An administrator's block stays, and then nothing was changed (decision U52).
        let now = hub.find_account(id.clone()).await?;
        if !task.was_active && now.is_some_and(|account| account.present.active) {
            done.push(*at);
        }
    }
    *at = Change::Update;
    if let Some(required) = task.correction.must_change_password
        && hub.set_password_change_required(id, required).await?
    {
        done.push(*at);
    }
    Ok(())
}

fn problem(change: Change, error: &ClientError) -> Problem {
    let remedy = remedy::of_refusal(ObjectType::User, change, error);
    Problem::new(error.to_string(), remedy)
}
