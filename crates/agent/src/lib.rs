//! Rollcall: the synchronization agent.
