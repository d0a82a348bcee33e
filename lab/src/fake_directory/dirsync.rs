//! DirSync: what changed since a position (MS-ADTS 3.1.1.3.4.1.3).
//!
//! Invariant: objects come in the order of their last change, each with every asked attribute that
//! changed since the position the whole read began at; one that changes while it is read comes
//! again. An object below another that was moved has not changed. Deliberately absent: an
//! up-to-dateness vector of several controllers.

use std::collections::BTreeSet;

use super::ber::{self, Reader};
use super::domain::Domain;
use super::message::{self, Code, Control, Search, Shown};
use super::object::{Guid, Object, ObjectId};
use super::policy::ForeignCookie;
use super::search::Answer;
use super::show::{self, Names};

/// LDAP_SERVER_DIRSYNC_OID.
pub const DIRSYNC: &str = "1.2.840.113556.1.4.841";
const ANCESTORS_FIRST: u32 = 0x800;
const INCREMENTAL_VALUES: u32 = 0x8000_0000;
/// A page ends when its entries have this many bytes, whatever the client allows.
const PAGE_BYTES_MAX: usize = 1 << 20;
const COOKIE_HEAD: &[u8] = b"MSDS\x03\0\0\0";

/// A position. The real one is opaque and has the same parts, in other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cookie {
    /// Whose numbers these are.
    invocation_id: Guid,
    /// Attributes and links that changed after this are reported.
    properties: u64,
    /// Objects that changed after this have not been looked at.
    objects: u64,
}

impl Cookie {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = COOKIE_HEAD.to_vec();
        bytes.extend(self.invocation_id);
        bytes.extend(self.properties.to_le_bytes());
        bytes.extend(self.objects.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(COOKIE_HEAD)?;
        let (invocation_id, rest) = rest.split_first_chunk::<16>()?;
        let (properties, rest) = rest.split_first_chunk::<8>()?;
        let objects = rest.try_into().ok()?;
        Some(Self {
            invocation_id: *invocation_id,
            properties: u64::from_le_bytes(*properties),
            objects: u64::from_le_bytes(objects),
        })
    }
}

struct Asked<'a> {
    attributes: &'a [String],
    flags: u32,
    names: Names,
    since: u64,
}

/// Answers one page.
pub fn answer(domain: &Domain, id: i64, search: &Search, base: ObjectId, control: &[u8]) -> Answer {
    if base != domain.root() {
        // What the real one says to a base that is no naming context.
        return Answer::refusal(Code::InsufficientAccessRights, "not a naming context");
    }
    let Some((flags, bytes, cookie)) = parse(control) else {
        return Answer::refusal(Code::ProtocolError, "a malformed DirSync control");
    };
    let mut position = match start(domain, &cookie) {
        Ok(position) => position,
        Err(refusal) => return refusal,
    };
    let asked = Asked {
        attributes: &search.attributes,
        flags,
        names: Names::asked(&search.controls),
        since: position.properties,
    };
    let mut page = Page {
        id,
        entries: Vec::new(),
        bytes: 0,
        told: BTreeSet::new(),
    };
    let most = bytes.clamp(1, PAGE_BYTES_MAX);
    let mut looked_at = 0;
    let more = loop {
        let Some((usn, object)) = domain.changed_after(position.objects) else {
            break false;
        };
        if looked_at >= domain.policy.changes_per_page || page.bytes >= most {
            break true;
        }
        looked_at += 1;
        position.objects = usn;
        if flags & ANCESTORS_FIRST != 0 {
            for ancestor in ancestors(domain, object).into_iter().rev() {
                page.tell(domain, search, &asked, ancestor);
            }
        }
        page.tell(domain, search, &asked, object);
    };
    if !more {
        let end = domain.highest_usn();
        position.objects = end.saturating_sub(domain.policy.replayed_usns);
        position.properties = position.objects;
    }
    Answer {
        controls: vec![position_control(more, position)],
        ..Answer::complete(page.entries)
    }
}

fn parse(control: &[u8]) -> Option<(u32, usize, Vec<u8>)> {
    let mut reader = Reader(Reader(control).expect(ber::SEQUENCE)?);
    // A signed number of 32 bits; one of 33 is refused as the real one does.
    let flags = i32::try_from(reader.integer(ber::INTEGER)?).ok()?;
    let bytes = usize::try_from(reader.integer(ber::INTEGER)?).ok()?;
    Some((
        flags.cast_unsigned(),
        bytes,
        reader.expect(ber::OCTETS)?.to_vec(),
    ))
}

fn start(domain: &Domain, bytes: &[u8]) -> Result<Cookie, Answer> {
    let from_start = Cookie {
        invocation_id: domain.invocation_id,
        properties: 0,
        objects: 0,
    };
    if bytes.is_empty() {
        return Ok(from_start);
    }
    let Some(cookie) = Cookie::parse(bytes) else {
        let text = "00000057: LdapErr: DSID-0, comment: Error processing control";
        return Err(Answer::refusal(Code::UnavailableCriticalExtension, text));
    };
    if cookie.invocation_id == domain.invocation_id {
        return Ok(cookie);
    }
    match domain.policy.foreign_cookie {
        ForeignCookie::Resync => Ok(from_start),
        ForeignCookie::Refused(code) => Err(Answer::refusal(code, "a cookie of another server")),
        ForeignCookie::Trusted => Ok(Cookie {
            invocation_id: domain.invocation_id,
            ..cookie
        }),
    }
}

fn ancestors(domain: &Domain, id: ObjectId) -> Vec<ObjectId> {
    let mut above = Vec::new();
    let mut at = domain.get(id).and_then(|object| object.parent);
    while let Some(parent) = at {
        above.push(parent);
        at = domain.get(parent).and_then(|object| object.parent);
    }
    above
}

struct Page {
    id: i64,
    entries: Vec<Vec<u8>>,
    bytes: usize,
    told: BTreeSet<ObjectId>,
}

impl Page {
    /// Reports an object, once per page, if it fits and something of it changed.
    fn tell(&mut self, domain: &Domain, search: &Search, asked: &Asked<'_>, id: ObjectId) {
        let Some(object) = domain.get(id) else { return };
        if object.usn_changed <= asked.since
            || search.filter.matches(&object) != Some(true)
            || !self.told.insert(id)
        {
            return;
        }
        let mut changed = attributes(&object, asked);
        let mut parts = members(domain, &object, asked);
        if changed.is_empty() && parts.is_empty() {
            return;
        }
        let name = asked.names.of_object(domain, &object);
        let first = match parts.is_empty() {
            true => Vec::new(),
            false => parts.remove(0),
        };
        changed.extend(first);
        for (place, part) in std::iter::once(changed).chain(parts).enumerate() {
            let mut shown: Vec<Shown> = vec![
                ("objectGUID".into(), object.values("objectguid")),
                ("instanceType".into(), vec![b"4".to_vec()]),
            ];
            let parent = asked
                .attributes
                .iter()
                .find(|a| a.eq_ignore_ascii_case("parentGUID"));
            let placed = object
                .attributes
                .get("name")
                .is_some_and(|n| n.usn > asked.since);
            if let (0, Some(parent), true) = (place, parent, placed) {
                shown.push((parent.clone(), object.values("parentguid")));
            }
            shown.extend(part);
            shown.retain(|(name, values)| !values.is_empty() || name != "parentGUID");
            shown.extend(show::unasked(domain));
            let mut entry = Vec::new();
            message::entry(&mut entry, self.id, &name, &shown);
            self.bytes += entry.len();
            self.entries.push(entry);
        }
    }
}

/// The asked attributes that changed, without links. One that lost its values comes empty, except
/// in a read from the start.
fn attributes(object: &Object, asked: &Asked<'_>) -> Vec<Shown> {
    let own = |name: &&String| {
        // The relative name never comes under its own attribute.
        !name.eq_ignore_ascii_case(object.naming) && !name.eq_ignore_ascii_case("instanceType")
    };
    let found = asked.attributes.iter().filter(own).filter_map(|name| {
        let attribute = object.attributes.get(&name.to_ascii_lowercase())?;
        let new = attribute.usn > asked.since;
        let counts = !attribute.values.is_empty() || asked.since > 0;
        (new && counts).then(|| (attribute.name.clone(), attribute.values.clone()))
    });
    found.collect()
}

/// The changed members, in as many parts as entries are needed.
fn members(domain: &Domain, object: &Object, asked: &Asked<'_>) -> Vec<Vec<Shown>> {
    let wanted = |name: &String| name.eq_ignore_ascii_case("member");
    let changed = || object.members.values().any(|link| link.usn > asked.since);
    if object.deleted || !asked.attributes.iter().any(wanted) || !changed() {
        return Vec::new();
    }
    let text = |id: ObjectId| asked.names.of(domain, id).into_bytes();
    if asked.flags & INCREMENTAL_VALUES == 0 {
        // The whole list, up to MaxValRange.
        let most = domain.policy.max_val_range;
        let list: Vec<_> = domain.members(object).take(most + 1).collect();
        let name = match list.len() > most {
            true => format!("member;range=0-{}", most - 1),
            false => "member".to_owned(),
        };
        let values = list.iter().take(most).map(|(id, _)| text(*id)).collect();
        return vec![vec![(name, values)]];
    }
    let new = object.members.iter().filter(|(_, l)| l.usn > asked.since);
    let (came, went): (Vec<_>, Vec<_>) = new.partition(|(_, link)| link.present);
    let came = came.into_iter().map(|(id, _)| *id);
    let came: Vec<ObjectId> = came.filter(|id| domain.is_live(*id)).collect();
    let went = went.into_iter().map(|(id, _)| *id);
    let went: Vec<ObjectId> = went.filter(|_| asked.since > 0).collect();
    let size = domain.policy.links_per_entry.max(1);
    let part = |name: &str, ids: &[ObjectId]| {
        vec![(name.to_owned(), ids.iter().map(|id| text(*id)).collect())]
    };
    let came = came.chunks(size).map(|ids| part("member;range=1-1", ids));
    let went = went.chunks(size).map(|ids| part("member;range=0-0", ids));
    came.chain(went).collect()
}

fn position_control(more: bool, position: Cookie) -> Control {
    let mut value = Vec::new();
    ber::nested(&mut value, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, i64::from(more));
        ber::integer(out, ber::INTEGER, 0);
        ber::element(out, ber::OCTETS, &position.to_bytes());
    });
    Control {
        oid: DIRSYNC.to_owned(),
        critical: false,
        value,
    }
}
