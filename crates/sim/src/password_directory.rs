//! A model of the passwords of an Active Directory domain, as one controller keeps them.
//!
//! Invariant: `pwdLastSet` is by the controller's own clock, which differs from the hub's by the same
//! span all the time; a change by the user needs the present password and obeys age and history, a
//! reset does not. A request is carried out when it is sent or never. Two writes to an account within
//! a second of the controller's clock are answered `busy`: what dates of whole seconds do to them is
//! known (decision 23). Deliberately absent: several controllers, locks, quality of passwords.

use std::collections::BTreeMap;

use rollcall_agent::engine::Guid;
use rollcall_agent::engine::password_hash::LastSet;
use rollcall_domain::id::OperationId;
use rollcall_kit::timestamp::{Span, Timestamp};

use rollcall_agent::engine::password_writeback::Traces;

/// Earlier passwords that a user may not take again.
const HISTORY_LENGTH: usize = 4;

/// Who set a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was there at the beginning.
    Beginning,
    /// The user, in the directory.
    Person,
    /// An administrator, in the directory.
    Administrator,
    /// An agent, for an operation of the hub.
    Writeback {
        /// The operation.
        operation: OperationId,
        /// The agent.
        agent: usize,
    },
}

/// A password that the directory took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Whose.
    pub guid: Guid,
    /// The password.
    pub password: String,
    /// Who set it.
    pub source: Source,
    /// When, by the hub's clock.
    pub at: Timestamp,
}

/// A change that was refused, and counted, because its old password was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLogon {
    /// Whose.
    pub guid: Guid,
    /// When, by the hub's clock.
    pub at: Timestamp,
    /// For which operation.
    pub operation: OperationId,
    /// By which agent.
    pub agent: usize,
    /// Whether this agent's own write of the operation had made the old password wrong.
    pub is_repetition: bool,
}

/// Why a password was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The old password is another one.
    WrongOld,
    /// The present one was set too short a time ago.
    TooYoung,
    /// It is one of the last ones.
    UsedBefore,
    /// There is no such account.
    Missing,
    /// Later, perhaps.
    Busy,
}

/// What a sign-in tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is the present password.
    Right,
    /// It is not, which counts.
    Wrong,
}

/// A hash as replication shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownHash {
    /// Whose.
    pub guid: Guid,
    /// The password that it is the hash of.
    pub password: String,
    /// pwdLastSet.
    pub last_set: LastSet,
    /// When it was written, in whole seconds of the controller's clock.
    pub changed: Timestamp,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The present password.
    pub password: String,
    /// Whether it has to be changed at the next sign-in.
    pub must_change: bool,
    /// Whether the pool mirrors the account.
    pub in_scope: bool,
    set_at: Timestamp,
    bad_at: Option<Timestamp>,
    earlier: Vec<String>,
    change: u64,
}

/// All accounts.
#[derive(Debug, Clone)]
pub struct PasswordDirectory {
    /// How far its clock is ahead of the hub's; may be negative.
    pub ahead: Span,
    /// Least age of a password that its user may change.
    pub minimum_age: Span,
    /// Whether agents may read pwdLastSet and badPasswordTime.
    pub shows_traces: bool,
    /// Everything it took, in this order.
    pub taken: Vec<Taken>,
    /// Everything that counted as a wrong sign-in of an agent's change.
    pub bad_logons: Vec<BadLogon>,
    accounts: BTreeMap<Guid, Account>,
    changes: u64,
}

impl PasswordDirectory {
    /// A directory without accounts.
    #[must_use]
    pub fn new(ahead: Span, minimum_age: Span, shows_traces: bool) -> Self {
        Self {
            ahead,
            minimum_age,
            shows_traces,
            taken: Vec::new(),
            bad_logons: Vec::new(),
            accounts: BTreeMap::new(),
            changes: 0,
        }
    }

    /// All accounts.
    pub fn iter(&self) -> impl Iterator<Item = (Guid, &Account)> {
        self.accounts.iter().map(|(guid, account)| (*guid, account))
    }

    /// An account.
    #[must_use]
    pub fn get(&self, guid: Guid) -> Option<&Account> {
        self.accounts.get(&guid)
    }

    /// A new account.
    pub fn create(&mut self, guid: Guid, password: String, now: Timestamp) {
        let account = Account {
            password: String::new(),
            must_change: false,
            in_scope: true,
            set_at: self.clock(now),
            bad_at: None,
            earlier: Vec::new(),
            change: 0,
        };
        self.accounts.insert(guid, account);
        self.put(guid, password, false, Source::Beginning, now);
    }

    /// Removes an account.
    pub fn delete(&mut self, guid: Guid) {
        self.accounts.remove(&guid);
    }

    /// Moves an account into what the pool mirrors, or out of it.
    pub fn put_in_scope(&mut self, guid: Guid, in_scope: bool) {
        if let Some(account) = self.accounts.get_mut(&guid) {
            account.in_scope = in_scope;
        }
    }

    /// A change by whoever knows the present password.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn change(
        &mut self,
        guid: Guid,
        old: &str,
        new: String,
        source: Source,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let clock = self.clock(now);
        let account = self.accounts.get_mut(&guid).ok_or(Refused::Missing)?;
        if account.set_at.as_seconds() == clock.as_seconds() {
            return Err(Refused::Busy);
        }
        if account.password != old {
            account.bad_at = Some(clock);
            self.note_bad_logon(guid, source, now);
            return Err(Refused::WrongOld);
        }
        if !account.must_change && clock.since(account.set_at) < self.minimum_age {
            return Err(Refused::TooYoung);
        }
        if account.password == new || account.earlier.contains(&new) {
            return Err(Refused::UsedBefore);
        }
        self.put(guid, new, false, source, now);
        Ok(())
    }

    /// A reset by an administrator.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn reset(
        &mut self,
        guid: Guid,
        new: String,
        must_change: bool,
        source: Source,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let clock = self.clock(now);
        let account = self.accounts.get(&guid).ok_or(Refused::Missing)?;
        if account.set_at.as_seconds() == clock.as_seconds() {
            return Err(Refused::Busy);
        }
        self.put(guid, new, must_change, source, now);
        Ok(())
    }

    /// A sign-in.
    pub fn sign_in(&mut self, guid: Guid, password: &str, now: Timestamp) -> Verified {
        let clock = self.clock(now);
        match self.accounts.get_mut(&guid) {
            Some(account) if account.password == password => Verified::Right,
            Some(account) => {
                account.bad_at = Some(clock);
                Verified::Wrong
            }
            None => Verified::Wrong,
        }
    }

    /// What moves when a password is set or a wrong one tried.
    #[must_use]
    pub fn traces(&self, account: &Account) -> Traces {
        if !self.shows_traces {
            return Traces::default();
        }
        let ticks = |at: Timestamp| at.as_micros().saturating_mul(10);
        Traces {
            last_set: Some(match account.must_change {
                true => 0,
                false => ticks(account.set_at),
            }),
            bad_at: Some(account.bad_at.map_or(0, ticks)),
        }
    }

    /// Whether an account's password was set within `span`, by a clock that is `ahead` of the hub's.
    #[must_use]
    pub fn was_set_within(&self, account: &Account, span: Span, clock: Timestamp) -> bool {
        self.shows_traces && !account.must_change && clock.since(account.set_at) <= span
    }

    /// How far replication has come.
    #[must_use]
    pub fn newest_change(&self) -> u64 {
        self.changes
    }

    /// The hashes that were written after a change; `None` = all.
    #[must_use]
    pub fn hashes(&self, after: Option<u64>) -> Vec<ShownHash> {
        self.iter()
            .filter(|(_, account)| account.change > after.unwrap_or(0))
            .map(|(guid, account)| shown(guid, account))
            .collect()
    }

    /// The hash of one account.
    #[must_use]
    pub fn hash_of(&self, guid: Guid) -> Option<ShownHash> {
        self.get(guid).map(|account| shown(guid, account))
    }

    /// The last passwords that an account was given, at most `number`.
    #[must_use]
    pub fn newest_of(&self, guid: Guid, number: usize) -> Vec<&Taken> {
        let taken = self.taken.iter().rev();
        let mut newest: Vec<_> = taken.filter(|it| it.guid == guid).take(number).collect();
        newest.reverse();
        newest
    }

    fn clock(&self, now: Timestamp) -> Timestamp {
        now.plus(self.ahead)
    }

    fn note_bad_logon(&mut self, guid: Guid, source: Source, now: Timestamp) {
        let Source::Writeback { operation, agent } = &source else {
            return;
        };
        let wrote = self.taken.iter().any(|taken| taken.source == source);
        let tried = self
            .bad_logons
            .iter()
            .any(|bad| bad.operation == *operation && bad.agent == *agent);
        self.bad_logons.push(BadLogon {
            guid,
            at: now,
            operation: operation.clone(),
            agent: *agent,
            is_repetition: wrote || tried,
        });
    }

    fn put(&mut self, guid: Guid, new: String, must_change: bool, source: Source, now: Timestamp) {
        let clock = self.clock(now);
        self.changes += 1;
        let Some(account) = self.accounts.get_mut(&guid) else {
            return;
        };
        let before = std::mem::replace(&mut account.password, new.clone());
        account.earlier.push(before);
        let excess = account.earlier.len().saturating_sub(HISTORY_LENGTH);
        account.earlier.drain(..excess);
        account.must_change = must_change;
        account.set_at = clock;
        account.change = self.changes;
        self.taken.push(Taken {
            guid,
            password: new,
            source,
            at: now,
        });
    }
}

fn shown(guid: Guid, account: &Account) -> ShownHash {
    ShownHash {
        guid,
        password: account.password.clone(),
        last_set: match account.must_change {
            true => LastSet::MustChange,
            false => LastSet::At(account.set_at),
        },
        changed: Timestamp::from_seconds(account.set_at.as_seconds()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn directory() -> (PasswordDirectory, Guid) {
        let mut directory = PasswordDirectory::new(Span::seconds(-20), Span::seconds(60), true);
        let guid = Guid::from_number(1);
        directory.create(guid, "a".into(), NOW);
        (directory, guid)
    }

    #[test]
    fn changes_obey_what_resets_need_not() {
        let (mut directory, guid) = directory();
        let at = |seconds| NOW.plus(Span::seconds(seconds));
        let mut change = |old: &str, new: &str, seconds| {
            directory.change(guid, old, new.into(), Source::Person, at(seconds))
        };
        assert_eq!(change("a", "b", 0), Err(Refused::Busy));
        assert_eq!(change("x", "b", 59), Err(Refused::WrongOld));
        assert_eq!(change("a", "b", 59), Err(Refused::TooYoung));
        assert_eq!(change("a", "b", 60), Ok(()));
        assert_eq!(change("b", "a", 120), Err(Refused::UsedBefore));
        let source = Source::Administrator;
        let reset = directory.reset(guid, "a".into(), true, source, at(120));
        assert_eq!(reset, Ok(()));
        let account = directory.get(guid).unwrap().clone();
        assert_eq!(directory.traces(&account).last_set, Some(0));
        let changed = directory.change(guid, "a", "c".into(), Source::Person, at(121));
        assert_eq!(changed, Ok(()), "who must change may at once");
    }

    #[test]
    fn hashes_are_dated_by_the_clock_of_the_directory() {
        let (mut directory, guid) = directory();
        let first = directory.newest_change();
        let hash = directory.hash_of(guid).unwrap();
        assert_eq!(hash.last_set, LastSet::At(Timestamp::from_seconds(980)));
        assert_eq!(directory.hashes(Some(first)), []);
        directory
            .reset(
                guid,
                "b".into(),
                true,
                Source::Administrator,
                NOW.plus(Span::millis(1_500)),
            )
            .unwrap();
        let hashes = directory.hashes(Some(first));
        let expected = ShownHash {
            guid,
            password: "b".into(),
            last_set: LastSet::MustChange,
            changed: Timestamp::from_seconds(981),
        };
        assert_eq!(hashes, [expected]);
    }
}
