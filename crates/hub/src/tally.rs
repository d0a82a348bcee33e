//! What a call changed, as its answer tells the agent.
//!
//! Invariant: the agent counts what the hub counted, so that its reports never say more; a repeated
//! call is told what the first one changed. Deliberately absent: failures.

use rollcall_domain::named::Named;
use rollcall_domain::tally::Tally;
use tonic::metadata::{Ascii, MetadataValue};

/// Metadata of the answer to each changing call that was sent under a session.
pub const SYNC_SESSION_CHANGES: &str = "x-sync-session-changes";

const NOTHING: &str = "none";

/// `MEMBERSHIP.CREATE=12 MEMBERSHIP.DELETE=3`, or `none`.
#[must_use]
pub fn render(tally: &Tally) -> MetadataValue<Ascii> {
    let cells: Vec<_> = tally
        .cells()
        .map(|(object, change, number)| format!("{}.{}={number}", object.name(), change.name()))
        .collect();
    // Names and numbers are ASCII.
    MetadataValue::try_from(cells.join(" "))
        .ok()
        .filter(|_| !cells.is_empty())
        .unwrap_or_else(|| MetadataValue::from_static(NOTHING))
}

#[cfg(test)]
mod tests {
    use rollcall_domain::progress::{ChangeType, ObjectType};

    use super::*;

    #[test]
    fn cells_are_words_and_nothing_is_one_too() {
        let mut tally = Tally::default();
        assert_eq!(render(&tally), "none");
        tally.add(ObjectType::Membership, ChangeType::Delete, 3);
        tally.add(ObjectType::User, ChangeType::PasswordHashUpdate, 1);
        let expected = "USER.PASSWORD_HASH_UPDATE=1 MEMBERSHIP.DELETE=3";
        assert_eq!(render(&tally), expected);
    }
}
