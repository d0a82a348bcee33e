//! Rollcall: clock, entropy, ids, timestamps, secrets and backoff.
//!
//! Invariant: everything here is about machines, nothing about users, groups or sessions.
//! Deliberately absent: any product noun, and IO beyond reading the clock and the random source.

pub mod backoff;
pub mod clock;
pub mod entropy;
pub mod id;
pub mod secret;
pub mod timestamp;
