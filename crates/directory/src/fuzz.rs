//! Every decoder of bytes from elsewhere under a name, for fuzzing.
//!
//! Invariant: a new decoder gets a line here. Not part of the interface of this crate.

use std::str::FromStr;

use crate::attributes::Attributes;
use crate::dirsync::{parse_position, take_members};
use crate::dn::Dn;
use crate::drsuapi::{self, ReplicationCursor};
use crate::filter::Filter;
use crate::guid::Guid;
use crate::message::{self, Message};
use crate::rpc::{mapper, pdu};
use crate::search::parse_entry;
use crate::security::krb5_config::Krb5Config;
use crate::security::{keytab, refusal, wrap_token};
use crate::sid::Sid;

/// Decodes the bytes and forgets the result; panics only when a decoder has a defect.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("rpc_pdu", rpc_pdu),
    ("rpc_mapper", |bytes| {
        mapper::parse(bytes).ok();
    }),
    ("drs_bind", drsuapi::fuzz_bind),
    ("drs_reply", drsuapi::fuzz_reply),
    ("drs_cursor", |bytes| {
        drop(ReplicationCursor::from_bytes(bytes))
    }),
    ("krb_error", |bytes| _ = refusal::parse(bytes)),
    ("wrap_token", wrap_token::fuzz),
    ("keytab", |bytes| drop(keytab::parse(bytes))),
    ("krb5_conf", |bytes| {
        text(bytes, |text| drop(Krb5Config::parse(text)))
    }),
    ("ldap_message", ldap_message),
    ("dirsync_control", |bytes| drop(parse_position(bytes))),
    ("dn", |bytes| text(bytes, |text| drop(Dn::from_str(text)))),
    ("filter", |bytes| {
        text(bytes, |text| drop(Filter::from_str(text)))
    }),
    ("guid", |bytes| text(bytes, |text| _ = Guid::from_str(text))),
    ("sid", |bytes| {
        drop(Sid::from_slice(bytes));
        text(bytes, |text| drop(Sid::parse(text)));
    }),
];

fn text(bytes: &[u8], decode: impl FnOnce(&str)) {
    decode(&String::from_utf8_lossy(bytes));
}

fn rpc_pdu(bytes: &[u8]) {
    let Ok(mut pdu) = pdu::Pdu::parse(bytes) else {
        return;
    };
    pdu.stub().ok();
    pdu.allocation_hint().ok();
    pdu.fault().ok();
    pdu::parse_agreement(&pdu).ok();
    pdu::parse_refusal(&pdu).ok();
    if let Ok(parts) = pdu.parts() {
        pdu::padding(parts.trailer, 10).ok();
    }
}

fn ldap_message(bytes: &[u8]) {
    if let Ok(message) = message::parse(bytes) {
        read_on(message);
    }
}

/// Everything that reads a message further.
fn read_on(message: Message) {
    for control in &message.controls {
        parse_position(control.value.as_deref().unwrap_or_default()).ok();
    }
    if let Ok(mut entry) = parse_entry(message.answer) {
        take_members(&mut entry.attributes);
        read_values(&entry.attributes);
    }
}

fn read_values(attributes: &Attributes) {
    for name in ["objectSid", "userAccountControl", "accountExpires", "name"] {
        drop((
            attributes.sid(name),
            attributes.guid(name),
            attributes.filetime_micros(name),
        ));
    }
}
