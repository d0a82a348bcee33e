//! Every service of the hub over gRPC and TLS: an in-process hub whose clock the test moves.
//!
//! The scenarios also run over REST, in `services_rest.rs`; the other modules here are about gRPC.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)] // not every test binary needs all of it
#[path = "support/harness.rs"]
mod harness;
#[path = "support/name_server.rs"]
mod name_server;

#[path = "support/fixtures.rs"]
mod fixtures;

#[path = "services/access_matrix.rs"]
mod access_matrix;
#[path = "services/audit_promise.rs"]
mod audit_promise;
#[path = "services/audit_refusal.rs"]
mod audit_refusal;
#[path = "services/contract.rs"]
mod contract;
#[path = "services/idempotency.rs"]
mod idempotency;
#[path = "services/page_token.rs"]
mod page_token;
#[path = "services/postgres.rs"]
mod postgres;
#[path = "services/scenarios.rs"]
mod scenarios;
