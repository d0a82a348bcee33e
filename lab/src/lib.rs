//! Real servers for tests and the demo: a Samba domain controller, PostgreSQL, other LDAP servers; and a
//! directory of our own for what that domain controller cannot show.
//!
//! Invariant: whatever is started here listens on loopback addresses only and ends with its owner.
//! Deliberately absent: product code; nothing here may depend on it.

mod account;
pub mod address;
pub mod directory_389;
pub mod fake_directory;
mod keeper;
mod ldap_server;
pub mod openldap;
pub mod oracle;
pub mod packages;
pub mod postgres;
mod program;
pub mod samba;
