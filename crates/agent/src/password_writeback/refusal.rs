//! Why a password was not set in the directory, for the hub.
//!
//! Invariant: the code is for programs. The message names the reason where there is a name for it, in
//! the words the hub knows (`PASSWORD_TOO_SHORT: …`), goes on with a sentence for an administrator and
//! ends with what the directory said. No password is in it.

use rollcall_directory::{PasswordProblem, PasswordRefusal};
use rollcall_proto::idp::PasswordWritebackErrorDetails;
use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode as Code;
use serde::{Deserialize, Serialize};

/// Longest message; what a directory says is far shorter.
const MESSAGE_CHARACTERS_MAX: usize = 1_000;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The number of [`Code`].
    code: i32,
    /// For people.
    pub message: String,
}

/// What kept the agent from coming to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Which.
    pub kind: ObstacleKind,
    /// What was said.
    pub text: String,
}

/// Kinds of obstacles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObstacleKind {
    /// The directory cannot be reached, or is busy: nothing was written.
    Unavailable,
    /// The directory has the password and said nothing.
    NoAnswer,
}

/// The reason by its name, as far as it has one.
fn name_of(problem: PasswordProblem) -> Option<&'static str> {
    Some(match problem {
        PasswordProblem::TooShort => "PASSWORD_TOO_SHORT",
        PasswordProblem::NotComplex => "PASSWORD_TOO_SIMPLE",
        PasswordProblem::InHistory => "PASSWORD_USED_BEFORE",
        PasswordProblem::TooYoung => "PASSWORD_TOO_YOUNG",
        PasswordProblem::WrongOld => "OLD_PASSWORD_WRONG",
        PasswordProblem::NoSuchUser => "USER_MISSING",
        PasswordProblem::Busy => "DIRECTORY_UNAVAILABLE",
        PasswordProblem::NoAnswer => "NO_ANSWER",
        PasswordProblem::NoRight
        | PasswordProblem::Policy
        | PasswordProblem::Locked
        | PasswordProblem::NotEncrypted
        | PasswordProblem::Other => return None,
    })
}

fn code_of(problem: PasswordProblem) -> Code {
    match problem {
        PasswordProblem::NoRight => Code::PermissionDenied,
        PasswordProblem::TooShort
        | PasswordProblem::NotComplex
        | PasswordProblem::InHistory
        | PasswordProblem::TooYoung
        | PasswordProblem::Policy => Code::PasswordPolicyViolation,
        PasswordProblem::Busy | PasswordProblem::NoAnswer => Code::DeadlineExceeded,
        PasswordProblem::WrongOld
        | PasswordProblem::Locked
        | PasswordProblem::NoSuchUser
        | PasswordProblem::NotEncrypted
        | PasswordProblem::Other => Code::UnknownError,
    }
}

impl Refusal {
    fn new(code: Code, name: Option<&str>, sentence: &str, said: &str) -> Self {
        let mut message = name.map_or_else(String::new, |name| format!("{name}: "));
        message.push_str(sentence);
        if !said.is_empty() {
            message.push_str(&format!(" ({said})"));
        }
        Self {
            code: code.into(),
            message: message.chars().take(MESSAGE_CHARACTERS_MAX).collect(),
        }
    }

    fn of_problem(problem: PasswordProblem, said: &str) -> Self {
        let (code, name) = (code_of(problem), name_of(problem));
        Self::new(code, name, &problem.to_string(), said)
    }

    /// What the directory objects to.
    #[must_use]
    pub fn of_directory(refusal: &PasswordRefusal) -> Self {
        Self::of_problem(refusal.problem, &refusal.text)
    }

    /// The time is over; this was in the way last.
    #[must_use]
    pub fn late(obstacle: Option<&Obstacle>) -> Self {
        let said = obstacle.map_or("the change came too late", |found| found.text.as_str());
        match obstacle.map(|found| found.kind) {
            Some(ObstacleKind::NoAnswer) => Self::of_problem(PasswordProblem::NoAnswer, said),
            Some(ObstacleKind::Unavailable) | None => Self::of_problem(PasswordProblem::Busy, said),
        }
    }

    /// The user is none of this agent's.
    #[must_use]
    pub fn out_of_scope(reasons: &str) -> Self {
        let sentence = "the agent sets passwords only of users it synchronizes, and this is none";
        let name = Some("USER_OUT_OF_SCOPE");
        Self::new(Code::PermissionDenied, name, sentence, reasons)
    }

    /// The user is not there.
    #[must_use]
    pub fn no_such_user(said: &str) -> Self {
        Self::of_problem(PasswordProblem::NoSuchUser, said)
    }

    /// Somebody else set another password after this one was begun.
    #[must_use]
    pub fn overtaken() -> Self {
        let sentence = "the password of the user was set to another one in the directory \
                        meanwhile, and that one counts";
        Self::new(Code::UnknownError, None, sentence, "")
    }

    /// The agent, or its connection, broke off in the middle.
    #[must_use]
    pub fn unclear(said: &str) -> Self {
        let sentence = "the agent was interrupted, and whether the directory took the password is \
                        not known. It was not tried again, because a wrong present password counts \
                        towards a lock";
        Self::new(Code::UnknownError, None, sentence, said)
    }

    /// Anything that is none of the above.
    #[must_use]
    pub fn other(said: &str) -> Self {
        let sentence = "the agent could not set the password in the directory";
        Self::new(Code::UnknownError, None, sentence, said)
    }

    /// The name of the code, for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Code::try_from(self.code)
            .unwrap_or(Code::UnknownError)
            .as_str_name()
    }

    /// As the hub takes it.
    #[must_use]
    pub fn details(&self) -> PasswordWritebackErrorDetails {
        PasswordWritebackErrorDetails {
            error_code: self.code,
            error_message: self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_code_and_its_own_sentence() {
        let of = |problem| {
            let text = "result 19: 0000052D: x".to_owned();
            Refusal::of_directory(&PasswordRefusal { problem, text })
        };
        let policy = [
            PasswordProblem::TooShort,
            PasswordProblem::NotComplex,
            PasswordProblem::InHistory,
            PasswordProblem::TooYoung,
            PasswordProblem::Policy,
        ];
        let late = |kind| {
            let text = "x".to_owned();
            Refusal::late(Some(&Obstacle { kind, text }))
        };
        let all = [
            (Refusal::late(None), "DEADLINE_EXCEEDED"),
            (late(ObstacleKind::Unavailable), "DEADLINE_EXCEEDED"),
            (late(ObstacleKind::NoAnswer), "DEADLINE_EXCEEDED"),
            (of(PasswordProblem::NoRight), "PERMISSION_DENIED"),
            (Refusal::out_of_scope("x"), "PERMISSION_DENIED"),
            (of(PasswordProblem::WrongOld), "UNKNOWN_ERROR"),
            (of(PasswordProblem::Locked), "UNKNOWN_ERROR"),
            (Refusal::no_such_user("x"), "UNKNOWN_ERROR"),
            (of(PasswordProblem::NotEncrypted), "UNKNOWN_ERROR"),
            (of(PasswordProblem::Other), "UNKNOWN_ERROR"),
            (Refusal::overtaken(), "UNKNOWN_ERROR"),
            (Refusal::unclear("x"), "UNKNOWN_ERROR"),
            (Refusal::other("x"), "UNKNOWN_ERROR"),
        ];
        let policy = policy.map(|problem| (of(problem), "PASSWORD_POLICY_VIOLATION"));
        let mut seen = std::collections::BTreeSet::new();
        for (refusal, code) in all.into_iter().chain(policy) {
            assert_eq!(refusal.code(), code, "{refusal:?}");
            assert!(seen.insert(refusal.message.clone()), "{refusal:?}");
        }
        let long = Refusal::other(&"ä".repeat(5_000));
        assert_eq!(long.message.chars().count(), MESSAGE_CHARACTERS_MAX);
        let short = of(PasswordProblem::TooShort).message;
        assert!(
            short.starts_with("PASSWORD_TOO_SHORT: the password is shorter"),
            "{short}"
        );
        assert!(short.ends_with("(result 19: 0000052D: x)"), "{short}");
        // Without a name of its own nothing stands before a colon that could be taken for one.
        for refusal in [
            Refusal::overtaken(),
            Refusal::unclear("x"),
            Refusal::other("x"),
        ] {
            let before = refusal.message.split(':').next().unwrap();
            assert!(before.contains(' '), "{refusal:?}");
        }
    }
}
