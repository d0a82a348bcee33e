//! Reading only what says whether users may sign in.
//!
//! Invariant: the state of an account is whole; a report that has a part of it leads to a fresh
//! read. Accounts of machines are left out by the directory already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rollcall_directory::{
    Access, Cookie, DirSyncEvent, DirSyncRequest, Entry, Error, Filter, Kind, MemberDetail,
};

use super::{Reader, from_the_start, guid_of, number};
use crate::engine::Guid;
use crate::engine::account_state::{AccountState, News};

const CONTROL: &str = "userAccountControl";
const EXPIRES: &str = "accountExpires";
const PASSWORD: &str = "pwdLastSet";

/// The state of every account.
#[derive(Debug, Default)]
pub struct AllAccounts {
    /// By objectGUID.
    pub states: HashMap<Guid, AccountState>,
    /// Where the next read begins.
    pub cookie: Vec<u8>,
}

/// The accounts whose state may have changed.
#[derive(Debug, Default)]
pub struct ChangedAccounts {
    /// By objectGUID, with what was reported.
    pub news: BTreeMap<Guid, News>,
    /// Where the next read begins.
    pub cookie: Vec<u8>,
}

impl Reader {
    /// Reads the state of every account.
    ///
    /// # Errors
    /// [`Error`]; also when the state of a user cannot be read.
    pub async fn all_accounts(&mut self) -> Result<AllAccounts, Error> {
        let mut all = AllAccounts::default();
        let mut reported = HashSet::new();
        let mut again = BTreeSet::new();
        let mut read = self.connection.dirsync(self.account_request(None)).await?;
        loop {
            match read.next().await? {
                Some(DirSyncEvent::Change(change)) => {
                    let entry = &change.entry;
                    let guid = guid_of(entry);
                    let first = reported.insert(guid);
                    match state_of(entry) {
                        _ if entry.deleted => {
                            all.states.remove(&guid);
                        }
                        Ok(Some(state)) if first => {
                            all.states.insert(guid, state);
                        }
                        Ok(None) if first && entry.kind.is_some() => {}
                        _ => {
                            again.insert(guid);
                        }
                    }
                }
                Some(DirSyncEvent::Page(_)) => {}
                Some(DirSyncEvent::Complete(cookie)) => {
                    all.cookie = cookie.as_bytes().to_vec();
                    break;
                }
                None => return Err(Error::Protocol("a read without an end")),
            }
        }
        let again: Vec<Guid> = again.into_iter().collect();
        for guid in &again {
            all.states.remove(guid);
        }
        all.states.extend(self.accounts(&again).await?);
        Ok(all)
    }

    /// Asks whose state changed since `cookie`, which came from the controller `origin` if that is
    /// known; as in [`Self::changes`], another one may take it and report everything, or too little.
    ///
    /// # Errors
    /// [`Error::CookieRefused`] when only a full read helps, or any other.
    pub async fn changed_accounts(
        &mut self,
        cookie: &[u8],
        origin: Option<Guid>,
    ) -> Result<ChangedAccounts, Error> {
        self.check_origin(origin)?;
        let mut changed = ChangedAccounts::default();
        let request = self.account_request(Some(cookie));
        let mut read = self.connection.dirsync(request).await?;
        loop {
            match read.next().await? {
                // The domain itself is new to a reader only at the start.
                Some(DirSyncEvent::Change(change)) if change.entry.kind == Some(Kind::Domain) => {
                    return Err(from_the_start());
                }
                Some(DirSyncEvent::Change(change)) if change.entry.deleted => {}
                Some(DirSyncEvent::Change(change)) => {
                    let news = changed
                        .news
                        .entry(guid_of(&change.entry))
                        .or_insert(News::Reported);
                    if change.entry.attributes.has(PASSWORD) {
                        *news = News::ReportedWithPassword;
                    }
                }
                Some(DirSyncEvent::Page(_)) => {}
                Some(DirSyncEvent::Complete(cookie)) => {
                    changed.cookie = cookie.as_bytes().to_vec();
                    return Ok(changed);
                }
                None => return Err(Error::Protocol("a read without an end")),
            }
        }
    }

    /// The present state of these accounts; what is no account, gone, or cannot be shown
    /// ([`Reader::unreadable`]) is left out.
    ///
    /// # Errors
    /// [`Error`]; also when the state of a user cannot be read.
    pub async fn accounts(&mut self, guids: &[Guid]) -> Result<Vec<(Guid, AccountState)>, Error> {
        let entries = self.several(guids, &[CONTROL, EXPIRES, PASSWORD]).await?;
        let mut states = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(state) = state_of(&entry)? {
                states.push((guid_of(&entry), state));
            }
        }
        Ok(states)
    }

    fn account_request(&self, cookie: Option<&[u8]>) -> DirSyncRequest {
        DirSyncRequest {
            base: self.base.clone(),
            // objectCategory would not match tombstones, which end what was reported before. The
            // domain shows where a read begins.
            filter: Filter::Or(vec![
                Filter::And(vec![
                    Filter::equal("objectClass", "user"),
                    Filter::Not(Box::new(Filter::equal("objectClass", "computer"))),
                ]),
                Filter::equal("objectClass", "domainDNS"),
            ]),
            attributes: [CONTROL, EXPIRES, PASSWORD].map(str::to_owned).to_vec(),
            cookie: cookie.map(|bytes| Cookie::from_bytes(bytes.to_vec())),
            access: Access::Replication,
            members: MemberDetail::Whole,
        }
    }
}

/// The state in an entry; `None` when it is no user's account.
///
/// # Errors
/// [`Error::RightsMissing`] when a user comes without userAccountControl, which every user has.
fn state_of(entry: &Entry) -> Result<Option<AccountState>, Error> {
    if entry.kind != Some(Kind::User) {
        return Ok(None);
    }
    let found = &entry.attributes;
    let Some(control) = number(found.i64(CONTROL)) else {
        return Err(Error::RightsMissing {
            what: "read userAccountControl of every user",
            right: "the right to read all properties of users",
            text: format!("it is not shown for {}", entry.dn.as_str()),
        });
    };
    let expires = found.i64(EXPIRES).unwrap_or_default();
    Ok(AccountState::from_attributes(
        control,
        expires,
        found.i64(PASSWORD),
    ))
}
