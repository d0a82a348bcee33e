//! From what replication shows to what the hub has to be told.
//!
//! Invariant: a hash of somebody the hub does not have is dropped here. A hash is never judged by a
//! part of what belongs to it: when its date was not sent, the object is read whole.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_directory::{HashValue, NtHash, PasswordLastSet, ReplicatedObject};
use rollcall_kit::timestamp::Timestamp;

use super::PasswordHashRun;
use super::deliver::Task;
use crate::engine::Guid;
use crate::engine::password_hash::{Dated, LastSet, Reading};
use crate::failure::Failure;
use crate::hub::password_hash::unknown_hash;
use crate::hub::{self, Holder};
use crate::item_error::{Problem, remedy};
use crate::replica::{self, Replica};

/// What is known of one hash.
#[derive(Debug)]
pub(super) struct Found {
    /// DN, for messages.
    name: String,
    content: Content,
    last_set: Option<LastSet>,
    /// When the hash was written.
    changed: Option<Timestamp>,
}

#[derive(Debug)]
enum Content {
    Hash(NtHash),
    Removed,
    Unusable(String),
}

impl Found {
    /// What an object says of its hash; `None` when it says nothing.
    pub(super) fn of(object: ReplicatedObject) -> Option<(Guid, Self)> {
        if object.is_deleted {
            return None;
        }
        let content = match object.nt_hash {
            HashValue::NotSent => return None,
            HashValue::Removed => Content::Removed,
            HashValue::Hash(hash) => Content::Hash(hash),
            HashValue::Undecryptable(why) => Content::Unusable(why.to_string()),
        };
        let last_set = object.pwd_last_set.map(|at| match at {
            PasswordLastSet::At(at) => LastSet::At(at),
            PasswordLastSet::MustChange => LastSet::MustChange,
        });
        let found = Self {
            name: object.dn,
            content,
            last_set,
            changed: object.nt_hash_changed,
        };
        Some((Guid::from_wire(*object.guid.as_bytes()), found))
    }

    /// The same with the date of the whole object.
    async fn completed(
        self,
        guid: Guid,
        replica: &mut Replica<'_>,
    ) -> Result<Option<Self>, Failure> {
        if self.last_set.is_some() {
            return Ok(Some(self));
        }
        let whole = replica.one(guid).await;
        let whole = whole.map_err(|error| replica::failure(&error))?;
        Ok(whole.and_then(Self::of).map(|(_, whole)| whole))
    }
}

impl PasswordHashRun<'_> {
    /// Tells the hub what of these objects is news; returns how many hashes of its users there were.
    pub(super) async fn take(
        &mut self,
        replica: &mut Replica<'_>,
        objects: Vec<ReplicatedObject>,
        how: Reading,
    ) -> Result<usize, Failure> {
        let found: BTreeMap<Guid, Found> = objects.into_iter().filter_map(Found::of).collect();
        let tried = BTreeSet::new();
        self.take_found(replica, found, how, tried).await
    }

    /// As [`Self::take`]; of those that were `tried`, the ones that do not fail now are no longer
    /// failed items.
    pub(super) async fn take_found(
        &mut self,
        replica: &mut Replica<'_>,
        mut found: BTreeMap<Guid, Found>,
        how: Reading,
        mut tried: BTreeSet<Guid>,
    ) -> Result<usize, Failure> {
        if found.is_empty() && tried.is_empty() {
            return Ok(0);
        }
        self.looks.work();
        self.summary.objects_read += found.len();
        let guids: Vec<Guid> = found.keys().copied().collect();
        let holders = self.opened.session.hub().holders(&guids).await;
        let holders = holders.map_err(|error| hub::failure(&error))?;
        let number = holders.len();
        let mut ours: Vec<(Holder, Found)> = Vec::with_capacity(number);
        for holder in holders {
            if let Some(found) = found.remove(&holder.guid) {
                ours.push((holder, found));
            }
        }
        // Whoever is left is none of ours, and may become so.
        self.missing.unknown_of(found.into_keys(), how);
        let mut tasks = Vec::new();
        let mut unusable = Vec::new();
        for (holder, found) in ours {
            let guid = holder.guid;
            tried.insert(guid);
            let Some(found) = found.completed(guid, replica).await? else {
                continue;
            };
            match self.judge(holder, found, how) {
                Judged::Nothing => {}
                Judged::Hashless => {
                    self.missing.hashless.insert(guid);
                }
                Judged::Task(task) => tasks.push(task),
                Judged::Unusable(name, problem) => unusable.push((guid, name, problem)),
            }
        }
        let tasks = self.without_later(tasks).await?;
        self.deliver(tasks, unusable, &tried).await?;
        Ok(number)
    }

    fn judge(&self, holder: Holder, found: Found, how: Reading) -> Judged {
        let last_set = found.last_set.unwrap_or(LastSet::Unsaid);
        let (hash, dated) = match found.content {
            Content::Hash(hash) => (hash, Dated::new(last_set, found.changed)),
            Content::Unusable(reason) => {
                let problem = Problem::new(reason, remedy::UNDECRYPTABLE);
                return Judged::Unusable(found.name, problem);
            }
            // Who has no password any longer cannot sign in with the one before.
            Content::Removed if holder.password_created_at.is_none() => return Judged::Hashless,
            Content::Removed => {
                let dated = Dated::new(LastSet::Unsaid, found.changed);
                if dated.created_at.is_none() {
                    return Judged::Nothing;
                }
                (NtHash::new(unknown_hash(&*self.agent.entropy)), dated)
            }
        };
        if !dated.is_news(holder.password_created_at, how) {
            return Judged::Nothing;
        }
        Judged::Task(Task {
            guid: holder.guid,
            id: holder.id,
            name: found.name,
            hash,
            dated,
        })
    }
}

enum Judged {
    Nothing,
    /// There is none, and was none.
    Hashless,
    Task(Task),
    Unusable(String, Problem),
}
