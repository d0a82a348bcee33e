//! What operations changed under synchronization sessions.
//!
//! Invariant: a change and its number are written by the same transaction, each as a row of its
//! own, so that the calls of an agent never wait for each other at the row of their session.
//! Deliberately absent: sums that are kept; a session that has ended holds its last one.

use rollcall_domain::id::SessionId;
use rollcall_domain::named::Named;
use rollcall_domain::operation::SessionWork;
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::sync_session::{SessionStatus, SyncSession};
use rollcall_domain::tally::Tally;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;

impl Tx {
    /// The session with what its operations changed, as far as it still adds to it: one that was
    /// saved after its end holds everything.
    pub async fn count_sync_session(&self, session: SyncSession) -> Result<SyncSession, Error> {
        if session.status != SessionStatus::Opened {
            return Ok(session);
        }
        let seen = self.sum_tallies(&session.id).await?;
        Ok(session.counted(&seen))
    }

    /// Everything that operations changed under a session.
    async fn sum_tallies(&self, session_id: &SessionId) -> Result<Tally, Error> {
        let groups = self
            .all(
                "select session_tally, count(*) from operations where session_id = $1 \
                 group by session_tally",
                params![session_id],
                |row| Ok((row.text()?, row.int()?)),
            )
            .await?;
        let mut sum = Tally::default();
        for (packed, times) in &groups {
            sum.add_times(&unpack(packed)?, *times);
        }
        Ok(sum)
    }
}

pub(crate) fn read_work(row: &mut Row) -> Result<Option<SessionWork>, Error> {
    match (row.opt_text()?, row.opt_text()?) {
        (None, None) => Ok(None),
        (Some(session_id), Some(packed)) => Ok(Some(SessionWork {
            session_id: session_id.as_str().into(),
            tally: unpack(&packed)?,
        })),
        _ => Err(Error::corrupt(
            "an operation has a session without changes, or changes without a session",
        )),
    }
}

/// One letter for each kind of object and of change, then the number: `MC12 MD3`.
pub(crate) fn pack(tally: &Tally) -> String {
    let cells: Vec<_> = tally
        .cells()
        .map(|(object, change, number)| {
            let (object, change) = (object_letter(object), change_letter(change));
            format!("{object}{change}{number}")
        })
        .collect();
    cells.join(" ")
}

fn unpack(packed: &str) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for cell in packed.split_whitespace() {
        let (object, change, number) = unpack_cell(cell)
            .ok_or_else(|| Error::corrupt(format!("the changes {cell:?} cannot be read")))?;
        tally.add(object, change, number);
    }
    Ok(tally)
}

fn unpack_cell(cell: &str) -> Option<(ObjectType, ChangeType, i64)> {
    let (object, change, number) = split_cell(cell)?;
    Some((object, change, number.parse().ok()?))
}

/// The kinds that a cell begins with, and the rest of it.
pub(crate) fn split_cell(cell: &str) -> Option<(ObjectType, ChangeType, &str)> {
    let mut chars = cell.chars();
    let (object, change) = (chars.next()?, chars.next()?);
    let object = *ObjectType::ALL
        .iter()
        .find(|known| object_letter(**known) == object)?;
    let change = *ChangeType::ALL
        .iter()
        .find(|known| change_letter(**known) == change)?;
    Some((object, change, chars.as_str()))
}

pub(crate) fn object_letter(object: ObjectType) -> char {
    match object {
        ObjectType::User => 'U',
        ObjectType::Group => 'G',
        ObjectType::Membership => 'M',
    }
}

pub(crate) fn change_letter(change: ChangeType) -> char {
    match change {
        ChangeType::Create => 'C',
        ChangeType::Update => 'U',
        ChangeType::Delete => 'D',
        ChangeType::Activate => 'A',
        ChangeType::Deactivate => 'X',
        ChangeType::PasswordHashUpdate => 'P',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_its_text() {
        let mut tally = Tally::default();
        for object in ObjectType::ALL {
            for (number, change) in (1..).zip(ChangeType::ALL) {
                tally.add(*object, *change, number);
            }
        }
        assert_eq!(unpack(&pack(&tally)).unwrap(), tally);
        let few = Tally::of(ObjectType::Membership, ChangeType::Delete, 12);
        assert_eq!(pack(&few), "MD12");
        for damaged in ["MD", "MD1/2", "ZD1", "MZ1", "M"] {
            assert!(unpack(damaged).is_err(), "{damaged}");
        }
    }
}
