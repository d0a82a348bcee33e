//! Reading password hashes by directory replication, as one domain controller reads from another
//! (MS-DRSR): only the reading, only what the account state and the hash need.
//!
//! Invariants: a page is either understood to its last byte or an error; a hash is the right one or
//! none; the cursor of a page covers exactly what the pages up to it have shown; nothing is written
//! on the controller. Deliberately absent: other secrets, memberships, other naming contexts than
//! the one asked for, and the decision what a missing or a new hash means.

mod attribute;
mod bind;
mod cursor;
#[cfg(test)]
mod golden;
mod object;
#[cfg(test)]
mod pages;
mod problem;
mod reply;
mod request;
#[cfg(test)]
mod scripted;
mod secret;

use std::fmt;
use std::time::Duration;

use rollcall_kit::secret::SecretBytes;

pub use attribute::ReplicatedAttribute;
pub use cursor::{ReplicationCursor, Usns};
pub use object::{HashValue, NtHash, PasswordLastSet, ReplicatedObject, Undecryptable};
pub use problem::{ReplicationProblem, ReplicationRight};

use self::object::objects;
use self::reply::{Answer, Reply};
use self::request::{Prefixes, Target};
use crate::error::Error;
use crate::guid::Guid;
use crate::rpc::association::{Association, Patience, find_port, malformed};
use crate::rpc::mapper;
use crate::security::{Purpose, SecContext, SecurityOptions};

/// Pages until the controller says that there is no more; a million people and ten million
/// memberships have eight thousand.
const PAGES_MAX: u32 = 200_000;
/// Status of a first call after which the account is to blame: access denied, security package,
/// protocol error (which is what Samba says).
const SIGN_IN_FAULTS: [u32; 3] = [0x0000_0005, 0x0000_0721, 0x1c01_000b];
const ACCESS_DENIED: u32 = 8453;
const OTHER_EPOCH: u32 = 8593;
/// Parameter wrong, schema mismatch: what a table of prefixes can cause.
const TABLE_REFUSED: [u32; 2] = [87, 8418];
/// No such object, bad name, bad naming context, object not found in its place.
const NO_OBJECT: [u32; 4] = [8333, 8439, 8440, 8420];
/// EXOP_ERR_SUCCESS (MS-DRSR 4.1.10.2.21).
const EXTENDED_SUCCESS: u32 = 1;
const DURING: &str = "reading password hashes";

/// Where replication is read, and as whom.
#[derive(Clone, Debug)]
pub struct ReplicationOptions {
    /// Name or address to connect to.
    pub host: String,
    /// Full name of the controller, for which tickets are made; `None` takes the target of
    /// [`ReplicationOptions::security`].
    pub name: Option<String>,
    /// TCP port of replication; `None` asks the endpoint mapper (TCP 135).
    pub port: Option<u16>,
    /// Who we are.
    pub security: SecurityOptions,
    /// DN of the domain.
    pub naming_context: String,
    /// Time for name resolution and connection, each.
    pub connect_timeout: Duration,
    /// Time for a whole call; the first page of a large domain may take long.
    pub call_timeout: Duration,
}

impl ReplicationOptions {
    /// 15 s to connect and 120 s for a call.
    #[must_use]
    pub fn new(
        host: impl Into<String>,
        security: SecurityOptions,
        naming_context: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            name: None,
            port: None,
            security,
            naming_context: naming_context.into(),
            connect_timeout: Duration::from_secs(15),
            call_timeout: Duration::from_secs(120),
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            connect: self.connect_timeout,
            call: self.call_timeout,
        }
    }
}

/// One page of changes.
#[derive(Debug)]
pub struct Page {
    /// Objects of which something asked for has changed, in no order.
    pub objects: Vec<ReplicatedObject>,
    /// Where to go on; good to be kept once this page has been dealt with.
    pub cursor: ReplicationCursor,
    /// Whether the next page is there already.
    pub more: bool,
    /// Memberships that came unasked and were skipped.
    pub link_values_skipped: u64,
}

/// A signed-in association for replication; close it with [`Replication::close`] or drop it.
pub struct Replication {
    association: Association,
    session_key: SecretBytes,
    handle: bind::Handle,
    /// The site of the controller, for requests that have to name something it knows.
    site: Guid,
    naming_context: String,
    prefixes: Prefixes,
    pages: u32,
}

impl Replication {
    /// Connects, signs in and binds.
    ///
    /// # Errors
    /// Any arm of [`Error`] that concerns names, network, account or replication.
    pub async fn open(options: &ReplicationOptions) -> Result<Self, Error> {
        let patience = options.patience();
        let port = Self::find_port(options).await?;
        let mut security = options.security.clone();
        if let Some(name) = &options.name {
            security.target.clone_from(name);
        }
        let security = SecContext::new(&security, Purpose::Rpc)?;
        let mut association = Association::connect(&options.host, port, patience).await?;
        association.bind(&bind::DRSUAPI, Some(security)).await?;
        Self::start(association, options.naming_context.clone()).await
    }

    /// The TCP port of replication: the configured one, else that of the endpoint mapper. Tells
    /// apart which of the two ports a firewall closes.
    ///
    /// # Errors
    /// When the endpoint mapper cannot be reached or knows of no replication.
    pub async fn find_port(options: &ReplicationOptions) -> Result<u16, Error> {
        let host = &options.host;
        match options.port {
            Some(port) => Ok(port),
            None => find_port(host, mapper::PORT, &bind::DRSUAPI, options.patience()).await,
        }
    }

    /// DsBind on an association that is bound to the interface.
    async fn start(association: Association, naming_context: String) -> Result<Self, Error> {
        let session_key = association.session_key()?;
        let mut replication = Self {
            association,
            session_key,
            handle: [0; bind::HANDLE_BYTES],
            site: bind::NO_SITE,
            naming_context,
            prefixes: Prefixes::WithSchema,
            pages: 0,
        };
        let mut bound = replication.ds_bind(0).await?;
        let accepted = bound.code == 0 || bound.code == OTHER_EPOCH;
        if accepted && bound.epoch != 0 {
            // The domain was renamed once; without its epoch nothing is given.
            if bound.code == 0 {
                replication.handle = bound.handle;
                replication.ds_unbind().await?;
            }
            bound = replication.ds_bind(bound.epoch).await?;
        }
        if bound.code != 0 {
            return Err(replication.refused(bound.code));
        }
        let lacks = |flag| bound.flags & flag == 0;
        let too_old = |what| Error::Replication(ReplicationProblem::TooOld { what });
        if lacks(bind::STRONG_ENCRYPTION) {
            return Err(too_old(
                "does not encrypt password hashes with the key of the session",
            ));
        }
        if lacks(bind::GETCHGREQ_V8) {
            return Err(too_old("cannot be asked for single attributes"));
        }
        (replication.handle, replication.site) = (bound.handle, bound.site);
        Ok(replication)
    }

    async fn ds_bind(&mut self, epoch: u32) -> Result<bind::Bound, Error> {
        let during = "signing in for replication";
        let stub = bind::request(epoch);
        let answer = self.association.call(bind::BIND, &stub, during).await;
        let answer = answer.map_err(|error| match error {
            // The last leg of NTLM is not answered, so a refusal shows here.
            Error::Replication(ReplicationProblem::Fault { status })
                if SIGN_IN_FAULTS.contains(&status) =>
            {
                Error::Replication(ReplicationProblem::SignInRefused { status })
            }
            other => other,
        })?;
        bind::parse(&answer).map_err(malformed)
    }

    async fn ds_unbind(&mut self) -> Result<(), Error> {
        let handle = self.handle;
        let during = "closing replication";
        let answer = self.association.call(bind::UNBIND, &handle, during).await;
        answer.map(drop)
    }

    /// The changes after the cursor, as many as the controller puts into a page.
    ///
    /// At another controller than the one of the cursor, or after it was restored properly, what
    /// the cursor knows of all controllers decides; while a first circle is unfinished that is
    /// nothing, so it starts over.
    ///
    /// # Errors
    /// When the connection breaks, a right is missing, or the controller knows less than the cursor
    /// ([`ReplicationProblem::RolledBack`]: start over with the default cursor).
    pub async fn next_page(
        &mut self,
        cursor: &ReplicationCursor,
        attributes: &[ReplicatedAttribute],
    ) -> Result<Page, Error> {
        let page = self.page(cursor, attributes).await?;
        if cursor.has_position() && page.cursor.invocation_id != cursor.invocation_id {
            // The position means nothing here, whatever this controller made of it.
            tracing::info!(
                before = %cursor.invocation_id,
                now = %page.cursor.invocation_id,
                "another domain controller, or one that was restored: reading what is not known yet"
            );
            return self.page(&cursor.without_position(), attributes).await;
        }
        Ok(page)
    }

    async fn page(
        &mut self,
        cursor: &ReplicationCursor,
        attributes: &[ReplicatedAttribute],
    ) -> Result<Page, Error> {
        let naming_context = self.naming_context.clone();
        let target = Target::Changes(&naming_context, cursor);
        let (stub, code) = self.ask(target, attributes).await?;
        if code == ACCESS_DENIED {
            return Err(self.missing_right().await);
        }
        if code != 0 {
            return Err(self.refused(code));
        }
        let reply = page_of(&stub)?;
        let next = self.check_progress(cursor, &reply)?;
        let found = objects(&reply, self.session_key.expose()).map_err(malformed)?;
        Ok(Page {
            objects: found,
            cursor: next,
            more: reply.more,
            link_values_skipped: reply.links,
        })
    }

    /// The cursor after a page, unless the circle leads nowhere.
    fn check_progress(
        &mut self,
        cursor: &ReplicationCursor,
        reply: &Reply<'_>,
    ) -> Result<ReplicationCursor, Error> {
        let problem = |problem| Err(Error::Replication(problem));
        let invocation_id = reply.invocation_id.unwrap_or(cursor.invocation_id);
        let same = invocation_id == cursor.invocation_id;
        let known = cursor.known_of(invocation_id);
        let mut vector = reply.up_to_date.iter();
        let own = vector.find(|(controller, _)| *controller == invocation_id);
        let less = matches!((known, own), (Some(known), Some((_, now))) if *now < known);
        if less || (same && reply.usns.object < cursor.usns.object) {
            return problem(ReplicationProblem::RolledBack);
        }
        let mut next = ReplicationCursor {
            invocation_id,
            usns: reply.usns,
            up_to_date: cursor.up_to_date.clone(),
        };
        if !reply.more {
            self.pages = 0;
            next.learn(&reply.up_to_date);
            return Ok(next);
        }
        if same && reply.usns == cursor.usns {
            return problem(ReplicationProblem::NoProgress);
        }
        self.pages += 1;
        if self.pages > PAGES_MAX {
            return problem(ReplicationProblem::TooManyPages { limit: PAGES_MAX });
        }
        Ok(next)
    }

    /// One object as it is now; `None` when it does not exist.
    ///
    /// # Errors
    /// When the connection breaks, a right is missing, or the controller does not show it: that is no
    /// object without a password.
    pub async fn one_object(
        &mut self,
        guid: Guid,
        attributes: &[ReplicatedAttribute],
    ) -> Result<Option<ReplicatedObject>, Error> {
        let site = self.site;
        let target = Target::Object { guid, site };
        let (stub, code) = self.ask(target, attributes).await?;
        match code {
            0 => {}
            ACCESS_DENIED => return Err(self.missing_right().await),
            code if NO_OBJECT.contains(&code) => return Ok(None),
            code => return Err(self.refused(code)),
        }
        let reply = page_of(&stub)?;
        if reply.extended != EXTENDED_SUCCESS {
            let code = reply.extended;
            return Err(Error::Replication(ReplicationProblem::ObjectRefused {
                code,
            }));
        }
        let found = objects(&reply, self.session_key.expose()).map_err(malformed)?;
        Ok(found.into_iter().find(|object| object.guid == guid))
    }

    /// Calls GetNCChanges, with another table of prefixes if the first one is refused; returns the
    /// answer, which is a page if the code is 0.
    async fn ask(
        &mut self,
        target: Target<'_>,
        attributes: &[ReplicatedAttribute],
    ) -> Result<(Vec<u8>, u32), Error> {
        loop {
            let stub = request::encode(&self.handle, target, attributes, self.prefixes);
            let operation = request::GET_CHANGES;
            let answer = self.association.call(operation, &stub, DURING).await?;
            let code = reply::code(&answer).map_err(malformed)?;
            match self.prefixes.next() {
                Some(next) if TABLE_REFUSED.contains(&code) => self.prefixes = next,
                _ => return Ok((answer, code)),
            }
        }
    }

    /// Which right the account lacks: without the secrets the smaller one is enough.
    async fn missing_right(&mut self) -> Error {
        let naming_context = self.naming_context.clone();
        let attributes = [ReplicatedAttribute::UserAccountControl];
        let probe = self.ask(Target::Probe(&naming_context), &attributes).await;
        Error::Replication(ReplicationProblem::MissingRight {
            right: match probe {
                Ok((_, 0)) => ReplicationRight::GetChangesAll,
                _ => ReplicationRight::GetChanges,
            },
            naming_context,
        })
    }

    fn refused(&self, code: u32) -> Error {
        Error::Replication(ReplicationProblem::from_code(code, &self.naming_context))
    }

    /// Says goodbye; dropping does the same less politely.
    pub async fn close(mut self) {
        // Nothing depends on it any more.
        self.ds_unbind().await.ok();
    }
}

impl fmt::Debug for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replication")
            .field("naming_context", &self.naming_context)
            .field("association", &self.association)
            .finish_non_exhaustive()
    }
}

fn page_of(stub: &[u8]) -> Result<Box<Reply<'_>>, Error> {
    match reply::parse(stub).map_err(malformed)? {
        Answer::Page(page) => Ok(page),
        Answer::OtherVersion(version) => {
            Err(Error::Replication(ReplicationProblem::ReplyVersion {
                version,
            }))
        }
    }
}

/// The answer to DsBind, as a fuzz target.
pub(crate) fn fuzz_bind(bytes: &[u8]) {
    bind::parse(bytes).ok();
}

/// A page, decrypted and all, as a fuzz target.
pub(crate) fn fuzz_reply(bytes: &[u8]) {
    if let Ok(reply) = page_of(bytes) {
        objects(&reply, b"session key").ok();
    }
}
