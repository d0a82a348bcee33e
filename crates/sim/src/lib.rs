//! Rollcall: seeded simulation of agents, hub and directory; for tests only.
//!
//! One thread, one stream of random numbers, and a clock that only the world moves: a seed is a
//! whole run. The agent's engine and the hub's domain rules are the real ones; around them stand
//! a model of a directory ([`directory`]), of a hub's storage ([`hub`]), of the network between
//! ([`link`]) and of the agent's loop ([`agent`]). [`oracle`] works out independently what the hub
//! should hold and watches every write.
//!
//! Passwords have a world of their own ([`password_world`]) with the same kind of parts: a directory
//! with a clock of its own ([`password_directory`]), hubs on one storage ([`password_hub`]), the two
//! loops of agents ([`password_agent`]), the network ([`password_link`]), people and faults
//! ([`password_people`]), and P3 as [`password_oracle`] understands it. The rules about imports, changes
//! and streams, the dates of hashes, and what an agent does with a change it began before, are the real
//! ones; the rest of its loops is modelled.
//!
//! Invariant: nothing here reads the real clock, the real random source, a file or a socket.
//! Deliberately absent: the wire, SQL and the LDAP protocol, which have tests of their own, and
//! any code that production uses.
//!
//! A known difference: the model lists all members of a group, a hub those who are active. With
//! active ones only, memberships that an interrupted run or another agent left to a suspended user
//! stay until the user is reactivated, and the oracle, which counts them at once, objects in the
//! worlds 16, 48, 93, 145, 156, 159, 201, 204, 211, 217, 231, 245, 247, 267, 327, 381, 389 and 395.
//!
//! A known limit of passwords, which reading all hashes mends and [`password_oracle`] excuses until then:
//! a password that the directory gets again, while the hub still has it, between the write of another
//! one and the word of it. Whether such a one must be changed is not judged at all.

pub mod agent;
pub mod dice;
pub mod directory;
pub mod events;
pub mod hub;
pub mod link;
pub mod oracle;
pub mod password_agent;
pub mod password_coverage;
pub mod password_directory;
pub mod password_hub;
pub mod password_link;
pub mod password_oracle;
pub mod password_people;
pub mod password_world;
pub mod world;
