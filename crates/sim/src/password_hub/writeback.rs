//! The calls about password changes: their beginning and their end.
//!
//! Invariant: each finds the facts, asks the domain and saves what it decided, as the hub does.

use rollcall_agent::engine::Guid;
use rollcall_domain::id::{OperationId, PasswordId};
use rollcall_domain::password::{Password, PasswordKind, StoredForm};
use rollcall_domain::password_change::{Route, route};
use rollcall_domain::password_writeback::{
    Answered, Arrival, FoundWriteback, PasswordWriteback, Settled, WritebackSecrets, judge_answer,
    require_none_pending,
};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::user::User;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;

use super::{Answer, Ending, PasswordHub, Record, Setting, sealed, text_of};
use crate::password_world::PasswordFlaw;

impl PasswordHub {
    /// UserService.SetOwnPassword and SetOthersPassword of a user whose passwords go to the directory.
    ///
    /// # Errors
    /// As the domain's rules.
    pub fn begin(&mut self, guid: Guid, setting: Setting, now: Timestamp) -> Result<(), Refusal> {
        let user = self.users.get(&guid);
        let user = user
            .ok_or_else(|| Refusal::not_found("user", guid))?
            .clone();
        if route(&user, Some(&self.settings)) == Route::Here {
            let why = "a synchronized user has its password in the directory";
            return Err(Refusal::precondition("ROUTE", why.to_owned()));
        }
        if setting.old.is_some() && setting.old != self.opens_with(guid) {
            return Err(Refusal::invalid("old_password", "is not the present one"));
        }
        let pending = self.pending.iter().find(|it| it.user_id == user.id);
        if self.flaw != PasswordFlaw::BeginsWhileOneIsPending {
            require_none_pending(pending, now)?;
        }
        if self.flaw != PasswordFlaw::NeverEndsLate {
            self.end_late(now, |pending| pending.user_id == user.id);
        }
        if self.flaw == PasswordFlaw::StoresAtOnce
            && let Some(password) = self.passwords.get_mut(&user.id)
        {
            password.form = StoredForm::Argon2NtHash(SecretString::new(setting.new.clone()));
        }
        self.insert(guid, &user, setting, now);
        Ok(())
    }

    fn insert(&mut self, guid: Guid, user: &User, setting: Setting, now: Timestamp) {
        let operation_id = OperationId::new(self.new_id(OperationId::PREFIX));
        let record = Record {
            guid,
            password: setting.new.clone(),
            began: now,
            ended: None,
        };
        self.operations.insert(operation_id.clone(), record);
        let present = self.passwords.get(&user.id);
        let replaces = present.map(|present| present.id.clone());
        self.stream.head += 1;
        self.pending.push(PasswordWriteback {
            operation_id,
            userpool_id: self.pool.clone(),
            user_id: user.id.clone(),
            external_user_id: user.external_id.clone().unwrap_or_default(),
            offset: self.stream.head,
            cause: setting.cause,
            secrets: WritebackSecrets {
                sealed_new: sealed(&setting.new),
                sealed_old: setting.old.as_deref().map(sealed),
                argon2: SecretString::new(setting.new),
            },
            kind: setting.kind,
            is_generated: setting.kind == PasswordKind::Temporary,
            replaces,
            kept: None,
            created_at: now,
            deadline: now.plus(self.time),
            delivered_at: None,
        });
    }

    /// OperationService.Cancel
    pub fn cancel(&mut self, id: &OperationId, now: Timestamp) {
        for pending in self.take_pending(|pending| pending.operation_id == *id) {
            self.end(&pending, Ending::Cancelled, None, now);
        }
    }

    /// The job that ends changes whose time is over.
    pub fn end_overdue(&mut self, now: Timestamp) {
        if self.flaw != PasswordFlaw::NeverEndsLate {
            self.end_late(now, |_| true);
        }
    }

    /// What CommitPassword finds out before its transaction: the stored password, if it is the
    /// accepted one already.
    #[must_use]
    pub fn prepare_commit(&self, answer: &Answer) -> Option<PasswordId> {
        let pending = self
            .pending
            .iter()
            .find(|it| it.operation_id == answer.operation)?;
        let present = self.passwords.get(&pending.user_id)?;
        let is_other = pending.replaces.as_ref() != Some(&present.id);
        (is_other && text_of(&present.form) == answer.password).then(|| present.id.clone())
    }

    /// UserService.CommitPassword
    ///
    /// # Errors
    /// As the domain's rules.
    pub fn commit(
        &mut self,
        answer: &Answer,
        same: Option<&PasswordId>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let digest = format!("{answer:?}").into_bytes();
        let id = &answer.operation;
        let pending = self.pending.iter().find(|it| it.operation_id == *id);
        let found = match (pending, self.ended.get(id)) {
            (Some(pending), _) => Some(FoundWriteback::Pending(Box::new(pending.clone()))),
            (None, Some(digest)) => Some(FoundWriteback::Ended {
                userpool_id: self.pool.clone(),
                answer_digest: digest.clone(),
            }),
            (None, None) => None,
        };
        let pending = match judge_answer(found, id, &self.pool, &digest, now)? {
            Answered::Ends(pending) => *pending,
            Answered::Repeated => return Ok(()),
        };
        let is_same_password = sealed(&answer.password) == pending.secrets.sealed_new;
        pending.check_answer(&answer.external_user_id, is_same_password)?;
        self.pending.retain(|it| it.operation_id != *id);
        let ending = match answer.refusal {
            Some(why) => Ending::Failed(why),
            None => {
                self.settle(&pending, same, now);
                Ending::Success
            }
        };
        self.end(&pending, ending, Some(digest), now);
        Ok(())
    }

    fn settle(&mut self, pending: &PasswordWriteback, same: Option<&PasswordId>, now: Timestamp) {
        let id = PasswordId::new(self.new_id(PasswordId::PREFIX));
        let present = self.passwords.get(&pending.user_id);
        let arrival = match self.flaw {
            PasswordFlaw::OverwritesWhatCameMeanwhile => Arrival::Awaited,
            _ => pending.arrival(present, same),
        };
        self.arrivals.push(arrival);
        let password = match pending.settle(present, arrival, id, now) {
            Settled::Replaced(password) => self.dated(password, pending),
            Settled::OfKind(password) => password,
            Settled::Unchanged => return,
        };
        self.passwords.insert(pending.user_id.clone(), password);
    }

    fn dated(&self, password: Password, pending: &PasswordWriteback) -> Password {
        match self.flaw {
            PasswordFlaw::DatesByTheOwnClock => Password {
                created_at: Some(pending.created_at),
                ..password
            },
            _ => password,
        }
    }

    fn end_late(&mut self, now: Timestamp, wanted: impl Fn(&PasswordWriteback) -> bool) {
        for late in self.take_pending(|pending| wanted(pending) && pending.is_over(now)) {
            self.end(&late, Ending::Late, None, now);
        }
    }

    pub(super) fn take_pending(
        &mut self,
        wanted: impl Fn(&PasswordWriteback) -> bool,
    ) -> Vec<PasswordWriteback> {
        let (taken, left) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(wanted);
        self.pending = left;
        taken
    }

    pub(super) fn end(
        &mut self,
        pending: &PasswordWriteback,
        ending: Ending,
        digest: Option<Vec<u8>>,
        now: Timestamp,
    ) {
        self.ended.insert(pending.operation_id.clone(), digest);
        if let Some(record) = self.operations.get_mut(&pending.operation_id) {
            record.ended = Some((ending, now));
        }
    }
}
