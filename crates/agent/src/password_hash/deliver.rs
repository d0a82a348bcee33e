//! Writing hashes to the hub.
//!
//! Invariant: one user's failure is filed and stops nothing else (decision U34); a hash is wiped when
//! its task is done.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _};
use rollcall_client::{ClientError, ErrorKind};
use rollcall_directory::NtHash;
use tokio::time::Instant;

use super::PasswordHashRun;
use crate::engine::Guid;
use crate::engine::password_hash::Dated;
use crate::failure::Failure;
use crate::item_error::{Problem, remedy};
use crate::progress::{Change, ObjectType};
use crate::session::{self, Session};
use crate::stream::Stream;

/// Hashes that are on their way at the same time.
const CALLS_AT_ONCE: usize = 32;

/// One hash and whose it is.
#[derive(Debug)]
pub(super) struct Task {
    /// objectGUID.
    pub(super) guid: Guid,
    /// Id in the hub.
    pub(super) id: String,
    /// DN, for messages.
    pub(super) name: String,
    pub(super) hash: NtHash,
    pub(super) dated: Dated,
}

/// What came of a task.
enum Outcome {
    Done(Guid),
    /// The user is gone.
    Gone(Guid),
    Failed(Guid, String, ClientError),
    Fatal(Failure),
}

impl PasswordHashRun<'_> {
    /// Does `tasks`, and files what is `unusable`. Of those that were `tried`, the ones that do not
    /// fail now are no longer failed items.
    pub(super) async fn deliver(
        &mut self,
        tasks: Vec<Task>,
        unusable: Vec<(Guid, String, Problem)>,
        tried: &BTreeSet<Guid>,
    ) -> Result<(), Failure> {
        self.errors.begin_pass();
        for (guid, name, problem) in &unusable {
            self.fail(*guid, name, problem);
        }
        let session = &self.opened.session;
        let mut fatal = None;
        let mut calls = stream::iter(tasks)
            .map(|task| carry_out(session, task))
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some(outcome) = calls.next().await {
            match outcome {
                Outcome::Done(guid) => {
                    let mut progress = session.progress();
                    progress.done(ObjectType::User, Change::PasswordHashUpdate, 1);
                    drop(progress);
                    self.missing.has_one(guid);
                }
                Outcome::Gone(guid) => self.missing.has_one(guid),
                Outcome::Failed(guid, name, error) => {
                    let (object, change) = (ObjectType::User, Change::PasswordHashUpdate);
                    let remedy = remedy::of_refusal(object, change, &error);
                    let problem = Problem::new(error.to_string(), remedy);
                    self.fail(guid, &name, &problem);
                }
                Outcome::Fatal(failure) => {
                    fatal = Some(failure);
                    break;
                }
            }
        }
        drop(calls);
        if fatal.is_none() {
            self.errors.end_pass_of(tried);
        }
        let file = self.agent.failed_items(Stream::PasswordHashes);
        file.keep(&mut self.errors)?;
        self.summary.list(&self.errors);
        let mut progress = session.progress();
        for key in self.errors.keys() {
            progress.failed(key);
        }
        fatal.map_or(Ok(()), Err)
    }

    fn fail(&mut self, guid: Guid, name: &str, problem: &Problem) {
        let key = (guid, ObjectType::User, Change::PasswordHashUpdate);
        self.errors.fail(key, name, problem, self.agent.clock.now());
    }
}

async fn carry_out(session: &Session, task: Task) -> Outcome {
    if let Err(lost) = session.fence().check(Instant::now()) {
        return Outcome::Fatal(lost);
    }
    let hub = session.hub();
    let answer = hub.set_password_hash(&task.id, task.hash.expose(), task.dated);
    match answer.await {
        Ok(()) => Outcome::Done(task.guid),
        Err(error) => match session::ends_run(&error) {
            Some(failure) => Outcome::Fatal(failure),
            None if error.kind == ErrorKind::NotFound => Outcome::Gone(task.guid),
            None => Outcome::Failed(task.guid, task.name, error),
        },
    }
}
