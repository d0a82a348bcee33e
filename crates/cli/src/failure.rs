//! Why a command did not succeed, and the exit code for it.

use std::io;

use rollcall_client::{ClientError, ErrorKind, KeyError};

const ERROR: u8 = 1;
const USAGE: u8 = 2;
const AUTHENTICATION: u8 = 4;
/// What shells give for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Arguments, environment or profiles are wrong.
    #[error("{0}")]
    Usage(String),
    /// The hub or the way to it.
    #[error("{}", describe(.0))]
    Hub(#[from] ClientError),
    /// Somebody who has no key or token yet was refused, in the words of the hub.
    #[error("{0}")]
    Refused(String),
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// Somebody pressed Ctrl-C while waiting.
    #[error("{0}")]
    Interrupted(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// A fault of arguments, environment or profiles.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// 1 for errors, 2 for usage and configuration, 4 for authentication, 130 for Ctrl-C.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Hub(error) => match error.kind {
                ErrorKind::Configuration => USAGE,
                ErrorKind::Unauthenticated => AUTHENTICATION,
                _ => ERROR,
            },
            Self::Refused(_) => AUTHENTICATION,
            Self::Interrupted(_) => INTERRUPTED,
            Self::Output(_) | Self::Other(_) => ERROR,
        }
    }

    /// Whether the reader of the output went away, which is no news to anybody.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn describe(error: &ClientError) -> String {
    match &error.request_id {
        Some(request_id) if error.kind == ErrorKind::Other => {
            format!("{error} (request {request_id})")
        }
        _ => error.to_string(),
    }
}
