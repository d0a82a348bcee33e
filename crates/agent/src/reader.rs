//! Reading the directory for the engine.
//!
//! Invariant: what comes back is complete or an error; an object is handed on whole, and one that
//! cannot be found is told apart from one that was deleted. Deliberately absent: what to do with
//! it.

use std::collections::BTreeMap;

use rollcall_directory::{
    Access, Base, Bind, Connection, Cookie, Deleted, DirSyncEvent, DirSyncRequest, Dn, Entry,
    Error, Filter, Kind, MemberDetail, Options, SearchRequest, Verification,
};

use rollcall_kit::timestamp::Timestamp;

use crate::config::Config;
use crate::engine::Guid;
use crate::engine::mapping::Mapping;
use crate::engine::object::{Change, DirectoryObject, ObjectClass};
use crate::failure::Failure;
use crate::fault_count::Side;

mod account_state;
mod change;
mod filter;
mod mapped;
mod one;
mod password;
mod several;
mod told;
mod tombstone;

pub use account_state::{AllAccounts, ChangedAccounts};
use change::Everything;
pub use change::{Changes, Members};
pub use filter::Resolved;
pub use one::{History, Server, Surroundings};
pub use password::{Account, Owner, options_of};
pub use told::{Named, Told};

/// Attributes the engine needs beside the mapped ones.
const ALWAYS: [&str; 9] = [
    "name",
    "sAMAccountName",
    "objectSid",
    "primaryGroupID",
    "userAccountControl",
    "accountExpires",
    "pwdLastSet",
    "isCriticalSystemObject",
    "member",
];
/// Classes of objects that are synchronized or that others lie in. objectCategory would not match
/// tombstones.
const CLASSES: [&str; 7] = [
    "user",
    "group",
    "organizationalUnit",
    "container",
    "builtinDomain",
    "lostAndFound",
    "domainDNS",
];
/// Identifiers in one search for deleted objects.
const GUIDS_PER_SEARCH: usize = 200;

/// A connection to the directory.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    base: Dn,
    controller: Option<Guid>,
    unreadable: BTreeMap<Guid, String>,
}

/// Where the members of a group come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// They are known; they are not read.
    Known(Vec<Guid>),
    /// They are read; it is an error when none is shown, for there are some.
    Some,
    /// They are read; when none is shown, it is these.
    AtLeast(Vec<Guid>),
}

impl From<&Members> for Source {
    fn from(reported: &Members) -> Self {
        match reported {
            Members::Whole(members) => Self::Known(members.clone()),
            Members::Changed(difference) if difference.added().next().is_none() => {
                Self::AtLeast(Vec::new())
            }
            Members::Changed(_) | Members::ToRead => Self::Some,
        }
    }
}

/// How the directory of the configuration is reached. The keytab is read each time, so that a new one
/// counts at once.
///
/// # Errors
/// [`Failure`] when something of Kerberos cannot be used.
pub fn options(config: &Config) -> Result<Options, Failure> {
    let ldap = &config.ldap;
    if ldap.use_kerberos {
        let host = crate::kerberos::host_name(&ldap.host);
        let security = crate::kerberos::security(config, host)?;
        let url = match ldap.host.contains("://") {
            true => ldap.host.clone(),
            false => format!("ldap://{}", ldap.host),
        };
        let mut options = Options::new(url, Bind::Sealed(Box::new(security)));
        options.address.clone_from(&ldap.address);
        return Ok(options);
    }
    let bind = match (&ldap.username, &ldap.password) {
        (Some(account), Some(password)) => Bind::Simple {
            account: account.clone(),
            password: password.clone(),
        },
        _ => Bind::Anonymous,
    };
    let mut options = Options::new(ldap.host.clone(), bind);
    options.address.clone_from(&ldap.address);
    options.ca_path = ldap
        .certificate_path
        .as_ref()
        .map(|path| config.resolve(path));
    if ldap.insecure_skip_verify {
        options.verification = Verification::DangerouslyOff;
    }
    Ok(options)
}

/// What a failed read means for the whole run.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    Side::Directory.failed();
    let text = crate::failure::chain(error);
    match error {
        Error::BindRefused { .. } => Failure::Authentication(text),
        Error::Security(error) => crate::kerberos::failure(error, text),
        Error::InvalidUrl { .. } | Error::Unsafe(_) | Error::CaFile { .. } => Failure::Config(text),
        _ => Failure::Run(text),
    }
}

impl Reader {
    /// Connects, signs in and checks that this is the directory of `domain`.
    ///
    /// # Errors
    /// [`Failure`] with what to do.
    pub async fn connect(config: &Config, domain: &str) -> Result<Self, Failure> {
        let mut connection = Connection::open(&options(config)?)
            .await
            .map_err(|error| failure(&error))?;
        let root = connection
            .root_dse()
            .await
            .map_err(|error| failure(&error))?;
        let served = root.domain_name();
        if !served.eq_ignore_ascii_case(domain) {
            return Err(Failure::Config(format!(
                "sync_settings.filter.domain is {domain}, but {} serves {served}",
                config.ldap.host
            )));
        }
        let controller = connection.invocation_id().await;
        let controller = match controller {
            Ok(found) => found.as_ref().map(guid),
            Err(Error::RightsMissing { .. }) => None,
            Err(error) => return Err(failure(&error)),
        };
        Ok(Self {
            connection,
            base: root.default_naming_context,
            controller,
            unreadable: BTreeMap::new(),
        })
    }

    /// When the certificate of the directory expires.
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        self.connection.certificate_expires()
    }

    /// Reads everything. `sink` gets each object that was reported whole, and each deleted one;
    /// the others are returned, to be read again with [`Self::objects`].
    ///
    /// # Errors
    /// [`Error`]; what was handed on until then is incomplete.
    pub async fn everything(
        &mut self,
        mapping: &Mapping,
        mut sink: impl FnMut(Change),
    ) -> Result<Changes, Error> {
        let mut everything = Everything::default();
        let base = self.base.clone();
        let mut read = self
            .connection
            .dirsync(request(&self.base, mapping, None))
            .await?;
        loop {
            match read.next().await? {
                Some(DirSyncEvent::Change(change)) => {
                    if let Some(change) = everything.take(*change, mapping, &base) {
                        sink(change);
                    }
                }
                Some(DirSyncEvent::Page(_)) => {}
                Some(DirSyncEvent::Complete(cookie)) => {
                    return Ok(everything.finish(cookie.as_bytes().to_vec()));
                }
                None => return Err(Error::Protocol("a read without an end")),
            }
        }
    }

    /// The database this controller has; another one after a restore. `None` when it does not tell.
    #[must_use]
    pub fn controller(&self) -> Option<Guid> {
        self.controller
    }

    fn check_origin(&self, origin: Option<Guid>) -> Result<(), Error> {
        if origin.is_some() && self.controller.is_some() && origin != self.controller {
            return Err(Error::CookieRefused {
                text: "it is of another domain controller, or of this one before it was restored"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Asks what changed since `cookie`, which came from the controller `origin` if that is known.
    ///
    /// Another controller, or this one after a restore, may take the cookie and leave out what it
    /// believes to be known already, or report everything without a word.
    ///
    /// # Errors
    /// [`Error::CookieRefused`] when only a full read helps, or any other.
    pub async fn changes(
        &mut self,
        mapping: &Mapping,
        cookie: &[u8],
        origin: Option<Guid>,
    ) -> Result<Changes, Error> {
        self.check_origin(origin)?;
        let mut changes = Changes::default();
        let base = self.base.clone();
        let mut read = self
            .connection
            .dirsync(request(&self.base, mapping, Some(cookie)))
            .await?;
        loop {
            match read.next().await? {
                // The domain itself is new to a reader only at the start.
                Some(DirSyncEvent::Change(change)) if change.entry.kind == Some(Kind::Domain) => {
                    return Err(from_the_start());
                }
                Some(DirSyncEvent::Change(change)) => changes.note(*change, &base),
                Some(DirSyncEvent::Page(_)) => {}
                Some(DirSyncEvent::Complete(cookie)) => {
                    changes.cookie = cookie.as_bytes().to_vec();
                    return Ok(changes);
                }
                None => return Err(Error::Protocol("a read without an end")),
            }
        }
    }

    /// Reads these objects whole. Each is seen, deleted or missing, or left out because the directory
    /// cannot show it ([`Self::unreadable`]). The members of groups come from
    /// where `sources` says; of others they are read.
    ///
    /// # Errors
    /// [`Error`]; also when an attribute that every such object has cannot be read.
    pub async fn objects(
        &mut self,
        mapping: &Mapping,
        guids: &[Guid],
        sources: &BTreeMap<Guid, Source>,
    ) -> Result<Vec<Change>, Error> {
        let attributes: Vec<String> = attributes(mapping)
            .into_iter()
            .filter(|name| name != "member")
            .collect();
        let names: Vec<&str> = attributes.iter().map(String::as_str).collect();
        let entries = self.several(guids, &names).await?;
        let mut left: BTreeMap<Guid, ()> = guids.iter().map(|guid| (*guid, ())).collect();
        left.retain(|guid, ()| !self.unreadable.contains_key(guid));
        let mut found = Vec::with_capacity(guids.len());
        for entry in entries {
            let mut object = object(&entry, mapping)?.unwrap_or_else(|| bare(&entry));
            if object.class == ObjectClass::Group {
                let source = sources.get(&object.guid);
                // Gone since the search: left for the search among the deleted.
                let Some(members) = self.members(object.guid, source).await? else {
                    continue;
                };
                object.members = members.all;
                found.extend(members.elsewhere);
            }
            left.remove(&object.guid);
            found.push(Change::Seen(Box::new(object)));
        }
        let left: Vec<Guid> = left.into_keys().collect();
        found.extend(self.deleted_or_missing(&left).await?);
        Ok(found)
    }

    async fn deleted_or_missing(&mut self, guids: &[Guid]) -> Result<Vec<Change>, Error> {
        let mut found = Vec::with_capacity(guids.len());
        for chunk in guids.chunks(GUIDS_PER_SEARCH) {
            let filter = Filter::Or(chunk.iter().map(|g| Filter::guid(&wire(*g))).collect());
            let search = SearchRequest {
                deleted: Deleted::Shown,
                ..SearchRequest::subtree(Base::Dn(self.base.clone()), filter, &["isDeleted"])
            };
            let entries = self.connection.search(search).await?.collect().await?;
            for guid in chunk {
                let tombstone = entries
                    .iter()
                    .any(|entry| guid_of(entry) == *guid && entry.deleted);
                found.push(if tombstone {
                    Change::Deleted(*guid)
                } else {
                    Change::Missing(*guid)
                });
            }
        }
        Ok(found)
    }

    async fn members(
        &mut self,
        group: Guid,
        source: Option<&Source>,
    ) -> Result<Option<Read>, Error> {
        if let Some(Source::Known(members)) = source {
            return Ok(Some(Read::of(members.clone())));
        }
        let read = self.connection.members_by_place(wire(group), &self.base);
        let Some(members) = read.await? else {
            return Ok(None);
        };
        let all: Vec<Guid> = members.all.iter().map(guid).collect();
        match source {
            Some(Source::Some) if all.is_empty() => Err(Error::RightsMissing {
                what: "read the members of every group",
                right: "the right to read all properties of groups",
                text: format!("the group {group} has members, but none is shown"),
            }),
            Some(Source::AtLeast(known)) if all.is_empty() => Ok(Some(Read::of(known.clone()))),
            _ => {
                let outside = members.outside.iter().map(|member| {
                    Change::Elsewhere(guid(&member.guid), member.dn.as_str().to_owned())
                });
                let elsewhere = outside.collect();
                Ok(Some(Read { all, elsewhere }))
            }
        }
    }
}

/// The members of one group.
struct Read {
    all: Vec<Guid>,
    /// Those of other domains.
    elsewhere: Vec<Change>,
}

impl Read {
    fn of(all: Vec<Guid>) -> Self {
        Self {
            all,
            elsewhere: Vec::new(),
        }
    }
}

/// A controller that does not know the cookie and does not say so.
fn from_the_start() -> Error {
    Error::CookieRefused {
        text: "everything is reported from the start".to_owned(),
    }
}

fn request(base: &Dn, mapping: &Mapping, cookie: Option<&[u8]>) -> DirSyncRequest {
    DirSyncRequest {
        base: base.clone(),
        filter: Filter::Or(
            CLASSES
                .iter()
                .map(|class| Filter::equal("objectClass", class))
                .collect(),
        ),
        attributes: attributes(mapping),
        cookie: cookie.map(|bytes| Cookie::from_bytes(bytes.to_vec())),
        access: Access::Replication,
        // A whole picture needs whole lists; afterwards a change of one member is enough.
        members: match cookie {
            None => MemberDetail::Whole,
            Some(_) => MemberDetail::Incremental,
        },
    }
}

fn attributes(mapping: &Mapping) -> Vec<String> {
    let mut all: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    for name in mapping.attributes() {
        if !all.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            all.push(name.to_owned());
        }
    }
    all
}

/// The object of an entry; `None` when it is of no interest.
///
/// # Errors
/// [`Error::RightsMissing`] when a user comes without userAccountControl, which every user has:
/// taken for 0, a disabled account would count as enabled.
fn object(entry: &Entry, mapping: &Mapping) -> Result<Option<DirectoryObject>, Error> {
    let class = match entry.kind {
        Some(Kind::User) => ObjectClass::User,
        Some(Kind::Group) => ObjectClass::Group,
        Some(Kind::OrganizationalUnit | Kind::Container | Kind::Domain) => ObjectClass::Container,
        Some(Kind::Other) | None => return Ok(None),
    };
    let mut object = bare(entry);
    object.class = class;
    if class == ObjectClass::Container {
        return Ok(Some(object));
    }
    let found = &entry.attributes;
    let control = number(found.i64("userAccountControl"));
    if class == ObjectClass::User && control.is_none() {
        return Err(Error::RightsMissing {
            what: "read userAccountControl of every user",
            right: "the right to read all properties of users",
            text: format!("it is not shown for {}", entry.dn.as_str()),
        });
    }
    let sid = found.sid("objectSid");
    object.critical = found.boolean("isCriticalSystemObject") == Some(true);
    object.rid = sid.as_ref().and_then(rollcall_directory::Sid::rid);
    object.primary_group_rid = number(found.i64("primaryGroupID"));
    object.user_account_control = control.unwrap_or_default();
    object.account_expires = found.i64("accountExpires").unwrap_or_default();
    object.pwd_last_set = found.i64("pwdLastSet");
    for name in mapping.attributes().chain(["name", "samaccountname"]) {
        if let Some(value) = mapped::text_of(entry, name) {
            object.attributes.insert(name.to_owned(), value);
        }
    }
    Ok(Some(object))
}

/// Identity and place only.
fn bare(entry: &Entry) -> DirectoryObject {
    DirectoryObject {
        guid: guid_of(entry),
        parent: entry.parent.as_ref().map(guid),
        dn: entry.dn.as_str().to_owned(),
        class: ObjectClass::Other,
        critical: false,
        attributes: BTreeMap::new(),
        members: Vec::new(),
        rid: None,
        primary_group_rid: None,
        user_account_control: 0,
        account_expires: 0,
        pwd_last_set: None,
    }
}

fn number(value: Option<i64>) -> Option<u32> {
    // userAccountControl is a signed 32-bit number on the wire; its bits are what counts.
    value.map(|value| (value & i64::from(u32::MAX)) as u32)
}

fn guid(of: &rollcall_directory::Guid) -> Guid {
    Guid::from_wire(*of.as_bytes())
}

fn guid_of(entry: &Entry) -> Guid {
    guid(&entry.guid)
}

fn wire(guid: Guid) -> rollcall_directory::Guid {
    rollcall_directory::Guid::from_bytes(guid.to_wire())
}
