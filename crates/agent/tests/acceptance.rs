//! What administrators complain about elsewhere, against a real domain controller and a real hub.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/change.rs"]
mod change;
#[path = "acceptance/deletion.rs"]
mod deletion;
#[path = "support/dice.rs"]
mod dice;
#[path = "acceptance/identity.rs"]
mod identity;
#[path = "acceptance/mapping.rs"]
mod mapping;
#[path = "acceptance/membership.rs"]
mod membership;
#[path = "acceptance/names.rs"]
mod names;
#[path = "acceptance/scope.rs"]
mod scope;
#[path = "support/world.rs"]
mod world;
