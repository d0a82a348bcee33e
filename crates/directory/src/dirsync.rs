//! DirSync: everything that changed since a position (MS-ADTS 3.1.1.3.4.1.3).
//!
//! Invariant: [`DirSyncEvent::Complete`] comes only after the directory has reported success and
//! that nothing more is there; whatever else happens is an error, now and at every later call. The
//! order of objects is not defined: a child may come before its renamed parent.
//! Deliberately absent: what a change means; that is the engine's matter.

use std::fmt;

use crate::attributes::Attributes;
use crate::ber::{self, Reader, Writer};
use crate::connection::Connection;
use crate::dn::Dn;
use crate::entry::{Entry, Member};
use crate::error::Error;
use crate::filter::Filter;
use crate::message::{self, Answer, Control, Message, Scope};
use crate::search::{extended_dn, parse_entry, skip, with_always};

/// The control of requests and answers.
pub const DIRSYNC: &str = "1.2.840.113556.1.4.841";

const OBJECT_SECURITY: u32 = 0x1;
const ANCESTORS_FIRST_ORDER: u32 = 0x800;
const INCREMENTAL_VALUES: u32 = 0x8000_0000;

/// About how much a page holds; Windows treats this as the largest allowed value.
const PAGE_BYTES: i64 = 1 << 20;
const ENTRIES_MAX: u64 = 20_000_000;
const PAGES_MAX: u64 = 10_000_000;
const COOKIE_BYTES_MAX: usize = 1 << 20;
/// Attributes that make a [`Change`]; `name` because only with it a move brings `parentGUID`.
const ALWAYS: [&str; 6] = [
    "objectGUID",
    "objectClass",
    "parentGUID",
    "isDeleted",
    "name",
    "lastKnownParent",
];

/// A position in the changes of one controller. Opaque; it may reveal the topology of the directory.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(Vec<u8>);

impl Cookie {
    /// A position that was kept.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({} bytes)", self.0.len())
    }
}

/// By which rights the directory decides what to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The right "Replicating Directory Changes"; without it the read is refused.
    Replication,
    /// The rights on each object and attribute; what may not be read is silently left out.
    ObjectSecurity,
}

/// How changed memberships are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberDetail {
    /// The whole list of every changed group.
    Whole,
    /// Members that came and went.
    Incremental,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct DirSyncRequest {
    /// Top of a naming context; Active Directory accepts nothing below it.
    pub base: Dn,
    /// Which objects; deleted ones match by the attributes they keep, `objectClass` among them.
    pub filter: Filter,
    /// Attributes whose changes matter; those of the fields of [`Entry`] come without being named.
    pub attributes: Vec<String>,
    /// Where the last read ended; `None` reads everything.
    pub cookie: Option<Cookie>,
    /// By which rights.
    pub access: Access,
    /// How memberships are told.
    pub members: MemberDetail,
}

/// How the members of a group changed. Members are known by identifier; when one is deleted or
/// moved, its groups are not reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Not at all.
    Unchanged,
    /// This is the whole list now.
    Whole(Vec<Member>),
    /// These came and went. In a read from the start all present ones came.
    Incremental {
        /// Members that came.
        added: Vec<Member>,
        /// Members that went.
        removed: Vec<Member>,
    },
    /// The list is longer than the directory delivers here: read [`Connection::members`].
    TooLong,
}

/// An object that is new, changed or deleted. The entry has the attributes that changed, without
/// `member`; one with zero values has been emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object.
    pub entry: Entry,
    /// Its members.
    pub members: MemberChange,
}

/// What a read delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirSyncEvent {
    /// An object.
    Change(Box<Change>),
    /// A page has ended and more follow; reading can be resumed here.
    Page(Cookie),
    /// Everything up to this position has been delivered. Nothing follows.
    Complete(Cookie),
}

/// A read under way. Dropping it abandons the rest.
#[derive(Debug)]
pub struct DirSync<'a> {
    connection: &'a mut Connection,
    request: DirSyncRequest,
    attributes: Vec<String>,
    state: State,
    entries: u64,
    pages: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The page after the present cookie has to be asked for.
    Asking,
    /// Answers to this request are due.
    Reading {
        id: i64,
        entries_before: u64,
    },
    Complete,
    Failed,
}

const DURING: &str = "reading changes";

impl DirSync<'_> {
    /// The next event; `None` after [`DirSyncEvent::Complete`].
    ///
    /// # Errors
    /// When anything kept the directory from delivering all. The read has ended then.
    pub async fn next(&mut self) -> Result<Option<DirSyncEvent>, Error> {
        let result = self.advance().await;
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    async fn advance(&mut self) -> Result<Option<DirSyncEvent>, Error> {
        let mut skipped = 0;
        loop {
            match self.state {
                State::Asking => self.send().await?,
                State::Complete => return Ok(None),
                State::Failed => {
                    return Err(Error::ConnectionLost {
                        during: DURING,
                        why: "it was given up after an earlier error".to_owned(),
                    });
                }
                State::Reading { id, entries_before } => {
                    let message = self.connection.answer(id, DURING).await?;
                    match &message.answer {
                        Answer::Entry { .. } => return self.change(message.answer).map(Some),
                        Answer::Reference | Answer::Intermediate => skip(&mut skipped)?,
                        Answer::Done(_) => {
                            self.connection.finished();
                            return self.page_done(message, entries_before).map(Some);
                        }
                        _ => return Err(self.connection.unexpected()),
                    }
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), Error> {
        let id = self.connection.next_id();
        let base = self.request.base.as_str();
        let search = message::Search {
            base,
            scope: Scope::Subtree,
            filter: &self.request.filter,
            attributes: &self.attributes,
        };
        let controls = [dirsync_control(&self.request), extended_dn()];
        let request = message::search(id, &search, &controls);
        self.connection.begin(id, &request, DURING).await?;
        self.state = State::Reading {
            id,
            entries_before: self.entries,
        };
        Ok(())
    }

    fn change(&mut self, answer: Answer) -> Result<DirSyncEvent, Error> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Error::TooMuch {
                what: "objects",
                limit: ENTRIES_MAX,
            });
        }
        let mut entry = parse_entry(answer)?;
        let members = take_members(&mut entry.attributes)
            .ok_or(Error::Protocol("a member without an identifier"))?;
        Ok(DirSyncEvent::Change(Box::new(Change { entry, members })))
    }

    fn page_done(&mut self, message: Message, entries_before: u64) -> Result<DirSyncEvent, Error> {
        let position = message
            .controls
            .iter()
            .find(|control| control.oid == DIRSYNC);
        let position = position
            .and_then(|control| control.value.as_deref())
            .map(parse_position);
        let Answer::Done(outcome) = message.answer else {
            return Err(self.connection.unexpected());
        };
        // A position is refused before anything is delivered. Servers do not agree on the code.
        let refusable = matches!(outcome.code, 2 | 12 | 53) && self.entries == 0;
        if refusable && self.request.cookie.is_some() {
            return Err(Error::CookieRefused { text: outcome.text });
        }
        outcome.into_result(
            DURING,
            "read changes of this domain",
            "\"Replicating Directory Changes\" on the domain",
        )?;
        // Success without a position: a server that does not know the control, and has ignored it.
        let position = position.ok_or(Error::Protocol("an answer without a position"))?;
        let (more, cookie) = position.map_err(|_| Error::Protocol("a malformed position"))?;

        self.pages += 1;
        let stuck =
            more && self.entries == entries_before && self.request.cookie.as_ref() == Some(&cookie);
        if stuck || self.pages > PAGES_MAX {
            return Err(Error::Protocol("positions that lead nowhere"));
        }
        self.request.cookie = Some(cookie.clone());
        if more {
            self.state = State::Asking;
            Ok(DirSyncEvent::Page(cookie))
        } else {
            self.state = State::Complete;
            Ok(DirSyncEvent::Complete(cookie))
        }
    }
}

fn dirsync_control(request: &DirSyncRequest) -> Control {
    let mut flags = ANCESTORS_FIRST_ORDER;
    if request.access == Access::ObjectSecurity {
        flags |= OBJECT_SECURITY;
    }
    if request.members == MemberDetail::Incremental {
        flags |= INCREMENTAL_VALUES;
    }
    let cookie = request.cookie.as_ref().map_or(&[][..], Cookie::as_bytes);
    let mut out = Writer::default();
    out.nested(ber::SEQUENCE, |out| {
        // A signed 32-bit number on the wire: the highest flag makes it negative.
        out.integer(ber::INTEGER, i64::from(flags.cast_signed()));
        out.integer(ber::INTEGER, PAGE_BYTES);
        out.element(ber::OCTET_STRING, cookie);
    });
    Control {
        oid: DIRSYNC.to_owned(),
        critical: true,
        value: Some(out.into_bytes()),
    }
}

/// Whether more is there, and where to go on.
pub(crate) fn parse_position(value: &[u8]) -> Result<(bool, Cookie), ber::Malformed> {
    let mut reader = Reader::new(value).nested(ber::SEQUENCE)?;
    let more = reader.integer(ber::INTEGER)? != 0;
    reader.integer(ber::INTEGER)?;
    let cookie = reader.expect(ber::OCTET_STRING)?;
    if cookie.is_empty() || cookie.len() > COOKIE_BYTES_MAX {
        return Err(ber::Malformed);
    }
    Ok((more, Cookie(cookie.to_vec())))
}

/// Takes `member` in all its forms out of the attributes; `None` when a value is malformed.
pub(crate) fn take_members(attributes: &mut Attributes) -> Option<MemberChange> {
    let names: Vec<String> = attributes
        .iter()
        .map(|(name, _)| name.to_owned())
        .filter(|name| {
            let base = name.split(';').next().unwrap_or_default();
            base.eq_ignore_ascii_case("member")
        })
        .collect();
    let (mut whole, mut added, mut removed, mut too_long) = (None, Vec::new(), Vec::new(), false);
    let incremental = names.iter().any(|name| name.contains(";range="));
    for name in names {
        let values = attributes.take(&name)?;
        let members = values
            .iter()
            .map(|value| Member::parse(value))
            .collect::<Option<Vec<_>>>()?;
        match name.to_ascii_lowercase().as_str() {
            "member" => whole = Some(members),
            "member;range=1-1" => added = members,
            "member;range=0-0" => removed = members,
            // The first part of a list only.
            _ => too_long = true,
        }
    }
    Some(match (too_long, incremental, whole) {
        (true, _, _) => MemberChange::TooLong,
        (false, true, _) => MemberChange::Incremental { added, removed },
        (false, false, Some(members)) => MemberChange::Whole(members),
        (false, false, None) => MemberChange::Unchanged,
    })
}

impl Connection {
    /// Starts to read changes; all pages, one after the other.
    ///
    /// # Errors
    /// When the request cannot be sent; all else shows in [`DirSync::next`].
    pub async fn dirsync(&mut self, request: DirSyncRequest) -> Result<DirSync<'_>, Error> {
        let mut read = DirSync {
            attributes: with_always(&request.attributes, &ALWAYS),
            connection: self,
            request,
            state: State::Asking,
            entries: 0,
            pages: 0,
        };
        read.send().await?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8) -> Vec<u8> {
        format!("<GUID=000000{number:02x}-0000-0000-0000-000000000000>;CN=m{number},DC=x").into()
    }

    fn taken(list: &[(&str, Vec<Vec<u8>>)]) -> Option<MemberChange> {
        let list = list
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.clone()))
            .collect();
        take_members(&mut Attributes::new(list))
    }

    fn numbers(members: &[Member]) -> Vec<u8> {
        members
            .iter()
            .map(|member| member.guid.as_bytes()[0])
            .collect()
    }

    #[test]
    fn member_changes_in_every_form() {
        assert_eq!(taken(&[("cn", vec![])]), Some(MemberChange::Unchanged));
        assert_eq!(
            taken(&[("member", vec![])]),
            Some(MemberChange::Whole(vec![]))
        );
        let Some(MemberChange::Incremental { added, removed }) = taken(&[
            ("member;range=0-0", vec![member(1), member(2)]),
            ("Member;Range=1-1", vec![member(3)]),
        ]) else {
            panic!("not incremental")
        };
        assert_eq!((numbers(&added), numbers(&removed)), (vec![3], vec![1, 2]));
        let long = [("member", vec![]), ("member;range=0-1499", vec![member(1)])];
        assert_eq!(taken(&long), Some(MemberChange::TooLong));
        assert_eq!(
            taken(&[("member", vec![b"CN=no identifier,DC=x".to_vec()])]),
            None
        );
    }

    #[test]
    fn the_highest_flag_is_sent_as_a_negative_number_of_four_bytes() {
        let request = DirSyncRequest {
            base: "DC=x".parse().unwrap(),
            filter: Filter::any_object(),
            attributes: vec![],
            cookie: None,
            access: Access::Replication,
            members: MemberDetail::Incremental,
        };
        let value = dirsync_control(&request).value.unwrap();
        assert_eq!(value[..8], [0x30, 13, 2, 4, 0x80, 0, 8, 0]);
    }
}
