//! Rollcall: the identity hub.
