//! One change of a password, as the hub sends it.
//!
//! Invariant: both passwords are in wiping memory from the moment the message was decoded; nothing
//! of them is shown.

use std::time::Duration;

use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_proto::idp::GetPasswordChangesResponse;

use crate::engine::Guid;
use crate::engine::password_writeback::Setter;

/// Time for a change of which the hub does not say when its operation ends (decision U89).
const LIFE_DEFAULT: Span = Span::seconds(60);

/// How a change came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is new.
    First,
    /// It came with the first ones of a stream, as what another agent left behind does.
    PerhapsAgain,
}

/// A password that has to be set in the directory.
#[derive(Debug)]
pub struct PasswordChange {
    /// Place in the stream.
    pub offset: i64,
    /// How it came.
    pub delivery: Delivery,
    /// The operation that waits for it.
    pub operation_id: String,
    /// Whose, as the hub says it.
    pub external_user_id: String,
    /// The new one.
    pub password: SecretString,
    /// The present one, when the user changes it.
    pub old: Option<SecretString>,
    /// Has to be changed at the next sign-in.
    pub need_change: bool,
    /// Made by the hub.
    pub generated: bool,
    /// End of the password.
    pub expires_at: Option<prost_types::Timestamp>,
    /// End of the operation, by our clock.
    pub deadline: Timestamp,
}

impl PasswordChange {
    /// Takes over a message that came at `now` from a hub whose clock is ahead of ours by
    /// `clock_ahead`, as far as that is known.
    #[must_use]
    pub fn new(
        message: GetPasswordChangesResponse,
        delivery: Delivery,
        now: Timestamp,
        clock_ahead: Option<Span>,
    ) -> Self {
        let deadline = message.operation_expires_at.map(|at| {
            let at = Timestamp::from_seconds_and_nanos(at.seconds, at.nanos);
            clock_ahead.map_or(at, |ahead| at.minus(ahead))
        });
        let old = SecretString::new(message.old_password);
        Self {
            offset: message.offset,
            delivery,
            operation_id: message.modifying_operation_id,
            external_user_id: message.external_user_id,
            password: SecretString::new(message.password),
            old: (!old.is_empty()).then_some(old),
            need_change: message.need_change,
            generated: message.generated,
            expires_at: message.expires_at,
            deadline: deadline.unwrap_or_else(|| now.plus(LIFE_DEFAULT)),
        }
    }

    /// objectGUID of the user; `None` when it is not one.
    #[must_use]
    pub fn user(&self) -> Option<Guid> {
        Guid::parse(&self.external_user_id)
    }

    /// Who sets it; `None` when the hub says that the user did and has to do it again, which no
    /// directory understands and no hub should say (decision U101).
    #[must_use]
    pub fn setter(&self) -> Option<Setter> {
        match (&self.old, self.need_change) {
            (Some(_), false) => Some(Setter::User),
            (None, must_change) => Some(Setter::Administrator { must_change }),
            (Some(_), true) => None,
        }
    }

    /// Time until the operation ends.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Duration {
        self.deadline.since(now).to_duration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sets_it_and_until_when() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let message = |old: &str, need_change| GetPasswordChangesResponse {
            old_password: old.into(),
            need_change,
            password: "hidden-new".into(),
            external_user_id: "12345678-9abc-def0-0102-030405060708".into(),
            ..GetPasswordChangesResponse::default()
        };
        let taken = |message| PasswordChange::new(message, Delivery::First, now, None);
        let change = taken(message("hidden-old", false));
        assert_eq!(change.setter(), Some(Setter::User));
        assert!(change.user().is_some());
        assert_eq!(change.left(now), Duration::from_secs(60));
        assert!(!format!("{change:?}").contains("hidden"));
        let change = taken(message("hidden-old", true));
        assert_eq!(change.setter(), None);
        let mut sent = message("", true);
        sent.external_user_id = "emp-17".into();
        sent.operation_expires_at = Some(prost_types::Timestamp {
            seconds: now.as_seconds() - 1,
            nanos: 0,
        });
        // Over by our clock, but the hub's is behind it.
        let behind = Some(Span::seconds(-31));
        let change = PasswordChange::new(sent.clone(), Delivery::First, now, behind);
        assert_eq!(change.left(now), Duration::from_secs(30));
        let change = taken(sent);
        let must_change = true;
        assert_eq!(change.setter(), Some(Setter::Administrator { must_change }));
        assert_eq!((change.user(), change.left(now)), (None, Duration::ZERO));
    }
}
