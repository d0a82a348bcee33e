//! Rollcall: the identity hub.
//!
//! Invariant: every change a caller is told of is durable, and every call but the few named in
//! `call` proves who makes it. Deliberately absent: SQL (crate `store`) and rules (crate `domain`).

pub mod certificate;
pub mod config;
pub mod data_directory;
pub mod jwt;
pub mod limits;
pub mod listener;
pub mod password_hash;
pub mod reflection;
pub mod rest;
pub mod sealing;
pub mod service_account_key;
