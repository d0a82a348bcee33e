//! Every service of the hub over gRPC and TLS: an in-process hub whose clock the test moves.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/harness.rs"]
mod harness;

#[path = "services/call.rs"]
mod call;
#[path = "services/contract.rs"]
mod contract;
#[path = "services/endpoint.rs"]
mod endpoint;
#[path = "services/group.rs"]
mod group;
#[path = "services/iam_token.rs"]
mod iam_token;
#[path = "services/operation.rs"]
mod operation;
#[path = "services/organization.rs"]
mod organization;
#[path = "services/password.rs"]
mod password;
#[path = "services/postgres.rs"]
mod postgres;
#[path = "services/replication_token.rs"]
mod replication_token;
#[path = "services/sync_session.rs"]
mod sync_session;
#[path = "services/sync_settings.rs"]
mod sync_settings;
#[path = "services/user.rs"]
mod user;
#[path = "services/userpool.rs"]
mod userpool;
