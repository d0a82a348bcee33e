//! Password writeback: a new password that the directory has to accept before it counts here.
//!
//! Invariant: a user has at most one change pending (decision U99); until its end the password here is
//! the old one; a change ends once, by an answer of the directory, at its deadline or when somebody
//! cancels it. Deliberately absent: sealing, hashing, and who may begin one (`password_change`).

mod failure;

use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::id::{OperationId, PasswordId, SignInSessionId, TokenId, UserId, UserpoolId};
use crate::named::named_enum;
use crate::password::{Password, PasswordKind, StoredForm, TEMPORARY_LIFETIME};
use crate::refusal::Refusal;

pub use failure::{DirectoryReason, WritebackErrorCode, WritebackFailure};

/// Time that the directory has when the configuration says nothing, in seconds (decision U89).
pub const DEADLINE_SECONDS_DEFAULT: u32 = 60;
/// Shortest such time in seconds.
pub const DEADLINE_SECONDS_MIN: u32 = 10;
/// Longest such time in seconds.
pub const DEADLINE_SECONDS_MAX: u32 = 300;
/// So long the answer of an agent is remembered, to tell its repetition from another one.
pub const RESULT_RETENTION: Span = Span::hours(24);
/// How far the clock of a directory may be behind that of the hub: what Kerberos bears.
pub const DIRECTORY_CLOCK_SKEW_MAX: Span = Span::minutes(5);

named_enum! {
    /// What a change began with.
    pub enum WritebackCause {
        /// The user changed the own password.
        OwnChange = "OWN_CHANGE",
        /// Somebody else set the password.
        Reset = "RESET",
        /// The user replaced, at a sign-in, a password that had to be changed.
        RequiredChange = "REQUIRED_CHANGE",
    }
}

/// A change that waits for the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordWriteback {
    /// The operation that ends with it.
    pub operation_id: OperationId,
    /// The pool.
    pub userpool_id: UserpoolId,
    /// The user.
    pub user_id: UserId,
    /// What the directory calls the user.
    pub external_user_id: String,
    /// Its place in the stream of the pool.
    pub offset: i64,
    /// What it began with.
    pub cause: WritebackCause,
    /// The passwords.
    pub secrets: WritebackSecrets,
    /// Whether the new password must be changed at the next sign-in.
    pub kind: PasswordKind,
    /// Whether the hub made the new password.
    pub is_generated: bool,
    /// The password that it is to replace; `None` = the user had none.
    pub replaces: Option<PasswordId>,
    /// What stays signed in when the password changes.
    pub kept: Option<KeptSignIn>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it fails, unless the directory accepted it.
    pub deadline: Timestamp,
    /// When an agent first received it.
    pub delivered_at: Option<Timestamp>,
}

/// The passwords of a change, in forms that may lie in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritebackSecrets {
    /// The new password, sealed for its operation.
    pub sealed_new: SecretBytes,
    /// The old password, sealed for its operation; only when the user gave it.
    pub sealed_old: Option<SecretBytes>,
    /// Argon2id of the NT hash of the new password: what will be stored, so that the hash which the
    /// directory sends afterwards is seen to be the same (decision U58).
    pub argon2: SecretString,
}

/// The token that asked for a change of the own password, and its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSignIn {
    /// The token.
    pub token_id: TokenId,
    /// Its session; `None` for a token without one.
    pub session_id: Option<SignInSessionId>,
}

/// What is known of the change of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundWriteback {
    /// It waits.
    Pending(Box<PasswordWriteback>),
    /// It ended.
    Ended {
        /// The pool.
        userpool_id: UserpoolId,
        /// Digest of the answer it ended with; `None` when it ended without one.
        answer_digest: Option<Vec<u8>>,
    },
}

/// What the answer of an agent leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It ends the change.
    Ends(Box<PasswordWriteback>),
    /// It came before.
    Repeated,
}

/// How the password of a user stands to the one that the directory accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is still the one that was to be replaced.
    Awaited,
    /// The accepted one is stored already: the directory sent its hash first.
    Came,
    /// Another one came meanwhile, which is newer in the directory.
    Overtaken,
}

/// What is stored when the directory accepted a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The accepted password takes the place of the stored one.
    Replaced(Password),
    /// The stored password is the accepted one, and only of another kind.
    OfKind(Password),
    /// The stored password stays.
    Unchanged,
}

impl PasswordWriteback {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.deadline <= now
    }

    /// When the new password ends, as far as that is known: a temporary one does.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self.kind {
            PasswordKind::Temporary => Some(self.created_at.plus(TEMPORARY_LIFETIME)),
            PasswordKind::Permanent => None,
        }
    }

    /// Why it failed when its time was over: nobody took it, or nobody answered (decision U90).
    #[must_use]
    pub fn late(&self) -> WritebackFailure {
        WritebackFailure {
            code: WritebackErrorCode::DeadlineExceeded,
            reason: Some(if self.delivered_at.is_some() {
                DirectoryReason::NoAnswer
            } else {
                DirectoryReason::NoAgent
            }),
            raw: String::new(),
        }
    }

    /// Requires that an answer is about this very change: `is_same_password` says whether it repeats
    /// the password, compared in constant time (decision U97).
    ///
    /// # Errors
    /// `Invalid` naming the field that differs.
    pub fn check_answer(
        &self,
        external_user_id: &str,
        is_same_password: bool,
    ) -> Result<(), Refusal> {
        let why = "is not that of the change: repeat what GetPasswordChanges sent";
        if self.external_user_id != external_user_id {
            return Err(Refusal::invalid("external_user_id", why));
        }
        if !is_same_password {
            return Err(Refusal::invalid("password", why));
        }
        Ok(())
    }

    /// How the stored password `present` stands to this change; `same` is a password that was found
    /// to be the accepted one.
    #[must_use]
    pub fn arrival(&self, present: Option<&Password>, same: Option<&PasswordId>) -> Arrival {
        let present = present.map(|present| &present.id);
        if present == self.replaces.as_ref() {
            Arrival::Awaited
        } else if present.is_some() && present == same {
            Arrival::Came
        } else {
            Arrival::Overtaken
        }
    }

    /// What is stored when the directory accepted the change; `id` is for the new password.
    ///
    /// The password is dated so that whatever the directory sets later is newer, as far as clocks are
    /// no more than [`DIRECTORY_CLOCK_SKEW_MAX`] apart, and what it had before is older (decision U126).
    #[must_use]
    pub fn settle(
        &self,
        present: Option<&Password>,
        arrival: Arrival,
        id: PasswordId,
        now: Timestamp,
    ) -> Settled {
        match (arrival, present) {
            (Arrival::Awaited, _) => Settled::Replaced(Password {
                id,
                user_id: self.user_id.clone(),
                form: StoredForm::Argon2NtHash(self.secrets.argon2.clone()),
                kind: self.kind,
                created_at: Some(self.counts_from(present)),
                stored_at: now,
                expires_at: self.expires_at(),
                session_id: None,
            }),
            (Arrival::Came, Some(present)) => match present.of_kind(self.kind) {
                Some(changed) => Settled::OfKind(Password {
                    expires_at: self.expires_at(),
                    ..changed
                }),
                None => Settled::Unchanged,
            },
            (Arrival::Came, None) | (Arrival::Overtaken, _) => Settled::Unchanged,
        }
    }

    /// The date of the accepted password, which takes the place of `present`. It is compared with
    /// dates of the directory, whose clock may be behind: dated by the beginning of the change, it
    /// would look newer than what is set in the directory soon afterwards, and that would be lost for
    /// ever (decision U126). So its date is earlier than any that the directory can give it, but later
    /// than that of the password before, which must not come back.
    fn counts_from(&self, present: Option<&Password>) -> Timestamp {
        let earliest = self.created_at.minus(DIRECTORY_CLOCK_SKEW_MAX);
        let before = present.and_then(|present| present.created_at);
        before.map_or(earliest, |before| {
            earliest.max(before.plus(Span::micros(1)))
        })
    }
}

/// Requires that no change of the user is pending (decision U99).
///
/// # Errors
/// `Aborted`.
pub fn require_none_pending(
    pending: Option<&PasswordWriteback>,
    now: Timestamp,
) -> Result<(), Refusal> {
    match pending {
        Some(pending) if !pending.is_over(now) => Err(Refusal::aborted(format!(
            "the directory has not answered to an earlier change of this password yet (operation \
             {}): wait for its end, or cancel it",
            pending.operation_id
        ))),
        _ => Ok(()),
    }
}

/// Judges the answer of an agent about the operation `id` of the pool `userpool_id`, whose digest is
/// `digest` (decision U96).
///
/// # Errors
/// `NotFound` for an operation that is none of this pool, `Precondition` for one that ended otherwise
/// or whose time is over.
pub fn judge_answer(
    found: Option<FoundWriteback>,
    id: &OperationId,
    userpool_id: &UserpoolId,
    digest: &[u8],
    now: Timestamp,
) -> Result<Answered, Refusal> {
    match found {
        Some(FoundWriteback::Pending(pending)) if pending.userpool_id == *userpool_id => {
            if pending.is_over(now) {
                return Err(Refusal::precondition(
                    "WRITEBACK_LATE",
                    format!("the time of operation {id} is over: the change has failed"),
                ));
            }
            Ok(Answered::Ends(pending))
        }
        Some(FoundWriteback::Ended {
            userpool_id: pool,
            answer_digest,
        }) if pool == *userpool_id => {
            if answer_digest.is_some_and(|answer| answer == digest) {
                return Ok(Answered::Repeated);
            }
            Err(Refusal::precondition(
                "WRITEBACK_ENDED",
                format!("operation {id} ended in another way before"),
            ))
        }
        _ => Err(Refusal::not_found("operation", id)),
    }
}

#[cfg(test)]
mod tests;
