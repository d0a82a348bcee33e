//! Rollcall: the identity hub.
//!
//! Invariant: every change a caller is told of is durable, and every call but the few named in
//! `method_access` proves who makes it. Deliberately absent: SQL (crate `store`) and rules (crate `domain`).

pub mod audit;
pub mod call;
pub mod certificate;
pub mod config;
pub mod context;
pub mod data_directory;
mod deadline;
pub mod dns;
pub mod domain_validation;
pub mod error;
pub mod foreign_hash;
mod front;
pub mod generated_password;
mod grpc;
mod grpc_stack;
pub mod hashing_memory;
pub mod hub;
pub mod init;
pub mod jwt;
pub mod limits;
pub mod listener;
pub mod method_access;
pub mod page_token;
pub mod password_change;
pub mod password_hash;
pub mod password_writeback;
pub mod places;
pub mod rate_limit;
pub mod reflection;
pub mod rest;
pub mod sealing;
pub mod server;
pub mod service_account_key;
pub mod session_token;
pub mod sign_in;
pub mod sign_in_guard;
mod strengthening;
pub mod sweeper;
pub mod tally;
pub mod token;
pub mod wire;
