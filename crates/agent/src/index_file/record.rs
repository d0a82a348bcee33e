//! The form of one record on disk: a protobuf message.
//!
//! Invariant: decoding what was encoded gives the same record; anything else gives `None` and is
//! read from the directory again.

use prost::Message;
use rollcall_kit::timestamp::Timestamp;

use crate::engine::Guid;
use crate::engine::index::{Body, HubSide, Place, Presence, Record};
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
    #[prost(bool, tag = "6")]
    must_change_password: bool,
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
        dn: record.name().to_owned(),
        critical: record.critical,
        presence: match record.presence {
            Presence::Seen => 0,
            Presence::Deleted => 1,
            Presence::Missing => 2,
        },
        hub: record.hub.as_ref().map(|hub| StoredHub {
            id: hub.id.to_string(),
            digest: hub.digest.0.to_vec(),
            enabled: hub.enabled,
            members: pack(record.told_members()),
        }),
        user: None,
        group: None,
    };
    match record.body() {
        Body::Container => {}
        Body::User {
            values,
            enabled,
            primary_group_rid,
        } => {
            stored.user = Some(StoredUser {
                must_change_password: record.must_change_password,
                ..encode_user(values, enabled, primary_group_rid)
            });
        }
        Body::Group {
            values,
            members,
            rid,
        } => {
            let unfit = values.as_ref().err().map(|reason| (*reason).to_owned());
            let values = values.unwrap_or_default();
            stored.group = Some(StoredGroup {
                unfit,
                name: values.name,
                description: values.description,
                members: pack(members),
                rid,
            });
        }
    }
    stored.encode_to_vec()
}

fn encode_user(
    values: Result<UserValues, &str>,
    enabled: bool,
    primary_group_rid: Option<u32>,
) -> StoredUser {
    let mut user = StoredUser {
        enabled,
        primary_group_rid,
        ..StoredUser::default()
    };
    match values {
        Err(reason) => user.unfit = Some(reason.to_owned()),
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
    let place = Place {
        parent: match stored.parent {
            Some(bytes) => Some(Guid::from_wire(bytes.try_into().ok()?)),
            None => None,
        },
        dn: &stored.dn,
        critical: stored.critical,
        presence: match stored.presence {
            0 => Presence::Seen,
            1 => Presence::Deleted,
            2 => Presence::Missing,
            _ => return None,
        },
    };
    let mut record = match (stored.user, stored.group) {
        (Some(user), None) => decode_user(place, &user)?,
        (None, Some(group)) => {
            let members: Vec<Guid> = unpack(&group.members).collect();
            let values = GroupValues {
                name: group.name,
                description: group.description,
            };
            let values = group.unfit.as_deref().map_or(Ok(&values), Err);
            Record::group(place, values, &members, group.rid)
        }
        (None, None) => Record::container(place),
        (Some(_), Some(_)) => return None,
    };
    if let Some(hub) = stored.hub {
        record.hub = Some(HubSide {
            id: hub.id.into(),
            digest: Digest(hub.digest.try_into().ok()?),
            enabled: hub.enabled,
        });
        if !hub.members.is_empty() {
            record.tell(unpack(&hub.members));
        }
    }
    Some(record)
}

fn decode_user(place: Place<'_>, user: &StoredUser) -> Option<Record> {
    let mut fields = Vec::with_capacity(user.fields.len());
    for field in &user.fields {
        fields.push((UserTarget::from_number(field.target)?, &field.value));
    }
    let expires_at = user.expires_at.map(Timestamp::from_micros);
    let values = UserValues::new(fields, expires_at);
    let values = user.unfit.as_deref().map_or(Ok(&values), Err);
    let mut record = Record::user(place, values, user.enabled, user.primary_group_rid);
    record.must_change_password = user.must_change_password;
    Some(record)
}

fn pack(guids: &[Guid]) -> Vec<u8> {
    guids.iter().flat_map(|guid| guid.to_wire()).collect()
}

fn unpack(bytes: &[u8]) -> impl Iterator<Item = Guid> {
    bytes
        .chunks_exact(GUID_BYTES)
        .filter_map(|chunk| chunk.try_into().ok().map(Guid::from_wire))
}
