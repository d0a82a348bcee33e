//! How many password hashes a run would send.
//!
//! Invariant: hashes are read and dropped, nothing is sent; a hash counts once.

use std::collections::BTreeSet;

use rollcall_directory::{HashValue, PasswordLastSet, ReplicatedObject, ReplicationCursor};
use rollcall_proto::idp::SessionType;

use crate::config::Config;
use crate::engine::Guid;
use crate::engine::password_hash::{Dated, LastSet, Reading};
use crate::failure::Failure;
use crate::hub::{self, Hub};
use crate::index_file::IndexFile;
use crate::progress::Count;
use crate::replica::{self, Replica};
use crate::replication_token::replication_of;

/// So many users without a hash are found faster by reading all hashes.
const SWEEP_FROM: usize = 1_000;

/// The work of counting.
struct Counting<'a> {
    hub: &'a Hub,
    /// Users that are not in the hub yet, or have no hash there.
    waiting: BTreeSet<Guid>,
    seen: BTreeSet<Guid>,
    count: Count,
}

/// Counts them; `created` are the users that the run would make.
pub(super) async fn count(
    config: &Config,
    domain: &str,
    hub: &Hub,
    created: &[Guid],
    file: Option<&IndexFile>,
) -> Result<Count, Failure> {
    let mut waiting: BTreeSet<Guid> = created.iter().copied().collect();
    let listed = hub.each_without_hash(|guid| {
        waiting.insert(guid);
    });
    listed.await.map_err(|error| hub::failure(&error))?;
    let token = hub.replication_token(SessionType::AdPasswordHash).await;
    let token = token.map_err(|error| hub::failure(&error))?;
    let kept = file.map(IndexFile::hash_cursor).transpose()?.flatten();
    let cursor = match waiting.len() {
        0..SWEEP_FROM => replication_of(&token, kept.as_deref()),
        _ => None,
    };
    let mut counting = Counting {
        hub,
        waiting,
        seen: BTreeSet::new(),
        count: Count::default(),
    };
    let mut replica = Replica::connect(config, domain).await?;
    counting
        .read(&mut replica, cursor.unwrap_or_default())
        .await?;
    replica.close().await;
    Ok(counting.count)
}

impl Counting<'_> {
    async fn read(
        &mut self,
        replica: &mut Replica<'_>,
        mut cursor: ReplicationCursor,
    ) -> Result<(), Failure> {
        let is_sweep = cursor.is_start();
        let how = match cursor.up_to_date.is_empty() {
            true => Reading::All,
            false => Reading::Changes,
        };
        loop {
            let page = replica.next_page(&cursor).await;
            let page = page.map_err(|error| replica::failure(&error))?;
            self.take(page.objects, how).await?;
            if !page.more {
                break;
            }
            cursor = page.cursor;
        }
        if is_sweep {
            return Ok(());
        }
        let rest: Vec<Guid> = self.waiting.difference(&self.seen).copied().collect();
        for guid in rest {
            let object = replica.one(guid).await;
            let object = object.map_err(|error| replica::failure(&error))?;
            self.take(object.into_iter().collect(), Reading::All)
                .await?;
        }
        Ok(())
    }

    async fn take(&mut self, objects: Vec<ReplicatedObject>, how: Reading) -> Result<(), Failure> {
        let guid = |object: &ReplicatedObject| Guid::from_wire(*object.guid.as_bytes());
        let guids: Vec<Guid> = objects.iter().map(guid).collect();
        let holders = self.hub.holders(&guids).await;
        let holders = holders.map_err(|error| hub::failure(&error))?;
        for object in objects.iter().filter(|object| !object.is_deleted) {
            let guid = guid(object);
            let holder = holders.iter().find(|holder| holder.guid == guid);
            let stored = holder.and_then(|holder| holder.password_created_at);
            if holder.is_none() && !self.waiting.contains(&guid) {
                continue;
            }
            match &object.nt_hash {
                HashValue::NotSent | HashValue::Removed => continue,
                HashValue::Undecryptable(_) if self.seen.insert(guid) => self.count.failed += 1,
                HashValue::Hash(_) if dated(object).is_news(stored, how) => {
                    if self.seen.insert(guid) {
                        self.count.successful += 1;
                    }
                }
                HashValue::Undecryptable(_) | HashValue::Hash(_) => {}
            }
        }
        Ok(())
    }
}

fn dated(object: &ReplicatedObject) -> Dated {
    let last_set = match object.pwd_last_set {
        Some(PasswordLastSet::At(at)) => LastSet::At(at),
        Some(PasswordLastSet::MustChange) => LastSet::MustChange,
        None => LastSet::Unsaid,
    };
    Dated::new(last_set, object.nt_hash_changed)
}
