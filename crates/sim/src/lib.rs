//! Rollcall: seeded simulation of agents, hub and directory; for tests only.
//!
//! One thread, one stream of random numbers, and a clock that only the world moves: a seed is a
//! whole run. The agent's engine and the hub's domain rules are the real ones; around them stand
//! a model of a directory ([`directory`]), of a hub's storage ([`hub`]), of the network between
//! ([`link`]) and of the agent's loop ([`agent`]). [`oracle`] works out independently what the hub
//! should hold and watches every write.
//!
//! Invariant: nothing here reads the real clock, the real random source, a file or a socket.
//! Deliberately absent: the wire, SQL and the LDAP protocol, which have tests of their own, and
//! any code that production uses.

pub mod agent;
pub mod dice;
pub mod directory;
pub mod events;
pub mod hub;
pub mod link;
pub mod oracle;
pub mod world;
