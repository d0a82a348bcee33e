//! Searches, delivered object by object.
//!
//! Invariant: [`Search::next`] says `None` only after the directory has reported success for the
//! last page; whatever else happens is an error, now and at every later call. So an interrupted
//! search cannot be taken for a complete one. Continuation references, which every search of a
//! whole domain brings along, are skipped: they point to other partitions.

use crate::ber::{self, Reader, Writer};
use crate::connection::Connection;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::error::Error;
use crate::filter::Filter;
use crate::guid::Guid;
use crate::message::{self, Answer, Control, Message, Scope};

/// RFC 2696.
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// MS-ADTS 3.1.1.3.4.1.14.
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// MS-ADTS 3.1.1.3.4.1.5, with the value for the text form of identifiers.
const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";
const EXTENDED_DN_TEXT: [u8; 5] = [0x30, 3, 2, 1, 1];

/// Windows delivers at most 1,000 by default (MaxPageSize).
const PAGE_SIZE: u32 = 1_000;
const ENTRIES_MAX: u64 = 20_000_000;
/// Pages without an entry that are allowed one after the other.
const EMPTY_PAGES_MAX: u32 = 1_000;
/// Identifiers in one filter.
const GUIDS_PER_REQUEST: usize = 200;
/// Attributes that make an [`Entry`].
pub(crate) const ALWAYS: [&str; 4] = ["objectGUID", "objectClass", "parentGUID", "isDeleted"];

/// Where a search starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An object by its present name.
    Dn(Dn),
    /// An object by its permanent identifier, wherever it is now.
    Guid(Guid),
    /// `CN=Deleted Objects` of a naming context, whatever it is called.
    DeletedObjects(Dn),
}

impl Base {
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Dn(dn) => dn.as_str().to_owned(),
            Self::Guid(guid) => format!("<GUID={guid}>"),
            // GUID_DELETED_OBJECTS_CONTAINER_W, MS-ADTS 6.1.1.4.
            Self::DeletedObjects(dn) => format!("<WKGUID=18e2ea80684f11d2b9aa00c04f79f805,{dn}>"),
        }
    }
}

/// How values that are names of objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// As plain names.
    Plain,
    /// With the identifiers of the object; read them with [`crate::Member`].
    WithIdentifiers,
}

/// Whether deleted objects are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// As if they did not exist.
    Hidden,
    /// Like all others.
    Shown,
}

/// What to search for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Where to start.
    pub base: Base,
    /// How far to go.
    pub scope: Scope,
    /// Which objects.
    pub filter: Filter,
    /// Which attributes; those of the fields of [`Entry`] come without being named.
    pub attributes: Vec<String>,
    /// How values that are names are written.
    pub links: Links,
    /// Whether deleted objects are found.
    pub deleted: Deleted,
    /// Objects per answer of the directory; the number of objects in all is not limited by it.
    pub page_size: u32,
}

impl SearchRequest {
    /// A search of everything below `base` with pages of 1,000.
    #[must_use]
    pub fn subtree(base: Base, filter: Filter, attributes: &[&str]) -> Self {
        Self {
            base,
            scope: Scope::Subtree,
            filter,
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            links: Links::Plain,
            deleted: Deleted::Hidden,
            page_size: PAGE_SIZE,
        }
    }

    /// A read of one object.
    #[must_use]
    pub fn object(base: Base, attributes: &[&str]) -> Self {
        Self {
            scope: Scope::Base,
            ..Self::subtree(base, Filter::any_object(), attributes)
        }
    }

    fn controls(&self, cookie: &[u8]) -> Vec<Control> {
        let mut controls = Vec::new();
        if self.scope != Scope::Base {
            controls.push(Control {
                oid: PAGED_RESULTS.to_owned(),
                critical: true,
                value: Some(page_value(self.page_size, cookie)),
            });
        }
        if self.deleted == Deleted::Shown {
            controls.push(Control {
                oid: SHOW_DELETED.to_owned(),
                critical: true,
                value: None,
            });
        }
        if self.links == Links::WithIdentifiers {
            controls.push(extended_dn());
        }
        controls
    }
}

pub(crate) fn extended_dn() -> Control {
    Control {
        oid: EXTENDED_DN.to_owned(),
        critical: true,
        value: Some(EXTENDED_DN_TEXT.to_vec()),
    }
}

/// Attribute names with those that every [`Entry`] needs.
pub(crate) fn with_always(attributes: &[String], always: &[&str]) -> Vec<String> {
    let mut all = attributes.to_vec();
    for name in always {
        if !all.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            all.push((*name).to_owned());
        }
    }
    all
}

fn page_value(size: u32, cookie: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.nested(ber::SEQUENCE, |out| {
        out.integer(ber::INTEGER, i64::from(size));
        out.element(ber::OCTET_STRING, cookie);
    });
    out.into_bytes()
}

/// The cookie for the next page; empty after the last one, or when the server does not page.
fn page_cookie(message: &Message) -> Result<Vec<u8>, ber::Malformed> {
    let mut controls = message.controls.iter();
    let Some(control) = controls.find(|control| control.oid == PAGED_RESULTS) else {
        return Ok(Vec::new());
    };
    let value = control.value.as_deref().unwrap_or_default();
    let mut reader = Reader::new(value).nested(ber::SEQUENCE)?;
    reader.integer(ber::INTEGER)?;
    Ok(reader.expect(ber::OCTET_STRING)?.to_vec())
}

/// A search under way. Dropping it abandons the rest.
#[derive(Debug)]
pub struct Search<'a> {
    connection: &'a mut Connection,
    request: SearchRequest,
    base: String,
    attributes: Vec<String>,
    state: State,
    entries: u64,
    empty_pages: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Answers to this request are due.
    Reading {
        id: i64,
        entries_before: u64,
    },
    Complete,
    Failed,
}

const DURING: &str = "a search";
/// Answers in a row that carry no object: references to other partitions and news of the work.
const SKIPPED_MAX: u32 = 10_000;

/// Counts an answer that carries no object.
///
/// # Errors
/// [`Error::TooMuch`] when there are too many in a row.
pub(crate) fn skip(skipped: &mut u32) -> Result<(), Error> {
    *skipped += 1;
    if *skipped > SKIPPED_MAX {
        return Err(Error::TooMuch {
            what: "answers without an object in a row",
            limit: u64::from(SKIPPED_MAX),
        });
    }
    Ok(())
}

impl Search<'_> {
    /// The next object; `None` when the directory has delivered all of them.
    ///
    /// # Errors
    /// When anything kept the directory from delivering all. The search has ended then.
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        let result = self.advance().await;
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// All remaining objects.
    ///
    /// # Errors
    /// As [`Search::next`].
    pub async fn collect(mut self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next().await? {
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn advance(&mut self) -> Result<Option<Entry>, Error> {
        let mut skipped = 0;
        loop {
            let State::Reading { id, entries_before } = self.state else {
                return self.ended();
            };
            let message = self.connection.answer(id, DURING).await?;
            match &message.answer {
                Answer::Entry { .. } => return self.entry(message.answer).map(Some),
                Answer::Reference | Answer::Intermediate => skip(&mut skipped)?,
                Answer::Done(_) => {
                    self.connection.finished();
                    self.page_done(message, entries_before).await?;
                }
                _ => return Err(self.connection.unexpected()),
            }
        }
    }

    fn ended(&self) -> Result<Option<Entry>, Error> {
        match self.state {
            State::Complete => Ok(None),
            _ => Err(Error::ConnectionLost {
                during: DURING,
                why: "it was given up after an earlier error".to_owned(),
            }),
        }
    }

    fn entry(&mut self, answer: Answer) -> Result<Entry, Error> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Error::TooMuch {
                what: "objects",
                limit: ENTRIES_MAX,
            });
        }
        parse_entry(answer)
    }

    async fn page_done(&mut self, message: Message, entries_before: u64) -> Result<(), Error> {
        let malformed = |_| Error::Protocol("a malformed page control");
        let cookie = page_cookie(&message).map_err(malformed)?;
        let Answer::Done(outcome) = message.answer else {
            return Err(self.connection.unexpected());
        };
        outcome.into_result(
            DURING,
            "search here",
            "the right to list and read the objects",
        )?;
        if cookie.is_empty() {
            self.state = State::Complete;
            return Ok(());
        }
        let empty = self.entries == entries_before;
        self.empty_pages = if empty { self.empty_pages + 1 } else { 0 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(Error::TooMuch {
                what: "empty pages",
                limit: u64::from(EMPTY_PAGES_MAX),
            });
        }
        self.send(&cookie).await
    }

    async fn send(&mut self, cookie: &[u8]) -> Result<(), Error> {
        let id = self.connection.next_id();
        let search = message::Search {
            base: &self.base,
            scope: self.request.scope,
            filter: &self.request.filter,
            attributes: &self.attributes,
        };
        let request = message::search(id, &search, &self.request.controls(cookie));
        self.connection.begin(id, &request, DURING).await?;
        self.state = State::Reading {
            id,
            entries_before: self.entries,
        };
        Ok(())
    }
}

/// An object from an answer that is one.
pub(crate) fn parse_entry(answer: Answer) -> Result<Entry, Error> {
    let Answer::Entry { name, attributes } = answer else {
        return Err(Error::Protocol(
            "an answer that does not belong to the request",
        ));
    };
    // A directory shows the name, and nothing else, of what may be listed but not read.
    if !attributes.has("objectGUID") && !name.starts_with("<GUID=") {
        return Err(Error::RightsMissing {
            what: "read an object that it can list",
            right: "\"Read all properties\" on it",
            text: name,
        });
    }
    let malformed = Error::Protocol("an object with a malformed name or identifier");
    Entry::from_answer(&name, attributes).ok_or(malformed)
}

impl Connection {
    /// Starts a search; with pages unless it reads a single object.
    ///
    /// # Errors
    /// When the request cannot be sent; all else shows in [`Search::next`].
    pub async fn search(&mut self, request: SearchRequest) -> Result<Search<'_>, Error> {
        let mut search = Search {
            base: request.base.to_text(),
            attributes: with_always(&request.attributes, &ALWAYS),
            connection: self,
            request,
            state: State::Failed,
            entries: 0,
            empty_pages: 0,
        };
        search.send(&[]).await?;
        Ok(search)
    }

    /// One object; `None` when it does not exist or the account may not see it.
    ///
    /// # Errors
    /// As [`Search::next`].
    pub async fn read(&mut self, request: SearchRequest) -> Result<Option<Entry>, Error> {
        match self.search(request).await?.collect().await {
            Ok(entries) => Ok(entries.into_iter().next()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object with this identifier, wherever it is now.
    ///
    /// # Errors
    /// As [`Search::next`].
    pub async fn read_by_guid(
        &mut self,
        guid: Guid,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Error> {
        self.read(SearchRequest::object(Base::Guid(guid), attributes))
            .await
    }

    /// The object with this name.
    ///
    /// # Errors
    /// As [`Search::next`].
    pub async fn resolve_dn(
        &mut self,
        dn: &Dn,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Error> {
        self.read(SearchRequest::object(Base::Dn(dn.clone()), attributes))
            .await
    }

    /// The objects with these identifiers in the domain; those that do not exist, or that the
    /// account may not see, are left out.
    ///
    /// # Errors
    /// As [`Search::next`].
    pub async fn read_many_by_guid(
        &mut self,
        guids: &[Guid],
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Error> {
        let base = Base::Dn(self.root_dse().await?.default_naming_context);
        let mut entries = Vec::with_capacity(guids.len());
        for chunk in guids.chunks(GUIDS_PER_REQUEST) {
            let filter = Filter::Or(chunk.iter().map(Filter::guid).collect());
            let request = SearchRequest::subtree(base.clone(), filter, attributes);
            entries.extend(self.search(request).await?.collect().await?);
        }
        Ok(entries)
    }
}
