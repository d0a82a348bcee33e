//! Rollcall: seeded simulation of agents, hub and directory.
