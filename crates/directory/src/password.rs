//! Setting the password of a user: the change of one attribute that nobody may read.
//!
//! Invariant: a password is sent only over a connection that nobody on the way can read, in buffers
//! that are wiped; a refusal says what the directory objects to, and whether it is certain that
//! nothing was written. Deliberately absent: the policy itself (the directory judges), and trying
//! again: a wrong old password counts as a failed sign-in.
//!
//! MS-ADTS 3.1.1.3.1.5: the value of `unicodePwd` is the password in quotation marks, in UTF-16LE.
//! Replacing it is a reset, deleting the old and adding the new value in one request is a change by
//! the user, for which minimum age and history count too.

use std::fmt;

use rollcall_kit::secret::SecretString;
use zeroize::Zeroizing;

use crate::connection::Connection;
use crate::error::Error;
use crate::guid::Guid;
use crate::message::{self, Modification, Operation, Outcome};
use crate::options::Options;
use crate::search::Base;
use crate::security::SecurityError;

const DURING: &str = "setting a password";
const PASSWORD: &str = "unicodePwd";
const LAST_SET: &str = "pwdLastSet";
/// A pwdLastSet of 0 means that the password has to be changed.
const MUST_CHANGE: &[u8] = b"0";
/// KDC_ERR_PREAUTH_FAILED (RFC 4120 7.5.9).
const WRONG_KEY: u32 = 24;

/// Whether the user has to choose another password at the next sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextSignIn {
    /// No.
    Free,
    /// Yes.
    MustChange,
}

/// Who sets a password. A change that makes the password one that has to be changed is nothing a
/// directory knows: Samba takes the new `pwdLastSet` for the age of the old password.
#[derive(Clone, Copy, Debug)]
pub enum Setter<'a> {
    /// The user, who knows the present one.
    User {
        /// The present one.
        old: &'a SecretString,
    },
    /// An administrator.
    Administrator(NextSignIn),
}

/// A password to be set.
#[derive(Clone, Copy, Debug)]
pub struct PasswordWrite<'a> {
    /// Whose.
    pub user: Guid,
    /// The new one.
    pub new: &'a SecretString,
    /// By whom.
    pub setter: Setter<'a>,
}

/// Why a password was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PasswordRefusal {
    /// What is wrong, in our words.
    pub problem: PasswordProblem,
    /// What the directory or the network said, for an administrator; empty when nothing was said.
    pub text: String,
}

/// What can be wrong. `Display` is a sentence for the user and the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProblem {
    /// The account may not do it (result 50).
    NoRight,
    /// Shorter than the policy demands.
    TooShort,
    /// Not of enough kinds of characters, or with the name in it.
    NotComplex,
    /// Used before.
    InHistory,
    /// The present one is younger than the policy demands.
    TooYoung,
    /// The policy refuses it without saying why.
    Policy,
    /// The old one is wrong; the directory has counted that.
    WrongOld,
    /// The account is locked after too many wrong passwords.
    Locked,
    /// There is no such object, or it cannot be seen.
    NoSuchUser,
    /// The connection is not encrypted.
    NotEncrypted,
    /// The directory is busy or gave up; nothing was written.
    Busy,
    /// No answer came; whether it was written is not known.
    NoAnswer,
    /// Anything else the directory said.
    Other,
}

impl PasswordProblem {
    /// Whether it is certain that nothing was written.
    #[must_use]
    pub fn is_certain(self) -> bool {
        self != Self::NoAnswer
    }
}

impl fmt::Display for PasswordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRight => {
                "the account of the agent may not set the password of this user; grant it \"Reset \
                 Password\" (for changes by the users themselves \"Change Password\") and \"Write \
                 pwdLastSet\" there"
            }
            Self::TooShort => "the password is shorter than the directory demands",
            Self::NotComplex => {
                "the password is too simple for the directory: letters, digits and other \
                 characters have to be mixed, and the name must not be in it"
            }
            Self::InHistory => "the directory has had this password for the user before",
            Self::TooYoung => {
                "the present password is too young: the directory allows the next change later"
            }
            Self::Policy => {
                "the policy of the directory refuses the password: it may be too short, too \
                 simple, used before, or the present one too young"
            }
            Self::WrongOld => "the present password is wrong in the directory",
            Self::Locked => {
                "the account is locked in the directory after too many wrong passwords; an \
                 administrator can unlock it"
            }
            Self::NoSuchUser => {
                "the directory does not have this user any more, or the account of the agent may \
                 not see it"
            }
            Self::NotEncrypted => {
                "a password is not sent over a connection that is not encrypted; use ldaps:// or \
                 Kerberos"
            }
            Self::Busy => "the directory is busy or unavailable; nothing was changed",
            Self::NoAnswer => {
                "the directory did not answer in time; whether the password was set is not known"
            }
            Self::Other => "the directory refused the password",
        })
    }
}

/// What a sign-in tells of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is the present one, whether or not its user may sign in.
    Right,
    /// It is another one; the directory has counted that.
    Wrong,
    /// That cannot be told, for this reason.
    Unknown(String),
}

impl Connection {
    /// Sets a password.
    ///
    /// # Errors
    /// [`PasswordRefusal`]; the password of the directory is what it was, except perhaps after
    /// [`PasswordProblem::NoAnswer`].
    pub async fn set_password(&mut self, write: &PasswordWrite<'_>) -> Result<(), PasswordRefusal> {
        if !self.is_encrypted() {
            return Err(PasswordProblem::NotEncrypted.because(String::new()));
        }
        let new = value(write.new);
        let old = match write.setter {
            Setter::User { old } => Some(value(old)),
            Setter::Administrator(_) => None,
        };
        let mut changes: Vec<Modification<'_>> = match &old {
            Some(old) => vec![
                (Operation::Delete, PASSWORD, vec![old.as_slice()]),
                (Operation::Add, PASSWORD, vec![new.as_slice()]),
            ],
            None => vec![(Operation::Replace, PASSWORD, vec![new.as_slice()])],
        };
        if let Setter::Administrator(NextSignIn::MustChange) = write.setter {
            changes.push((Operation::Replace, LAST_SET, vec![MUST_CHANGE]));
        }
        let id = self.next_id();
        let request = message::modify(id, &Base::Guid(write.user).to_text(), &changes);
        let outcome = self.modified(id, &request, DURING).await;
        match outcome.map_err(|error| unanswered(&error))? {
            Outcome { code: 0, .. } => Ok(()),
            outcome => Err(refused(outcome)),
        }
    }
}

/// Whether the password in `options`, which is that of a user, is the present one. A wrong one
/// counts as a failed sign-in.
///
/// # Errors
/// When the directory could not be asked.
pub async fn verify_password(options: &Options) -> Result<Verified, Error> {
    let error = match Connection::open(options).await {
        Ok(connection) => {
            connection.close().await;
            return Ok(Verified::Right);
        }
        Err(error) => error,
    };
    let right = match &error {
        Error::BindRefused { problem, .. } => problem.password_was_right(),
        Error::Security(SecurityError::Refused(refusal)) if refusal.code == WRONG_KEY => {
            Some(false)
        }
        Error::Security(SecurityError::Refused(_)) if !error.is_transient() => None,
        _ => return Err(error),
    };
    Ok(match right {
        Some(true) => Verified::Right,
        Some(false) => Verified::Wrong,
        None => Verified::Unknown(error.to_string()),
    })
}

impl PasswordProblem {
    fn because(self, text: String) -> PasswordRefusal {
        PasswordRefusal {
            problem: self,
            text,
        }
    }
}

/// The password as the directory takes it.
fn value(password: &SecretString) -> Zeroizing<Vec<u8>> {
    const QUOTE: [u8; 2] = [b'"', 0];
    let units = password.expose().encode_utf16().count();
    // Enough from the start: a buffer that grows leaves copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(2 * units + 2 * QUOTE.len()));
    value.extend(QUOTE);
    for unit in password.expose().encode_utf16() {
        value.extend(unit.to_le_bytes());
    }
    value.extend(QUOTE);
    value
}

/// The request may have arrived, and have been carried out: also when the directory says that it is
/// unavailable as it closes the connection, which answers no request (RFC 4511 4.4.1).
fn unanswered(error: &Error) -> PasswordRefusal {
    PasswordProblem::NoAnswer.because(error.to_string())
}

/// The code of Windows in front of a text: `0000052D: …` (MS-ERREF 2.2).
fn windows_code(text: &str) -> Option<u32> {
    let (code, _) = text.split_once(':')?;
    (code.len() == 8)
        .then(|| u32::from_str_radix(code, 16).ok())
        .flatten()
}

fn refused(outcome: Outcome) -> PasswordRefusal {
    /// ERROR_GEN_FAILURE: a Windows controller that finds the connection too weak.
    const GENERAL: u32 = 0x1f;
    /// ERROR_INVALID_PASSWORD.
    const WRONG: u32 = 0x56;
    /// ERROR_PASSWORD_RESTRICTION.
    const RESTRICTION: u32 = 0x52d;
    /// ERROR_ACCOUNT_LOCKED_OUT.
    const LOCKED: u32 = 0x775;
    let problem = match (outcome.code, windows_code(&outcome.text)) {
        (50, _) => PasswordProblem::NoRight,
        // What Samba 4.17 says to a change without the right to it.
        (19, None) if outcome.text.contains("error in module acl:") => PasswordProblem::NoRight,
        (32, _) => PasswordProblem::NoSuchUser,
        (3 | 51 | 52 | 85, _) => PasswordProblem::Busy,
        (8 | 13, _) | (53, Some(GENERAL)) => PasswordProblem::NotEncrypted,
        (19 | 53, Some(RESTRICTION)) => policy(&outcome.text),
        (19 | 53, Some(WRONG)) => PasswordProblem::WrongOld,
        (_, Some(LOCKED)) => PasswordProblem::Locked,
        _ => PasswordProblem::Other,
    };
    let text = format!("result {}: {}", outcome.code, outcome.text);
    problem.because(text)
}

/// What of the policy it was; Samba tells, Windows does not.
fn policy(text: &str) -> PasswordProblem {
    let reasons = [
        ("too short", PasswordProblem::TooShort),
        ("complexity", PasswordProblem::NotComplex),
        ("already used", PasswordProblem::InHistory),
        ("too young", PasswordProblem::TooYoung),
    ];
    let found = reasons.iter().find(|(word, _)| text.contains(word));
    found.map_or(PasswordProblem::Policy, |(_, problem)| *problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_and_wide_and_its_buffer_never_grew() {
        for (password, bytes) in [
            ("", vec![0x22, 0, 0x22, 0]),
            ("aЯ", vec![0x22, 0, 0x61, 0, 0x2f, 4, 0x22, 0]),
            ("\"", vec![0x22, 0, 0x22, 0, 0x22, 0]),
            ("😀", vec![0x22, 0, 0x3d, 0xd8, 0x00, 0xde, 0x22, 0]),
        ] {
            let value = value(&SecretString::new(password.into()));
            assert_eq!(*value, bytes);
            assert_eq!(value.capacity(), bytes.len());
        }
    }

    #[test]
    fn a_notice_of_disconnection_is_no_answer() {
        let text = "the server stops".to_owned();
        let refusal = unanswered(&Error::Busy { code: 52, text });
        assert_eq!(refusal.problem, PasswordProblem::NoAnswer);
        assert!(!refusal.problem.is_certain() && refusal.text.contains("the server stops"));
    }

    #[test]
    fn refusals_of_both_kinds_of_servers() {
        let samba = |code, tail: &str| {
            let text =
                format!("{code:08X}: Constraint violation - check_password_restrictions: {tail}");
            (19, text)
        };
        let windows = "0000052D: SvcErr: DSID-031A1254, problem 5003 (WILL_NOT_PERFORM), data 0\n";
        let change = "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D: DSID-03191083, problem \
                      1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n";
        let wrong = "00000056: AtrErr: DSID-03191083, #1:\n\t0: 00000056: DSID-03191083, problem \
                     1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n";
        let weak = "0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n";
        for ((code, text), problem) in [
            (
                samba(
                    0x52d,
                    "the password is too short. It should be equal or longer than 7 characters!",
                ),
                PasswordProblem::TooShort,
            ),
            (
                samba(0x52d, "the password does not meet the complexity criteria!"),
                PasswordProblem::NotComplex,
            ),
            (
                samba(0x52d, "the password was already used (in history)!"),
                PasswordProblem::InHistory,
            ),
            (
                samba(0x52d, "the password was already used (previous password)!"),
                PasswordProblem::InHistory,
            ),
            (
                samba(0x52d, "password is too young to change!"),
                PasswordProblem::TooYoung,
            ),
            (
                samba(0x52d, "password changes disabled!"),
                PasswordProblem::Policy,
            ),
            (
                samba(0x56, "The old password specified doesn't match!"),
                PasswordProblem::WrongOld,
            ),
            (samba(0x775, "locked out!"), PasswordProblem::Locked),
            ((53, windows.into()), PasswordProblem::Policy),
            ((19, change.into()), PasswordProblem::Policy),
            ((19, wrong.into()), PasswordProblem::WrongOld),
            ((53, weak.into()), PasswordProblem::NotEncrypted),
            (
                (50, "00000005: SecErr: DSID-031A11ED".into()),
                PasswordProblem::NoRight,
            ),
            (
                (
                    19,
                    "error in module acl: Constraint violation during LDB_MODIFY (19)".into(),
                ),
                PasswordProblem::NoRight,
            ),
            ((32, String::new()), PasswordProblem::NoSuchUser),
            ((51, "busy".into()), PasswordProblem::Busy),
            ((3, String::new()), PasswordProblem::Busy),
            ((80, "0000052D: other".into()), PasswordProblem::Other),
            (
                (53, "00002035: setup_io: it's not possible".into()),
                PasswordProblem::Other,
            ),
            ((19, "é: 0".into()), PasswordProblem::Other),
        ] {
            let outcome = Outcome {
                code,
                text: text.clone(),
                referrals: Vec::new(),
            };
            let refusal = refused(outcome);
            assert_eq!(refusal.problem, problem, "{text}");
            assert!(refusal.text.contains(&text) && refusal.problem.is_certain());
        }
    }
}
