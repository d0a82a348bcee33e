//! The synchronization engine: what the directory says, what the hub has, what must change.
//!
//! Invariant: everything in here is a pure function of its arguments. The same index, scope,
//! rules and moment give the same plan, and a plan that was acknowledged in full leads to an
//! empty one. Deliberately absent: IO, the clock, tasks, and the wire formats of both sides;
//! [`object::DirectoryObject`] and [`index::HubUser`] are its only inputs.

pub mod account_state;
pub mod attribute;
pub mod circle;
pub mod drift;
pub mod guard;
pub mod guid;
pub mod hub_id;
pub mod index;
pub mod mapping;
pub mod membership;
pub mod memory;
pub mod object;
mod packed;
pub mod password_hash;
pub mod password_writeback;
pub mod place;
pub mod plan;
pub mod record;
pub mod scope;
pub mod snapshot;
pub mod trial;
pub mod unshown;
pub mod values;

pub use guid::Guid;
