//! The form of one record on disk: a protobuf message.
//!
//! Invariant: decoding what was encoded gives the same record; anything else gives `None` and is
//! read from the directory again.

use std::collections::BTreeSet;

use prost::Message;
use rollcall_kit::timestamp::Timestamp;

use crate::engine::Guid;
use crate::engine::index::{Body, HubSide, Presence, Record};
use crate::engine::values::{Digest, GroupValues, UserTarget, UserValues};

const GUID_BYTES: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(bytes = "vec", optional, tag = "1")]
    parent: Option<Vec<u8>>,
    #[prost(string, tag = "2")]
    dn: String,
    #[prost(bool, tag = "3")]
    critical: bool,
    #[prost(uint32, tag = "4")]
    presence: u32,
    #[prost(message, optional, tag = "5")]
    hub: Option<StoredHub>,
    #[prost(message, optional, tag = "6")]
    user: Option<StoredUser>,
    #[prost(message, optional, tag = "7")]
    group: Option<StoredGroup>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredHub {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(bool, optional, tag = "3")]
    enabled: Option<bool>,
    #[prost(bytes = "vec", tag = "4")]
    members: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredUser {
    #[prost(string, optional, tag = "1")]
    unfit: Option<String>,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<StoredField>,
    #[prost(sint64, optional, tag = "3")]
    expires_at: Option<i64>,
    #[prost(bool, tag = "4")]
    enabled: bool,
    #[prost(uint32, optional, tag = "5")]
    primary_group_rid: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredField {
    #[prost(int32, tag = "1")]
    target: i32,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredGroup {
    #[prost(string, optional, tag = "1")]
    unfit: Option<String>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, optional, tag = "3")]
    description: Option<String>,
    #[prost(bytes = "vec", tag = "4")]
    members: Vec<u8>,
    #[prost(uint32, optional, tag = "5")]
    rid: Option<u32>,
}

/// The bytes of a record.
pub fn encode(record: &Record) -> Vec<u8> {
    let mut stored = Stored {
        parent: record.parent.map(|guid| guid.to_wire().to_vec()),
        dn: record.dn.clone(),
        critical: record.critical,
        presence: match record.presence {
            Presence::Seen => 0,
            Presence::Deleted => 1,
            Presence::Missing => 2,
        },
        hub: record.hub.as_ref().map(|hub| StoredHub {
            id: hub.id.clone(),
            digest: hub.digest.0.to_vec(),
            enabled: hub.enabled,
            members: pack(hub.members.iter()),
        }),
        user: None,
        group: None,
    };
    match &record.body {
        Body::Container => {}
        Body::User {
            values,
            enabled,
            primary_group_rid,
        } => stored.user = Some(encode_user(values, *enabled, *primary_group_rid)),
        Body::Group {
            values,
            members,
            rid,
        } => {
            let values = values.as_ref();
            stored.group = Some(StoredGroup {
                unfit: values.err().cloned(),
                name: values.map(|v| v.name.clone()).unwrap_or_default(),
                description: values.ok().and_then(|v| v.description.clone()),
                members: pack(members.iter()),
                rid: *rid,
            });
        }
    }
    stored.encode_to_vec()
}

fn encode_user(
    values: &Result<UserValues, String>,
    enabled: bool,
    primary_group_rid: Option<u32>,
) -> StoredUser {
    let mut user = StoredUser {
        enabled,
        primary_group_rid,
        ..StoredUser::default()
    };
    match values {
        Err(reason) => user.unfit = Some(reason.clone()),
        Ok(values) => {
            user.expires_at = values.expires_at.map(Timestamp::as_micros);
            user.fields = values
                .fields()
                .map(|(target, value)| StoredField {
                    target: target as i32,
                    value: value.to_owned(),
                })
                .collect();
        }
    }
    user
}

/// The record of these bytes.
pub fn decode(bytes: &[u8]) -> Option<Record> {
    let stored = Stored::decode(bytes).ok()?;
    let body = match (stored.user, stored.group) {
        (Some(user), None) => decode_user(user)?,
        (None, Some(group)) => Body::Group {
            values: match group.unfit {
                Some(reason) => Err(reason),
                None => Ok(GroupValues {
                    name: group.name,
                    description: group.description,
                }),
            },
            members: unpack(&group.members).collect(),
            rid: group.rid,
        },
        (None, None) => Body::Container,
        (Some(_), Some(_)) => return None,
    };
    let parent = match stored.parent {
        Some(bytes) => Some(Guid::from_wire(bytes.try_into().ok()?)),
        None => None,
    };
    let hub = match stored.hub {
        Some(hub) => Some(HubSide {
            id: hub.id,
            digest: Digest(hub.digest.try_into().ok()?),
            enabled: hub.enabled,
            members: unpack(&hub.members).collect::<BTreeSet<_>>(),
        }),
        None => None,
    };
    Some(Record {
        parent,
        dn: stored.dn,
        critical: stored.critical,
        presence: match stored.presence {
            0 => Presence::Seen,
            1 => Presence::Deleted,
            2 => Presence::Missing,
            _ => return None,
        },
        body,
        hub,
    })
}

fn decode_user(user: StoredUser) -> Option<Body> {
    let values = match user.unfit {
        Some(reason) => Err(reason),
        None => {
            let mut fields = Vec::with_capacity(user.fields.len());
            for field in user.fields {
                fields.push((UserTarget::from_number(field.target)?, field.value));
            }
            Ok(UserValues::new(
                fields,
                user.expires_at.map(Timestamp::from_micros),
            ))
        }
    };
    Some(Body::User {
        values,
        enabled: user.enabled,
        primary_group_rid: user.primary_group_rid,
    })
}

fn pack<'a>(guids: impl Iterator<Item = &'a Guid>) -> Vec<u8> {
    guids.flat_map(|guid| guid.to_wire()).collect()
}

fn unpack(bytes: &[u8]) -> impl Iterator<Item = Guid> {
    bytes
        .chunks_exact(GUID_BYTES)
        .filter_map(|chunk| chunk.try_into().ok().map(Guid::from_wire))
}
