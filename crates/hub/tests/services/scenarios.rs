//! The scenarios that run over gRPC (`services.rs`) and over REST (`services_rest.rs`).
//!
//! Each is compared with the one transcript of its name in `snapshots`. After a change accept it
//! with `INSTA_UPDATE=always`, and read it: it is what the interface promises.

mod access;
mod access_granting;
mod access_policy;
mod audit;
mod call;
mod domain_validation;
mod endpoint;
mod generated_password;
mod group;
mod iam_token;
mod membership;
mod operation;
mod organization;
mod password;
mod password_change;
mod password_policy;
mod password_writeback;
mod quota;
mod replication_token;
mod separate_duties;
mod service_account;
mod service_account_key;
pub(crate) mod sign_in;
mod sign_in_load;
mod sign_in_session;
mod strengthening;
mod sync_session;
mod sync_settings;
mod tally;
mod user;
mod userpool;
mod userpool_domain;
