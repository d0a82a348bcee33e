//! A model of a hub's passwords: the real rules of `rollcall_domain` over maps instead of a database.
//!
//! Invariant: as in the hub, what needs hashing is found out before the transaction (`prepare_`), and
//! the transaction looks again; everything survives a restart. Texts stand for hashes and sealed
//! passwords. Deliberately absent: authorization, pool policies, history, what stays signed in, and
//! hubs whose clocks differ.

mod import;
mod stream;
mod writeback;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_agent::engine::Guid;
use rollcall_domain::dns_name::DnsName;
use rollcall_domain::id::{OperationId, PasswordId, UserId, UserpoolId};
use rollcall_domain::password::{
    self, ImportOutcome, NewImport, Password, PasswordKind, Sameness, StoredForm,
};
use rollcall_domain::password_change_stream::PasswordChangeStream;
use rollcall_domain::password_writeback::{Arrival, PasswordWriteback, WritebackCause};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_settings::{SyncFilter, SyncSettings, SyncSettingsInput};
use rollcall_domain::user::{Actor, NewUser, Profile, User};
use rollcall_domain::userpool_domain::UserpoolDomain;
use rollcall_kit::secret::SecretBytes;
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::hub::DOMAIN;
use crate::password_world::PasswordFlaw;

pub use stream::{Delivered, Served};

/// The password that users are made with: nobody has it (decision U60).
const NOBODYS: &str = "nobody's";

/// How a password is set at the hub.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The new one.
    pub new: String,
    /// The present one, when the user gives it.
    pub old: Option<String>,
    /// What it begins with.
    pub cause: WritebackCause,
    /// Whether it must be changed at the next sign-in.
    pub kind: PasswordKind,
}

/// What an agent says of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The operation.
    pub operation: OperationId,
    /// Whose, as the hub said it.
    pub external_user_id: String,
    /// The password, as the hub said it.
    pub password: String,
    /// Why it failed.
    pub refusal: Option<Why>,
}

/// Why an agent did not write a password, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The directory, or the agent before it, said no.
    Refused,
    /// Nothing was settled in time, or what became of it is not known.
    Unclear,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The directory has the password.
    Success,
    /// An agent said why not.
    Failed(Why),
    /// Its time was over.
    Late,
    /// Somebody cancelled it.
    Cancelled,
    /// The user was deleted.
    UserGone,
}

/// What is remembered of an operation.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose password.
    pub guid: Guid,
    /// The new password.
    pub password: String,
    /// When it began.
    pub began: Timestamp,
    /// How and when it ended.
    pub ended: Option<(Ending, Timestamp)>,
}

/// A hash on its way into the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The session that it names.
    pub session: u64,
    /// The user.
    pub user_id: UserId,
    /// The password that it is the hash of.
    pub password: String,
    /// When the directory got it.
    pub created_at: Option<Timestamp>,
    /// Whether it must be changed.
    pub need_change: bool,
    /// Idempotency key.
    pub key: u64,
}

/// The one session of the hash stream.
#[derive(Debug, Clone)]
struct HashSession {
    id: u64,
    agent: usize,
    lease_until: Timestamp,
}

/// Users, passwords, and what waits for the directory.
#[derive(Debug)]
pub struct PasswordHub {
    flaw: PasswordFlaw,
    pool: UserpoolId,
    domain: UserpoolDomain,
    settings: SyncSettings,
    time: Span,
    users: BTreeMap<Guid, User>,
    passwords: BTreeMap<UserId, Password>,
    pending: Vec<PasswordWriteback>,
    ended: BTreeMap<OperationId, Option<Vec<u8>>>,
    operations: BTreeMap<OperationId, Record>,
    stream: PasswordChangeStream,
    session: Option<HashSession>,
    /// How stored passwords stood to those that the directory had accepted.
    pub arrivals: Vec<Arrival>,
    /// The token of the hash stream: how far its cursor has come.
    pub cursor: Option<u64>,
    remembered: BTreeSet<u64>,
    ids: u64,
}

impl PasswordHub {
    /// A hub with one empty pool whose changes have `time`.
    ///
    /// # Errors
    /// When the domain refuses the pool.
    pub fn new(flaw: PasswordFlaw, time: Span, now: Timestamp) -> Result<Self, Refusal> {
        let pool = UserpoolId::from("ek01");
        let name = DnsName::parse("domain", DOMAIN)?;
        let input = SyncSettingsInput {
            filter: Some(SyncFilter {
                domain: DOMAIN.to_owned(),
                ..SyncFilter::default()
            }),
            enable_password_writeback: true,
            ..SyncSettingsInput::default()
        };
        Ok(Self {
            flaw,
            domain: UserpoolDomain::built_in(pool.clone(), name, now),
            settings: SyncSettings::create(pool.clone(), input, now)?,
            time,
            users: BTreeMap::new(),
            passwords: BTreeMap::new(),
            pending: Vec::new(),
            ended: BTreeMap::new(),
            operations: BTreeMap::new(),
            stream: PasswordChangeStream::new(pool.clone()),
            session: None,
            arrivals: Vec::new(),
            cursor: None,
            remembered: BTreeSet::new(),
            ids: 0,
            pool,
        })
    }

    /// The objects whose users the hub has.
    pub fn guids(&self) -> impl Iterator<Item = Guid> {
        self.users.keys().copied()
    }

    /// The user of an object.
    #[must_use]
    pub fn user_id(&self, guid: Guid) -> Option<UserId> {
        self.users.get(&guid).map(|user| user.id.clone())
    }

    /// The stored password of an object's user.
    #[must_use]
    pub fn stored(&self, guid: Guid) -> Option<&Password> {
        self.passwords.get(&self.users.get(&guid)?.id)
    }

    /// What an object's user signs in with; `None` = nobody can.
    #[must_use]
    pub fn opens_with(&self, guid: Guid) -> Option<String> {
        let text = text_of(&self.stored(guid)?.form);
        (text != NOBODYS).then_some(text)
    }

    /// The changes that wait for the directory.
    #[must_use]
    pub fn pending(&self) -> &[PasswordWriteback] {
        &self.pending
    }

    /// All operations.
    pub fn operations(&self) -> impl Iterator<Item = (&OperationId, &Record)> {
        self.operations.iter()
    }

    /// UserService.Create, as the stream of objects calls it.
    ///
    /// # Errors
    /// As the domain's rules.
    pub fn create_user(&mut self, guid: Guid, now: Timestamp) -> Result<(), Refusal> {
        let id = UserId::new(self.new_id(UserId::PREFIX));
        let new = NewUser {
            username: format!("{id}@{DOMAIN}"),
            profile: Profile {
                full_name: id.to_string(),
                ..Profile::default()
            },
            external_id: guid.to_string(),
            ..NewUser::default()
        };
        let (pool, actor) = (self.pool.clone(), Actor::Agent);
        let user = User::create(pool, Some(&self.domain), new, actor, id.clone(), now)?;
        let import = self.new_import(&id, NOBODYS, None, PasswordKind::Permanent);
        if let ImportOutcome::Replaced(password) =
            password::import(None, import, Sameness::Different, now)
        {
            self.passwords.insert(id, password);
        }
        self.users.insert(guid, user);
        Ok(())
    }

    /// UserService.Delete
    pub fn delete_user(&mut self, guid: Guid, now: Timestamp) {
        let Some(user) = self.users.remove(&guid) else {
            return;
        };
        self.passwords.remove(&user.id);
        for pending in self.take_pending(|pending| pending.user_id == user.id) {
            self.end(&pending, Ending::UserGone, None, now);
        }
    }

    fn new_import(
        &mut self,
        user_id: &UserId,
        text: &str,
        created_at: Option<Timestamp>,
        kind: PasswordKind,
    ) -> NewImport {
        NewImport {
            id: PasswordId::new(self.new_id(PasswordId::PREFIX)),
            user_id: user_id.clone(),
            form: StoredForm::SealedNtHash(sealed(text)),
            created_at,
            kind,
            session_id: Some("sys1".into()),
        }
    }

    fn new_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{:08}", self.ids)
    }
}

fn sealed(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn text_of(form: &StoredForm) -> String {
    match form {
        StoredForm::SealedNtHash(bytes) => String::from_utf8_lossy(bytes.expose()).into_owned(),
        StoredForm::Argon2NtHash(text)
        | StoredForm::Argon2Password(text)
        | StoredForm::Foreign { text, .. } => text.expose().to_owned(),
    }
}
