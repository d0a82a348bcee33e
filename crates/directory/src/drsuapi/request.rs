//! GetNCChanges, what is asked: DRS_MSG_GETCHGREQ_V8 (MS-DRSR 4.1.10.2.6).
//!
//! Invariant: the position, the vector and the attributes are those of the caller; nothing asks the
//! controller to keep or change anything. Deliberately absent: older requests, which have no set of
//! attributes, and version 10, which has nothing we need.

use super::attribute::{OWN_PREFIXES, ReplicatedAttribute};
use super::bind::Handle;
use super::cursor::ReplicationCursor;
use crate::guid::Guid;
use crate::rpc::ndr::Writer;

pub(super) const GET_CHANGES: u16 = 3;
/// EXOP_REPL_OBJ: one object, whatever its changes (MS-DRSR 4.1.10.2.22).
const REPLICATE_OBJECT: u32 = 6;
/// DRS_INIT_SYNC and DRS_WRIT_REP (MS-DRSR 5.41).
const FLAGS: u32 = 0x30;
/// DRS_SPECIAL_SECRET_PROCESSING (MS-DRSR 5.41): everything but the secrets.
const WITHOUT_SECRETS: u32 = 0x0040_0000;
/// Objects that a page may have; Samba gives as many at most.
const OBJECTS_MAX: u32 = 1_000;
/// Bytes that a page may have; Samba goes by objects and links only.
const PAGE_BYTES_MAX: u32 = 10 << 20;
const VERSION: u32 = 8;
/// Fixed part of a DSNAME, without its text (MS-DRSR 5.50).
const NAME_BYTES: usize = 56;
const SID_BYTES: usize = 28;

/// How the table of prefixes of a request looks. Controllers differ in what they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefixes {
    /// Ours and an empty description of the schema, without which Samba refuses a table.
    WithSchema,
    /// Ours.
    Plain,
    /// None, which stands for the well-known ones.
    Empty,
}

impl Prefixes {
    /// What to try after this was refused.
    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::WithSchema => Some(Self::Plain),
            Self::Plain => Some(Self::Empty),
            Self::Empty => None,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// Changes of a naming context after the position.
    Changes(&'a str, &'a ReplicationCursor),
    /// Whether changes may be read at all: one object, and no secrets.
    Probe(&'a str),
    /// One object. The destination of the request is a controller where controllers replicate;
    /// Windows does this operation only if it knows the object of that name, and is content with
    /// the one of its own site.
    Object { guid: Guid, site: Guid },
}

const NOWHERE: Guid = Guid::from_bytes([0; 16]);
/// 0xff and the description of a schema nobody has (MS-DRSR 5.16.4).
const NO_SCHEMA: [u8; 21] = {
    let mut bytes = [0; 21];
    bytes[0] = 0xff;
    bytes
};

/// The stub of the call.
pub(super) fn encode(
    handle: &Handle,
    target: Target<'_>,
    attributes: &[ReplicatedAttribute],
    prefixes: Prefixes,
) -> Vec<u8> {
    let start = ReplicationCursor::default();
    let (name, guid, cursor, flags, objects, operation) = match target {
        Target::Changes(name, cursor) => (name, NOWHERE, cursor, FLAGS, OBJECTS_MAX, 0),
        Target::Probe(name) => (name, NOWHERE, &start, FLAGS | WITHOUT_SECRETS, 1, 0),
        Target::Object { guid, .. } => ("", guid, &start, FLAGS, 1, REPLICATE_OBJECT),
    };
    let destination = match target {
        Target::Changes(..) | Target::Probe(..) => NOWHERE,
        Target::Object { site, .. } => site,
    };
    let table = table(prefixes);
    let mut writer = Writer::default();
    writer.raw(handle);
    writer.u32(VERSION);
    writer.u32(VERSION);
    writer.align(8);
    writer.guid(destination);
    writer.guid(cursor.invocation_id);
    writer.pointer(true);
    writer.i64(cursor.usns.object);
    writer.i64(cursor.usns.reserved);
    writer.i64(cursor.usns.property);
    writer.pointer(!cursor.up_to_date.is_empty());
    for number in [flags, objects, PAGE_BYTES_MAX, operation] {
        writer.u32(number);
    }
    writer.i64(0);
    writer.pointer(true);
    writer.pointer(false);
    writer.length(table.len());
    writer.pointer(!table.is_empty());
    // What the pointers point to, in their order.
    write_name(&mut writer, name, guid);
    if !cursor.up_to_date.is_empty() {
        write_vector(&mut writer, &cursor.up_to_date);
    }
    write_attributes(&mut writer, attributes);
    write_table(&mut writer, &table);
    writer.into_bytes()
}

fn write_name(writer: &mut Writer, name: &str, guid: Guid) {
    let text: Vec<u16> = name.encode_utf16().collect();
    writer.length(text.len() + 1);
    writer.length(NAME_BYTES + 2 * (text.len() + 1));
    writer.u32(0);
    writer.guid(guid);
    writer.raw(&[0; SID_BYTES]);
    writer.length(text.len());
    for unit in text {
        writer.u16(unit);
    }
    writer.u16(0);
}

/// UPTODATE_VECTOR_V1_EXT.
fn write_vector(writer: &mut Writer, vector: &[(Guid, i64)]) {
    writer.length(vector.len());
    writer.align(8);
    writer.u32(1);
    writer.u32(0);
    writer.length(vector.len());
    writer.u32(0);
    for (controller, usn) in vector {
        writer.guid(*controller);
        writer.i64(*usn);
    }
}

/// PARTIAL_ATTR_VECTOR_V1_EXT; numbers in ascending order, each once.
fn write_attributes(writer: &mut Writer, attributes: &[ReplicatedAttribute]) {
    let deleted = [ReplicatedAttribute::IsDeleted];
    let all = attributes.iter().chain(&deleted);
    let mut numbers: Vec<u32> = all.map(|attribute| attribute.own_number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    writer.length(numbers.len());
    writer.u32(1);
    writer.u32(0);
    writer.length(numbers.len());
    for number in numbers {
        writer.u32(number);
    }
}

fn table(prefixes: Prefixes) -> Vec<(u32, &'static [u8])> {
    match prefixes {
        Prefixes::WithSchema => [&OWN_PREFIXES[..], &[(0, &NO_SCHEMA)]].concat(),
        Prefixes::Plain => OWN_PREFIXES.to_vec(),
        Prefixes::Empty => Vec::new(),
    }
}

fn write_table(writer: &mut Writer, table: &[(u32, &[u8])]) {
    if table.is_empty() {
        return;
    }
    writer.length(table.len());
    for (number, bytes) in table {
        writer.u32(*number);
        writer.length(bytes.len());
        writer.pointer(true);
    }
    for (_, bytes) in table {
        writer.length(bytes.len());
        writer.raw(bytes);
        writer.align(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::ndr::Reader;

    #[test]
    fn the_fixed_part_stands_where_it_should() {
        let mut cursor = ReplicationCursor {
            invocation_id: Guid::from_bytes([3; 16]),
            ..ReplicationCursor::default()
        };
        cursor.usns.object = 11;
        cursor.usns.reserved = 12;
        cursor.usns.property = 13;
        cursor.learn(&[(Guid::from_bytes([4; 16]), 14)]);
        let attributes = [ReplicatedAttribute::UnicodePwd];
        let target = Target::Changes("DC=a", &cursor);
        let stub = encode(&[1; 20], target, &attributes, Prefixes::WithSchema);
        let mut reader = Reader::new(&stub);
        reader.take(20).unwrap();
        assert_eq!((reader.u32(), reader.u32()), (Ok(8), Ok(8)));
        reader.align(8);
        assert_eq!(reader.guid(), Ok(NOWHERE));
        assert_eq!(reader.guid(), Ok(Guid::from_bytes([3; 16])));
        assert_eq!(reader.pointer(), Ok(true));
        assert_eq!(
            (reader.i64(), reader.i64(), reader.i64()),
            (Ok(11), Ok(12), Ok(13))
        );
        assert_eq!(reader.pointer(), Ok(true));
        assert_eq!(reader.u32(), Ok(0x30));
        assert_eq!(reader.u32(), Ok(OBJECTS_MAX));
        reader.u32().unwrap();
        assert_eq!((reader.u32(), reader.i64()), (Ok(0), Ok(0)));
        assert_eq!((reader.pointer(), reader.pointer()), (Ok(true), Ok(false)));
        assert_eq!((reader.u32(), reader.pointer()), (Ok(3), Ok(true)));
        // The name.
        assert_eq!((reader.u32(), reader.u32()), (Ok(5), Ok(66)));
        reader.take(4 + 16 + 28).unwrap();
        assert_eq!(reader.u32(), Ok(4));
        reader.take(10).unwrap();
        // The vector.
        assert_eq!(reader.u32(), Ok(1));
        reader.align(8);
        reader.take(16).unwrap();
        assert_eq!(
            (reader.guid(), reader.i64()),
            (Ok(Guid::from_bytes([4; 16])), Ok(14))
        );
        // The attributes: isDeleted comes along.
        assert_eq!(
            (reader.u32(), reader.u32(), reader.u32()),
            (Ok(2), Ok(1), Ok(0))
        );
        assert_eq!(
            (reader.u32(), reader.u32(), reader.u32()),
            (Ok(2), Ok(0x2_0030), Ok(0x9_005a))
        );
        // The table.
        assert_eq!(reader.u32(), Ok(3));
        reader.take(36).unwrap();
        for length in [8, 8, 21] {
            assert_eq!(reader.u32(), Ok(length));
            reader.take(length as usize).unwrap();
        }
        reader.align(4);
        assert_eq!(reader.end(), Ok(()));
    }
}
