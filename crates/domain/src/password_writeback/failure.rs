//! Why a directory did not take a new password, in words for whoever wanted to set it.
//!
//! Invariant: what a directory says in its own words reaches administrators only; people read texts
//! of this file. Deliberately absent: status codes of the interface.

use crate::named::{Named, named_enum};

named_enum! {
    /// Causes of a failed writeback, as the contract tells them apart.
    pub enum WritebackErrorCode {
        /// The agent may not set the password.
        PermissionDenied = "PERMISSION_DENIED",
        /// The rules of the directory forbid it.
        PasswordPolicyViolation = "PASSWORD_POLICY_VIOLATION",
        /// Anything else.
        UnknownError = "UNKNOWN_ERROR",
        /// It was not written in time.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
    }
}

named_enum! {
    /// Causes in more detail. An agent writes the name of one before the words of the directory:
    /// `PASSWORD_TOO_SHORT: 0000052D: …`.
    pub enum DirectoryReason {
        /// Shorter than the directory allows.
        PasswordTooShort = "PASSWORD_TOO_SHORT",
        /// Not of enough kinds of characters, or with the name of the user inside.
        PasswordTooSimple = "PASSWORD_TOO_SIMPLE",
        /// One of the last passwords.
        PasswordUsedBefore = "PASSWORD_USED_BEFORE",
        /// The present one is too young to be changed.
        PasswordTooYoung = "PASSWORD_TOO_YOUNG",
        /// The directory has another password than the one given as the old one.
        OldPasswordWrong = "OLD_PASSWORD_WRONG",
        /// The directory has no such user.
        UserMissing = "USER_MISSING",
        /// The user is outside of what the agent looks after.
        UserOutOfScope = "USER_OUT_OF_SCOPE",
        /// The directory is busy or does not answer.
        DirectoryUnavailable = "DIRECTORY_UNAVAILABLE",
        /// An agent has the change and said nothing.
        NoAnswer = "NO_ANSWER",
        /// No agent took the change.
        NoAgent = "NO_AGENT",
    }
}

/// A change that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritebackFailure {
    /// The cause in the words of the contract.
    pub code: WritebackErrorCode,
    /// The cause in more detail.
    pub reason: Option<DirectoryReason>,
    /// What the directory said; for administrators.
    pub raw: String,
}

impl WritebackFailure {
    /// A failure that an agent reports in `message`.
    #[must_use]
    pub fn reported(code: WritebackErrorCode, message: &str) -> Self {
        let named = message.split_once(':').and_then(|(name, rest)| {
            let reason = DirectoryReason::parse(name.trim())?;
            Some((reason, rest.trim()))
        });
        match named {
            Some((reason, rest)) => Self {
                code,
                reason: Some(reason),
                raw: rest.to_owned(),
            },
            None => Self {
                code,
                reason: None,
                raw: message.to_owned(),
            },
        }
    }

    /// Stable code for programs.
    #[must_use]
    pub fn reason_name(&self) -> &'static str {
        self.reason.map_or_else(|| self.code.name(), Named::name)
    }

    /// What is wrong and what to do, for the person who wanted the change.
    #[must_use]
    pub fn in_words(&self) -> &'static str {
        match self.reason {
            Some(reason) => reason.in_words(),
            None => self.code.in_words(),
        }
    }
}

impl WritebackErrorCode {
    fn in_words(self) -> &'static str {
        match self {
            Self::PermissionDenied => {
                "the directory does not let its agent set this password: ask an administrator, who \
                 finds the reason in the audit trail"
            }
            Self::PasswordPolicyViolation => {
                "the rules of the directory forbid this password: choose another one"
            }
            Self::UnknownError => {
                "the directory did not take the password: ask an administrator, who finds the \
                 reason in the audit trail"
            }
            Self::DeadlineExceeded => DirectoryReason::NoAnswer.in_words(),
        }
    }
}

impl DirectoryReason {
    fn in_words(self) -> &'static str {
        match self {
            Self::PasswordTooShort => "the directory wants a longer password: choose another one",
            Self::PasswordTooSimple => {
                "the directory wants a password of more kinds of characters (lower and upper case, \
                 digits, other signs) and without your name: choose another one"
            }
            Self::PasswordUsedBefore => {
                "the directory remembers this password from before: choose one that is new"
            }
            Self::PasswordTooYoung => {
                "the password was changed too short a time ago for the rules of the directory: try \
                 again later, or ask an administrator to set it"
            }
            Self::OldPasswordWrong => {
                "the directory has another password than the old one that was given: it may have \
                 been changed there a moment ago; try again with the present one"
            }
            Self::UserMissing => "the directory has no such user any more: ask an administrator",
            Self::UserOutOfScope => {
                "the agent does not look after this user of the directory: ask an administrator"
            }
            Self::DirectoryUnavailable => {
                "the directory is busy or cannot be reached: the password was not changed here; try \
                 again later"
            }
            Self::NoAnswer => {
                "the directory did not answer in time: the password was not changed here; try again \
                 later"
            }
            Self::NoAgent => {
                "the directory cannot be reached now, as no agent of it is connected: try again \
                 later"
            }
        }
    }
}
