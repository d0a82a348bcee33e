//! The password hash stream: what replication shows goes to the hub, one hash after the other.
//!
//! Invariant: the cursor is stored at the hub after everything that it covers was acknowledged or
//! filed; what was read may be stale when it is delivered. Dates and news are judged by the real
//! engine.

use std::collections::VecDeque;

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::password_hash::{Dated, Reading};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::password_directory::ShownHash;
use crate::password_hub::Import;
use crate::password_link::{Call, Reply};
use crate::password_world::PasswordWorld;

/// Pause between two looks.
const PERIOD: Span = Span::seconds(5);
/// Attempts of one call.
const ATTEMPTS: usize = 2;

/// What the loop has in memory.
#[derive(Debug)]
pub struct Hashes {
    session: Option<u64>,
    cursor: Option<u64>,
    read: VecDeque<(Guid, Import)>,
    /// Where the cursor goes when all of it was delivered.
    page_end: Option<u64>,
    look_at: Timestamp,
}

impl Hashes {
    /// A loop that has just begun.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            session: None,
            cursor: None,
            read: VecDeque::new(),
            page_end: None,
            look_at: now,
        }
    }

    /// Whether nothing that was read is left to deliver.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.read.is_empty() && self.page_end.is_none()
    }
}

/// The next step of an agent.
pub fn step(world: &mut PasswordWorld, who: usize) {
    let now = world.now;
    let Some(session) = session(world, who) else {
        return;
    };
    let is_reached = world.directory_is_reached();
    let Some(agent) = world.agents.get_mut(who) else {
        return;
    };
    let loop_ = &mut agent.hashes;
    if let Some((guid, import)) = loop_.read.pop_front() {
        deliver(world, who, guid, import);
    } else if let Some(end) = loop_.page_end.take() {
        loop_.cursor = Some(end);
        world.hub.cursor = Some(end);
    } else if loop_.look_at <= now && is_reached {
        loop_.look_at = now.plus(PERIOD);
        look(world, who, session);
    }
}

/// The open session; without one, or when it is over, another one begins where the hub's token is.
fn session(world: &mut PasswordWorld, who: usize) -> Option<u64> {
    if !world.hub_is_reached() {
        return None;
    }
    let now = world.now;
    let agent = world.agents.get_mut(who)?;
    if let Some(session) = agent.hashes.session
        && world.hub.beat(session, now)
    {
        return Some(session);
    }
    agent.hashes = Hashes::new(now);
    agent.hashes.session = world.hub.open_session(who, now);
    agent.hashes.cursor = world.hub.cursor;
    agent.hashes.session
}

fn look(world: &mut PasswordWorld, who: usize, session: u64) {
    let Some(agent) = world.agents.get(who) else {
        return;
    };
    let cursor = agent.hashes.cursor;
    let how = match cursor {
        None => Reading::All,
        Some(_) => Reading::Changes,
    };
    let mut shown: Vec<(ShownHash, Reading)> = world
        .directory
        .hashes(cursor)
        .into_iter()
        .map(|hash| (hash, how))
        .collect();
    let without = world.hub.guids().filter(|guid| {
        let stored = world.hub.stored(*guid);
        stored.is_some_and(|stored| stored.created_at.is_none())
    });
    for guid in agent.failed.iter().copied().chain(without) {
        let is_there = shown.iter().any(|(hash, _)| hash.guid == guid);
        let hash = world.directory.hash_of(guid).filter(|_| !is_there);
        shown.extend(hash.map(|hash| (hash, Reading::All)));
    }
    if how == Reading::All {
        world.coverage.count("sweeps");
    }
    let end = world.directory.newest_change();
    let read: VecDeque<_> = shown
        .into_iter()
        .filter_map(|(hash, how)| news(world, session, hash, how))
        .collect();
    if let Some(agent) = world.agents.get_mut(who) {
        let loop_ = &mut agent.hashes;
        loop_.read = read;
        loop_.page_end = (loop_.cursor != Some(end)).then_some(end);
    }
}

/// The call for a hash, when it is of a user of the hub and news there.
fn news(
    world: &mut PasswordWorld,
    session: u64,
    hash: ShownHash,
    how: Reading,
) -> Option<(Guid, Import)> {
    let user_id = world.hub.user_id(hash.guid)?;
    let stored = world.hub.stored(hash.guid)?.created_at;
    let dated = Dated::new(hash.last_set, Some(hash.changed));
    if !dated.is_news(stored, how) {
        return None;
    }
    let import = Import {
        session,
        user_id,
        password: hash.password,
        created_at: dated.created_at,
        need_change: dated.need_change,
        key: world.new_number(),
    };
    Some((hash.guid, import))
}

fn deliver(world: &mut PasswordWorld, who: usize, guid: Guid, import: Import) {
    let call = Call::Import(import);
    let mut reply = Reply::Unreachable;
    for _ in 0..ATTEMPTS {
        reply = world.call(&call);
        if reply != Reply::Unreachable {
            break;
        }
    }
    let now = world.now;
    let Some(agent) = world.agents.get_mut(who) else {
        return;
    };
    match reply {
        Reply::Done | Reply::Refused(Refusal::NotFound { .. }) => {
            agent.failed.remove(&guid);
        }
        Reply::Unreachable => {
            agent.failed.insert(guid);
        }
        Reply::Refused(_) => agent.hashes = Hashes::new(now),
    }
}
