//! Why a run ended badly, and the exit code that says so (decision U116).
//!
//! Invariant: the text is for a person: what is wrong and what to do.

/// A run, or the whole program, could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration, or the settings of the hub, cannot be used. It ends a program that starts,
    /// or runs once; a service tries again.
    #[error("{0}")]
    Config(String),
    /// Secret files are open to others.
    #[error("{0}")]
    Permission(String),
    /// The directory or the hub refused who we are.
    #[error("{0}")]
    Authentication(String),
    /// The session's lease was lost, or may have been.
    #[error("the session was lost: {0}; nothing more was written")]
    LeaseLost(String),
    /// Asked to stop.
    #[error("stopped")]
    Stopped,
    /// Anything else.
    #[error("{0}")]
    Run(String),
}

impl Failure {
    /// What the program returns.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            // The service is meant to be stopped and does not fail by it; a single run is not.
            Self::Run(_) | Self::LeaseLost(_) | Self::Stopped => 1,
            Self::Config(_) => 2,
            Self::Permission(_) => 3,
            Self::Authentication(_) => 4,
        }
    }

    /// A failure of the run with the chain of `error`'s sources in its text.
    #[must_use]
    pub fn run(what: &str, error: &dyn std::error::Error) -> Self {
        Self::Run(format!("{what}: {}", chain(error)))
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<crate::index_file::IndexFileError> for Failure {
    fn from(error: crate::index_file::IndexFileError) -> Self {
        Self::Run(chain(&error))
    }
}

/// An error and all its sources in one line, without repeating what is already said.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = inner.source();
    }
    text
}
