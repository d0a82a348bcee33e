//! Rollcall: one dialect of SQL, migrations and transactions on SQLite and PostgreSQL.
//!
//! One file per noun, each with plain methods on [`Tx`]: `find_` gives an `Option`, `list_` many,
//! `insert_`, `save_` and `delete_` change. Invariant: rows hold what the domain made and nothing
//! else. Deliberately absent: rules, and any knowledge of the wire.

mod access;
mod access_policy;
mod audit;
mod audit_path;
mod db;
mod error;
mod group;
mod iam_token;
mod idempotency;
mod list;
mod membership;
mod migration;
mod operation;
mod organization;
mod packed;
mod password;
mod password_change_stream;
mod password_history;
mod password_writeback;
mod quota;
mod replication_token;
mod service_account;
mod sign_in_guard;
mod sign_in_session;
mod sync_session;
mod sync_settings;
mod tally;
mod user;
mod userpool;
mod userpool_domain;

pub use audit::AuditScope;
pub use db::{Store, Tx};
pub use error::Error;
pub use membership::{GroupOfUser, MemberScope};
pub use password::SealedPassword;
pub use user::ResolvedUser;
