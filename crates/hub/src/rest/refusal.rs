//! What the transcoder itself refuses, before any call is made.

/// A request that cannot be turned into a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No rule has this path.
    #[error("there is nothing at this path; see the list of resources in the documentation")]
    UnknownPath,
    /// The path exists, but not with this method. Holds the methods it has, for the Allow header.
    #[error("this path does not take this method; it takes {0}")]
    WrongMethod(String),
    /// The path or query is longer than we read.
    #[error("the address is longer than {bytes_max} bytes")]
    AddressTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The body is longer than we read.
    #[error("the body is longer than {bytes_max} bytes; send fewer items per request")]
    BodyTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {seconds_max} s")]
    BodyTooSlow {
        /// The limit.
        seconds_max: u64,
    },
    /// The body ended early or its transfer broke.
    #[error("the body could not be read to its end")]
    BodyBroken,
    /// The body is not JSON by its headers.
    #[error("the body must be sent as Content-Type: application/json without Content-Encoding")]
    WrongContentType,
    /// A value in the path, the query or the body. `field` is empty when no single field is at fault.
    #[error("{}", in_words(field, why))]
    Invalid {
        /// The dotted name in the spelling of the contract.
        field: String,
        /// What is expected instead.
        why: String,
    },
}

impl Refusal {
    /// A refusal because of one field.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            why: why.into(),
        }
    }
}

fn in_words(field: &str, why: &str) -> String {
    if field.is_empty() {
        why.to_owned()
    } else {
        format!("{field}: {why}")
    }
}
