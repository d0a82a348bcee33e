//! A model of a hub: the real rules of `rollcall_domain` over maps instead of a database.
//!
//! Invariant: a call is applied as a whole or refused as a whole; the fence is checked in the
//! same step as the write (decision U121); a repeated key gives the first answer without a second
//! effect (decision U73). Everything survives a restart, as with a database that has committed.
//! Deliberately absent: authorization beyond who opened a session, organizations, passwords.

mod call;
mod effect;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::Guid;
use rollcall_domain::dns_name::DnsName;
use rollcall_domain::group::{ExternalKey, Group};
use rollcall_domain::id::{GroupId, OrganizationId, SessionId, SubjectId, UserId, UserpoolId};
use rollcall_domain::idempotency::{self, IdempotencyRecord, Repetition};
use rollcall_domain::membership::{self, MemberAction, MemberDelta, MembershipFacts};
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::replication_token::ReplicationToken;
use rollcall_domain::sync_session::{self, SessionStatus, SessionType, SyncSession};
use rollcall_domain::tally::Tally;
use rollcall_domain::user::{Actor, NewUser, User, UserInput};
use rollcall_domain::userpool_domain::UserpoolDomain;
use rollcall_kit::timestamp::{Span, Timestamp};

pub use call::{Answer, Call, Envelope};
pub use effect::{Effect, Write};

/// The domain that logins of the pool may end in.
pub const DOMAIN: &str = "corp.example";
/// Least time between runs (decision U41).
pub const INTERVAL: Span = Span::minutes(15);

/// Whether the hub counts what is done in a session (decision 20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// As it should.
    On,
    /// The counters are what agents report.
    Off,
}

/// The hub's data.
#[derive(Debug)]
pub struct Hub {
    pool: UserpoolId,
    domain: UserpoolDomain,
    users: BTreeMap<UserId, User>,
    groups: BTreeMap<GroupId, Group>,
    members: BTreeMap<GroupId, BTreeSet<UserId>>,
    sessions: Vec<SyncSession>,
    token: ReplicationToken,
    remembered: BTreeMap<String, (IdempotencyRecord, Answer)>,
    writes: Vec<Write>,
    counting: Counting,
    tallies: BTreeMap<SessionId, Tally>,
    ids: u64,
}

/// An effect, and whether anything is different now.
type Effects = Vec<(Effect, bool)>;

/// The subject that agents call as.
#[must_use]
pub fn agent_subject() -> SubjectId {
    "ajeagent".into()
}

impl Hub {
    /// An empty pool.
    ///
    /// # Errors
    /// Never, as long as [`DOMAIN`] is a domain name.
    pub fn new(counting: Counting, now: Timestamp) -> Result<Self, Refusal> {
        let pool = UserpoolId::from("ek0pool");
        let name = DnsName::parse("domain", DOMAIN)?;
        Ok(Self {
            domain: UserpoolDomain::built_in(pool.clone(), name, now),
            token: ReplicationToken::empty(pool.clone(), SessionType::AdSync, now),
            pool,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            sessions: Vec::new(),
            remembered: BTreeMap::new(),
            writes: Vec::new(),
            counting,
            tallies: BTreeMap::new(),
            ids: 0,
        })
    }

    /// All users.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The members of a group.
    pub fn members(&self, group: &GroupId) -> impl Iterator<Item = &UserId> {
        self.members.get(group).into_iter().flatten()
    }

    /// The user with this external id.
    #[must_use]
    pub fn resolve_user(&self, guid: Guid) -> Option<&User> {
        let external_id = guid.to_string();
        self.users()
            .find(|user| user.external_id.as_deref() == Some(&external_id))
    }

    /// The group with this external id.
    #[must_use]
    pub fn resolve_group(&self, guid: Guid) -> Option<&Group> {
        let external_id = guid.to_string();
        self.groups().find(|group| {
            group
                .external
                .as_ref()
                .is_some_and(|key| key.external_id == external_id)
        })
    }

    /// All sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> &[SyncSession] {
        &self.sessions
    }

    /// A session with what was done in it.
    #[must_use]
    pub fn counted(&self, session: &SyncSession) -> SyncSession {
        match self.tallies.get(&session.id) {
            Some(seen) if session.status == SessionStatus::Opened => session.counted(seen),
            _ => session.clone(),
        }
    }

    /// The agents' effects since the last call.
    pub fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// Ends leases and accounts whose time has come.
    pub fn sweep(&mut self, now: Timestamp) {
        let swept = self.sessions.iter();
        self.sessions = swept.map(|session| self.counted(session).at(now)).collect();
        for user in self.users.values_mut() {
            if let Some(expired) = user.expire(now) {
                *user = expired;
            }
        }
    }

    /// An administrator demands a full run.
    pub fn demand_full_run(&mut self, now: Timestamp) {
        self.token = self.token.demand_full_run(now);
    }

    /// A call of an administrator.
    ///
    /// # Errors
    /// As the domain's rules.
    pub fn administer(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
        let mut effects = Effects::new();
        self.apply(call, Actor::Administrator, &mut effects, now)
    }

    /// A call of an agent.
    ///
    /// # Errors
    /// As the domain's rules; `Precondition` from the fence.
    pub fn serve(&mut self, envelope: &Envelope, now: Timestamp) -> Result<Answer, Refusal> {
        let digest = format!("{:?}", envelope.call).into_bytes();
        let remembered = self.remembered.get(&envelope.key);
        let record = remembered.map(|(record, _)| record);
        if let Repetition::Repeated(_) = idempotency::judge(record, &digest, now)?
            && let Some((_, answer)) = remembered
        {
            return Ok(answer.clone());
        }
        let actor = match &envelope.fence {
            Some(fence) => {
                self.check_fence(fence, now)?;
                Actor::Agent
            }
            None => Actor::Administrator,
        };
        let mut effects = Effects::new();
        let answer = self.apply(&envelope.call, actor, &mut effects, now)?;
        let session = envelope.fence.clone();
        if let (Some(session), Counting::On) = (&session, self.counting) {
            let seen = self.tallies.entry(session.clone()).or_default();
            seen.add_times(&answer.tally, 1);
        }
        let writes = effects.into_iter().map(|(effect, changed)| Write {
            session: session.clone(),
            at: now,
            effect,
            changed,
            key: envelope.key.clone(),
        });
        self.writes.extend(writes);
        let record = IdempotencyRecord {
            subject_id: agent_subject(),
            method: "call".into(),
            key: envelope.key.clone(),
            request_digest: digest,
            operation_id: "ops".into(),
            created_at: now,
        };
        self.remembered
            .insert(envelope.key.clone(), (record, answer.clone()));
        Ok(answer)
    }

    fn check_fence(&self, fence: &SessionId, now: Timestamp) -> Result<(), Refusal> {
        let session = self.session(fence).ok();
        sync_session::check_fence(fence, session, &self.pool, &agent_subject(), now)
    }

    fn session(&self, id: &SessionId) -> Result<&SyncSession, Refusal> {
        let found = self.sessions.iter().find(|session| session.id == *id);
        found.ok_or_else(|| Refusal::not_found("session", id))
    }

    fn save(&mut self, session: SyncSession) {
        for stored in &mut self.sessions {
            if stored.id == session.id {
                *stored = session;
                return;
            }
        }
    }

    fn new_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    fn apply(
        &mut self,
        call: &Call,
        actor: Actor,
        effects: &mut Effects,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        match call {
            Call::CreateUser(new) => {
                let id = UserId::new(self.new_id("u"));
                let pool = self.pool.clone();
                let new = NewUser::clone(new);
                let user = User::create(pool, Some(&self.domain), new, actor, id, now)?;
                let made = Tally::one(ObjectType::User, ChangeType::Create);
                self.put_user(user, Effect::UserCreated, made, now, effects)
            }
            Call::UpdateUser { id, input, mask } => {
                let input = UserInput::clone(input);
                let user = self
                    .user(id)?
                    .update(input, mask, Some(&self.domain), now)?;
                let written = Tally::one(ObjectType::User, ChangeType::Update);
                self.put_user(user, Effect::UserUpdated, written, now, effects)
            }
            Call::SuspendUser(id) => {
                let before = self.user(id)?;
                let user = before.suspend(actor, "", None, now)?;
                let tally = Tally::of_switch(before, &user, now);
                self.put_user(user, Effect::UserSuspended, tally, now, effects)
            }
            Call::ReactivateUser(id) => {
                let before = self.user(id)?;
                let user = before.reactivate(actor, now)?;
                let tally = Tally::of_switch(before, &user, now);
                self.put_user(user, Effect::UserReactivated, tally, now, effects)
            }
            Call::DeleteUser(id) => {
                let user = self.user(id)?.clone();
                self.users.remove(id);
                for members in self.members.values_mut() {
                    members.remove(id);
                }
                effects.extend(guid_of_user(&user).map(|guid| (Effect::UserDeleted(guid), true)));
                Ok(Answer {
                    id: id.to_string(),
                    tally: Tally::one(ObjectType::User, ChangeType::Delete),
                })
            }
            Call::CreateGroup { external_id, input } => {
                let id = GroupId::new(self.new_id("g"));
                let key = ExternalKey::new(self.pool.clone(), external_id.clone())?;
                let organization = OrganizationId::from("bpf");
                let group = Group::create(organization, input.clone(), Some(key), id, now)?;
                let made = Tally::one(ObjectType::Group, ChangeType::Create);
                self.put_group(group, Effect::GroupCreated, made, effects)
            }
            Call::UpdateGroup { id, input, mask } => {
                let group = self.group(id)?.update(input.clone(), mask, now)?;
                let written = Tally::one(ObjectType::Group, ChangeType::Update);
                self.put_group(group, Effect::GroupUpdated, written, effects)
            }
            Call::UpdateMembers { id, deltas } => self.update_members(id, deltas, effects),
            Call::DeleteGroup(id) => {
                let group = self.group(id)?.clone();
                self.groups.remove(id);
                self.members.remove(id);
                effects
                    .extend(guid_of_group(&group).map(|guid| (Effect::GroupDeleted(guid), true)));
                Ok(Answer {
                    id: id.to_string(),
                    tally: Tally::one(ObjectType::Group, ChangeType::Delete),
                })
            }
        }
    }

    fn update_members(
        &mut self,
        id: &GroupId,
        deltas: &[MemberDelta],
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let group = guid_of_group(self.group(id)?);
        let present = self.members.entry(id.clone()).or_default();
        let facts = MembershipFacts {
            known: self.users.keys().cloned().collect(),
            members: present.iter().cloned().collect(),
        };
        let change = membership::update_members(deltas, &facts)?;
        for delta in deltas {
            let user = self.users.get(&delta.user_id).and_then(guid_of_user);
            let (effect, changed): (fn(Guid, Guid) -> Effect, bool) = match delta.action {
                MemberAction::Add => (
                    |group, user| Effect::MemberAdded { group, user },
                    present.insert(delta.user_id.clone()),
                ),
                MemberAction::Remove => (
                    |group, user| Effect::MemberRemoved { group, user },
                    present.remove(&delta.user_id),
                ),
            };
            let pair = group.zip(user);
            effects.extend(pair.map(|(group, user)| (effect(group, user), changed)));
        }
        Ok(Answer {
            id: id.to_string(),
            tally: Tally::of_members(&change),
        })
    }

    fn put_user(
        &mut self,
        user: User,
        effect: fn(Guid) -> Effect,
        tally: Tally,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let folded = user.username.folded();
        for other in self.users.values().filter(|other| other.id != user.id) {
            if other.username.folded() == folded {
                return Err(Refusal::already_exists("user", user.username.as_str()));
            }
            if other.external_id.is_some() && other.external_id == user.external_id {
                return Err(Refusal::already_exists("user with external id", &user.id));
            }
        }
        let id = user.id.clone();
        let effect = guid_of_user(&user).map(effect);
        let is_switch = matches!(
            effect,
            Some(Effect::UserSuspended(_) | Effect::UserReactivated(_))
        );
        // A switch that is not seen from outside changes nothing; everything else is written anew.
        let before = self.users.get(&id).map(|before| before.status(now));
        let changed = !is_switch || before != Some(user.status(now));
        effects.extend(effect.map(|effect| (effect, changed)));
        self.users.insert(id.clone(), user);
        Ok(Answer {
            id: id.into_string(),
            tally,
        })
    }

    fn put_group(
        &mut self,
        group: Group,
        effect: fn(Guid) -> Effect,
        tally: Tally,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        for other in self.groups.values().filter(|other| other.id != group.id) {
            if other.name == group.name {
                return Err(Refusal::already_exists("group", &group.name));
            }
            if other.external.is_some() && other.external == group.external {
                return Err(Refusal::already_exists("group with external id", &group.id));
            }
        }
        let id = group.id.clone();
        effects.extend(guid_of_group(&group).map(|guid| (effect(guid), true)));
        self.groups.insert(id.clone(), group);
        Ok(Answer {
            id: id.into_string(),
            tally,
        })
    }

    fn user(&self, id: &UserId) -> Result<&User, Refusal> {
        self.users
            .get(id)
            .ok_or_else(|| Refusal::not_found("user", id))
    }

    fn group(&self, id: &GroupId) -> Result<&Group, Refusal> {
        self.groups
            .get(id)
            .ok_or_else(|| Refusal::not_found("group", id))
    }
}

/// The directory object that a user mirrors.
#[must_use]
pub fn guid_of_user(user: &User) -> Option<Guid> {
    Guid::parse(user.external_id.as_deref()?)
}

/// The directory object that a group mirrors.
#[must_use]
pub fn guid_of_group(group: &Group) -> Option<Guid> {
    Guid::parse(&group.external.as_ref()?.external_id)
}
