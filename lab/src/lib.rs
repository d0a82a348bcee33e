//! Real servers for tests and the demo: a Samba domain controller and PostgreSQL.
//!
//! Invariant: whatever is started here listens on loopback addresses only and ends with its owner.
//! Deliberately absent: product code; nothing here may depend on it.

pub mod address;
mod keeper;
pub mod oracle;
pub mod packages;
pub mod postgres;
mod program;
pub mod samba;
