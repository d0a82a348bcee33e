//! What the hub says a call changed: `MEMBERSHIP.CREATE=12 MEMBERSHIP.DELETE=3`, or `none`.
//!
//! Invariant: kinds that this version does not know are left out, and so is what cannot be read:
//! the hub counts for itself. Deliberately absent: what a call was meant to change.

use tonic::metadata::MetadataMap;

use crate::progress::{Change, ObjectType};

const HEADER: &str = "x-sync-session-changes";
/// Cells of one answer: each kind of object with each kind of change.
const CELLS_MAX: usize = 18;

/// A kind of change of a kind of object, and how many there were.
pub type Cell = (ObjectType, Change, u64);

/// What the metadata of an answer tell; `None` when the hub does not count.
#[must_use]
pub fn parse(metadata: &MetadataMap) -> Option<Vec<Cell>> {
    let text = metadata.get(HEADER)?.to_str().ok()?;
    let words = text.split(' ').take(CELLS_MAX);
    Some(words.filter_map(parse_cell).collect())
}

fn parse_cell(word: &str) -> Option<Cell> {
    let (kind, number) = word.split_once('=')?;
    let (object, change) = kind.split_once('.')?;
    let object = match object {
        "USER" => ObjectType::User,
        "GROUP" => ObjectType::Group,
        "MEMBERSHIP" => ObjectType::Membership,
        _ => return None,
    };
    let change = match change {
        "CREATE" => Change::Create,
        "UPDATE" => Change::Update,
        "DELETE" => Change::Delete,
        "ACTIVATE" => Change::Activate,
        "DEACTIVATE" => Change::Deactivate,
        "PASSWORD_HASH_UPDATE" => Change::PasswordHashUpdate,
        _ => return None,
    };
    Some((object, change, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    #[test]
    fn the_hub_may_say_more_than_is_known() {
        let check = |text: &'static str, expected: &[Cell]| {
            let mut metadata = MetadataMap::new();
            metadata.insert(HEADER, MetadataValue::from_static(text));
            assert_eq!(parse(&metadata).as_deref(), Some(expected), "{text}");
        };
        assert_eq!(parse(&MetadataMap::new()), None);
        check("none", &[]);
        check("", &[]);
        check("USER.CREATE=1", &[(ObjectType::User, Change::Create, 1)]);
        let two = [
            (ObjectType::Membership, Change::Create, 12),
            (ObjectType::Membership, Change::Delete, 3),
        ];
        check("MEMBERSHIP.CREATE=12 MEMBERSHIP.DELETE=3", &two);
        check(
            "MEMBERSHIP.CREATE=12 ROLE.CREATE=1 X MEMBERSHIP.DELETE=3",
            &two,
        );
        check("USER.CREATE=-1 USER.MOVE=1 USER=1", &[]);
    }
}
