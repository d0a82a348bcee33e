//! Setting one password in the directory.
//!
//! Invariant: nothing is written that was not noted before; a change by the user is written at most
//! once as far as that can be found out (`crate::engine::password_writeback` decides); nothing is
//! written when the operation has ended, or is about to. Each change has a connection of its own, so
//! that one that hangs holds up nobody else.

use std::time::Duration;

use rollcall_directory::{
    NextSignIn, PasswordProblem, PasswordRefusal, PasswordWrite, Setter as By, Verified,
    verify_password,
};
use rollcall_kit::backoff::Backoff;
use tokio::time::{Instant, timeout, timeout_at};

use super::change::{Delivery, PasswordChange};
use super::note::{Begun, Notes};
use super::refusal::{Obstacle, ObstacleKind, Refusal};
use crate::agent::Agent;
use crate::engine::Guid;
use crate::engine::password_writeback::{Next, Setter, Traces, after_beginning, is_recent};
use crate::failure::{self, Failure};
use crate::reader::{self, Account, Owner, Reader, options_of};
use crate::settings::Settings;

/// The directory's time ends so long before the operation does: the hub has to be told.
const COMMIT_MARGIN: Duration = Duration::from_secs(1);
/// No write begins later than this before the end of the operation.
const WRITE_MARGIN: Duration = Duration::from_secs(2);
/// One attempt; a connection that died says nothing.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);
/// However late the hub puts the end of an operation.
const TIME_MAX: Duration = Duration::from_secs(300);
/// A wait without length would ask again and again at the beginning.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// What it needs.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    agent: &'a Agent,
    notes: &'a Notes,
    settings: &'a Settings,
    change: &'a PasswordChange,
}

/// What came of an attempt.
enum Attempt {
    Settled(Result<(), Refusal>),
    /// It may succeed later.
    Again(Obstacle),
}

/// The user whose password it is, and who sets it.
struct Task {
    user: Guid,
    setter: Setter,
}

impl<'a> Writer<'a> {
    /// A writer of this change.
    #[must_use]
    pub fn new(
        agent: &'a Agent,
        notes: &'a Notes,
        settings: &'a Settings,
        change: &'a PasswordChange,
    ) -> Self {
        Self {
            agent,
            notes,
            settings,
            change,
        }
    }

    /// Sets it, or finds out that it was set before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn write(&self) -> Result<(), Refusal> {
        let mut begun = None;
        match self.notes.find(self.change) {
            Some(Begun::Written) => {
                self.log("a password was written before; the hub is told");
                return Ok(());
            }
            Some(Begun::Refused(refusal)) => return Err(refusal),
            Some(Begun::Writing(before)) => begun = Some(before),
            None => {}
        }
        let Some(user) = self.change.user() else {
            return Err(Refusal::no_such_user("its external id is no objectGUID"));
        };
        let Some(setter) = self.change.setter() else {
            let why =
                "a user's own change that has to be changed again is nothing a directory does";
            return Err(Refusal::other(why));
        };
        let task = Task { user, setter };
        let left = self.left().min(TIME_MAX).saturating_sub(COMMIT_MARGIN);
        let mut obstacle = None;
        let trying = self.try_until_settled(&task, &mut begun, &mut obstacle);
        match timeout_at(Instant::now() + left, trying).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::late(obstacle.as_ref())),
        }
    }

    fn left(&self) -> Duration {
        self.change.left(self.agent.clock.now())
    }

    async fn try_until_settled(
        &self,
        task: &Task,
        begun: &mut Option<Traces>,
        obstacle: &mut Option<Obstacle>,
    ) -> Result<(), Refusal> {
        let mut backoff = Backoff::new();
        loop {
            // Should the time end within the attempt.
            let silent = |begun: &Option<Traces>| Obstacle {
                kind: match begun {
                    Some(_) => ObstacleKind::NoAnswer,
                    None => ObstacleKind::Unavailable,
                },
                text: "no answer".to_owned(),
            };
            *obstacle = Some(silent(begun));
            let attempt = self.attempt(task, begun, obstacle);
            match timeout(ATTEMPT_MAX, attempt).await {
                Ok(Attempt::Settled(result)) => return result,
                Ok(Attempt::Again(why)) => *obstacle = Some(why),
                Err(_) => *obstacle = Some(silent(begun)),
            }
            if let Some(Obstacle { text, .. }) = obstacle {
                self.log_again(text);
            }
            let wait = backoff.next_wait(&*self.agent.entropy);
            tokio::time::sleep(wait.max(WAIT_MIN)).await;
        }
    }

    async fn attempt(
        &self,
        task: &Task,
        begun: &mut Option<Traces>,
        obstacle: &mut Option<Obstacle>,
    ) -> Attempt {
        let domain = &self.settings.filter.domain;
        let mut reader = match self.agent.connect(domain).await {
            Ok(reader) => reader,
            Err(failure) => return self.not_reached(&failure, begun.is_some()),
        };
        let memory = &self.agent.file;
        let account = match reader.owner(task.user, self.settings, memory).await {
            Ok(Owner::Found(account)) => account,
            Ok(Owner::OutOfScope(reasons)) => {
                return Attempt::Settled(Err(Refusal::out_of_scope(&reasons)));
            }
            Ok(Owner::Missing) => return Attempt::Settled(Err(Refusal::no_such_user(""))),
            Err(failure) => return self.not_reached(&failure, begun.is_some()),
        };
        let next = begun.map_or(Next::Write, |before| {
            after_beginning(task.setter, before, account.traces)
        });
        match next {
            Next::Write => {
                self.send(&mut reader, task, &account, begun, obstacle)
                    .await
            }
            Next::LeaveAlone => {
                let why = "a wrong password was tried for the user since then";
                self.settle(Err(Refusal::unclear(why)))
            }
            Next::Verify => match self.verify(&account).await {
                Ok(Verified::Right) => self.settle(Ok(())),
                Ok(Verified::Wrong) => self.settle(Err(Refusal::overtaken())),
                Ok(Verified::Unknown(why)) if task.setter == Setter::User => {
                    self.settle(Err(Refusal::unclear(&why)))
                }
                // A reset is what the administrator wants in any case.
                Ok(Verified::Unknown(_)) => {
                    self.send(&mut reader, task, &account, begun, obstacle)
                        .await
                }
                Err(failure) => self.not_reached(&failure, true),
            },
        }
    }

    /// Sends the password to the directory.
    async fn send(
        &self,
        reader: &mut Reader,
        task: &Task,
        account: &Account,
        begun: &mut Option<Traces>,
        obstacle: &mut Option<Obstacle>,
    ) -> Attempt {
        if self.left() < WRITE_MARGIN {
            return Attempt::Again(Obstacle {
                kind: ObstacleKind::Unavailable,
                text: "there was no time left to set it".to_owned(),
            });
        }
        let now = self.agent.clock.now();
        let noted = self
            .notes
            .note(self.change, Begun::Writing(account.traces), now);
        if let Err(failure) = noted {
            tracing::error!(reason = %failure, "a password is not set");
            return Attempt::Settled(Err(Refusal::other(&failure.to_string())));
        }
        *begun = Some(account.traces);
        *obstacle = Some(Obstacle {
            kind: ObstacleKind::NoAnswer,
            text: String::new(),
        });
        let setter = match (&self.change.old, task.setter) {
            (Some(old), Setter::User) => By::User { old },
            (_, Setter::Administrator { must_change: true }) => {
                By::Administrator(NextSignIn::MustChange)
            }
            _ => By::Administrator(NextSignIn::Free),
        };
        let write = PasswordWrite {
            user: rollcall_directory::Guid::from_bytes(task.user.to_wire()),
            new: &self.change.password,
            setter,
        };
        let Err(refusal) = reader.set_password(&write).await else {
            self.log("a password was written to the directory");
            return self.settle(Ok(()));
        };
        self.refused(account, refusal).await
    }

    async fn refused(&self, account: &Account, refusal: PasswordRefusal) -> Attempt {
        let again = |kind| {
            Attempt::Again(Obstacle {
                kind,
                text: refusal.text.clone(),
            })
        };
        match refusal.problem {
            PasswordProblem::NoAnswer => again(ObstacleKind::NoAnswer),
            PasswordProblem::Busy => again(ObstacleKind::Unavailable),
            // Another agent may have written it, which then was lost before it told the hub.
            PasswordProblem::WrongOld if self.may_have_been_written(account) => {
                match self.verify(account).await {
                    Ok(Verified::Right) => self.settle(Ok(())),
                    _ => self.settle(Err(Refusal::of_directory(&refusal))),
                }
            }
            _ => self.settle(Err(Refusal::of_directory(&refusal))),
        }
    }

    /// To ask costs the user a failed sign-in if it was not.
    fn may_have_been_written(&self, account: &Account) -> bool {
        let now = self.agent.clock.now();
        self.change.delivery == Delivery::PerhapsAgain
            && is_recent(account.traces.last_set, now.as_micros())
    }

    async fn verify(&self, account: &Account) -> Result<Verified, Failure> {
        let (config, password) = (&self.agent.config, &self.change.password);
        let domain = &self.settings.filter.domain;
        let options = options_of(config, domain, account, password)?;
        let verified = verify_password(&options).await;
        let verified = verified.map_err(|error| reader::failure(&error))?;
        let text = match &verified {
            Verified::Right => "the directory has the new password",
            Verified::Wrong => "the directory has another password",
            Verified::Unknown(_) => "whether the directory has the new password cannot be told",
        };
        self.log(text);
        Ok(verified)
    }

    /// What could not be reached may be later, unless a person has to do something about it.
    fn not_reached(&self, failure: &Failure, is_begun: bool) -> Attempt {
        match failure {
            Failure::Run(text) => Attempt::Again(Obstacle {
                kind: match is_begun {
                    true => ObstacleKind::NoAnswer,
                    false => ObstacleKind::Unavailable,
                },
                text: text.clone(),
            }),
            other => {
                tracing::error!(reason = %other, "the directory cannot be used for passwords");
                Attempt::Settled(Err(Refusal::other(&other.to_string())))
            }
        }
    }

    /// Notes the end, so that it is told and not tried again.
    fn settle(&self, result: Result<(), Refusal>) -> Attempt {
        let begun = match &result {
            Ok(()) => Begun::Written,
            Err(refusal) => Begun::Refused(refusal.clone()),
        };
        let now = self.agent.clock.now();
        if let Err(failure) = self.notes.note(self.change, begun, now) {
            let reason = failure::chain(&failure);
            tracing::error!(reason, "the end of a password change cannot be noted");
        }
        Attempt::Settled(result)
    }

    fn log(&self, text: &str) {
        let (operation, user) = (&self.change.operation_id, &self.change.external_user_id);
        tracing::info!(operation, user, "{text}");
    }

    fn log_again(&self, reason: &str) {
        let (operation, user) = (&self.change.operation_id, &self.change.external_user_id);
        tracing::warn!(
            operation,
            user,
            reason,
            "a password cannot be set yet; it is tried again"
        );
    }
}
