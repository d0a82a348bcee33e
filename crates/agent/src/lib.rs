//! Rollcall's agent: reads a directory and keeps a hub in step with it.
//!
//! Invariant: nothing is removed from the hub that the directory did not positively show as
//! deleted or as outside the scope. Deliberately absent: knowledge of the hub's rules (it asks
//! and obeys) and of the directory's protocol (`rollcall_directory` speaks it).

pub mod account_state;
pub mod activity;
pub mod agent;
pub mod agent_id;
pub mod brake;
pub mod certificate;
pub mod check;
pub mod command;
pub mod condition;
pub mod config;
pub mod drift;
pub mod dry_run;
pub mod engine;
pub mod explain;
pub mod failure;
pub mod fault_count;
pub mod fence;
pub mod file_permission;
pub mod follow;
pub mod handover;
pub mod hub;
pub mod index_file;
pub mod item_error;
pub mod kerberos;
pub mod logger;
pub mod looks;
pub mod metrics;
pub mod once;
pub mod outage;
pub mod password_hash;
pub mod password_writeback;
pub mod progress;
pub mod reader;
pub mod refused_plan;
pub mod removal_file;
pub mod replica;
pub mod replication_token;
pub mod resync;
pub mod run;
pub mod session;
pub mod settings;
pub mod sight;
pub mod stream;
pub mod summary;
pub mod tally;
pub mod uplink;
