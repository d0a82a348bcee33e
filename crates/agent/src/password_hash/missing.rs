//! Users whose hash has not come though the cursor has passed it: made or taken into the scope later
//! than their password was set, by whatever process; and failed items.
//!
//! Invariant: whoever the hub shows without a hash of the directory is asked for once in a session,
//! in batches, or all at once by a sweep if there are many; who turns out to have none is not asked
//! for again, because setting one is a change; as long as the cursor is ours that goes for the next
//! sessions too. Nothing here holds a hash.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use rollcall_directory::ReplicationCursor;
use tokio::time::Instant;

use super::take::Found;
use super::{LOOKS_PER_RETRY, PasswordHashRun};
use crate::engine::Guid;
use crate::engine::password_hash::Reading;
use crate::failure::Failure;
use crate::hub;
use crate::replica::{self, Replica};

/// Objects that are asked for one by one between two looks.
const OBJECTS_PER_LOOK: usize = 500;
/// So many users without a hash are found faster by reading all hashes.
const SWEEP_FROM: usize = 5_000;
/// Failed items that are tried in one retry; the others come in the next ones.
const RETRIES_MAX: usize = 500;
/// Reported objects that may become users: one call asks for them. The oldest are forgotten, a
/// listing finds them.
const UNKNOWN_MAX: usize = 1_000;
/// How long such an object is remembered.
const UNKNOWN_AGE_MAX: Duration = Duration::from_secs(3_600);
/// A listing of a large pool takes long: it has at most this part of the time.
const LISTING_SHARE: u32 = 20;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Users without a hash, as of the last listing.
    users: Option<BTreeSet<Guid>>,
    /// Who has none in the directory either; it outlives the session, because every change comes by.
    pub(super) hashless: HashSet<Guid>,
    /// To be asked for.
    queue: VecDeque<Guid>,
    /// Objects with a new hash that the hub did not know.
    unknown: VecDeque<(Guid, Instant)>,
    /// Users who get theirs when they are active again.
    pub(super) later: BTreeSet<Guid>,
    /// The one of them that was looked at last.
    pub(super) looked_at: Option<Guid>,
    listing_due: Option<Instant>,
    /// The failed item that was tried last.
    retried: Option<Guid>,
}

impl Missing {
    /// Users without a hash, once they were counted.
    pub(super) fn number(&self) -> Option<usize> {
        self.users.as_ref().map(BTreeSet::len)
    }

    /// Whether anybody is to be asked for.
    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A user has a hash, or is gone.
    pub(super) fn has_one(&mut self, guid: Guid) {
        self.hashless.remove(&guid);
        if let Some(users) = &mut self.users {
            users.remove(&guid);
        }
    }

    /// Objects that the hub does not know: what was known of their hashes is old, and those whose hash
    /// changed may become users soon.
    pub(super) fn unknown_of(&mut self, guids: impl Iterator<Item = Guid>, how: Reading) {
        let now = Instant::now();
        for guid in guids {
            self.hashless.remove(&guid);
            if how == Reading::Changes {
                self.unknown.push_back((guid, now));
            }
        }
        let excess = self.unknown.len().saturating_sub(UNKNOWN_MAX);
        self.unknown.drain(..excess);
    }

    /// To be asked for in the next look, or after the next listing if there is none in this session.
    pub(super) fn enqueue(&mut self, guid: Guid) {
        self.hashless.remove(&guid);
        self.queue.push_back(guid);
    }

    fn is_listing_due(&self, now: Instant) -> bool {
        self.listing_due.is_none_or(|due| due <= now)
    }

    /// Takes over a listing.
    fn listed(&mut self, users: BTreeSet<Guid>) {
        let queued: HashSet<Guid> = self.queue.iter().copied().collect();
        let is_new = |guid: &&Guid| {
            let known = [
                self.hashless.contains(*guid),
                self.later.contains(*guid),
                queued.contains(*guid),
            ];
            !known.contains(&true)
        };
        self.queue.extend(users.iter().filter(is_new));
        self.users = Some(users);
    }

    /// All hashes were read since those in `asked` waited: who of them still waits has none. The
    /// others came meanwhile, perhaps after their object had been read.
    fn swept(&mut self, asked: &HashSet<Guid>) {
        let users = self.users.iter().flatten();
        self.hashless
            .extend(users.filter(|guid| asked.contains(*guid)));
        self.queue.retain(|guid| !asked.contains(guid));
    }
}

impl PasswordHashRun<'_> {
    /// Tries what failed once more, and looks for users without a hash.
    pub(super) async fn retry(
        &mut self,
        replica: &mut Replica<'_>,
        cursor: &mut ReplicationCursor,
    ) -> Result<(), Failure> {
        self.retried_at = Instant::now();
        let failed = self.failed();
        self.look_at(replica, failed).await?;
        self.look_at_later().await?;
        if !self.missing.is_listing_due(Instant::now()) {
            return Ok(());
        }
        self.list().await?;
        if self.missing.queue.len() > SWEEP_FROM {
            tracing::info!(
                users = self.missing.queue.len(),
                "many users have no password hash yet; all hashes are read"
            );
            let asked = self.missing.queue.iter().copied().collect();
            *cursor = ReplicationCursor::default();
            self.catch_up(replica, cursor).await?;
            self.list().await?;
            self.missing.swept(&asked);
        }
        self.look_at_queue(replica).await
    }

    /// Some of the failed items, others each time if there are many.
    fn failed(&mut self) -> Vec<Guid> {
        let all: BTreeSet<Guid> = self.errors.keys().map(|(guid, ..)| guid).collect();
        next_of(&all, &mut self.missing.retried, RETRIES_MAX)
    }

    async fn list(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut users = BTreeSet::new();
        let hub = self.opened.session.hub();
        let listed = hub.each_without_hash(|guid| {
            users.insert(guid);
        });
        listed.await.map_err(|error| hub::failure(&error))?;
        self.missing.listed(users);
        let period = self.agent.config.sync_settings.hash_period * LOOKS_PER_RETRY;
        let pause = (began.elapsed() * LISTING_SHARE).max(period);
        self.missing.listing_due = Some(Instant::now() + pause);
        Ok(())
    }

    /// Whether the hub knows now who was unknown.
    pub(super) async fn look_at_unknown(&mut self) -> Result<(), Failure> {
        let fresh = |(_, since): &(Guid, Instant)| since.elapsed() < UNKNOWN_AGE_MAX;
        self.missing.unknown.retain(fresh);
        if self.missing.unknown.is_empty() {
            return Ok(());
        }
        let guids: Vec<Guid> = self.missing.unknown.iter().map(|(guid, _)| *guid).collect();
        let holders = self.opened.session.hub().holders(&guids).await;
        for holder in holders.map_err(|error| hub::failure(&error))? {
            let unknown = &mut self.missing.unknown;
            unknown.retain(|(guid, _)| *guid != holder.guid);
            self.missing.enqueue(holder.guid);
        }
        Ok(())
    }

    /// Asks for the next users of the queue.
    pub(super) async fn look_at_queue(&mut self, replica: &mut Replica<'_>) -> Result<(), Failure> {
        let number = self.missing.queue.len().min(OBJECTS_PER_LOOK);
        let wanted = self.missing.queue.drain(..number).collect();
        self.look_at(replica, wanted).await
    }

    /// Asks for these objects.
    async fn look_at(
        &mut self,
        replica: &mut Replica<'_>,
        wanted: Vec<Guid>,
    ) -> Result<(), Failure> {
        let mut found = BTreeMap::new();
        for guid in &wanted {
            let object = replica.one(*guid).await;
            let object = object.map_err(|error| replica::failure(&error))?;
            match object.and_then(Found::of) {
                Some((guid, hash)) => {
                    found.insert(guid, hash);
                }
                None => {
                    self.missing.hashless.insert(*guid);
                }
            }
        }
        let tried = wanted.into_iter().collect();
        let taken = self.take_found(replica, found, Reading::All, tried);
        taken.await.map(drop)
    }
}

/// The next ones after the one that was looked at last, from the beginning after the end.
pub(super) fn next_of(all: &BTreeSet<Guid>, last: &mut Option<Guid>, number: usize) -> Vec<Guid> {
    let start = last.map_or(Bound::Unbounded, Bound::Excluded);
    let after = all.range((start, Bound::Unbounded));
    let mut wanted: Vec<Guid> = after.take(number).copied().collect();
    if wanted.is_empty() {
        wanted = all.iter().take(number).copied().collect();
    }
    *last = wanted.last().copied();
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guid(number: u128) -> Guid {
        Guid::from_number(number)
    }

    #[test]
    fn who_has_none_in_the_directory_is_asked_for_once() {
        let mut missing = Missing::default();
        assert_eq!(missing.number(), None);
        missing.hashless.insert(guid(1));
        missing.listed([1, 2, 3].map(guid).into());
        assert_eq!(missing.queue, [guid(2), guid(3)]);
        assert_eq!(missing.number(), Some(3));
        missing.has_one(guid(1));
        missing.has_one(guid(2));
        assert_eq!(missing.number(), Some(1));
        // Who waits already keeps the place, whoever gets one later is not asked for.
        missing.later.insert(guid(5));
        missing.enqueue(guid(4));
        missing.listed([1, 3, 5].map(guid).into());
        assert_eq!(missing.queue, [2, 3, 4, 1].map(guid));
    }

    #[test]
    fn who_got_one_while_the_hub_had_no_such_user_is_asked_for_again() {
        let mut missing = Missing::default();
        missing.hashless.extend([1, 2, 3].map(guid));
        missing.unknown_of([guid(1)].into_iter(), Reading::Changes);
        missing.unknown_of([guid(2)].into_iter(), Reading::All);
        assert_eq!(missing.unknown.len(), 1);
        missing.listed([1, 2, 3].map(guid).into());
        assert_eq!(missing.queue, [1, 2].map(guid));
        // Asked for by somebody who knows more.
        missing.enqueue(guid(3));
        missing.queue.clear();
        missing.listed([3].map(guid).into());
        assert_eq!(missing.queue, [guid(3)]);
    }

    #[test]
    fn whoever_was_made_while_all_hashes_were_read_is_asked_for() {
        let mut missing = Missing::default();
        missing.listed([1, 2].map(guid).into());
        let asked = missing.queue.iter().copied().collect();
        missing.has_one(guid(2));
        missing.listed([1, 3].map(guid).into());
        missing.swept(&asked);
        assert_eq!(missing.queue, [guid(3)]);
        assert_eq!(missing.hashless, [guid(1)].into());
    }

    #[test]
    fn many_take_their_turns() {
        let all: BTreeSet<Guid> = [1, 2, 3, 4, 5].map(guid).into();
        let mut last = None;
        let mut turns: Vec<Vec<Guid>> = Vec::new();
        for _ in 0..4 {
            turns.push(next_of(&all, &mut last, 2));
        }
        let expected: [&[u128]; 4] = [&[1, 2], &[3, 4], &[5], &[1, 2]];
        let expected = expected.map(|turn| turn.iter().copied().map(guid).collect::<Vec<_>>());
        assert_eq!(turns, expected);
        assert!(next_of(&BTreeSet::new(), &mut last, 2).is_empty());
    }

    #[test]
    fn unknown_objects_are_forgotten_oldest_first() {
        let mut missing = Missing::default();
        let all = UNKNOWN_MAX as u128 + 2;
        missing.unknown_of((0..all).map(guid), Reading::Changes);
        assert_eq!(missing.unknown.len(), UNKNOWN_MAX);
        assert_eq!(missing.unknown.front().unwrap().0, guid(2));
    }
}
