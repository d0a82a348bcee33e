//! Pages as a controller makes them, for tests.

use super::cursor::Usns;
use crate::guid::Guid;
use crate::rpc::ndr::Writer;

/// One object of a page.
#[derive(Clone)]
pub(super) struct Person {
    pub guid: Guid,
    pub rid: u32,
    pub dn: &'static str,
    /// Numbers and values.
    pub attributes: Vec<(u32, Vec<Vec<u8>>)>,
}

/// A page; the default is the last one of a circle, and empty.
#[derive(Clone)]
pub(super) struct Made {
    pub version: u32,
    pub invocation: u8,
    pub usns: Usns,
    pub vector: Vec<(u8, i64)>,
    pub table: Vec<(u32, Vec<u8>)>,
    pub people: Vec<Person>,
    pub links: u32,
    pub more: bool,
    pub extended: u32,
    pub inner_code: u32,
    pub code: u32,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            version: 6,
            invocation: 1,
            usns: Usns::default(),
            vector: Vec::new(),
            table: Vec::new(),
            people: Vec::new(),
            links: 0,
            more: false,
            extended: 0,
            inner_code: 0,
            code: 0,
        }
    }
}

pub(super) fn guid(byte: u8) -> Guid {
    Guid::from_bytes([byte; 16])
}

impl Made {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u32(self.version);
        writer.u32(self.version);
        writer.align(8);
        writer.guid(guid(9));
        writer.guid(guid(self.invocation));
        writer.pointer(true);
        for usns in [Usns::default(), self.usns] {
            writer.i64(usns.object);
            writer.i64(usns.reserved);
            writer.i64(usns.property);
        }
        writer.pointer(!self.vector.is_empty());
        writer.length(self.table.len());
        writer.pointer(!self.table.is_empty());
        writer.u32(self.extended);
        writer.length(self.people.len());
        writer.u32(0);
        writer.pointer(!self.people.is_empty());
        writer.u32(u32::from(self.more));
        if self.version == 6 {
            writer.raw(&[0; 8]);
            writer.u32(self.links);
            writer.pointer(self.links != 0);
            writer.u32(self.inner_code);
        }
        name(&mut writer, guid(0), "DC=corp", None);
        self.write_vector(&mut writer);
        self.write_table(&mut writer);
        self.write_people(&mut writer);
        self.write_links(&mut writer);
        writer.u32(self.code);
        writer.into_bytes()
    }

    fn write_vector(&self, writer: &mut Writer) {
        if self.vector.is_empty() {
            return;
        }
        writer.length(self.vector.len());
        writer.align(8);
        writer.u32(if self.version == 6 { 2 } else { 1 });
        writer.u32(0);
        writer.length(self.vector.len());
        writer.u32(0);
        for (controller, usn) in &self.vector {
            writer.guid(guid(*controller));
            writer.i64(*usn);
            if self.version == 6 {
                writer.i64(0);
            }
        }
    }

    fn write_table(&self, writer: &mut Writer) {
        if self.table.is_empty() {
            return;
        }
        writer.length(self.table.len());
        for (number, bytes) in &self.table {
            writer.u32(*number);
            writer.length(bytes.len());
            writer.pointer(true);
        }
        for (_, bytes) in &self.table {
            writer.length(bytes.len());
            writer.raw(bytes);
        }
    }

    fn write_people(&self, writer: &mut Writer) {
        for (index, person) in self.people.iter().enumerate() {
            writer.pointer(index + 1 < self.people.len());
            writer.pointer(true);
            writer.u32(0);
            writer.length(person.attributes.len());
            writer.pointer(true);
            writer.u32(0);
            writer.pointer(true);
            writer.pointer(true);
        }
        for person in self.people.iter().rev() {
            name(writer, person.guid, person.dn, Some(person.rid));
            values(writer, &person.attributes);
            writer.guid(guid(8));
            writer.length(person.attributes.len());
            writer.align(8);
            writer.length(person.attributes.len());
            for (index, _) in person.attributes.iter().enumerate() {
                writer.align(8);
                writer.u32(1);
                // 2023-11-14, and a second later for each.
                writer.i64(13_344_473_600 + index as i64);
                writer.guid(guid(7));
                writer.i64(5);
            }
        }
    }

    fn write_links(&self, writer: &mut Writer) {
        if self.links == 0 {
            return;
        }
        writer.u32(self.links);
        for _ in 0..self.links {
            writer.align(8);
            writer.pointer(true);
            writer.u32(31);
            writer.u32(3);
            writer.pointer(true);
            writer.u32(1);
            writer.raw(&[0; 4 + 8 + 40]);
        }
        for _ in 0..self.links {
            name(writer, guid(6), "CN=group", None);
            writer.u32(3);
            writer.raw(b"abc");
        }
    }
}

fn values(writer: &mut Writer, attributes: &[(u32, Vec<Vec<u8>>)]) {
    writer.length(attributes.len());
    for (number, values) in attributes {
        writer.u32(*number);
        writer.length(values.len());
        writer.pointer(!values.is_empty());
    }
    for (_, values) in attributes.iter().filter(|(_, values)| !values.is_empty()) {
        writer.length(values.len());
        for value in values {
            writer.length(value.len());
            writer.pointer(true);
        }
        for value in values {
            writer.length(value.len());
            writer.raw(value);
        }
    }
}

fn name(writer: &mut Writer, guid: Guid, text: &str, rid: Option<u32>) {
    let units: Vec<u16> = text.encode_utf16().collect();
    writer.length(units.len() + 1);
    writer.length(56 + 2 * units.len() + 2);
    let mut sid = [0; 28];
    sid[..12].copy_from_slice(&[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0]);
    sid[24..].copy_from_slice(&rid.unwrap_or_default().to_le_bytes());
    writer.u32(if rid.is_some() { 28 } else { 0 });
    writer.guid(guid);
    writer.raw(&sid);
    writer.length(units.len());
    for unit in units {
        writer.u16(unit);
    }
    writer.u16(0);
}
