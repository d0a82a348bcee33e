//! Rollcall: types and rules, without IO.
