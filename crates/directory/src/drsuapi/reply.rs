//! GetNCChanges, what comes back: DRS_MSG_GETCHGREPLY_V1 and V6 (MS-DRSR 4.1.10.2.10, 4.1.10.2.12).
//!
//! Invariant: reading is a loop and not a recursion though objects come as a linked list; every count
//! is checked against the bytes left; a page is read to its last byte or refused. Deliberately
//! absent: the values of links, which are skipped, and compressed replies, which are not asked for.

use std::collections::HashMap;

use super::cursor::Usns;
use crate::guid::Guid;
use crate::rpc::ndr::{Malformed, Reader, Result};
use crate::sid::Sid;

/// Versions that have the same beginning.
const FIRST_VERSION: u32 = 1;
const LINK_VERSION: u32 = 6;
const SID_BYTES: usize = 28;
/// The least bytes of elements, against counts that promise more than there is.
const ENTRY_BYTES: usize = 32;
const ATTRIBUTE_BYTES: usize = 12;
const VALUE_BYTES: usize = 8;
const METADATA_BYTES: usize = 40;
const LINK_BYTES: usize = 72;
const PREFIX_BYTES: usize = 12;
const CURSOR_BYTES: usize = 24;
/// The upper half of an attribute's number names its prefix, and its highest bit means something else.
const PREFIXES_MAX: usize = 1 << 15;
/// A vector with the time of each cursor.
const TIMED_VECTOR_VERSION: u32 = 2;

/// Prefixes of attributes by number.
#[derive(Debug, Default)]
pub(super) struct PrefixTable<'a> {
    entries: HashMap<u32, &'a [u8]>,
}

impl<'a> PrefixTable<'a> {
    #[cfg(test)]
    pub(super) fn of(entries: &[(u32, &'a [u8])]) -> Self {
        Self {
            entries: entries.iter().copied().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn find(&self, number: u32) -> Option<&'a [u8]> {
        self.entries.get(&number).copied()
    }
}

/// One attribute of an object.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub number: u32,
    pub values: Vec<&'a [u8]>,
    /// When it was changed, in seconds since 1601; 0 when the page does not say.
    pub changed: i64,
}

/// One object.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    pub dn: String,
    pub guid: Option<Guid>,
    pub rid: Option<u32>,
    pub attributes: Vec<Attribute<'a>>,
}

/// A page.
#[derive(Debug, Default)]
pub(super) struct Reply<'a> {
    pub invocation_id: Option<Guid>,
    pub usns: Usns,
    pub up_to_date: Vec<(Guid, i64)>,
    pub prefixes: PrefixTable<'a>,
    /// Of an extended operation; 1 is success (MS-DRSR 4.1.10.2.21).
    pub extended: u32,
    pub objects: Vec<Object<'a>>,
    pub more: bool,
    pub links: u64,
    /// The code inside the page, then that of the call.
    pub codes: [u32; 2],
}

/// What an answer to GetNCChanges is.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    Page(Box<Reply<'a>>),
    /// A version that nobody asked for.
    OtherVersion(u32),
}

/// The code of the call, else the one inside the page; reads no more than that.
pub(super) fn code(stub: &[u8]) -> Result<u32> {
    let mut reader = Reader::new(stub);
    let version = parse_version(&mut reader)?;
    let outer = stub.last_chunk().map(|code| u32::from_le_bytes(*code));
    match outer.unwrap_or_default() {
        0 if is_known(version) => {
            let mut reply = Reply::default();
            parse_fixed(&mut reader, &mut reply, version)?;
            let [inner, _] = reply.codes;
            Ok(inner)
        }
        outer => Ok(outer),
    }
}

fn parse_version(reader: &mut Reader<'_>) -> Result<u32> {
    let version = reader.u32()?;
    match reader.u32()? {
        tag if tag == version => Ok(version),
        _ => Err(Malformed("a reply of two versions")),
    }
}

fn is_known(version: u32) -> bool {
    matches!(version, FIRST_VERSION | LINK_VERSION)
}

pub(super) fn parse(stub: &[u8]) -> Result<Answer<'_>> {
    let mut reader = Reader::new(stub);
    let version = parse_version(&mut reader)?;
    if !is_known(version) {
        return Ok(Answer::OtherVersion(version));
    }
    let mut reply = Reply::default();
    let present = parse_fixed(&mut reader, &mut reply, version)?;
    if present.name {
        parse_name(&mut reader)?;
    }
    if present.vector {
        reply.up_to_date = parse_vector(&mut reader)?;
    }
    if present.table {
        reply.prefixes = parse_table(&mut reader, present.prefixes)?;
    } else if present.prefixes != 0 {
        return Err(Malformed("a count without its table"));
    }
    if present.list {
        reply.objects = parse_objects(&mut reader, present.objects)?;
    } else if present.objects != 0 {
        return Err(Malformed("a count without its objects"));
    }
    if present.values {
        skip_links(&mut reader, present.links)?;
        reply.links = u64::from(present.links);
    } else if present.links != 0 {
        return Err(Malformed("a count without its links"));
    }
    let [_, code] = &mut reply.codes;
    *code = reader.u32()?;
    reader.end()?;
    Ok(Answer::Page(Box::new(reply)))
}

/// Which pointers of the fixed part are followed by something, and how many of it.
struct Present {
    name: bool,
    vector: bool,
    table: bool,
    prefixes: u32,
    list: bool,
    objects: u32,
    values: bool,
    links: u32,
}

fn parse_fixed(reader: &mut Reader<'_>, reply: &mut Reply<'_>, version: u32) -> Result<Present> {
    reader.align(8);
    let _controller = reader.guid()?;
    reply.invocation_id = Some(reader.guid()?);
    let name = reader.pointer()?;
    parse_usns(reader)?;
    reply.usns = parse_usns(reader)?;
    let vector = reader.pointer()?;
    let prefixes = reader.u32()?;
    let table = reader.pointer()?;
    reply.extended = reader.u32()?;
    let objects = reader.u32()?;
    let _bytes = reader.u32()?;
    let list = reader.pointer()?;
    reply.more = reader.u32()? != 0;
    let (mut links, mut values) = (0, false);
    if version == LINK_VERSION {
        reader.take(4 + 4)?;
        links = reader.u32()?;
        values = reader.pointer()?;
        let [inner, _] = &mut reply.codes;
        *inner = reader.u32()?;
    }
    Ok(Present {
        name,
        vector,
        table,
        prefixes,
        list,
        objects,
        values,
        links,
    })
}

fn parse_usns(reader: &mut Reader<'_>) -> Result<Usns> {
    Ok(Usns {
        object: reader.i64()?,
        reserved: reader.i64()?,
        property: reader.i64()?,
    })
}

/// A DSNAME (MS-DRSR 5.50).
struct Name {
    text: String,
    guid: Guid,
    rid: Option<u32>,
}

fn parse_name(reader: &mut Reader<'_>) -> Result<Name> {
    let size = reader.u32()?;
    let units = reader.fits(size, 2)?;
    let _length = reader.u32()?;
    let sid_bytes = reader.count(1)?;
    let guid = reader.guid()?;
    let sid = reader.take(SID_BYTES)?;
    let length = reader.count(2)?;
    // The terminating zero is not part of the length.
    if units != length + 1 || sid_bytes > SID_BYTES {
        return Err(Malformed("a name of the wrong length"));
    }
    let bytes = reader.take(2 * units)?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let text = pairs.iter().take(length).copied().map(u16::from_le_bytes);
    let sid = sid.get(..sid_bytes).and_then(Sid::from_slice);
    Ok(Name {
        text: char::decode_utf16(text)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
        guid,
        rid: sid.and_then(|sid| sid.rid()),
    })
}

/// UPTODATE_VECTOR_V1_EXT or V2_EXT.
fn parse_vector(reader: &mut Reader<'_>) -> Result<Vec<(Guid, i64)>> {
    let size = reader.u32()?;
    reader.align(8);
    let version = reader.u32()?;
    let _reserved = reader.u32()?;
    if reader.u32()? != size {
        return Err(Malformed("the size of an array is not the one announced"));
    }
    let _reserved = reader.u32()?;
    let count = reader.fits(size, CURSOR_BYTES)?;
    let mut vector = Vec::with_capacity(count);
    for _ in 0..count {
        let controller = reader.guid()?;
        vector.push((controller, reader.i64()?));
        if version >= TIMED_VECTOR_VERSION {
            reader.i64()?;
        }
    }
    Ok(vector)
}

fn parse_table<'a>(reader: &mut Reader<'a>, announced: u32) -> Result<PrefixTable<'a>> {
    let count = reader.conformance(announced, PREFIX_BYTES)?;
    if count > PREFIXES_MAX {
        return Err(Malformed("more prefixes than attributes can name"));
    }
    let mut fixed = Vec::with_capacity(count);
    for _ in 0..count {
        fixed.push((reader.u32()?, reader.u32()?, reader.pointer()?));
    }
    let mut entries = HashMap::with_capacity(count);
    for (number, length, present) in fixed {
        let bytes: &[u8] = match present {
            true => parse_bytes(reader, length)?,
            false => &[],
        };
        // The last entry is no prefix but says which schema it is, under a number that is taken.
        entries.entry(number).or_insert(bytes);
    }
    Ok(PrefixTable { entries })
}

fn parse_bytes<'a>(reader: &mut Reader<'a>, announced: u32) -> Result<&'a [u8]> {
    let length = reader.conformance(announced, 1)?;
    reader.take(length)
}

/// The fixed part of a REPLENTINFLIST.
struct Entry {
    name: bool,
    attributes: u32,
    list: bool,
    parent: bool,
    metadata: bool,
}

/// The pointer to the next entry is the first one of each, and what it points to is put first
/// (C706 14.3.12.3): so all entries come before what the last one points to, then what the last but
/// one points to, and so on.
fn parse_objects<'a>(reader: &mut Reader<'a>, announced: u32) -> Result<Vec<Object<'a>>> {
    let count = reader.fits(announced, ENTRY_BYTES)?;
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let next = reader.pointer()?;
        let name = reader.pointer()?;
        let _flags = reader.u32()?;
        let attributes = reader.u32()?;
        let list = reader.pointer()?;
        let _is_context = reader.u32()?;
        let parent = reader.pointer()?;
        let metadata = reader.pointer()?;
        if next != (index + 1 < count) {
            return Err(Malformed("the number of objects is not the one announced"));
        }
        entries.push(Entry {
            name,
            attributes,
            list,
            parent,
            metadata,
        });
    }
    let mut objects = Vec::with_capacity(count);
    for entry in entries.iter().rev() {
        objects.push(parse_object(reader, entry)?);
    }
    objects.reverse();
    Ok(objects)
}

fn parse_object<'a>(reader: &mut Reader<'a>, entry: &Entry) -> Result<Object<'a>> {
    let mut object = Object::default();
    if entry.name {
        let name = parse_name(reader)?;
        object.dn = name.text;
        object.guid = Some(name.guid);
        object.rid = name.rid;
    }
    if entry.list {
        object.attributes = parse_attributes(reader, entry.attributes)?;
    } else if entry.attributes != 0 {
        return Err(Malformed("a count without its attributes"));
    }
    if entry.parent {
        reader.guid()?;
    }
    if entry.metadata {
        parse_metadata(reader, &mut object.attributes)?;
    }
    Ok(object)
}

fn parse_attributes<'a>(reader: &mut Reader<'a>, announced: u32) -> Result<Vec<Attribute<'a>>> {
    let count = reader.conformance(announced, ATTRIBUTE_BYTES)?;
    let mut fixed = Vec::with_capacity(count);
    for _ in 0..count {
        fixed.push((reader.u32()?, reader.u32()?, reader.pointer()?));
    }
    let mut attributes = Vec::with_capacity(count);
    for (number, values, present) in fixed {
        if !present && values != 0 {
            return Err(Malformed("a count without its values"));
        }
        attributes.push(Attribute {
            number,
            values: match present {
                true => parse_values(reader, values)?,
                false => Vec::new(),
            },
            changed: 0,
        });
    }
    Ok(attributes)
}

fn parse_values<'a>(reader: &mut Reader<'a>, announced: u32) -> Result<Vec<&'a [u8]>> {
    let count = reader.conformance(announced, VALUE_BYTES)?;
    let mut fixed = Vec::with_capacity(count);
    for _ in 0..count {
        fixed.push((reader.u32()?, reader.pointer()?));
    }
    let mut values = Vec::with_capacity(count);
    for (length, present) in fixed {
        values.push(match present {
            true => parse_bytes(reader, length)?,
            false if length == 0 => &[],
            false => return Err(Malformed("a length without its value")),
        });
    }
    Ok(values)
}

/// PROPERTY_META_DATA_EXT_VECTOR: one element for each attribute, in their order.
fn parse_metadata(reader: &mut Reader<'_>, attributes: &mut [Attribute<'_>]) -> Result<()> {
    let size = reader.u32()?;
    reader.align(8);
    if reader.u32()? != size {
        return Err(Malformed("the size of an array is not the one announced"));
    }
    reader.align(8);
    let count = reader.fits(size, METADATA_BYTES)?;
    let mut attributes = attributes.iter_mut();
    for _ in 0..count {
        let _version = reader.u32()?;
        let changed = reader.i64()?;
        reader.guid()?;
        reader.i64()?;
        if let Some(attribute) = attributes.next() {
            attribute.changed = changed;
        }
    }
    Ok(())
}

/// REPLVALINF_V1, which comes whatever attributes were asked for.
fn skip_links(reader: &mut Reader<'_>, announced: u32) -> Result<()> {
    let count = reader.conformance(announced, LINK_BYTES)?;
    let mut fixed = Vec::with_capacity(count);
    for _ in 0..count {
        reader.align(8);
        let name = reader.pointer()?;
        let _attribute = reader.u32()?;
        let length = reader.u32()?;
        let value = reader.pointer()?;
        // Presence, padding, time of creation, metadata.
        reader.take(4 + 4 + 8 + METADATA_BYTES)?;
        fixed.push((name, length, value));
    }
    for (name, length, value) in fixed {
        if name {
            parse_name(reader)?;
        }
        if value {
            parse_bytes(reader, length)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
