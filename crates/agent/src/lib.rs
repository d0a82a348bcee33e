//! Rollcall's agent: reads a directory and keeps a hub in step with it.
//!
//! Invariant: nothing is removed from the hub that the directory did not positively show as
//! deleted or as outside the scope. Deliberately absent: knowledge of the hub's rules (it asks
//! and obeys) and of the directory's protocol (`rollcall_directory` speaks it).

pub mod agent_id;
pub mod config;
pub mod engine;
pub mod failure;
pub mod file_permission;
pub mod index_file;
pub mod item_error;
pub mod logger;
pub mod progress;
pub mod replication_token;
pub mod settings;
pub mod hub;
pub mod fence;
pub mod session;
