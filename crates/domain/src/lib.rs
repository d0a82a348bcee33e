//! Rollcall: types and rules, without IO.
//!
//! One file per noun: its types and the decisions about it, as functions that take the facts and
//! return the change or a [`refusal::Refusal`]. Invariant: everything here is synchronous and
//! total; the present, ids and randomness come in as parameters. Deliberately absent: IO, SQL,
//! serialisation and the wire format.

pub mod access;
pub mod access_policy;
pub mod audit;
pub mod common_password;
mod counted;
pub mod directory_name;
pub mod dns_name;
pub mod filter;
pub mod group;
pub mod hub_clock;
pub mod iam_token;
pub mod id;
pub mod idempotency;
pub mod labels;
pub mod mask;
pub mod membership;
pub mod named;
pub mod operation;
pub mod organization;
pub mod page;
pub mod password;
pub mod password_age;
pub mod password_change;
pub mod password_change_stream;
pub mod password_history;
pub mod password_policy;
pub mod password_quality;
pub mod password_writeback;
pub mod progress;
pub mod quota;
pub mod refusal;
pub mod replication_token;
pub mod resource_name;
pub mod service_account;
pub mod sign_in;
pub mod sign_in_guard;
pub mod sign_in_session;
pub mod supported_attribute;
pub mod sync_session;
pub mod sync_settings;
pub mod tally;
pub mod text_size;
pub mod user;
pub mod username;
pub mod userpool;
pub mod userpool_domain;
