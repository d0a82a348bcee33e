//! Searches (MS-ADTS 3.1.1.3.1.3) and the root entry (MS-ADTS 3.1.1.3.2).
//!
//! Invariant: never more than MaxPageSize objects in one answer: without pages the search ends with
//! sizeLimitExceeded there (MS-ADTS 3.1.1.3.4.6). Deliberately absent: other partitions, except the
//! one object that tells the invocation id.

use super::ber::{self, Reader};
use super::dirsync;
use super::domain::{BASE_DN, Domain};
use super::message::{self, Code, Control, Outcome, Scope, Search, Shown};
use super::object::{Object, ObjectId};
use super::show::{self, EXTENDED_DN, Names};

/// RFC 2696.
pub const PAGED: &str = "1.2.840.113556.1.4.319";
/// LDAP_SERVER_SHOW_DELETED_OID, MS-ADTS 3.1.1.3.4.1.14.
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// LDAP_SERVER_SHOW_RECYCLED_OID, MS-ADTS 3.1.1.3.4.1.26.
const SHOW_RECYCLED: &str = "1.2.840.113556.1.4.2064";
/// LDAP_SERVER_DOMAIN_SCOPE_OID, MS-ADTS 3.1.1.3.4.1.4.
const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";
const CONTROLS: [&str; 6] = [
    PAGED,
    SHOW_DELETED,
    SHOW_RECYCLED,
    DOMAIN_SCOPE,
    EXTENDED_DN,
    dirsync::DIRSYNC,
];
/// LDAP_CAP_ACTIVE_DIRECTORY_OID, MS-ADTS 3.1.1.3.4.3.1.
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";
/// GUID_DELETED_OBJECTS_CONTAINER_W, MS-ADTS 6.1.1.4.
const DELETED_OBJECTS: &str = "<wkguid=18e2ea80684f11d2b9aa00c04f79f805,";

/// What is said to a search: the objects as messages, and the end.
#[derive(Debug)]
pub struct Answer {
    /// One message each.
    pub entries: Vec<Vec<u8>>,
    /// How it ended.
    pub outcome: Outcome,
    /// Extensions of the end.
    pub controls: Vec<Control>,
}

impl Answer {
    /// Nothing but an end.
    pub fn refusal(code: Code, text: &str) -> Self {
        Self {
            entries: Vec::new(),
            outcome: Outcome::new(code, text),
            controls: Vec::new(),
        }
    }

    pub(super) fn complete(entries: Vec<Vec<u8>>) -> Self {
        Self {
            entries,
            ..Self::refusal(Code::Success, "")
        }
    }
}

/// Answers a search of a client that has signed in.
pub fn answer(domain: &Domain, id: i64, search: &Search) -> Answer {
    // RFC 4511 4.1.11.
    let unknown =
        |control: &&Control| control.critical && !CONTROLS.contains(&control.oid.as_str());
    if let Some(control) = search.controls.iter().find(unknown) {
        return Answer::refusal(Code::UnavailableCriticalExtension, &control.oid);
    }
    if search.base.eq_ignore_ascii_case(&service_dn()) {
        return service(domain, id, search);
    }
    let Some(base) = resolve(domain, &search.base) else {
        let text = "0000208D: NameErr: DSID-0, problem 2001 (NO_OBJECT)";
        return Answer::refusal(Code::NoSuchObject, text);
    };
    if let Some(control) = search.controls.iter().find(|c| c.oid == dirsync::DIRSYNC) {
        return dirsync::answer(domain, id, search, base, &control.value);
    }
    find(domain, id, search, base)
}

/// The root entry, which anybody may read (MS-ADTS 3.1.1.3.2).
pub fn root_entry(domain: &Domain, id: i64, search: &Search) -> Answer {
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    let list = |list: &[&str]| list.iter().map(|v| v.as_bytes().to_vec()).collect();
    let all: [Shown; 7] = [
        ("defaultNamingContext".into(), text(BASE_DN)),
        ("namingContexts".into(), text(BASE_DN)),
        ("dnsHostName".into(), text("dc1.corp.example.com")),
        (
            "highestCommittedUSN".into(),
            text(&domain.highest_usn().to_string()),
        ),
        ("dsServiceName".into(), text(&service_dn())),
        ("supportedControl".into(), list(&CONTROLS)),
        ("supportedCapabilities".into(), list(&[ACTIVE_DIRECTORY])),
    ];
    let asked = |name: &str| {
        search.attributes.is_empty()
            || search
                .attributes
                .iter()
                .any(|wanted| wanted == "*" || wanted.eq_ignore_ascii_case(name))
    };
    let shown: Vec<Shown> = all.into_iter().filter(|(name, _)| asked(name)).collect();
    let mut entry = Vec::new();
    message::entry(&mut entry, id, "", &shown);
    Answer::complete(vec![entry])
}

/// The nTDSDSA object of this controller (MS-ADTS 6.1.1.2.2.1.2.1.1).
fn service_dn() -> String {
    format!(
        "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,{BASE_DN}"
    )
}

fn service(domain: &Domain, id: i64, search: &Search) -> Answer {
    let guid = ObjectId(u64::MAX).guid();
    let shown: Vec<Shown> = search
        .attributes
        .iter()
        .filter_map(|name| match name.to_ascii_lowercase().as_str() {
            "objectguid" => Some((name.clone(), vec![guid.to_vec()])),
            "invocationid" => Some((name.clone(), vec![domain.invocation_id.to_vec()])),
            _ => None,
        })
        .collect();
    let mut entry = Vec::new();
    message::entry(&mut entry, id, &service_dn(), &shown);
    Answer::complete(vec![entry])
}

/// MS-ADTS 3.1.1.3.1.2.4: alternative forms of DNs.
fn resolve(domain: &Domain, base: &str) -> Option<ObjectId> {
    let lower = base.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("<guid=") {
        let guid = parse_guid(rest.strip_suffix('>')?)?;
        let id = ObjectId::from_guid(&guid)?;
        return domain.get(id).map(|_| id);
    }
    if let Some(rest) = lower.strip_prefix(DELETED_OBJECTS) {
        let same = rest.strip_suffix('>')?.eq_ignore_ascii_case(BASE_DN);
        return same.then(|| domain.deleted_objects());
    }
    domain.find(base)
}

fn parse_guid(text: &str) -> Option<[u8; 16]> {
    let dashed = text.contains('-');
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes: Option<Vec<u8>> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    let mut guid: [u8; 16] = bytes?.try_into().ok()?;
    if dashed {
        let [a, b, c, d, e, f, g, h, ..] = &mut guid;
        std::mem::swap(a, d);
        std::mem::swap(b, c);
        std::mem::swap(e, f);
        std::mem::swap(g, h);
    }
    Some(guid)
}

fn find(domain: &Domain, id: i64, search: &Search, base: ObjectId) -> Answer {
    let has = |oid: &str| search.controls.iter().any(|control| control.oid == oid);
    let shows_deleted = has(SHOW_DELETED) || has(SHOW_RECYCLED);
    let visible = |object: &Object| shows_deleted || !object.deleted;
    let base_visible = domain.get(base).is_some_and(|object| visible(&object));
    if !base_visible {
        let text = "0000208D: NameErr: DSID-0, problem 2001 (NO_OBJECT)";
        return Answer::refusal(Code::NoSuchObject, text);
    }
    let paged = search.controls.iter().find(|c| c.oid == PAGED);
    let (page_size, start) = match paged.map(|control| parse_page(&control.value)) {
        None => (None, None),
        Some(Some((size, start))) => (Some(size), start),
        Some(None) => return Answer::refusal(Code::ProtocolError, "a malformed page"),
    };
    let most = domain.policy.max_page_size;
    let size = page_size.map_or(most, |size| size.clamp(1, most));
    let after = |candidate: &ObjectId| start.is_none_or(|start| *candidate > start);
    let mut found = candidates(domain, search, base)
        .filter(after)
        .filter_map(|candidate| domain.get(candidate))
        .filter(|object| visible(object))
        .filter(|object| in_scope(domain, object, base, search.scope))
        .filter(|object| search.filter.matches(object) == Some(true));

    let names = Names::asked(&search.controls);
    let mut answer = Answer::complete(Vec::new());
    let mut last = None;
    for object in found.by_ref().take(size) {
        match show::attributes(domain, &object, &search.attributes, names) {
            Ok(shown) => {
                let mut entry = Vec::new();
                message::entry(&mut entry, id, &names.of_object(domain, &object), &shown);
                answer.entries.push(entry);
            }
            Err(outcome) => {
                answer.outcome = outcome;
                return answer;
            }
        }
        last = Some(object.id);
    }
    let more = found.next().is_some();
    if more && page_size.is_none() {
        answer.outcome = Outcome::new(Code::SizeLimitExceeded, "MaxPageSize");
        return answer;
    }
    if page_size.is_some() {
        answer.controls.push(page(last.filter(|_| more)));
    }
    if !more && search.scope == Scope::Subtree && base == domain.root() && !has(DOMAIN_SCOPE) {
        let mut reference = Vec::new();
        let url = format!("ldaps://corp.example.com/CN=Configuration,{BASE_DN}");
        message::reference(&mut reference, id, &url);
        answer.entries.push(reference);
    }
    answer
}

/// The objects that may fit, in the order of pages.
fn candidates<'a>(
    domain: &'a Domain,
    search: &Search,
    base: ObjectId,
) -> Box<dyn Iterator<Item = ObjectId> + 'a> {
    match (search.scope, search.filter.guids()) {
        (Scope::Base, _) => Box::new([base].into_iter()),
        (_, Some(guids)) => {
            let mut ids: Vec<_> = guids.iter().filter_map(ObjectId::from_guid).collect();
            ids.sort_unstable();
            ids.dedup();
            Box::new(ids.into_iter())
        }
        // People of a population do not fit a filter for groups, and there may be a million.
        (_, None) if search.filter.wants_groups() => Box::new(domain.objects.keys().copied()),
        (_, None) => Box::new(domain.ids()),
    }
}

fn in_scope(domain: &Domain, object: &Object, base: ObjectId, scope: Scope) -> bool {
    match scope {
        Scope::Base => object.id == base,
        Scope::OneLevel => object.parent == Some(base),
        Scope::Subtree => {
            let mut at = Some(object.id);
            while let Some(id) = at {
                if id == base {
                    return true;
                }
                at = domain.get(id).and_then(|found| found.parent);
            }
            false
        }
    }
}

fn parse_page(value: &[u8]) -> Option<(usize, Option<ObjectId>)> {
    let mut reader = Reader(Reader(value).expect(ber::SEQUENCE)?);
    let size = usize::try_from(reader.integer(ber::INTEGER)?).ok()?;
    let cookie = reader.expect(ber::OCTETS)?;
    let start = match cookie.is_empty() {
        true => None,
        false => Some(ObjectId(u64::from_be_bytes(cookie.try_into().ok()?))),
    };
    Some((size, start))
}

fn page(last: Option<ObjectId>) -> Control {
    let cookie = last.map_or_else(Vec::new, |last| last.0.to_be_bytes().to_vec());
    let mut value = Vec::new();
    ber::nested(&mut value, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, 0);
        ber::element(out, ber::OCTETS, &cookie);
    });
    Control {
        oid: PAGED.to_owned(),
        critical: false,
        value,
    }
}
