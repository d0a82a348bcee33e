//! Rollcall: administrator commands.

fn main() {}
